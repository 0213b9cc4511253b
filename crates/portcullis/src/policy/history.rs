//! `portcullis policy history` and `portcullis policy rollback`: which policies were in force, and back to one of them.
//!
//! Policies are files, and stay so: going back writes the files of a version, and a running gateway takes that up as it takes
//! up every edit, as a new version. What stands in the configuration beside them (roles, groups, labels) is the
//! configuration's, so where it was another then, going back is refused and says so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use portcullis_config::{Loaded, Overrides, Policy, Settings, Store};
use portcullis_model::Records;
use serde_json::{Value, json};

use super::versions::{self, Version};
use crate::Usage;
use crate::secrets::Secrets;
use crate::stdout::print;

/// Lists the versions, the newest first.
pub(crate) fn history(config: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    let settings = Secrets::load(config, &Overrides::default())?.0.settings;
    let current = settings.policy.as_ref().map(versions::digest_of);
    let mut versions =
        with_store(&settings, async |records| versions::all(&*records).await.context("`store`"))?;
    versions.reverse();
    if as_json {
        let all: Vec<_> = versions.into_iter().map(|version| version.told).collect();
        print(format_args!("{:#}", json!({"current": current, "versions": all})));
        return Ok(ExitCode::SUCCESS);
    }
    if versions.is_empty() {
        print("no policies were in force yet");
    }
    for version in versions {
        let Value::String(digest) = &version.told["digest"] else { continue };
        let files = version.told["files"].as_array().map_or(0, Vec::len);
        let text = |key: &str| version.told[key].as_str().unwrap_or_default();
        let same = if current.as_ref() == Some(digest) { ", as the files are now" } else { "" };
        print(format_args!(
            "{:>6}  {}  {digest:.12}  {files} file{}  {}{same}",
            version.number,
            text("at"),
            if files == 1 { "" } else { "s" },
            text("trigger"),
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the files of a version.
pub(crate) fn rollback(number: u64, config: &Path, dry_run: bool) -> anyhow::Result<ExitCode> {
    let (Loaded { settings, files, .. }, _) = Secrets::load(config, &Overrides::default())?;
    let policy =
        settings.policy.clone().ok_or_else(|| Usage(format!("{} has no `policy`", config.display())))?;
    let plan = with_store(&settings, async |records| {
        let version = versions::one(&*records, number).await.context("`store`")?;
        let version = version.ok_or_else(|| Usage(format!("there is no version {number}")))?;
        plan(&*records, &version, &policy, &files).await
    })?;
    if plan.write.is_empty() && plan.set_aside.is_empty() {
        print(format_args!("the files are those of version {number} already"));
        return Ok(ExitCode::SUCCESS);
    }
    let would = if dry_run { "would be " } else { "" };
    for (file, text) in &plan.write {
        if !dry_run {
            write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        print(format_args!("{would}written: {}", file.display()));
    }
    for file in &plan.set_aside {
        let aside = aside(file);
        if !dry_run {
            std::fs::rename(file, &aside).with_context(|| format!("cannot rename {}", file.display()))?;
        }
        print(format_args!("{would}set aside: {} as {}", file.display(), aside.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// What has to be done to the files.
struct Plan {
    write: BTreeMap<PathBuf, String>,
    /// Files that the version did not have. They are kept under a name that is no policy's.
    set_aside: BTreeSet<PathBuf>,
}

/// What stands in the store is not trusted with more than policies: `files` are those that the configuration names, and the
/// folders.
async fn plan(
    records: &dyn Records,
    version: &Version,
    now: &Policy,
    files: &[PathBuf],
) -> anyhow::Result<Plan> {
    let then = &version.told["beside"];
    if *then != versions::beside(now) {
        let beside = versions::beside(now);
        let keys = ["mode", "roles", "groups", "labels", "claims", "arguments"].into_iter();
        let others = keys.filter(|key| then[*key] != beside[*key]);
        let keys: Vec<_> = others.map(|key| format!("policy.{key} was {}", then[key])).collect();
        let message = format!(
            "the configuration beside the policies was another; change it first: {}",
            keys.join(", ")
        );
        return Err(Usage(message).into());
    }
    let current: BTreeMap<_, _> = now.texts.iter().map(|text| (text.file.clone(), &text.text)).collect();
    let (mut write, mut set_aside) = (BTreeMap::new(), current.keys().cloned().collect::<BTreeSet<_>>());
    for file in version.told["files"].as_array().into_iter().flatten() {
        let (Some(path), Some(sha256)) = (file["file"].as_str(), file["sha256"].as_str()) else { continue };
        let path = PathBuf::from(path);
        let is_named = |path: &Path| files.iter().any(|file| file == path);
        let in_folder =
            || path.extension().is_some_and(|it| it == "cedar") && path.parent().is_some_and(is_named);
        if !is_named(&path) && !in_folder() {
            let message = format!("{} is in none of `policy.files` now", path.display());
            return Err(Usage(message).into());
        }
        let text = versions::text(records, sha256).await.context("`store`")?;
        let text = text.ok_or_else(|| Usage(format!("{} was too large to be kept", path.display())))?;
        set_aside.remove(&path);
        if current.get(&path).is_none_or(|now| **now != text) {
            write.insert(path, text);
        }
    }
    Ok(Plan { write, set_aside })
}

fn aside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".before-rollback");
    name.into()
}

/// In place as a whole: a gateway that looks meanwhile sees the old file or the new one.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let mut draft = file.as_os_str().to_owned();
    draft.push(".draft");
    std::fs::write(&draft, text)?;
    std::fs::rename(draft, file)
}

/// Opens the store of a configuration as it is, which must be one that outlives a process.
pub(crate) fn with_store<T>(
    settings: &Settings,
    ask: impl AsyncFnOnce(Arc<dyn Records>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    match &settings.store {
        Store::Memory => {
            let message =
                "the store is in memory and keeps no history; set `store: { kind: sqlite }` or `postgres`";
            return Err(Usage(message.to_owned()).into());
        }
        Store::Sqlite { path } if !path.exists() => {
            return Err(Usage(format!("{} is not there: nothing has been kept yet", path.display())).into());
        }
        Store::Sqlite { .. } | Store::Postgres { .. } => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let records = crate::store::open_for_reading(settings).await?;
        ask(records).await
    })
}
