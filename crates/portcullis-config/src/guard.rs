//! What may reach a model and what may leave, checked.

use std::path::PathBuf;
use std::time::Duration;

use portcullis_guard::{Action, Entity, EntitySet, Path};
use portcullis_model::matches_pattern;

use crate::Secret;

/// What may reach a model, and what may leave.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    /// What happens where no rule says otherwise.
    pub profile: Profile,
    /// Nothing is changed or stopped; what would be is counted.
    pub shadow: bool,
    /// The first that is about something and says something decides.
    pub rules: Vec<GuardRule>,
    /// Texts that are never reported.
    pub allow: Vec<String>,
    /// How sure a finding has to be, from 0 to 1.
    pub threshold: f32,
    /// Longest message that is inspected, in bytes.
    pub max_bytes: usize,
    /// For whom a pseudonym is the same.
    pub pseudonyms: PseudonymScope,
    /// What pseudonyms and hashes are made with; one key for each start when not given.
    pub key: Option<[u8; 32]>,
    /// Another recogniser that is asked besides.
    pub recogniser: Option<Recogniser>,
}

/// A service with the interface of Presidio's analyzer.
#[derive(Clone, Debug, PartialEq)]
pub struct Recogniser {
    /// Its URL.
    pub url: String,
    /// The bearer token that goes with it.
    pub token: Option<Secret>,
    /// Authorities trusted instead of those of the system, PEM.
    pub ca: Option<PathBuf>,
    /// The language of the texts, in its words.
    pub language: String,
    /// What it is asked for, by its names, and what that is here.
    pub entities: Vec<(String, Entity)>,
    /// How sure it has to be, from 0 to 1.
    pub threshold: f32,
    /// How long all answers about one message may take.
    pub timeout: Duration,
    /// How long the texts of one message may be together, in bytes.
    pub max_bytes: usize,
    /// How many requests it is sent at the same time.
    pub concurrency: usize,
    /// What it could not be asked about passes with what was found without it.
    pub lenient: bool,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            profile: Profile::Baseline,
            shadow: false,
            rules: Vec::new(),
            allow: Vec::new(),
            threshold: 0.5,
            max_bytes: 16 << 20,
            pseudonyms: PseudonymScope::Principal,
            key: None,
            recogniser: None,
        }
    }
}

/// What happens where no rule says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Credentials and hidden text do not reach models, credentials not servers.
    #[default]
    Baseline,
    /// Nor do personal data and orders to a model.
    Strict,
    /// Nothing.
    None,
}

/// For whom a pseudonym is the same, and can be opened again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PseudonymScope {
    /// One session; one principal where there are none.
    Session,
    /// One principal.
    #[default]
    Principal,
    /// All of one identity provider.
    Tenant,
}

/// Which way something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// What a server says, on its way to the client and its model.
    ToClient,
    /// What a client says, on its way to the server.
    ToServer,
}

/// What happens to what is found somewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardRule {
    /// What it is called; no other is called so.
    pub name: String,
    /// What it is about.
    pub scope: GuardScope,
    /// Which way; both when not given.
    pub direction: Option<Direction>,
    /// Where it does not hold.
    pub unless: Option<GuardScope>,
    /// What happens to what.
    pub effect: Effect,
}

/// Whose calls, and of what. Each part restricts nothing when it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuardScope {
    /// Callers in one of these groups, those of roles among them; `None` restricts nothing.
    pub groups: Option<Vec<String>>,
    /// Callers by id.
    pub principals: Vec<String>,
    /// Policies, one of which permits the call.
    pub policies: Vec<String>,
    /// Servers.
    pub servers: Vec<String>,
    /// Tools, `SERVER/NAME` with `*`.
    pub tools: Vec<String>,
}

/// What happens to what.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// To what is found, wherever it is.
    Entities(EntitySet, Action),
    /// To fields, or to what is found of some entities in them.
    Fields(Vec<Path>, Option<EntitySet>, Action),
    /// Only these fields pass.
    Only(Vec<Path>),
    /// Pseudonyms of these entities are opened.
    Restore(EntitySet),
}

impl GuardRule {
    /// The policies that it names.
    pub fn policies(&self) -> impl Iterator<Item = &str> {
        let scopes = std::iter::once(&self.scope).chain(&self.unless);
        scopes.flat_map(|scope| &scope.policies).map(String::as_str)
    }

    /// Whether it lets less pass.
    pub fn restricts(&self) -> bool {
        match &self.effect {
            Effect::Entities(_, action) | Effect::Fields(_, _, action) => *action != Action::Allow,
            Effect::Only(_) => true,
            Effect::Restore(_) => false,
        }
    }
}

impl GuardScope {
    /// Whether somebody has to be known to tell whether it fits.
    pub fn is_about_callers(&self) -> bool {
        self.groups.is_some() || !self.principals.is_empty() || !self.policies.is_empty()
    }

    /// Whether it fits what a message is for; `tool` is the server's own name, when it is one.
    pub fn is_about(&self, server: &str, tool: Option<&str>) -> bool {
        let is_tool = |tool: &str| {
            let of = |pattern: &String| {
                pattern
                    .split_once('/')
                    .is_some_and(|(of, name)| matches_pattern(of, server) && matches_pattern(name, tool))
            };
            self.tools.iter().any(of)
        };
        (self.servers.is_empty() || self.servers.iter().any(|one| one == server))
            && (self.tools.is_empty() || tool.is_some_and(is_tool))
    }
}
