//! The kill switch: what is stopped is refused, and what is under way ends.
//!
//! A call that nothing stops pays for one load of a flag. Calls under way wait for changes beside their answers, and look by
//! themselves whether a change is about them. What is stopped in the configuration and what is stopped by command is one
//! set; while the store does not answer, what was stopped stays so.

use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use portcullis_config::Settings;
use portcullis_model::{ErrorKind, Principal, ServerId};
use portcullis_oversight::{Halt, Halts, Target};
use tokio::sync::watch;

use super::Oversight;
use crate::call::Refusal;

/// Who stops what the configuration stops.
const CONFIGURATION: &str = "configuration";

/// What the configuration stops.
pub fn halts(settings: &Settings) -> Halts {
    let halt = &settings.halt;
    let servers = halt.servers.iter().map(|server| Target::Server(server.clone()));
    let tools = halt.tools.iter().filter_map(|tool| {
        let (server, name) = tool.split_once('/')?;
        Some(Target::Tool(server.to_owned(), name.to_owned()))
    });
    let principals = halt.principals.iter().map(|id| Target::Principal(id.clone()));
    let all = halt.all.then_some(Target::All).into_iter().chain(servers).chain(tools).chain(principals);
    Halts(all.map(|target| Halt { target, reason: None, by: CONFIGURATION.to_owned(), at: 0 }).collect())
}

/// What is stopped now.
pub(super) struct Switch {
    configured: ArcSwap<Halts>,
    commanded: ArcSwap<Halts>,
    any: AtomicBool,
    changed: watch::Sender<()>,
}

impl Switch {
    pub(super) fn new() -> Self {
        Self {
            configured: ArcSwap::default(),
            commanded: ArcSwap::default(),
            any: AtomicBool::new(false),
            changed: watch::Sender::new(()),
        }
    }

    pub(super) fn configure(&self, halts: Halts) {
        self.put(&self.configured, halts);
    }

    pub(super) fn command(&self, halts: Halts) {
        self.put(&self.commanded, halts);
    }

    fn put(&self, place: &ArcSwap<Halts>, halts: Halts) {
        if **place.load() == halts {
            return;
        }
        let old = place.swap(halts.into());
        let new = place.load_full();
        for (halts, others, what) in [(&new, &old, "halted"), (&old, &new, "no longer halted")] {
            for halt in halts.0.iter().filter(|halt| !others.0.contains(halt)) {
                tracing::warn!(what = %halt.target, by = halt.by, reason = halt.reason, "oversight: {what}");
            }
        }
        let any = !self.configured.load().is_empty() || !self.commanded.load().is_empty();
        self.any.store(any, Ordering::Release);
        self.changed.send_replace(());
    }

    fn find(&self, principal: &Principal, server: Option<&str>, name: Option<&str>) -> Option<Halt> {
        let id = principal.id();
        let of = |halts: &Halts| halts.stopping(&id, server, name).cloned();
        of(&self.configured.load()).or_else(|| of(&self.commanded.load()))
    }
}

impl Oversight {
    /// Why a call is not made, or not any more.
    pub(crate) fn stopped(
        &self,
        principal: &Principal,
        server: Option<&ServerId>,
        name: Option<&str>,
    ) -> Option<Refusal> {
        if !self.switch.any.load(Ordering::Acquire) {
            return None;
        }
        self.switch.find(principal, server.map(ServerId::as_str), name).map(|halt| refusal(&halt))
    }

    /// Waits until something is stopped that a call is about.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn until_stopped(
        &self,
        principal: &Principal,
        server: Option<&ServerId>,
        name: Option<&str>,
    ) -> Refusal {
        let mut changes = self.switch.changed.subscribe();
        loop {
            if let Some(refusal) = self.stopped(principal, server, name) {
                return refusal;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Who did it is nothing to the caller; why is what whoever did it wanted to be known.
fn refusal(halt: &Halt) -> Refusal {
    let what = match &halt.target {
        Target::All => "the gateway".to_owned(),
        Target::Server(server) => format!("server `{server}`"),
        Target::Tool(server, name) => format!("`{name}` of server `{server}`"),
        Target::Principal(_) => "this caller".to_owned(),
    };
    let reason = halt.reason.as_ref().map(|reason| format!(": {reason:.300}")).unwrap_or_default();
    Refusal::new(ErrorKind::Halted, format!("{what} was stopped by an operator{reason}"))
}
