//! Taking up a changed configuration: when a file changes or a secret that a Vault keeps of it, or on SIGHUP.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use portcullis_config::{Audit, Loaded, Overrides, Settings};
use portcullis_gateway::Gateway;
use portcullis_gateway::listen::Certificates;
use portcullis_telemetry::LogHandle;
use tokio::signal::unix::Signal;

use crate::approved::Approved;
use crate::chronicle::Chronicle;
use crate::files::Files;
use crate::policy::recorder::Recorder;
use crate::policy::versions::Trigger;
use crate::secrets::{NotLoaded, Secrets};
use crate::serve::{self, Tls};

/// Files are looked at this often. Polling sees what file events miss: replaced mounts and symlinks, network drives.
const LOOK: Duration = Duration::from_secs(1);

/// Where a configuration comes from.
pub(crate) struct Source {
    pub config: PathBuf,
    pub overrides: Overrides,
    /// The configuration, and what it names.
    pub files: Files,
    /// What a Vault keeps of it.
    pub secrets: Secrets,
}

/// A configuration that did not come into force; why, was said in the log.
struct NotTakenUp;

/// What of the evidence log takes a restart: all but who may read and keep it.
fn but_people(settings: &Settings) -> Option<Audit> {
    settings.audit.clone().map(|audit| Audit { allow: None, admins: None, ..audit })
}

/// Watches the files of a configuration.
pub(crate) struct Reloader {
    source: Option<Source>,
    settings: Settings,
    approved: Approved,
    gateway: Arc<Gateway>,
    tls: Tls,
    logs: LogHandle,
    recorder: Recorder,
    chronicle: Chronicle,
}

impl Reloader {
    #[expect(
        clippy::too_many_arguments,
        reason = "what it puts in force is all of it, and is put together in one place"
    )]
    pub(crate) fn new(
        source: Option<Source>,
        settings: Settings,
        approved: Approved,
        gateway: Arc<Gateway>,
        tls: Tls,
        logs: LogHandle,
        recorder: Recorder,
        chronicle: Chronicle,
    ) -> Self {
        Self { source, settings, approved, gateway, tls, logs, recorder, chronicle }
    }

    /// Runs until it is aborted. Without a configuration file, SIGHUP is heeded and does nothing.
    pub(crate) async fn run(mut self, mut hangup: Signal) {
        loop {
            let asked = tokio::select! {
                _ = hangup.recv() => true,
                () = tokio::time::sleep(LOOK) => false,
            };
            self.take_up_approved().await;
            // A file that is being written changes again; the next look takes up the rest.
            let changed = self.source.as_mut().is_some_and(|source| source.files.have_changed());
            let renewed = match &mut self.source {
                Some(source) => source.secrets.have_changed().await,
                None => false,
            };
            if asked || changed || renewed {
                let before = self.settings.clone();
                let trigger = match (asked, changed) {
                    (true, _) => Trigger::Hangup,
                    (false, true) => Trigger::File,
                    (false, false) => Trigger::Vault,
                };
                match self.reload().await {
                    Ok(true) => self.chronicle.took_up(&before, &self.settings, trigger.as_str()).await,
                    Ok(false) => {}
                    Err(NotTakenUp) => self.chronicle.did_not_take_up(trigger.as_str()).await,
                }
                if self.settings.policy != before.policy {
                    self.recorder.tell(self.settings.policy.as_ref(), trigger);
                    self.chronicle.policies(&self.settings, trigger).await;
                }
            }
        }
    }

    /// Other versions were approved, or taken away.
    async fn take_up_approved(&mut self) {
        let Some(now) = self.approved.look().await else { return };
        let settings = now.with(&self.settings);
        match self.gateway.reload(settings.clone()) {
            Ok(()) => {
                let before = self.approved.in_use().with(&self.settings);
                self.gateway.publish(now.entries.clone());
                self.approved.keep(now, &self.settings);
                self.chronicle.took_up(&before, &settings, "registry").await;
            }
            Err(error) => {
                tracing::error!(%error, "what was approved in the registry was not taken up");
                self.chronicle.did_not_take_up("registry").await;
            }
        }
    }

    /// Whether there was something to take up.
    async fn reload(&mut self) -> Result<bool, NotTakenUp> {
        let Some(source) = &mut self.source else { return Ok(false) };
        let loaded = source.secrets.read(&source.config, &source.overrides).await;
        let Loaded { settings, warnings, files, .. } = match loaded {
            Ok(loaded) => loaded,
            Err(why) => {
                match why {
                    NotLoaded::Problems(problems) => {
                        problems.0.iter().for_each(|problem| tracing::error!("{problem}"));
                    }
                    NotLoaded::Vault(why) => tracing::error!("secrets.vault: {why}"),
                }
                tracing::error!("the configuration was not taken up; the old one stays in force");
                return Err(NotTakenUp);
            }
        };
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        source.files.become_these(files);
        self.take_up(settings)
    }

    fn take_up(&mut self, settings: Settings) -> Result<bool, NotTakenUp> {
        let restart = [
            ("listen", settings.listen != self.settings.listen),
            ("tls", settings.tls != self.settings.tls),
            ("store", settings.store != self.settings.store),
            ("audit", but_people(&settings) != but_people(&self.settings)),
            ("witness", settings.witness != self.settings.witness),
            ("vault.key", settings.vault_key != self.settings.vault_key),
            ("kubernetes", settings.kubernetes != self.settings.kubernetes),
            ("workers", settings.workers != self.settings.workers),
        ];
        for (key, _) in restart.iter().filter(|(_, changed)| *changed) {
            tracing::warn!("`{key}` has changed; that takes a restart");
        }
        // The certificates may have been renewed under the same names.
        if let (Some(tls), Some(files)) = (&self.tls, &self.settings.tls)
            && let Err(error) = tls.reload(files, Certificates::of(&settings))
        {
            tracing::error!(%error, "the listener keeps its old certificate");
        }
        match self.put_in_force(&settings) {
            Ok(()) => {
                tracing::info!(servers = settings.servers.len(), "took up the configuration");
                self.settings = Settings {
                    listen: self.settings.listen,
                    tls: self.settings.tls.clone(),
                    store: self.settings.store.clone(),
                    witness: self.settings.witness.clone(),
                    vault_key: self.settings.vault_key,
                    kubernetes: self.settings.kubernetes.clone(),
                    workers: self.settings.workers,
                    ..settings
                };
                self.approved.compare(&self.settings);
                Ok(true)
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "the configuration was not taken up; the old one stays in force");
                Err(NotTakenUp)
            }
        }
    }

    /// All of it or nothing: what can be refused comes first.
    fn put_in_force(&self, settings: &Settings) -> anyhow::Result<()> {
        let (new, old) = (&settings.telemetry, &self.settings.telemetry);
        let tracer =
            if new.otlp == old.otlp { None } else { Some(serve::tracer(settings, self.gateway.metrics())?) };
        self.logs.set_filter(&new.log.filter)?;
        if let Err(error) = self.gateway.reload(self.approved.in_use().with(settings)) {
            self.logs.set_filter(&old.log.filter).expect("it was in force until now");
            return Err(error.into());
        }
        if new.log.format != old.log.format {
            self.logs.set_format(serve::log_format(new.log.format));
        }
        if let Some(tracer) = tracer {
            self.gateway.trace_with(tracer);
        }
        Ok(())
    }
}
