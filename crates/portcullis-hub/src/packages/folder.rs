//! The folder of what is installed: one for each lock, named by its digest. It is made elsewhere and put there by one rename, so it
//! is whole or not there, whoever else makes the same at the same time. Its mark is written last, when all else is on the disk:
//! what has none is not whole, whatever took it away, and is made anew.
//!
//! Whatever may take long on a disk is done beside the thread that all servers are looked after on.

use std::collections::HashMap;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs, io};

use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::tool::{CACHE, Tool};
use super::{Failed, Lock, Mirrors, Sealed, npm, pypi};

/// What the folders in the making are called.
const MAKING: &str = ".making-";
/// One that is older was left by a process that was killed, as was any that nobody has locked by then.
const LEFT: Duration = Duration::from_hours(24);
const BEGUN: Duration = Duration::from_mins(1);
/// The mark of what is whole: the digest of its lock, and for PyPI the Python that it was made with.
const RUNTIME: &str = "runtime";
/// So long a failure is told to whoever comes, and nothing is tried anew.
const FAILED: Duration = Duration::from_mins(1);

/// The folder, and who is installing what.
#[derive(Clone, Debug)]
pub struct Packages {
    folder: PathBuf,
    turns: Arc<Turns>,
    /// What npm and uv are marked with, so that whoever started them finds them again.
    pub(super) marker: Option<String>,
}

/// What is being installed by this process, by the folder that it becomes: whoever else needs it waits, and is told the same.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<PathBuf, Turn>>);

