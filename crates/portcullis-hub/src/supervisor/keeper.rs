//! The keeper: a second process that ends the children when the gateway can no longer do it.
//!
//! It is our own executable with the hidden verb `__keeper INSTANCE FOLDER`. Its stdin is a pipe whose other end only
//! the gateway holds, so that it reads the end of file exactly when the gateway has closed it or is gone,
//! `kill -9` included. Then it sweeps and exits. It is in a process group of its own and ignores the
//! signals that a terminal or a service manager sends to all of a service's processes at once.
//!
//! It starts from an empty environment. That keeps it small, and it keeps our own marker out of it should this
//! gateway be another gateway's child: the outer one must not kill the inner one's keeper with the rest.
//!
//! This file has both halves: [`Keeper`], which runs in the gateway, and [`keeper_main`], which is the keeper.

use std::{
    env,
    io::{self, Read},
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use tokio::{
    process,
    signal::unix::{SignalKind, signal},
    sync::watch,
    time,
};
use tracing::{error, warn};

use super::{
    Backoff, Next, folder,
    marker::{Instance, Mark},
    sweep::{self, Quiet},
};

/// The hidden verb of our executable.
const VERB: &str = "__keeper";
/// Scans in a row that must find nothing. With the pauses: a fifth of a second, for a child that the gateway was
/// just starting when it was killed, and that still looks like the gateway itself.
const QUIET_SCANS: u32 = 20;
/// After this the keeper gives up on processes that even SIGKILL does not end.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
/// How long [`Keeper::close`] waits for the keeper's own sweep.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// The gateway's half: holds the pipe, and starts the keeper again if it dies.
#[derive(Debug)]
pub(super) struct Keeper {
    close: watch::Sender<bool>,
    /// Held by the task for as long as it lives.
    done: watch::Receiver<()>,
}

impl Keeper {
    /// Starts it. Must run inside a tokio runtime.
    /// `folders` is what it removes in the end.
    pub(super) fn start(program: &Path, instance: &Instance, folders: &Path) -> io::Result<Keeper> {
        let errand =
            Errand { program: program.to_owned(), instance: instance.clone(), folders: folders.to_owned() };
        let process = errand.start()?;
        let (close, closing) = watch::channel(false);
        let (alive, done) = watch::channel(());
        tokio::spawn(async move {
            keep(&errand, process, closing).await;
            drop(alive);
        });
        Ok(Keeper { close, done })
    }

    /// Closes the pipe and waits until the keeper has swept and gone. Dropping it closes the pipe only.
    pub(super) async fn close(&self) {
        let _ = self.close.send(true);
        let mut done = self.done.clone();
        // Nothing is ever sent: this returns when the task has ended.
        while done.changed().await.is_ok() {}
    }
}

/// The running keeper. Dropping it closes the pipe, upon which the keeper sweeps.
struct Running {
    process: process::Child,
    pipe: process::ChildStdin,
}

/// What a keeper is started with.
struct Errand {
    program: PathBuf,
    instance: Instance,
    folders: PathBuf,
}

impl Errand {
    fn start(&self) -> io::Result<Running> {
        let mut process = process::Command::new(&self.program)
            .arg(VERB)
            .arg(self.instance.to_string())
            .arg(&self.folders)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        // Taken out, for waiting for a process closes the stdin that is still in it.
        let pipe = process.stdin.take().expect("stdin was asked for just now");
        Ok(Running { process, pipe })
    }
}

/// Watches over the keeper until told to close, or until the supervisor is dropped, which closes the channel.
async fn keep(errand: &Errand, mut running: Running, mut closing: watch::Receiver<bool>) {
    let mut backoff = Backoff::new(u32::MAX);
    loop {
        backoff.started(Instant::now());
        let ended = tokio::select! {
            ended = running.process.wait() => ended,
            _ = closing.changed() => return close(running).await,
        };
        let reason = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
        warn!(reason, "the keeper died; starting it again");
        let restart = restart(errand, &mut backoff, reason);
        running = tokio::select! {
            again = restart => again,
            _ = closing.changed() => return,
        };
    }
}

/// Tries until it succeeds.
async fn restart(errand: &Errand, backoff: &mut Backoff, mut reason: String) -> Running {
    loop {
        if let Next::Wait(wait) = backoff.failed(Instant::now(), &reason, 0.0) {
            time::sleep(wait).await;
        }
        match errand.start() {
            Ok(running) => return running,
            Err(error) => reason = error.to_string(),
        }
        error!(
            reason,
            program = %errand.program.display(),
            "cannot start the keeper; if the gateway is killed now, servers may stay behind"
        );
    }
}

async fn close(running: Running) {
    let Running { mut process, pipe } = running;
    drop(pipe);
    if time::timeout(CLOSE_WITHIN, process.wait()).await.is_err() {
        // It goes on by itself: some process does not die, and it gives up on that one later.
        warn!("the keeper is still sweeping; leaving it to it");
    }
}

/// The body of the hidden verb `portcullis __keeper INSTANCE FOLDER`: waits for the end of stdin, kills every process
/// that the gateway's children left, removes the folder that theirs were in, and returns the exit code.
///
/// Call it first thing in `main`, before a runtime, a logger or a configuration exists: it wants none of them,
/// runs on the one thread it is called on, and should stay small. Exit code 2 when `INSTANCE` is not one.
pub fn keeper_main() -> ExitCode {
    let instance = env::args().nth(2).as_deref().and_then(Instance::parse);
    let Some(instance) = instance else {
        eprintln!(
            "{VERB} is run by the gateway itself, with the name of its instance; there is no other use"
        );
        return ExitCode::from(2);
    };
    if let Err(error) = ignore_signals() {
        eprintln!("{VERB}: cannot ignore signals: {error}");
        return ExitCode::FAILURE;
    }
    wait_for_end_of_stdin();
    let started = Instant::now();
    let (mark, mut quiet) = (Mark::from(&instance), Quiet::after(QUIET_SCANS));
    while !quiet.reached(sweep::scan(&mark)) && started.elapsed() < GIVE_UP_AFTER {
        thread::sleep(sweep::PAUSE);
    }
    if let Some(folders) = env::args_os().nth(3) {
        folder::remove(Path::new(&folders), &instance);
    }
    ExitCode::SUCCESS
}

/// Replaces the default action, which is to die, by none. Tokio's handlers outlive the runtime that they are
/// made in, and all that this one costs while we sit in `read` is an epoll descriptor.
fn ignore_signals() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _inside = runtime.enter();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit()] {
        // Nobody reads the stream: that the handler is there is enough.
        drop(signal(kind)?);
    }
    Ok(())
}

fn wait_for_end_of_stdin() {
    let (mut stdin, mut ignored) = (io::stdin().lock(), [0; 64]);
    loop {
        match stdin.read(&mut ignored) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A stdin that cannot be read says as little about the gateway as one that has ended.
            Err(_) => return,
        }
    }
}
