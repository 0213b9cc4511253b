//! npm: its lock file (version 3) read and written.
//!
//! What is read is what npm made, and yet it is made of what publishers wrote: names, places and programs are held to what they
//! may be, and only what says where its bytes are from that everybody has is taken: a file of the registry with one SHA-512. What
//! comes in the file of another package without a digest of its own is refused as well, for npm fetches it unchecked where it is not
//! in there. After an installation, what npm says that it installed is held against the lock: it is all that this machine was to get.

pub(super) mod tree;

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::{fs, io};

use aws_lc_rs::digest::{SHA512, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::lock::{is_program, sha256};
use super::tool::Tool;
use super::{Failed, Lock, Locked, Root};
use crate::registry::{Package, Start, is_exact, is_name};
use tree::{Machine, Tree};

/// The largest lock file that is read, in bytes.
const LARGEST: u64 = 16 << 20;
/// The largest file of a package that is read, in bytes.
const LARGEST_FILE: u64 = 256 << 20;
/// What of an entry is kept: all that an installation goes by, but for `hasShrinkwrap`, which would have npm go by a lock file of the
/// package instead.
const KEPT: &[&str] = &[
    "bin",
    "bundleDependencies",
    "cpu",
    "dependencies",
    "dev",
    "devOptional",
    "engines",
    "hasInstallScript",
    "inBundle",
    "libc",
    "name",
    "optional",
    "optionalDependencies",
    "os",
    "peer",
    "peerDependencies",
    "peerDependenciesMeta",
];

/// Where the programs are.
pub(super) const BIN: &str = "node_modules/.bin";

/// What every call says: it runs nothing of a package, fetches from nowhere but registries, and heeds no file beside it.
const ALWAYS: &[&str] = &[
    "--ignore-scripts",
    "--allow-directory=none",
    "--allow-file=none",
    "--allow-git=none",
    "--allow-remote=none",
    // For an npm that does not know these: there is no such program.
    "--git=/nonexistent/git",
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--no-progress",
    "--no-workspaces",
    "--no-global",
    "--package-lock",
    "--bin-links",
    "--install-strategy=hoisted",
    "--include=prod",
    "--include=optional",
    "--include=peer",
    "--no-legacy-peer-deps",
    // What is optional and for another Node.js is installed here, as it was locked.
    "--no-engine-strict",
    "--loglevel=error",
    "--logs-max=0",
    // Its own patience is a minute and more.
    "--fetch-retries=2",
    "--fetch-retry-mintimeout=500",
    "--fetch-retry-maxtimeout=5000",
];

fn arguments(tool: &Tool<'_>, verb: &[&str]) -> Vec<String> {
    let mut args: Vec<String> = verb.iter().chain(ALWAYS).map(|&arg| arg.to_owned()).collect();
    args.push(format!("--prefix={}", tool.folder.display()));
    args.push(format!("--cache={}", tool.cache().display()));
    args.extend(tool.from.map(|from| format!("--registry={from}")));
    args
}

pub(super) async fn resolve(tool: &Tool<'_>, start: &Start) -> Result<Lock, Failed> {
    let roots = roots(start)?;
    tool.write("package.json", &manifest(&roots).to_string())?;
    let verb =
        ["install", "--package-lock-only", "--lockfile-version=3", "--omit-lockfile-registry-resolved"];
    let named = format!("{} {}", start.names[0], roots[0].version);
    tool.run(&arguments(tool, &verb)).await.map_err(|stopped| stopped.resolving(&named, tool))?;
    let lock = read(&tool.read("package-lock.json", LARGEST)?, start, roots)?;
    for (package, root) in start.packages.iter().zip(&lock.roots) {
        if let Some(said) = &package.digest {
            check_file(tool, package, root, said, &lock).await?;
        }
    }
    Ok(lock)
}

fn roots(start: &Start) -> Result<Vec<Root>, Failed> {
    let root = |package: &Package| match &package.version {
        Some(version) if is_name("npm", &package.name) && is_exact("npm", version) => {
            Ok(Root { name: package.name.clone(), version: version.clone() })
        }
        _ => Err(Failed::new(format!("{} is no package of npm in one version", package.name))),
    };
    start.packages.iter().map(root).collect()
}

fn manifest(roots: &[Root]) -> Value {
    let roots: Map<_, _> = roots.iter().map(|it| (it.name.clone(), it.version.clone().into())).collect();
    json!({ "private": true, "dependencies": roots })
}

/// Reads what npm made.
pub(super) fn read(text: &[u8], start: &Start, roots: Vec<Root>) -> Result<Lock, Failed> {
    let broken = || Failed::new("npm has made no lock file of version 3; install npm 9 or later");
    let mut file: Value = serde_json::from_slice(text).map_err(|_| broken())?;
    let packages = file.get_mut("packages").map(Value::take);
    let (Some(Value::Object(mut packages)), Some(3)) = (packages, file["lockfileVersion"].as_u64()) else {
        return Err(broken());
    };
    packages.remove("");
    let locked = packages.into_iter().map(|(place, entry)| locked(place, entry));
    let files = locked.collect::<Result<Vec<_>, _>>()?;
    let program = program(start, &roots, &files)?;
    let (registry, from) = ("npm".to_owned(), start.from.clone());
    let lock = Lock { registry, from, program, python: None, roots, files }.bounded()?;
    let Some((place, name)) = Tree::of(&lock.roots, &lock.files).lacks() else { return Ok(lock) };
    let who = if place.is_empty() { lock.name() } else { format!("`{place:.200}`") };
    Err(Failed::new(format!(
        "{who} cannot be locked: it asks for {name:.200}, which npm has left out, so its registry does not have it now"
    )))
}

/// One package.
fn locked(place: String, mut entry: Value) -> Result<Locked, Failed> {
    let no = |what: &str| Failed::new(format!("`{place:.200}` cannot be locked: {what}"));
    let names: Vec<_> = place.split("node_modules/").collect();
    let in_place = names[0].is_empty()
        && names.len() > 1
        && names[1..].iter().all(|name| is_name("npm", name.trim_end_matches('/')))
        && names[1..names.len() - 1].iter().all(|name| name.ends_with('/'))
        && !place.ends_with('/');
    if !in_place {
        return Err(no("it is no place of a package"));
    }
    let text = |key: &str| entry[key].as_str().map(str::to_owned);
    let name = text("name").unwrap_or_else(|| names[names.len() - 1].to_owned());
    if !is_name("npm", &name) {
        return Err(no("its name is none of npm"));
    }
    if entry["link"] == true {
        return Err(no("it is a folder of whoever published it, and no file of a registry"));
    }
    // npm leaves out the addresses of what it takes from a registry by name and version, and of nothing else.
    if !entry["resolved"].is_null() {
        let url = entry["resolved"].to_string();
        return Err(no(&format!("it is at {url:.200}, and no file of a registry")));
    }
    if !entry["bin"].is_null() && !entry["bin"].as_object().is_some_and(|bins| bins.iter().all(is_bin)) {
        return Err(no("it has programs outside of itself"));
    }
    let version = text("version").filter(|version| is_exact("npm", version));
    let version = version.ok_or_else(|| no("it has no version"))?;
    let integrity = text("integrity").unwrap_or_default();
    let mut digests: Vec<_> =
        integrity.split_whitespace().filter(|it| is_sha512(it)).map(str::to_owned).collect();
    digests.sort_unstable();
    digests.dedup();
    if digests.is_empty() && entry["inBundle"] == true {
        return Err(no("it comes in the file of another package, and npm would fetch any where it does not"));
    }
    if digests.is_empty() {
        return Err(no("its registry gives no SHA-512 of it"));
    }
    if digests.len() > 1 {
        return Err(no("its registry gives several SHA-512 of it, and any of these files would do"));
    }
    let mut more = entry.as_object_mut().map(std::mem::take).unwrap_or_default();
    more.retain(|key, _| KEPT.contains(&key.as_str()));
    Ok(Locked { name, version, digests, place: Some(place), more })
}

/// Whether a program has a name, and is a file of its package: npm makes what is named there a program.
fn is_bin((name, file): (&String, &Value)) -> bool {
    let inside = |part: &str| part != ".." && !part.contains(['\\', '\0']);
    let file = file.as_str().unwrap_or("/");
    is_program(name) && !file.starts_with('/') && file.split('/').all(inside)
}

fn is_sha512(integrity: &str) -> bool {
    let digest = integrity.strip_prefix("sha512-").and_then(|digest| STANDARD.decode(digest).ok());
    digest.is_some_and(|digest| digest.len() == 64)
}

/// The program that `npx` would start.
fn program(start: &Start, roots: &[Root], files: &[Locked]) -> Result<String, Failed> {
    let bins = |root: &Root| {
        let place = format!("node_modules/{}", root.name);
        let file = files.iter().find(|file| file.place.as_ref() == Some(&place));
        file.and_then(|file| file.more.get("bin")?.as_object().cloned()).unwrap_or_default()
    };
    let found = if let Some(program) = &start.program {
        roots.iter().any(|root| bins(root).contains_key(program)).then(|| program.clone())
    } else {
        let bins = bins(&roots[0]);
        let own = roots[0].name.rsplit('/').next().unwrap_or_default();
        let mut all = bins.iter();
        match (all.next(), bins.contains_key(own)) {
            (Some((first, file)), _) if all.all(|(_, other)| other == file) => Some(first.clone()),
            (_, true) => Some(own.to_owned()),
            _ => None,
        }
    };
    found.filter(|program| is_program(program)).ok_or_else(|| {
        let wanted =
            start.program.as_ref().map_or("no program".to_owned(), |it| format!("no program `{it:.100}`"));
        Failed::new(format!(
            "{} has {wanted} that could be started; `npx -y --package NAME@VERSION PROGRAM` names another",
            roots[0].name
        ))
    })
}

/// Holds a package's own file to the digest that its publisher says.
async fn check_file(
    tool: &Tool<'_>,
    package: &Package,
    root: &Root,
    said: &str,
    lock: &Lock,
) -> Result<(), Failed> {
    let named = format!("{}@{}", root.name, root.version);
    let place = tool.folder.join("packed");
    fs::create_dir(&place).map_err(|error| Failed::new(format!("{}: {error}", place.display())))?;
    let mut args = arguments(tool, &["pack", &named]);
    args.push(format!("--pack-destination={}", place.display()));
    // The registry's own address of the file counts as one to npm here.
    args.retain(|arg| arg != "--allow-remote=none");
    tool.run(&args).await.map_err(|stopped| stopped.resolving(&named, tool))?;
    let reading = tokio::task::spawn_blocking(move || {
        let file = packed(&place);
        // Of the next one there is nothing yet.
        let _ = fs::remove_dir_all(&place);
        file
    });
    let file = reading.await.map_err(io::Error::other).flatten();
    let file =
        file.map_err(|error| Failed::new(format!("npm has fetched no file of {named} to look at: {error}")))?;
    let locked = lock.files.iter().find(|it| it.place == Some(format!("node_modules/{}", root.name)));
    let integrity = format!("sha512-{}", STANDARD.encode(digest(&SHA512, &file)));
    let is_locked = locked.is_some_and(|it| it.digests.contains(&integrity));
    if is_locked && sha256(&file) == said {
        return Ok(());
    }
    Err(super::lock::other_than_said(&package.name, &root.version, said))
}

/// The one file in a folder.
fn packed(place: &Path) -> io::Result<Vec<u8>> {
    let file = fs::read_dir(place)?.next().ok_or(io::ErrorKind::NotFound)??;
    if file.metadata()?.len() > LARGEST_FILE {
        return Err(io::Error::other(format!("it has more than {} MiB", LARGEST_FILE >> 20)));
    }
    fs::read(file.path())
}

/// What an installation goes by: all that is in it is needed, nothing is optional any more.
pub(super) fn written(lock: &Lock, wanted: &BTreeMap<&str, &Locked>) -> Value {
    let tree = Tree::of(&lock.roots, &lock.files);
    let mut packages = Map::new();
    packages.insert(String::new(), json!({ "dependencies": manifest(&lock.roots)["dependencies"] }));
    for (&place, file) in wanted {
        let mut entry = file.more.clone();
        entry.retain(|key, _| !matches!(key.as_str(), "dev" | "devOptional" | "optional"));
        let optional = entry.remove("optionalDependencies");
        let mut needs = entry.remove("dependencies").unwrap_or_default();
        let needs = needs.as_object_mut().map(std::mem::take).unwrap_or_default().into_iter();
        let optional = optional.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
        let is_wanted = |name: &str| {
            let found = tree.find(place, name).and_then(|file| file.place.as_deref());
            found.is_some_and(|place| wanted.contains_key(place))
        };
        let needs: Map<_, _> = needs.chain(optional).filter(|(name, _)| is_wanted(name)).collect();
        entry.insert("dependencies".to_owned(), needs.into());
        entry.insert("version".to_owned(), file.version.clone().into());
        entry.insert("integrity".to_owned(), file.digests.join(" ").into());
        packages.insert(place.to_owned(), entry.into());
    }
    json!({ "lockfileVersion": 3, "requires": true, "packages": packages })
}

pub(super) async fn install(tool: &Tool<'_>, lock: &Lock) -> Result<(), Failed> {
    let wanted = Tree::of(&lock.roots, &lock.files).wanted(&Machine::here());
    tool.write("package.json", &manifest(&lock.roots).to_string())?;
    tool.write("package-lock.json", &written(lock, &wanted).to_string())?;
    let installed = tool.run(&arguments(tool, &["ci"])).await;
    installed.map_err(|stopped| {
        // npm says which digest it wanted, and not of what.
        let swapped = lock.files.iter().find(|file| {
            let wanted =
                |digest: &String| stopped.words.iter().any(|line| line.contains(&format!("wanted {digest}")));
            file.digests.iter().any(wanted)
        });
        stopped.installing(lock, swapped.map(|file| format!("{} {}", file.name, file.version)), tool)
    })?;
    is_as_locked(&tool.read("node_modules/.package-lock.json", LARGEST)?, lock, &wanted)?;
    link_program(tool.folder, lock).map_err(|error| {
        Failed::new(format!("{} has no program `{}` in its folder: {error}", lock.name(), lock.program))
    })
}

/// The package that was asked for and has the program, by its place, and the file in it.
pub(super) fn program_of(lock: &Lock) -> Option<(&str, &str)> {
    lock.roots.iter().find_map(|root| {
        let file = Tree::of(&lock.roots, &lock.files).find("", &root.name)?;
        Some((file.place.as_deref()?, file.more.get("bin")?.get(&lock.program)?.as_str()?))
    })
}

/// Makes the program the one of the package that was asked for: npm may have made it that of another one which needs none of that name.
pub(super) fn link_program(folder: &Path, lock: &Lock) -> io::Result<()> {
    let (package, file) = program_of(lock).ok_or(io::ErrorKind::NotFound)?;
    let file = Path::new(package).join(file);
    let link = folder.join(BIN).join(&lock.program);
    fs::create_dir_all(folder.join(BIN))?;
    match fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(Path::new("../..").join(&file), &link)?;
    let file = folder.join(file);
    if !fs::canonicalize(&file)?.starts_with(fs::canonicalize(folder)?) {
        return Err(io::Error::other("it leads elsewhere"));
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755))
}

