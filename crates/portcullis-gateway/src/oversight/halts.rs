//! The kill switch: what is stopped is refused, and what is under way ends.
//!
//! A call that nothing stops pays for one load of a flag. Calls under way wait for changes beside their answers, and look by
//! themselves whether a change is about them. What is stopped for everybody is not listed either. What is stopped in the
//! configuration and what is stopped by command is one set; while the store does not answer, what was stopped stays so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use portcullis_config::Settings;
use portcullis_model::{ErrorKind, Principal, ServerId};
use portcullis_oversight::{Halt, Halts, Target};
use tokio::sync::watch;

use super::Oversight;
use crate::call::Refusal;
use crate::record::Evidence;
use crate::route::ListKind;

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
    let halted = |target| Halt { target, reason: None, by: CONFIGURATION.to_owned(), at: 0, test: false };
    Halts(all.map(halted).collect())
}

/// Something that is stopped from now on, or not any more.
pub(super) struct Switched {
    pub(super) halt: Halt,
    pub(super) stopped: bool,
}

impl Switched {
    /// Puts it on record, and says of which server other things are listed now.
    pub(super) fn told(&self, evidence: Option<&Evidence>, by: &str) -> Option<ServerId> {
        let (halt, what) = (&self.halt, if self.stopped { "halted" } else { "no longer halted" });
        tracing::warn!(what = %halt.target, by, reason = halt.reason, "oversight: {what}");
        if let Some(evidence) = evidence {
            evidence.halted(halt, self.stopped, by);
        }
        match &halt.target {
            Target::Server(server) | Target::Tool(server, _) => ServerId::parse(server).ok(),
            // Whoever is stopped is told nothing, nor is anybody by whom nothing can be asked.
            Target::All | Target::Principal(_) => None,
        }
    }
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

    pub(super) fn configure(&self, halts: Halts) -> Vec<Switched> {
        self.put(&self.configured, halts)
    }

    pub(super) fn command(&self, halts: Halts) -> Vec<Switched> {
        self.put(&self.commanded, halts)
    }

    /// What is stopped from now on, and what is not any more.
    fn put(&self, place: &ArcSwap<Halts>, halts: Halts) -> Vec<Switched> {
        if **place.load() == halts {
            return Vec::new();
        }
        let old = place.swap(halts.into());
        let new = place.load_full();
        let stopped = new.0.iter().filter(|halt| !old.0.contains(halt));
        let stopped = stopped.map(|halt| Switched { halt: halt.clone(), stopped: true });
        let lifted = old.0.iter().filter(|halt| !new.0.iter().any(|other| other.target == halt.target));
        let lifted = lifted.map(|halt| Switched { halt: halt.clone(), stopped: false });
        let switched = stopped.chain(lifted).collect();
        let any = !self.configured.load().is_empty() || !self.commanded.load().is_empty();
        self.any.store(any, Ordering::Release);
        self.changed.send_replace(());
        switched
    }

    /// Whether something of a server is stopped for everybody.
    fn hides(&self, server: &str, tool: Option<&str>) -> bool {
        self.configured.load().hides(server, tool) || self.commanded.load().hides(server, tool)
    }

    fn find(&self, principal: &Principal, server: Option<&str>, name: Option<&str>) -> Option<Halt> {
        let id = principal.id();
        let of = |halts: &Halts| halts.stopping(&id, server, name).cloned();
        of(&self.configured.load()).or_else(|| of(&self.commanded.load()))
    }
}

impl Oversight {
    /// Whether something of a server is stopped for everybody, and not shown.
    pub(crate) fn is_hidden(&self, server: &ServerId, tool: Option<&str>) -> bool {
        self.switch.any.load(Ordering::Acquire) && self.switch.hides(server.as_str(), tool)
    }

    /// Whether anything may be hidden from everybody: stopped, or held back.
    pub(crate) fn may_hide(&self) -> bool {
        self.pins() || self.switch.any.load(Ordering::Acquire)
    }

    /// Which of these are not stopped for everybody; `None` for all.
    pub(crate) fn unstopped<'a>(
        &self,
        server: &ServerId,
        kind: ListKind,
        names: impl Iterator<Item = &'a str>,
    ) -> Option<Arc<[bool]>> {
        if !self.switch.any.load(Ordering::Acquire) {
            return None;
        }
        let tool = |name| Some(name).filter(|_| kind == ListKind::Tools);
        let shown: Arc<[bool]> = names.map(|name| !self.switch.hides(server.as_str(), tool(name))).collect();
        shown.iter().any(|shown| !shown).then_some(shown)
    }

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
