//! One namespace of a cluster, and the lives of the workloads in it.
//!
//! Whoever wants a workload there holds a [`Claim`]. By it the Deployment is made and scaled up when it is needed, and down when
//! it is not; a Deployment of this instance that nobody claims is deleted. Who starts and who stops one takes turns.
//!
//! When the gateway ends, what runs goes on: the next life of the gateway, or another one of the same instance, takes it over.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::Value;
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

/// How often it is looked whether others are done.
const LOOK: Duration = Duration::from_millis(50);
/// How often what nobody claims is looked for in any case.
const SWEEP: Duration = Duration::from_secs(30);

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
    /// When its use was noted last.
    noted: Mutex<Option<Instant>>,
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
        tokio::join!(watch.run(), self.sweep());
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

    async fn sweep(&self) {
        let mut table = self.table.subscribe();
        // A table that is whole stays so.
        if table.wait_for(|table| table.is_whole).await.is_err() {
            return;
        }
        let began = Instant::now();
        loop {
            let grace = self.settings.grace;
            let early = began.elapsed() < grace;
            self.remove_unclaimed(early).await;
            let next = if early { grace.saturating_sub(began.elapsed()) } else { SWEEP };
            let _ = tokio::time::timeout(next, self.released.notified()).await;
        }
    }

    async fn remove_unclaimed(&self, early: bool) {
        let is_claimed = |name: &str| {
            let places = locked(&self.places);
            // Before there was time to claim it, what nobody had is left to itself.
            places.get(name).map_or(early, |place| place.claims.load(Ordering::Relaxed) > 0)
        };
        let known = self.table.borrow().deployments.clone();
        for (name, state) in known.iter().filter(|(name, state)| !state.deleting && !is_claimed(name)) {
            let used = uses::by_others(&state.uses, &self.id, uses::now());
            if used || self.leaving.load(Ordering::Relaxed) {
                continue;
            }
            match self.api.delete(Kind::Deployment, name, &state.uid).await {
                Ok(_) => {
                    tracing::info!(deployment = name, "removed a Deployment that no server has any more");
                }
                Err(failure) => tracing::warn!(deployment = name, %failure, "cannot remove a Deployment"),
            }
        }
        locked(&self.places)
            .retain(|name, place| place.claims.load(Ordering::Relaxed) > 0 || known.contains_key(name));
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

    /// Makes what is missing, scales it up, and waits until it is ready.
    ///
    /// # Errors
    /// [`Failure`]; what was made stays, and is taken up by the next attempt.
    pub async fn start(&self) -> Result<Arc<Running>, Failure> {
        let _turn = self.place.turn.lock().await;
        let patience = self.cluster.settings.start_timeout;
        let end = Instant::now() + patience;
        let started = tokio::time::timeout_at(end, self.make_ready()).await;
        let failure = match started {
            Ok(Ok(running)) => {
                self.note_use().await;
                return Ok(Arc::new(running));
            }
            Ok(Err(failure)) => failure,
            Err(_) => self.late(patience),
        };
        Err(match failure {
            // Its node knows more than its controller.
            Failure::NotReady(why) => match pods::why_not_ready(&self.cluster.api, &self.name).await {
                Some(more) => Failure::NotReady(format!("{why}: {more}")),
                None => Failure::NotReady(why),
            },
            failure => failure,
        })
    }

    fn late(&self, patience: Duration) -> Failure {
        let table = self.cluster.table.borrow();
        match (&table.trouble, table.is_whole) {
            (Some(why), _) => Failure::Unknown(why.clone()),
            (None, false) => Failure::Unknown("the API server is slow to list them".to_owned()),
            (None, true) => Failure::NotReady(format!(
                "the Deployment `{}` was not ready within {} s",
                self.name,
                patience.as_secs()
            )),
        }
    }

    async fn make_ready(&self) -> Result<Running, Failure> {
        let cluster = &self.cluster;
        // What is there already is not made anew.
        cluster.listed().await?;
        let known = cluster.until(&self.name, |state| state.is_none_or(|state| !state.deleting)).await;
        let restarted = locked(&self.place.restarted).clone();
        let restarted = restarted.or_else(|| known.as_ref()?.restarted.clone());
        let uid = match &known {
            Some(state) => state.uid.clone(),
            // It owns the others, which its pods need: it is there first, and without pods.
            None => {
                let wanted = Wanted { restarted: restarted.clone(), ..Wanted::default() };
                let made = self.apply(&wanted).await?;
                tracing::info!(server.id = %self.workload.server, deployment = self.name, "made a Deployment");
                made.0
            }
        };
        let objects = self.objects();
        let api = &cluster.api;
        api.apply(Kind::NetworkPolicy, &self.name, &objects.network_policy(&uid)).await?;
        let service = api.apply(Kind::Service, &self.name, &objects.service(&uid)).await?;
        let secret = match objects.secret(&uid) {
            Some(secret) => {
                let applied = api.apply(Kind::Secret, &self.name, &secret).await?;
                applied["metadata"]["resourceVersion"].as_str().map(str::to_owned)
            }
            None => None,
        };
        let address =
            service["spec"]["clusterIP"].as_str().filter(|it| it.parse::<std::net::IpAddr>().is_ok());
        let address = address.map(str::to_owned).ok_or_else(|| {
            Failure::NotReady(format!("the Service `{}` was given no address in the cluster", self.name))
        })?;
        let runs = known.as_ref().filter(|state| state.runs());
        if runs.is_some_and(|state| state.secret != secret || state.restarted != restarted) {
            self.until_others_are_done().await;
        }
        let (uid, generation) = self.apply(&Wanted { replicas: 1, secret, restarted }).await?;
        self.wait_ready(&uid, generation).await?;
        let (cluster, name, ended) = (cluster.clone(), self.name.clone(), OnceLock::new());
        Ok(Running { cluster, name, uid, generation, address, ended })
    }

    /// Waits for whoever has been replaced here and ends what it began: its pod is about to go.
    async fn until_others_are_done(&self) {
        let done = async {
            while self.place.claims.load(Ordering::Relaxed) > 1 {
                tokio::time::sleep(LOOK).await;
            }
        };
        let _ = tokio::time::timeout(self.cluster.settings.drain, done).await;
    }

    async fn wait_ready(&self, uid: &str, generation: u64) -> Result<(), Failure> {
        let is_settled = |state: Option<&State>| {
            state.is_some_and(|state| {
                state.uid == uid && (state.is_ready(generation) || state.stuck(generation).is_some())
            })
        };
        let state = self.cluster.until(&self.name, is_settled).await;
        let stuck =
            state.as_ref().filter(|state| !state.is_ready(generation)).and_then(|it| it.stuck(generation));
        match stuck {
            Some(why) => {
                Err(Failure::NotReady(format!("the Deployment `{}` does not become ready: {why}", self.name)))
            }
            None => Ok(()),
        }
    }

    fn objects(&self) -> Objects<'_> {
        Objects { name: &self.name, workload: &self.workload, settings: &self.cluster.settings }
    }

    /// The uid of the Deployment, and which version of its description this is.
    async fn apply(&self, wanted: &Wanted) -> Result<(String, u64), Failure> {
        let object = self.objects().deployment(wanted);
        let applied: Value = self.cluster.api.apply(Kind::Deployment, &self.name, &object).await?;
        let (_, state) = State::read(&applied).ok_or_else(|| {
            Failure::Unreadable(format!("apply Deployment `{}`", self.name), "it has no uid".to_owned())
        })?;
        Ok((state.uid, state.generation))
    }

    /// Scales it down, unless somebody else uses it; whether it was. From when this is certain nobody is led to it, and whoever
    /// wants it waits, and then starts it again. Then `unused` is asked once more, for those who came in between: they keep it.
    /// Before it goes, `closed` is waited for.
    ///
    /// # Errors
    /// [`Failure`]; it is as if it had ended nevertheless.
    pub async fn stop(
        &self,
        running: &Running,
        unused: impl FnOnce() -> bool,
        closed: impl Future<Output = ()>,
    ) -> Result<bool, Failure> {
        let _turn = self.place.turn.lock().await;
        let is_others = |state: State| uses::by_others(&state.uses, &self.cluster.id, uses::now());
        let elsewhere = self.cluster.state(&self.name).is_some_and(is_others);
        if elsewhere || self.place.claims.load(Ordering::Relaxed) > 1 || running.ended().is_some() {
            return Ok(false);
        }
        let _ = running.ended.set("it was stopped, since nobody used it".to_owned());
        if !unused() {
            return Ok(false);
        }
        closed.await;
        let restarted = self.cluster.state(&self.name).and_then(|state| state.restarted);
        // The rest of it stays word for word, so that it is the same pod that comes back.
        let secret = self.secret_in_force();
        self.apply(&Wanted { replicas: 0, secret, restarted }).await?;
        Ok(true)
    }

    fn secret_in_force(&self) -> Option<String> {
        self.cluster.state(&self.name)?.secret
    }

    /// It is to be started anew: its next start makes another pod.
    pub fn restart(&self) {
        *locked(&self.place.restarted) = Some(uses::now().to_string());
    }

    /// Tells other gateways of the same instance that it is used here, where that was not said lately.
    pub async fn note_use(&self) {
        {
            let mut noted = locked(&self.place.noted);
            if noted.is_some_and(|at| at.elapsed() < NOTED) {
                return;
            }
            *noted = Some(Instant::now());
        }
        let key = format!("{USED_BY}{}", self.cluster.id);
        let noted =
            self.cluster.api.annotate(Kind::Deployment, &self.name, &key, &uses::now().to_string()).await;
        if let Err(failure) = noted {
            tracing::debug!(deployment = self.name, %failure, "cannot note that a Deployment is used");
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
        let _turn = self.place.turn.lock().await;
        let Some(state) = self.cluster.state(&self.name) else { return Ok(()) };
        self.cluster.api.delete(Kind::Deployment, &self.name, &state.uid).await.map(drop)
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
        let why = match self.cluster.table.borrow().deployments.get(&self.name) {
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
