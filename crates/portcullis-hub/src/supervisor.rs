//! Starts, watches and stops MCP servers that run as child processes.
//!
//! A server is a program that nobody here wrote. It may ignore the end of its stdin, ignore SIGTERM, start
//! daemons in sessions of their own, or flood its stderr. Three things together make sure that it is gone when
//! it should be:
//!
//! - it leads a process group of its own, which can be signalled as a whole;
//! - its environment carries a marker (`marker`) that everything it starts inherits, so that what left the
//!   group is still found in `/proc` and killed (`sweep`);
//! - a *keeper* (`keeper`), a second process of our own executable, holds a pipe from the gateway and
//!   sweeps when that pipe closes, which the kernel does even after `kill -9` of the gateway.
//!
//! What a child may reach meanwhile is its [`Sandbox`]'s to say, where it has one.
//!
//! What this does not do: a program that clears its whole environment *and* leaves its process group cannot be told from
//! a stranger's. Where there is no `/proc` (macOS) only the group is killed.
//! It restarts nothing on its own either: [`Backoff`] says when, whoever owns the server decides whether.

mod backoff;
mod child;
mod command;
mod folder;
mod keeper;
mod logs;
mod marker;
mod sandbox;
mod stderr;
mod sweep;

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

pub use backoff::{Backoff, Next};
pub use child::{Child, ChildHandle, Ended, Exit};
pub use command::{Command, LockedPackages, SpawnError};
pub use keeper::keeper_main;
pub use logs::Log;
pub use sandbox::{Host, Lack, Limits, Network, Sandbox, sandbox_main};
#[cfg(feature = "kubernetes")]
pub(crate) use stderr::cleaned;

use child::{Entry, Walls};
use folder::Folders;
use keeper::Keeper;
use logs::Logs;
use marker::Instance;
pub(crate) use marker::VARIABLE as MARKER;
use portcullis_model::ServerId;
use sandbox::{Errand, Places, of_program};

use crate::packages::{Installed, Packages, Turns};

/// How long [`Supervisor::shutdown`] waits at each step: for the end of stdin to be heeded, then for SIGTERM.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// Starts child processes and outlives none of them. Cheap to clone; all clones are the same supervisor.
#[derive(Clone, Debug)]
pub struct Supervisor {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    instance: Instance,
    started: AtomicU64,
    /// Whether exits quote stderr.
    quotes: Arc<AtomicBool>,
    /// The living children by their number; `None` once [`Supervisor::shutdown`] has begun.
    children: Mutex<Option<HashMap<u64, Entry>>>,
    /// Started with the first child: as long as there was none, nothing can stay behind.
    keeper: tokio::sync::OnceCell<Keeper>,
    /// What children wrote to stderr.
    logs: Logs,
    /// Our own executable.
    program: PathBuf,
    /// What this machine has for sandboxes, once somebody wanted to know.
    host: tokio::sync::OnceCell<Host>,
    folders: Folders,
    /// Who is installing which packages.
    installing: Arc<Turns>,
    /// Held while shutting down, so that a second caller waits instead of closing the keeper too early.
    closing: tokio::sync::Mutex<()>,
}

impl Supervisor {
    /// A supervisor without children. Its keeper is started before the first of them.
    ///
    /// `program` is run as `program __keeper …` and must then call [`keeper_main`], and as `program __sandbox …` and must then
    /// call [`sandbox_main`]: it is our own executable. If the keeper dies it is started again, with a warning in the log.
    #[must_use]
    pub fn new(program: &Path) -> Supervisor {
        let instance = Instance::unique();
        let folders = Folders::of(&instance);
        let state = State {
            instance,
            started: AtomicU64::new(0),
            quotes: Arc::default(),
            children: Mutex::new(Some(HashMap::new())),
            keeper: tokio::sync::OnceCell::new(),
            logs: Logs::default(),
            program: program.to_owned(),
            host: tokio::sync::OnceCell::new(),
            folders,
            installing: Arc::default(),
            closing: tokio::sync::Mutex::new(()),
        };
        Supervisor { state: Arc::new(state) }
    }

    /// Whether the text of an [`Exit`] quotes the child's last line on stderr, from the next exit on; it does not as long
    /// as this was never said. The text reaches whoever calls a server, and what a child writes there is for those who
    /// run it: paths, addresses, sometimes a secret. The log has the line in any case.
    pub fn quote_stderr(&self, yes: bool) {
        self.state.quotes.store(yes, Ordering::Relaxed);
    }

    /// Starts `command` and returns its pipes.
    ///
    /// The child sees a scrubbed environment: a small base of names from our own ([`Command::env`] says
    /// which), then what the command sets, then the marker.
    ///
    /// It blocks for as long as `fork` and `exec` take, some milliseconds at most; the first child with a sandbox waits
    /// for what the machine has to be found out.
    ///
    /// # Errors
    /// [`SpawnError`] says what was looked for, where, and what to do about it.
    pub async fn spawn(&self, command: &Command) -> Result<Child, SpawnError> {
        self.keep_watch(&command.server).await?;
        let installed = match &command.packages {
            Some(packages) => Some(self.installed(command, packages).await?),
            None => None,
        };
        let command = installed.as_ref().unwrap_or(command);
        let number = self.state.started.fetch_add(1, Ordering::Relaxed);
        let marker = self.state.instance.child(&command.server, number);
        let walls = match &command.sandbox {
            Some(sandbox) => Some(self.walls(command, sandbox, number).await?),
            None => None,
        };
        let (child, entry, watcher) =
            child::start(command, marker, self.state.quotes.clone(), walls, &self.state.logs)?;
        // Into the table before anything can take it out, and watched in any case.
        let taken = self.state.children().as_mut().map(|children| children.insert(number, entry)).is_some();
        let slot = ChildSlot { state: self.state.clone(), number };
        tokio::spawn(async move {
            watcher.run().await;
            drop(slot);
        });
        // Not taken: the only handle is dropped here, which kills what was just started.
        if taken { Ok(child) } else { Err(SpawnError::ShuttingDown { server: command.server.clone() }) }
    }

