//! The data plane as one object: what all calls share.

mod care;
mod kept;
mod rollouts;
mod unfit;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use portcullis_audit::witness::Witness;
use portcullis_config::{Anonymous, Settings, Store, Transport};
use portcullis_hub::Supervisor;
use portcullis_identity::outbound::{Login, Office};
use portcullis_identity::{Facade, Identity};
use portcullis_mcp::json::{Change as Edit, Raw, write_string};
use portcullis_mcp::subscription::Lists;
use portcullis_model::{Records, ServerId};
use portcullis_telemetry::metrics::Counter;
use portcullis_telemetry::{CurrentTracer, Metrics, Tracer};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::admit::{Gate, Quotas, Shares, step_up};
use crate::budget::Budget;
use crate::call::{Caller, Endpoint};
use crate::discovery;
use crate::identity;
use crate::inspect::Guard;
use crate::listen::{self, Connections, Sessions};
use crate::oversight::Oversight;
use crate::record::{self, Evidence};
use crate::rounds::Lot;
use crate::route::{Servers, Transition, Views};
use crate::seal::Sealer;
use crate::subscribe::Subscribers;
use crate::tasks::Tasks;
use crate::upstream::{Change, Cluster, Known, Server, ServerState, Surroundings, TlsError};

pub use kept::Kept;
pub(crate) use rollouts::now_ms;
pub use unfit::UpdateError;

/// The gateway.
pub struct Gateway {
    pub(crate) env: Arc<Surroundings>,
    pub(crate) settings: ArcSwap<Settings>,
    pub(crate) servers: ArcSwap<Servers>,
    pub(crate) sessions: Sessions,
    /// What request bodies hold that did not come with their head.
    pub(crate) bodies: Arc<Budget>,
    /// Of HTTP+SSE.
    pub(crate) connections: Connections,
    pub(crate) gate: Arc<Gate>,
    /// What each principal holds.
    pub(crate) shares: Shares,
    /// How much of it.
    pub(crate) quotas: Quotas,
    pub(crate) subscribers: Arc<Subscribers>,
    pub(crate) views: Views,
    /// Who gives vectors of texts, where somebody does.
    pub(crate) embeddings: ArcSwapOption<discovery::Embeddings>,
    pub(crate) sealer: Arc<Sealer>,
    /// Calls that wait for their clients to come back.
    pub(crate) lot: Arc<Lot>,
    pub(crate) tasks: Tasks,
    /// What outlives a call.
    pub(crate) records: Arc<dyn Records>,
    /// What happens is kept there, where anything is.
    pub(crate) evidence: Option<Arc<Evidence>>,
    pub(crate) witness: Option<Witness>,
    /// Who is let in.
    pub(crate) identity: Identity,
    /// Counts credentials that let somebody in.
    pub(crate) accepted: Counter,
    /// What clients that browse are shown.
    pub(crate) published: listen::Published,
    /// Logs people in, where the identity provider cannot do what MCP clients need.
    pub(crate) facade: ArcSwapOption<Facade>,
    pub(crate) tracer: CurrentTracer,
    pub(crate) under_way: Arc<AtomicUsize>,
    takes_subjects: AtomicBool,
    /// Logs browsers in.
    pub(crate) login: ArcSwapOption<Login>,
    /// No new work is taken; what is under way may end.
    pub(crate) draining: CancellationToken,
    /// The address that the listener got.
    pub(crate) address: OnceLock<std::net::SocketAddr>,
    info: Raw,
}

/// One server as the operator sees it.
#[derive(Clone, Debug)]
pub struct ServerReport {
    /// Its slug.
    pub id: ServerId,
    /// How it is.
    pub state: ServerState,
    /// The protocol revision in use, once it was reached.
    pub revision: Option<&'static str>,
    /// How many tools, resources, templates and prompts it lists; `None` for a list that was not fetched.
    pub offers: [Option<usize>; 4],
}

