//! The folder of what is installed: one for each lock, named by its digest. It is made elsewhere and put there by one rename, so it
//! is whole or not there, whoever else makes the same at the same time.

use std::collections::HashMap;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs, io};

use super::tool::Tool;
use super::{Failed, Lock, Mirrors, Sealed, npm, pypi};

/// What the folders in the making are called.
const MAKING: &str = ".making-";
/// One that is older was left by a process that was killed.
const LEFT: Duration = Duration::from_hours(24);
/// Where it says with what its program is run, beside what is installed.
const RUNTIME: &str = "runtime";

/// The folder, and who is installing what.
#[derive(Clone, Debug)]
pub struct Packages {
    folder: PathBuf,
    turns: Arc<Turns>,
}

/// What is being installed by this process, by its digest: whoever else needs it waits.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

/// Packages that are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Where all of them are.
    pub folder: PathBuf,
    /// The program that is started.
    pub program: PathBuf,
    /// What runs it, where that is not in `folder`.
    pub runtime: Option<PathBuf>,
}

impl Packages {
    /// Those in `folder`, which need not be there yet.
    pub fn new(folder: PathBuf) -> Self {
        Self::taking_turns(folder, Arc::default())
    }

    pub(crate) fn taking_turns(folder: PathBuf, turns: Arc<Turns>) -> Self {
        // A server may work elsewhere.
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        Self { folder, turns }
    }

    /// What `lock` has, installed now unless it is there. `command` is the program that would start it otherwise, `npx` or `uvx`.
    /// An installation goes on when whoever asked for it has gone.
    ///
    /// # Errors
    /// It is not there and cannot be installed as it was locked.
    pub async fn install(
        &self,
        command: &str,
        lock: &Arc<Sealed>,
        mirrors: &Mirrors,
    ) -> Result<Installed, Failed> {
        let digest = lock.digest().to_owned();
        if let Some(installed) = self.installed(lock, &digest)? {
            return Ok(installed);
        }
        let (it, command, lock, mirrors) = (self.clone(), command.to_owned(), lock.clone(), mirrors.clone());
        let installing =
            tokio::spawn(async move { it.install_in_turn(&command, &lock, &digest, &mirrors).await });
        installing
            .await
            .unwrap_or_else(|error| Err(Failed::new(format!("the installation ended early: {error}"))))
    }

    async fn install_in_turn(
        &self,
        command: &str,
        lock: &Lock,
        digest: &str,
        mirrors: &Mirrors,
    ) -> Result<Installed, Failed> {
        let turn = self.turns.of(digest);
        let _turn = turn.lock().await;
        if let Some(installed) = self.installed(lock, digest)? {
            return Ok(installed);
        }
        tracing::info!(
            packages = lock.name(),
            count = lock.files.len(),
            digest,
            "installing locked packages"
        );
        let making = self.making()?;
        let from = lock.from.as_deref().or_else(|| mirrors.of(&lock.registry));
        let tool = Tool::beside(command, &lock.registry, making.path(), from);
        let runtime = match lock.registry.as_str() {
            "npm" => {
                npm::install(&tool, lock).await?;
                runtime_of_npm()
            }
            _ => Some(pypi::install(&tool, lock).await?.join("python3")),
        };
        program_in(making.path(), lock)?;
        let runtime = runtime.map(|path| path.display().to_string()).unwrap_or_default();
        tool.write(RUNTIME, &runtime)?;
        let _ = fs::remove_dir_all(tool.cache());
        making.becomes(&self.folder.join(digest))?;
        let installed = self.installed(lock, digest)?;
        installed.ok_or_else(|| Failed::new("what was installed is not there: somebody else removes it"))
    }

    /// What is there already.
    fn installed(&self, lock: &Lock, digest: &str) -> Result<Option<Installed>, Failed> {
        let folder = self.folder.join(digest);
        let Ok(runtime) = fs::read_to_string(folder.join(RUNTIME)) else { return Ok(None) };
        let program = program_in(&folder, lock)?;
        let runtime = (!runtime.is_empty()).then(|| PathBuf::from(runtime));
        Ok(Some(Installed { folder, program, runtime }))
    }

    /// A folder in which something is made; it is removed unless it becomes something.
    pub(super) fn making(&self) -> Result<Making, Failed> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let cannot = |error: io::Error| {
            Failed::new(format!("cannot make a folder in {}: {error}", self.folder.display()))
        };
        fs::create_dir_all(&self.folder).map_err(cannot)?;
        self.remove_left();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let name = format!("{MAKING}{}-{since:x}-{}", process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let path = self.folder.join(name);
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(cannot)?;
        Ok(Making(path))
    }

    /// Removes what nobody is making any more.
    fn remove_left(&self) {
        let is_left = |entry: &fs::DirEntry| {
            let old = entry.metadata().ok().and_then(|it| it.modified().ok()?.elapsed().ok());
            entry.file_name().to_string_lossy().starts_with(MAKING) && old.is_some_and(|old| old > LEFT)
        };
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten().filter(is_left) {
            // Another process may be faster.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

impl Turns {
    fn of(&self, digest: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(digest.to_owned()).or_default().clone()
    }
}

/// A folder that is not yet what it will be.
pub(super) struct Making(PathBuf);

impl Making {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    fn becomes(&self, place: &Path) -> Result<(), Failed> {
        let cannot =
            |error: io::Error| Failed::new(format!("cannot put packages at {}: {error}", place.display()));
        // A server may run as another user.
        fs::set_permissions(&self.0, fs::Permissions::from_mode(0o755)).map_err(cannot)?;
        match fs::rename(&self.0, place) {
            // Another gateway was faster, and what it has made is the same.
            Err(_) if place.join(RUNTIME).is_file() => Ok(()),
            renamed => renamed.map_err(cannot),
        }
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        // It is not there where it has become something.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The program, which is a file in the folder wherever links lead.
fn program_in(folder: &Path, lock: &Lock) -> Result<PathBuf, Failed> {
    let bin = if lock.registry == "npm" { "node_modules/.bin" } else { ".venv/bin" };
    let program = folder.join(bin).join(&lock.program);
    let inside = fs::canonicalize(folder).ok().zip(fs::canonicalize(&program).ok());
    if inside.is_some_and(|(folder, file)| file.starts_with(folder) && file.is_file()) {
        return Ok(program);
    }
    Err(Failed::new(format!(
        "{} has no program `{}`; where it had one, its folder was changed: remove {}",
        lock.name(),
        lock.program,
        folder.display()
    )))
}

/// The `node` that a first line of `#!/usr/bin/env node` leads to.
fn runtime_of_npm() -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    let folders = env::split_paths(&folders).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join("node")).find(|file| file.is_file())
}
