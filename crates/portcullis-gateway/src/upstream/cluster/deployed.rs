//! A server whose image the cluster runs: started by who needs it, reached where the cluster put it, and stopped when nobody has
//! used it for a while.
//!
//! It is shared by all who are that server: the one that everybody knows and those of single users. A stop cuts no call off;
//! whoever comes meanwhile waits, and then starts it again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use http::Uri;
use portcullis_config as config;
use portcullis_hub::kubernetes::{Claim, Failure, PodLog, Running};
use portcullis_model::{ErrorKind, ServerId};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{Cluster, workload};
use crate::call::Refusal;
use crate::moment::LastUse;
use crate::upstream::http::{Place, SharedLink};
use crate::upstream::server::Server;

/// A Service may lead nowhere for a moment when its pod has become ready.
const ROUTED: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);
/// How often it is looked whether it is used, at the least.
const LOOK: Duration = Duration::from_secs(15);
/// A use that is longer ago is none that is told to others.
const LATELY: Duration = Duration::from_mins(1);

/// A server in the cluster.
pub(crate) struct Deployed {
    server: ServerId,
    port: u16,
    path: String,
    idle_stop: Option<Duration>,
    /// `None` when it was let go.
    claim: Mutex<Option<Arc<Claim>>>,
    /// As it runs now. Whoever starts it holds on to this.
    now: tokio::sync::Mutex<Option<Now>>,
    users: Mutex<Vec<Weak<Server>>>,
    used: LastUse,
}

