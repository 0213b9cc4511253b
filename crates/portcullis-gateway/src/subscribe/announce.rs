//! Changes of lists, on their way to those who listen.
//!
//! Servers tend to announce several changes in a row, and one reload changes many servers: what comes within a moment is
//! told as one. The catalogue forgets its lists at once, so whoever is told and asks again gets the new ones.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use portcullis_mcp::subscription::Lists;
use portcullis_model::ServerId;
use tokio::runtime::Handle;

use super::Subscribers;
use crate::admit::Pass;
use crate::call::Endpoint;

/// From the first change to the telling.
const MOMENT: Duration = Duration::from_millis(250);

/// What has changed and was not told yet.
#[derive(Debug, Default)]
pub(super) struct Announced {
    changed: BTreeMap<ServerId, Lists>,
}

impl Announced {
    /// Notes a change; says whether it is the first, so that somebody has to come back for it.
    fn note(&mut self, server: ServerId, lists: Lists) -> bool {
        let first = self.changed.is_empty();
        *self.changed.entry(server).or_default() |= lists;
        first
    }

    /// What each endpoint is told, and of which server.
    fn take(&mut self) -> Vec<(Endpoint, ServerId, Lists)> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        let told = changed.flat_map(|(server, lists)| {
            [Endpoint::Aggregate, Endpoint::Server(server.clone())]
                .map(|endpoint| (endpoint, server.clone(), lists))
        });
        told.collect()
    }
}

impl Subscribers {
    /// Tells whoever listens, in a moment.
    pub(crate) fn announce(self: &Arc<Self>, control: &Handle, server: ServerId, lists: Lists) {
        // Who comes later has nothing that this could be news to.
        if !self.listen_to(&server) {
            return;
        }
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        if announced.note(server, lists) {
            let subscribers = self.clone();
            control.spawn(async move {
                tokio::time::sleep(MOMENT).await;
                subscribers.tell();
            });
        }
    }

    fn tell(&self) {
        let told = self.announced.lock().unwrap_or_else(PoisonError::into_inner).take();
        for (endpoint, server, lists) in told {
            let there: Vec<_> = self
                .lock()
                .get(&endpoint)
                .into_iter()
                .flatten()
                .filter_map(|(_, one)| Weak::upgrade(one))
                .collect();
            for subscriber in there {
                let pass = self.gate.pass(&subscriber.caller());
                let pass = pass.as_ref().and_then(Pass::enforced);
                if pass.is_none_or(|pass| pass.sees(server.as_str())) {
                    subscriber.mailbox.put_lists(lists);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_a_moment_are_one() {
        let server = |name: &str| ServerId::parse(name).unwrap();
        let mut announced = Announced::default();
        assert!(announced.note(server("b"), Lists::TOOLS));
        assert!(!announced.note(server("b"), Lists::TOOLS));
        assert!(!announced.note(server("a"), Lists::PROMPTS));
        let expected = [
            (Endpoint::Aggregate, server("a"), Lists::PROMPTS),
            (Endpoint::Server(server("a")), server("a"), Lists::PROMPTS),
            (Endpoint::Aggregate, server("b"), Lists::TOOLS),
            (Endpoint::Server(server("b")), server("b"), Lists::TOOLS),
        ];
        assert_eq!(announced.take(), expected);
        assert!(announced.note(server("b"), Lists::TOOLS), "the next moment begins anew");
    }
}
