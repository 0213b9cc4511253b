//! The threads that serve connections.

use std::net::{IpAddr, TcpStream as StdStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use portcullis_model::Principal;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::context::Context;
use super::http1::{self, Ended};
use super::http2;
use super::processors;
use super::shown::Shown;
use super::tls::ListenerTls;
use crate::call::Worker;
use crate::gateway::Gateway;

const HANDSHAKE: Duration = Duration::from_secs(10);

/// The workers.
pub struct Workers {
    lanes: Vec<Lane>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    gateway: Arc<Gateway>,
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
        let processors = processors::for_each(count);
        for number in 0..count {
            let (connections, queue) = mpsc::unbounded_channel();
            let open = Arc::new(AtomicUsize::new(0));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let lane = Serve { gateway: gateway.clone(), worker: Worker(number), tls: tls.cloned() };
            let thread = std::thread::Builder::new().name(format!("worker-{number}"));
            let processor = processors.as_ref().map(|processors| processors[number]);
            threads.push(thread.spawn(move || {
                if let Some(processor) = processor {
                    processors::stay_on(processor);
                }
                runtime.block_on(lane.run(queue));
            })?);
            lanes.push(Lane { connections, open });
        }
        Ok(Arc::new(Self { lanes, threads: Mutex::new(threads), gateway: gateway.clone() }))
    }

    /// How many connections are open.
    pub(super) fn connections(&self) -> usize {
        self.lanes.iter().map(|lane| lane.open.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn give(&self, stream: StdStream) {
        if let Some(lane) = self.lanes.iter().min_by_key(|lane| lane.open.load(Ordering::Relaxed)) {
            // Nobody waits for those who come while the gateway drains.
            let open = (!self.gateway.draining.is_cancelled()).then(|| Open::count(&lane.open));
            // An error says that the worker has ended; the connection closes with the message.
            let _ = lane.connections.send((stream, open));
        }
    }

    /// Waits until all connections from before are closed; they close when the gateway drains and their calls have ended.
    /// Clients that have left a stream and come back for the rest have no connection meanwhile, and are waited for as well.
    pub async fn drained(&self) {
        while self.connections() > 0 || self.gateway.sessions.are_awaited() {
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
        let peer = stream.peer_addr().ok().map(|address| address.ip());
        let Some(tls) = &self.tls else {
            return self.http(stream, Principal::Anonymous, None, peer).await;
        };
        match tokio::time::timeout(HANDSHAKE, Box::pin(tls.accept(stream))).await {
            Ok(Ok((stream, principal, shown))) => {
                Box::pin(self.http(stream, principal, shown, peer)).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        }
    }

    async fn http<S>(self, stream: S, principal: Principal, shown: Option<Arc<Shown>>, peer: Option<IpAddr>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let context = Arc::new(Context::new(self.gateway, self.worker, principal, shown, peer));
        if let Ended::Http2(stream, said) = http1::serve(stream, &context).await {
            let (read, write) = tokio::io::split(stream);
            let whole = tokio::io::join(std::io::Cursor::new(said).chain(read), write);
            Box::pin(http2::serve(whole, &context)).await;
        }
    }
}
