//! What is kept of one definition: which pins of it are trusted and by whom, and what is held back and why.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::definition::{Definition, DefinitionKind, Pin};

/// Texts longer than this are kept only as far; the pin is that of the whole.
const LONGEST: usize = 128 << 10;
/// Pins of one thing that are trusted: servers may show other things to other clients.
const MOST: usize = 16;

/// One definition, over time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Whose it is: a server, or one version of it (`server@version`).
    pub server: String,
    /// What it is.
    pub kind: DefinitionKind,
    /// The server's name or URI for it.
    pub name: String,
    /// What is trusted, the newest last.
    #[serde(default)]
    pub trusted: Vec<Trusted>,
    /// The text that was trusted last.
    #[serde(default)]
    pub text: Option<String>,
    /// What is held back.
    #[serde(default)]
    pub held: Option<Held>,
}

/// A pin that is trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trusted {
    /// Which.
    pub pin: Pin,
    /// By whom; [`Trusted::FIRST_USE`] when nobody was asked, [`Trusted::SCANNED`] when its version was.
    pub by: String,
    /// Since when, in milliseconds since 1970.
    pub at: u64,
}

impl Trusted {
    /// Nobody was asked: it was the first that was seen.
    pub const FIRST_USE: &str = "first use";
    /// It was approved with its version, as it was scanned.
    pub const SCANNED: &str = "version";

    /// Whether somebody has looked at this definition itself.
    pub(crate) fn is_asked(&self) -> bool {
        self.by != Self::FIRST_USE && self.by != Self::SCANNED
    }
}

/// A definition that waits for somebody to look at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Its pin.
    pub pin: Pin,
    /// Its text, in canonical form.
    pub text: String,
    /// Why it is held back.
    pub reasons: Vec<Reason>,
    /// Since when, in milliseconds since 1970.
    pub at: u64,
    /// Somebody has looked at it and will not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected_by: Option<String>,
}

/// Why a definition is held back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum Reason {
    /// Nobody has looked at it yet, and somebody has to.
    New,
    /// It is not what was trusted.
    Changed,
    /// It is another's, under a new name.
    Renamed {
        /// The name that is gone.
        from: String,
    },
    /// It is called as something of another server is, or can be taken for it.
    Shadows {
        /// Which server.
        server: String,
        /// What there.
        name: String,
    },
    /// Its texts speak of another server's tool.
    Mentions {
        /// Which server.
        server: String,
        /// What there.
        name: String,
    },
    /// It has characters that nobody sees.
    Hidden,
    /// Its texts tell a model what to do.
    Suspicious {
        /// What was found.
        what: String,
    },
}

impl Reason {
    /// The name for logs and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Renamed { .. } => "renamed",
            Self::Shadows { .. } => "shadows",
            Self::Mentions { .. } => "mentions",
            Self::Hidden => "hidden",
            Self::Suspicious { .. } => "suspicious",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let visible = crate::hidden::visible;
        match self {
            Self::New => f.write_str("nobody has approved it yet"),
            Self::Changed => f.write_str("it is not what was approved"),
            Self::Renamed { from } => write!(f, "it looks like `{}` under a new name", visible(from)),
            Self::Shadows { server, name } => {
                write!(f, "it can be taken for `{}` of `{server}`", visible(name))
            }
            Self::Mentions { server, name } => {
                write!(f, "its texts speak of `{}` of `{server}`", visible(name))
            }
            Self::Hidden => f.write_str("it has characters that cannot be seen"),
            Self::Suspicious { what } => write!(f, "its texts tell a model what to do: {}", visible(what)),
        }
    }
}

impl Entry {
    pub(crate) fn new(server: &str, kind: DefinitionKind, name: &str) -> Self {
        let (server, name) = (server.to_owned(), name.to_owned());
        Self { server, kind, name, trusted: Vec::new(), text: None, held: None }
    }

    /// Whether a pin is trusted.
    pub fn trusts(&self, pin: Pin) -> bool {
        self.trusted.iter().any(|trusted| trusted.pin == pin)
    }

    /// Whether somebody has looked at a pin and approved of it.
    pub fn approves(&self, pin: Pin) -> bool {
        self.trusted.iter().any(|trusted| trusted.pin == pin && trusted.is_asked())
    }

    /// Whether it is known what becomes of a pin.
    pub(crate) fn is_decided(&self, pin: Pin) -> bool {
        self.trusts(pin) || self.held.as_ref().is_some_and(|held| held.pin == pin)
    }

    /// Whether something is trusted that nobody has looked at, and somebody has to.
    pub(crate) fn is_doubted(&self, definition: &Definition) -> bool {
        definition.suspect && self.trusts(definition.pin) && !self.approves(definition.pin)
    }

    /// How much its texts take, in bytes.
    pub(crate) fn size(&self) -> usize {
        let held = self.held.as_ref().map_or(0, |held| held.text.len());
        self.text.as_ref().map_or(0, String::len) + held
    }

    pub(crate) fn trust(&mut self, pin: Pin, text: &str, by: &str, at: u64) {
        self.trusted.retain(|trusted| trusted.pin != pin);
        if self.trusted.len() >= MOST {
            self.trusted.remove(0);
        }
        self.trusted.push(Trusted { pin, by: by.to_owned(), at });
        self.text = Some(shortened(text, LONGEST).to_owned());
        self.held = self.held.take().filter(|held| held.pin != pin);
    }

    pub(crate) fn hold(&mut self, pin: Pin, text: &str, reasons: Vec<Reason>, at: u64) {
        self.held =
            Some(Held { pin, text: shortened(text, LONGEST).to_owned(), reasons, at, rejected_by: None });
    }
}

/// The beginning of a text.
pub(crate) fn shortened(text: &str, longest: usize) -> &str {
    let mut end = text.len().min(longest);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
