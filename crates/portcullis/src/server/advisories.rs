//! What is known of the packages that a version is started from: whether a version is pinned, and what advisories say of each.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use portcullis_hub::packages::Lock;
use portcullis_hub::registry::{Advisory, Finding, Package, Unread, Untold, Watched};
use portcullis_oversight::visible;

/// The largest file of a dump that is read, in bytes.
const LARGEST: u64 = 256 << 20;
/// So much of what an advisory says of itself is shown, in characters.
const SAID: usize = 200;

/// What somebody should look at in what is `started`, and in all that came with it, where that is locked; `folder` has the
/// advisories, with folders below it if need be.
///
/// # Errors
/// The folder cannot be read: a scan without it would look like one that found nothing.
pub(super) fn findings(
    started: &Result<Vec<Package>, Untold>,
    lock: Option<&Lock>,
    folder: Option<&Path>,
) -> anyhow::Result<Vec<Finding>> {
    let started = match started {
        Ok(packages) => packages,
        Err(untold) => {
            return Ok(vec![Finding { at: "package".to_owned(), what: visible(&untold.to_string()) }]);
        }
    };
    // Its digest pins an image, and advisories are about what is in images, not about these.
    let packages = started.iter().filter(|package| package.registry != "oci").cloned();
    let mut packages: Vec<_> = packages.collect();
    let unpinned = packages.iter().filter(|package| package.version.is_none()).map(|package| Finding {
        at: place(package, None),
        what: "its version is not pinned: what is started tomorrow may be another program".to_owned(),
    });
    let mut findings: Vec<_> = unpinned.collect();
    let own = packages.len();
    packages.extend(lock.iter().flat_map(|lock| beside(lock)));
    let mut known = Vec::new();
    if let (Some(folder), false) = (folder, packages.is_empty()) {
        search(folder, &Watched::new(&packages), &mut known)
            .with_context(|| format!("registry.advisories: {}", folder.display()))?;
    }
    let id = |it: &Result<Advisory, Unread>| it.as_ref().ok().map(|advisory| advisory.id.clone());
    known.sort_by_key(|(index, it)| (*index, id(it)));
    known.dedup_by_key(|(index, it)| (*index, id(it)));
    findings.extend(known.into_iter().map(|(index, known)| {
        let at = place(&packages[index], lock.filter(|_| index >= own));
        Finding { at, what: said(known) }
    }));
    Ok(findings)
}

/// What of a lock was not asked for and came with it, each version once.
fn beside(lock: &Lock) -> Vec<Package> {
    let others: BTreeSet<_> = lock.came_along().map(|file| (&file.name, &file.version)).collect();
    let package = |(name, version): (&String, &String)| Package {
        registry: lock.registry.clone(),
        name: name.clone(),
        version: Some(version.clone()),
        digest: None,
    };
    others.into_iter().map(package).collect()
}

/// Where a finding is: in a package, and in the one that it came with.
fn place(package: &Package, with: Option<&Lock>) -> String {
    let Package { registry, name, version, .. } = package;
    let (name, version) = (visible(name), visible(version.as_deref().unwrap_or_default()));
    match with {
        None => format!("package {registry} {name}"),
        Some(lock) => {
            format!("package {registry} {name} {version}, which came with {}", visible(&lock.name()))
        }
    }
}

fn said(advisory: Result<Advisory, Unread>) -> String {
    let advisory = match advisory {
        Ok(advisory) => advisory,
        Err(unread) => return unread.to_string(),
    };
    let summary: String = advisory.summary.chars().take(SAID).collect();
    let mended = match advisory.fixed.last() {
        Some(version) => format!("mended in {}", visible(version)),
        None => "not mended anywhere".to_owned(),
    };
    format!("{}: {}; {mended}", visible(&advisory.id), visible(&summary))
}

type Known = Vec<(usize, Result<Advisory, Unread>)>;

