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
}

impl Wanted {
    /// A document.
    pub fn get(url: impl Into<String>, trust: Trust, most: usize) -> Self {
        Self { url: url.into(), trust, form: None, most }
    }

    /// An answer to a form.
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

/// A form (`application/x-www-form-urlencoded`) and the credentials that go with it.
#[derive(Clone, Default)]
pub struct Form {
    /// The encoded form. An empty one is a GET with these credentials.
    pub body: String,
    /// The value of `Authorization`; empty when the credentials are in the form.
    pub authorization: String,
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Form(***)")
    }
}

/// A successful answer.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// What came.
    pub body: Vec<u8>,
    /// `max-age` of `Cache-Control`.
    pub max_age: Option<Duration>,
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
    /// No answer.
    #[error("{0}")]
    Failed(String),
}
