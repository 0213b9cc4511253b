//! PyPI: what uv resolves to, read and written as requirements with their digests.
//!
//! Wheels alone are taken, for anything else is a program that runs when it is installed. What a wheel is for depends on the
//! version of Python, so that belongs to a lock; on another machine there has to be one of that version.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use super::lock::{is_program, other_than_said};
use super::tool::Tool;
use super::{Failed, Lock, Locked, Root};
use crate::registry::{Start, is_exact, is_name, normal};

const LARGEST: u64 = 16 << 20;
/// What every call says: it heeds no file of a project or a user, and fetches no Python.
const ALWAYS: &[&str] =
    &["--quiet", "--no-config", "--no-python-downloads", "--no-progress", "--color=never"];
const VENV: &str = ".venv";
/// The Python of an environment, which leads to the one that it was made with.
pub(super) const PYTHON: &str = ".venv/bin/python";

fn arguments(tool: &Tool<'_>, verb: &[&str], fetches: bool) -> Vec<String> {
    let mut args: Vec<String> = verb.iter().chain(ALWAYS).map(|&arg| arg.to_owned()).collect();
    args.push(format!("--cache-dir={}", tool.cache().display()));
    if fetches {
        let python = tool.folder.join(PYTHON);
        args.extend(["--only-binary=:all:".to_owned(), format!("--python={}", python.display())]);
        args.extend(tool.from.map(|from| format!("--default-index={from}")));
    }
    args
}

pub(super) async fn resolve(tool: &Tool<'_>, start: &Start) -> Result<Lock, Failed> {
    let mut asked = String::new();
    let mut roots = Vec::new();
    for (package, name) in start.packages.iter().zip(&start.names) {
        match &package.version {
            Some(version)
                if is_version(version) && name.chars().all(|c| is_plain(c) || "[],".contains(c)) =>
            {
                let _ = writeln!(asked, "{name}=={version}");
                roots.push(Root { name: package.name.clone(), version: version.clone() });
            }
            _ => return Err(Failed::new(format!("{name} is no package of PyPI in one version"))),
        }
    }
    let program = start.program.as_ref().unwrap_or(&roots[0].name);
    if !is_program(program) {
        return Err(Failed::new(format!("`{program:.100}` is no name of a program")));
    }
    let named = format!("{} {}", roots[0].name, roots[0].version);
    let (python, _) = environment(tool, start.interpreter.as_deref()).await?;
    tool.write("requirements.in", &asked)?;
    let verb = [
        "pip",
        "compile",
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
        "--output-file=requirements.txt",
        "requirements.in",
    ];
    tool.run(&arguments(tool, &verb, true)).await.map_err(|stopped| stopped.resolving(&named, tool))?;
    let files = read(&String::from_utf8_lossy(&tool.read("requirements.txt", LARGEST)?))?;
    let (registry, from) = ("pypi".to_owned(), start.from.clone());
    let mut lock =
        Lock { registry, from, program: program.clone(), python: Some(python), roots, files }.bounded()?;
    for (package, root) in start.packages.iter().zip(&lock.roots) {
        let Some(said) = &package.digest else { continue };
        let said_here = format!("sha256:{said}");
        let same = |file: &&mut Locked| normal(&file.name) == normal(&root.name);
        let own = lock.files.iter_mut().find(same).filter(|file| file.digests.contains(&said_here));
        let own = own.ok_or_else(|| other_than_said(&root.name, &root.version, said))?;
        own.digests = vec![said_here];
    }
    Ok(lock)
}

/// Makes a virtual environment; says for which version of Python, and which program that is. Nothing of a package is there yet that
/// could say so.
async fn environment(tool: &Tool<'_>, python: Option<&str>) -> Result<(String, PathBuf), Failed> {
    let mut verb = vec!["venv", "--no-project", "--relocatable", VENV];
    let wanted = python.map(|python| format!("--python={python}"));
    verb.extend(wanted.as_deref());
    tool.run(&arguments(tool, &verb, false)).await.map_err(|stopped| stopped.of_python(python))?;
    let said = fs::read_to_string(tool.folder.join(VENV).join("pyvenv.cfg")).unwrap_or_default();
    let value = |key: &str| {
        let found = said.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('='));
        found.unwrap_or_default().trim()
    };
    let version = value("version_info").splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    let within = fs::canonicalize(tool.folder).ok();
    let python = fs::canonicalize(tool.folder.join(PYTHON)).ok();
    let python = python.filter(|python| within.is_some_and(|within| !python.starts_with(within)));
    match python {
        Some(python) if !version.is_empty() => Ok((version, python)),
        _ => Err(Failed::new("uv has made no virtual environment that is understood; install a newer one")),
    }
}

/// Reads what uv resolved to: `name==version`, and digests on the lines behind it.
pub(super) fn read(text: &str) -> Result<Vec<Locked>, Failed> {
    let text = text.replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(locked).collect()
}

fn locked(line: &str) -> Result<Locked, Failed> {
    let no = |what: &str| Failed::new(format!("`{line:.200}` cannot be locked: {what}"));
    let mut words = line.split_whitespace();
    let named = words.next().and_then(|word| word.split_once("=="));
    let named = named.filter(|(name, version)| is_name("pypi", name) && is_version(version));
    let (name, version) = named.ok_or_else(|| no("it is no file of an index in one version"))?;
    let digest = |word: &str| {
        let digest = word.strip_prefix("--hash=").filter(|digest| is_sha256(digest));
        digest.map(str::to_owned).ok_or_else(|| no("there is more than a SHA-256 to it"))
    };
    let mut digests = words.map(digest).collect::<Result<Vec<_>, _>>()?;
    if digests.is_empty() {
        return Err(no("its index gives no SHA-256 of it"));
    }
    digests.sort_unstable();
    let (name, version) = (name.to_owned(), version.to_owned());
    Ok(Locked { name, version, digests, place: None, more: serde_json::Map::new() })
}

/// Whether this is one version, and nothing else that a line of requirements could say.
fn is_version(version: &str) -> bool {
    is_exact("pypi", version) && version.chars().all(is_plain)
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._-+!".contains(c)
}

fn is_sha256(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:");
    digits.is_some_and(|it| it.len() == 64 && it.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Installs it; says which Python runs it.
pub(super) async fn install(tool: &Tool<'_>, lock: &Lock) -> Result<PathBuf, Failed> {
    let (_, python) = environment(tool, lock.python.as_deref()).await?;
    let mut text = String::new();
    for file in &lock.files {
        let digests = file.digests.iter().map(|digest| format!(" --hash={digest}"));
        let _ = writeln!(text, "{}=={}{}", file.name, file.version, digests.collect::<String>());
    }
    tool.write("requirements.txt", &text)?;
    // The last thing that is done with it: from here on its Python runs what is in the packages, so nothing is compiled either.
    let verb = [
        "pip",
        "install",
        "--require-hashes",
        "--no-deps",
        "--no-compile-bytecode",
        "--link-mode=copy",
        "--requirement=requirements.txt",
    ];
    let installed = tool.run(&arguments(tool, &verb, true)).await;
    installed.map_err(|stopped| {
        let swapped = stopped.words.iter().find_map(|line| {
            let (name, version) =
                line.split_once("Hash mismatch for `")?.1.split_once('`')?.0.split_once("==")?;
            Some(format!("{name} {version}"))
        });
        stopped.installing(lock, swapped, tool)
    })?;
    Ok(python)
}