impl Gateway {
    /// A gateway for `settings` with `workers` threads that will serve it. Nothing is started or reached yet.
    ///
    /// # Errors
    /// When a server's certificates cannot be loaded, or something is wrong with the policies.
    pub fn new(
        settings: Settings,
        workers: usize,
        control: Handle,
        supervisor: Supervisor,
        metrics: Metrics,
        tracer: Tracer,
        kept: Kept,
    ) -> Result<Arc<Self>, UpdateError> {
        let Kept { records, evidence, witness } = kept;
        let info = implementation();
        let limits = settings.limits.clone();
        let metrics_of_callers = metrics.clone();
        let watch = Arc::new(identity::Counts::new(metrics.clone(), evidence.clone()));
        let identity = Identity::watched(control.clone(), watch);
        let policies = unfit::policies(&settings)?;
        let gate = Arc::new(Gate::default());
        gate.put(policies);
        let office = Office::new(records.clone(), settings.vault_key, control.clone());
        let client_info = info.as_str().to_owned();
        let oversight = Arc::new(Oversight::new(records.clone(), &settings, evidence.clone()));
        let guard = Guard::new(&settings, &metrics);
        let cluster = settings.kubernetes.as_ref().map(|it| Cluster::new(it, &settings.limits)).transpose();
        let cluster = cluster.map_err(UpdateError::Kubernetes)?;
        let env = Surroundings::new(
            control,
            supervisor,
            cluster,
            workers,
            client_info,
            metrics,
            office,
            oversight,
            limits,
            guard,
        );
        let gateway = Arc::new(Self {
            env: Arc::new(env),
            settings: ArcSwap::from_pointee(settings),
            servers: ArcSwap::default(),
            sessions: Sessions::default(),
            bodies: Arc::default(),
            connections: Connections::default(),
            subscribers: Subscribers::new(gate.clone()),
            gate,
            shares: Shares::default(),
            quotas: Quotas::new(metrics_of_callers.clone()),
            views: Views::default(),
            embeddings: ArcSwapOption::empty(),
            sealer: Arc::default(),
            lot: Arc::default(),
            tasks: Tasks::default(),
            records,
            evidence,
            witness,
            accepted: identity::accepted(&metrics_of_callers),
            identity,
            published: listen::Published::default(),
            facade: ArcSwapOption::empty(),
            tracer: CurrentTracer::new(tracer),
            under_way: Arc::default(),
            takes_subjects: AtomicBool::new(false),
            login: ArcSwapOption::empty(),
            draining: CancellationToken::new(),
            address: OnceLock::new(),
            info,
        });
        let env = Arc::downgrade(&gateway.env);
        // While there is none, there is no server that could say anything.
        gateway.env.oversight.read_with(move || Some(Arc::clone(&env.upgrade()?.guard())));
        let weak = Arc::downgrade(&gateway);
        gateway.env.on_change(move |change| {
            if let Some(gateway) = weak.upgrade() {
                gateway.take_change(change);
            }
        });
        let weak = Arc::downgrade(&gateway);
        gateway.env.on_page_done(move |server, client, id| {
            if let Some(gateway) = weak.upgrade() {
                listen::page_done(&gateway, server, client, id);
            }
        });
        gateway.put_in_service()?;
        Ok(gateway)
    }

