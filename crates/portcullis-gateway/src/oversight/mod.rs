//! What people decided about tools, enforced.
//!
//! `portcullis-oversight` decides; here it is asked at the places where things are listed, called and answered: `definitions`
//! screens every list before anybody is shown it. What somebody decides elsewhere (the command line, another gateway
//! that shares the store) is looked for: a few times a second, whether something was stopped, and at its own pace, what was said
//! about calls that wait.

mod asking;
mod conversation;
mod definitions;
mod halts;
mod leave;
mod results;
mod waiting;
mod webhook;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use portcullis_config::{DefinitionsMode, Settings, Store};
use portcullis_mcp::method::Method;
use portcullis_model::{Records, ServerId, Unavailable};
use portcullis_oversight::flow::Windows;
use portcullis_oversight::{Approval, Halt, Halts, Register, Shelf, Suspicion};
use tokio::sync::Mutex;

use crate::call::Call;
use crate::gateway::Gateway;
use crate::inspect::{Definitions, Guard};
use crate::record::{self, Evidence};
use crate::upstream::{Change, Known};

use conversation::Begun;
use halts::{Switch, Switched};
use leave::Rules;
use waiting::Waiting;

pub(crate) use conversation::{handing, has_read_nothing};
pub(crate) use definitions::{Pins, Standing, definition_kind, definitions};
pub use halts::halts;
pub(crate) use leave::{Leave, can_wait, leave, may_subscribe};
pub(crate) use results::{Recalled, hold, recall};

/// How often it is looked whether anything was decided elsewhere.
const LOOK: Duration = Duration::from_millis(250);
/// The same for calls that wait, which concern nobody but the evidence log.
const LOOK_AT_APPROVALS: Duration = Duration::from_secs(1);
/// How often it is looked for anything while the store does not answer.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Gives the guard that is in force.
type Guarding = Box<dyn Fn() -> Option<Arc<Guard>> + Send + Sync>;

/// What was decided.
pub(crate) struct Oversight {
    /// What reads definitions for orders to a model.
    guard: Arc<OnceLock<Guarding>>,
    register: Register,
    /// What is decided about definitions is written down before the next is.
    turns: Mutex<()>,
    switch: Switch,
    /// What calls are held against before they are made, if against anything.
    rules: ArcSwapOption<Rules>,
    windows: Windows,
    records: Arc<dyn Records>,
    /// Seals the arguments of calls that wait.
    key: Option<[u8; 32]>,
    /// Results that wait for an approval.
    shelf: Shelf,
    /// What people decide is written down there, where anything is.
    evidence: Option<Arc<Evidence>>,
    waiting: Waiting,
    begun: Begun,
    /// Whether commands reach what is kept.
    in_reach: bool,
    mode: AtomicU8,
}

impl Oversight {
    pub(crate) fn new(
        records: Arc<dyn Records>,
        settings: &Settings,
        evidence: Option<Arc<Evidence>>,
    ) -> Self {
        let guard = Arc::new(OnceLock::<Guarding>::new());
        let reads = guard.clone();
        let suspicion: Suspicion = Arc::new(move |server, definition| {
            let guard = reads.get()?;
            Definitions::new(guard()?, &ServerId::parse(server).ok()?, true).suspicion(definition)
        });
        let register = Register::new(records.clone(), Some(suspicion));
        let oversight = Self {
            guard,
            register,
            turns: Mutex::new(()),
            switch: Switch::new(),
            rules: ArcSwapOption::empty(),
            windows: Windows::default(),
            records,
            in_reach: settings.store != Store::Memory,
            key: settings.vault_key,
            shelf: Shelf::new(settings.vault_key),
            evidence,
            waiting: Waiting::default(),
            begun: Begun::default(),
            mode: AtomicU8::new(0),
        };
        oversight.set(settings);
        oversight
    }

    /// Definitions are read by this guard from now on. Said once.
    pub(crate) fn read_with(&self, guard: impl Fn() -> Option<Arc<Guard>> + Send + Sync + 'static) {
        let _ = self.guard.set(Box::new(guard));
    }

