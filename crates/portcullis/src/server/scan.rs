//! `portcullis server scan`: a gateway of its own starts the version once, with nobody behind it, reads all that it offers
//! and looks at every definition as it would before it is shown to anybody.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use portcullis_config::{DefinitionsMode, Kubernetes, Overrides, RegistryPackages, Settings};
use portcullis_gateway::{Gateway, Kept as KeptBy, ServerReport, ServerState};
use portcullis_hub::Supervisor;
use portcullis_hub::packages::{Failed, Sealed};
use portcullis_hub::registry::{Entry, Finding, LockedTo, Offer, Package, Registry, Scan, Stage};
use portcullis_oversight::{DefinitionKind, Reason, Register, visible, visible_line};
use portcullis_store::Memory;
use portcullis_telemetry::{Metrics, Tracer};
use serde_json::json;
use tokio::runtime::Handle;

use super::locking::{self, Locking};
use super::{advisories, args};
use super::{by, meant, now};
use crate::approved::{Ours, from, lock_to, server_of};
use crate::oversight::{ask, change};
use crate::serve::{End, own_program};
use crate::stdout::{line, print};

/// What can be scanned before anybody uses it, and scanned again.
pub(super) const STAGES: [Stage; 3] = [Stage::Submitted, Stage::Scanned, Stage::Reviewed];

/// A package may have to be fetched first.
const AT_MOST: Duration = Duration::from_mins(3);

