//! The way from a finished span to the collector: a bounded queue and a thread that empties it.
//!
//! The exporters need a Tokio reactor for their connections, and the gateway's runtimes are busy with calls
//! and may come several to a process. So the exporter lives on its own thread with its own small runtime, and
//! all that a call does is one `try_send`. A full queue drops the newest span and counts it. The SDK's batch
//! processor is not used: it has no reactor, and it says how much it dropped only when it ends.
//!
//! A batch that the exporter gives up on is lost, counted, and mentioned in the log at most once a minute.

use std::{
    fmt, mem,
    sync::mpsc as blocking,
    thread,
    time::{Duration, Instant},
};

use opentelemetry::Context;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{Span as SdkSpan, SpanData, SpanExporter as _, SpanProcessor},
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{
        mpsc::{self, error::TrySendError},
        watch,
    },
    time::{sleep, timeout},
};

use super::otlp::{OtlpError, OtlpSettings};
use crate::metrics::{Counter, Metrics};

/// How many finished spans may wait: a second of a busy gateway, some megabytes of memory.
const QUEUE: usize = 8192;
/// The most spans in one request.
const BATCH: usize = 512;
/// How long a span waits for others to travel with.
const LINGER: Duration = Duration::from_secs(1);
/// How long one batch may take with all its retries. The exporter's own limits leave connecting out.
const EXPORT: Duration = Duration::from_secs(20);
/// How long the thread goes on with what is queued once it is told to end.
const DRAIN: Duration = Duration::from_secs(30);
/// How often a failing collector is mentioned in the log.
const LOG_EVERY: Duration = Duration::from_mins(1);

/// The thread that exports. It ends when it is told to, or when everything that puts spans into its queue is gone.
#[derive(Debug)]
pub(super) struct ExportThread {
    closing: watch::Sender<bool>,
    done: watch::Receiver<bool>,
}

impl ExportThread {
    /// The thread, and what puts spans into its queue. Blocks until the thread has set itself up, which takes no
    /// network.
    pub(super) fn start(
        settings: OtlpSettings,
        resource: Resource,
        metrics: &Metrics,
    ) -> Result<(Self, QueueProcessor), OtlpError> {
        let (queue, spans) = mpsc::channel(QUEUE);
        let (closing, told_to_close) = watch::channel(false);
        let (tell_done, done) = watch::channel(false);
        let (ready, is_ready) = blocking::sync_channel(1);
        let tally = Tally::new(metrics);
        let worker_tally = tally.clone();
        thread::Builder::new().name("otlp-export".to_owned()).spawn(move || {
            // The runtime is made here because dropping one within another panics.
            match set_up(&settings, &resource) {
                Ok((runtime, exporter)) => {
                    let worker = Worker {
                        exporter,
                        spans,
                        closing: told_to_close,
                        tally: worker_tally,
                        in_hand: 0,
                        logged: None,
                    };
                    drop(ready.send(Ok(())));
                    runtime.block_on(worker.run());
                }
                Err(error) => drop(ready.send(Err(error))),
            }
            tell_done.send_replace(true);
        })?;
        is_ready.recv().expect("the thread reports before it ends")?;
        Ok((Self { closing, done }, QueueProcessor { queue, tally }))
    }

    /// Tells the thread to end with what is queued now.
    pub(super) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Waits until the thread has ended.
    pub(super) async fn ended(&self) {
        // An error would mean that the thread is gone as well.
        drop(self.done.clone().wait_for(|done| *done).await);
    }

    pub(super) fn has_ended(&self) -> bool {
        *self.done.borrow()
    }
}

fn set_up(settings: &OtlpSettings, resource: &Resource) -> Result<(Runtime, SpanExporter), OtlpError> {
    let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
    let mut exporter = {
        let _within = runtime.enter();
        settings.exporter()?
    };
    exporter.set_resource(resource);
    Ok((runtime, exporter))
}

