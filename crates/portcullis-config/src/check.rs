//! Raw structs become settings, section by section.
//!
//! A check that fails reports and goes on with a stand-in: the settings made here are only handed out when the
//! report holds no error.

mod apps;
mod audit;
mod calls;
mod credentials;
mod embeddings;
mod facade;
mod guard;
mod http;
mod identity;
mod kubeconfig;
mod kubernetes;
mod limits;
mod listener;
mod openapi;
mod oversight;
mod policy;
mod registry;
mod sandbox;
mod secret;
mod server;
mod store;
mod telemetry;
mod toolset;
mod vault;

pub use credentials::read_vault_key;
pub(crate) use http::is_loopback;
pub(crate) use secret::TELLING;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::node::{Node, Path, Value};
use crate::report::Report;
use crate::{Discovery, DiscoveryRule, Environment, Overrides, Settings, VaultSecret, raw, units};

/// Checks the whole file. The sets are those of the files it depends on, and of what it wants of the Vault.
pub(crate) fn check(
    file: &raw::File,
    source: &Source<'_>,
    overrides: &Overrides,
    report: &mut Report,
) -> (Settings, BTreeSet<PathBuf>, BTreeSet<VaultSecret>) {
    let mounts = file.secrets.vault.as_ref().map(vault::Mounts::of);
    let (files, wanted) = (BTreeSet::new(), BTreeSet::new());
    let mut check = Check { source, report, files, literals: Vec::new(), mounts, wanted };
    let (listen, listen_from) = listener::listen(&mut check, file, overrides);
    let tls = listener::tls(&mut check, file.tls.as_ref());
    let anonymous = listener::anonymous(&mut check, file, listen, listen_from);
    listener::for_tokens(&mut check, file, listen);
    facade::on_the_network(&mut check, file, listen);
    let limits = limits::limits(&mut check, &file.limits);
    let servers = server::servers(&mut check, &file.servers, &file.apps, &limits);
    let store = store::store(&mut check, file.store.as_ref());
    let settings = Settings {
        listen,
        public_url: listener::public_url(&mut check, file.public_url.as_deref()),
        tls,
        registry: registry::registry(&mut check, &file.registry, &store),
        store,
        identity: identity::identity(&mut check, file, anonymous),
        vault_key: credentials::vault_key(&mut check, &file.vault),
        secrets: vault::vault(&mut check, file.secrets.vault.as_ref()),
        toolsets: toolset::toolsets(&mut check, &file.toolsets, &servers),
        servers,
        kubernetes: kubernetes::kubernetes(&mut check, file),
        registered: BTreeMap::new(),
        policy: file.policy.as_ref().map(|raw| policy::policy(&mut check, raw)),
        audit: audit::audit(&mut check, file.audit.as_ref()),
        witness: audit::witness(&mut check, file),
        discovery: discovery(&mut check, file),
        embeddings: file
            .discovery
            .embeddings
            .as_ref()
            .and_then(|raw| embeddings::embeddings(&mut check, raw)),
        discovery_rules: discovery_rules(&mut check, &file.discovery.clients),
        definitions: oversight::definitions(&file.definitions),
        flow: file.flow.as_ref().map(|raw| oversight::flow(&mut check, raw)),
        approvals: oversight::approvals(&mut check, &file.approvals),
        halt: oversight::halt(&mut check, &file.halt),
        guard: file.guard.as_ref().map(|raw| {
            let roles = file.policy.as_ref().map(|policy| policy.roles.clone()).unwrap_or_default();
            guard::guard(&mut check, raw, &roles)
        }),
        http: http::http(&mut check, &file.http),
        limits,
        telemetry: telemetry::telemetry(&mut check, &file.telemetry, overrides),
        workers: file.workers,
    };
    check.warn_of_literals();
    (settings, check.files, check.wanted)
}

/// The gateway's tools are called as if a server `hub` had them.
fn discovery(check: &mut Check<'_>, file: &raw::File) -> Discovery {
    let discovery = offered(file.discovery.tools);
    let toolsets = file.toolsets.values().map(|toolset| toolset.discovery);
    let clients = file.discovery.clients.iter().map(|rule| rule.tools);
    let any =
        toolsets.chain(clients).map(offered).chain([discovery]).any(|offered| offered != Discovery::Off);
    if any && file.servers.contains_key("hub") {
        let message = "where tools are searched (`discovery`), `hub` is the gateway itself; give the server another name";
        check.error(&Path::top("servers").key("hub"), message);
    }
    discovery
}

