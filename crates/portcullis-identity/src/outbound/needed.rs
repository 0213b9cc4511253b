//! Why there is no credential for a server, and what to do about it.

/// What is needed before a server can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needed {
    /// The user has to connect an account, or agree to more.
    Connect(Connect),
    /// The user has to log in again, for the identity provider wants more of them before it lets the gateway act for them.
    LogIn(LogIn),
    /// Whoever runs the gateway or the server has to change something.
    Denied(String),
    /// It may well work a moment later.
    Unavailable(String),
}

/// What the identity provider wants of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogIn {
    /// Its code for it.
    pub code: String,
    /// What the next login has to ask it for (`claims`, OpenID Connect Core section 5.5), where it says so: a JSON object.
    pub claims: Option<String>,
}

/// Where the user goes to connect an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// The gateway's own address. It holds nothing personal, and is of use to this user alone.
    pub url: String,
    /// An account is connected, and more is asked of it.
    pub more: bool,
}
