//! One running child: its pipes, its handle, and the task that watches over it until nothing is left of it.
//!
//! That task alone owns the process. It alone sends signals, so that none can go to a process that has been
//! reaped and whose id belongs to somebody else by then; handles only ask it to. It also reads the exit
//! status, whether or not anybody wants to know it: there are no zombies.

use std::{
    env, fmt, io,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use portcullis_model::ServerId;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    process::{self, ChildStdin, ChildStdout},
    sync::{mpsc, watch},
    task::{self, JoinHandle},
    time::{self, Instant},
};
use tracing::{debug, info, warn};

use super::{
    command::{Command, SpawnError},
    folder::Folder,
    logs::{Logs, Written},
    marker::{self, Mark, Marker},
    sandbox::{Errand, VERB},
    stderr::{self, Secrets, Tail},
    sweep::{self, Quiet},
};

/// Scans in a row that must find nothing before a child counts as gone.
const QUIET_SCANS: u32 = 3;
/// After this we leave to the keeper what even SIGKILL does not end.
const SWEEP_AT_MOST: Duration = Duration::from_secs(5);
/// How long an exit waits for the last of stderr, which an escaped grandchild may hold open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A child that has just been started.
#[derive(Debug)]
pub struct Child {
    /// Closing it (dropping it) asks a stdio server to end.
    pub stdin: ChildStdin,
    /// The end of it means that the server will answer nothing more.
    pub stdout: ChildStdout,
    /// Everything else.
    pub handle: ChildHandle,
}

/// Watches and stops a child. Clones are handles of the same child; dropping the last one kills it.
#[derive(Clone, Debug)]
pub struct ChildHandle {
    pid: u32,
    requests: mpsc::UnboundedSender<Duration>,
    state: watch::Receiver<Progress>,
}

/// How far a child has come.
#[derive(Clone, Debug)]
enum Progress {
    Running,
    Exited(Arc<Exit>),
    /// And swept.
    Gone(Arc<Exit>),
}

/// How a child ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// By itself or by a signal.
    pub ended: Ended,
    /// The last lines of its stderr (at most 40, of at most some 8 KiB), escaped, oldest first.
    pub stderr: Vec<String>,
    /// Whether `Display` may quote them: see [`Supervisor::quote_stderr`](super::Supervisor::quote_stderr).
    pub quotes: bool,
}

/// The two ways for a process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited, with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl fmt::Display for Ended {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(out, "exit code {code}"),
            Self::Signal(signal) => match Signal::from_named_raw(*signal) {
                Some(Signal::KILL) => out.write_str("signal 9 (SIGKILL)"),
                Some(Signal::TERM) => out.write_str("signal 15 (SIGTERM)"),
                Some(Signal::SEGV) => out.write_str("signal 11 (SIGSEGV)"),
                Some(Signal::ABORT) => out.write_str("signal 6 (SIGABRT)"),
                _ => write!(out, "signal {signal}"),
            },
        }
    }
}

impl fmt::Display for Exit {
    /// One line: how it ended, and its last words if it had any and they may be told.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.telling() {
            Some((line, true)) if self.quotes => write!(out, "{}; last line on stderr: {line}", self.ended),
            Some((line, false)) if self.quotes => write!(out, "{}; on stderr: {line}", self.ended),
            Some(_) => write!(out, "{}; what it wrote to stderr is in the log", self.ended),
            None => write!(out, "{}; nothing on stderr", self.ended),
        }
    }
}

impl Exit {
    /// The line of stderr that says most likely why, and whether it is the last: that itself, unless it is the end of an object
    /// or of a trace, which the line that begins it is said in place of.
    fn telling(&self) -> Option<(&str, bool)> {
        let last = self.stderr.last()?;
        let tells = |line: &&String| {
            let begins = !line.starts_with(char::is_whitespace);
            let trace = ["at ", "Node.js v"].iter().any(|start| line.starts_with(start));
            begins && !trace && line.chars().filter(|c| c.is_alphanumeric()).count() >= 2
        };
        let line = self.stderr.iter().rev().find(tells).unwrap_or(last);
        Some((line.trim_end_matches(['{', '[', '(', ' ']), std::ptr::eq(line, last)))
    }
}

impl ChildHandle {
    /// The process id, which is its group's id too. It may be another's once the child has exited.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until the child has exited, for whatever reason. Any number may wait, also afterwards.
    ///
    /// # Cancel safety
    /// Nothing is lost when it is dropped.
    pub async fn exited(&self) -> Exit {
        let mut state = self.state.clone();
        let progress = state.wait_for(|progress| !matches!(progress, Progress::Running)).await;
        match progress.as_deref() {
            Ok(Progress::Exited(exit) | Progress::Gone(exit)) => Exit::clone(exit),
            // The watcher is gone without a word: the runtime is being shut down, which kills the child.
            Ok(Progress::Running) | Err(_) => {
                let ended = Ended::Signal(Signal::KILL.as_raw());
                Exit { ended, stderr: Vec::new(), quotes: false }
            }
        }
    }

