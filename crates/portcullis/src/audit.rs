//! `portcullis audit …`: the evidence log, read without a gateway and without a network.
//!
//! A log is opened for reading; a gateway may write to it meanwhile. What changes one is `keeping`, for which no gateway may run.

pub(crate) mod args;
mod keeping;

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use portcullis_audit::timestamp::Authorities;
use portcullis_audit::verify::{Demands, Report};
use portcullis_audit::{Keyring, Record, Signer, VerifierKey, bundle, export, pack, parse_time, worm};
use portcullis_model::{Entry, Journal};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::Usage;
use crate::evidence::place::{self, Place};
use crate::stdout::print;
use args::{AuditVerb, Export, Filter, Format, Key, Pack, Prove, Search, Trust, Verify};

/// What is read at once when everything is.
const AT_ONCE: usize = 4096;

pub(crate) fn run(verb: &AuditVerb) -> anyhow::Result<ExitCode> {
    match verb {
        AuditVerb::Verify(verify) => self::verify(verify),
        AuditVerb::Search(search) => self::search(search),
        AuditVerb::Export(export) => self::export(export),
        AuditVerb::Prove(prove) => self::prove(prove),
        AuditVerb::Pack(asked) => pack(asked),
        AuditVerb::Erase(asked) => keeping::erase(asked),
        AuditVerb::Hold(verb) => keeping::hold(verb),
        AuditVerb::Prune(asked) => keeping::prune(&asked.changed),
        AuditVerb::Rotate(asked) => keeping::rotate(asked),
        AuditVerb::Key(key) => self::key(key),
    }
}

fn journal(place: &Place) -> anyhow::Result<Arc<dyn Journal>> {
    place::open(place.path.as_deref(), &place.database)
}

fn demands(asked: &Trust) -> anyhow::Result<Demands> {
    let mut demands = Demands { witnesses: asked.require_witness, ..Demands::default() };
    for key in &asked.trusted_key {
        demands.keys.extend(keys(key)?);
    }
    demands.authorities = asked.tsa_ca.as_deref().map(authorities).transpose()?;
    for path in &asked.since_checkpoint {
        let read = worm::read(path).with_context(|| path.display().to_string())?;
        if read.is_empty() {
            return Err(Usage(format!("{}: there is no checkpoint", path.display())).into());
        }
        demands.since.extend(read);
    }
    Ok(demands)
}