/// Holds what npm says that it installed against what was wanted of the lock.
pub(super) fn is_as_locked(
    installed: &[u8],
    lock: &Lock,
    wanted: &BTreeMap<&str, &Locked>,
) -> Result<(), Failed> {
    let not = |what: String| Failed::new(format!("npm has {what}, so {} is not installed", lock.name()));
    let text: Value = serde_json::from_slice(installed).unwrap_or_default();
    let installed = text["packages"].as_object();
    let installed = installed.ok_or_else(|| not("installed what it cannot tell".to_owned()))?;
    for (place, entry) in installed {
        let is_it = |file: &&&Locked| {
            // What came in the file of another was held to the digest of that.
            let is_inside = file.more.get("inBundle") == Some(&Value::Bool(true));
            let is_same = match entry["integrity"].as_str() {
                Some(integrity) => integrity.split_whitespace().eq(&file.digests),
                None => is_inside,
            };
            is_same && entry["version"] == *file.version
        };
        let found = wanted.get(place.as_str()).filter(is_it);
        found.ok_or_else(|| not(format!("installed {place:.200}, which is not what was locked")))?;
    }
    match wanted.keys().find(|place| !installed.contains_key(**place)) {
        Some(place) => Err(not(format!("left out {place:.200}, which was locked"))),
        None => Ok(()),
    }
}
