//! `portcullis definitions list | show | approve | reject`.

use std::process::ExitCode;

use anyhow::Context as _;
use portcullis_oversight::{Entry, Pin, Register, Ruled, difference, server_of, visible};
use serde_json::{Value, json};

use super::{ask, change, moment};
use crate::Usage;
use crate::args::{DefinitionsVerb, Kept, Ruling};
use crate::stdout::print;

pub(crate) fn run(verb: &DefinitionsVerb) -> anyhow::Result<ExitCode> {
    match verb {
        DefinitionsVerb::List { held, kept } => list(*held, kept),
        DefinitionsVerb::Show { what, kept } => show(what, kept),
        DefinitionsVerb::Approve(ruling) => rule(ruling, true),
        DefinitionsVerb::Reject(ruling) => rule(ruling, false),
    }
}

fn entries(kept: &Kept) -> anyhow::Result<Vec<Entry>> {
    ask(&kept.config, async |records, _| Register::entries(&*records).await.context("`store`"))
}

fn list(only_held: bool, kept: &Kept) -> anyhow::Result<ExitCode> {
    let entries = entries(kept)?;
    let shown = || entries.iter().filter(|entry| !only_held || entry.held.is_some());
    let held = entries.iter().filter(|entry| entry.held.is_some()).count();
    if kept.json {
        print(format_args!(
            "{:#}",
            json!({"held": held, "definitions": shown().map(told).collect::<Vec<_>>()})
        ));
    } else {
        for entry in shown() {
            let state = match (&entry.held, entry.trusted.last()) {
                (Some(held), _) if held.rejected_by.is_some() => format!("rejected  {}", why(entry)),
                (Some(_), _) => format!("held      {}", why(entry)),
                (None, Some(trusted)) => format!("trusted   {}, {}", trusted.by, moment(trusted.at)),
                (None, None) => "unknown".to_owned(),
            };
            print(format_args!("{:<12}  {:<40}  {state}", entry.kind, place(entry)));
        }
        if entries.is_empty() {
            print("nothing has been listed yet");
        }
    }
    Ok(if held == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn place(entry: &Entry) -> String {
    format!("{}/{}", entry.server, visible(&entry.name))
}

fn why(entry: &Entry) -> String {
    let reasons = entry.held.iter().flat_map(|held| &held.reasons);
    reasons.map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// An entry, for programs.
fn told(entry: &Entry) -> Value {
    let held = entry.held.as_ref().map(|held| {
        json!({
            "pin": held.pin,
            "since": moment(held.at),
            "reasons": held.reasons,
            "why": why(entry),
            "rejected_by": held.rejected_by,
            "difference": difference(entry.text.as_deref(), &held.text),
        })
    });
    let trusted = entry.trusted.iter().map(|it| json!({"pin": it.pin, "by": it.by, "at": moment(it.at)}));
    json!({
        "server": entry.server,
        "kind": entry.kind,
        "name": entry.name,
        "trusted": trusted.collect::<Vec<_>>(),
        "held": held,
    })
}

/// What somebody means by `SERVER` or `SERVER/NAME`: of all that there is, what is held back comes first.
fn meant<'a>(entries: &'a [Entry], what: &str) -> anyhow::Result<Vec<&'a Entry>> {
    // By its name alone, a server is all of its versions.
    let is_of = |entry: &Entry, whose: &str| entry.server == whose || server_of(&entry.server) == whose;
    let fits = |entry: &&Entry| match what.split_once('/') {
        Some((whose, name)) => is_of(entry, whose) && (entry.name == name || visible(&entry.name) == name),
        None => is_of(entry, what),
    };
    let found: Vec<_> = entries.iter().filter(fits).collect();
    if found.is_empty() {
        return Err(Usage(format!(
            "nothing is known of `{what}`; `portcullis definitions list` says what is"
        ))
        .into());
    }
    Ok(found)
}

fn show(what: &str, kept: &Kept) -> anyhow::Result<ExitCode> {
    let entries = entries(kept)?;
    let found = meant(&entries, what)?;
    if kept.json {
        print(format_args!("{:#}", json!(found.iter().map(|entry| told(entry)).collect::<Vec<_>>())));
        return Ok(ExitCode::SUCCESS);
    }
    for entry in found {
        print(format_args!("{} {}", entry.kind, place(entry)));
        for trusted in &entry.trusted {
            print(format_args!("  trusted {} by {}, {}", trusted.pin, trusted.by, moment(trusted.at)));
        }
        if let Some(held) = &entry.held {
            print(format_args!("  held    {} since {}: {}", held.pin, moment(held.at), why(entry)));
            if let Some(by) = &held.rejected_by {
                print(format_args!("  rejected by {by}"));
            }
            for line in difference(entry.text.as_deref(), &held.text).lines() {
                print(format_args!("    {line}"));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn rule(ruling: &Ruling, approve: bool) -> anyhow::Result<ExitCode> {
    let pin = ruling.pin.as_deref().map(str::parse::<Pin>).transpose();
    let pin = pin.map_err(|wrong| Usage(format!("--pin: {wrong}")))?;
    let by = format!("cli:{}", ruling.decider.by);
    let done = change(&ruling.kept.config, async |records, _| {
        let entries = Register::entries(&*records).await.context("`store`")?;
        let mut done = Vec::new();
        for entry in meant(&entries, &ruling.what)? {
            let Some(held) = entry.held.as_ref().filter(|held| pin.is_none_or(|pin| held.pin == pin)) else {
                continue;
            };
            let place = (entry.server.as_str(), entry.kind, entry.name.as_str());
            let ruled = Register::rule(&*records, place, held.pin, approve, &by).await.context("`store`")?;
            if ruled == Ruled::Done {
                done.push(entry.clone());
            }
        }
        Ok(done)
    })?;
    let word = if approve { "approved" } else { "rejected" };
    if ruling.kept.json {
        print(format_args!("{:#}", json!({ word: done.iter().map(told).collect::<Vec<_>>() })));
    } else {
        for entry in &done {
            print(format_args!("{word}: {} {}", entry.kind, place(entry)));
        }
        if done.is_empty() {
            print("nothing of that is held back");
        }
    }
    Ok(if done.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
