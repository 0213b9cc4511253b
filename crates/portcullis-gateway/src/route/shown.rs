//! What of a list a caller is shown.
//!
//! An item is shown that is not held back and that policies let the caller see. A tool that is shown may name a view that
//! is not there for the caller: then it is shown without it, for a host would ask for the view in vain, and its name is
//! nobody's business (MCP Apps). Who may use the tool, its `visibility`, stays.

use std::sync::Arc;

use super::listing::{Item, Listing};
use crate::admit::Pass;
use crate::call::Caller;
use crate::gateway::Gateway;

/// What of one list is shown; the default is all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Which of its items are; `None` for all.
    items: Option<Arc<[bool]>>,
    /// Which of its tools are so without their view.
    viewless: Option<Arc<[bool]>>,
}

impl Shown {
    /// What of the list a caller is shown.
    pub(super) fn of(gateway: &Gateway, listing: &Listing, caller: &Caller, pass: Option<&Pass>) -> Self {
        // Where only shadows are cast, this logs them.
        let permitted = pass.and_then(|pass| listing.shown(pass, caller));
        let oversight = &gateway.env.oversight;
        let masks = [permitted, listing.trusted(oversight), listing.unstopped(oversight)];
        let items = masks
            .into_iter()
            .flatten()
            .reduce(|one, two| one.iter().zip(&*two).map(|(one, two)| *one && *two).collect());
        let viewless = pass.and_then(Pass::enforced).and_then(|pass| listing.viewless(pass));
        Self { items: items.filter(|items: &Arc<[bool]>| items.iter().any(|shown| !shown)), viewless }
    }

    /// Whether that is everything.
    pub(super) fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// Which items are shown; `None` for all.
    pub(crate) fn items(&self) -> Option<&[bool]> {
        self.items.as_deref()
    }

    /// Whether the item at a place is shown.
    pub(super) fn shows(&self, index: usize) -> bool {
        self.items.as_ref().is_none_or(|shown| shown.get(index).copied().unwrap_or(false))
    }

    /// The items that are shown; each with whether its view is not.
    pub(super) fn among<'a>(&'a self, listing: &'a Listing) -> impl Iterator<Item = (&'a Item, bool)> {
        let items = listing.items.iter().enumerate().filter(|(index, _)| self.shows(*index));
        items.map(|(index, item)| (item, self.is_viewless(index)))
    }

    /// Whether the tool at a place is shown without its view.
    pub(super) fn is_viewless(&self, index: usize) -> bool {
        self.viewless.as_ref().is_some_and(|viewless| viewless.get(index).copied().unwrap_or(false))
    }
}
