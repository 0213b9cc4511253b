//! The servers that were approved in the registry, beside those of the configuration.
//!
//! The registry is in the store, where other gateways and the command line change it; whether it has changed is looked up
//! once a second, and what it comes to once a minute in any case. A server of the configuration stays what it is when one of
//! the registry has its name, and one that no gateway could be made with is left out, so that it takes nothing else with it.

use std::collections::btree_map::Entry as Place;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_config::{
    Environment, Format, Loaded, LockedPackages, NextVersion, Offered, Offers, Overrides, ProcessEnvironment,
    Registered, RegistryPackages, Server, Settings, Transport,
};
use portcullis_gateway::Gateway;
use portcullis_hub::registry::{Entry, InUse as Versions, Registry, Start, in_use};
use portcullis_model::{Records, ServerId, Unavailable};
use serde_json::json;

/// After so long all is looked at, whether something has changed or not: whoever changed it may have ended before saying so.
const WHOLE_LOOK: Duration = Duration::from_mins(1);

/// What the gateway's own tools are called by, as if a server had them.
pub(crate) const HUB: &str = "hub";

/// What of the registry is in use, or was.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct InUse {
    /// Each version that was ever approved, in the order of names and with the newest of each first.
    pub entries: Arc<Vec<Entry>>,
    servers: BTreeMap<ServerId, Server>,
    registered: BTreeMap<ServerId, Registered>,
}

impl InUse {
    /// The settings with the servers that were approved.
    pub(crate) fn with(&self, settings: &Settings) -> Settings {
        let mut settings = settings.clone();
        let packages = &settings.registry.packages;
        for (id, server) in &self.servers {
            if let Place::Vacant(place) = settings.servers.entry(id.clone()) {
                place.insert(from(server, packages));
                settings.registered.extend(self.registered.get(id).map(|it| {
                    let mut registered = it.clone();
                    if let Some(next) = &mut registered.next {
                        next.server = from(&next.server, packages);
                    }
                    (id.clone(), registered)
                }));
            }
        }
        settings
    }

    /// The servers that the configuration has, too.
    fn outdone_by<'a>(&'a self, settings: &'a Settings) -> impl Iterator<Item = &'a ServerId> {
        self.servers.keys().filter(|id| settings.servers.contains_key(*id))
    }
}

/// A server with its packages coming from where the settings say.
pub(crate) fn from(server: &Server, packages: &RegistryPackages) -> Server {
    let mut server = server.clone();
    if let Transport::Stdio(stdio) = &mut server.transport
        && let Some(locked) = &mut stdio.locked
    {
        locked.packages = packages.clone();
    }
    server
}

/// Looks after what is in use.
pub(crate) struct Approved {
    registry: Registry,
    /// As it was last looked up, and when all was.
    epoch: Option<u64>,
    looked: Option<Instant>,
    /// What is in force.
    kept: InUse,
    /// The locks of packages of what was last looked up, by their digests.
    locks: BTreeMap<String, Arc<str>>,
    /// What was said already, so that it is said once: the store did not answer; what is wrong with which version; which
    /// servers count for nothing.
    away: bool,
    unfit: BTreeSet<String>,
    outdone: BTreeSet<ServerId>,
}

impl Approved {
    pub(crate) fn new(records: Arc<dyn Records>) -> Self {
        Self {
            registry: Registry::new(records),
            epoch: None,
            looked: None,
            kept: InUse::default(),
            locks: BTreeMap::new(),
            away: false,
            unfit: BTreeSet::new(),
            outdone: BTreeSet::new(),
        }
    }

    /// What is in force.
    pub(crate) fn in_use(&self) -> &InUse {
        &self.kept
    }

    /// What is in use now, if that is not what is in force. While the store is away, what was approved stays so.
    pub(crate) async fn look(&mut self) -> Option<InUse> {
        let looked = self.look_up().await;
        match &looked {
            Err(error) if !self.away => {
                tracing::warn!(%error, "the registry of servers cannot be looked up; what was approved stays so");
            }
            _ => {}
        }
        self.away = looked.is_err();
        looked.ok().flatten().filter(|now| *now != self.kept)
    }

    /// It was put in force beside `settings`.
    pub(crate) fn keep(&mut self, now: InUse, settings: &Settings) {
        self.kept = now;
        self.compare(settings);
    }

    /// Says which servers count for nothing beside `settings`, where that is news.
    pub(crate) fn compare(&mut self, settings: &Settings) {
        let outdone: BTreeSet<_> = self.kept.outdone_by(settings).cloned().collect();
        for id in outdone.difference(&self.outdone) {
            tracing::warn!(server.id = %id, "the registry has a server of this name, too; that of the configuration counts");
        }
        self.outdone = outdone;
    }

    /// All that is in use, where it has to be looked at.
    async fn look_up(&mut self) -> Result<Option<InUse>, Unavailable> {
        let epoch = self.registry.epoch().await?;
        let lately = self.looked.is_some_and(|looked| looked.elapsed() < WHOLE_LOOK);
        if lately && self.epoch == Some(epoch) {
            return Ok(None);
        }
        let all = self.registry.all().await?.into_iter().map(|shelved| shelved.entry);
        let entries: Vec<_> = all.filter(|entry| entry.approved().is_some()).collect();
        self.look_up_locks(&entries).await?;
        (self.epoch, self.looked) = (Some(epoch), Some(Instant::now()));
        let (mut servers, mut registered) = (BTreeMap::new(), BTreeMap::new());
        let before = std::mem::take(&mut self.unfit);
        for Versions { entry, next } in in_use(&entries) {
            let Some((id, server)) = self.fit(entry, &before) else { continue };
            // Without the one that is rolled out, all have the other.
            let next = next.and_then(|(next, share)| {
                let (_, server) = self.fit(next, &before)?;
                let (version, offers) = (next.version().to_owned(), offers(next));
                Some(NextVersion { version, offers, percent: share.percent(), server })
            });
            let (version, offers) = (entry.version().to_owned(), offers(entry));
            registered.insert(id.clone(), Registered { version, offers, next });
            servers.insert(id, server);
        }
        Ok(Some(InUse { entries: Arc::new(entries), servers, registered }))
    }