    /// Installs the packages of a server, unless they are there; `program` is what would start it otherwise. An installation goes on
    /// when whoever asked for it has gone.
    ///
    /// # Errors
    /// [`SpawnError::Packages`], or nothing is started any more.
    pub async fn install(
        &self,
        server: &ServerId,
        program: &str,
        packages: &LockedPackages,
    ) -> Result<Installed, SpawnError> {
        self.keep_watch(server).await?;
        let LockedPackages { lock, folder, mirrors } = packages;
        let number = self.state.started.fetch_add(1, Ordering::Relaxed);
        let marker = self.state.instance.child(server, number).as_str().to_owned();
        let place = Packages::taking_turns(folder.clone(), self.state.installing.clone(), Some(marker));
        let installed = place.install(program, lock, mirrors).await;
        installed.map_err(|failed| SpawnError::Packages {
            server: server.clone(),
            reason: failed.what,
            again: failed.again,
        })
    }

    /// What the children of a server wrote to stderr lately, the newest child first: for whoever runs it, and nobody else.
    pub fn logs(&self, server: &ServerId) -> Vec<Log> {
        self.state.logs.of(server)
    }

    /// What this machine has for sandboxes.
    ///
    /// # Errors
    /// When it cannot be found out; the text says why.
    pub async fn host(&self) -> Result<&Host, String> {
        let found = self.state.host.get_or_try_init(|| Host::probe(&self.state.program)).await?;
        Ok(found)
    }

    /// The command with its program in the folder of its packages, which it may read.
    async fn installed(&self, command: &Command, packages: &LockedPackages) -> Result<Command, SpawnError> {
        let installed = self.install(&command.server, &command.program, packages).await?;
        let sandbox = command.sandbox.clone().map(|mut sandbox| {
            sandbox.read.extend(installed.runtime.as_deref().map(of_program).unwrap_or_default());
            sandbox.read.push(installed.folder);
            sandbox
        });
        Ok(Command { program: installed.program.display().to_string(), sandbox, ..command.clone() })
    }

    /// Whatever is started has somebody who ends it.
    async fn keep_watch(&self, server: &ServerId) -> Result<(), SpawnError> {
        if self.state.children().is_none() {
            return Err(SpawnError::ShuttingDown { server: server.clone() });
        }
        self.state.keep_watch().await.map_err(|error| SpawnError::Keeper {
            server: server.clone(),
            program: self.state.program.clone(),
            source: error,
        })
    }

    async fn walls(&self, command: &Command, sandbox: &Sandbox, number: u64) -> Result<Walls, SpawnError> {
        let server = || command.server.clone();
        let failed = |reason: String| SpawnError::Walls { server: server(), reason };
        let host = self.host().await.map_err(failed)?;
        let lacking = sandbox.lacks(host);
        if !lacking.is_empty() {
            if !sandbox.best_effort {
                return Err(SpawnError::Sandbox { server: server(), lacking });
            }
            for lack in &lacking {
                tracing::warn!(server.id = %command.server, %lack, "its sandbox is without what this machine lacks");
            }
        }
        let user = match &sandbox.user {
            Some(_) if !host.root => None,
            Some(name) => Some(folder::user(name).map_err(failed)?),
            None => None,
        };
        let in_temporary = |error: io::Error| {
            failed(format!("a folder of its own in {}: {error}", self.state.folders.path().display()))
        };
        let folder = self.state.folders.make(number, user).await.map_err(in_temporary)?;
        // It stays the same when the child has gone there.
        let cwd = command.cwd.as_deref().map(std::path::absolute).transpose();
        let cwd = cwd.map_err(|error| failed(format!("`cwd`: {error}")))?;
        let places = Places { private: folder.path().to_owned(), cwd };
        let (sandbox, host) = (sandbox.clone(), host.clone());
        let errand = Errand { sandbox, places, loader: command.for_the_loader(), user, host };
        Ok(Walls { through: self.state.program.clone(), errand, folder })
    }

    /// Stops all children at once, then the keeper, which sweeps once more before it goes.
    ///
    /// A child has two seconds to heed the end of its stdin (which whoever owns the pipe closes), two more
    /// after SIGTERM, and is killed then. Nothing can be started afterwards. Calling it again waits as well.
    pub async fn shutdown(&self) {
        let _closing = self.state.closing.lock().await;
        let children = self.state.children().take();
        let mut children: Vec<Entry> = children.unwrap_or_default().into_values().collect();
        for child in &children {
            child.ask_to_stop(SHUTDOWN_GRACE);
        }
        for child in &mut children {
            child.gone().await;
        }
        if let Some(keeper) = self.state.keeper.get() {
            keeper.close().await;
        }
    }
}

impl State {
    async fn keep_watch(&self) -> io::Result<()> {
        let start = async || Keeper::start(&self.program, &self.instance, self.folders.path());
        self.keeper.get_or_try_init(start).await.map(drop)
    }

    fn children(&self) -> MutexGuard<'_, Option<HashMap<u64, Entry>>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A child's place in the supervisor's table, given up when its watcher is done with it.
///
/// It also keeps the keeper: that one must stay for as long as any child does.
#[derive(Debug)]
struct ChildSlot {
    state: Arc<State>,
    number: u64,
}

impl Drop for ChildSlot {
    fn drop(&mut self) {
        if let Some(children) = self.state.children().as_mut() {
            children.remove(&self.number);
        }
    }
}
