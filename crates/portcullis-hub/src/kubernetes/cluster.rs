//! One namespace of a cluster, and the lives of the workloads in it.
//!
//! Whoever wants a workload there holds a [`Claim`]. By it the Deployment is made and scaled up when it is needed, and down when
//! it is not; a Deployment of this instance that nobody claims is deleted. Who starts and who stops one takes turns.
//!
//! When the gateway ends, what runs goes on: the next life of the gateway, or another one of the same instance, takes it over.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::{Notify, watch::Sender};
use tokio::time::Instant;

use super::api::{Api, Kind, Wire};
use super::deployment::State;
use super::failure::Failure;
use super::objects::{DEPLOYMENT, Objects, Wanted};
use super::pods::{self, PodLog};
use super::uses::{self, NOTED, USED_BY};
use super::watch::{Table, Watch};
use super::workload::{Ingress, Workload};

mod sweep;

/// How often it is looked whether others are done.
const LOOK: Duration = Duration::from_millis(50);
/// How often what leads to a Deployment is applied again while it is used, and who is led to is looked at.
const CONFIRMED: Duration = Duration::from_mins(1);
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

/// Whether a Service can have this address. What leads back to the gateway's own machine is none.
fn is_of_a_service(address: IpAddr, is_local: bool) -> bool {
    let address = address.to_canonical();
    let is_linked = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let is_own = address.is_loopback() && !is_local;
    !(is_own || is_linked || address.is_unspecified() || address.is_multicast())
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

    /// Makes what is missing, scales it up, and waits until it is ready.
    ///
    /// # Errors
    /// [`Failure`]; what was made stays, and is taken up by the next attempt.
    pub async fn start(&self) -> Result<Arc<Running>, Failure> {
        let given_up = self.place.given_up.notified();
        tokio::pin!(given_up);
        given_up.as_mut().enable();
        let _turn = self.place.turn.lock().await;
        let patience = self.cluster.settings.start_timeout;
        let end = Instant::now() + patience;
        let started = tokio::select! {
            started = tokio::time::timeout_at(end, self.make_ready()) => started,
            () = given_up => Ok(Err(Failure::GivenUp)),
            () = self.keep_noting() => Ok(Err(Failure::GivenUp)),
        };
        let failure = match started {
            Ok(Ok(running)) => {
                self.note_use_of(&running.uid).await;
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

    /// Tells others that it is used, for as long as it is waited for.
    async fn keep_noting(&self) {
        loop {
            tokio::time::sleep(NOTED / 4).await;
            self.note_use().await;
        }
    }

    async fn make_ready(&self) -> Result<Running, Failure> {
        let cluster = &self.cluster;
        // What is there already is not made anew.
        cluster.listed().await?;
        let known = cluster.until(&self.name, |state| state.is_none_or(|state| !state.deleting)).await;
        let restarted = self.restarted(known.as_ref());
        let uid = match &known {
            Some(state) => {
                state.is_own(&self.name)?;
                state.uid.clone()
            }
            // It owns the others, which its pods need: it is there first, and without pods.
            None => {
                let wanted = Wanted { restarted: restarted.clone(), ..Wanted::default() };
                let made = self.apply(&wanted).await?;
                tracing::info!(server.id = %self.workload.server, deployment = self.name, "made a Deployment");
                made.uid
            }
        };
        // Before anything else, so that nobody takes it for one that nobody uses.
        self.note_use_of(&uid).await;
        let address = self.lead(&uid).await?;
        let secret = match self.objects().secret(&uid) {
            Some(secret) => {
                let applied = cluster.api.apply(Kind::Secret, &self.name, &secret).await?;
                applied["metadata"]["resourceVersion"].as_str().map(str::to_owned)
            }
            None => None,
        };
        let runs = known.as_ref().filter(|state| state.runs());
        if runs.is_some_and(|state| state.secret != secret || state.restarted != restarted) {
            self.until_others_are_done().await;
        }
        let state = self.apply(&Wanted { replicas: 1, secret, restarted }).await?;
        if state.uid != uid {
            let why = format!("the Deployment `{}` was deleted while it was started", self.name);
            return Err(Failure::NotReady(why));
        }
        state.is_own(&self.name)?;
        self.wait_ready(&uid, state.generation).await?;
        self.leads_to_its_own().await?;
        Ok(Running {
            cluster: cluster.clone(),
            name: self.name.clone(),
            uid,
            generation: state.generation,
            address,
            confirmed: Mutex::new(Instant::now()),
            ended: OnceLock::new(),
        })
    }

    /// When it was to be started anew last, by anybody: an older word than that is none.
    fn restarted(&self, known: Option<&State>) -> Option<String> {
        let own = locked(&self.place.restarted).clone();
        let theirs = known.and_then(|state| state.restarted.clone());
        own.into_iter().chain(theirs).max_by_key(|at| at.parse::<u64>().unwrap_or_default())
    }

    /// Applies what says who reaches it and what it reaches, and what leads to it: the address of that.
    async fn lead(&self, uid: &str) -> Result<String, Failure> {
        let (api, objects) = (&self.cluster.api, self.objects());
        api.apply(Kind::NetworkPolicy, &self.name, &objects.network_policy(uid)).await?;
        let service = api.apply(Kind::Service, &self.name, &objects.service(uid)).await?;
        let address = service["spec"]["clusterIP"].as_str().unwrap_or_default();
        if address.parse().is_ok_and(|address| is_of_a_service(address, self.cluster.settings.is_local)) {
            return Ok(address.to_owned());
        }
        let what = super::failure::plain(address);
        Err(Failure::NotReady(format!(
            "the Service `{}` has no address in the cluster (`{what}`)",
            self.name
        )))
    }

    /// That calls are led to its pods and to no others.
    async fn leads_to_its_own(&self) -> Result<(), Failure> {
        let stranger = pods::stranger(&self.cluster.api, &self.name).await?;
        stranger.map_or(Ok(()), |pod| {
            Err(Failure::Foreign(format!(
                "the Pod `{pod}` has the label `{DEPLOYMENT}: {}` and is none of that Deployment: calls would reach it as well; \
                 whoever made it has to delete it",
                self.name
            )))
        })
    }

    /// Makes sure, once a minute, that calls are led where they were led, to what is as it was described, and to nobody who passes
    /// for that.
    pub async fn confirm(&self, running: &Running) {
        {
            let mut confirmed = locked(&running.confirmed);
            if confirmed.elapsed() < CONFIRMED {
                return;
            }
            *confirmed = Instant::now();
        }
        // Whoever starts it does so as well.
        let Ok(_turn) = self.place.turn.try_lock() else { return };
        if running.ended().is_some() {
            return;
        }
        let led = match self.lead(&running.uid).await {
            Ok(address) if address == running.address => self.leads_to_its_own().await,
            Ok(_) => Err(Failure::Foreign("its Service has another address".to_owned())),
            Err(failure) => Err(failure),
        };
        let Err(failure) = led else { return };
        let why = match failure {
            // That nobody answers is no news of it.
            Failure::Away(_) | Failure::Unreadable(..) | Failure::Large(..) => return,
            Failure::Refused(refused) if refused.passes() => return,
            failure => failure.to_string(),
        };
        let _ = running.ended.set(why);
    }

    /// Waits for whoever has been replaced here, or is another gateway, and ends what it began: its pod is about to go.
    async fn until_others_are_done(&self) {
        let done = async {
            while self.place.claims.load(Ordering::Relaxed) > 1 || self.is_used_elsewhere() {
                tokio::time::sleep(LOOK).await;
            }
        };
        let settings = &self.cluster.settings;
        // There has to be time left for the pod that follows.
        let _ = tokio::time::timeout(settings.drain.min(settings.start_timeout / 2), done).await;
    }

    /// Whether another gateway has noted that it uses it.
    fn is_used_elsewhere(&self) -> bool {
        let state = self.cluster.state(&self.name);
        state.is_some_and(|state| uses::by_others(&state.uses, &self.cluster.id, uses::now()))
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
        if self.is_used_elsewhere()
            || self.place.claims.load(Ordering::Relaxed) > 1
            || running.ended().is_some()
        {
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
        let known = self.cluster.state(&self.name);
        let before = self.restarted(known.as_ref()).and_then(|at| at.parse().ok());
        // Later than whatever was said before, by a clock that is ahead as well.
        let at = before.map_or(0, |before: u64| before.saturating_add(1)).max(uses::now());
        *locked(&self.place.restarted) = Some(at.to_string());
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
