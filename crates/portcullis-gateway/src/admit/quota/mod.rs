//! How much of it: rates, places and budgets for callers, groups, servers and tools (`limits.calls`).
//!
//! A call that policies let through is held against every limit that is about it, and is carried out when all of them have
//! something left; one that is refused has used nothing of any. Each gateway counts by itself: with three replicas behind a
//! balancer, three times as much can come through.
//!
//! Deliberately absent: lists, greetings and questions about tasks, which the gateway mostly answers itself; they are held by
//! `limits.concurrent_per_client`. Searches for tools are counted, as calls of a tool `search` of a server `hub`. And waiting: whoever is beyond a limit is told when to come back.

mod count;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use portcullis_config::{CallLimit, Settings};
use portcullis_mcp::json::{Change, Raw};
use portcullis_model::{ErrorKind, Principal};
use portcullis_telemetry::Metrics;

use crate::call::Refusal;
use count::Short;
use table::Table;

const REACHED: (&str, &str) =
    ("portcullis_limits_reached_total", "Calls that one of `limits.calls` did not let through.");

/// The limits in force, if there are any.
#[derive(Default)]
pub(crate) struct Quotas {
    /// What a call costs that no limit is about.
    any: AtomicBool,
    in_force: ArcSwapOption<InForce>,
    metrics: Metrics,
}

struct InForce {
    limits: Vec<Arc<Limit>>,
    /// Groups by the id of a principal, as the operator says.
    groups: BTreeMap<String, BTreeSet<String>>,
}

struct Limit {
    settings: CallLimit,
    table: Arc<Table>,
}

/// What a call is about.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) principal: &'a Principal,
    pub(crate) server: &'a str,
    /// The server's own name of the tool, when it is one.
    pub(crate) tool: Option<&'a str>,
}

/// What a call has taken of the limits; its places are given back when dropped.
#[derive(Default)]
pub(crate) struct Taken(Vec<(Arc<Limit>, u64, u64)>);

impl Drop for Taken {
    fn drop(&mut self) {
        for (limit, part, key) in self.0.drain(..) {
            limit.table.end(part, key);
        }
    }
}

impl Taken {
    /// The call is not carried out: nothing was used.
    fn undo(mut self) {
        for (limit, part, key) in self.0.drain(..) {
            limit.table.undo(part, key, &limit.settings);
        }
    }
}

impl Quotas {
    /// None yet; refusals are counted in `metrics`.
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self { metrics, ..Self::default() }
    }

    /// Puts the limits of a configuration in force. What was counted under a limit that is still there, for the same callers,
    /// goes on counting.
    pub(crate) fn reload(&self, settings: &Settings) {
        let old = self.in_force.load_full();
        let before = |new: &CallLimit| {
            let limits = old.iter().flat_map(|old| &old.limits);
            let mut same =
                limits.filter(|old| old.settings.name == new.name && old.settings.each == new.each);
            same.next().map(|old| old.table.clone())
        };
        let limits: Vec<_> = settings
            .limits
            .calls
            .iter()
            .map(|limit| {
                let table = before(limit).unwrap_or_else(|| Arc::new(Table::new()));
                Arc::new(Limit { settings: limit.clone(), table })
            })
            .collect();
        let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (group, members) in settings.policy.iter().flat_map(|policy| &policy.groups) {
            for member in members {
                groups.entry(member.clone()).or_default().insert(group.clone());
            }
        }
        let any = !limits.is_empty();
        self.in_force.store(any.then(|| Arc::new(InForce { limits, groups })));
        self.any.store(any, Ordering::Release);
    }

    /// Counts a call under all limits that are about it.
    ///
    /// # Errors
    /// One of them has nothing left; nothing was counted then.
    pub(crate) fn take(&self, target: &Target<'_>) -> Result<Option<Taken>, Refusal> {
        if !self.any.load(Ordering::Acquire) {
            return Ok(None);
        }
        let in_force = self.in_force.load();
        let Some(in_force) = in_force.as_ref() else { return Ok(None) };
        let mut caller = Caller { principal: target.principal, id: None, in_force };
        let mut taken = Taken::default();
        for limit in &in_force.limits {
            if let Err(short) = caller.take(limit, target, &mut taken) {
                taken.undo();
                return Err(self.refuse(&limit.settings, short));
            }
        }
        Ok((!taken.0.is_empty()).then_some(taken))
    }

    /// What the caller is told; counted by the names that the operator gave, for callers are not to make series.
    fn refuse(&self, limit: &CallLimit, short: Short) -> Refusal {
        let refusal = refusal(limit, short);
        let labels = [("limit", limit.name.as_str()), ("reason", refusal.kind.as_str())];
        self.metrics.counter(REACHED.0, REACHED.1, &labels).add(1);
        refusal
    }
}

