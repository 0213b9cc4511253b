//! How long events are kept, and what is done when that is over.
//!
//! Events are removed from the beginning of a log, 256 by 256, when all of them have been kept as long as their class says: what
//! has to be kept longest holds what is behind it. The removal is an event itself, and the roots of what was removed stay,
//! so that the rest proves as before and proofs that somebody has still verify. Payloads go earlier where their class says
//! so, by their keys. A legal hold keeps both.
//!
//! Events of a tagged AI system (`system.id`) are kept 184 days at the least, whatever the class says: six months of the longest
//! kind (EU AI Act, articles 19 and 26).

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_model::{Journal, Marks, Unavailable};
use serde::{Deserialize, Serialize};

use crate::event::{Event, EventId, Kind, Phase};
use crate::keys;
use crate::log::{Log, Refused, STATE};
use crate::merkle::{Frontier, Hash, TILE};
use crate::note::VerifierKey;
use crate::record::Record;
use crate::verify::{self, Report};

const DAY: Duration = Duration::from_hours(24);
/// The least for events of tagged systems.
pub const FLOOR: Duration = Duration::from_hours(184 * 24);
const BASE: &str = "base";
/// Where legal holds lie.
const HOLD: &str = "hold";
const AT_ONCE: usize = 4096;

/// How long events are kept.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Those that name no class.
    pub default: Duration,
    /// By class (`data.retention`).
    pub classes: BTreeMap<String, Duration>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { default: FLOOR, classes: BTreeMap::new() }
    }
}

impl Policy {
    /// How long an event is kept.
    #[must_use]
    pub fn keeps(&self, event: &Event) -> Duration {
        let class = event.data.retention.as_ref().and_then(|class| self.classes.get(class));
        let kept = class.copied().unwrap_or(self.default);
        if event.system.id.is_some() { kept.max(FLOOR) } else { kept }
    }
}

/// A legal hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The pseudonym of the person whose events are held; all, if it is nobody's.
    pub person: Option<String>,
    /// From when on, in microseconds since 1970.
    pub since: Option<i64>,
    /// Until when.
    pub until: Option<i64>,
    /// Why: a reference.
    pub reason: String,
}

impl Hold {
    fn holds(&self, marks: &Marks) -> bool {
        self.person.as_ref().is_none_or(|person| marks.person.as_ref() == Some(person))
            && self.since.is_none_or(|since| marks.time >= since)
            && self.until.is_none_or(|until| marks.time < until)
    }
}

/// What cannot be done to a log.
#[derive(Debug, thiserror::Error)]
pub enum Undone {
    /// A hold forbids it.
    #[error("the legal hold {0} forbids it")]
    Held(String),
    /// There is no such hold.
    #[error("there is no legal hold {0}")]
    NoSuchHold(String),
    /// The log does not take the event that tells of it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The journal fails.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// The holds that are on a log.
///
/// # Errors
/// The journal cannot be asked, or one of them cannot be read: then nobody knows what it holds.
pub fn holds(journal: &dyn Journal) -> Result<BTreeMap<String, Hold>, Unavailable> {
    let read = |(name, value): (String, Vec<u8>)| match serde_json::from_slice(&value) {
        Ok(hold) => Ok((name, hold)),
        Err(error) => Err(Unavailable(format!("the legal hold {name} cannot be read: {error}"))),
    };
    journal.list(HOLD, "")?.into_iter().map(read).collect()
}

/// Asks the journal where waiting for it holds up nobody else.
async fn ask<T: Send + 'static>(
    log: &Log,
    question: impl FnOnce(&dyn Journal) -> Result<T, Unavailable> + Send + 'static,
) -> Result<T, Unavailable> {
    let journal = log.journal();
    let answered = tokio::task::spawn_blocking(move || question(&*journal)).await;
    answered.unwrap_or_else(|error| Err(Unavailable(error.to_string())))
}

