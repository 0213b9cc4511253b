//! What people decided about tools, enforced.
//!
//! `portcullis-oversight` decides; here it is asked at the places where things are listed, called and answered: `definitions`
//! screens every list before anybody is shown it. What somebody decides elsewhere (the command line, another gateway
//! that shares the store) is looked for a few times a second.

mod asking;
mod definitions;
mod halts;
mod leave;
mod results;
mod webhook;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use portcullis_config::{DefinitionsMode, Settings, Store};
use portcullis_mcp::method::Method;
use portcullis_model::{Records, ServerId, Unavailable};
use portcullis_oversight::flow::Windows;
use portcullis_oversight::{Halts, Register, Shelf};
use tokio::sync::Mutex;

use crate::gateway::Gateway;
use crate::upstream::{Change, Known};

use halts::Switch;
use leave::Rules;

pub(crate) use definitions::{Pins, Standing, definition_kind, definitions};
pub use halts::halts;
pub(crate) use leave::{Leave, leave};
pub(crate) use results::{Recalled, hold, recall};

/// How often it is looked whether anything was decided elsewhere.
const LOOK: Duration = Duration::from_millis(250);
/// The same while the store does not answer.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What was decided.
pub(crate) struct Oversight {
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
    mode: AtomicU8,
}

impl Oversight {
    pub(crate) fn new(records: Arc<dyn Records>, settings: &Settings) -> Self {
        let register = Register::new(records.clone(), None);
        let oversight = Self {
            register,
            turns: Mutex::new(()),
            switch: Switch::new(),
            rules: ArcSwapOption::empty(),
            windows: Windows::default(),
            records,
            key: settings.vault_key,
            shelf: Shelf::new(settings.vault_key),
            mode: AtomicU8::new(0),
        };
        oversight.set(settings);
        oversight
    }

    /// Takes up a configuration; whether lists have to be looked at anew.
    pub(crate) fn set(&self, settings: &Settings) -> bool {
        self.switch.configure(halts(settings));
        self.rules.store(Rules::of(settings).map(Arc::new));
        let mode = match settings.definitions {
            DefinitionsMode::Off => 0,
            DefinitionsMode::TrustFirstUse => 1,
            DefinitionsMode::Approve => 2,
        };
        self.mode.swap(mode, Ordering::AcqRel) != mode
    }
}

impl Oversight {
    /// Takes up what was decided elsewhere; returns the servers of which other things are trusted now.
    async fn look(&self) -> Result<BTreeSet<String>, Unavailable> {
        self.switch.command(Halts::load(&*self.records).await?);
        // Halts are not to wait for a long list.
        let Ok(_turn) = self.turns.try_lock() else { return Ok(BTreeSet::new()) };
        self.register.refresh().await
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
        // Nobody else writes there.
        if self.settings.load().store == Store::Memory {
            return;
        }
        let mut pause = LOOK;
        while !self.draining.is_cancelled() {
            match self.env.oversight.look().await {
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
            self.announce(Change { server: server.clone(), owner: None, method, known });
        }
    }
}
