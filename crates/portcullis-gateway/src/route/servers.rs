//! The servers in service, replaced as a whole when the configuration changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use portcullis_config as config;
use portcullis_hub::registry::Share;
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::revision::Era;
use portcullis_model::{ErrorKind, ServerId, ToolsetId};

use super::catalogue::{Catalogue, Need, Variant};
use super::listing::ListKind;
use super::toolset::{self, Toolset, Toolsets};
use super::versions::{Change, Transition};
use crate::admit::Pass;
use crate::call::{Caller, Endpoint, Refusal};
use crate::upstream::{Server, Surroundings, TlsError};

/// The servers in service, in the order of their slugs.
#[derive(Default)]
pub(crate) struct Servers {
    all: BTreeMap<ServerId, Arc<Catalogue>>,
    toolsets: Arc<Toolsets>,
}

/// What a new configuration did.
pub(crate) struct Update {
    pub(crate) servers: Servers,
    /// No longer in service, or replaced.
    pub(crate) retired: Vec<Arc<Server>>,
    /// Added, removed or replaced.
    pub(crate) changed: BTreeSet<ServerId>,
    /// The same of toolsets.
    pub(crate) changed_toolsets: BTreeSet<ToolsetId>,
    /// What becomes of versions, for when the rest is settled.
    pub(crate) transitions: Vec<Transition>,
}

/// The version of a server that is there already, or a new one.
fn found(
    before: Option<&Arc<Catalogue>>,
    id: &ServerId,
    version: Option<&str>,
    settings: &config::Server,
    env: &Arc<Surroundings>,
) -> Result<Arc<Catalogue>, (ServerId, TlsError)> {
    if let Some(kept) = before.and_then(|before| before.find_version(version, settings)) {
        return Ok(kept);
    }
    let made = Server::new((id.clone(), version), settings.clone(), env.clone());
    Ok(Catalogue::new(made.map_err(|error| (id.clone(), error))?))
}

impl Servers {
    /// The servers of `settings`; those whose settings and certificates are the same are kept with all that they have
    /// open. What leaves a server that has another version now may end what it began until `until`.
    ///
    /// # Errors
    /// Which server's certificates cannot be loaded; nothing has changed then.
    pub(crate) fn update(
        &self,
        settings: &config::Settings,
        env: &Arc<Surroundings>,
        until: Instant,
    ) -> Result<Update, (ServerId, TlsError)> {
        let (mut servers, mut transitions) = (Self::default(), Vec::new());
        let (mut changed, mut retired) = (BTreeSet::new(), Vec::new());
        for (id, server) in settings.servers.iter().filter(|(_, server)| server.enabled) {
            let before = self.all.get(id);
            let of = settings.registered.get(id);
            let base = found(before, id, of.map(|of| of.version.as_str()), server, env)?;
            let next = match of.and_then(|of| of.next.as_ref()) {
                Some(next) => Share::new(next.percent)
                    .map(|share| {
                        found(before, id, Some(&next.version), &next.server, env).map(|it| (it, share))
                    })
                    .transpose()?,
                None => None,
            };
            let change = Change { before, base: &base, next, until };
            let is_succession = change.is_succession();
            let (transition, ended) = change.plan();
            if !is_succession {
                changed.insert(id.clone());
            }
            transitions.extend(transition);
            retired.extend(ended.iter().flat_map(|it| it.own_servers()));
            servers.all.insert(id.clone(), base);
        }
        for (id, old) in self.all.iter().filter(|(id, _)| !servers.all.contains_key(*id)) {
            changed.insert(id.clone());
            retired.extend(old.all_servers());
        }
        servers.toolsets = Arc::new(toolset::update(&self.toolsets, &settings.toolsets));
        let changed_toolsets = toolset::changed(&self.toolsets, &servers.toolsets);
        Ok(Update { servers, retired, changed, changed_toolsets, transitions })
    }

