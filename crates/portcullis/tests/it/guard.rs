//! What may reach a model and what may leave: every surface, both ways, in both eras.

mod definitions;
mod hostile;
mod lasting;
mod orders;
mod pseudonyms;
mod questions;
mod recogniser;
mod rules;
mod schemas;
mod surfaces;
mod tasks;

use serde_json::{Value, json};

use crate::harness::{Fake, Gateway};

/// Stands beside every secret, and has to arrive: a test that reaches nothing proves nothing.
const MARK: &str = "and this stands beside it";

/// A credential, in the form of one of GitHub's; nobody ever had it. In two parts, lest somebody's scanner finds it here.
pub(crate) fn secret() -> String {
    ["ghp_", "Qm3vT9xLk2Zr8WbYc5NdJf7HgPs1Ua3uNpeu"].concat()
}

/// A text with the secret in it.
pub(crate) fn planted() -> String {
    format!("the key is {} {MARK}", secret())
}

/// Both eras of a server.
fn fakes() -> [(&'static str, Fake); 2] {
    [("modern", Fake::modern()), ("legacy", Fake::legacy())]
}

/// A gateway with one server, `x`, and a guard.
fn guarded(server: &Value, guard: &Value) -> Gateway {
    Gateway::start(&json!({"servers": {"x": server}, "guard": guard}))
}

/// Nothing stops: what is found is taken out, so that it can be seen whether the rest arrives.
pub(crate) fn redacting() -> Value {
    json!({"rules": [{"name": "all", "entities": ["credentials"], "action": "redact"}]})
}

/// That a text, as it was sent, has what stood beside the secret, and not the secret.
#[track_caller]
fn is_clean(text: &str, what: &str) {
    assert!(text.contains(MARK), "{what}: nothing arrived: {text}");
    assert!(!text.contains(&secret()), "{what}: the secret shows: {text}");
}
