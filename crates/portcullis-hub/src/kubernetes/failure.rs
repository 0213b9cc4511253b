//! Why something did not come about in a cluster, with whose turn it is.

use std::fmt::Write as _;

use serde_json::Value;

use super::api::Verb;

/// So much of what an API server says is passed on, in characters.
const MOST_SAID: usize = 300;

/// Why something did not come about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The API server did not answer, or not in full.
    #[error("the API server cannot be reached: {0}")]
    Away(String),
    /// It answered with something else than what was asked for.
    #[error("the API server's answer to {0} cannot be read: {1}")]
    Unreadable(String, String),
    /// It answered with more than is read.
    #[error("the API server's answer to {0} cannot be read: it is larger than {1} bytes")]
    Large(String, usize),
    /// It refused.
    #[error("{0}")]
    Refused(Refused),
    /// A Deployment does not become ready.
    #[error("{0}")]
    NotReady(String),
    /// Somebody else has made of it what was not described.
    #[error("{0}")]
    Foreign(String),
    /// Nobody wants it any more.
    #[error("its start was given up")]
    GivenUp,
    /// The Deployments that there are have not been listed yet.
    #[error("the Deployments of the namespace are not known yet: {0}")]
    Unknown(String),
}

/// What an API server refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The status of the answer.
    pub status: u16,
    /// What was asked for, in words.
    asked: String,
    /// What to do about it.
    advice: String,
    /// So long it asks not to be asked again, in seconds.
    pub retry_after: Option<u64>,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} was refused ({}): {}", self.asked, self.status, self.advice)
    }
}

impl Refused {
    /// Reads an answer that is no success; `body` is as much of it as was read.
    pub(super) fn read(verb: Verb, what: &str, status: u16, body: &[u8]) -> Self {
        let said: Value = serde_json::from_slice(body).unwrap_or_default();
        let message = said["message"].as_str().map(str::to_owned);
        let message = message.unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned());
        let message = plain(&message);
        let asked = format!("to {} {what}", verb.as_str());
        let advice = match status {
            401 => {
                "it does not know who asks: the token or the client certificate is not, or no longer, good"
                    .to_owned()
            }
            403 => format!(
                "{message}. The gateway's Role lacks that; docs/guide/kubernetes.md has one that suffices"
            ),
            404 => format!("{message}. Does the namespace exist, and is it that of `kubernetes.namespace`?"),
            409 if conflicts(&said).next().is_some() => conflict(&said),
            422 => format!("it is not valid there: {message}"),
            429 => "it is asked too much; later again".to_owned(),
            _ if message.is_empty() => "it does not say why".to_owned(),
            _ => message,
        };
        let retry_after = said["details"]["retryAfterSeconds"].as_u64();
        Self { status, asked, advice, retry_after }
    }

    /// Whether the same may succeed a little later, with nothing having come of it now.
    pub(super) fn passes(&self) -> bool {
        matches!(self.status, 429 | 500 | 502 | 503 | 504)
    }
}

/// Text that others chose, in one line in which nothing acts.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars().take(MOST_SAID) {
        if character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            out.push(' ');
        } else {
            out.push(character);
        }
    }
    if text.chars().nth(MOST_SAID).is_some() {
        out.push('…');
    }
    out
}

/// The fields that others manage, each with who does.
fn conflicts(said: &Value) -> impl Iterator<Item = (&str, &str)> {
    let causes = said["details"]["causes"].as_array().into_iter().flatten();
    causes.filter(|cause| cause["reason"] == "FieldManagerConflict").map(|cause| {
        let message = cause["message"].as_str().unwrap_or_default();
        (
            cause["field"].as_str().unwrap_or("a field"),
            message.strip_prefix("conflict with ").unwrap_or(message),
        )
    })
}

fn conflict(said: &Value) -> String {
    let mut text = String::new();
    for (field, manager) in conflicts(said).take(5) {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{separator}{} is managed by {}", plain(field), plain(manager));
    }
    text + "; the gateway takes nothing from others: whoever set it has to give it up, or delete the Deployment"
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(status: u16, body: &Value) -> String {
        Refused::read(Verb::Apply, "Deployment `d`", status, body.to_string().as_bytes()).to_string()
    }

    #[test]
    fn a_conflict_says_who_manages_what() {
        let body = json!({"reason": "Conflict", "message": "Apply failed", "details": {"causes": [{
            "reason": "FieldManagerConflict", "field": ".spec.replicas",
            "message": "conflict with \"kubectl-scale\" using apps/v1",
        }]}});
        let text = told(409, &body);
        assert!(text.contains(".spec.replicas is managed by \"kubectl-scale\" using apps/v1"), "{text}");
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        for (status, body, says) in [
            (401, json!({}), "does not know who asks"),
            (403, json!({"message": "deployments.apps is forbidden"}), "forbidden. The gateway's Role lacks"),
            (404, json!({"message": "namespaces \"x\" not found"}), "`kubernetes.namespace`"),
            (422, json!({"message": "spec.x: Invalid value"}), "is not valid there: spec.x"),
            (429, json!({}), "asked too much"),
            (500, json!({"message": "etcd is away"}), "etcd is away"),
        ] {
            let text = told(status, &body);
            assert!(text.contains(says) && text.contains(&status.to_string()), "{text}");
        }
    }

    #[test]
    fn what_a_server_says_is_short_and_does_nothing() {
        let text = Refused::read(
            Verb::List,
            "Deployments",
            500,
            format!("a\u{1b}[2J\n{}", "x".repeat(900)).as_bytes(),
        );
        let text = text.to_string();
        assert!(text.len() < 500 && !text.contains(['\u{1b}', '\n']), "{text}");
    }
}
