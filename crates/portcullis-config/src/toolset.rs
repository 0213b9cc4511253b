//! Virtual servers, checked: what they pick of the servers, and how they show it.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_model::matches_pattern;

use crate::Discovery;

/// A virtual server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toolset {
    /// What people are shown.
    pub title: Option<String>,
    /// What models are told of it.
    pub instructions: Option<String>,
    /// Whether it offers tools that find its tools.
    pub discovery: Discovery,
    /// Its tools.
    pub tools: Vec<Pick>,
    /// Its prompts; nothing is preset or hidden of them.
    pub prompts: Vec<Pick>,
    /// Its resources and templates, by URI.
    pub resources: Vec<Source>,
}

/// Where something comes from: patterns of a server's name and of the server's own name or URI for it. `*` stands for any
/// characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The server's.
    pub server: String,
    /// The thing's.
    pub name: String,
}

/// Things that a toolset takes, and as what it shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    /// What is taken.
    pub from: Source,
    /// Its name in the toolset; never with `__`. `None` is the aggregate's name for it. With this and the next two, `from`
    /// is one thing.
    pub name: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Arguments that are fixed, each with JSON text.
    pub preset: BTreeMap<String, String>,
    /// Arguments that nobody gives.
    pub hide: BTreeSet<String>,
}

impl Source {
    /// Reads `SERVER/NAME`.
    pub fn parse(text: &str) -> Option<Self> {
        let (server, name) = text.split_once('/')?;
        let whole = !server.is_empty() && !name.is_empty();
        whole.then(|| Self { server: server.to_owned(), name: name.to_owned() })
    }

    /// Whether it is one thing and no pattern.
    pub fn is_one(&self) -> bool {
        !self.server.contains('*') && !self.name.contains('*')
    }

    /// Whether it may take anything of a server.
    pub fn is_of(&self, server: &str) -> bool {
        matches_pattern(&self.server, server)
    }

    /// Whether it takes something of a server.
    pub fn takes(&self, server: &str, name: &str) -> bool {
        self.is_of(server) && matches_pattern(&self.name, name)
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.server, self.name)
    }
}
