//! One namespace of a cluster, and the lives of the workloads in it.
//!
//! Whoever wants a workload there holds a [`Claim`]. By it the Deployment is made and scaled up when it is needed, and down when
//! it is not; a Deployment of this instance that nobody claims is deleted. Who starts and who stops one takes turns
//! (`claim.rs`).
//!
//! When the gateway ends, what runs goes on: the next life of the gateway, or another one of the same instance, takes it over.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::{Notify, watch::Sender};
use tokio::time::Instant;

use super::api::{Api, Kind, Wire};
use super::deployment::State;
use super::failure::Failure;
use super::objects::{Objects, Wanted};
use super::pods::{self, PodLog};
use super::uses::{self, NOTED, USED_BY};
use super::watch::{Table, Watch};
use super::workload::{Ingress, Workload};

mod claim;
mod sweep;

/// So long after it was heard what becomes of the Deployments, nothing is believed of them any more: an API server may be away for
/// some time, and what runs is called meanwhile.
const SILENT: Duration = Duration::from_mins(15);

/// What workloads in a cluster have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where they are.
    pub namespace: String,
    /// What tells them from those of others.
    pub instance: String,
    /// From where they may be reached.
    pub gateway: Ingress,
    /// Secrets with which their images are fetched.
    pub pull_secrets: Vec<String>,
    /// From the start of one until it is ready.
    pub start_timeout: Duration,
    /// How long what is replaced may take to end what it began.
    pub drain: Duration,
    /// How long what nobody has claimed since this process began is left to itself: the registry may be slow to answer.
    pub grace: Duration,
    /// The instance of scans, where what they left behind is to be removed.
    pub scans: Option<String>,
    /// The API server is on this machine, and so Services may be.
    pub is_local: bool,
}

/// A namespace of a cluster.
pub struct Cluster {
    api: Api,
    settings: Settings,
    /// This process among those of its instance.
    id: String,
    table: Sender<Table>,
    places: Mutex<HashMap<String, Arc<Place>>>,
    released: Notify,
    /// What runs is left as it is.
    leaving: AtomicBool,
}

/// One name.
#[derive(Default)]
struct Place {
    claims: AtomicUsize,
    /// Whose turn it is to start or stop it.
    turn: tokio::sync::Mutex<()>,
    /// When it was to be started anew.
    restarted: Mutex<Option<String>>,
    /// In which Deployment its use was noted last, by its uid, and when.
    noted: Mutex<Option<(String, Instant)>>,
    /// The Deployment that was applied here last.
    made: Mutex<Option<String>>,
    /// It is to be deleted, so whoever starts it need not.
    given_up: Notify,
}

/// A workload that somebody wants to be there. Dropped by all who do, its Deployment is deleted.
pub struct Claim {
    cluster: Arc<Cluster>,
    workload: Workload,
    name: String,
    place: Arc<Place>,
}

/// A Deployment that was ready.
pub struct Running {
    cluster: Arc<Cluster>,
    name: String,
    uid: String,
    /// Which version of its description was applied here.
    generation: u64,
    /// The address of its Service.
    pub address: String,
    /// When what leads there was applied last.
    confirmed: Mutex<Instant>,
    ended: OnceLock<String>,
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cluster {
    /// A namespace that is reached by `wire`. `id` is this process among others, a few letters and digits.
    pub fn new(wire: Arc<dyn Wire>, settings: Settings, id: &str) -> Arc<Self> {
        Arc::new(Self {
            api: Api::new(wire, settings.namespace.clone()),
            settings,
            id: id.to_owned(),
            table: Sender::new(Table::default()),
            places: Mutex::default(),
            released: Notify::new(),
            leaving: AtomicBool::new(false),
        })
    }

    /// Watches what is there, and removes what nobody claims; runs as long as the gateway does.
    pub async fn look_after(&self) {
        let watch = Watch { api: &self.api, instance: &self.settings.instance, table: &self.table };
        tokio::join!(watch.run(), self.sweep(), self.sweep_scans());
    }

    /// From now on what runs is left as it is.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// A claim to a workload; nothing is asked yet.
    pub fn claim(self: &Arc<Self>, workload: Workload) -> Claim {
        let name = workload.name(&self.settings.instance);
        let place = {
            let mut places = locked(&self.places);
            let place = places.entry(name.clone()).or_default();
            // While nobody can take it for one that is not claimed.
            place.claims.fetch_add(1, Ordering::Relaxed);
            place.clone()
        };
        Claim { cluster: self.clone(), workload, name, place }
    }

    /// Waits until it is known what is there, or why that is not known.
    async fn listed(&self) -> Result<(), Failure> {
        let mut table = self.table.subscribe();
        let heard = table.wait_for(|table| table.is_whole || table.trouble.is_some()).await;
        match heard.ok().filter(|table| !table.is_whole).and_then(|table| table.trouble.clone()) {
            Some(why) => Err(Failure::Unknown(why)),
            None => Ok(()),
        }
    }

    fn state(&self, name: &str) -> Option<State> {
        self.table.borrow().deployments.get(name).cloned()
    }

    /// Waits until the table says so of a Deployment, and returns what it is then.
    async fn until(&self, name: &str, is: impl Fn(Option<&State>) -> bool) -> Option<State> {
        let mut table = self.table.subscribe();
        // The sender is ours, so it is there.
        let found = table.wait_for(|table| is(table.deployments.get(name))).await.ok()?;
        found.deployments.get(name).cloned()
    }
}

impl Claim {
    /// What its objects are called.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn objects(&self) -> Objects<'_> {
        Objects { name: &self.name, workload: &self.workload, settings: &self.cluster.settings }
    }

