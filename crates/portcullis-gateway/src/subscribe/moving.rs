//! Whoever listens and has another version of a server than before.
//!
//! Nothing of the server need have changed for them to see other lists. What they were told of resources is subscribed to anew at
//! the version that they have now: a stream ends, so that its client opens another; a session is subscribed again.

use std::sync::Arc;

use portcullis_mcp::revision::Era;
use portcullis_mcp::subscription::Lists;
use portcullis_model::ServerId;

use super::{Subscriber, Subscribers, accept};
use crate::gateway::Gateway;

/// Who listens to servers whose versions are about to change, and what they have.
pub(crate) struct Moving(Vec<(Arc<Subscriber>, ServerId, Option<Arc<str>>)>);

impl Subscribers {
    /// What those have who listen to these servers.
    pub(crate) fn before<'a>(
        &self,
        gateway: &Gateway,
        servers: impl IntoIterator<Item = &'a ServerId>,
    ) -> Moving {
        let all = servers.into_iter().flat_map(|server| {
            let listening = self.listeners_of(server).into_iter();
            listening.map(move |it| {
                let version = version(gateway, &it, server);
                (it, server.clone(), version)
            })
        });
        Moving(all.collect())
    }

    /// Tells those who have something else now.
    pub(crate) fn after(self: Arc<Self>, gateway: &Arc<Gateway>, Moving(before): Moving) {
        let moved: Vec<_> = before
            .into_iter()
            .filter(|(it, server, before)| version(gateway, it, server) != *before)
            .map(|(it, server, _)| (it, server))
            .collect();
        if moved.is_empty() {
            return;
        }
        let gateway = gateway.clone();
        gateway.env.control.clone().spawn(async move {
            let lists = Lists::TOOLS | Lists::PROMPTS | Lists::RESOURCES;
            for (subscriber, server) in moved {
                accept::follow(&gateway, &subscriber);
                self.subscribe_again(&gateway, &subscriber, &server).await;
                let wanted = subscriber.mailbox.wanted_of(lists);
                if !wanted.is_empty() {
                    self.tell_some(&gateway, &server, vec![(subscriber, wanted)]).await;
                }
            }
        });
    }

    async fn subscribe_again(&self, gateway: &Arc<Gateway>, subscriber: &Arc<Subscriber>, server: &ServerId) {
        let lost = subscriber.release_where(|held| held.server == *server);
        if lost.is_empty() {
            return;
        }
        if subscriber.caller().revision.era() == Era::Modern {
            subscriber.ended.cancel();
            return;
        }
        for uri in lost {
            if let Err(refusal) = accept::subscribe(gateway, subscriber, &uri).await {
                tracing::info!(why = refusal.message, "a subscription ended with its version of the server");
            }
        }
    }
}

fn version(gateway: &Gateway, subscriber: &Subscriber, server: &ServerId) -> Option<Arc<str>> {
    gateway.servers.load().find(server.as_str())?.version_seen_by(&subscriber.caller())
}