    /// Whether a gateway could be made of `settings`; nothing is started or reached.
    ///
    /// # Errors
    /// As [`Gateway::new`].
    pub fn check(settings: &Settings) -> Result<(), UpdateError> {
        for (id, server) in settings.servers.iter().filter(|(_, server)| server.enabled) {
            Server::check(id, server).map_err(|cause| UpdateError::Server(id.clone(), cause))?;
        }
        identity::clients(&settings.identity).map_err(|(id, cause)| UpdateError::Issuer(id, cause))?;
        identity::check_keys(&settings.identity).map_err(UpdateError::Key)?;
        if let Some(facade) = &settings.identity.facade {
            identity::facade_settings(settings, &identity::base(settings, None))
                .map_err(UpdateError::Facade)?;
            identity::facade_outsides(facade, identity::Counts::new(Metrics::default(), None))
                .map_err(no_facade)?;
        }
        if let Some(ca) = settings.secrets.as_ref().and_then(|vault| vault.ca.as_deref()) {
            let outside = identity::outside(Some(ca));
            outside.map_err(|cause| UpdateError::Issuer("secrets.vault".to_owned(), cause))?;
        }
        let cluster = settings.kubernetes.as_ref().map(|it| Cluster::new(it, &settings.limits));
        cluster.transpose().map_err(UpdateError::Kubernetes)?;
        unfit::policies(settings)?;
        Ok(())
    }

    /// Takes up a new configuration. Servers whose settings did not change keep everything that they have open;
    /// sessions and running calls go on.
    ///
    /// # Errors
    /// As [`Gateway::new`]; the old configuration stays in force then.
    pub fn reload(self: &Arc<Self>, settings: Settings) -> Result<(), UpdateError> {
        let policies = unfit::policies(&settings)?;
        let old = self.settings.swap(Arc::new(settings));
        // Before the servers: a new one is not to be there for a moment without the policies that came with it.
        let other = {
            let new = self.settings.load();
            new.policy != old.policy || step_up(&new) != step_up(&old)
        };
        let replaced = if other { self.gate.put(policies) } else { None };
        let guard = self.put_guard(&old);
        match self.put_in_service() {
            Ok(()) => {
                if discovery::differs(&self.settings.load(), &old) {
                    self.subscribers.tools_changed(self);
                }
                if other {
                    tracing::info!("took up the policies");
                    self.subscribers.policies_changed(self);
                }
                if guard.is_some() {
                    tracing::info!("took up the guard");
                    self.show_anew();
                }
                Ok(())
            }
            Err(error) => {
                self.settings.store(old);
                if let Some(guard) = guard {
                    self.env.set_guard(guard);
                }
                if other {
                    self.gate.put(replaced);
                }
                Err(error)
            }
        }
    }

    /// Starts a server anew, as if it were configured differently: calls under way end at the old one, and whoever calls next
    /// gets the new one.
    ///
    /// # Errors
    /// When no server can be made of its settings any more; the old one goes on then.
    pub(crate) async fn restart(self: &Arc<Self>, server: &ServerId) -> Result<(), UpdateError> {
        let Some(catalogue) = self.servers.load().find(server.as_str()).cloned() else { return Ok(()) };
        catalogue.server.wear_out();
        catalogue.others().iter().for_each(|other| other.server.wear_out());
        let gateway = self.clone();
        // Where reloads are made, one after the other.
        let restarted = self.env.control.spawn(async move { gateway.put_in_service() }).await;
        // It is not waited for where everything stops.
        restarted.unwrap_or(Ok(()))
    }

    /// Puts the guard of the settings in force, if it is another one; returns the one that was. Groups that policies give
    /// to callers and what servers are called with belong to it.
    fn put_guard(&self, old: &Settings) -> Option<Arc<Guard>> {
        let settings = self.settings.load();
        (!Guard::is_same(&settings, old))
            .then(|| self.env.set_guard(Guard::new(&settings, &self.env.metrics)))
    }

    /// What servers say of themselves was read by another guard: it is asked for anew, and whoever listens is told.
    fn show_anew(&self) {
        for catalogue in self.servers.load().iter() {
            catalogue.forget();
            self.env.tell_of_lists(catalogue.server.id(), Known::Announced);
        }
    }

    /// Traces with another tracer from now on. Spans under way go where they began.
    pub fn trace_with(&self, tracer: Tracer) {
        self.tracer.replace(tracer);
    }

    /// Sends the spans that still wait, for no longer than `within`.
    pub async fn end_tracing(&self, within: Duration) {
        self.tracer.shutdown(within).await;
    }

