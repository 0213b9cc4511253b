//! npm and uv, run in a folder of their own, with an end in time and no word of theirs lost.
//!
//! They have the gateway's environment and home, for that is where they have their credentials; what they must not do is said
//! on their command line, which counts for more.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use std::{fs, io};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::{Failed, Lock};

/// How long one call may take.
const AT_MOST: Duration = Duration::from_mins(10);
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
    pub(super) fn beside(command: &str, registry: &str, folder: &'a Path, from: Option<&'a str>) -> Self {
        let name = if registry == "npm" { "npm" } else { "uv" };
        Self { program: Path::new(command).with_file_name(name), folder, from }
    }

    pub(super) fn cache(&self) -> PathBuf {
        self.folder.join("cache")
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
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let ended = tokio::time::timeout(AT_MOST, async {
            let (out, err) = tokio::join!(said(out), said(err));
            (child.wait().await, out + &err)
        });
        let (status, said) = ended.await.map_err(|_| {
            stopped(format!("{name} did not end within {} minutes", AT_MOST.as_secs() / 60), false)
        })?;
        let lines: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let words = lines[lines.len().saturating_sub(WORDS)..].iter().map(|&line| line.to_owned()).collect();
        let why = match status {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => format!("{name} ended with {status}"),
            Err(error) => format!("{name}: {error}"),
        };
        Err(Stopped { why, missing: false, words })
    }

    fn is_npm(&self) -> bool {
        self.program.ends_with("npm")
    }

    /// What to look at when it fetches nothing.
    fn advice(&self) -> String {
        let (key, own) = if self.is_npm() { ("npm", "~/.npmrc") } else { ("pypi", "~/.netrc") };
        match self.from {
            Some(from) => format!("it was to come from {from}, for which credentials are in {own}"),
            None => format!(
                "where there is no way to the public registry, `registry.packages.{key}` names a mirror"
            ),
        }
    }
}

impl Stopped {
    /// The failure that this is where `what` was wanted.
    fn of(self, what: impl FnOnce(&str) -> String) -> Failed {
        let what = if self.missing { self.why } else { what(&self.why) };
        Failed { what, words: self.words }
    }

    pub(super) fn resolving(self, named: &str, tool: &Tool<'_>) -> Failed {
        self.of(|why| format!("what {named} is made of cannot be found out: {why}; {}", tool.advice()))
    }

    pub(super) fn of_python(self, python: Option<&str>) -> Failed {
        let wanted = python.map(|python| format!(" {python}")).unwrap_or_default();
        self.of(|why| format!("there is no Python{wanted} to run it with: {why}; install one"))
    }

    /// `swapped` is what has other bytes than those that were locked.
    pub(super) fn installing(self, lock: &Lock, swapped: Option<String>, tool: &Tool<'_>) -> Failed {
        let named = lock.name();
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
