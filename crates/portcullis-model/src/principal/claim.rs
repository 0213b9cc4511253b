//! One claim of a token, without JSON: what a policy may look at.

use std::collections::BTreeMap;

/// The value of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// A text. Numbers that are no 64-bit integers are texts too, as they stood in the token.
    Text(String),
    /// An integer.
    Integer(i64),
    /// True or false.
    Bool(bool),
    /// A list.
    List(Vec<Claim>),
    /// An object. Members that are `null` count as absent.
    Object(BTreeMap<String, Claim>),
}

impl Claim {
    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}
