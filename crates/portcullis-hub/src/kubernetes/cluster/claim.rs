//! The life of one workload, by a claim to it: its Deployment is started, confirmed while it runs, stopped when it is not used, and
//! started anew.
//!
//! Whoever starts or stops one has its turn meanwhile. That it is used is noted, and that it is deleted decided, in `cluster.rs`.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use super::super::api::Kind;
use super::super::deployment::State;
use super::super::failure::{self, Failure};
use super::super::objects::{DEPLOYMENT, Wanted};
use super::super::pods;
use super::super::uses::{self, NOTED};
use super::{Claim, Running, locked};

/// How often it is looked whether others are done.
const LOOK: Duration = Duration::from_millis(50);
/// How often what leads to a Deployment is applied again while it is used, and who is led to is looked at.
const CONFIRMED: Duration = Duration::from_mins(1);

/// Whether a Service can have this address. What leads back to the gateway's own machine is none.
pub(super) fn is_of_a_service(address: IpAddr, is_local: bool) -> bool {
    let address = address.to_canonical();
    let is_linked = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let is_own = address.is_loopback() && !is_local;
    !(is_own || is_linked || address.is_unspecified() || address.is_multicast())
}

impl Claim {
    /// Makes what is missing, scales it up, and waits until it is ready.
    ///
    /// # Errors
    /// [`Failure`]; what was made stays, and is taken up by the next attempt.
    pub async fn start(&self) -> Result<Arc<Running>, Failure> {
        let given_up = self.place.given_up.notified();
        tokio::pin!(given_up);
        given_up.as_mut().enable();
        let patience = self.cluster.settings.start_timeout;
        let end = Instant::now() + patience;
        let Ok(_turn) = tokio::time::timeout_at(end, self.place.turn.lock()).await else {
            return Err(self.late(patience));
        };
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
        let what = failure::plain(address);
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
        let led = async {
            match self.lead(&running.uid).await {
                Ok(address) if address == running.address => self.leads_to_its_own().await,
                Ok(_) => Err(Failure::Foreign("its Service has another address".to_owned())),
                Err(failure) => Err(failure),
            }
        };
        // It is its turn meanwhile. What comes late is no news, and is asked for again in a minute.
        let Ok(Err(failure)) = tokio::time::timeout(CONFIRMED / 6, led).await else { return };
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
}
