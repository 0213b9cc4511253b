//! The pages of one list, as they come from its server.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use portcullis_mcp::json::{Change as Edit, Raw};
use portcullis_mcp::message::code;
use portcullis_mcp::revision::Era;
use portcullis_model::ErrorKind;

use super::LONGEST_TTL;
use crate::call::{Outcome, Refusal};
use crate::inspect::Unread;
use crate::route::listing::{Freshness, ListKind};

/// Bounds on what a server may list.
const MAX_PAGES: usize = 1_000;
const MAX_ITEMS: usize = 100_000;

/// The pages of one list as they come in.
pub(super) struct Load {
    kind: ListKind,
    era: Era,
    list_ttl: Duration,
    pages: usize,
    cursor: Option<String>,
    seen: HashSet<String>,
    raws: Vec<Raw>,
    extra: Option<Raw>,
    ttl: Duration,
    public: bool,
    done: bool,
    pub(super) streamed: bool,
    bytes: usize,
}

impl Load {
    pub(super) fn new(kind: ListKind, era: Era, list_ttl: Duration) -> Self {
        Self {
            kind,
            era,
            list_ttl,
            pages: 0,
            cursor: None,
            seen: HashSet::new(),
            raws: Vec::new(),
            extra: None,
            ttl: LONGEST_TTL,
            public: true,
            done: false,
            streamed: false,
            bytes: 0,
        }
    }

    /// The params of the next page to ask for; `None` when the list is complete. An empty cursor is a cursor.
    #[allow(clippy::option_option, reason = "no more pages, and a first page without params")]
    pub(super) fn next_params(&mut self) -> Result<Option<Option<Raw>>, Refusal> {
        if self.done {
            return Ok(None);
        }
        if self.pages == MAX_PAGES || self.raws.len() > MAX_ITEMS {
            return Err(self.broken("lists without end"));
        }
        self.pages += 1;
        let cursor = self.cursor.as_deref().map(Raw::from_text);
        Ok(Some(
            cursor.map(|cursor| Raw::from_static("{}").with(&[("cursor", Edit::Set(cursor.as_bytes()))])),
        ))
    }

    pub(super) fn take(
        &mut self,
        server: &portcullis_model::ServerId,
        outcome: Outcome,
        limit: usize,
    ) -> Result<(), Refusal> {
        let result = match outcome {
            Outcome::Complete(payload) => payload.result,
            Outcome::Failed { error, .. } if error.code() == code::METHOD_NOT_FOUND && self.pages == 1 => {
                self.done = true;
                return Ok(());
            }
            Outcome::Failed { error, .. } => {
                let message =
                    format!("server `{server}` refused {}: {:.200}", self.kind.method(), error.message());
                return Err(Refusal::new(ErrorKind::UpstreamProtocol, message));
            }
            Outcome::Refused(refusal) => return Err(refusal),
            Outcome::InputRequired(_) | Outcome::Task(_) => return Err(self.broken("wants input for a list")),
        };
        let items = result
            .find(self.kind.member())
            .ok_or_else(|| self.broken("answered a list without its items"))?;
        // All pages together are bounded as one answer is: what is kept of a page keeps the whole page.
        self.bytes += result.as_bytes().len();
        if self.bytes > limit {
            return Err(self.broken("lists more than fits into limits.response_bytes"));
        }
        self.raws.extend(items.elements());
        self.ttl =
            self.ttl.min(Duration::from_millis(result.find("ttlMs").and_then(|ttl| ttl.u64()).unwrap_or(0)));
        self.public &= result.find_string("cacheScope").as_deref() == Some("public");
        self.cursor = result.find_string("nextCursor");
        self.done = self.cursor.is_none();
        if let Some(cursor) = &self.cursor
            && !self.seen.insert(cursor.clone())
        {
            return Err(self.broken("gave the same cursor twice"));
        }
        if self.extra.is_none() {
            let removed = ["nextCursor", "ttlMs", "cacheScope", "resultType", self.kind.member()];
            self.extra = Some(result.with(&removed.map(|key| (key, Edit::Remove))));
        }
        Ok(())
    }

    fn broken(&self, why: &str) -> Refusal {
        Refusal::new(ErrorKind::UpstreamProtocol, format!("a server {why} ({})", self.kind.method()))
    }

    pub(super) fn finish(self) -> (Unread<Vec<Raw>>, Unread<Raw>, Freshness) {
        let now = Instant::now();
        let asked = self.extra.is_some();
        let freshness = match self.era {
            Era::Modern if asked => Freshness {
                fetched: now,
                expires: now + self.ttl,
                promised: now + self.ttl,
                hinted: true,
                public: self.public,
            },
            // Nothing was promised. A list that is known to be empty is one of those.
            _ => Freshness::unhinted(now, self.list_ttl),
        };
        let extra = self.extra.unwrap_or_else(|| Raw::from_static("{}"));
        (Unread::new(self.raws), Unread::new(extra), freshness)
    }
}
