//! Taking up a changed configuration: when a file changes, or on SIGHUP.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_config::{Loaded, ProcessEnvironment, Settings};
use portcullis_gateway::Gateway;
use portcullis_telemetry::LogHandle;
use tokio::signal::unix::Signal;

use crate::serve::{Reload, Tls};

/// Files are looked at this often. Polling sees what file events miss: replaced mounts and symlinks, network drives.
const LOOK: Duration = Duration::from_secs(1);

/// What tells one state of a file from the next; `None` while it cannot be read.
type Look = Option<(SystemTime, u64)>;

/// Watches the files of a configuration.
pub struct Reloader {
    source: Option<Reload>,
    seen: BTreeMap<PathBuf, Look>,
    settings: Settings,
    gateway: Arc<Gateway>,
    tls: Tls,
    logs: LogHandle,
}

impl Reloader {
    pub fn new(
        source: Option<Reload>,
        files: Vec<PathBuf>,
        settings: Settings,
        gateway: Arc<Gateway>,
        tls: Tls,
        logs: LogHandle,
    ) -> Self {
        let seen = files.into_iter().map(|file| (file.clone(), look(&file))).collect();
        Self { source, seen, settings, gateway, tls, logs }
    }

    /// Runs until it is aborted. Without a configuration file, SIGHUP is heeded and does nothing.
    pub async fn run(mut self, mut hangup: Signal) {
        loop {
            let asked = tokio::select! {
                _ = hangup.recv() => true,
                () = tokio::time::sleep(LOOK) => false,
            };
            let now = self.seen.keys().map(|file| (file.clone(), look(file))).collect();
            if asked || now != self.seen {
                // A file that is being written changes again; the next look takes up the rest.
                self.seen = now;
                self.reload();
            }
        }
    }

    fn reload(&mut self) {
        let Some(source) = &self.source else { return };
        let loaded = portcullis_config::load(&source.config, &ProcessEnvironment, &source.overrides);
        let Loaded { settings, warnings, files } = match loaded {
            Ok(loaded) => loaded,
            Err(problems) => {
                for problem in &problems.0 {
                    tracing::error!("{problem}");
                }
                tracing::error!("the configuration was not taken up; the old one stays in force");
                return;
            }
        };
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        self.take_up(settings);
        // A file that was looked at before it was read keeps that look: it may have changed in between.
        let mut seen = std::mem::take(&mut self.seen);
        let again = |file: PathBuf| {
            let known = seen.remove(&file).unwrap_or_else(|| look(&file));
            (file, known)
        };
        self.seen = files.into_iter().map(again).collect();
    }

    fn take_up(&mut self, settings: Settings) {
        let restart = [
            ("listen", settings.listen != self.settings.listen),
            ("tls", settings.tls != self.settings.tls),
            ("workers", settings.workers != self.settings.workers),
            ("telemetry.otlp", settings.telemetry.otlp != self.settings.telemetry.otlp),
            ("telemetry.log.format", settings.telemetry.log.format != self.settings.telemetry.log.format),
        ];
        for (key, _) in restart.iter().filter(|(_, changed)| *changed) {
            tracing::warn!("`{key}` has changed; that takes a restart");
        }
        // The certificates may have been renewed under the same names.
        if let (Some(tls), Some(files)) = (&self.tls, &self.settings.tls)
            && let Err(error) = tls.reload(files)
        {
            tracing::error!(%error, "the listener keeps its old certificate");
        }
        if let Err(error) = self.logs.set_filter(&settings.telemetry.log.filter) {
            tracing::error!(%error, "the log filter stays as it was");
        }
        match self.gateway.reload(settings.clone()) {
            Ok(()) => {
                tracing::info!(servers = settings.servers.len(), "took up the configuration");
                self.settings = Settings { listen: self.settings.listen, tls: self.settings.tls.clone(), ..settings };
            }
            Err(error) => tracing::error!(%error, "the configuration was not taken up; the old one stays in force"),
        }
    }
}

fn look(file: &Path) -> Look {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