    /// Stops the child and waits until nothing is left of it.
    ///
    /// The caller closes stdin first: that is how a stdio server is asked to end. After `grace` its process
    /// group gets SIGTERM, after another `grace` SIGKILL; then what has left the group is looked for and
    /// killed. A second call with a shorter grace hurries the first one.
    ///
    /// # Cancel safety
    /// The stopping goes on when this is dropped.
    pub async fn stop(&self, grace: Duration) {
        // Refused only if the child is gone already.
        let _ = self.requests.send(grace);
        gone(&mut self.state.clone()).await;
    }
}

async fn gone(state: &mut watch::Receiver<Progress>) {
    // An error means that the watcher is gone, and the child with it.
    let _ = state.wait_for(|progress| matches!(progress, Progress::Gone(_))).await;
}

/// The supervisor's own view of a child, which does not keep it alive.
#[derive(Debug)]
pub(super) struct Entry {
    requests: mpsc::WeakUnboundedSender<Duration>,
    state: watch::Receiver<Progress>,
}

impl Entry {
    pub(super) fn ask_to_stop(&self, grace: Duration) {
        // No sender is left when the last handle was dropped; the child is being killed then.
        if let Some(requests) = self.requests.upgrade() {
            let _ = requests.send(grace);
        }
    }

    pub(super) async fn gone(&mut self) {
        gone(&mut self.state).await;
    }
}

/// Starts `command` under `marker`. The watcher must run, or nobody heeds the handle.
pub(super) fn start(
    command: &Command,
    marker: Marker,
    quotes: Arc<AtomicBool>,
    walls: Option<Walls>,
    logs: &Logs,
) -> Result<(Child, Entry, Watcher), SpawnError> {
    let (mut process, pid) = start_process(command, &marker, walls.as_ref())?;
    let asked_for = "all three pipes were asked for just now";
    let stdin = process.stdin.take().expect(asked_for);
    let stdout = process.stdout.take().expect(asked_for);
    let stderr = process.stderr.take().expect(asked_for);
    let id = pid.as_raw_nonzero().get().unsigned_abs();
    debug!(server.id = %command.server, pid = id, "started");

    let tail = Tail::default();
    let written = logs.begin(&command.server, id, tail.clone());
    let secrets = Secrets::of(&command.secrets);
    let reader = tokio::spawn(stderr::read(stderr, command.server.clone(), id, tail.clone(), secrets));
    let (requests, asked) = mpsc::unbounded_channel();
    let (progress, state) = watch::channel(Progress::Running);
    let entry = Entry { requests: requests.downgrade(), state: state.clone() };
    let watcher = Watcher {
        server: command.server.clone(),
        pid,
        process,
        asked,
        reader,
        tail,
        written,
        quotes,
        progress,
        marker,
        folder: walls.map(|walls| walls.folder),
    };
    Ok((Child { stdin, stdout, handle: ChildHandle { pid: id, requests, state } }, entry, watcher))
}

/// What a sandboxed child is started with.
pub(super) struct Walls {
    /// Our own executable.
    pub(super) through: PathBuf,
    /// What it is told.
    pub(super) errand: Errand,
    /// The child's own folder.
    pub(super) folder: Folder,
}

fn start_process(
    command: &Command,
    marker: &Marker,
    walls: Option<&Walls>,
) -> Result<(process::Child, Pid), SpawnError> {
    let mut ready = command.ready(env::vars_os())?;
    let failed =
        |source| SpawnError::Start { server: command.server.clone(), path: ready.program.clone(), source };
    let mut process = match walls {
        None => {
            let mut process = process::Command::new(&ready.program);
            if let Some(cwd) = &command.cwd {
                process.current_dir(cwd);
            }
            process
        }
        Some(walls) => {
            // Its home as well: what programs keep there, they would keep in ours.
            for name in ["HOME", "TMPDIR"] {
                if !command.sets(name.as_ref()) {
                    ready.env.insert(name.into(), walls.errand.places.private.clone().into());
                }
            }
            ready.env.retain(|name, _| !name.to_string_lossy().starts_with("XDG_") || command.sets(name));
            ready.env.retain(|name, _| !walls.errand.loader.keys().any(|its| name == its.as_str()));
            let errand = serde_json::to_string(&walls.errand).map_err(io::Error::other).map_err(failed)?;
            let mut process = process::Command::new(&walls.through);
            process.args([VERB, &errand]).arg(&ready.program);
            // Where the gateway works is nobody else's business.
            process.current_dir(walls.errand.places.work());
            process
        }
    };
    process
        .args(&command.args)
        .env_clear()
        .envs(&ready.env)
        .env(marker::VARIABLE, marker.as_str())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let process = process.spawn().map_err(failed)?;
    let pid = process.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    let pid = pid.ok_or_else(|| failed(io::Error::other("it has no process id")))?;
    Ok((process, pid))
}

