//! `portcullis approval list | grant | deny`: calls that wait for somebody.

use std::process::ExitCode;

use anyhow::Context as _;
use portcullis_config::Settings;
use portcullis_model::Records;
use portcullis_oversight::{Approval, Matter, Voted, visible};
use serde_json::{Value, json};

use super::{ask, change, moment};
use crate::Usage;
use crate::args::{ApprovalRuling, ApprovalVerb, Kept};
use crate::stdout::print;
use crate::vault_key;

/// So much of an id has to be given.
const LEAST: usize = 8;

pub(crate) fn run(verb: &ApprovalVerb) -> anyhow::Result<ExitCode> {
    match verb {
        ApprovalVerb::List { kept } => list(kept),
        ApprovalVerb::Grant(ruling) => rule(ruling, true),
        ApprovalVerb::Deny(ruling) => rule(ruling, false),
    }
}

/// An approval with its arguments, for whoever decides.
type Shown = (Approval, String);

async fn shown(records: &dyn Records, approval: Approval, settings: &Settings) -> anyhow::Result<Shown> {
    let key = vault_key::find(settings)?;
    let arguments = approval.arguments(records, key.as_ref()).await.context("`store`")?;
    Ok((approval, arguments))
}

fn list(kept: &Kept) -> anyhow::Result<ExitCode> {
    let all = ask(&kept.config, async |records, settings| {
        let mut all = Vec::new();
        for approval in Approval::all(&*records).await.context("`store`")? {
            all.push(shown(&*records, approval, settings).await?);
        }
        Ok(all)
    })?;
    if kept.json {
        let all: Vec<_> = all.iter().map(told).collect();
        print(format_args!("{:#}", json!({ "approvals": all })));
        return Ok(ExitCode::SUCCESS);
    }
    for (approval, arguments) in &all {
        let by = approval.deciders().join(", ");
        let state = match &approval.ruling {
            None if by.is_empty() => "waits".to_owned(),
            None => format!("waits; granted by {by}, and {} have to", approval.needed),
            Some(ruling) if ruling.approved => format!("granted by {by}"),
            Some(_) => format!("denied by {by}"),
        };
        let what = if approval.matter == Matter::Result { "result of " } else { "" };
        print(format_args!("{:.16}  {what}{}  {state}", approval.id, place(approval)));
        print(format_args!("  for {}, until {}", approval.principal, moment(approval.until)));
        print(format_args!("  because {}", approval.why.join("; ")));
        print(format_args!("  with {}", visible(arguments)));
    }
    if all.is_empty() {
        print("no call waits");
    }
    Ok(ExitCode::SUCCESS)
}

fn place(approval: &Approval) -> String {
    format!("{}/{}", approval.server, visible(&approval.name))
}

fn told((approval, arguments): &Shown) -> Value {
    json!({
        "id": approval.id,
        "principal": approval.principal,
        "server": approval.server,
        "name": approval.name,
        "matter": approval.matter,
        "why": approval.why,
        "arguments": arguments,
        "at": moment(approval.at),
        "until": moment(approval.until),
        "needed": approval.needed,
        "votes": approval.votes,
        "ruling": approval.ruling,
    })
}

fn rule(ruling: &ApprovalRuling, approve: bool) -> anyhow::Result<ExitCode> {
    if ruling.id.len() < LEAST {
        return Err(Usage(format!("give at least {LEAST} characters of the id")).into());
    }
    let by = format!("cli:{}", ruling.decider.by);
    let ruled = change(&ruling.kept.config, async |records, settings| {
        let all = Approval::all(&*records).await.context("`store`")?;
        let mut found = all.iter().filter(|approval| approval.id.starts_with(&ruling.id));
        let Some(approval) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(Usage(format!("`{}` is the beginning of several ids", ruling.id)).into());
        }
        let voted = Approval::rule(&*records, (&approval.id, None), approve, &by).await.context("`store`")?;
        let (approval, counted) = match voted {
            Voted::Counted(approval) => (approval, true),
            Voted::Again(approval) => (approval, false),
            Voted::Nothing => return Ok(None),
        };
        Ok(Some((shown(&*records, approval, settings).await?, counted)))
    })?;
    if ruling.kept.json {
        print(format_args!("{:#}", json!(ruled.as_ref().map(|(ruled, _)| told(ruled)))));
    } else {
        print(ruled.as_ref().map_or_else(|| "no such call waits".to_owned(), |ruled| said(ruled, approve)));
    }
    let counted = ruled.is_some_and(|(_, counted)| counted);
    Ok(if counted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn said(((approval, arguments), counted): &(Shown, bool), approve: bool) -> String {
    let (have, needed) = (approval.deciders().len(), approval.needed);
    if !counted {
        return format!("you have approved already, and {needed} have to: somebody else has to approve, too");
    }
    let word = if approve { "granted" } else { "denied" };
    let what = if approval.matter == Matter::Result { "the result of " } else { "" };
    let more = match &approval.ruling {
        Some(_) => String::new(),
        None => format!("; {have} of {needed} have approved"),
    };
    format!("{word}: {what}{} with {}{more}", place(approval), visible(arguments))
}
