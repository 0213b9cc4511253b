//! What is known of the package that a version is started from: whether its version is pinned, and what advisories say of it.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use portcullis_hub::registry::{Advisory, Finding, Package, Unread, Untold, affecting};
use portcullis_oversight::visible;

/// The largest file of a dump that is read, in bytes.
const LARGEST: u64 = 256 << 20;
/// So much of what an advisory says of itself is shown, in characters.
const SAID: usize = 200;

/// What somebody should look at in what is `started`; `folder` has the advisories, with folders below it if need be.
///
/// # Errors
/// The folder cannot be read: a scan without it would look like one that found nothing.
pub(super) fn findings(
    started: &Result<Vec<Package>, Untold>,
    folder: Option<&Path>,
) -> anyhow::Result<Vec<Finding>> {
    match started {
        Ok(packages) => {
            let all = packages.iter().map(|package| of_package(package, folder));
            Ok(all.collect::<anyhow::Result<Vec<_>>>()?.concat())
        }
        Err(untold) => Ok(vec![Finding { at: "package".to_owned(), what: visible(&untold.to_string()) }]),
    }
}

fn of_package(package: &Package, folder: Option<&Path>) -> anyhow::Result<Vec<Finding>> {
    let Package { registry, name, version, .. } = package;
    let at = format!("package {registry} {}", visible(name));
    if registry == "oci" {
        // Its digest pins it, and advisories are about what is in images, not about these.
        return Ok(Vec::new());
    }
    if version.is_none() {
        let what = "its version is not pinned: what is started tomorrow may be another program".to_owned();
        return Ok(vec![Finding { at, what }]);
    }
    let mut known = Vec::new();
    if let Some(folder) = folder {
        search(folder, package, &mut known)
            .with_context(|| format!("registry.advisories: {}", folder.display()))?;
    }
    let id = |it: &Result<Advisory, Unread>| it.as_ref().ok().map(|advisory| advisory.id.clone());
    known.sort_by_key(id);
    known.dedup_by_key(|it| id(it));
    let finding = |advisory: Result<Advisory, Unread>| {
        let advisory = match advisory {
            Ok(advisory) => advisory,
            Err(unread) => return Finding { at: at.clone(), what: unread.to_string() },
        };
        let summary: String = advisory.summary.chars().take(SAID).collect();
        let mended = match advisory.fixed.last() {
            Some(version) => format!("mended in {}", visible(version)),
            None => "not mended anywhere".to_owned(),
        };
        Finding {
            at: at.clone(),
            what: format!("{}: {}; {mended}", visible(&advisory.id), visible(&summary)),
        }
    };
    Ok(known.into_iter().map(finding).collect())
}

fn search(folder: &Path, package: &Package, known: &mut Vec<Result<Advisory, Unread>>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let found = fs::metadata(&path).with_context(|| path.display().to_string())?;
        if found.is_dir() {
            search(&path, package, known)?;
            continue;
        }
        let extension = path.extension().and_then(|extension| extension.to_str());
        if !matches!(extension, Some("json" | "jsonl" | "ndjson")) {
            continue;
        }
        anyhow::ensure!(found.len() <= LARGEST, "{} has more than {} MiB", path.display(), LARGEST >> 20);
        let text = fs::read(&path).with_context(|| path.display().to_string())?;
        known.extend(affecting(&text, package));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let found = findings(&started, Some(folder.path())).expect("read");
        let said: Vec<_> =
            found.iter().map(|finding| finding.what.split(':').next().expect("an id")).collect();
        assert_eq!(said, ["an advisory about this package cannot be read", "GHSA-1", "GHSA-2"]);
        assert!(
            !found[1].what.contains('\u{200b}') && found[1].what.ends_with("not mended anywhere"),
            "{found:?}"
        );
        assert!(findings(&started, Some(&folder.path().join("none"))).is_err());
        let unpinned = Package { version: None, ..files };
        assert!(findings(&Ok(vec![unpinned]), None).expect("read")[0].what.contains("not pinned"));
        assert_eq!(findings(&Ok(Vec::new()), Some(folder.path())).expect("read"), []);
        let untold = findings(&Err(Untold("--what".to_owned())), None).expect("read");
        assert!(untold[0].what.contains("cannot be told: `--what`"), "{untold:?}");
    }
}
