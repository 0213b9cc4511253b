//! How the crate asks the outside: through a client that it is given.
//!
//! A client of this kind follows no redirect, sends no cookie, bounds time and size, and for an address that was only
//! learned from a document connects to global addresses alone, deciding by the address that it connects to
//! ([`crate::is_global`]). Addresses that the operator wrote down may be inside: an identity provider often is.

use std::pin::Pin;
use std::time::Duration;

/// Asks the outside.
pub trait Fetch: Send + Sync {
    /// Sends one request.
    fn fetch(&self, wanted: Wanted) -> Fetching;
}

/// An answer under way.
pub type Fetching = Pin<Box<dyn Future<Output = Result<Fetched, FetchError>> + Send>>;

/// One request: a GET, or a POST when there is a form with something in it.
#[derive(Debug)]
pub struct Wanted {
    /// Where.
    pub url: String,
    /// Who says so.
    pub trust: Trust,
    /// What is posted.
    pub form: Option<Form>,
    /// The longest answer that is read, in bytes.
    pub most: usize,
    /// An answer of any status is wanted: it says what is wrong.
    pub any_status: bool,
}

impl Wanted {
    /// A document.
    pub fn get(url: impl Into<String>, trust: Trust, most: usize) -> Self {
        Self { url: url.into(), trust, form: None, most, any_status: false }
    }

    /// An answer to a form. One of another status than 200 is a failure.
    pub fn post(url: impl Into<String>, trust: Trust, form: Form, most: usize) -> Self {
        Self { form: Some(form), ..Self::get(url, trust, most) }
    }
}

/// Who says that an address may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The operator.
    Configured,
    /// A document.
    Learned,
}

/// What is posted, and the credentials that go with it.
#[derive(Clone, Default)]
pub struct Form {
    /// The body: an encoded form (`application/x-www-form-urlencoded`), or JSON. An empty one is a GET with these
    /// credentials.
    pub body: String,
    /// The body is JSON.
    pub json: bool,
    /// The value of `Authorization`; empty when the credentials are in the form.
    pub authorization: String,
    /// The value of `DPoP`, if there is any.
    pub proof: Option<String>,
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Form(***)")
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// 200, unless every status was wanted.
    pub status: u16,
    /// What came.
    pub body: Vec<u8>,
    /// `max-age` of `Cache-Control`.
    pub max_age: Option<Duration>,
    /// `DPoP-Nonce`.
    pub nonce: Option<String>,
}

impl Default for Fetched {
    fn default() -> Self {
        Self { status: 200, body: Vec::new(), max_age: None, nonce: None }
    }
}

impl FetchError {
    /// Whether it may be another time that there is an answer, for all that is known.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Status(408 | 425 | 429 | 500..))
    }
}

/// No successful answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Another status than 200.
    #[error("HTTP status {0}")]
    Status(u16),
    /// Not asked, for where it is.
    #[error("{0}")]
    Forbidden(&'static str),
    /// A longer answer than was wanted.
    #[error("the answer is too large")]
    TooLarge,
    /// No answer.
    #[error("{0}")]
    Failed(String),
}
