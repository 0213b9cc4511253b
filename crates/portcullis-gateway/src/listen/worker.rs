//! The threads that serve connections.

use std::net::TcpStream as StdStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use portcullis_model::Principal;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::router;
use super::tls::ListenerTls;
use crate::call::Worker;
use crate::gateway::Gateway;

const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a client that has said nothing yet may take to do so when the gateway drains.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Streams of one HTTP/2 connection at once.
const H2_STREAMS: u32 = 256;

/// The workers.
pub struct Workers {
    lanes: Vec<Lane>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    draining: CancellationToken,
}

struct Lane {
    connections: mpsc::UnboundedSender<(StdStream, Option<Open>)>,
    open: Arc<AtomicUsize>,
}

/// Counts a connection while it is open.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn count(counter: &Arc<AtomicUsize>) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Workers {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// When the system gives no more threads or descriptors.
    pub fn start(
        gateway: &Arc<Gateway>,
        count: usize,
        tls: Option<&ListenerTls>,
    ) -> std::io::Result<Arc<Self>> {
        let mut lanes = Vec::with_capacity(count);
        let mut threads = Vec::with_capacity(count);
        for number in 0..count {
            let (connections, queue) = mpsc::unbounded_channel();
            let open = Arc::new(AtomicUsize::new(0));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let lane = Serve { gateway: gateway.clone(), worker: Worker(number), tls: tls.cloned() };
            let thread = std::thread::Builder::new().name(format!("worker-{number}"));
            threads.push(thread.spawn(move || runtime.block_on(lane.run(queue)))?);
            lanes.push(Lane { connections, open });
        }
        Ok(Arc::new(Self { lanes, threads: Mutex::new(threads), draining: gateway.draining.clone() }))
    }

    /// How many connections are open.
    pub(super) fn connections(&self) -> usize {
        self.lanes.iter().map(|lane| lane.open.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn give(&self, stream: StdStream) {
        if let Some(lane) = self.lanes.iter().min_by_key(|lane| lane.open.load(Ordering::Relaxed)) {
            // Nobody waits for those who come while the gateway drains.
            let open = (!self.draining.is_cancelled()).then(|| Open::count(&lane.open));
            // An error says that the worker has ended; the connection closes with the message.
            let _ = lane.connections.send((stream, open));
        }
    }

    /// Waits until all connections from before are closed; they close when the gateway drains and their calls have ended.
    pub async fn drained(&self) {
        while self.connections() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the threads, whatever they are doing.
    pub fn stop(self: Arc<Self>) {
        // The queues close with the last sender, and the threads end with their queues; nobody waits for them, for a
        // connection that does not end would hold up the end of the process.
        drop(std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner)));
    }
}

#[derive(Clone)]
struct Serve {
    gateway: Arc<Gateway>,
    worker: Worker,
    tls: Option<ListenerTls>,
}

impl Serve {
    async fn run(self, mut queue: mpsc::UnboundedReceiver<(StdStream, Option<Open>)>) {
        while let Some((stream, open)) = queue.recv().await {
            match TcpStream::from_std(stream) {
                Ok(stream) => {
                    let serve = self.clone();
                    tokio::spawn(async move {
                        serve.connection(stream).await;
                        drop(open);
                    });
                }
                Err(error) => tracing::debug!(%error, "lost a connection before it began"),
            }
        }
    }

    async fn connection(self, stream: TcpStream) {
        let Some(tls) = &self.tls else {
            return self.http(stream, Principal::Anonymous).await;
        };
        match tokio::time::timeout(HANDSHAKE, Box::pin(tls.accept(stream))).await {
            Ok(Ok((stream, principal))) => Box::pin(self.http(stream, principal)).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        }
    }

    async fn http(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, principal: Principal) {
        let limits = self.gateway.env.limits();
        let draining = self.gateway.draining.clone();
        let context = Arc::new(Context::new(self.gateway, self.worker, principal));
        let spoke = Arc::new(AtomicBool::new(false));
        let silent = silent(limits.header_read, spoke.clone());
        let leave = leave(draining, spoke.clone());
        let service = service_fn(move |request| {
            spoke.store(true, Ordering::Relaxed);
            let context = context.clone();
            async move { Ok::<_, std::convert::Infallible>(router::route(&context, request).await) }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        let header_bytes = limits.header_bytes.max(8 * 1024);
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_read)
            .max_buf_size(header_bytes);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(H2_STREAMS)
            .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20));
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = silent => return tracing::debug!("closed a connection that made no request in time"),
            () = leave => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::trace!(%error, "connection ended");
        }
    }
}

/// Ends when the gateway drains, a moment later for a client that has not made its first request: it is on its way, and
/// is to be answered.
async fn leave(draining: CancellationToken, spoke: Arc<AtomicBool>) {
    draining.cancelled().await;
    if !spoke.load(Ordering::Relaxed) {
        tokio::time::sleep(LAST_WORDS).await;
    }
}

/// Ends when `time` has passed and the client still has made no request. The time that hyper gives a request's head only
/// begins when the first bytes have shown which version of HTTP they are.
async fn silent(time: Duration, spoke: Arc<AtomicBool>) {
    tokio::time::sleep(time).await;
    if spoke.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}
