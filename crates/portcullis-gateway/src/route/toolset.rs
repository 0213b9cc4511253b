//! Virtual servers: what each picks of the servers' things.
//!
//! A toolset narrows and never widens: what it shows is what the caller may see on `/mcp` under other names, and a call of it
//! is that call with other arguments. Who may open one is for policies; see `admit/gate.rs`. How a list becomes a toolset's
//! is in `select.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portcullis_config::{self as config, Discovery, Pick, Source};
use portcullis_model::ToolsetId;
use portcullis_policy::is_plain_uri;

use super::catalogue::{Catalogue, Need, Variant};
use super::listing::{ListKind, Listing};
use crate::call::Caller;

/// The virtual servers, by name.
pub(crate) type Toolsets = BTreeMap<ToolsetId, Arc<Toolset>>;

/// A virtual server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Toolset {
    id: ToolsetId,
    settings: config::Toolset,
}

impl Toolset {
    pub(crate) fn new(id: ToolsetId, settings: config::Toolset) -> Self {
        Self { id, settings }
    }

    pub(crate) fn id(&self) -> &ToolsetId {
        &self.id
    }

    /// What people are shown of it.
    pub(crate) fn title(&self) -> Option<&str> {
        self.settings.title.as_deref()
    }

    /// What models are told of it.
    pub(crate) fn instructions(&self) -> Option<&str> {
        self.settings.instructions.as_deref()
    }

    /// Whether it offers tools that find its tools.
    pub(crate) fn discovery(&self) -> Discovery {
        self.settings.discovery
    }

    /// What it picks by name; none of lists whose items have URIs.
    pub(super) fn picks(&self, kind: ListKind) -> &[Pick] {
        match kind {
            ListKind::Tools => &self.settings.tools,
            ListKind::Prompts => &self.settings.prompts,
            ListKind::Resources | ListKind::Templates => &[],
        }
    }

    /// Where its things of a kind come from.
    fn sources(&self, kind: ListKind) -> impl Iterator<Item = &Source> {
        let by_uri: &[Source] = match kind {
            ListKind::Tools | ListKind::Prompts => &[],
            ListKind::Resources | ListKind::Templates => &self.settings.resources,
        };
        self.picks(kind).iter().map(|pick| &pick.from).chain(by_uri)
    }

    /// Whether it may have anything of a list of a server.
    pub(crate) fn draws(&self, kind: ListKind, server: &str) -> bool {
        self.sources(kind).any(|source| source.is_of(server))
    }

    /// Whether it may have anything of a server.
    pub(crate) fn draws_on(&self, server: &str) -> bool {
        ListKind::ALL.into_iter().any(|kind| self.draws(kind, server))
    }

    /// Whether it has anything of a kind.
    pub(super) fn has(&self, kind: ListKind) -> bool {
        self.sources(kind).next().is_some()
    }

    /// Whether it has a tool of a server.
    pub(crate) fn has_tool(&self, server: &str, name: &str) -> bool {
        self.sources(ListKind::Tools).any(|source| source.takes(server, name))
    }

    /// The server of what has this name in it: that of the entry, else what the name says.
    pub(super) fn server_of<'a>(&'a self, kind: ListKind, name: &'a str) -> Option<&'a str> {
        let named = self.picks(kind).iter().find(|pick| pick.name.as_deref() == Some(name));
        match named {
            Some(pick) => Some(&pick.from.server),
            None => name.split_once("__").map(|(slug, _)| slug).filter(|slug| self.draws(kind, slug)),
        }
    }

    /// Whether it takes what a server lists under a URI. One that can be read as another is nobody's.
    pub(super) fn takes_uri(&self, server: &str, uri: &str) -> bool {
        is_plain_uri(uri) && self.sources(ListKind::Resources).any(|source| source.takes(server, uri))
    }

    /// Whether a resource can be read: it is taken, a template that is taken makes it, or a tool that is taken shows it.
    pub(super) async fn reads(
        self: &Arc<Self>,
        catalogue: &Arc<Catalogue>,
        caller: &Caller,
        uri: &str,
        need: Need,
    ) -> bool {
        let (server, variant) = (catalogue.server.id().as_str(), Variant::of(caller));
        if self.takes_uri(server, uri) {
            return true;
        }
        let own = |listing: &Arc<Listing>| listing.selected(self, &catalogue.server);
        let shows = |listing: Arc<Listing>| own(&listing).has_view(uri);
        if catalogue.last(ListKind::Tools, variant).is_some_and(shows) {
            return true;
        }
        if !self.draws(ListKind::Templates, server) || !is_plain_uri(uri) {
            return false;
        }
        let templates = catalogue.list(ListKind::Templates, variant, need).await;
        templates.is_ok_and(|found| own(&found.listing).makes(uri))
    }
}

/// The toolsets of a configuration; those whose settings are the same are kept.
pub(super) fn update(old: &Toolsets, settings: &BTreeMap<ToolsetId, config::Toolset>) -> Toolsets {
    let one = |(id, settings): (&ToolsetId, &config::Toolset)| {
        let kept = old.get(id).filter(|old| old.settings == *settings).cloned();
        let toolset = kept.unwrap_or_else(|| Arc::new(Toolset::new(id.clone(), settings.clone())));
        (id.clone(), toolset)
    };
    settings.iter().map(one).collect()
}

/// Those that were added, removed or replaced.
pub(super) fn changed(old: &Toolsets, new: &Toolsets) -> BTreeSet<ToolsetId> {
    let stays = |id: &&ToolsetId| match (old.get(*id), new.get(*id)) {
        (Some(old), Some(new)) => Arc::ptr_eq(old, new),
        _ => false,
    };
    old.keys().chain(new.keys()).filter(|id| !stays(id)).cloned().collect()
}
