//! Which of a server's conversations a call belongs to.

use std::sync::Arc;

use portcullis_config::{EraPin, Sharing};
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::revision::Era;
use portcullis_model::ErrorKind;

use super::Server;
use crate::call::Refusal;
use crate::upstream::Within;
use crate::upstream::connection::Connection;
use crate::upstream::opening::Handshake;
use crate::upstream::slots::{Full, Slot, Wanted};

impl Server {
    /// Which of a server's two conversations serves clients of `era`: one, where it speaks only one era; `None` as long as
    /// nobody has found out what it speaks.
    pub(in crate::upstream) fn place(&self, era: Era) -> Option<usize> {
        if self.http.is_none() {
            return Some(0);
        }
        let verdict = self.verdict.load();
        let verdict = verdict.as_ref()?;
        Some(match (&verdict.modern, verdict.legacy) {
            (None, _) => 0,
            (Some(_), Handshake::No) => 1,
            (Some(_), _) => usize::from(era == Era::Modern),
        })
    }

    /// What is declared of `caps` in the conversation for a client of `era`: a modern server is told with every call.
    /// `None` as long as nobody has found out what a child speaks.
    pub(super) fn declared(&self, era: Era, caps: ClientCaps) -> Option<ClientCaps> {
        if caps == ClientCaps::NONE {
            return Some(caps);
        }
        let modern = match (&self.http, self.settings.era) {
            (Some(_), _) => self.place(era)? == 1,
            (None, EraPin::Legacy) => false,
            (None, EraPin::Modern) => true,
            (None, EraPin::Auto) => self.about.load().as_ref()?.revision.era() == Era::Modern,
        };
        Some(if modern { ClientCaps::NONE } else { caps })
    }

    /// Whether what was heard within one conversation is of what the gateway itself asks for clients of `era` with these
    /// capabilities.
    pub(crate) fn is_within(
        &self,
        within: &Within,
        conversation: &Arc<str>,
        era: Era,
        caps: ClientCaps,
    ) -> bool {
        let same = self.settings.sharing == Sharing::Shared || within.conversation == *conversation;
        let declared = self.declared(era, caps.without(ClientCaps::TASKS));
        same && declared.is_none_or(|declared| declared == within.declared)
    }

    pub(super) fn slot(
        self: &Arc<Self>,
        place: usize,
        conversation: &Arc<str>,
        caps: ClientCaps,
        lane: u8,
    ) -> Result<Arc<Slot>, Refusal> {
        let found = self.conversations.find(&self.wanted(place, conversation, caps, lane));
        let found = found.map_err(|full| {
            let message = match full {
                Full::Owner => "is in use by clients with other capabilities, as many as may be; try again",
                Full::All => {
                    "has as many conversations as it may (max_instances, for a child), all in use; try again"
                }
            };
            Refusal::new(ErrorKind::Overloaded, format!("server `{}` {message}", self.id))
        })?;
        if let Some(evicted) = found.evicted {
            self.env.control.spawn(async move { evicted.close().await });
        }
        Ok(found.slot)
    }

    fn wanted(&self, place: usize, conversation: &Arc<str>, caps: ClientCaps, lane: u8) -> Wanted {
        let owner = match self.settings.sharing {
            Sharing::Shared => None,
            Sharing::Session => Some(conversation.clone()),
        };
        // What nobody can be asked in, all calls share.
        let lane = if caps == ClientCaps::NONE { 0 } else { lane };
        Wanted { owner, place, caps, lane }
    }

    /// Whether what the gateway asks for clients of `era` with these capabilities is asked on this connection.
    pub(crate) fn asks_on(
        &self,
        connection: &Arc<Connection>,
        conversation: &Arc<str>,
        era: Era,
        caps: ClientCaps,
    ) -> bool {
        let caps = caps.without(ClientCaps::TASKS);
        let (Some(place), Some(caps)) = (self.place(era), self.declared(era, caps)) else { return false };
        self.conversations.holds(&self.wanted(place, conversation, caps, 0), connection)
    }
}