pub(super) fn run(scan: &args::Scan) -> anyhow::Result<ExitCode> {
    let (entry, kept, configured, cluster) = ask(&scan.kept.config, async |records, settings| {
        let registry = Registry::new(records);
        let entry = meant(&registry, &scan.what, &STAGES).await?.entry;
        super::import::hold(&entry, settings)?;
        let kept = match entry.lock() {
            Some(_) if scan.unlocked => {
                let message = "its packages are locked already; `portcullis server configure` begins anew where it is not in use";
                return Err(crate::Usage(message.to_owned()).into());
            }
            Some(locked) => {
                let lock = registry.lock(&locked.digest).await.context("`store`")?;
                Some(lock.context("the lock of its packages is not what it was; add another version")?)
            }
            None => None,
        };
        Ok((entry, kept, settings.registry.clone(), settings.kubernetes.clone()))
    })?;
    if entry.launch.is_null() {
        let named = format!("{}@{}", entry.slug, entry.version());
        eprintln!(
            "{named} cannot be scanned: it takes what nobody has given it yet; portcullis server configure {named}"
        );
        return Ok(ExitCode::FAILURE);
    }
    let document = entry.document().context("what is kept of it is no server.json any more")?;
    let started = Package::of(&entry.launch, &document);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let locking = runtime.block_on(locking::lock(&entry, kept, &configured.packages, scan.unlocked));
    let Locking { lock, findings: unlike } = match locking {
        Ok(locking) => locking,
        Err(failed) => return Ok(not_locked(&entry, &failed)),
    };
    let mut known = advisories::findings(
        &started,
        lock.as_deref().map(|lock| &**lock),
        configured.advisories.as_deref(),
    )?;
    known.splice(0..0, unlike);
    let package = started.ok().and_then(|packages| packages.into_iter().next());
    let found = runtime.block_on(look(&entry, lock.as_deref(), &configured.packages, cluster));
    runtime.shutdown_timeout(Duration::from_millis(200));
    let found = match found? {
        Ok(mut found) => {
            let any = entry.launch.get("openapi").is_some_and(|api| api.get("digest").is_none());
            let what = "the document has no digest: another one may be there tomorrow".to_owned();
            found.findings.extend(any.then(|| Finding { at: "openapi".to_owned(), what }));
            found.findings.splice(0..0, known);
            Scan { package, ..found }
        }
        Err(NotReached { why, last_words, walled }) => {
            let (slug, version) = (&entry.slug, visible_line(entry.version()));
            eprintln!("{slug} {version} cannot be scanned: {}", visible(&why));
            for line in last_words {
                eprintln!("  stderr: {}", visible_line(&line));
            }
            if walled {
                eprintln!(
                    "it runs in a sandbox: `portcullis server configure {slug}@{version} --read PATH` lets it read more, and \
                     `--no-sandbox` in place of that shows whether the sandbox is why"
                );
            }
            return Ok(ExitCode::FAILURE);
        }
    };
    let (slug, version) = (entry.slug.clone(), entry.version().to_owned());
    let scanned = change(&scan.kept.config, async |records, _| {
        let registry = Registry::new(records);
        let shelved = registry.get(entry.name(), entry.version()).await.context("`store`")?;
        let mut shelved = shelved.context("it was taken away meanwhile")?;
        anyhow::ensure!(
            shelved.entry.launch == entry.launch && shelved.entry.lock() == entry.lock(),
            "somebody else changed it meanwhile; scan it again"
        );
        if let Some(lock) = lock.as_deref().filter(|_| entry.lock().is_none()) {
            registry.keep_lock(lock).await.context("`store`")?;
            shelved.entry.lock_to(lock);
        }
        shelved.entry.scanned(found.clone(), &by(&scan.decider.by))?;
        if !registry.change(&shelved).await.context("`store`")? {
            anyhow::bail!("somebody else changed it meanwhile; scan it again");
        }
        Ok(shelved.entry)
    })?;
    if scan.kept.json {
        let mut told = json!(found);
        told["lock"] = json!(scanned.lock());
        print(format_args!("{told:#}"));
    } else {
        show(&scanned);
        line(format_args!("next: portcullis server review {slug}@{version}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Says why a version cannot be scanned whose packages are not to be had.
fn not_locked(entry: &Entry, failed: &Failed) -> ExitCode {
    let (slug, version) = (&entry.slug, visible_line(entry.version()));
    eprintln!("{slug} {version} cannot be scanned: {}", visible(&failed.what));
    for line in &failed.words {
        eprintln!("  {}", visible_line(line));
    }
    if entry.lock().is_none() {
        eprintln!(
            "`portcullis server scan {slug}@{version} --unlocked` leaves it to its command line what is fetched at each start"
        );
    }
    ExitCode::FAILURE
}

/// A version of which nothing could be seen.
struct NotReached {
    why: String,
    /// The last lines on stderr of a program that was started for it.
    last_words: Vec<String>,
    /// Whether that ran in a sandbox.
    walled: bool,
}

/// How many of its last lines on stderr are shown.
const LAST_WORDS: usize = 10;

/// What it offers, and what somebody should look at; or why it cannot be reached.
async fn look(
    entry: &Entry,
    lock: Option<&Sealed>,
    packages: &RegistryPackages,
    cluster: Option<Kubernetes>,
) -> anyhow::Result<Result<Scan, NotReached>> {
    let (id, mut server) = server_of(&entry.slug, &entry.launch).map_err(crate::Usage)?;
    server.enabled = true;
    if let Some(lock) = lock {
        let (text, digest) = (lock.text().clone(), lock.digest().to_owned());
        lock_to(&mut server, entry, text, digest).map_err(crate::Usage)?;
        server = from(&server, packages);
    }
    let walls = match &server.transport {
        portcullis_config::Transport::Http(http) if http.image.is_some() => "a pod of its own",
        portcullis_config::Transport::Http(_) => "none: it runs elsewhere",
        portcullis_config::Transport::Stdio(stdio) if stdio.sandbox.is_some() => "a sandbox",
        portcullis_config::Transport::Stdio(_) => "none: it was added without",
    };
    let walled = matches!(&server.transport, portcullis_config::Transport::Stdio(it) if it.sandbox.is_some());
    let (overrides, name) = (Overrides::default(), id.clone());
    let settings = crate::config::settle(portcullis_config::defaults(&Ours, &overrides))?.settings;
    // Beside what runs for callers, and never it.
    let kubernetes = cluster.map(Kubernetes::for_a_look);
    let settings = Settings {
        servers: [(id, server)].into(),
        kubernetes,
        definitions: DefinitionsMode::TrustFirstUse,
        ..settings
    };
    let records = Arc::new(Memory::default());
    let supervisor = Supervisor::new(&own_program()?);
    let kept = KeptBy { records: records.clone(), evidence: None, witness: None };
    let (control, metrics) = (Handle::current(), Metrics::new());
    let gateway = Gateway::new(settings, 1, control, supervisor.clone(), metrics, Tracer::disabled(), kept)
        .map_err(|error| crate::Usage(error.to_string()))?;
    gateway.recall_decisions().await;
    tokio::spawn(gateway.clone().look_after_cluster());
    let looking = async {
        let reached = tokio::time::timeout(AT_MOST, gateway.warm_up()).await;
        let report = gateway.report().into_iter().next();
        if report.as_ref().is_some_and(|report| report.state == ServerState::Up) {
            // What is not seen now is held back later. Whether there is anything else for others, nobody knows: it may fail.
            let _ = tokio::time::timeout(AT_MOST, gateway.list_for_others()).await;
        }
        (reached.is_ok(), report)
    };
    // Whatever ends it, nothing that was started for it is left running.
    let mut end = End::listen().context("cannot listen for signals")?;
    let looked = tokio::select! {
        looked = looking => Some(looked),
        () = end.asked_for() => None,
    };
    let entries = Register::entries(&*records).await;
    tokio::select! {
        () = gateway.delete_deployments() => {}
        () = end.asked_for() => {}
    }
    gateway.close().await;
    supervisor.shutdown().await;
    let not_reached = |why: String| {
        let lines = supervisor.logs(&name).into_iter().next().map(|log| log.lines).unwrap_or_default();
        let skipped = lines.len().saturating_sub(LAST_WORDS);
        let last_words = lines.into_iter().skip(skipped).map(|(_, line)| line).collect();
        Ok(Err(NotReached { why, last_words, walled }))
    };
    let entries = entries?;
    let Some((reached, report)) = looked else { return not_reached("it was interrupted".to_owned()) };
    let revision = match report {
        // Why it is down is known before it was ever reached.
        Some(ServerReport { state: ServerState::Down { why }, .. }) => return not_reached(why),
        _ if !reached => {
            return not_reached(format!("it did not answer within {} s", AT_MOST.as_secs()));
        }
        Some(ServerReport { revision: Some(revision), .. }) => revision,
        _ => return not_reached("it was not reached".to_owned()),
    };
    let kind = |kind: DefinitionKind| kind.to_string();
    let offers = entries.iter().filter_map(|it| {
        let pin = it.trusted.last().map(|trusted| trusted.pin).or(it.held.as_ref().map(|held| held.pin))?;
        Some(Offer { kind: kind(it.kind), name: it.name.clone(), digest: pin.to_string() })
    });
    let offers = offers.collect();
    let findings = entries.iter().flat_map(|it| {
        let reasons = it.held.iter().flat_map(|held| &held.reasons).filter(|reason| **reason != Reason::New);
        reasons.map(|reason| Finding {
            at: format!("{} {}", kind(it.kind), visible(&it.name)),
            what: match reason {
                // Only one of what it says to whom can be expected.
                Reason::Changed => {
                    "it says something else to clients that can do more or less, which will be held back"
                        .to_owned()
                }
                reason => reason.to_string(),
            },
        })
    });
    let findings = findings.collect();
    let (at, revision, walls) = (now(), revision.to_owned(), walls.to_owned());
    Ok(Ok(Scan { at, revision, offers, findings, walls, package: None }))
}

/// What a scan found, for people.
pub(super) fn show(entry: &Entry) {
    let Some(scan) = entry.scan() else {
        line("  scan        not yet");
        return;
    };
    let offered = |kind: &str| scan.offers.iter().filter(|offer| offer.kind == kind).count();
    line(format_args!(
        "  scan        MCP {}, {} tools, {} prompts, {} resources, {} templates; walls: {}",
        scan.revision,
        offered("tool"),
        offered("prompt"),
        offered("resource"),
        offered("template"),
        scan.walls
    ));
    if let Some(Package { registry, name, version, digest }) = &scan.package {
        let version = match version {
            Some(version) => format!(" {version}"),
            None if registry == "oci" => String::new(),
            None => " whatever is newest".to_owned(),
        };
        let digest = digest.as_deref().map(|digest| format!(", sha256:{digest}")).unwrap_or_default();
        line(format_args!("    package {registry} {name}{version}{digest}"));
        match entry.lock() {
            Some(LockedTo { digest, packages }) => {
                line(format_args!(
                    "    locked to {packages} packages, each by its digest; the lock is sha256:{digest}"
                ));
            }
            None if registry != "oci" => line("    NOT LOCKED: what it is made of is fetched at each start"),
            None => {}
        }
    }
    for finding in &scan.findings {
        line(format_args!("    LOOK AT {}: {}", finding.at, finding.what));
    }
    if scan.findings.is_empty() {
        line("    nothing to look at was found");
    }
}
