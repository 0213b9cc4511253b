//! `portcullis audit …`: the evidence log, read without a gateway and without a network.
//!
//! A log is opened for reading; a gateway may write to it meanwhile. Nothing here changes one.

pub(crate) mod args;

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use portcullis_audit::verify::{Demands, Report};
use portcullis_audit::{Keyring, Record, Signer, VerifierKey, bundle, export, parse_time, worm};
use portcullis_model::{Entry, Journal};

use crate::Usage;
use crate::evidence::place::{self, Place};
use crate::stdout::print;
use args::{AuditVerb, Export, Filter, Format, Key, Prove, Search, Verify};

/// What is read at once when everything is.
const AT_ONCE: usize = 4096;

pub(crate) fn run(verb: &AuditVerb) -> anyhow::Result<ExitCode> {
    match verb {
        AuditVerb::Verify(verify) => self::verify(verify),
        AuditVerb::Search(search) => self::search(search),
        AuditVerb::Export(export) => self::export(export),
        AuditVerb::Prove(prove) => self::prove(prove),
        AuditVerb::Key(key) => self::key(key),
    }
}

fn journal(place: &Place) -> anyhow::Result<Arc<dyn Journal>> {
    place::open(place.path.as_deref(), &place.database)
}

fn verify(asked: &Verify) -> anyhow::Result<ExitCode> {
    let mut demands = Demands { witnesses: asked.require_witness, ..Demands::default() };
    for key in &asked.trusted_key {
        demands.keys.extend(keys(key)?);
    }
    for path in &asked.since_checkpoint {
        let read = worm::read(path).with_context(|| path.display().to_string())?;
        if read.is_empty() {
            return Err(Usage(format!("{}: there is no checkpoint", path.display())).into());
        }
        demands.since.extend(read);
    }
    let report = match asked.path.as_deref().filter(|path| !place::is_log(path)) {
        Some(path) => {
            let file = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            bundle::verify(&file, &demands)
        }
        None => {
            let journal = place::open(asked.path.as_deref(), &asked.database)?;
            portcullis_audit::verify::verify(&*journal, &demands)?
        }
    };
    if asked.json {
        print(serde_json::to_string_pretty(&report)?);
    } else {
        tell(&report);
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// A key as it is written, or those of a file.
fn keys(text: &str) -> anyhow::Result<Vec<VerifierKey>> {
    if let Ok(key) = VerifierKey::parse(text) {
        return Ok(vec![key]);
    }
    let lines = std::fs::read_to_string(text)
        .map_err(|error| Usage(format!("{text} is no key, and as a file: {error}")))?;
    let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let parsed = lines.map(|line| {
        VerifierKey::parse(line).map_err(|error| Usage(format!("{text}: {line}: {error}")).into())
    });
    parsed.collect()
}

fn tell(report: &Report) {
    print(format_args!("log          {}", report.origin));
    print(format_args!("events       {} ({} to {})", report.next - report.first, report.first, report.next));
    print(format_args!(
        "checkpoints  {} fit; the last is over {} events",
        report.checkpoints, report.covered
    ));
    if report.witnesses.is_empty() {
        print("witnesses    none");
    } else {
        print(format_args!("witnesses    {}, over {} events", report.witnesses.join(", "), report.witnessed));
    }
    let noted = [
        (report.open_intents, "intents have no outcome"),
        (report.lost, "events were lost, and the log says so"),
        (report.payloads, "payloads are there"),
        (report.payloads_gone, "payloads are gone"),
    ];
    for (count, what) in noted.iter().filter(|(count, _)| *count > 0) {
        print(format_args!("note         {count} {what}"));
    }
    if report.key_from_log {
        print(
            "note         the key was taken from the log: whoever has that key can have written it anew; see --trusted-key",
        );
    }
    for problem in &report.problems {
        let events = problem.events.map(|(from, to)| format!(" [{from}, {to})")).unwrap_or_default();
        let kind = serde_json::to_value(problem.kind).unwrap_or_default();
        print(format_args!("WRONG        {}{events}: {}", kind.as_str().unwrap_or_default(), problem.text));
    }
    if report.more_problems > 0 {
        print(format_args!("WRONG        and {} more", report.more_problems));
    }
    print(if report.is_good() { "whole and unaltered" } else { "NOT whole and unaltered" });
}

fn query(place: &Place, filter: &Filter) -> anyhow::Result<portcullis_model::Search> {
    let time = |text: &Option<String>| match text {
        Some(text) => parse_time(text)
            .map(Some)
            .ok_or_else(|| Usage(format!("{text} is no time like 2026-11-28T20:00:00Z"))),
        None => Ok(None),
    };
    Ok(portcullis_model::Search {
        since: time(&filter.since)?,
        until: time(&filter.until)?,
        person: person(place, filter)?,
        kind: filter.kind.clone(),
        server: filter.server.clone(),
        tool: filter.tool.clone(),
        decision: filter.decision.clone(),
        finding: filter.finding.clone(),
        ..portcullis_model::Search::default()
    })
}

fn person(place: &Place, filter: &Filter) -> anyhow::Result<Option<String>> {
    let Some(who) = &filter.person else { return Ok(None) };
    if who.starts_with("p-") && !who.contains('#') {
        return Ok(Some(who.clone()));
    }
    let (issuer, subject) =
        who.rsplit_once('#').ok_or_else(|| Usage(format!("{who} is neither p-… nor ISSUER#SUBJECT")))?;
    // A file of SQLite lies in the folder.
    let folder =
        place.path.as_deref().map(|path| if path.is_dir() { path } else { path.parent().unwrap_or(path) });
    let beside = folder.map(|folder| folder.join("secret"));
    let file = filter.secret_file.clone().or(beside);
    let file = file.ok_or_else(|| {
        Usage("--person ISSUER#SUBJECT takes the log's secret; see --secret-file".to_owned())
    })?;
    let secret = std::fs::read(&file).with_context(|| format!("{}: see --secret-file", file.display()))?;
    Ok(Some(Keyring::derive(secret.trim_ascii()).pseudonym(issuer, subject)))
}

fn search(asked: &Search) -> anyhow::Result<ExitCode> {
    let query = portcullis_model::Search { newest_first: true, ..query(&asked.place, &asked.filter)? };
    for entry in journal(&asked.place)?.find(&query, asked.limit)? {
        if asked.json {
            print(String::from_utf8_lossy(&entry.record));
        } else {
            print(bundle::line(&Record::parse(&entry.record)?));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn export(asked: &Export) -> anyhow::Result<ExitCode> {
    let format = match asked.format {
        Format::Jsonl => export::Format::Jsonl,
        Format::Ocsf => export::Format::Ocsf,
        Format::Cef => export::Format::Cef,
        Format::Csv => export::Format::Csv,
        Format::Otlp => export::Format::Otlp,
    };
    let (journal, mut query) = (journal(&asked.place)?, query(&asked.place, &asked.filter)?);
    query.from = asked.from;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut written = out.write_all(format.header().as_bytes());
    loop {
        let found = journal.find(&query, AT_ONCE)?;
        for Entry { seq, record, .. } in &found {
            let line = format.write(record).with_context(|| format!("event {seq}"))?;
            written = written.and_then(|()| out.write_all(&line));
        }
        let Some(last) = found.last().filter(|_| written.is_ok()) else { break };
        query.from = Some(last.seq + 1);
    }
    match written.and_then(|()| out.flush()) {
        // Whoever reads has heard enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        done => Ok(done.map(|()| ExitCode::SUCCESS)?),
    }
}

fn prove(asked: &Prove) -> anyhow::Result<ExitCode> {
    let journal = journal(&asked.place)?;
    let found = journal.find(&query(&asked.place, &asked.filter)?, asked.limit)?;
    let packed = match bundle::pack(&*journal, &found) {
        Ok(packed) => packed,
        Err(
            error @ (bundle::Unproved::Nothing
            | bundle::Unproved::NoCheckpoint(_)
            | bundle::Unproved::Altered(_)),
        ) => {
            eprintln!("{error}");
            return Ok(ExitCode::from(1));
        }
        Err(error) => return Err(error.into()),
    };
    match &asked.out {
        Some(file) => {
            std::fs::write(file, packed).with_context(|| file.display().to_string())?;
            eprintln!("{} events in {}", found.len(), file.display());
        }
        None => print(packed.trim_end()),
    }
    Ok(ExitCode::SUCCESS)
}

fn key(asked: &Key) -> anyhow::Result<ExitCode> {
    let signer = match std::fs::read_to_string(&asked.file) {
        Ok(secret) => {
            Signer::parse(&secret).map_err(|error| Usage(format!("{}: {error}", asked.file.display())))?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let signer =
                Signer::generate(&asked.name).map_err(|error| Usage(format!("{}: {error}", asked.name)))?;
            let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&asked.file);
            made.and_then(|mut file| writeln!(file, "{}", signer.to_secret()))
                .with_context(|| asked.file.display().to_string())?;
            signer
        }
        Err(error) => return Err(error).with_context(|| asked.file.display().to_string()),
    };
    if signer.name() != asked.name {
        let message = format!("{} is the key of {}", asked.file.display(), signer.name());
        return Err(Usage(message).into());
    }
    print(if asked.witness { signer.witness_key() } else { signer.log_key() });
    Ok(ExitCode::SUCCESS)
}