/// Whoever calls, with what is only looked up when a limit asks for it.
struct Caller<'a> {
    principal: &'a Principal,
    id: Option<String>,
    in_force: &'a InForce,
}

impl Caller<'_> {
    fn id(&mut self) -> &str {
        self.id.get_or_insert_with(|| self.principal.id())
    }

    fn is_in(&mut self, group: &str) -> bool {
        if self.principal.groups().iter().any(|own| own == group) {
            return true;
        }
        let in_force = self.in_force;
        !in_force.groups.is_empty()
            && in_force.groups.get(self.id()).is_some_and(|given| given.contains(group))
    }

    fn take(&mut self, limit: &Arc<Limit>, target: &Target<'_>, taken: &mut Taken) -> Result<(), Short> {
        let settings = &limit.settings;
        if !settings.is_about(target.server, target.tool)
            || !settings.principals.is_empty() && !settings.principals.iter().any(|one| one == self.id())
        {
            return Ok(());
        }
        let each = settings.each;
        if each.group {
            for group in &settings.groups {
                if self.is_in(group) {
                    self.count(limit, target, Some(group), taken)?;
                }
            }
            return Ok(());
        }
        if settings.groups.is_empty() || settings.groups.iter().any(|group| self.is_in(group)) {
            self.count(limit, target, None, taken)?;
        }
        Ok(())
    }

    fn count(
        &mut self,
        limit: &Arc<Limit>,
        target: &Target<'_>,
        group: Option<&str>,
        taken: &mut Taken,
    ) -> Result<(), Short> {
        let each = limit.settings.each;
        let principal = if each.principal { Some(self.id()) } else { None };
        // A tool is one of its server's.
        let server = (each.server || each.tool).then_some(target.server);
        let tool = if each.tool { target.tool } else { None };
        let part = limit.table.key([principal, group, server, tool]);
        let key = limit.table.take(part, &limit.settings)?;
        taken.0.push((limit.clone(), part, key));
        Ok(())
    }
}

/// What the caller is told, and when it may come back.
fn refusal(limit: &CallLimit, short: Short) -> Refusal {
    let name = &limit.name;
    let (kind, after, what) = match short {
        Short::Rate(after) => (ErrorKind::RateLimited, after, limit.rate.map(|rate| format!("{rate}"))),
        Short::Budget(after) => {
            (ErrorKind::BudgetSpent, after, limit.budget.map(|budget| format!("{budget}")))
        }
        // Nobody knows when a call will end.
        Short::Places => {
            let places = limit.concurrent.map(|most| format!("{most} at once"));
            (ErrorKind::TooManyRequests, Duration::from_secs(1), places)
        }
    };
    let seconds = whole_seconds(after);
    let message = format!(
        "the limit `{name}` ({}) allows no more calls now; try again in {seconds} s",
        what.unwrap_or_default()
    );
    let (name, seconds_text) = (Raw::from_text(name), seconds.to_string());
    let data = Raw::from_static("{}").with(&[
        ("limit", Change::Set(name.as_bytes())),
        ("retryAfterSeconds", Change::Set(seconds_text.as_bytes())),
    ]);
    tracing::debug!(limit = limit.name, reason = kind.as_str(), seconds, "a limit was reached");
    Refusal { retry_after: Some(Duration::from_secs(seconds)), ..Refusal::new(kind, message).with_data(data) }
}

/// `Retry-After` has whole seconds: rather one more than one too early.
fn whole_seconds(after: Duration) -> u64 {
    (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests;
