//! What to start, and what of our own environment it may see.
//!
//! A gateway's environment is full of secrets that belong to it: database URLs, tokens, keys. A child starts
//! from nothing and gets the few names that programs cannot do without, then exactly what the operator wrote.
//! The program is looked up by us and not by `execvp`, so that the answer to a mistyped name can say where it
//! was looked for. No shell is ever involved.

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use std::time::Duration;

use portcullis_model::ServerId;
use rustix::fs::{Access, access};

use super::sandbox::{Lack, Sandbox};
use crate::packages::{Mirrors, Sealed};

/// Names that pass from our environment to every child. `LC_*` passes too.
const BASE: &[&str] = &[
    "HOME",
    "LANG",
    "LOGNAME",
    "PATH",
    "TMPDIR",
    "TZ",
    "USER",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_DIRS",
    "XDG_CONFIG_HOME",
    "XDG_DATA_DIRS",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
];

/// Where programs are looked for when neither we nor the command have a `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// One server's process, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Whose process it is; named in logs and errors.
    pub server: ServerId,
    /// A program's name, looked up in the child's `PATH`, or a path, relative to `cwd`. Nothing is expanded.
    pub program: String,
    /// The arguments, as they are.
    pub args: Vec<String>,
    /// Variables on top of the base (`HOME`, `LANG`, `LC_*`, `LOGNAME`, `PATH`, `TMPDIR`, `TZ`, `USER` and the
    /// XDG base directories, where we have them): what the operator set, and what he listed to inherit.
    pub env: Vec<(String, String)>,
    /// What of their values is secret: the child's lines on stderr are told without.
    pub secrets: Vec<String>,
    /// The working directory; if `None` ours, or, in a sandbox, the child's own folder.
    pub cwd: Option<PathBuf>,
    /// What it may reach of the machine; `None` is all that we may ourselves.
    pub sandbox: Option<Box<Sandbox>>,
    /// The packages that have its program, which is started in place of `program`; that one would install them.
    pub packages: Option<LockedPackages>,
}

/// Packages that a program is in, and where they are to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedPackages {
    /// All of them.
    pub lock: Arc<Sealed>,
    /// Where they are installed.
    pub folder: PathBuf,
    /// Where they come from.
    pub mirrors: Mirrors,
}

impl Command {
    /// Whether a variable of our environment passes to every child.
    pub fn is_everybodys(name: &str) -> bool {
        BASE.contains(&name) || name.starts_with("LC_")
    }
}

/// Why a server's process could not be started. Its text says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// No such program in any directory of the child's `PATH`.
    #[error(
        "server `{server}`: program `{program}` was not found; looked in {}. Install it, write its full path as \
         `command`, or set PATH in the server's `env`{}",
        list(looked_in),
        if program.contains(char::is_whitespace) { "; what follows its name goes into `args`" } else { "" }
    )]
    NotFound {
        /// The server that wants it.
        server: ServerId,
        /// As configured.
        program: String,
        /// The directories of the child's `PATH`, in order.
        looked_in: Vec<PathBuf>,
    },
    /// The program was given as a path, and there is no file.
    #[error(
        "server `{server}`: there is no file {}. Correct `command`; relative paths start at `cwd`, and `~` and \
         `$NAME` are not expanded",
        path.display()
    )]
    NoFile {
        /// The server that wants it.
        server: ServerId,
        /// The path in full.
        path: PathBuf,
    },
    /// A file is there, but we may not execute it.
    #[error(
        "server `{server}`: {} is not a program that the gateway's user may run. Make it executable (chmod +x), \
         or name its interpreter as `command` and the file as its first argument",
        path.display()
    )]
    NotExecutable {
        /// The server that wants it.
        server: ServerId,
        /// The path in full.
        path: PathBuf,
    },
    /// Nobody would end it if the gateway were killed, so it is not started.
    #[error(
        "server `{server}`: the keeper of child processes, {} itself, does not start: {source}. Put the gateway's program \
         back where it was started from, or restart the gateway",
        program.display()
    )]
    Keeper {
        /// The server that wants it.
        server: ServerId,
        /// Our own executable.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The working directory is no directory that we can enter.
    #[error("server `{server}`: cannot work in {}: {source}. Create the directory or correct `cwd`", path.display())]
    WorkingDirectory {
        /// The server that wants it.
        server: ServerId,
        /// As configured.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A variable's name is empty, or has `=` or a NUL byte in it, or its value has a NUL byte.
    #[error(
        "server `{server}`: `env` has {name:?}, which no environment can hold. Correct its name or value"
    )]
    Environment {
        /// The server that wants it.
        server: ServerId,
        /// As configured.
        name: String,
    },
    /// The machine lacks what its sandbox takes.
    #[error(
        "server `{server}`: its sandbox takes what this machine lacks: {}. Run the gateway where it is there, ask for less \
         in `sandbox`, or write `missing: allow` into it to start the server without",
        words(lacking)
    )]
    Sandbox {
        /// The server that wants it.
        server: ServerId,
        /// All of it.
        lacking: Vec<Lack>,
    },
    /// The packages that have its program are not there, and cannot be had as they were locked.
    #[error("server `{server}`: {reason}")]
    Packages {
        /// The server that wants it.
        server: ServerId,
        /// Why.
        reason: String,
        /// How long nothing is tried anew, where it was tried.
        again: Option<Duration>,
    },
    /// What its sandbox is to be made of cannot be had.
    #[error("server `{server}`: its sandbox cannot be made: {reason}")]
    Walls {
        /// The server that wants it.
        server: ServerId,
        /// Why.
        reason: String,
    },
    /// The system refused to start it.
    #[error("server `{server}`: cannot start {}: {source}{}", path.display(), advice(source))]
    Start {
        /// The server that wants it.
        server: ServerId,
        /// The path in full.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// [`Supervisor::shutdown`](super::Supervisor::shutdown) has begun.
    #[error("server `{server}`: not started, the gateway is shutting down")]
    ShuttingDown {
        /// The server that wants it.
        server: ServerId,
    },
}

