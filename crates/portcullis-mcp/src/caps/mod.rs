//! Capabilities: what a client can be asked, and what servers offer.
//!
//! A client's capabilities are reduced to a small set of flags, the *fingerprint*. Servers may show other tools to
//! other capabilities, so everything cached from a server is cached per fingerprint; free-form settings would make
//! that unbounded and let a client grow it at will. What is not in the set is not offered upstream: an extension that
//! the gateway does not understand could need translation that it would not get.

mod server;

use std::sync::OnceLock;

use crate::json::{Kind, Raw};
use crate::method::Method;
use crate::revision::Revision;

pub use server::{ServerCaps, merge_instructions};

/// What a client declared that the gateway can carry, as a set of flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientCaps(u8);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal;)+) => {
        impl ClientCaps { $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)+ }
    };
}

flags! {
    /// Answers `roots/list`.
    ROOTS = 0;
    /// Answers `sampling/createMessage`.
    SAMPLING = 1;
    /// Sampling may carry tools.
    SAMPLING_TOOLS = 2;
    /// Sampling may ask for context of servers.
    SAMPLING_CONTEXT = 3;
    /// Elicitation by form.
    ELICIT_FORM = 4;
    /// Elicitation by URL.
    ELICIT_URL = 5;
    /// MCP Apps (`io.modelcontextprotocol/ui`).
    UI = 6;
    /// Tasks (`io.modelcontextprotocol/tasks`), 2026-07-28 alone.
    TASKS = 7;
}

/// How many flags there are.
const FLAGS: u32 = 8;

impl ClientCaps {
    /// Nothing declared.
    pub const NONE: Self = Self(0);
    /// Everything declared.
    pub const ALL: Self = Self(u8::MAX);

    /// Reads `ClientCapabilities` of any revision. An `elicitation` object that names no mode means form
    /// (2025-06-18, and 2026-07-28 by default).
    pub fn read(capabilities: &Raw) -> Self {
        let mut caps = Self::NONE;
        let declared = |raw: Option<Raw>| raw.filter(|raw| raw.kind() == Kind::Object);
        if declared(capabilities.find("roots")).is_some() {
            caps = caps | Self::ROOTS;
        }
        if let Some(sampling) = declared(capabilities.find("sampling")) {
            caps = caps | Self::SAMPLING;
            if declared(sampling.find("tools")).is_some() {
                caps = caps | Self::SAMPLING_TOOLS;
            }
            if declared(sampling.find("context")).is_some() {
                caps = caps | Self::SAMPLING_CONTEXT;
            }
        }
        if let Some(elicitation) = declared(capabilities.find("elicitation")) {
            let url = declared(elicitation.find("url")).is_some();
            if url {
                caps = caps | Self::ELICIT_URL;
            }
            if !url || declared(elicitation.find("form")).is_some() {
                caps = caps | Self::ELICIT_FORM;
            }
        }
        if declared(capabilities.find_path(&["extensions", UI_EXTENSION])).is_some() {
            caps = caps | Self::UI;
        }
        if declared(capabilities.find_path(&["extensions", TASKS_EXTENSION])).is_some() {
            caps = caps | Self::TASKS;
        }
        caps
    }