/// What became of the spans.
#[derive(Clone, Debug)]
struct Tally {
    exported: Counter,
    queue_full: Counter,
    shut_down: Counter,
    export_failed: Counter,
}

impl Tally {
    fn new(metrics: &Metrics) -> Self {
        let dropped = |reason| {
            let help = "Spans that did not reach the collector.";
            metrics.counter("portcullis_spans_dropped_total", help, &[("reason", reason)])
        };
        let help = "Spans that the collector took.";
        Self {
            exported: metrics.counter("portcullis_spans_exported_total", help, &[]),
            queue_full: dropped("queue_full"),
            shut_down: dropped("shut_down"),
            export_failed: dropped("export_failed"),
        }
    }
}

/// The SDK's end of the queue. Never waits.
pub(super) struct QueueProcessor {
    queue: mpsc::Sender<SpanData>,
    tally: Tally,
}

impl fmt::Debug for QueueProcessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueProcessor").field("free", &self.queue.capacity()).finish_non_exhaustive()
    }
}

impl SpanProcessor for QueueProcessor {
    fn on_start(&self, _span: &mut SdkSpan, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        match self.queue.try_send(span) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.tally.queue_full.add(1),
            Err(TrySendError::Closed(_)) => self.tally.shut_down.add(1),
        }
    }

    /// There is nothing to wait for on this side; [`ExportThread::ended`] waits on the other.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The exporter's side of the queue.
struct Worker {
    exporter: SpanExporter,
    spans: mpsc::Receiver<SpanData>,
    closing: watch::Receiver<bool>,
    tally: Tally,
    /// Spans that are being exported.
    in_hand: u64,
    logged: Option<Instant>,
}

impl Worker {
    async fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                // Nobody can tell it to end once the handle is gone. Then it ends with the last span under way.
                Ok(_) = self.closing.wait_for(|closing| *closing) => break,
                () = collect(&mut self.spans, &mut batch) => if batch.is_empty() { return },
            }
            self.export(mem::take(&mut batch)).await;
        }
        self.spans.close();
        if timeout(DRAIN, self.drain(batch)).await.is_err() {
            self.tally.export_failed.add(self.in_hand + self.spans.len() as u64);
        }
    }

    async fn drain(&mut self, mut batch: Vec<SpanData>) {
        let room = BATCH.saturating_sub(batch.len());
        self.spans.recv_many(&mut batch, room).await;
        while !batch.is_empty() {
            self.export(mem::take(&mut batch)).await;
            self.spans.recv_many(&mut batch, BATCH).await;
        }
    }

    async fn export(&mut self, batch: Vec<SpanData>) {
        let spans = batch.len() as u64;
        self.in_hand = spans;
        let exported = timeout(EXPORT, self.exporter.export(batch)).await;
        self.in_hand = 0;
        let exported = exported.unwrap_or(Err(OTelSdkError::Timeout(EXPORT)));
        match exported {
            Ok(()) => self.tally.exported.add(spans),
            Err(error) => {
                self.tally.export_failed.add(spans);
                if self.logged.is_none_or(|logged| logged.elapsed() >= LOG_EVERY) {
                    self.logged = Some(Instant::now());
                    tracing::warn!(%error, spans, "spans were lost because the collector did not take them");
                }
            }
        }
    }
}

/// Fills the batch, or takes what comes within [`LINGER`] of the first span. It stays empty when none can come any
/// more.
///
/// # Cancel safety
/// What was taken is in the batch.
async fn collect(spans: &mut mpsc::Receiver<SpanData>, batch: &mut Vec<SpanData>) {
    if spans.recv_many(batch, BATCH).await == 0 {
        return;
    }
    let linger = sleep(LINGER);
    tokio::pin!(linger);
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        tokio::select! {
            taken = spans.recv_many(batch, room) => if taken == 0 { return },
            () = &mut linger => return,
        }
    }
}