    /// A list has changed, or may have: what is kept of it is doubted first, so that whoever is told and asks again gets
    /// the new one.
    fn take_change(self: &Arc<Self>, change: Change) {
        let Change { server, owner, method, known, within } = change;
        let servers = self.servers.load();
        // What one user hears is of that user's lists alone.
        let whose = servers.find(server.as_str()).map(|catalogue| match &owner {
            Some(owner) => catalogue.those_of(owner),
            None => vec![catalogue.clone()],
        });
        for catalogue in whose.iter().flatten() {
            match known {
                Known::Assumed => {
                    catalogue.doubt(&method, within.as_ref(), self.subscribers.listen_to(&server));
                }
                Known::Announced => catalogue.invalidate(&method, within.as_ref()),
                Known::Seen | Known::First => {}
            }
        }
        let Some(list) = Lists::of(&method) else { return };
        match known {
            Known::Announced | Known::Seen => self.subscribers.announce(self, server, owner, list),
            Known::First => self.subscribers.first_seen(self, &server, list),
            Known::Assumed => {}
        }
    }

    /// Whether who calls from the same machine without a word is who runs the gateway. To others, a server's stderr says too much.
    pub(crate) fn is_at_home(&self) -> bool {
        let settings = self.settings.load();
        let listener = self.address.get().copied().unwrap_or(settings.listen);
        listener.ip().is_loopback()
            && settings.identity.anonymous == Anonymous::Allow
            && !settings.identity.takes_tokens()
            && settings.tls.as_ref().is_none_or(|tls| tls.client_ca.is_none())
    }

    fn put_in_service(self: &Arc<Self>) -> Result<(), UpdateError> {
        let settings = self.settings.load();
        let until = Instant::now() + settings.limits.drain;
        let update = self.servers.load().update(&settings, &self.env, until);
        let update = update.map_err(|(server, cause)| UpdateError::Server(server, cause))?;
        let who = self.who_calls(&settings)?;
        let login = identity::login(&settings.identity, &self.env.office);
        let login = login.map_err(|cause| UpdateError::Issuer("identity.login".to_owned(), cause))?;
        let secrets = identity::secrets(&settings, &self.env.office, &self.env.control);
        let secrets = secrets.map_err(|cause| UpdateError::Issuer("secrets.vault".to_owned(), cause))?;
        self.env.supervisor.quote_stderr(self.is_at_home());
        self.env.set_limits(settings.limits.clone());
        self.sealer.rotate_every(settings.limits.key_rotation);
        self.put_embeddings(&settings);
        self.env.searched.store(discovery::is_configured(&settings), Ordering::Relaxed);
        self.env.oversight.expect(&settings.registered);
        let (anew, switched) = self.env.oversight.set(&settings);
        self.tell_office_where_it_is();
        self.login.store(login.map(Arc::new));
        self.env.office.set_secrets(secrets);
        self.quotas.reload(&settings);
        // A client has as many answers to read at most as it may have calls under way.
        let limits = &settings.limits;
        self.sessions.replay().set_limits(limits.replay_bytes, limits.concurrent_per_client);
        let takes_subjects = settings.all_servers().any(|server| match &server.transport {
            Transport::Http(http) => http.credentials.as_ref().is_some_and(|it| it.kind.takes_subject()),
            Transport::Stdio(_) => false,
        });
        self.takes_subjects.store(takes_subjects, Ordering::Relaxed);
        self.take_up(&settings, who);
        let lasts = settings.store != Store::Memory && self.env.office.is_lasting();
        if !lasts && update.servers.iter().any(|catalogue| catalogue.server.connects_users()) {
            tracing::info!(
                "accounts that users connect are gone with this process: to keep them takes a `store` and a `vault.key`"
            );
        }
        self.subscribers.put_toolsets(update.servers.toolsets().clone());
        let listening = self.before_transitions(&update.transitions);
        // Whoever finds the new ones finds all versions, and so does whoever still finds the old ones.
        update.transitions.iter().for_each(|it| it.begin(|| self.sessions.ids()));
        self.servers.store(Arc::new(update.servers));
        update.transitions.into_iter().for_each(Transition::end);
        if anew {
            for catalogue in self.servers.load().iter() {
                self.env.tell_of_lists(catalogue.server.id(), Known::Announced);
            }
        }
        for server in switched {
            self.env.tell_of_lists(&server, Known::Seen);
        }
        self.subscribers.endpoints_changed(self, &update.changed, &update.changed_toolsets);
        self.after_transitions(listening);
        for server in update.changed {
            self.env.tell_of_lists(&server, Known::Announced);
        }
        for server in update.retired {
            tracing::info!(server.id = %server.id(), "server goes out of service");
            let (gateway, patience) = (self.clone(), settings.limits.drain);
            self.env.control.spawn(async move {
                server.clone().retire(patience).await;
                // One that was only replaced goes on counting.
                if gateway.servers.load().find(server.id().as_str()).is_none() {
                    gateway.env.metrics.remove_server(server.id().as_str());
                }
            });
        }
        Ok(())
    }

