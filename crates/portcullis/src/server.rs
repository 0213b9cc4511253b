//! `portcullis server`: the registry from a terminal. Versions are added, scanned, reviewed, approved, and taken away.
//!
//! It works on the store that the gateway has, whether it runs or not; one that runs looks there once a second.

mod add;
mod advisories;
pub(crate) mod args;
mod configure;
mod import;
mod locking;
mod openapi;
mod rollout;
mod running;
mod scan;
mod what;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use portcullis_hub::registry::{Entry, Move, Registry, Share, Shelved, Stage, in_use};
use portcullis_oversight::visible_line;
use serde_json::{Value, json};

use crate::Usage;
use crate::oversight::{ask, change, moment};
use crate::stdout::{line, print};
use args::{ServerVerb, Step};

pub(crate) fn run(verb: &ServerVerb) -> anyhow::Result<ExitCode> {
    match verb {
        ServerVerb::List(list) => self::list(list),
        ServerVerb::Inspect(inspect) => self::inspect(inspect),
        ServerVerb::Add(add) => add::run(add),
        ServerVerb::Import(import) => import::run(import),
        ServerVerb::Configure(configure) => configure::run(configure),
        ServerVerb::Restart(it) => running::restart(it),
        ServerVerb::Logs(it) => running::logs(it),
        ServerVerb::Scan(scan) => scan::run(scan),
        ServerVerb::Review(step) => take(step, Move::Review, "reviewed"),
        ServerVerb::Approve(step) => take(step, Move::Approve, "approved"),
        ServerVerb::Rollout(it) => rollout::out(it),
        ServerVerb::Rollback(it) => rollout::back(it),
        ServerVerb::Deprecate(step) => take(step, Move::Deprecate, "deprecated"),
        ServerVerb::Retire(step) => take(step, Move::Retire, "retired"),
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}

fn by(name: &str) -> String {
    format!("cli:{name}")
}

fn list(list: &args::List) -> anyhow::Result<ExitCode> {
    let (entries, configured) = ask(&list.kept.config, async |records, settings| {
        let all = Registry::new(records).all().await.context("`store`")?;
        let configured: Vec<_> = settings.servers.keys().map(ToString::to_string).collect();
        Ok((all.into_iter().map(|shelved| shelved.entry).collect::<Vec<_>>(), configured))
    })?;
    let runs = in_use(&entries);
    let use_of = |entry: &Entry| {
        let of = runs.iter().find(|it| it.entry.slug == entry.slug)?;
        let is = |other: &Entry| other.version() == entry.version();
        match of.next {
            Some((next, share)) if is(next) => Some(share),
            Some((_, share)) if is(of.entry) => Share::new(100 - share.percent()),
            _ => is(of.entry).then_some(Share::ALL),
        }
    };
    let shown: Vec<&Entry> =
        entries.iter().filter(|entry| list.all || entry.stage() != Stage::Retired).collect();
    if list.kept.json {
        let told: Vec<_> = shown.iter().map(|entry| brief(entry, use_of(entry))).collect();
        print(format_args!("{:#}", json!({ "servers": told, "configured": configured })));
        return Ok(ExitCode::SUCCESS);
    }
    for entry in &shown {
        let used = match use_of(entry) {
            Some(Share::ALL) => "in use".to_owned(),
            Some(share) => format!("{share} use"),
            None if entry.is_rolled_back() => "back".to_owned(),
            None => String::new(),
        };
        let (slug, stage) = (&entry.slug, entry.stage().as_str());
        line(format_args!("{slug:<20}  {:<12}  {stage:<10}  {used:<7}  {}", entry.version(), entry.name()));
    }
    for slug in &configured {
        line(format_args!(
            "{slug:<20}  {:<12}  {:<10}  {:<7}  the configuration",
            "", "configured", "in use"
        ));
    }
    if shown.is_empty() && configured.is_empty() {
        line("no servers yet; `portcullis server add` adds one");
    }
    Ok(ExitCode::SUCCESS)
}

/// A version, and how many callers have it, if any.
fn brief(entry: &Entry, used: Option<Share>) -> Value {
    json!({
        "server": entry.slug,
        "name": entry.name(),
        "version": entry.version(),
        "stage": entry.stage(),
        "in_use": used.is_some(),
        "share": used.map_or(0, Share::percent),
        "changed": moment(entry.changed()),
    })
}

/// What somebody means by `NAME` or `NAME@VERSION`: the server's name here, or the one in its `server.json`. Without a version
/// it is the newest that is at the wanted stage, or the newest of all.
async fn meant(registry: &Registry, what: &str, stages: &[Stage]) -> anyhow::Result<Shelved> {
    let (name, version) = match what.rsplit_once('@') {
        Some((name, version)) if !name.is_empty() => (name, Some(version)),
        _ => (what, None),
    };
    let all = registry.all().await.context("`store`")?;
    let of_name = all.iter().filter(|it| it.entry.slug == name || it.entry.name() == name);
    let found: Vec<&Shelved> =
        of_name.filter(|it| version.is_none_or(|version| it.entry.version() == version)).collect();
    let at_stage = found.iter().copied().filter(|it| stages.is_empty() || stages.contains(&it.entry.stage()));
    let newest = at_stage.max_by_key(|it| it.entry.published()).or_else(|| {
        // So that what is said is why it cannot be, and not that it is not there.
        found.iter().copied().max_by_key(|it| it.entry.published())
    });
    let known = || {
        all.iter()
            .map(|it| format!("{}@{}", it.entry.slug, visible_line(it.entry.version())))
            .collect::<Vec<_>>()
    };
    newest.cloned().ok_or_else(|| {
        let known = known().join(", ");
        let known = if known.is_empty() { "nothing yet".to_owned() } else { known };
        Usage(format!("there is no `{what}` in the registry, which has {known}")).into()
    })
}

fn inspect(inspect: &args::Inspect) -> anyhow::Result<ExitCode> {
    let entry = ask(&inspect.kept.config, async |records, _| {
        Ok(meant(&Registry::new(records), &inspect.what, &[]).await?.entry)
    })?;
    if inspect.kept.json {
        print(format_args!("{:#}", what::shown(&entry)));
        return Ok(ExitCode::SUCCESS);
    }
    line(format_args!("{} {} ({}), {}", entry.name(), entry.version(), entry.slug, entry.stage().as_str()));
    if let Some(document) = entry.document() {
        line(format_args!("  {}", document.description()));
    }
    line(format_args!("  reached by  {}", what::reached_by(&entry.launch)));
    for given in what::given(&entry) {
        line(given);
    }
    for (what, values) in [("owners", &entry.owners), ("labels", &entry.labels), ("data", &entry.data)] {
        if !values.is_empty() {
            line(format_args!("  {what:<10}  {}", values.join(", ")));
        }
    }
    scan::show(&entry);
    line("  history");
    for change in entry.history() {
        let note = change.note.as_deref().map(|note| format!(": {note}")).unwrap_or_default();
        let what = match change.share {
            None => change.to.as_str().to_owned(),
            Some(0) => "rolled back".to_owned(),
            Some(percent) => format!("rolled out to {percent}%"),
        };
        line(format_args!("    {} {what} by {}{note}", moment(change.at), change.by));
    }
    Ok(ExitCode::SUCCESS)
}

/// From which stages a step can be taken.
fn stages(step: Move) -> &'static [Stage] {
    match step {
        Move::Review => &[Stage::Scanned],
        Move::Approve => &[Stage::Reviewed, Stage::Deprecated, Stage::Approved],
        Move::Deprecate => &[Stage::Approved],
        Move::Retire => &[],
    }
}