/// Puts a hold on a log. `by` says who wants it.
///
/// # Errors
/// It is not on it.
pub async fn hold(log: &Log, name: &str, hold: &Hold, mut by: Event) -> Result<(), Undone> {
    let _alone = log.alone().await;
    by.kind = Kind::Hold;
    by.detail.extend([("hold".to_owned(), name.to_owned()), ("reason".to_owned(), hold.reason.clone())]);
    by.detail.insert("action".to_owned(), "put".to_owned());
    let value = serde_json::to_vec(hold).map_err(|error| Unavailable(error.to_string()))?;
    let name = name.to_owned();
    ask(log, move |journal| journal.put(HOLD, &name, &value)).await?;
    log.append(by).durable().await?;
    Ok(())
}

/// Lifts a hold. `by` says who wants it.
///
/// # Errors
/// There is none, or it is still on it.
pub async fn release(log: &Log, name: &str, mut by: Event) -> Result<(), Undone> {
    let _alone = log.alone().await;
    let held = name.to_owned();
    if ask(log, move |journal| journal.get(HOLD, &held)).await?.is_none() {
        return Err(Undone::NoSuchHold(name.to_owned()));
    }
    by.kind = Kind::Hold;
    by.detail.extend([("hold".to_owned(), name.to_owned()), ("action".to_owned(), "lifted".to_owned())]);
    log.append(by).durable().await?;
    let lifted = name.to_owned();
    ask(log, move |journal| journal.remove(HOLD, &lifted)).await?;
    Ok(())
}

/// Makes unreadable what was kept of a person's payloads, and records that: first that it is about to be done, then that it
/// was, so that no key is gone of which the log says nothing. Returns how many keys were destroyed.
///
/// # Errors
/// A hold forbids it, or some of the keys may be left.
pub async fn erase(log: &Log, person: &str, basis: &str, mut by: Event) -> Result<usize, Undone> {
    let _alone = log.alone().await;
    let held = |hold: &Hold| hold.person.as_deref().is_none_or(|held| held == person);
    if let Some((name, _)) = ask(log, holds).await?.into_iter().find(|(_, hold)| held(hold)) {
        return Err(Undone::Held(name));
    }
    by.kind = Kind::Erasure;
    by.detail.extend([("person".to_owned(), person.to_owned()), ("basis".to_owned(), basis.to_owned())]);
    let intent = Event { id: EventId::new(), phase: Some(Phase::Intent), ..by.clone() };
    (by.parent, by.phase) = (Some(intent.id), Some(Phase::Outcome));
    log.append(intent).durable().await?;
    // What is under way with a key that is not on the disk yet is waited for.
    log.checkpoint().await?;
    let whose = person.to_owned();
    let destroyed = ask(log, move |journal| keys::destroy(journal, &whose)).await?;
    by.detail.insert("keys".to_owned(), destroyed.to_string());
    log.append(by).durable().await?;
    log.checkpoint().await?;
    Ok(destroyed)
}

/// The number before which all events have been kept long enough; a multiple of 256.
///
/// # Errors
/// The journal cannot be asked.
pub fn due(journal: &dyn Journal, policy: &Policy, now: SystemTime) -> Result<u64, Unavailable> {
    let (extent, holds) = (journal.extent()?, holds(journal)?);
    let mut next = extent.first;
    'reading: while next < extent.next {
        let entries = journal.read(next, AT_ONCE)?;
        if entries.is_empty() {
            break;
        }
        for entry in entries {
            // What cannot be read is kept: somebody has to look at it.
            let Ok(record) = Record::parse(&entry.record) else { break 'reading };
            let ended =
                UNIX_EPOCH + Duration::from_micros(u64::try_from(record.event.time.end_us).unwrap_or(0));
            let over = ended.checked_add(policy.keeps(&record.event)).is_some_and(|until| until <= now);
            let marks = crate::record::marks(&record.event);
            if !over || holds.values().any(|hold| hold.holds(&marks)) {
                break 'reading;
            }
            next = entry.seq + 1;
        }
    }
    Ok(next / TILE * TILE)
}