#[derive(Debug)]
enum Turn {
    UnderWay(watch::Receiver<Option<Result<Installed, Failed>>>),
    Failed(Instant, Failed),
}

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
        Self::taking_turns(folder, Arc::default(), None)
    }

    /// The same, with `turns` that others take as well, and npm and uv under a `marker`.
    pub(crate) fn taking_turns(folder: PathBuf, turns: Arc<Turns>, marker: Option<String>) -> Self {
        // A server may work elsewhere.
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        Self { folder, turns, marker }
    }

    /// What `lock` has, installed now unless it is there. `command` is the program that would start it otherwise, `npx` or `uvx`.
    /// An installation goes on when whoever asked for it has gone, and one that failed is not begun again within a minute.
    ///
    /// # Errors
    /// It is not there and cannot be installed as it was locked.
    pub async fn install(
        &self,
        command: &str,
        lock: &Arc<Sealed>,
        mirrors: &Mirrors,
    ) -> Result<Installed, Failed> {
        let place = self.folder.join(lock.digest());
        if let Some(installed) = installed(&place, lock)? {
            return Ok(installed);
        }
        let mut under_way = self.begin(place, command, lock, mirrors)?;
        let ended = under_way.wait_for(Option::is_some).await;
        let ended = ended.ok().and_then(|ended| Option::clone(&ended));
        ended.unwrap_or_else(|| Err(Failed::new("the installation ended early")))
    }

    /// Begins to install it, or joins whoever has.
    fn begin(
        &self,
        place: PathBuf,
        command: &str,
        lock: &Arc<Sealed>,
        mirrors: &Mirrors,
    ) -> Result<watch::Receiver<Option<Result<Installed, Failed>>>, Failed> {
        let mut turns = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| !turn.is_over());
        match turns.get(&place) {
            Some(Turn::UnderWay(outcome)) => return Ok(outcome.clone()),
            Some(Turn::Failed(when, failed)) => {
                let again = Some(FAILED.saturating_sub(when.elapsed()));
                return Err(Failed { again, ..failed.clone() });
            }
            None => {}
        }
        let (told, outcome) = watch::channel(None);
        turns.insert(place.clone(), Turn::UnderWay(outcome.clone()));
        let (it, command, lock, mirrors) = (self.clone(), command.to_owned(), lock.clone(), mirrors.clone());
        tokio::spawn(async move {
            let mut ended = it.install_now(&place, &command, &lock, &mirrors).await;
            if let Err(failed) = &mut ended {
                failed.again = Some(FAILED);
                // Here, and not where it is told: that is as often as somebody comes.
                for said in &failed.words {
                    tracing::warn!(packages = lock.name(), said, "while locked packages were installed");
                }
            }
            it.turns.end(place, ended.as_ref().err());
            told.send_replace(Some(ended));
        });
        Ok(outcome)
    }

    async fn install_now(
        &self,
        place: &Path,
        command: &str,
        lock: &Arc<Sealed>,
        mirrors: &Mirrors,
    ) -> Result<Installed, Failed> {
        if let Some(installed) = installed(place, lock)? {
            return Ok(installed);
        }
        tracing::info!(
            packages = lock.name(),
            count = lock.files.len(),
            digest = lock.digest(),
            "installing locked packages"
        );
        let making = self.making().await?;
        match self.make(&making, command, lock, mirrors).await {
            Ok(python) => making.becomes(place, lock, &python).await?,
            Err(failed) => {
                making.remove().await;
                return Err(failed);
            }
        }
        let installed = installed(place, lock)?;
        installed.ok_or_else(|| Failed::new("what was installed is not there: somebody else removes it"))
    }

    /// Installs it into a folder; of PyPI, says which Python it is for.
    async fn make(
        &self,
        making: &Making,
        command: &str,
        lock: &Lock,
        mirrors: &Mirrors,
    ) -> Result<PathBuf, Failed> {
        let from = lock.from.as_deref().or_else(|| mirrors.of(&lock.registry));
        let tool = Tool::beside(command, &lock.registry, making.path(), from, self.marker.as_deref());
        let python = if is_npm(lock) {
            npm::install(&tool, lock).await?;
            PathBuf::new()
        } else {
            pypi::install(&tool, lock).await?
        };
        match program_in(making.path(), lock) {
            Some(_) => Ok(python),
            None => {
                Err(Failed::new(format!("{} has no program `{}` in its folder", lock.name(), lock.program)))
            }
        }
    }

    /// A folder in which something is made; it is removed unless it becomes something.
    pub(super) async fn making(&self) -> Result<Making, Failed> {
        let it = self.clone();
        let made = spawn_blocking(move || it.make_folder()).await.map_err(io::Error::other).flatten();
        made.map_err(|error| {
            Failed::new(format!(
                "cannot make a folder in {}: {error}; `registry.packages.folder` of the configuration names another one, which the \
                 gateway's user may write to",
                self.folder.display()
            ))
        })
    }

    fn make_folder(&self) -> io::Result<Making> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        fs::create_dir_all(&self.folder)?;
        self.remove_left();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let name = format!("{MAKING}{}-{since:x}-{}", process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let path = self.folder.join(name);
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        let held = fs::File::open(&path)?;
        // Where there are no locks, it is left when it is old.
        let _ = held.try_lock();
        Ok(Making(path, held))
    }

    /// Removes what nobody is making any more.
    fn remove_left(&self) {
        let is_left = |entry: &fs::DirEntry| {
            let old = entry.metadata().ok().and_then(|it| it.modified().ok()?.elapsed().ok());
            let Some(old) = old.filter(|_| entry.file_name().to_string_lossy().starts_with(MAKING)) else {
                return false;
            };
            let is_let_go = || fs::File::open(entry.path()).is_ok_and(|it| it.try_lock().is_ok());
            old > LEFT || (old > BEGUN && is_let_go())
        };
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten().filter(is_left) {
            // Another process may be faster.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

impl Turns {
    fn end(&self, place: PathBuf, failed: Option<&Failed>) {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match failed {
            Some(failed) => turns.insert(place, Turn::Failed(Instant::now(), failed.clone())),
            None => turns.remove(&place),
        };
    }
}

impl Turn {
    fn is_over(&self) -> bool {
        match self {
            // Whoever had it is gone without a word.
            Self::UnderWay(outcome) => outcome.has_changed().is_err(),
            Self::Failed(when, _) => when.elapsed() > FAILED,
        }
    }
}

/// A folder that is not yet what it will be. It is locked for as long as somebody makes it.
pub(super) struct Making(PathBuf, #[allow(dead_code, reason = "it is held")] fs::File);

impl Making {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes it, where that may take its time.
    pub(super) async fn remove(self) {
        // An error means that the runtime is being shut down; the next to come removes what was left.
        let _ = spawn_blocking(move || drop(self)).await;
    }

    async fn becomes(self, place: &Path, lock: &Sealed, python: &Path) -> Result<(), Failed> {
        let (to, digest) = (place.to_owned(), lock.digest().to_owned());
        let mark = format!("{digest}\n{}", python.display());
        let put = spawn_blocking(move || self.put(&to, &digest, &mark)).await;
        put.map_err(io::Error::other)
            .flatten()
            .map_err(|error| Failed::new(format!("cannot put packages at {}: {error}", place.display())))
    }

    fn put(&self, place: &Path, digest: &str, mark: &str) -> io::Result<()> {
        let _ = fs::remove_dir_all(self.0.join(CACHE));
        // A server may run as another user.
        fs::set_permissions(&self.0, fs::Permissions::from_mode(0o755))?;
        let folder = fs::File::open(&self.0)?;
        #[cfg(target_os = "linux")]
        rustix::fs::syncfs(&folder)?;
        #[cfg(not(target_os = "linux"))]
        rustix::fs::sync();
        let mut file = fs::File::create(self.0.join(RUNTIME))?;
        file.write_all(mark.as_bytes())?;
        file.sync_all()?;
        folder.sync_all()?;
        // Once more, where another gateway is at the same place.
        self.take(place, digest).or_else(|_| self.take(place, digest))
    }

    fn take(&self, place: &Path, digest: &str) -> io::Result<()> {
        match fs::rename(&self.0, place) {
            // Another gateway was faster, and what it has made is the same.
            Err(_) if mark_of(place, digest).is_some() => Ok(()),
            // Somebody has removed some of it, or it was there when the power failed.
            Err(_) if place.is_dir() => self.replace(place, digest),
            renamed => renamed,
        }
    }

    /// Takes the place of what is there and is not whole. Nothing is removed before its place is taken again, which takes no time.
    pub(super) fn replace(&self, place: &Path, digest: &str) -> io::Result<()> {
        let aside = self.0.with_extension("aside");
        // Nobody takes it for left while it is aside.
        let old = fs::File::open(place)?;
        let _ = old.try_lock();
        fs::rename(place, &aside)?;
        // Another gateway may have put it there a moment ago, and have a server that runs in it.
        let is_whole = mark_of(&aside, digest).is_some();
        let put = fs::rename(if is_whole { &aside } else { &self.0 }, place);
        let _ = fs::remove_dir_all(&aside);
        put
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        // It is not there where it has become something.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn is_npm(lock: &Lock) -> bool {
    lock.registry == "npm"
}

/// What the mark of a folder says beside the digest; `None` where it is not whole.
fn mark_of(folder: &Path, digest: &str) -> Option<PathBuf> {
    let mark = fs::read_to_string(folder.join(RUNTIME)).ok()?;
    let (whose, python) = mark.split_once('\n')?;
    (whose == digest).then(|| PathBuf::from(python))
}

/// What is there already.
fn installed(folder: &Path, lock: &Sealed) -> Result<Option<Installed>, Failed> {
    let Some(python) = mark_of(folder, lock.digest()) else { return Ok(None) };
    let folder = folder.to_owned();
    let program = program_in(&folder, lock).ok_or_else(|| {
        Failed::new(format!(
            "{} has no program `{}` any more: its folder was changed. Remove {}, and it is installed anew",
            lock.name(),
            lock.program,
            folder.display()
        ))
    })?;
    if is_npm(lock) {
        return Ok(Some(Installed { folder, program, runtime: runtime_of_npm() }));
    }
    // Its programs name the one in their first lines, and that leads to the other.
    if let Some(gone) = [&folder.join(pypi::PYTHON), &python].into_iter().find(|file| !file.is_file()) {
        return Err(Failed::new(format!(
            "the Python that {} was installed for is not there any more ({}). Remove {}, and it is installed anew with a Python {} \
             that is",
            lock.name(),
            gone.display(),
            folder.display(),
            lock.python.as_deref().unwrap_or_default()
        )));
    }
    Ok(Some(Installed { folder, program, runtime: Some(python) }))
}

/// The program, which is a file in the folder wherever links lead, and of npm one of the package that was asked for.
fn program_in(folder: &Path, lock: &Lock) -> Option<PathBuf> {
    let (program, within) = if is_npm(lock) {
        let (package, _) = npm::program_of(lock)?;
        (folder.join(npm::BIN).join(&lock.program), folder.join(package))
    } else {
        (folder.join(".venv/bin").join(&lock.program), folder.to_owned())
    };
    // No link leads out of its package, nor is the package one.
    let (top, file) = (fs::canonicalize(folder).ok()?, fs::canonicalize(&program).ok()?);
    let within = top.join(within.strip_prefix(folder).ok()?);
    (file.starts_with(within) && file.is_file()).then_some(program)
}

/// The `node` that a first line of `#!/usr/bin/env node` leads to, which may be another at each start.
fn runtime_of_npm() -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    let folders = env::split_paths(&folders).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join("node")).find(|file| file.is_file())
}