    /// What is needed to find out who calls.
    fn who_calls(&self, settings: &Settings) -> Result<WhoCalls, UpdateError> {
        let clients = identity::clients(&settings.identity);
        let clients = clients.map_err(|(issuer, cause)| UpdateError::Issuer(issuer, cause))?;
        identity::check_keys(&settings.identity).map_err(UpdateError::Key)?;
        let base = identity::base(settings, self.address.get().copied());
        let facade = identity::facade_settings(settings, &base).map_err(UpdateError::Facade)?;
        let facade = match (facade, &settings.identity.facade) {
            (Some(facade), Some(configured)) => {
                let before = self.facade.load_full();
                match before {
                    Some(before) if *before.settings() == facade => Some(before),
                    before => {
                        let watch = identity::Counts::new(self.env.metrics.clone(), self.evidence.clone());
                        let outsides = identity::facade_outsides(configured, watch).map_err(no_facade)?;
                        let (records, ended) = (self.records.clone(), self.identity.ended().clone());
                        let control = &self.env.control;
                        let before = before.as_deref();
                        Some(Arc::new(Facade::new(facade, records, &outsides, control, ended, before)))
                    }
                }
            }
            _ => None,
        };
        Ok(WhoCalls { clients, facade })
    }

    fn take_up(&self, settings: &Settings, who: WhoCalls) {
        let WhoCalls { clients, facade } = who;
        self.facade.store(facade.clone());
        let identity = identity::settings(&settings.identity, facade.as_ref().map(|it| it.settings()));
        self.identity.reload(identity, |issuer| {
            if let Some(facade) = facade.as_ref().filter(|it| it.settings().issuer == issuer.issuer) {
                return facade.as_fetch();
            }
            let client = clients.iter().find(|(id, _)| *id == issuer.issuer);
            client.expect("every issuer was given a client").1.clone()
        });
    }

    /// The listener has its address, which is a part of every name where no `public_url` is.
    pub(crate) fn listens_on(&self, address: std::net::SocketAddr) {
        if self.address.set(address).is_err() {
            return;
        }
        self.tell_office_where_it_is();
        let settings = self.settings.load();
        if settings.identity.facade.is_some() && settings.public_url.is_none() {
            match self.who_calls(&settings) {
                Ok(who) => self.take_up(&settings, who),
                Err(error) => tracing::error!(%error, "nobody can log in"),
            }
        }
    }

    /// The URL under which browsers know the gateway has been settled.
    pub(crate) fn tell_office_where_it_is(&self) {
        let settings = self.settings.load();
        self.env.office.set_base(identity::base(&settings, self.address.get().copied()));
    }