    /// Fetches the locks of these versions, of which none ever changes.
    async fn look_up_locks(&mut self, entries: &[Entry]) -> Result<(), Unavailable> {
        let mut before = std::mem::take(&mut self.locks);
        for locked in entries.iter().filter(|it| it.stage().is_in_use()).filter_map(Entry::lock) {
            let lock = match before.remove(&locked.digest) {
                Some(lock) => lock,
                None => match self.registry.lock(&locked.digest).await? {
                    Some(lock) => lock.text().clone(),
                    // The version without it is not fit, and the others are.
                    None => continue,
                },
            };
            self.locks.insert(locked.digest.clone(), lock);
        }
        Ok(())
    }

    /// The version as a server; what it is not fit for is said when it was not `before`.
    fn fit(&mut self, entry: &Entry, before: &BTreeSet<String>) -> Option<(ServerId, Server)> {
        let problems = match fit(entry, &self.locks) {
            Ok(server) => return Some(server),
            Err(problems) => problems,
        };
        let problem = format!("{} {}: {problems}", entry.slug, entry.version());
        if !before.contains(&problem) {
            let (server, version) = (&entry.slug, entry.version());
            tracing::error!(
                server.id = server,
                version,
                problems,
                "an approved version cannot be reached as it says"
            );
        }
        self.unfit.insert(problem);
        None
    }
}

/// What it was seen to offer by the scan that it was approved after.
fn offers(entry: &Entry) -> Offers {
    let of = entry.offers().iter().map(|it| Offered {
        kind: it.kind.clone(),
        name: it.name.clone(),
        digest: it.digest.clone(),
    });
    of.collect()
}

/// What a version comes to as a server that a gateway can be made with.
fn fit(entry: &Entry, locks: &BTreeMap<String, Arc<str>>) -> Result<(ServerId, Server), String> {
    let settings = server_in(&entry.slug, &entry.launch, &Ours)?;
    Gateway::check(&settings).map_err(|error| error.to_string())?;
    let (id, mut server) = only_server(settings)?;
    if let Some(locked) = entry.lock() {
        let lock = locks.get(&locked.digest).ok_or("the lock of its packages is not what it was")?;
        lock_to(&mut server, entry, lock.clone(), locked.digest.clone())?;
    }
    Ok((id, server))
}

/// Has a server started from the packages of a lock, whose program takes what it was to take of `npx` or `uvx`.
pub(crate) fn lock_to(
    server: &mut Server,
    entry: &Entry,
    lock: Arc<str>,
    digest: String,
) -> Result<(), String> {
    let document = entry.document().ok_or("what is kept of it is no server.json any more")?;
    let start = Start::of(&entry.launch, &document).map_err(|error| error.to_string())?;
    let (Some(start), Transport::Stdio(stdio)) = (start, &mut server.transport) else {
        return Err("it is started from no packages".to_owned());
    };
    stdio.args.drain(..start.skip.min(stdio.args.len()));
    stdio.locked = Some(Box::new(LockedPackages { lock, digest, packages: RegistryPackages::default() }));
    Ok(())
}

/// A server under its name, checked as if it stood in the configuration.
pub(crate) fn server_of(slug: &str, launch: &serde_json::Value) -> Result<(ServerId, Server), String> {
    only_server(server_in(slug, launch, &Ours)?)
}

/// Whether it would be one for a gateway in whose environment nothing is missing.
pub(crate) fn would_be_one(slug: &str, launch: &serde_json::Value) -> Result<(), String> {
    server_in(slug, launch, &Elsewhere).map(|_| ())
}

/// Our own environment without what configures the program itself: that is nobody else's, and another gateway's listener
/// would be held against the servers of this one.
pub(crate) struct Ours;

impl Environment for Ours {
    fn var(&self, name: &str) -> Option<String> {
        (!is_the_programs(name)).then(|| ProcessEnvironment.var(name)).flatten()
    }
}

/// The environment of a gateway that runs elsewhere: whatever is asked for is there, and nobody knows what it is.
struct Elsewhere;

impl Environment for Elsewhere {
    fn var(&self, name: &str) -> Option<String> {
        (!is_the_programs(name)).then(|| "unknown".to_owned())
    }
}

fn is_the_programs(name: &str) -> bool {
    name.starts_with("PORTCULLIS_")
}

/// The settings of a gateway that has this server and no other.
fn server_in(
    slug: &str,
    launch: &serde_json::Value,
    environment: &dyn Environment,
) -> Result<Settings, String> {
    if slug == HUB {
        return Err(format!("`{HUB}` is the gateway itself; give the server another name"));
    }
    let text = json!({ "servers": { slug: launch } }).to_string();
    let (name, overrides) = (format!("registry: {slug}"), Overrides::default());
    let loaded = portcullis_config::parse(&name, &text, Format::Json, environment, &overrides);
    let Loaded { settings, .. } = loaded.map_err(|problems| {
        problems
            .0
            .iter()
            .map(|problem| format!("{}: {}", problem.path, problem.message))
            .collect::<Vec<_>>()
            .join("; ")
    })?;
    Ok(settings)
}

fn only_server(settings: Settings) -> Result<(ServerId, Server), String> {
    settings.servers.into_iter().next().ok_or_else(|| "it is no server".to_owned())
}

#[cfg(test)]
mod tests;
