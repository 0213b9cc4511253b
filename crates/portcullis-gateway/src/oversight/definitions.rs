//! Every list is screened before anybody is shown it, and so are a server's instructions.
//!
//! A [`Pins`] goes with a list: the digest of each of its items. What is shown of it follows from them and from what was
//! decided by then, so a list need not be fetched again when something is approved. While the store does not answer,
//! nothing that has to be approved is shown, and what is trusted at first use is trusted for as long as this process lives.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwapOption;
use portcullis_mcp::json::Raw;
use portcullis_model::{ErrorKind, ServerId};
use portcullis_oversight::{Definition, DefinitionKind, Mode, Pin, Reason, Screened, visible};

use super::Oversight;
use crate::call::Refusal;
use crate::inspect::Suspect;
use crate::record::{self, Decision};
use crate::route::ListKind;
use crate::upstream::{Known, Surroundings};

/// So often a list is decided about again when others decide at the same time.
const TRIES: usize = 4;

/// What a list's items are known by.
#[derive(Default)]
pub(crate) struct Pins {
    /// In the order of the items, with whether somebody has to have looked at it; `None` for what is the gateway's own.
    pins: Option<Vec<(Pin, Suspect)>>,
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

impl Pins {
    pub(crate) fn of(pins: Vec<(Pin, Suspect)>) -> Self {
        Self { pins: Some(pins), shown: ArcSwapOption::empty() }
    }

    /// Those of some of the items, by their places.
    pub(crate) fn of_some(&self, places: &[usize]) -> Self {
        let pins = self.pins.as_ref().map(|pins| places.iter().map(|place| pins[*place]).collect());
        Self { pins, shown: ArcSwapOption::empty() }
    }

    /// Which items are shown; `None` for all.
    pub(crate) fn shown<'a>(
        &self,
        oversight: &Oversight,
        server: &ServerId,
        kind: ListKind,
        names: impl Iterator<Item = &'a str>,
    ) -> Option<Arc<[bool]>> {
        let pins = self.pins.as_ref()?;
        oversight.mode()?;
        let generation = oversight.register.generation();
        if let Some(shown) = &*self.shown.load()
            && shown.generation == generation
        {
            return shown.items.clone();
        }
        let items = names.zip(pins).map(|(name, (pin, Suspect(suspect)))| (name, *pin, *suspect));
        let items = oversight.register.shown(server.as_str(), definition_kind(kind), items);
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

    /// Decides about a list of a server.
    pub(crate) async fn screen(
        self: &Arc<Self>,
        env: &Surroundings,
        server: &ServerId,
        kind: DefinitionKind,
        listed: Vec<Definition>,
    ) {
        let Some(mode) = self.mode() else { return };
        if let Err(error) = self.register.ready().await {
            tracing::warn!(%error, server.id = %server, "cannot read which definitions are trusted");
        }
        if !self.register.is_open(server.as_str(), kind, &listed) {
            return;
        }
        let listed = Arc::new(listed);
        let _turn = self.turns.lock().await;
        for attempt in 0..TRIES {
            let (oversight, id, definitions) = (self.clone(), server.clone(), listed.clone());
            // Reading many texts takes its time, and this thread has connections to accept.
            let again = attempt > 0;
            let screen = move || oversight.register.screen(mode, id.as_str(), kind, &definitions, again);
            let Ok(screened) = tokio::task::spawn_blocking(screen).await else { return };
            self.tell(env, server, kind, &screened);
            match self.register.keep(screened).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, server.id = %server, "cannot keep what was decided about definitions");
                    return;
                }
            }
        }
    }

    /// Whether a server's instructions are passed on.
    pub(crate) async fn lets_instruct(
        self: &Arc<Self>,
        env: &Surroundings,
        server: &ServerId,
        text: &str,
        Suspect(suspect): Suspect,
    ) -> bool {
        if self.mode().is_none() {
            return true;
        }
        let definition = Definition { suspect, ..Definition::of_instructions(server.as_str(), text) };
        let (kind, name, pin) = (definition.kind, definition.name.clone(), definition.pin);
        let lets = || {
            let (register, server) = (&self.register, server.as_str());
            if suspect {
                register.approves(server, kind, &name, pin)
            } else {
                register.trusts(server, kind, &name, pin)
            }
        };
        if lets() {
            return true;
        }
        self.screen(env, server, kind, vec![definition]).await;
        lets()
    }

    /// How it stands with something that no list at hand has.
    pub(crate) fn unlisted(&self, server: &ServerId, kind: ListKind, name: &str) -> Standing {
        let Some(mode) = self.mode() else { return Standing::Trusted };
        match (self.register.knows(server.as_str(), definition_kind(kind), name), mode) {
            (Some(true), _) | (None, Mode::FirstUse) => Standing::Trusted,
            (Some(false), _) => Standing::Held,
            (None, Mode::Approve) => Standing::Unknown,
        }
    }

    /// What is said of something that is held back.
    pub(crate) fn quarantined(&self, server: &ServerId, kind: ListKind, name: &str) -> Refusal {
        let kind = definition_kind(kind);
        let reasons = self.register.reasons(server.as_str(), kind, name);
        let why = match reasons.first() {
            None => "nobody has approved it yet".to_owned(),
            // What it says would be read by the model that it is kept from.
            Some(Reason::Suspicious { .. }) => "its texts tell a model what to do".to_owned(),
            Some(reason) => reason.to_string(),
        };
        let name = visible(name);
        let message = format!(
            "the {kind} `{name:.128}` of server `{server}` is held back: {why}; an operator can look at it with \
             `portcullis definitions show`"
        );
        Refusal::new(ErrorKind::Quarantined, message)
    }
}

impl Oversight {
    /// Says what is held back from now on, and tells clients whose lists are shorter by it.
    fn tell(&self, env: &Surroundings, server: &ServerId, kind: DefinitionKind, screened: &Screened) {
        let evidence = self.evidence.as_ref();
        if let Some(evidence) = evidence.filter(|_| screened.trusted > 0) {
            evidence.definitions_trusted(server.as_str(), kind, screened.trusted);
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
                [("server", entry.server.as_str()), ("reason", why.first().copied().unwrap_or_default())];
            env.metrics.counter("portcullis_definitions_held_total", metric, &labels).add(1);
            if let Some(evidence) = evidence {
                evidence.definition_held(entry);
            }
            shorter.insert(entry.server.as_str());
        }
        for server in shorter.into_iter().filter_map(|server| ServerId::parse(server).ok()) {
            env.tell_of_lists(&server, Known::Seen);
        }
    }
}