    /// The Deployment as it is then.
    async fn apply(&self, wanted: &Wanted) -> Result<State, Failure> {
        let object = self.objects().deployment(wanted);
        let applied: Value = self.cluster.api.apply(Kind::Deployment, &self.name, &object).await?;
        let (_, state) = State::read(&applied).ok_or_else(|| {
            Failure::Unreadable(format!("apply Deployment `{}`", self.name), "it has no uid".to_owned())
        })?;
        *locked(&self.place.made) = Some(state.uid.clone());
        Ok(state)
    }

    /// Tells other gateways of the same instance that it is used here, where that was not said lately.
    pub async fn note_use(&self) {
        if let Some(state) = self.cluster.state(&self.name) {
            self.note_use_of(&state.uid).await;
        }
    }

    /// Notes it in the Deployment with this uid. What was noted in another one has gone with that.
    async fn note_use_of(&self, uid: &str) {
        let is_it = |(of, at): &(String, Instant)| of == uid && at.elapsed() < NOTED;
        if locked(&self.place.noted).as_ref().is_some_and(is_it) {
            return;
        }
        let began = Instant::now();
        let (id, now) = (&self.cluster.id, uses::now());
        let known = self.cluster.state(&self.name).unwrap_or_default();
        let gone = uses::forgotten(&known.uses, id, now);
        let mut changes: Map<_, _> =
            gone.into_iter().map(|by| (format!("{USED_BY}{by}"), Value::Null)).collect();
        changes.insert(format!("{USED_BY}{id}"), now.to_string().into());
        let noted = self.cluster.api.annotate(Kind::Deployment, &self.name, &changes).await;
        match noted {
            // Only now: what failed, or was cut off, is tried again by whoever uses it next.
            Ok(_) => *locked(&self.place.noted) = Some((uid.to_owned(), began)),
            Err(failure) => {
                tracing::debug!(deployment = self.name, %failure, "cannot note that a Deployment is used");
            }
        }
    }

    /// What its pods wrote lately, the newest first.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn logs(&self) -> Result<Vec<PodLog>, Failure> {
        pods::logs(&self.cluster.api, &self.name, &self.workload.secrets).await
    }

    /// Deletes it now, whoever else wants it.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn delete(&self) -> Result<(), Failure> {
        self.place.given_up.notify_waiters();
        let _turn = self.place.turn.lock().await;
        // What was made a moment ago is in no list yet.
        let made = locked(&self.place.made).take();
        for uid in made.into_iter().chain(self.cluster.state(&self.name).map(|state| state.uid)) {
            if self.cluster.api.delete(Kind::Deployment, &self.name, &uid, None).await? {
                break;
            }
        }
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.place.claims.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.cluster.released.notify_one();
        }
    }
}

impl Running {
    /// Why it is of no use any more; `None` while it is.
    pub fn ended(&self) -> Option<&str> {
        if let Some(why) = self.ended.get() {
            return Some(why);
        }
        let table = self.cluster.table.borrow();
        let why = match table.deployments.get(&self.name) {
            _ if table.silence() > SILENT => "the API server has not been heard of for long",
            None => "its Deployment was deleted",
            Some(state) if state.uid != self.uid || state.deleting => "its Deployment was deleted",
            Some(state) if state.replicas == 0 => "its Deployment was scaled down",
            // What runs is what was described here, or it is looked at again.
            Some(state) if state.generation != self.generation => "its Deployment was changed",
            Some(state) if !state.runs() => "its pod is not ready any more",
            Some(_) => return None,
        };
        Some(self.ended.get_or_init(|| why.to_owned()))
    }
}

#[cfg(test)]
mod tests;
