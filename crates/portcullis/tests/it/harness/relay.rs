//! A child of the gateway that is really the test: it carries its lines to a socket and back.
//!
//! It is two `cat`s and costs next to nothing, so there can be many, where `child.rs` starts an interpreter.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// What comes from the gateway goes to the test, and the other way round. When the test hangs up it ends.
const RELAY: &str = "exec 3<>/dev/tcp/127.0.0.1/$0; (cat <&3; kill $$) & exec cat >&3";

/// Where the processes connect to.
pub(crate) struct Relay(TcpListener);

/// One process; it ends when both halves are dropped.
pub(crate) struct Relayed {
    pub(crate) read: LinesIn,
    pub(crate) write: LinesOut,
}

/// What the gateway says to it.
pub(crate) struct LinesIn(Lines<BufReader<OwnedReadHalf>>);

/// What it says to the gateway.
pub(crate) struct LinesOut(OwnedWriteHalf);

impl Relay {
    pub(crate) async fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// Its entry in the configuration.
    pub(crate) fn config(&self) -> Value {
        let port = self.0.local_addr().unwrap().port().to_string();
        json!({"command": "bash", "args": ["-c", RELAY, port]})
    }

    /// The next process that starts.
    pub(crate) async fn started(&self) -> Relayed {
        let (stream, _) = self.0.accept().await.unwrap();
        let (read, write) = stream.into_split();
        Relayed { read: LinesIn(BufReader::new(read).lines()), write: LinesOut(write) }
    }
}

impl LinesIn {
    /// The next message; `None` when the process has ended.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let line = self.0.next_line().await.ok().flatten()?;
        Some(serde_json::from_str(&line).unwrap())
    }
}

impl LinesOut {
    /// Says something; whoever has gone has gone.
    pub(crate) async fn say(&mut self, message: &Value) {
        let _ = self.0.write_all(format!("{message}\n").as_bytes()).await;
    }
}