    /// Takes up a configuration; whether lists have to be looked at anew, and of which servers other things are listed now.
    pub(crate) fn set(&self, settings: &Settings) -> (bool, Vec<ServerId>) {
        let switched = self.switch.configure(halts(settings));
        let told = |switched: &Switched| switched.told(self.evidence.as_deref(), &switched.halt.by);
        let servers = switched.iter().filter_map(told).collect();
        self.rules.store(Rules::of(settings).map(Arc::new));
        let mode = match settings.definitions {
            DefinitionsMode::Off => 0,
            DefinitionsMode::TrustFirstUse => 1,
            DefinitionsMode::Approve => 2,
        };
        (self.mode.swap(mode, Ordering::AcqRel) != mode, servers)
    }
}

impl Oversight {
    /// Takes up what was decided elsewhere; returns the servers of which other things are trusted now.
    async fn look(&self) -> Result<BTreeSet<String>, Unavailable> {
        let mut servers = BTreeSet::new();
        for switched in self.switch.command(Halts::load(&*self.records).await?) {
            let by = if switched.stopped {
                switched.halt.by.clone()
            } else {
                // Who did it is good to know, and it is done all the same.
                let by = Halt::lifted_by(&*self.records, &switched.halt.target).await;
                by.ok().flatten().unwrap_or_default()
            };
            servers.extend(switched.told(self.evidence.as_deref(), &by).map(|server| server.to_string()));
        }
        // Halts are not to wait for a long list.
        let Ok(_turn) = self.turns.try_lock() else { return Ok(servers) };
        servers.extend(self.register.refresh().await?);
        for decided in self.register.take_decided() {
            record::ruled(self.evidence.as_deref(), &decided);
        }
        Ok(servers)
    }

    /// Somebody is asked about a call, or its result.
    fn asked(&self, approval: &Approval, call: &Call) {
        if self.evidence.is_some() {
            self.waiting.asked(approval, call.record.event());
        }
    }

    /// It is seen what was decided; `over` when that is used up.
    fn seen(&self, approval: &Approval, over: bool) {
        if let Some(evidence) = &self.evidence {
            self.waiting.seen(evidence, approval, over);
        }
    }
}

impl Gateway {
    /// Reads what was decided before this process began: what was halted is not to be there for a moment.
    pub async fn recall_decisions(&self) {
        let oversight = &self.env.oversight;
        let recalled = async {
            oversight.look().await?;
            oversight.register.ready().await
        };
        if let Err(error) = recalled.await {
            tracing::error!(%error, "cannot read what was halted and which definitions are trusted");
        }
    }

    /// Looks, for as long as the gateway serves, whether anything was decided elsewhere.
    pub async fn look_after_decisions(self: Arc<Self>) {
        // What was stopped waits for nothing else.
        tokio::join!(self.look_after_halts(), self.look_after_approvals());
    }

    async fn look_after_halts(&self) {
        let oversight = &self.env.oversight;
        let mut pause = LOOK;
        while !self.draining.is_cancelled() {
            // Nobody else writes there.
            if self.settings.load().store == Store::Memory {
                tokio::time::sleep(LOOK_AGAIN).await;
                continue;
            }
            match oversight.look().await {
                Ok(servers) => {
                    pause = LOOK;
                    self.tell_of_lists(&servers);
                }
                Err(error) => {
                    if pause == LOOK {
                        tracing::warn!(%error, "cannot look what was decided elsewhere");
                    }
                    pause = LOOK_AGAIN;
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// For the evidence log alone: whoever makes a call looks for itself.
    async fn look_after_approvals(&self) {
        let oversight = &self.env.oversight;
        let Some(evidence) = &oversight.evidence else { return };
        while !self.draining.is_cancelled() {
            if let Err(error) = oversight.waiting.look(evidence, &*oversight.records).await {
                tracing::debug!(%error, "cannot look what was said about calls that wait");
            }
            tokio::time::sleep(LOOK_AT_APPROVALS).await;
        }
    }

    /// Other things of these servers are shown now.
    fn tell_of_lists(&self, servers: &BTreeSet<String>) {
        for server in servers.iter().filter_map(|server| ServerId::parse(server).ok()) {
            self.env.tell_of_lists(&server, Known::Seen);
        }
    }
}

/// The notifications that say that a list has changed.
pub(crate) const LISTS_CHANGED: [Method; 3] =
    [Method::ToolsListChanged, Method::PromptsListChanged, Method::ResourcesListChanged];

impl crate::upstream::Surroundings {
    /// All lists of a server have changed.
    pub(crate) fn tell_of_lists(&self, server: &ServerId, known: Known) {
        for method in LISTS_CHANGED {
            self.announce(Change { server: server.clone(), owner: None, method, known, within: None });
        }
    }
}
