//! Why a login does not work: what a client does from a bare 401 on, step by step, with what is wrong and what to do.
//!
//! A client tells its user "could not connect". Here each step says which document it read, which member of it is not as it
//! must be, and who can change that (MCP 2026-07-28, authorization; RFC 9728, RFC 8414, RFC 7636, RFC 8707, RFC 9207). The
//! walk goes on as far as a client could, so that one run tells all that is wrong.
//!
//! Nothing is registered, nobody is logged in, and no token is shown. The crate opens no connection here either: it asks
//! through a [`Probe`].

mod endpoint;
mod server;
mod token;

#[cfg(test)]
mod tests;

use std::pin::Pin;

use serde_json::{Value, json};

/// Asks the outside, and tells what came, whatever the status.
pub trait Probe: Send + Sync {
    /// Sends one request.
    fn send(&self, question: Question) -> Asking;
}

/// An answer under way; an error says why none came.
pub type Asking = Pin<Box<dyn Future<Output = Result<Told, String>> + Send>>;

/// One request.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Where.
    pub url: String,
    /// The media type and the bytes of what is posted; a GET without.
    pub post: Option<(&'static str, Vec<u8>)>,
    /// The value of `Authorization`.
    pub authorization: Option<String>,
}

/// One answer.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The HTTP status.
    pub status: u16,
    /// Its fields; names in lower case.
    pub fields: Vec<(String, String)>,
    /// What came.
    pub body: Vec<u8>,
}

impl Told {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok().filter(Value::is_object)
    }
}

/// What the one who asks has, beside the URL.
#[derive(Clone, Default)]
pub struct Means {
    /// A client that is registered at the authorization server.
    pub client_id: Option<String>,
    /// Where that client has people sent back to.
    pub redirect_uri: Option<String>,
    /// An access token that does not get in.
    pub token: Option<String>,
}

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it must be.
    Good,
    /// Some clients will not get through, or not as safely as they could.
    Doubtful,
    /// No client gets through.
    Bad,
    /// The other side cannot be reached.
    Away,
}

impl Verdict {
    /// In one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Doubtful => "warning",
            Self::Bad => "failed",
            Self::Away => "unreachable",
        }
    }
}

/// One thing that was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which step of a login.
    pub step: &'static str,
    /// How it went.
    pub verdict: Verdict,
    /// Where the document or answer is from.
    pub document: String,
    /// The member or header field that it is about.
    pub field: Option<&'static str>,
    /// What is so. May hold text of the other side, made plain.
    pub said: String,
    /// What to do about it.
    pub advice: Option<&'static str>,
}

impl Finding {
    /// For programs.
    pub fn describe(&self) -> Value {
        json!({
            "step": self.step, "verdict": self.verdict.as_str(), "document": self.document, "field": self.field,
            "said": self.said, "advice": self.advice,
        })
    }
}

/// Walks a login at the endpoint with this URL.
pub async fn examine(url: &str, means: &Means, probe: &dyn Probe) -> Vec<Finding> {
    let mut walk = Walk { url, means, probe, findings: Vec::new() };
    if let Some(server) = walk.endpoint().await {
        walk.authorization_server(&server).await;
    }
    walk.findings
}

/// A walk under way.
struct Walk<'a> {
    url: &'a str,
    means: &'a Means,
    probe: &'a dyn Probe,
    findings: Vec<Finding>,
}

/// What is about to be judged: a step, and the document that it is about.
#[derive(Clone, Copy)]
struct About<'a> {
    step: &'static str,
    document: &'a str,
}

impl Walk<'_> {
    fn good(&mut self, about: About<'_>, said: impl Into<String>) {
        self.add(about, Verdict::Good, None, said.into(), None);
    }

    fn doubtful(
        &mut self,
        about: About<'_>,
        field: &'static str,
        said: impl Into<String>,
        advice: &'static str,
    ) {
        self.add(about, Verdict::Doubtful, Some(field), said.into(), Some(advice));
    }

    fn bad(&mut self, about: About<'_>, field: &'static str, said: impl Into<String>, advice: &'static str) {
        self.add(about, Verdict::Bad, Some(field), said.into(), Some(advice));
    }

    fn away(&mut self, about: About<'_>, why: &str, advice: &'static str) {
        self.add(about, Verdict::Away, None, plain(why), Some(advice));
    }

    fn add(
        &mut self,
        about: About<'_>,
        verdict: Verdict,
        field: Option<&'static str>,
        said: String,
        advice: Option<&'static str>,
    ) {
        let About { step, document } = about;
        self.findings.push(Finding { step, verdict, document: plain(document), field, said, advice });
    }

    async fn get(&self, url: &str) -> Result<Told, String> {
        self.probe.send(Question { url: url.to_owned(), ..Question::default() }).await
    }
}

/// Text of somebody else on a terminal: short, and nothing in it that steers.
fn plain(text: &str) -> String {
    let shown: String = text.chars().filter(|char| !char.is_control()).take(300).collect();
    shown
}

/// Whether a URL is one that a token may be sent to: `https`, or this machine.
fn is_safe(url: &str) -> bool {
    let rest = url.strip_prefix("http://");
    url.starts_with("https://")
        || rest.is_some_and(|rest| {
            let host = rest.split(['/', '?']).next().unwrap_or_default();
            ["127.0.0.1", "localhost", "[::1]"].iter().any(|name| {
                host.strip_prefix(name).is_some_and(|port| port.is_empty() || port.starts_with(':'))
            })
        })
}