/// Removes what is due, and destroys the keys of payloads that are. Says how many events and keys those were. `by` says who wants it.
///
/// # Errors
/// Not all was done.
pub async fn apply(
    log: &Log,
    policy: &Policy,
    now: SystemTime,
    mut by: Event,
) -> Result<(u64, usize), Undone> {
    let _alone = log.alone().await;
    let policy = policy.clone();
    let found = ask(log, move |journal| {
        if let Some(base) = base(journal)? {
            // What was to be removed before, and was not wholly.
            journal.remove_before(base.size())?;
        }
        Ok((due(journal, &policy, now)?, journal.extent()?.first, expired(journal, &policy, now)?))
    });
    let (before, first, expired) = found.await?;
    let keys = expired.len();
    if before > first || keys > 0 {
        by.kind = Kind::Truncation;
        by.detail.insert("expired_keys".to_owned(), keys.to_string());
        if before > first {
            log.truncate(before, by).await?;
        } else {
            log.append(by).durable().await?;
        }
        // After it is on record: what a crash leaves of them is due again.
        ask(log, move |journal| expired.iter().try_for_each(|key| journal.remove(keys::KIND, key))).await?;
    }
    Ok((before.saturating_sub(first), keys))
}

/// The data keys whose class has been kept long enough, and that nothing holds.
fn expired(journal: &dyn Journal, policy: &Policy, now: SystemTime) -> Result<Vec<String>, Unavailable> {
    let holds = holds(journal)?;
    let keys = journal.list(keys::KIND, "")?.into_iter();
    let expired = keys.map(|(id, _)| id).filter(|id| {
        let Some((person, class, month)) = keys::parts(id) else { return false };
        let kept = policy.classes.get(class).copied().unwrap_or(policy.default.max(FLOOR));
        let end = UNIX_EPOCH + DAY * 30 * u32::try_from(month + 1).unwrap_or(u32::MAX);
        let held = holds.values().any(|hold| hold.person.as_deref().is_none_or(|held| held == person));
        !held && end.checked_add(kept).is_some_and(|until| until <= now)
    });
    Ok(expired.collect())
}

#[derive(Serialize, Deserialize)]
struct Base {
    size: u64,
    roots: Vec<Hash>,
}

/// The subtrees that the removed events were, or `None` if none were removed.
///
/// # Errors
/// The journal cannot be asked, or what it keeps is none.
pub fn base(journal: &dyn Journal) -> Result<Option<Frontier>, Unavailable> {
    let Some(kept) = journal.get(STATE, BASE)? else { return Ok(None) };
    let read = serde_json::from_slice::<Base>(&kept).ok();
    let base = read.filter(|base| base.size.is_multiple_of(TILE));
    let base = base.and_then(|base| Frontier::from_roots(base.size, base.roots));
    base.map(Some).ok_or_else(|| Unavailable("what is kept of the removed events cannot be read".to_owned()))
}

pub(crate) fn keep_base(journal: &dyn Journal, base: &Frontier) -> Result<(), Unavailable> {
    let base = Base { size: base.size(), roots: base.roots().to_vec() };
    let text = serde_json::to_vec(&base).map_err(|error| Unavailable(error.to_string()))?;
    journal.put(STATE, BASE, &text)
}

/// What was removed was removed in order: the log says so, and a checkpoint is signed over just that.
pub(crate) fn check(
    journal: &dyn Journal,
    keys: &[VerifierKey],
    report: &mut Report,
) -> Result<(), Unavailable> {
    let Some(base) = base(journal)?.filter(|base| base.size() > 0) else { return Ok(()) };
    let (size, root) = (base.size(), base.root());
    let said = (size.to_string(), crate::hex(&root));
    if !report.truncations.contains(&said) {
        let text =
            format!("the events before {size} are gone, and no event of the log says that they were removed");
        report.add(verify::Kind::Truncation, Some((0, size)), text);
    }
    let note = journal.get(crate::log::CHECKPOINT, &crate::log::checkpoint_name(size))?;
    let signed = note.and_then(|note| crate::Checkpoint::verify(&String::from_utf8_lossy(&note), keys).ok());
    if signed.is_none_or(|signed| signed.root != root) {
        let text =
            format!("the events before {size} are gone, and no checkpoint is signed over what they were");
        report.add(verify::Kind::Truncation, Some((0, size)), text);
    }
    Ok(())
}
