//! What of the registry of servers is in use. No file says it: the program adds it to the settings of one, from its store.

use std::sync::Arc;

use super::{Server, Settings};

/// The versions of one server that are in use; how the first is reached stands among the servers.
#[derive(Clone, Debug, PartialEq)]
pub struct Registered {
    /// The version that callers have.
    pub version: String,
    /// What it was seen to offer before it was approved.
    pub offers: Offers,
    /// The version that some of them have instead.
    pub next: Option<NextVersion>,
}

/// A version that is rolled out.
#[derive(Clone, Debug, PartialEq)]
pub struct NextVersion {
    /// The version.
    pub version: String,
    /// What it was seen to offer before it was approved.
    pub offers: Offers,
    /// How many callers have it, in hundredths.
    pub percent: u8,
    /// How it is reached.
    pub server: Server,
}

impl Settings {
    /// All servers, those with `enabled == false` included, and the versions that are rolled out beside some of them.
    pub fn all_servers(&self) -> impl Iterator<Item = &Server> {
        let next = self.registered.values().filter_map(|it| it.next.as_ref());
        self.servers.values().chain(next.map(|next| &next.server))
    }
}

/// What a version was seen to offer.
pub type Offers = Arc<[Offered]>;

/// Something that a version was seen to offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// `tool`, `prompt`, `resource` or `template`.
    pub kind: String,
    /// Its name or URI.
    pub name: String,
    /// The digest of its definition.
    pub digest: String,
}
