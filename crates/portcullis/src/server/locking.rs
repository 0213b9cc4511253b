//! What a version's packages are locked to, when it is scanned. The first scan locks them, and every start goes by that; a later
//! scan says what they would come to by then, and changes nothing.

use std::sync::Arc;

use portcullis_config::RegistryPackages;
use portcullis_hub::packages::{Failed, Lock, Mirrors, Packages, Sealed};
use portcullis_hub::registry::{Entry, Finding, Start};
use portcullis_oversight::visible;
use serde_json::Value;

/// So many differences are told.
const TOLD: usize = 20;

/// What a scan goes by.
#[derive(Default)]
pub(super) struct Locking {
    /// What it is started from; `None` is whatever its command line fetches.
    pub(super) lock: Option<Arc<Sealed>>,
    /// What somebody should look at.
    pub(super) findings: Vec<Finding>,
}

impl Locking {
    fn without(why: &str) -> Self {
        let what = format!("they are not locked, and may be others at each start: {why}");
        Self { lock: None, findings: vec![finding(what)] }
    }
}

fn finding(what: String) -> Finding {
    Finding { at: "packages".to_owned(), what }
}

/// Locks the packages of `entry`, or takes what they were locked to (`kept`), and installs them. With `unlocked`, what was not
/// locked before stays so.
pub(super) async fn lock(
    entry: &Entry,
    kept: Option<Sealed>,
    places: &RegistryPackages,
    unlocked: bool,
) -> Result<Locking, Failed> {
    let start = entry.document().map(|document| Start::of(&entry.launch, &document));
    // What cannot be told is a finding already.
    let Some(Ok(Some(start))) = start else { return Ok(Locking::default()) };
    let command = entry.launch.get("command").and_then(Value::as_str).unwrap_or_default();
    let env = entry.launch.get("env").and_then(Value::as_object);
    let RegistryPackages { npm, pypi, folder } = places.clone();
    let (mirrors, packages) = (Mirrors { npm, pypi }, Packages::new(folder));
    let (lock, mut findings) = if let Some(lock) = kept {
        let findings = compare(&lock, packages.resolve(command, &start, &mirrors).await);
        (lock, findings)
    } else if let Some(why) = start.unlockable(env.into_iter().flat_map(|env| env.keys())) {
        return Ok(Locking::without(&why));
    } else if entry.stage().is_in_use() {
        return Ok(Locking::without(
            "it was approved like that; another version is locked when it is scanned",
        ));
    } else if unlocked {
        return Ok(Locking::without("whoever scanned it wanted that (`--unlocked`)"));
    } else {
        (packages.resolve(command, &start, &mirrors).await?.sealed(), Vec::new())
    };
    let lock = Arc::new(lock);
    packages.install(command, &lock, &mirrors).await?;
    findings.extend(lock.with_scripts().into_iter().map(|file| Finding {
        at: format!("package {} {} {}", lock.registry, visible(&file.name), visible(&file.version)),
        what: "it has scripts that are to run when it is installed; they are not run".to_owned(),
    }));
    Ok(Locking { lock: Some(lock), findings })
}

/// What is said of packages that would be others by now.
fn compare(lock: &Lock, now: Result<Lock, Failed>) -> Vec<Finding> {
    let now = match now {
        Ok(now) => now,
        Err(failed) => {
            let what = format!("whether they would be the same today is not known: {failed}");
            return vec![finding(visible(&what))];
        }
    };
    let mut differences = lock.differs_from(&now);
    let more = differences.len().saturating_sub(TOLD);
    differences.truncate(TOLD);
    if more > 0 {
        differences.push(format!("and {more} more"));
    }
    let told = |what: String| {
        finding(format!("today, {}; it is started from what was locked, as before", visible(&what)))
    };
    differences.into_iter().map(told).collect()
}