    /// Whether an endpoint is in service.
    pub(crate) fn have(&self, endpoint: &Endpoint) -> bool {
        match endpoint {
            Endpoint::Aggregate => true,
            Endpoint::Server(id) => self.all.contains_key(id),
            Endpoint::Toolset(id) => self.toolsets.contains_key(id),
        }
    }

    /// The toolsets in service.
    pub(crate) fn toolsets(&self) -> &Arc<Toolsets> {
        &self.toolsets
    }

    /// The toolset behind an endpoint, if it is one's.
    ///
    /// # Errors
    /// It is not in service, or not there for the caller.
    pub(super) fn toolset(
        &self,
        endpoint: &Endpoint,
        pass: Option<&Pass>,
    ) -> Result<Option<&Arc<Toolset>>, Refusal> {
        let Endpoint::Toolset(id) = endpoint else { return Ok(None) };
        let found = self.toolsets.get(id).filter(|_| pass.is_none_or(|pass| pass.reaches(endpoint)));
        found.map(Some).ok_or_else(|| unknown_endpoint(endpoint))
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Arc<Catalogue>> {
        self.all.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Catalogue>> {
        self.all.values()
    }

    /// The servers behind an endpoint, as far as they are there for the caller.
    ///
    /// # Errors
    /// When the endpoint names a server or toolset that is not in service, or not there for the caller.
    pub(crate) fn behind(
        &self,
        endpoint: &Endpoint,
        pass: Option<&Pass>,
        caller: &Caller,
    ) -> Result<Vec<Arc<Catalogue>>, Refusal> {
        let seen = |id: &ServerId| pass.is_none_or(|pass| pass.sees(id.as_str()));
        match endpoint {
            Endpoint::Aggregate => {
                Ok(self.all.iter().filter(|(id, _)| seen(id)).map(|(_, one)| one.of(caller)).collect())
            }
            Endpoint::Server(id) => match self.find(id.as_str()).filter(|_| seen(id)) {
                Some(catalogue) => Ok(vec![catalogue.of(caller)]),
                None => Err(unknown_endpoint(endpoint)),
            },
            Endpoint::Toolset(_) => {
                let toolset = self.toolset(endpoint, pass)?;
                let drawn = |id: &ServerId| toolset.is_some_and(|toolset| toolset.draws_on(id.as_str()));
                let there = self.all.iter().filter(|(id, _)| drawn(id) && seen(id));
                Ok(there.map(|(_, one)| one.of(caller)).collect())
            }
        }
    }
}

/// Nothing is there, or nothing for the caller.
pub(crate) fn unknown_endpoint(endpoint: &Endpoint) -> Refusal {
    let message = match endpoint {
        Endpoint::Aggregate => "there is nothing here".to_owned(),
        Endpoint::Server(id) => format!("there is no server `{id}` here"),
        Endpoint::Toolset(id) => format!("there is no toolset `{id}` here"),
    };
    Refusal::new(ErrorKind::UnknownPath, message)
}

/// Fetches every list of every server, all at once.
pub(crate) async fn warm_up(servers: &Servers) {
    list_for(servers, Variant { era: Era::Modern, caps: ClientCaps::NONE }).await;
}

/// Fetches them as other clients are shown them: those of either era, who can do nothing and everything.
pub(crate) async fn list_for_others(servers: &Servers) {
    for (era, caps) in
        [(Era::Modern, ClientCaps::ALL), (Era::Legacy, ClientCaps::NONE), (Era::Legacy, ClientCaps::ALL)]
    {
        list_for(servers, Variant { era, caps }).await;
    }
}

async fn list_for(servers: &Servers, variant: Variant) {
    let all = servers.iter().filter(|catalogue| !catalogue.server.is_personal());
    let all = all.map(|catalogue| async move {
        for kind in ListKind::ALL {
            let need = Need::Fresh(catalogue.server.settings().call_timeout);
            if let Err(refusal) = catalogue.list(kind, variant, need).await {
                tracing::warn!(server.id = %catalogue.server.id(), why = refusal.message, "cannot list {}", kind.method());
                break;
            }
        }
    });
    join_all(all).await;
}
