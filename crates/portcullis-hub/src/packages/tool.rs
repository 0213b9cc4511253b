//! npm and uv, run in a folder of their own, with an end in time, in space and in memory, and no word of theirs lost.
//!
//! They have the gateway's environment and home, for that is where they have their credentials; what they must not do is said
//! on their command line, which counts for more. Those that a gateway runs have the marker of its children, so they end with it
//! whatever ends it; those of a command have none, and end by themselves when it is killed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use std::{fs, io};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::task::spawn_blocking;

use super::{Failed, Lock};
use crate::supervisor::MARKER;

/// How long one call may take.
const AT_MOST: Duration = Duration::from_mins(10);
/// So much may be in its folder, files and bytes in all of them and in one, and in its memory, where it keeps whole what a registry
/// says of a package. The largest that are published have a tenth of it.
const ROOM: Room = Room { files: 1_000_000, bytes: 16 << 30, memory: 2 << 30 };
const LARGEST: u64 = 4 << 30;
/// How often that is looked at, at most.
const LOOK: Duration = Duration::from_secs(1);
/// And how often at its memory, which a registry on the same network fills with hundreds of megabytes a second.
const GLANCE: Duration = Duration::from_millis(100);
/// Where it keeps what it fetched.
pub(super) const CACHE: &str = "cache";
/// So much of what it says is read, in bytes, and the last lines of that are told.
const SAID: u64 = 64 << 10;
const WORDS: usize = 12;

/// What of the environment makes an installation another one: programs that are run, files that were not locked.
const UNHEEDED: &[&str] =
    &["UV_COMPILE_BYTECODE", "UV_NO_VERIFY_HASHES", "UV_PROJECT", "UV_VENV_SEED", "UV_WORKING_DIR"];

/// One of them, in a folder.
pub(super) struct Tool<'a> {
    program: PathBuf,
    /// Where it works.
    pub(super) folder: &'a Path,
    /// The registry that it asks; `None` is its own choice.
    pub(super) from: Option<&'a str>,
    marker: Option<&'a str>,
    room: Room,
}

/// How much it may take.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) memory: u64,
}

/// A call that came to nothing.
pub(super) struct Stopped {
    why: String,
    /// It was not there to be called.
    missing: bool,
    /// Its last lines.
    pub(super) words: Vec<String>,
}

impl<'a> Tool<'a> {
    /// The one of a registry, from the folder that has `command`, where that is a path.
    pub(super) fn beside(
        command: &str,
        registry: &str,
        folder: &'a Path,
        from: Option<&'a str>,
        marker: Option<&'a str>,
    ) -> Self {
        let name = if registry == "npm" { "npm" } else { "uv" };
        Self { program: Path::new(command).with_file_name(name), folder, from, marker, room: ROOM }
    }

    /// The same with less room.
    #[cfg(test)]
    pub(super) fn in_room(self, room: Room) -> Self {
        Self { room, ..self }
    }

    pub(super) fn cache(&self) -> PathBuf {
        self.folder.join(CACHE)
    }

    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), Failed> {
        let path = self.folder.join(name);
        fs::write(&path, text)
            .map_err(|error| Failed::new(format!("cannot write {}: {error}", path.display())))
    }

    pub(super) fn read(&self, name: &str, most: u64) -> Result<Vec<u8>, Failed> {
        let path = self.folder.join(name);
        let cannot = |error: io::Error| Failed::new(format!("cannot read {}: {error}", path.display()));
        if fs::metadata(&path).map_err(cannot)?.len() > most {
            return Err(Failed::new(format!("{name} has more than {} MiB", most >> 20)));
        }
        fs::read(&path).map_err(cannot)
    }

    pub(super) async fn run(&self, args: &[String]) -> Result<(), Stopped> {
        let stopped = |why: String, missing| Stopped { why, missing, words: Vec::new() };
        let mut command = Command::new(&self.program);
        command.args(args).current_dir(self.folder).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in UNHEEDED {
            command.env_remove(name);
        }
        command.envs(self.marker.map(|marker| (MARKER, marker)));
        let name = self.program.display();
        let mut child = command.spawn().map_err(|error| {
            let how = if self.is_npm() { "it comes with Node.js" } else { "as `pip install uv` does" };
            match error.kind() {
                io::ErrorKind::NotFound => stopped(
                    format!(
                        "there is no program `{name}`; install it, {how}, and see that it is in the PATH"
                    ),
                    true,
                ),
                _ => stopped(format!("cannot start {name}: {error}"), true),
            }
        })?;
        bound(&child);
        let (id, out, err) = (child.id(), child.stdout.take(), child.stderr.take());
        let ended = async {
            let (out, err) = tokio::join!(said(out), said(err));
            (child.wait().await, out + &err)
        };
        let ended = tokio::select! {
            ended = ended => Ok(ended),
            () = tokio::time::sleep(AT_MOST) => {
                Err(format!("{name} did not end within {} minutes", AT_MOST.as_secs() / 60))
            }
            () = self.is_full() => Err(format!(
                "{name} was ended: its packages have more than {} files or {} MiB",
                self.room.files,
                self.room.bytes >> 20
            )),
            () = self.is_large(id) => Err(format!(
                "{name} was ended: it has taken more than {} MiB of memory, as where its registry has no end of an answer",
                self.room.memory >> 20
            )),
        };
        let (status, said) = match ended {
            Ok(ended) => ended,
            Err(why) => {
                // Nothing is written any more when its folder is removed.
                let _ = child.kill().await;
                return Err(stopped(why, false));
            }
        };
        let lines: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let words = lines[lines.len().saturating_sub(WORDS)..].iter().map(|&line| line.to_owned()).collect();
        let why = match status {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => format!("{name} ended with {status}"),
            Err(error) => format!("{name}: {error}"),
        };
        Err(Stopped { why, missing: false, words })
    }

    /// Waits until there is more in its folder than may be.
    async fn is_full(&self) {
        let Room { files, bytes, .. } = self.room;
        let mut pause = LOOK;
        loop {
            tokio::time::sleep(pause).await;
            let (folder, began) = (self.folder.to_owned(), Instant::now());
            // An error means that the runtime is being shut down.
            let Ok(held) = spawn_blocking(move || held(folder, files)).await else { return };
            if held.files > files || held.bytes > bytes {
                return;
            }
            // Most of the time nobody looks.
            pause = LOOK.max(began.elapsed() * 10);
        }
    }

    /// Waits until it has taken more memory than it may.
    async fn is_large(&self, id: Option<u32>) {
        while id.is_none_or(|id| memory_of(id) <= self.room.memory) {
            tokio::time::sleep(GLANCE).await;
        }
    }

    fn is_npm(&self) -> bool {
        self.program.ends_with("npm")
    }

    /// What to look at when it fetches nothing. Callers of a server are told, so no address is in it.
    fn advice(&self) -> String {
        let (key, own) = if self.is_npm() { ("npm", "~/.npmrc") } else { ("pypi", "~/.netrc") };
        match self.from {
            Some(_) => format!(
                "the log has the registry that it was to come from, for which credentials are in {own}"
            ),
            None => format!(
                "where there is no way to the public registry, `registry.packages.{key}` names a mirror"
            ),
        }
    }

    /// The same for whoever runs the gateway.
    fn address(&self) -> Option<String> {
        self.from.map(|from| format!("it was to come from {from}"))
    }
}

