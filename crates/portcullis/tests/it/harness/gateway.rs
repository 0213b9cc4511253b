//! The real binary, started with a configuration on a free port and killed with the test.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::http::{Connection, Response};
use super::within;

/// A running gateway.
pub(crate) struct Gateway {
    process: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Log>,
    folder: TempDir,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    written: Notify,
}

impl Gateway {
    /// Starts it with a configuration; `listen` is filled in when it is missing.
    pub(crate) fn start(config: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, config, &[])
    }

    /// Starts it in a folder, with further arguments.
    pub(crate) fn start_in(folder: TempDir, config: &Value, args: &[&str]) -> Self {
        write_config(&folder.path().join("portcullis.json"), config);
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.arg("serve").arg("--config").arg(folder.path().join("portcullis.json")).args(args);
        Self::spawn(folder, command)
    }

    /// Starts it with one server behind it, called `x`.
    pub(crate) fn before(server: &Value) -> Self {
        Self::start(&json!({"servers": {"x": server}}))
    }

    /// Runs a command that is the gateway, whatever its verb.
    pub(crate) fn spawn(folder: TempDir, mut command: Command) -> Self {
        command.current_dir(folder.path()).env_remove("PORTCULLIS_LOG").env_remove("RUST_LOG");
        command.env("A_SECRET", "that every gateway of these tests has in its environment");
        let mut process =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Log::default());
        let stderr = BufReader::new(process.stderr.take().unwrap());
        let sink = log.clone();
        let reading = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                sink.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                sink.written.notify_waiters();
            }
        });
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut first = String::new();
        stdout.read_line(&mut first).unwrap();
        let address = first.split("://").nth(1).and_then(|rest| rest.split('/').next()?.parse().ok());
        let Some(address) = address else {
            let _ = process.kill();
            let _ = process.wait();
            let _ = reading.join();
            panic!("the gateway did not start: {first:?} {:?}", log.lines.lock().unwrap());
        };
        // Whoever prints more must not be held up by a full pipe.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Self { process, address, log, folder }
    }

    /// Writes another configuration over the one it was started with. Whether it is taken up is the gateway's matter.
    pub(crate) fn rewrite_config(&self, config: &Value) {
        write_config(&self.config_path(), config);
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.folder.path().join("portcullis.json")
    }

    /// Where its configuration is.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The process itself, for signals and exit codes.
    pub(crate) fn process(&mut self) -> &mut Child {
        &mut self.process
    }

    /// All that it logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Waits for a log line that contains `text`.
    pub(crate) async fn logged(&self, text: &str) -> String {
        let find = || {
            let lines = self.log.lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.iter().find(|line| line.contains(text)).cloned()
        };
        within(text, async {
            loop {
                let written = self.log.written.notified();
                tokio::pin!(written);
                written.as_mut().enable();
                if let Some(line) = find() {
                    return line;
                }
                written.await;
            }
        })
        .await
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.address).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.connect().await.send(method, path, headers, body).await
    }

    /// Posts JSON without any MCP headers.
    pub(crate) async fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Response {
        self.send("POST", path, &JSON, body.as_ref()).await
    }

    /// Gets a document.
    pub(crate) async fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[], b"").await
    }

    /// One server as `/readyz` shows it.
    pub(crate) async fn ready(&self) -> Value {
        self.get("/readyz").await.json()
    }

    /// What the gateway's own process holds, in bytes; `peak` is the most that it ever was. Pages of its program are not
    /// counted: they come as code is first run, and a debug build has many.
    pub(crate) fn memory(&self) -> Memory {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
        };
        Memory { now: field("RssAnon:"), peak: field("VmHWM:") - field("RssFile:") }
    }
}

/// What a process holds, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) now: usize,
    pub(crate) peak: usize,
}

/// The headers of a JSON body.
pub(crate) const JSON: [(&str, &str); 2] =
    [("content-type", "application/json"), ("accept", "application/json, text/event-stream")];

fn write_config(path: &Path, config: &Value) {
    let mut config = config.clone();
    let members = config.as_object_mut().unwrap();
    members.entry("listen").or_insert_with(|| json!("127.0.0.1:0"));
    members.entry("telemetry").or_insert_with(|| json!({"log": {"filter": "info,portcullis_gateway=debug"}}));
    // Moved into place, so that nobody ever reads half of it.
    let draft = path.with_extension("draft");
    std::fs::write(&draft, config.to_string()).unwrap();
    std::fs::rename(draft, path).unwrap();
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- the gateway's log ---\n{}", self.log());
        }
    }
}