fn search(folder: &Path, packages: &Watched<'_>, known: &mut Known) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let found = fs::metadata(&path).with_context(|| path.display().to_string())?;
        if found.is_dir() {
            search(&path, packages, known)?;
            continue;
        }
        let extension = path.extension().and_then(|extension| extension.to_str());
        if !matches!(extension, Some("json" | "jsonl" | "ndjson")) {
            continue;
        }
        anyhow::ensure!(found.len() <= LARGEST, "{} has more than {} MiB", path.display(), LARGEST >> 20);
        let text = fs::read(&path).with_context(|| path.display().to_string())?;
        known.extend(packages.affected(&text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use portcullis_hub::packages::{Locked, Root};

    use super::*;

    #[test]
    fn a_package_has_not_come_with_itself_however_its_name_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let affected = |name: &str| serde_json::json!({ "package": { "ecosystem": "PyPI", "name": name }, "versions": ["1.4.0", "1.0.0"] });
        let advisory = serde_json::json!({ "id": "GHSA-1", "affected": [affected("acme-files"), affected("acme-deep")] });
        fs::write(folder.path().join("one.json"), advisory.to_string()).expect("written");
        let own = Package {
            registry: "pypi".to_owned(),
            name: "acme_files".to_owned(),
            version: Some("1.4.0".to_owned()),
            digest: None,
        };
        let file = |name: &str, version: &str| Locked {
            name: name.to_owned(),
            version: version.to_owned(),
            digests: Vec::new(),
            place: None,
            more: serde_json::Map::new(),
        };
        let lock = Lock {
            registry: "pypi".to_owned(),
            from: None,
            program: "acme-files".to_owned(),
            python: None,
            roots: vec![Root { name: own.name.clone(), version: "1.4.0".to_owned() }],
            files: vec![file("acme-deep", "1.0.0"), file("acme-files", "1.4.0")],
        };
        let found = findings(&Ok(vec![own]), Some(&lock), Some(folder.path())).expect("read");
        let places: Vec<_> = found.iter().map(|finding| finding.at.as_str()).collect();
        let deep = "package pypi acme-deep 1.0.0, which came with acme_files 1.4.0";
        assert_eq!(places, ["package pypi acme_files", deep]);
    }

    #[test]
    fn a_dump_is_searched_with_all_its_folders_and_one_that_cannot_be_read_is_no_all_clear() {
        let folder = tempfile::tempdir().expect("a folder");
        let advisory = |id: &str, name: &str| {
            serde_json::json!({
                "id": id, "summary": "Bad.\u{200b}",
                "affected": [{ "package": { "ecosystem": "npm", "name": name }, "versions": ["1.0.0"] }],
            })
            .to_string()
        };
        fs::create_dir(folder.path().join("npm")).expect("made");
        fs::write(folder.path().join("npm/GHSA-2.json"), advisory("GHSA-2", "files")).expect("written");
        let lines = format!("{}\n{}\n", advisory("GHSA-1", "files"), advisory("GHSA-3", "others"));
        fs::write(folder.path().join("all.jsonl"), lines).expect("written");
        fs::write(folder.path().join("README"), "files").expect("written");
        fs::write(folder.path().join("broken.json"), r#"[{ "name": "files""#).expect("written");
        let version = Some("1.0.0".to_owned());
        let files = Package { registry: "npm".to_owned(), name: "files".to_owned(), version, digest: None };
        let started = Ok(vec![files.clone()]);
        let found = findings(&started, None, Some(folder.path())).expect("read");
        let said: Vec<_> =
            found.iter().map(|finding| finding.what.split(':').next().expect("an id")).collect();
        assert_eq!(said, ["an advisory about this package cannot be read", "GHSA-1", "GHSA-2"]);
        assert!(
            !found[1].what.contains('\u{200b}') && found[1].what.ends_with("not mended anywhere"),
            "{found:?}"
        );
        assert!(findings(&started, None, Some(&folder.path().join("none"))).is_err());
        let unpinned = Package { version: None, ..files };
        assert!(findings(&Ok(vec![unpinned]), None, None).expect("read")[0].what.contains("not pinned"));
        assert_eq!(findings(&Ok(Vec::new()), None, Some(folder.path())).expect("read"), []);
        let untold = findings(&Err(Untold("--what".to_owned())), None, None).expect("read");
        assert!(untold[0].what.contains("cannot be told: `--what`"), "{untold:?}");
    }
}
