//! The listening socket and the acceptor.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};

use super::worker::Workers;
use crate::gateway::Gateway;

const BACKLOG: u32 = 1024;

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}{}", hint(cause))]
pub struct BindError {
    address: SocketAddr,
    cause: std::io::Error,
}

fn hint(cause: &std::io::Error) -> &'static str {
    match cause.kind() {
        std::io::ErrorKind::AddrInUse => {
            "; another program has it: choose another with `listen` (port 0 picks a free one)"
        }
        std::io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges",
        _ => "",
    }
}

/// The socket that clients connect to.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Opens it. Must run on the control runtime.
    ///
    /// # Errors
    /// [`BindError`], with what to do.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let bind = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let socket = socket.listen(BACKLOG)?;
            let address = socket.local_addr()?;
            Ok(Self { socket, address })
        };
        bind().map_err(|cause| BindError { address, cause })
    }

    /// The address it got: with port 0 configured, the port is known only now.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts, also while the gateway drains: who connects then is told to go elsewhere, which a refused connection
    /// would not say. Connections go to the worker that has the fewest.
    pub async fn run(self, gateway: Arc<Gateway>, workers: Arc<Workers>) {
        let _ = gateway.address.set(self.address);
        gateway.tell_office_where_it_is();
        loop {
            let stream = match self.socket.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: trying again at once would only burn the processor.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            if workers.connections() >= gateway.settings.load().limits.connections {
                tracing::warn!("closed a connection: limits.connections are open");
                continue;
            }
            let _ = stream.set_nodelay(true);
            match stream.into_std() {
                Ok(stream) => workers.give(stream),
                Err(error) => tracing::debug!(%error, "lost a connection before it began"),
            }
        }
    }
}