fn take(step: &Step, to: Move, word: &str) -> anyhow::Result<ExitCode> {
    let Step { what, decision } = step;
    let entry = change(&decision.kept.config, async |records, settings| {
        let registry = Registry::new(records);
        let mut shelved = meant(&registry, what, stages(to)).await?;
        if to == Move::Retire && !what.contains('@') {
            let named = format!("{}@{}", shelved.entry.slug, shelved.entry.version());
            let message = format!("retiring is for good: say which version, for example `{named}`");
            return Err(Usage(message).into());
        }
        if to == Move::Approve {
            import::hold(&shelved.entry, settings)?;
        }
        let taken = shelved.entry.take(to, &by(&decision.decider.by), now(), decision.note.clone());
        if let Err(refused) = taken {
            eprintln!("{refused}");
            return Ok(None);
        }
        if !registry.change(&shelved).await.context("`store`")? {
            anyhow::bail!("somebody else changed it meanwhile; look at it and try again");
        }
        Ok(Some(shelved.entry))
    })?;
    let Some(entry) = entry else { return Ok(ExitCode::FAILURE) };
    if decision.kept.json {
        print(format_args!("{:#}", brief(&entry, entry.stage().is_in_use().then_some(Share::ALL))));
    } else {
        line(format_args!("{word}: {} {}", entry.slug, entry.version()));
    }
    Ok(ExitCode::SUCCESS)
}