    /// Whether a server wants callers' tokens in exchange.
    pub(crate) fn takes_subjects(&self) -> bool {
        self.takes_subjects.load(Ordering::Relaxed)
    }

    /// Who an endpoint is: an `Implementation`. A server's own endpoint bears the server's name.
    pub(crate) fn server_info(&self, endpoint: &Endpoint, caller: &Caller) -> Raw {
        let servers = self.servers.load();
        match endpoint {
            Endpoint::Aggregate => self.info_of(None),
            Endpoint::Server(id) => self.info_of(
                servers.find(id.as_str()).map(|it| it.version_of(caller)).as_ref().map(|it| &it.server),
            ),
            Endpoint::Toolset(id) => match servers.toolsets().get(id).and_then(|toolset| toolset.title()) {
                Some(title) => self.info.with(&[("title", Edit::Set(Raw::from_text(title).as_bytes()))]),
                None => self.info_of(None),
            },
        }
    }

    /// Who a server is, or the gateway, where that is not known.
    pub(crate) fn info_of(&self, server: Option<&Arc<Server>>) -> Raw {
        let own = server.and_then(|server| {
            let peer = server.about()?;
            self.env.definitions(server.id()).value(peer.server_info.as_ref()?)
        });
        own.unwrap_or_else(|| self.info.clone())
    }

    /// Reaches every server and fetches its lists, all at once, so that the first client finds them there.
    pub async fn warm_up(self: &Arc<Self>) {
        let servers = self.servers.load_full();
        crate::route::warm_up(&servers).await;
    }

    /// Fetches what servers show to clients of another era or with other capabilities, as far as they do.
    pub async fn list_for_others(self: &Arc<Self>) {
        let servers = self.servers.load_full();
        crate::route::list_for_others(&servers).await;
    }

    /// The servers in service.
    pub fn report(&self) -> Vec<ServerReport> {
        self.servers.load().iter().map(|catalogue| catalogue.report()).collect()
    }

    /// Stops taking new work: `/readyz` says so, new calls are refused. Returns how long running calls may take.
    pub fn drain(&self) -> Duration {
        self.draining.cancel();
        // Their clients cannot come back any more.
        self.lot.clear();
        self.env.limits().drain
    }

    /// Takes all servers out of service and stops their children.
    pub async fn close(&self) {
        if let Some(cluster) = &self.env.cluster {
            cluster.leave();
        }
        let servers = self.servers.swap(Arc::default());
        let patience = Duration::ZERO;
        let all = servers.iter().flat_map(|catalogue| catalogue.all_servers());
        let closing = all.map(|server| server.retire(patience));
        futures_util::future::join_all(closing).await;
        self.env.supervisor.shutdown().await;
    }

    /// The metrics as they are read: with what is only known when somebody asks.
    pub(crate) fn render_metrics(&self) -> String {
        for (issuer, age) in self.identity.ages_of_keys() {
            let help = "Age of the keys of an identity provider, in seconds.";
            let gauge =
                self.env.metrics.gauge("portcullis_issuer_keys_age_seconds", help, &[("issuer", &issuer)]);
            gauge.set(i64::try_from(age).unwrap_or(i64::MAX));
        }
        if let Some(evidence) = &self.evidence {
            record::show(evidence, &self.env.metrics);
        }
        self.env.metrics.render()
    }

    /// The metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.env.metrics
    }
}

/// How it is found out who calls.
struct WhoCalls {
    clients: identity::Clients,
    facade: Option<Arc<Facade>>,
}

fn no_facade(cause: TlsError) -> UpdateError {
    UpdateError::Issuer("identity.facade".to_owned(), cause)
}

fn implementation() -> Raw {
    let mut out = b"{\"name\":\"portcullis\",\"title\":\"Portcullis\",\"version\":".to_vec();
    write_string(&mut out, env!("CARGO_PKG_VERSION"));
    out.push(b'}');
    Raw::trusted(out)
}
