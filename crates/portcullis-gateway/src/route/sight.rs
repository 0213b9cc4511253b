//! What a caller sees of a server's lists, in so few bytes that it can be kept and compared.
//!
//! Whoever is told that a list has changed is told of what they see of it: that something which is hidden from them has
//! changed is nobody's business (2026-07-28 says that lists are as the caller may see them).

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher as _};
use std::sync::Arc;

use futures_util::future::join_all;
use portcullis_config::Discovery;
use portcullis_mcp::subscription::Lists;
use portcullis_model::ServerId;

use super::catalogue::{Catalogue, Need, Variant};
use super::listing::{ListKind, Listing};
use super::shown::Shown;
use super::toolset::Toolset;
use crate::admit::Pass;
use crate::call::{Caller, Endpoint};
use crate::discovery;
use crate::gateway::Gateway;
use crate::upstream::ServerState;

/// What a caller sees of one list of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    /// A digest of the items that are shown.
    shown: u64,
    /// Nothing is hidden from the caller.
    whole: bool,
}

/// What a caller sees of each list of one server, as [`ListKind::ALL`] has them.
pub(crate) type Sights = [Sight; ListKind::ALL.len()];

impl Default for Sight {
    /// An empty list.
    fn default() -> Self {
        Self { shown: digest(std::iter::empty()), whole: true }
    }
}

impl Sight {
    /// A list of which nothing is there for the caller.
    fn nothing() -> Self {
        Self { whole: false, ..Self::default() }
    }

    fn of(listing: &Listing, shown: &Shown, whole: bool) -> Self {
        let items = shown.among(listing).map(|(item, viewless)| (item.print(), viewless));
        Self { shown: digest(items), whole: whole && shown.is_all() }
    }

    /// Whether the caller is told that the list has changed: what is shown differs, or nothing is hidden. Then the server knows
    /// best whether it has.
    pub(crate) fn is_news_to(self, before: Self) -> bool {
        self.shown != before.shown || (self.whole && before.whole)
    }
}

fn digest(items: impl Iterator<Item = (u64, bool)>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for item in items {
        item.hash(&mut hasher);
    }
    hasher.finish()
}

/// Whether callers at an endpoint may be shown less of a server than it lists.
pub(crate) fn may_hide(gateway: &Gateway, endpoint: &Endpoint, caller: &Caller) -> bool {
    matches!(endpoint, Endpoint::Toolset(_))
        || gateway.gate.pass(caller).as_ref().and_then(Pass::enforced).is_some()
        || gateway.env.oversight.may_hide()
        || discovery::offered(gateway, endpoint, caller) == Discovery::Instead
}

/// What a caller sees at an endpoint of a server's lists, as they were last fetched. Nothing is asked.
pub(crate) fn sights(gateway: &Gateway, endpoint: &Endpoint, caller: &Caller, server: &ServerId) -> Sights {
    let pass = gateway.gate.pass(caller);
    let enforced = pass.as_ref().and_then(Pass::enforced);
    let servers = gateway.servers.load();
    let Some(catalogue) = servers.find(server.as_str()) else { return Sights::default() };
    let is_there = enforced.is_none_or(|pass| pass.sees(server.as_str()));
    let toolset = servers.toolset(endpoint, enforced);
    let (true, Ok(toolset)) = (is_there, toolset) else { return [Sight::nothing(); _] };
    let catalogue = catalogue.of(caller);
    ListKind::ALL.map(|kind| sight(gateway, (endpoint, toolset), caller, &catalogue, kind, pass.as_ref()))
}

fn sight(
    gateway: &Gateway,
    (endpoint, toolset): (&Endpoint, Option<&Arc<Toolset>>),
    caller: &Caller,
    catalogue: &Catalogue,
    kind: ListKind,
    pass: Option<&Pass>,
) -> Sight {
    let is_drawn = toolset.is_none_or(|toolset| toolset.draws(kind, catalogue.server.id().as_str()));
    let is_searched =
        kind == ListKind::Tools && discovery::offered(gateway, endpoint, caller) == Discovery::Instead;
    if !is_drawn || is_searched {
        return Sight::nothing();
    }
    let Some(listing) = catalogue.peek(kind, Variant::of(caller), Need::Known) else {
        return Sight::default();
    };
    let listing = match toolset {
        Some(toolset) => listing.selected(toolset, &catalogue.server),
        None => listing,
    };
    Sight::of(&listing, &Shown::of(gateway, &listing, caller, pass), toolset.is_none())
}

/// Fetches what is kept of these lists of a server and is out of date, once for all `callers` who are shown the same variant. A
/// server that is not reached has nothing new.
pub(crate) async fn freshen(gateway: &Gateway, server: &ServerId, lists: Lists, callers: &[Arc<Caller>]) {
    let Some(catalogue) = gateway.servers.load().find(server.as_str()).cloned() else { return };
    let mut asked: Vec<(Arc<Catalogue>, Variant)> = Vec::new();
    for caller in callers {
        let (own, variant) = (catalogue.of(caller), Variant::of(caller));
        let known = |(other, of): &(Arc<Catalogue>, Variant)| Arc::ptr_eq(other, &own) && *of == variant;
        if own.server.state() == ServerState::Up && !asked.iter().any(known) {
            asked.push((own, variant));
        }
    }
    let kinds = ListKind::ALL.into_iter().filter(|kind| lists.has(kind.lists()));
    let kinds: Vec<_> = kinds.collect();
    let fetches = asked.iter().flat_map(|(own, variant)| {
        kinds.iter().map(async move |kind| {
            let need = Need::Fresh(own.server.settings().call_timeout);
            if let Err(refusal) = own.list(*kind, *variant, need).await {
                let (server, list) = (own.server.id(), kind.method());
                tracing::debug!(server.id = %server, why = refusal.message, "cannot see what has changed in {list}");
            }
        })
    });
    join_all(fetches).await;
}