    /// The set as a number, for handles that the gateway seals.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// The set that has this number.
    pub fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// Whether all of `other` is in this set.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What is in both sets.
    #[must_use]
    pub fn only(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What a client of `revision` can have meant: what came with a later one is not in the set.
    #[must_use]
    pub fn known_in(self, revision: Revision) -> Self {
        let mut unknown = Self::NONE;
        if revision < Revision::V2025_06_18 {
            unknown = unknown | Self::ELICIT_FORM;
        }
        if revision < Revision::V2025_11_25 {
            unknown = unknown | Self::ELICIT_URL | Self::SAMPLING_TOOLS | Self::SAMPLING_CONTEXT;
        }
        Self(self.0 & !unknown.0)
    }

    /// Whether a client that declared this can be asked anything.
    pub fn answers(self) -> bool {
        let asking = Self::ROOTS | Self::SAMPLING | Self::ELICIT_FORM | Self::ELICIT_URL;
        self.only(asking) != Self::NONE
    }

    /// What a client has to declare to be asked this; `None` when no client can be asked it.
    pub fn needed(method: &Method, params: Option<&Raw>) -> Option<Self> {
        let has = |key: &str| params.is_some_and(|params| params.find(key).is_some());
        match method {
            Method::RootsList => Some(Self::ROOTS),
            Method::CreateMessage if has("tools") || has("toolChoice") => {
                Some(Self::SAMPLING | Self::SAMPLING_TOOLS)
            }
            Method::CreateMessage => Some(Self::SAMPLING),
            Method::CreateElicitation => {
                let mode = params.and_then(|params| params.find_string("mode"));
                Some(if mode.as_deref() == Some("url") { Self::ELICIT_URL } else { Self::ELICIT_FORM })
            }
            _ => None,
        }
    }

    /// The set without what is in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The set as `ClientCapabilities` of the newest revision. Every call to a modern server says it, and there are only
    /// so many sets: each is written once.
    pub fn modern(self) -> &'static str {
        static WRITTEN: [OnceLock<String>; 1 << FLAGS] = [const { OnceLock::new() }; 1 << FLAGS];
        WRITTEN[usize::from(self.0)].get_or_init(|| self.write(Revision::NEWEST))
    }

    /// The set as `ClientCapabilities` of `revision`.
    pub fn write(self, revision: Revision) -> String {
        let mut members = Vec::new();
        if self.has(Self::ROOTS) {
            members.push("\"roots\":{}".to_owned());
        }
        if self.has(Self::SAMPLING) {
            let mut inner = Vec::new();
            if self.has(Self::SAMPLING_TOOLS) && revision >= Revision::V2025_11_25 {
                inner.push("\"tools\":{}");
            }
            if self.has(Self::SAMPLING_CONTEXT) && revision >= Revision::V2025_11_25 {
                inner.push("\"context\":{}");
            }
            members.push(format!("\"sampling\":{{{}}}", inner.join(",")));
        }
        if let Some(elicitation) = self.write_elicitation(revision) {
            members.push(elicitation);
        }
        let mut extensions = Vec::new();
        if self.has(Self::UI) {
            extensions.push(format!("\"{UI_EXTENSION}\":{{\"mimeTypes\":[\"text/html;profile=mcp-app\"]}}"));
        }
        // Under an older revision the extension counts as not declared (SEP-2663).
        if self.has(Self::TASKS) && revision >= Revision::V2026_07_28 {
            extensions.push(format!("\"{TASKS_EXTENSION}\":{{}}"));
        }
        if !extensions.is_empty() {
            members.push(format!("\"extensions\":{{{}}}", extensions.join(",")));
        }
        format!("{{{}}}", members.join(","))
    }

    fn write_elicitation(self, revision: Revision) -> Option<String> {
        if revision < Revision::V2025_06_18 {
            return None;
        }
        if revision == Revision::V2025_06_18 {
            return self.has(Self::ELICIT_FORM).then(|| "\"elicitation\":{}".to_owned());
        }
        let inner = match (self.has(Self::ELICIT_FORM), self.has(Self::ELICIT_URL)) {
            (false, false) => return None,
            (true, false) => "\"form\":{}",
            (false, true) => "\"url\":{}",
            (true, true) => "\"form\":{},\"url\":{}",
        };
        Some(format!("\"elicitation\":{{{inner}}}"))
    }
}

impl std::ops::BitOr for ClientCaps {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The extension id of MCP Apps.
pub const UI_EXTENSION: &str = "io.modelcontextprotocol/ui";

/// The extension id of skills (SEP-2640).
pub const SKILLS_EXTENSION: &str = "io.modelcontextprotocol/skills";

/// The extension id of tasks.
pub const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

#[cfg(test)]
mod tests;