fn verify(asked: &Verify) -> anyhow::Result<ExitCode> {
    let demands = demands(&asked.trust)?;
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

/// The authorities of time of a PEM file.
fn authorities(file: &Path) -> anyhow::Result<Arc<Authorities>> {
    let wrong = |why: String| Usage(format!("--tsa-ca {}: {why}", file.display()));
    let read = CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))?;
    let certificates = read.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(error.to_string()))?;
    if certificates.is_empty() {
        return Err(wrong("there is no certificate".to_owned()).into());
    }
    Ok(Arc::new(Authorities::new(&certificates).map_err(|error| wrong(error.to_string()))?))
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
    for line in counts(report) {
        print(line);
    }
    if report.witnesses.is_empty() {
        print("witnesses    none");
    } else {
        print(format_args!("witnesses    {}, over {} events", report.witnesses.join(", "), report.witnessed));
    }
    if let Some((size, time)) = report.stamped {
        let time = portcullis_model::date_time(std::time::Duration::from_secs(time));
        let whose = if report.stamped_by_anybody { "; by whom was not asked, see --tsa-ca" } else { "" };
        print(format_args!("time stamp   {time}Z, over {size} events{whose}"));
    }
    let noted = [
        (report.open_intents, "intents have no outcome"),
        (report.lost, "events were lost, and the log says so"),
        (report.payloads, "payloads are there"),
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

/// Which events there are, and how far checkpoints are over them. Events are counted from 0, and both ends are there.
fn counts(report: &Report) -> [String; 2] {
    let (first, last) = (report.first, report.next.saturating_sub(1));
    let count = report.next.saturating_sub(report.first);
    let events = match report.proved {
        _ if count == 0 => "none".to_owned(),
        Some(proved) => format!("{proved}, of {first} to {last}"),
        None => format!("{count} ({first} to {last})"),
    };
    let checkpoints = if report.covered == 0 && count > 0 {
        format!("nothing is under a checkpoint yet; events {first} to {last} are only chained")
    } else {
        format!("{} fit; the last is over {} events", report.checkpoints, report.covered)
    };
    [format!("events       {events}"), format!("checkpoints  {checkpoints}")]
}

fn query(place: &Place, filter: &Filter) -> anyhow::Result<portcullis_model::Search> {
    let (mut server, mut tool) = (filter.server.clone(), filter.tool.clone());
    // As a search prints it. A tool with a `/` in its own name is named beside its server.
    if let (None, Some((of, name))) = (&server, tool.as_deref().and_then(|tool| tool.split_once('/'))) {
        (server, tool) = (Some(of.to_owned()), Some(name.to_owned()));
    }
    Ok(portcullis_model::Search {
        since: time(filter.since.as_ref())?,
        until: time(filter.until.as_ref())?,
        person: person(place, filter)?,
        kind: filter.kind.clone(),
        server,
        tool,
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
    let beside = place.folder().map(|folder| folder.join("secret"));
    let file = filter.secret_file.clone().or(beside);
    let file = file.ok_or_else(|| {
        Usage("--person ISSUER#SUBJECT takes the log's secret; see --secret-file".to_owned())
    })?;
    let secret = std::fs::read(&file).with_context(|| format!("{}: see --secret-file", file.display()))?;
    let person = Keyring::derive(secret.trim_ascii()).person(who);
    Ok(Some(person.ok_or_else(|| no_person(who))?))
}

fn no_person(who: &str) -> Usage {
    Usage(format!("{who} is neither a pseudonym (p-…) nor ISSUER#SUBJECT"))
}

fn time(text: Option<&String>) -> anyhow::Result<Option<i64>> {
    let parse = |text: &String| {
        parse_time(text).ok_or_else(|| Usage(format!("{text} is no time like 2026-11-28T20:00:00Z")))
    };
    Ok(text.map(parse).transpose()?)
}

fn search(asked: &Search) -> anyhow::Result<ExitCode> {
    let query = portcullis_model::Search { newest_first: true, ..query(&asked.place, &asked.filter)? };
    let found = journal(&asked.place)?.find(&query, asked.limit)?;
    if found.is_empty() {
        eprintln!("no event was found");
    }
    for entry in found {
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

/// Packs also what is not whole: the pack says so, and the exit code does.
fn pack(asked: &Pack) -> anyhow::Result<ExitCode> {
    let (demands, journal) = (demands(&asked.trust)?, journal(&asked.place)?);
    let since = time(asked.from.as_ref())?.unwrap_or(0);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
    let until = time(asked.to.as_ref())?.unwrap_or(i64::try_from(now).unwrap_or(i64::MAX));
    if since >= until {
        return Err(Usage("--from has to be before --to".to_owned()).into());
    }
    let (mut pack, proved) = pack::collect(&*journal, since, until)?;
    let report = portcullis_audit::verify::verify(&*journal, &demands)?;
    let good = report.is_good();
    pack.verification = Some(report);
    let proof = match bundle::pack(&*journal, &proved) {
        Ok(proof) => Some(proof),
        // There was nothing to list.
        Err(bundle::Unproved::Nothing) => None,
        Err(error) => {
            eprintln!("{error}");
            return Ok(ExitCode::from(1));
        }
    };
    std::fs::create_dir_all(&asked.out).with_context(|| asked.out.display().to_string())?;
    let json = serde_json::to_string_pretty(&pack)?;
    let files = [("report.md", Some(pack.to_markdown())), ("pack.json", Some(json)), ("proof.txt", proof)];
    for (name, text) in files {
        if let Some(text) = text {
            let file = asked.out.join(name);
            std::fs::write(&file, text).with_context(|| file.display().to_string())?;
        }
    }
    eprintln!(
        "{} events, {} of them listed and proved, in {}",
        pack.events,
        proved.len(),
        asked.out.display()
    );
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn key(asked: &Key) -> anyhow::Result<ExitCode> {
    let signer = match std::fs::read_to_string(&asked.file) {
        Ok(secret) => {
            Signer::parse(&secret).map_err(|error| Usage(format!("{}: {error}", asked.file.display())))?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = asked.name.as_deref().ok_or_else(|| {
                let file = asked.file.display();
                Usage(format!("there is no {file} yet: say the NAME of the key that is to be made, as gw.example.com/audit/one"))
            })?;
            let signer = Signer::generate(name).map_err(|error| Usage(format!("{name}: {error}")))?;
            let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&asked.file);
            made.and_then(|mut file| writeln!(file, "{}", signer.to_secret()))
                .with_context(|| asked.file.display().to_string())?;
            signer
        }
        Err(error) => return Err(error).with_context(|| asked.file.display().to_string()),
    };
    if let Some(name) = asked.name.as_deref().filter(|name| *name != signer.name()) {
        let (file, own) = (asked.file.display(), signer.name());
        let message =
            format!("{file} is the key of {own}, not of {name}; leave the name out to print what it is");
        return Err(Usage(message).into());
    }
    print(if asked.witness { signer.witness_key() } else { signer.log_key() });
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_event_is_named_and_what_no_checkpoint_is_over_is_said() {
        let log = Report { next: 50, checkpoints: 3, covered: 48, ..Report::default() };
        assert_eq!(
            counts(&log),
            ["events       50 (0 to 49)", "checkpoints  3 fit; the last is over 48 events"]
        );
        let proof =
            Report { first: 12, next: 56, proved: Some(5), checkpoints: 1, covered: 60, ..log.clone() };
        assert_eq!(counts(&proof)[0], "events       5, of 12 to 55");
        let chained = Report { checkpoints: 0, covered: 0, ..log };
        assert_eq!(
            counts(&chained)[1],
            "checkpoints  nothing is under a checkpoint yet; events 0 to 49 are only chained"
        );
        assert_eq!(counts(&Report::default())[0], "events       none");
    }
}
