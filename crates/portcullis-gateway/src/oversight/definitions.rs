//! Every list is screened before anybody is shown it, and so are a server's instructions.
//!
//! A [`Pins`] goes with a list: the digest of each of its items. What is shown of it follows from them and from what was
//! decided by then, so a list need not be fetched again when something is approved. While the store does not answer,
//! nothing that has to be approved is shown, and what is trusted at first use is trusted for as long as this process lives.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwapOption;
use portcullis_config::{self as config, Offers, Registered};
use portcullis_mcp::json::Raw;
use portcullis_model::{ErrorKind, ServerId};
use portcullis_oversight::{
    Definition, DefinitionKind, Mode, Offered, Pin, Reason, Screened, scope, server_of, visible,
};

use super::Oversight;
use crate::call::Refusal;
use crate::inspect::Suspect;
use crate::record::{self, Decision};
use crate::route::ListKind;
use crate::upstream::{Known, Server, Surroundings};

/// So often a list is decided about again when others decide at the same time.
const TRIES: usize = 4;

/// What a list's items are known by.
pub(crate) struct Pins {
    /// In the order of the items, with whether somebody has to have looked at it; `None` for what is the gateway's own.
    all: Option<Vec<(Pin, Suspect)>>,
    /// Whose they are: a server's, or one version's of it.
    scope: Arc<str>,
    shown: ArcSwapOption<Shown>,
}

struct Shown {
    generation: u64,
    items: Option<Arc<[bool]>>,
}

/// Whether something is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Trusted,
    Held,
    /// No list has it.
    Unknown,
}

impl Default for Pins {
    fn default() -> Self {
        Self { all: None, scope: "".into(), shown: ArcSwapOption::empty() }
    }
}

impl Pins {
    pub(crate) fn of(scope: &Arc<str>, pins: Vec<(Pin, Suspect)>) -> Self {
        Self { all: Some(pins), scope: scope.clone(), ..Self::default() }
    }

    /// Those of some of the items, by their places.
    pub(crate) fn of_some(&self, places: &[usize]) -> Self {
        let all = self.all.as_ref().map(|all| places.iter().map(|place| all[*place]).collect());
        Self { all, scope: self.scope.clone(), ..Self::default() }
    }

    /// Whether others are the same.
    pub(crate) fn are(&self, other: &Self) -> bool {
        (&self.all, &self.scope) == (&other.all, &other.scope)
    }

    /// What one of the items is known by.
    pub(crate) fn at(&self, place: usize) -> Option<Pin> {
        self.all.as_ref()?.get(place).map(|(pin, _)| *pin)
    }

    /// Which items are shown; `None` for all.
    pub(crate) fn shown<'a>(
        &self,
        oversight: &Oversight,
        kind: ListKind,
        names: impl Iterator<Item = &'a str>,
    ) -> Option<Arc<[bool]>> {
        let pins = self.all.as_ref()?;
        oversight.mode()?;
        let generation = oversight.register.generation();
        if let Some(shown) = &*self.shown.load()
            && shown.generation == generation
        {
            return shown.items.clone();
        }
        let items = names.zip(pins).map(|(name, (pin, Suspect(suspect)))| (name, *pin, *suspect));
        let items = oversight.register.shown(&self.scope, definition_kind(kind), items);
        self.shown.store(Some(Arc::new(Shown { generation, items: items.clone() })));
        items
    }
}

/// What is listed, as it came from the server.
pub(crate) fn definitions(server: &ServerId, kind: ListKind, raws: &[Raw]) -> HashMap<String, Definition> {
    let mut definitions = HashMap::with_capacity(raws.len());
    for raw in raws {
        if let Some(key) = raw.find_string(kind.key()) {
            let of = || Definition::of_item(server.as_str(), definition_kind(kind), &key, raw);
            // Of two with one name the first counts, as in the list.
            definitions.entry(key.clone()).or_insert_with(of);
        }
    }
    definitions
}

pub(crate) fn definition_kind(kind: ListKind) -> DefinitionKind {
    match kind {
        ListKind::Tools => DefinitionKind::Tool,
        ListKind::Prompts => DefinitionKind::Prompt,
        ListKind::Resources => DefinitionKind::Resource,
        ListKind::Templates => DefinitionKind::Template,
    }
}

impl Oversight {
    /// What versions of servers offered when they were approved.
    pub(crate) fn expect(&self, registered: &BTreeMap<ServerId, Registered>) {
        let offered = |offers: &Offers| -> Arc<Offered> {
            let of = |it: &config::Offered| {
                Some(((DefinitionKind::parse(&it.kind)?, it.name.clone()), it.digest.parse().ok()?))
            };
            Arc::new(offers.iter().filter_map(of).collect())
        };
        let versions = registered.iter().flat_map(|(id, it)| {
            let next = it.next.as_ref().map(|next| (&next.version, &next.offers));
            let both = next.into_iter().chain([(&it.version, &it.offers)]);
            both.map(move |(version, offers)| (scope(id.as_str(), Some(version.as_str())), offered(offers)))
        });
        self.register.expect(versions.collect());
    }

