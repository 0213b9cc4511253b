//! `portcullis approval list | grant | deny`: calls that wait for somebody.

use std::process::ExitCode;

use anyhow::Context as _;
use portcullis_oversight::{Approval, visible};
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

fn list(kept: &Kept) -> anyhow::Result<ExitCode> {
    let (all, key) = ask(&kept.config, async |records, settings| {
        Ok((Approval::all(&*records).await.context("`store`")?, vault_key::find(settings)?))
    })?;
    let key = key.as_ref();
    if kept.json {
        let all: Vec<_> = all.iter().map(|approval| told(approval, key)).collect();
        print(format_args!("{:#}", json!({ "approvals": all })));
        return Ok(ExitCode::SUCCESS);
    }
    for approval in &all {
        let state = match &approval.ruling {
            None => "waits".to_owned(),
            Some(ruling) if ruling.approved => format!("granted by {}", ruling.by),
            Some(ruling) => format!("denied by {}", ruling.by),
        };
        print(format_args!("{:.16}  {}/{}  {state}", approval.id, approval.server, visible(&approval.name)));
        print(format_args!("  for {}, until {}", approval.principal, moment(approval.until)));
        print(format_args!("  because {}", approval.why.join("; ")));
        print(format_args!("  with {}", visible(&approval.arguments(key))));
    }
    if all.is_empty() {
        print("no call waits");
    }
    Ok(ExitCode::SUCCESS)
}

fn told(approval: &Approval, key: Option<&[u8; 32]>) -> Value {
    json!({
        "id": approval.id,
        "principal": approval.principal,
        "server": approval.server,
        "name": approval.name,
        "why": approval.why,
        "arguments": approval.arguments(key),
        "at": moment(approval.at),
        "until": moment(approval.until),
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
        let ruled = Approval::rule(&*records, (&approval.id, None), approve, &by).await.context("`store`")?;
        let key = vault_key::find(settings)?;
        Ok(ruled.map(|ruled| told(&ruled, key.as_ref())))
    })?;
    let word = if approve { "granted" } else { "denied" };
    match (&ruled, ruling.kept.json) {
        (Some(told), true) => print(format_args!("{told:#}")),
        (Some(told), false) => print(format_args!(
            "{word}: {}/{} with {}",
            told["server"].as_str().unwrap_or_default(),
            visible(told["name"].as_str().unwrap_or_default()),
            visible(told["arguments"].as_str().unwrap_or_default()),
        )),
        (None, true) => print(json!(null)),
        (None, false) => print("no such call waits"),
    }
    Ok(if ruled.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
