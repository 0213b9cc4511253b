//! `portcullis up` and `portcullis serve`: everything put together, top to bottom, and taken apart again.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use portcullis_config::{self as config, Loaded};
use portcullis_gateway::listen::{self, Certificates, Listener, ListenerTls, Workers};
use portcullis_gateway::{Gateway, Kept};
use portcullis_hub::Supervisor;
use portcullis_telemetry::{LogFormat, LogHandle, Metrics, OtlpProtocol, OtlpSettings, Tracer, init_logs};
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Usage;
use crate::approved::Approved;
use crate::args;
use crate::banner;
use crate::chronicle::Chronicle;
use crate::evidence;
use crate::files::Files;
use crate::policy::recorder::Recorder;
use crate::policy::versions::Trigger;
use crate::reload::{Reloader, Source};
use crate::secrets::Secrets;
use crate::servers;
use crate::stdout::print;
use crate::store;
use crate::vault_key;

/// How long the end waits for the store to take the last edits of policies.
const LAST_EDITS: Duration = Duration::from_secs(3);

/// The newcomer's start.
pub(crate) fn up(up: &args::Up) -> anyhow::Result<ExitCode> {
    let loaded = servers::load(up)?;
    if loaded.settings.servers.is_empty() {
        eprintln!(
            "No servers yet. Try: portcullis up time=\"uvx mcp-server-time\", or --import a client's mcp.json"
        );
    }
    run(loaded, None)
}

/// The production start.
pub(crate) fn serve(serve: &args::Serve) -> anyhow::Result<ExitCode> {
    let overrides = serve.overrides.overrides();
    let mut files = Files::look_at([serve.config.clone()]);
    let (loaded, secrets) = Secrets::load(&serve.config, &overrides)?;
    files.become_these(loaded.files.iter().cloned());
    if serve.check {
        // What a value means to others, and what a file holds, only their use shows.
        start_logs(&loaded.settings)?;
        load_tls(&loaded.settings)?;
        tracer(&loaded.settings, &Metrics::new())?;
        evidence::check(&loaded.settings)?;
        Gateway::check(&loaded.settings).map_err(|error| Usage(error.to_string()))?;
        if let Some(Ok(policies)) = portcullis_gateway::policies(&loaded.settings) {
            for warning in policies.warnings() {
                eprintln!("{warning}");
            }
        }
        print(format_args!("{}: ok", serve.config.display()));
        return Ok(ExitCode::SUCCESS);
    }
    run(loaded, Some(Source { config: serve.config.clone(), overrides, files, secrets }))
}

fn run(loaded: Loaded, source: Option<Source>) -> anyhow::Result<ExitCode> {
    let logs = start_logs(&loaded.settings)?;
    // Children, timers and everything that outlives a request live on this thread; requests on the workers.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(run_gateway(loaded, source, logs));
    runtime.shutdown_timeout(Duration::from_millis(200));
    done
}

async fn run_gateway(loaded: Loaded, source: Option<Source>, logs: LogHandle) -> anyhow::Result<ExitCode> {
    let Loaded { settings, .. } = loaded;
    // Before anybody can know that there is something to signal: until then, a signal just ends the process.
    let mut end = End::listen().context("cannot listen for signals")?;
    let hangup = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    let count = worker_count(&settings);
    let program = own_program().context("cannot find this program's own file")?;
    let supervisor = Supervisor::new(&program);
    let metrics = Metrics::new();
    let tracer = tracer(&settings, &metrics)?;
    let tls = load_tls(&settings)?;
    let listener = Listener::bind(settings.listen).map_err(|error| Usage(error.to_string()))?;
    let address = listener.address();
    let records = store::open(&settings).await?;
    if source.is_some() && settings.store == config::Store::Memory {
        tracing::info!(
            "the store is in memory: `definitions`, `approval`, `halt` and `server` cannot reach it, and it is gone with this \
             process; `store: {{ kind: sqlite }}` keeps it"
        );
    }
    let evidence = evidence::open(settings.audit.as_ref())?;
    let witness = evidence::witness(settings.witness.as_ref())?;
    let kept = Kept { records: records.clone(), evidence: evidence.clone(), witness };
    let mut approved = Approved::new(records.clone());
    if let Some(now) = approved.look().await {
        approved.keep(now, &settings);
    }
    let in_use = approved.in_use();
    let sealed = config::Settings { vault_key: vault_key::find(&settings)?, ..in_use.with(&settings) };
    let gateway = Gateway::new(sealed, count, Handle::current(), supervisor, metrics, tracer, kept)
        .map_err(|error| Usage(error.to_string()))?;
    gateway.publish(in_use.entries.clone());
    gateway.recall_decisions().await;
    tokio::spawn(gateway.clone().look_after_decisions());
    let chronicle =
        Chronicle::new(evidence, settings.audit.as_ref().and_then(|audit| audit.checkpoints.clone()));
    chronicle.started(&settings).await?;
    chronicle.policies(&settings, Trigger::Start).await;
    let workers = Workers::start(&gateway, count, tls.as_ref()).context("cannot start the worker threads")?;
    tokio::spawn(listener.run(gateway.clone(), workers.clone()));
    tokio::spawn(gateway.clone().look_after_sessions());
    tokio::spawn(gateway.clone().look_after_versions());
    tokio::spawn(gateway.clone().look_after_records());
    tokio::spawn(gateway.clone().look_after_logins());
    tokio::spawn(gateway.clone().look_after_evidence());
    tokio::spawn(gateway.clone().look_after_cluster());

    let endpoint = banner::endpoint(&settings, address);
    banner::listening(&settings, address);
    if source.is_none() {
        let gateway = gateway.clone();
        tokio::spawn(async move {
            gateway.warm_up().await;
            banner::offers(&endpoint, &gateway.report());
        });
    }
    let (recorder, recording) = Recorder::start(&settings.store, records);
    recorder.tell(settings.policy.as_ref(), Trigger::Start);
    let reloader =
        Reloader::new(source, settings, approved, gateway.clone(), tls, logs, recorder, chronicle.clone());
    let reloading = tokio::spawn(reloader.run(hangup));
    end.asked_for().await;
    reloading.abort();
    stop(&gateway, workers, end.asked_for()).await;
    chronicle.stopped().await;
    if tokio::time::timeout(LAST_EDITS, recording).await.is_err() {
        tracing::warn!("the last policies in force are not on record: the store does not answer");
    }
    gateway.end_tracing(Duration::from_secs(3)).await;
    Ok(ExitCode::SUCCESS)
}