/// A command made ready: found, checked, and with its whole environment (but for the marker).
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) program: PathBuf,
    pub(super) env: BTreeMap<OsString, OsString>,
}

impl Command {
    /// Checks everything that can be checked before a process is made of it. `ours` is our own environment.
    pub(super) fn ready(
        &self,
        ours: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Ready, SpawnError> {
        let env = self.environment(ours)?;
        if let Some(cwd) = &self.cwd {
            fs::read_dir(cwd).map_err(|source| SpawnError::WorkingDirectory {
                server: self.server.clone(),
                path: cwd.clone(),
                source,
            })?;
        }
        let path = env.get(OsStr::new("PATH")).map_or(OsStr::new(DEFAULT_PATH), OsString::as_os_str);
        Ok(Ready { program: self.find_program(path)?, env })
    }

    /// Whether the operator gave this variable a value.
    pub(super) fn sets(&self, name: &OsStr) -> bool {
        self.env.iter().any(|(given, _)| OsStr::new(given) == name)
    }

    /// What the operator set for the dynamic loader, which heeds it before a program's first line.
    pub(super) fn for_the_loader(&self) -> BTreeMap<String, String> {
        let is = |name: &str| name.starts_with("LD_") || name == "GLIBC_TUNABLES";
        self.env.iter().filter(|(name, _)| is(name)).cloned().collect()
    }

    fn environment(
        &self,
        ours: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<BTreeMap<OsString, OsString>, SpawnError> {
        let mut env: BTreeMap<_, _> = ours.filter(|(name, _)| is_base(name)).collect();
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(SpawnError::Environment { server: self.server.clone(), name: name.clone() });
            }
            env.insert(name.into(), value.into());
        }
        Ok(env)
    }

    fn find_program(&self, path: &OsStr) -> Result<PathBuf, SpawnError> {
        let server = || self.server.clone();
        if self.program.contains('/') {
            let file = match &self.cwd {
                Some(cwd) => cwd.join(&self.program),
                None => PathBuf::from(&self.program),
            };
            // Absolute, for a relative one would be looked up after the change of directory.
            let file = std::path::absolute(&file).unwrap_or(file);
            return match look_at(&file) {
                Found::Program => Ok(file),
                Found::File => Err(SpawnError::NotExecutable { server: server(), path: file }),
                Found::Nothing => Err(SpawnError::NoFile { server: server(), path: file }),
            };
        }
        // An empty or relative entry would mean the working directory, from which nothing is to be run.
        let looked_in: Vec<PathBuf> = env::split_paths(path).filter(|dir| dir.is_absolute()).collect();
        let mut refused = None;
        for file in looked_in.iter().map(|dir| dir.join(&self.program)).filter(|_| !self.program.is_empty()) {
            match look_at(&file) {
                Found::Program => return Ok(file),
                Found::File => refused = refused.or(Some(file)),
                Found::Nothing => {}
            }
        }
        Err(match refused {
            Some(path) => SpawnError::NotExecutable { server: server(), path },
            None => SpawnError::NotFound { server: server(), program: self.program.clone(), looked_in },
        })
    }
}

fn is_base(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| BASE.contains(&name) || name.starts_with("LC_"))
}

enum Found {
    Program,
    File,
    Nothing,
}

fn look_at(file: &Path) -> Found {
    match fs::metadata(file) {
        Ok(found) if found.is_file() && access(file, Access::EXEC_OK).is_ok() => Found::Program,
        Ok(found) if found.is_file() => Found::File,
        _ => Found::Nothing,
    }
}

fn list(dirs: &[PathBuf]) -> String {
    if dirs.is_empty() {
        return "no directory, PATH names none".to_owned();
    }
    dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn words(lacking: &[Lack]) -> String {
    lacking.iter().map(Lack::to_string).collect::<Vec<_>>().join("; ")
}

/// A word more where the system's own is known to puzzle people.
fn advice(source: &io::Error) -> &'static str {
    match rustix::io::Errno::from_io_error(source) {
        Some(rustix::io::Errno::NOEXEC) => {
            ". It is no program for this machine; a script needs a first line such as `#!/bin/sh`"
        }
        Some(rustix::io::Errno::NOENT) => ". The interpreter in its first line, or its loader, is missing",
        Some(rustix::io::Errno::AGAIN | rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => {
            ". The limit of processes or open files is reached; see `ulimit -a`"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests;
