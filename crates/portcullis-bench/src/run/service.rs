//! A server that the bench starts, watches and stops.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::client::Endpoint;
use crate::client::answer;
use crate::client::blocking::Connection;
use crate::echo::Arguments;
use crate::wire::Era;

/// How long a server may take to end after SIGTERM before it is killed.
const STOP: Duration = Duration::from_secs(10);

/// How long a started server may take until it answers a call rightly.
const FIRST_ANSWER: Duration = Duration::from_secs(20);

/// Pause between two looks at something that has no event to wait for.
const LOOK: Duration = Duration::from_millis(20);

/// A running server; dropping it stops it.
#[derive(Debug)]
pub(crate) struct Service {
    name: &'static str,
    child: Child,
    /// Where it says that it listens.
    pub(crate) endpoint: Endpoint,
}

impl Service {
    /// Starts `command` and waits for a line on its standard output that names an `http://` URL. Its standard
    /// error goes to the file `log`, else to ours.
    pub(crate) fn start(
        name: &'static str,
        mut command: Command,
        log: Option<&Path>,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        redirect(&mut command, log)?;
        command.stdout(Stdio::piped());
        let mut child = spawn(name, &mut command)?;
        let stdout = child.stdout.take().expect("standard output is piped");
        let (found, finding) = mpsc::channel();
        std::thread::spawn(move || {
            // Reads on after the URL, so that the server never writes into a full or a broken pipe.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(url) = url(&line) {
                    let _ = found.send(url.to_owned());
                }
            }
        });
        if let Some(endpoint) = finding.recv_timeout(patience).ok().and_then(|url| url.parse().ok()) {
            return Ok(Self { name, child, endpoint });
        }
        stop(name, &mut child);
        Err(anyhow!("{name} ended, or printed no URL within {patience:?}{}", tail(log)))
    }

    /// Starts `command`, which is known to listen at `endpoint`, and waits until it accepts a connection.
    pub(crate) fn start_at(
        name: &'static str,
        mut command: Command,
        log: &Path,
        endpoint: Endpoint,
    ) -> anyhow::Result<Self> {
        redirect(&mut command, Some(log))?;
        command.stdout(Stdio::null());
        let mut service = Self { name, child: spawn(name, &mut command)?, endpoint };
        let deadline = Instant::now() + FIRST_ANSWER;
        while service.endpoint.connect().is_err() {
            if let Some(status) = service.child.try_wait()? {
                bail!("{name} ended with {status}{}", tail(Some(log)));
            }
            if Instant::now() > deadline {
                bail!("{name} does not listen at {}{}", service.endpoint.authority, tail(Some(log)));
            }
            std::thread::sleep(LOOK);
        }
        Ok(service)
    }

    /// The process that was started; workers are its descendants.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        stop(self.name, &mut self.child);
    }
}

/// Waits until one call at `endpoint` is answered rightly: the server has found its own upstream.
pub(crate) fn await_first_answer(endpoint: &Endpoint, era: Era) -> anyhow::Result<()> {
    let deadline = Instant::now() + FIRST_ANSWER;
    loop {
        match first_answer(endpoint, era) {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                return Err(error
                    .context(format!("no right {era} answer from {}{}", endpoint.authority, endpoint.path)));
            }
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}

fn first_answer(endpoint: &Endpoint, era: Era) -> anyhow::Result<()> {
    let mut connection = Connection::open(endpoint)?;
    let arguments = Arguments::numbered(1);
    let mut request = Vec::new();
    connection.handshake(era, endpoint)?.call_template("tool_01").write(&arguments, &mut request);
    let response = connection.exchange(&request)?;
    Ok(answer::check(&response, era, arguments.serial, &arguments, &mut String::new())?)
}

fn redirect(command: &mut Command, log: Option<&Path>) -> anyhow::Result<()> {
    command.stdin(Stdio::null());
    if let Some(log) = log {
        command.stderr(File::create(log).with_context(|| format!("cannot write {}", log.display()))?);
    }
    Ok(())
}

fn spawn(name: &str, command: &mut Command) -> anyhow::Result<Child> {
    let program = PathBuf::from(command.get_program());
    command.spawn().with_context(|| format!("cannot start {name}, {}", program.display()))
}

/// SIGTERM, then patience, then SIGKILL; always reaps.
fn stop(name: &str, child: &mut Child) {
    let asked = Pid::from_raw(child.id().cast_signed()).map(|pid| kill_process(pid, Signal::TERM));
    let deadline = Instant::now() + STOP;
    while asked.is_some() && Instant::now() < deadline {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(LOOK);
    }
    eprintln!("portcullis-bench: {name} did not end on SIGTERM within {STOP:?}; killing it");
    let _ = child.kill();
    let _ = child.wait();
}

fn url(line: &str) -> Option<&str> {
    let rest = &line[line.find("http://")?..];
    let end = rest.find(|c: char| c.is_whitespace() || "\"',;)".contains(c)).unwrap_or(rest.len());
    Some(&rest[..end])
}

/// The last lines of a log, to show beside an error.
fn tail(log: Option<&Path>) -> String {
    let text = log.and_then(|log| std::fs::read_to_string(log).ok()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let mut last = String::new();
    for line in &lines[lines.len().saturating_sub(15)..] {
        last.extend(["\n  | ", line]);
    }
    last
}

#[cfg(test)]
mod tests;