fn discovery_rules(check: &mut Check<'_>, raw: &[raw::DiscoveryRule]) -> Vec<DiscoveryRule> {
    let top = Path::top("discovery").key("clients");
    let mut rules = Vec::with_capacity(raw.len());
    for (index, raw) in raw.iter().enumerate() {
        let path = top.index(index);
        if raw.names.is_empty() && raw.groups.is_empty() && raw.principals.is_empty() {
            check.error(&path, "fits everybody: name clients, or use `discovery.tools`");
        }
        for (index, id) in raw.principals.iter().enumerate() {
            if !policy::is_principal(id) {
                let message = format!("`{id}` is no principal; {}", policy::PRINCIPALS);
                check.error(&path.key("principals").index(index), message);
            }
        }
        rules.push(DiscoveryRule {
            names: raw.names.clone(),
            groups: raw.groups.clone(),
            principals: raw.principals.clone(),
            tools: offered(raw.tools),
        });
    }
    rules
}

fn offered(raw: raw::Offered) -> Discovery {
    match raw {
        raw::Offered::Off => Discovery::Off,
        raw::Offered::Beside => Discovery::Beside,
        raw::Offered::Instead => Discovery::Instead,
    }
}

/// What checks look things up in.
pub(crate) struct Source<'a> {
    /// The tree that the raw structs were made from.
    pub(crate) root: &'a Node,
    /// The folder that relative paths start from.
    pub(crate) base: &'a std::path::Path,
    pub(crate) env: &'a dyn Environment,
}

/// One run of the checks.
struct Check<'a> {
    source: &'a Source<'a>,
    report: &'a mut Report,
    files: BTreeSet<PathBuf>,
    /// Servers of client files with secrets in plain text: one warning for all of them.
    literals: Vec<String>,
    /// What references to the Vault mean; `None` where there is none.
    mounts: Option<vault::Mounts>,
    /// What the Vault keeps that has to be known before the settings count.
    wanted: BTreeSet<VaultSecret>,
}

impl Check<'_> {
    fn error(&mut self, path: &Path, message: impl Into<String>) {
        let (at, _) = self.source.root.locate(path);
        self.report.error(at, path, message, None);
    }

    fn warn(&mut self, path: &Path, message: impl Into<String>) {
        let (at, _) = self.source.root.locate(path);
        self.report.warn(at, path, message);
    }

    /// Whether a server of this name is written down, here or in a client's form.
    fn has_server(&self, name: &str) -> bool {
        self.source.root.child("servers").is_some_and(|servers| servers.node.child(name).is_some())
    }

    /// Reports that `name` is no server of the file: a problem, unless the registry may have it, which is in a store that
    /// outlives the process.
    fn no_server(&mut self, path: &Path, name: &str) {
        let kind = self.source.root.child("store").and_then(|store| store.node.child("kind"));
        if kind.and_then(|kind| kind.node.as_text()).is_some_and(|kind| kind != "memory") {
            self.warn(path, format!("`{name}` is no configured server; it may come from the registry"));
        } else {
            self.error(path, format!("there is no server `{name}`"));
        }
    }

    /// The environment variables that went into the value at `path`.
    fn filled(&self, path: &Path) -> &[String] {
        match self.source.root.locate(path) {
            (_, Some(Node { value: Value::Scalar(scalar), .. })) => &scalar.filled,
            _ => &[],
        }
    }

    /// A path of the file: absolute, below the home folder (`~/`), or relative to the folder of the file.
    fn resolve(&self, text: &str) -> PathBuf {
        let home = text.strip_prefix("~/").and_then(|rest| Some((self.source.env.var("HOME")?, rest)));
        let path = match home {
            Some((home, rest)) => PathBuf::from(home).join(rest),
            None => self.source.base.join(text),
        };
        path.components().collect()
    }

    /// The path of a file that must be there, now and at every reload.
    fn file(&mut self, path: &Path, text: &str) -> PathBuf {
        let file = self.resolve(text);
        match std::fs::File::open(&file).and_then(|file| file.metadata()) {
            Ok(metadata) if metadata.is_dir() => self.error(path, format!("{} is a folder", file.display())),
            Ok(_) => {}
            Err(error) => self.error(path, format!("cannot read {}: {error}", file.display())),
        }
        self.files.insert(file.clone());
        file
    }

    /// A duration longer than nothing.
    fn duration(
        &mut self,
        path: &Path,
        raw: Option<&raw::Duration>,
        default: std::time::Duration,
    ) -> std::time::Duration {
        let duration = self.duration_or_zero(path, raw, default);
        if duration.is_zero() {
            self.error(path, "must be longer than nothing");
        }
        duration
    }

    fn duration_or_zero(
        &mut self,
        path: &Path,
        raw: Option<&raw::Duration>,
        default: std::time::Duration,
    ) -> std::time::Duration {
        let Some(raw) = raw else { return default };
        units::parse_duration(&raw.0).unwrap_or_else(|message| {
            self.error(path, message);
            default
        })
    }

    fn size(&mut self, path: &Path, raw: Option<&raw::Size>, least: usize, default: usize) -> usize {
        let Some(raw) = raw else { return default };
        match units::parse_size(&raw.0) {
            Ok(size) if size >= least => return size,
            Ok(_) => self.error(path, format!("must be at least {least} bytes")),
            Err(message) => self.error(path, message),
        }
        default
    }
}