/// Lets no file that it writes grow beyond what any package has.
fn bound(child: &Child) {
    #[cfg(target_os = "linux")]
    if let Some(pid) = child.id().and_then(|id| rustix::process::Pid::from_raw(id.try_into().ok()?)) {
        let limit = rustix::process::Rlimit { current: Some(LARGEST), maximum: Some(LARGEST) };
        // Where that is refused, it has the bound in time and in space all the same.
        let _ = rustix::process::prlimit(Some(pid), rustix::process::Resource::Fsize, limit);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (child, LARGEST);
}

/// What a folder holds, counted up to the first file beyond `most`; what cannot be read is not there any more.
fn held(folder: PathBuf, most: u64) -> Room {
    let (mut folders, mut held) = (vec![folder], Room { files: 0, bytes: 0, memory: 0 });
    while let Some(folder) = folders.pop().filter(|_| held.files <= most) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else { continue };
            held.files += 1;
            held.bytes += found.len();
            if found.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    held
}

/// The memory of a process and of those that it has started, as some do that choose which npm it is. Where the system does not tell,
/// there is none.
fn memory_of(id: u32) -> u64 {
    let told = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let own = told.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB"));
    let own = own.and_then(|own| own.parse::<u64>().ok()).unwrap_or_default() << 10;
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    own + children.split_whitespace().filter_map(|id| id.parse().ok()).map(memory_of).sum::<u64>()
}

impl Stopped {
    /// The failure that this is where `what` was wanted.
    fn of(self, what: impl FnOnce(&str) -> String) -> Failed {
        let what = if self.missing { self.why } else { what(&self.why) };
        Failed { words: self.words, ..Failed::new(what) }
    }

    pub(super) fn resolving(mut self, named: &str, tool: &Tool<'_>) -> Failed {
        let is_refused = self.words.iter().any(|line| line.contains("EALLOWREMOTE"));
        self.words.extend(tool.address());
        self.of(|why| {
            if is_refused {
                return format!(
                    "{named} cannot be locked: it needs a package that npm would fetch from an address, whatever is there by then. \
                     Such are those with others in their file (`bundleDependencies`) or with a lock of their own \
                     (`npm-shrinkwrap.json`), and those that are named by a URL"
                );
            }
            format!("what {named} is made of cannot be found out: {why}; {}", tool.advice())
        })
    }

    pub(super) fn of_python(self, python: Option<&str>) -> Failed {
        let wanted = python.map(|python| format!(" {python}")).unwrap_or_default();
        self.of(|why| format!("there is no Python{wanted} to run it with: {why}; install one"))
    }

    /// `swapped` is what has other bytes than those that were locked.
    pub(super) fn installing(mut self, lock: &Lock, swapped: Option<String>, tool: &Tool<'_>) -> Failed {
        let named = lock.name();
        self.words.extend(tool.address());
        self.of(|why| match swapped {
            Some(file) => format!(
                "{file} is not the file that was locked: its registry has other bytes under this version now, so {named} is not \
                 installed. Find out from its publisher why; a version that was added anew is locked anew"
            ),
            None => format!("the packages of {named} cannot be installed: {why}; {}", tool.advice()),
        })
    }
}

/// What it says, as far as that is read; it is never kept waiting.
async fn said(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let (mut text, Some(mut pipe)) = (Vec::new(), pipe) else { return String::new() };
    // What cannot be read is not told.
    let _ = (&mut pipe).take(SAID).read_to_end(&mut text).await;
    let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&text).into_owned()
}