struct Now {
    running: Arc<Running>,
    place: Place,
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Deployed {
    /// It is claimed, and started by the first who needs it.
    pub(crate) fn new(
        cluster: &Cluster,
        server: &ServerId,
        version: Option<&str>,
        image: &config::Image,
    ) -> Arc<Self> {
        let claim = cluster.0.claim(workload(server, version, image));
        Arc::new(Self {
            server: server.clone(),
            port: image.port,
            path: image.path.clone(),
            idle_stop: image.idle_stop,
            claim: Mutex::new(Some(Arc::new(claim))),
            now: tokio::sync::Mutex::default(),
            users: Mutex::default(),
            used: LastUse::now(),
        })
    }

    /// The way to it, started where it does not run. Must run on the control runtime.
    ///
    /// # Errors
    /// It cannot be started, or not be reached.
    pub(crate) async fn reach(
        self: &Arc<Self>,
        user: &Arc<Server>,
        link: &SharedLink,
    ) -> Result<(SharedLink, Arc<Running>), Refusal> {
        self.used_by(user);
        let mut now = self.now.lock().await;
        if let Some(Now { running, place }) = now.as_ref().filter(|now| now.running.ended().is_none()) {
            return Ok((Arc::new(link.moved(place)), running.clone()));
        }
        let claim = self.claim().ok_or_else(|| self.refusal("it has been taken out of service"))?;
        let running = claim.start().await.map_err(|failure| self.failed(&failure))?;
        self.until_routed(&running.address).await?;
        let place = Place::new(&self.url(&running.address)?, user.env().workers + 1)
            .map_err(|error| self.refusal(&error.to_string()))?;
        tracing::info!(server.id = %self.server, deployment = claim.name(), "the Deployment is ready");
        let way = Arc::new(link.moved(&place));
        *now = Some(Now { running: running.clone(), place });
        self.used.touch();
        tokio::spawn(self.clone().look(claim, running.clone()));
        Ok((way, running))
    }

    fn url(&self, address: &str) -> Result<Uri, Refusal> {
        let (port, path) = (self.port, &self.path);
        let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        let url = format!("http://{host}:{port}{path}").parse();
        url.map_err(|_| self.refusal("its Service has an address that leads nowhere"))
    }

    /// Waits until somebody takes connections there.
    async fn until_routed(&self, address: &str) -> Result<(), Refusal> {
        let end = Instant::now() + ROUTED;
        loop {
            let why = match tokio::time::timeout_at(end, TcpStream::connect((address, self.port))).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "nobody answers".to_owned(),
            };
            if Instant::now() + PAUSE >= end {
                let port = self.port;
                return Err(self.refusal(&format!(
                    "its Deployment is ready, but its Service cannot be reached at {address} port {port} from here ({why}): the \
                     gateway has to run where addresses of Services lead somewhere, and be what `kubernetes.gateway` says it is"
                )));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn used_by(&self, user: &Arc<Server>) {
        self.used.touch();
        let mut users = locked(&self.users);
        users.retain(|known| known.strong_count() > 0);
        if !users.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(user))) {
            users.push(Arc::downgrade(user));
        }
    }

    fn users(&self) -> Vec<Arc<Server>> {
        locked(&self.users).iter().filter_map(Weak::upgrade).collect()
    }

    fn claim(&self) -> Option<Arc<Claim>> {
        locked(&self.claim).clone()
    }

    /// How long nobody has used it.
    fn unused(&self) -> Duration {
        let unused = self.users().iter().map(|user| user.unused()).min();
        unused.unwrap_or(Duration::MAX).min(self.used.elapsed())
    }

    /// Looks after it for as long as it runs.
    async fn look(self: Arc<Self>, claim: Arc<Claim>, running: Arc<Running>) {
        let pause = self.idle_stop.map_or(LOOK, |idle| (idle / 4).clamp(PAUSE, LOOK));
        // Whoever lets go of it does not wait for this to end.
        let held = Arc::downgrade(&claim);
        drop(claim);
        loop {
            tokio::time::sleep(pause).await;
            let Some(claim) = held.upgrade() else { return };
            if let Some(why) = running.ended() {
                tracing::info!(server.id = %self.server, why, "the Deployment is no longer in use");
                return;
            }
            let unused = self.unused();
            if unused < LATELY {
                claim.note_use().await;
            }
            claim.confirm(&running).await;
            if self.idle_stop.is_none_or(|idle| unused < idle) {
                continue;
            }
            if !self.ask_before_rest().await {
                continue;
            }
            match self.stop(&claim, &running).await {
                Ok(true) => tracing::info!(server.id = %self.server, "scaled down, since nobody used it"),
                Ok(false) => {}
                Err(failure) => tracing::warn!(server.id = %self.server, %failure, "cannot be scaled down"),
            }
        }
    }

    /// Has all who have conversations with it ask for what they would have to start it for; says whether still nobody uses it.
    async fn ask_before_rest(&self) -> bool {
        let users = self.users();
        let asked = users.iter().map(async |user| {
            let open = user.open_connections();
            let asked = open.iter().map(|connection| user.ask_before_rest(connection));
            join_all(asked).await.into_iter().all(|unused| unused)
        });
        join_all(asked).await.into_iter().all(|unused| unused)
    }

    /// Scales it down, with no call cut off: a call takes its place before it gets a conversation, so whoever has one that is
    /// about to end is seen, and whoever has none starts it again.
    async fn stop(&self, claim: &Claim, running: &Running) -> Result<bool, Failure> {
        let users = self.users();
        let open: Vec<_> = users.iter().flat_map(|user| user.open_connections()).collect();
        let unused = || {
            for user in &users {
                user.let_go(&open);
            }
            users.iter().all(|user| !user.is_in_use())
        };
        let closed = async {
            for connection in &open {
                connection.close().await;
            }
        };
        claim.stop(running, unused, closed).await
    }

    /// What its pods wrote lately.
    ///
    /// # Errors
    /// Why that cannot be had.
    pub(crate) async fn logs(&self) -> Result<Vec<PodLog>, Refusal> {
        let Some(claim) = self.claim() else { return Ok(Vec::new()) };
        claim.logs().await.map_err(|failure| self.failed(&failure))
    }

    /// Its next start makes another pod.
    pub(crate) fn wear_out(&self) {
        if let Some(claim) = self.claim() {
            claim.restart();
        }
    }

    /// It is not wanted any more: whoever else wants it keeps it, and without one it is deleted.
    pub(crate) fn release(&self) {
        drop(locked(&self.claim).take());
    }

    /// Deletes it now.
    pub(crate) async fn delete(&self) {
        let Some(claim) = self.claim() else { return };
        if let Err(failure) = claim.delete().await {
            tracing::warn!(server.id = %self.server, %failure, "cannot delete its Deployment");
        }
    }

    fn failed(&self, failure: &Failure) -> Refusal {
        let advice = match failure {
            Failure::NotReady(_) => format!(
                ". Its image has to serve Streamable HTTP on port {} (`container.port`); one that speaks over stdio only cannot be \
                 run here",
                self.port
            ),
            _ => String::new(),
        };
        self.refusal(&format!("{failure}{advice}"))
    }

    fn refusal(&self, why: &str) -> Refusal {
        Refusal::new(ErrorKind::UpstreamUnavailable, format!("server `{}`: {why}", self.server))
    }
}