/// What runs here, for the keeper, which may have to be started again after an upgrade has replaced the file: where
/// there is `/proc`, that still leads to the old one.
pub(crate) fn own_program() -> std::io::Result<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { Ok(running) } else { std::env::current_exe() }
}

fn start_logs(settings: &config::Settings) -> anyhow::Result<LogHandle> {
    let log = &settings.telemetry.log;
    init_logs(log_format(log.format), &log.filter).map_err(|error| Usage(error.to_string()).into())
}

fn load_tls(settings: &config::Settings) -> anyhow::Result<Tls> {
    let certificates = Certificates::of(settings);
    let tls = settings.tls.as_ref().map(|tls| listen::load_tls(tls, certificates)).transpose();
    tls.map_err(|error| Usage(error.to_string()).into())
}

fn worker_count(settings: &config::Settings) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    settings.workers.map_or(cores, NonZeroUsize::get)
}

pub(crate) fn log_format(format: config::LogFormat) -> LogFormat {
    match format {
        config::LogFormat::Auto => LogFormat::Auto,
        config::LogFormat::Json => LogFormat::Json,
        config::LogFormat::Pretty => LogFormat::Pretty,
    }
}

/// The tracer that the settings ask for.
pub(crate) fn tracer(settings: &config::Settings, metrics: &Metrics) -> anyhow::Result<Tracer> {
    let Some(otlp) = &settings.telemetry.otlp else { return Ok(Tracer::disabled()) };
    let settings = OtlpSettings {
        endpoint: otlp.endpoint.clone(),
        protocol: match otlp.protocol {
            config::OtlpProtocol::Grpc => OtlpProtocol::Grpc,
            config::OtlpProtocol::Http => OtlpProtocol::HttpProtobuf,
        },
        headers: otlp.headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect(),
        sample_ratio: otlp.sample_ratio,
        service_name: otlp.service_name.clone(),
        ca_pem: None,
    };
    Tracer::otlp(settings, metrics).map_err(|error| Usage(format!("telemetry.otlp: {error}")).into())
}

/// SIGTERM and SIGINT.
pub(crate) struct End {
    terminate: Signal,
    interrupt: Signal,
}

impl End {
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next of them.
    pub(crate) async fn asked_for(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Lets running calls end, then stops the children. A second signal cuts the waiting short.
async fn stop(gateway: &Arc<Gateway>, workers: Arc<Workers>, second: impl Future<Output = ()>) {
    let patience = gateway.drain();
    tracing::info!(seconds = patience.as_secs(), "stopping: running calls may end");
    tokio::select! {
        () = workers.drained() => {}
        () = tokio::time::sleep(patience) => tracing::warn!("some calls did not end in time"),
        () = second => tracing::warn!("asked again: not waiting any longer"),
    }
    gateway.close().await;
    workers.stop();
}

/// The listener's TLS, for the reloader.
pub(crate) type Tls = Option<ListenerTls>;