    /// Whether definitions are pinned.
    pub(crate) fn pins(&self) -> bool {
        self.mode().is_some()
    }

    fn mode(&self) -> Option<Mode> {
        match self.mode.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Mode::FirstUse),
            _ => Some(Mode::Approve),
        }
    }

    /// Decides about a list of a server, or of one version of it.
    pub(crate) async fn screen(
        self: &Arc<Self>,
        env: &Surroundings,
        scope: &Arc<str>,
        kind: DefinitionKind,
        listed: Vec<Definition>,
    ) {
        let Some(mode) = self.mode() else { return };
        if let Err(error) = self.register.ready().await {
            tracing::warn!(%error, server.id = server_of(scope), "cannot read which definitions are trusted");
        }
        if !self.register.is_open(scope, kind, &listed) {
            return;
        }
        let listed = Arc::new(listed);
        let _turn = self.turns.lock().await;
        for attempt in 0..TRIES {
            let (oversight, whose, definitions) = (self.clone(), scope.clone(), listed.clone());
            // Reading many texts takes its time, and this thread has connections to accept.
            let again = attempt > 0;
            let screen = move || oversight.register.screen(mode, &whose, kind, &definitions, again);
            let Ok(screened) = tokio::task::spawn_blocking(screen).await else { return };
            self.tell(env, scope, kind, &screened);
            match self.register.keep(screened).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, server.id = server_of(scope), "cannot keep what was decided about definitions");
                    return;
                }
            }
        }
    }

    /// Whether a server's instructions are passed on.
    pub(crate) async fn lets_instruct(
        self: &Arc<Self>,
        env: &Surroundings,
        server: &Server,
        text: &str,
        Suspect(suspect): Suspect,
    ) -> bool {
        if self.mode().is_none() {
            return true;
        }
        let definition = Definition { suspect, ..Definition::of_instructions(server.id().as_str(), text) };
        let (kind, name, pin) = (definition.kind, definition.name.clone(), definition.pin);
        let lets = || {
            let (register, server) = (&self.register, &**server.scope());
            if suspect {
                register.approves(server, kind, &name, pin)
            } else {
                register.trusts(server, kind, &name, pin)
            }
        };
        if lets() {
            return true;
        }
        self.screen(env, server.scope(), kind, vec![definition]).await;
        lets()
    }

    /// How it stands with something that no list at hand has.
    pub(crate) fn unlisted(&self, server: &Server, kind: ListKind, name: &str) -> Standing {
        let Some(mode) = self.mode() else { return Standing::Trusted };
        match (self.register.knows(server.scope(), definition_kind(kind), name), mode) {
            (Some(true), _) | (None, Mode::FirstUse) => Standing::Trusted,
            (Some(false), _) => Standing::Held,
            (None, Mode::Approve) => Standing::Unknown,
        }
    }

    /// What is said of something that is held back.
    pub(crate) fn quarantined(&self, server: &Server, kind: ListKind, name: &str) -> Refusal {
        let kind = definition_kind(kind);
        let reasons = self.register.reasons(server.scope(), kind, name);
        let server = server.id();
        let why = match reasons.first() {
            None => "nobody has approved it yet".to_owned(),
            // What it says would be read by the model that it is kept from.
            Some(Reason::Suspicious { .. }) => "its texts tell a model what to do".to_owned(),
            Some(reason) => reason.to_string(),
        };
        let name = visible(name);
        let message = format!(
            "the {kind} `{name:.128}` of server `{server}` is held back: {why}; an operator can look at it with \
             `portcullis definitions show`{}",
            if self.in_reach { "" } else { ", which needs a `store` that is a file or a database" }
        );
        Refusal::new(ErrorKind::Quarantined, message)
    }
}

impl Oversight {
    /// Says what is held back from now on, and tells clients whose lists are shorter by it.
    fn tell(&self, env: &Surroundings, scope: &str, kind: DefinitionKind, screened: &Screened) {
        let evidence = self.evidence.as_ref();
        if let Some(evidence) = evidence.filter(|_| screened.trusted > 0) {
            evidence.definitions_trusted(scope, kind, screened.trusted);
        }
        let mut shorter = std::collections::BTreeSet::new();
        for entry in &screened.held {
            let Some(held) = &entry.held else { continue };
            let why: Vec<_> = held.reasons.iter().map(portcullis_oversight::Reason::as_str).collect();
            record::decided(&Decision {
                what: "definition held back",
                server: &entry.server,
                kind: entry.kind.as_str(),
                name: &entry.name,
                pin: Some(held.pin),
                principal: None,
                by: None,
                why: &why.join(", "),
            });
            let metric = "Definitions held back, by server and first reason.";
            let labels =
                [("server", server_of(&entry.server)), ("reason", why.first().copied().unwrap_or_default())];
            env.metrics.counter("portcullis_definitions_held_total", metric, &labels).add(1);
            if let Some(evidence) = evidence {
                evidence.definition_held(entry);
            }
            shorter.insert(server_of(&entry.server));
        }
        for server in shorter.into_iter().filter_map(|server| ServerId::parse(server).ok()) {
            env.tell_of_lists(&server, Known::Seen);
        }
    }
}