/// Owns the process.
pub(super) struct Watcher {
    server: ServerId,
    pid: Pid,
    process: process::Child,
    asked: mpsc::UnboundedReceiver<Duration>,
    reader: JoinHandle<()>,
    tail: Tail,
    written: Arc<Written>,
    quotes: Arc<AtomicBool>,
    progress: watch::Sender<Progress>,
    marker: Marker,
    /// Goes when nothing is left of the child.
    folder: Option<Folder>,
}

impl Watcher {
    /// Runs until nothing is left of the child.
    pub(super) async fn run(mut self) {
        let status = self.until_exit().await;
        // At once, while no other process can have got the id: what is left of the group goes too.
        self.signal(Signal::KILL);
        let mut reader = self.reader;
        let _ = time::timeout(LAST_WORDS, &mut reader).await;
        let quotes = self.quotes.load(Ordering::Relaxed);
        let ended = ended(status);
        self.written.end(ended);
        let exit = Arc::new(Exit { ended, stderr: self.tail.lines(), quotes });
        match exit.telling() {
            // The reader may have left it out, and nobody else will tell it.
            Some((last, _)) if !quotes => {
                info!(server.id = %self.server, ended = %exit.ended, last, "exited");
            }
            _ => debug!(server.id = %self.server, ended = %exit.ended, "exited"),
        }
        self.progress.send_replace(Progress::Exited(exit.clone()));
        sweep(&self.server, &self.marker).await;
        reader.abort();
        if let Some(folder) = self.folder {
            folder.remove().await;
        }
        self.progress.send_replace(Progress::Gone(exit));
    }

    /// Waits for the child to exit; from the first request on, sees to it that it does.
    async fn until_exit(&mut self) -> io::Result<ExitStatus> {
        let mut grace = tokio::select! {
            status = self.process.wait() => return status,
            asked = self.asked.recv() => asked.unwrap_or_default(),
        };
        for signal in [Signal::TERM, Signal::KILL] {
            let since = Instant::now();
            loop {
                tokio::select! {
                    biased;
                    status = self.process.wait() => return status,
                    () = time::sleep_until(since + grace) => break,
                    // `None`: the last handle was dropped, so nobody is waiting for it to end well.
                    hurry = self.asked.recv() => grace = grace.min(hurry.unwrap_or_default()),
                }
            }
            self.signal(signal);
        }
        self.process.wait().await
    }

    fn signal(&self, signal: Signal) {
        // It fails when the group is empty, which is what it is for.
        let _ = kill_process_group(self.pid, signal);
    }
}

/// Kills what the child started and what has left its group since.
async fn sweep(server: &ServerId, marker: &Marker) {
    let (mark, mut quiet, since) = (Arc::new(Mark::from(marker)), Quiet::after(QUIET_SCANS), Instant::now());
    loop {
        let mark = mark.clone();
        // An error means that the runtime is being shut down; the keeper will do it.
        let Ok(found) = task::spawn_blocking(move || sweep::scan(&mark)).await else { return };
        if found.killed > 0 {
            debug!(server.id = %server, killed = found.killed, "killed processes that the server left behind");
        }
        if quiet.reached(found) {
            return;
        }
        if since.elapsed() > SWEEP_AT_MOST {
            warn!(server.id = %server, processes = found.killed, "processes that the server left behind do not die");
            return;
        }
        time::sleep(sweep::PAUSE).await;
    }
}

fn ended(status: io::Result<ExitStatus>) -> Ended {
    use std::os::unix::process::ExitStatusExt;
    match status.map(|status| (status.code(), status.signal())) {
        Ok((Some(code), _)) => Ended::Code(code),
        Ok((None, Some(signal))) => Ended::Signal(signal),
        // Only if somebody else reaped it; that it is gone is all that is known.
        Ok((None, None)) | Err(_) => Ended::Code(-1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_says_why_is_quoted() {
        let exit = |lines: &[&str]| {
            let stderr = lines.iter().map(|line| (*line).to_owned()).collect();
            Exit { ended: Ended::Code(1), stderr, quotes: true }.to_string()
        };
        for (lines, said) in [
            (&["starting", "no key"][..], "last line on stderr: no key"),
            (
                &["Error accessing /x: ENOENT {", "  errno: -2,", "  path: '/x'", "}"],
                "on stderr: Error accessing /x: ENOENT",
            ),
            (
                &[
                    "  throw err;",
                    "Error: Cannot find module '/x'",
                    "    at load (a.js:1)",
                    "at b",
                    "}",
                    "Node.js v20.1.0",
                ],
                "on stderr: Error: Cannot find module '/x'",
            ),
            (
                &["Traceback (most recent call last):", "  File 1", "KeyError: 'A'"],
                "last line on stderr: KeyError: 'A'",
            ),
            (&["  }", "}"], "last line on stderr: }"),
        ] {
            assert_eq!(exit(lines), format!("exit code 1; {said}"));
        }
        assert_eq!(exit(&[]), "exit code 1; nothing on stderr");
    }
}
