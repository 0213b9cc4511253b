//! `portcullis halt set | lift | list`: the kill switch.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use portcullis_config::{DefinitionsMode, Settings};
use portcullis_hub::registry::Registry;
use portcullis_model::{Records, matches_pattern};
use portcullis_oversight::{Halt, Halts, Register, Target, is_principal, now_ms, server_of, visible_line};
use serde_json::json;

use super::{ask, change, moment};
use crate::Usage;
use crate::approved::HUB;
use crate::args::{HaltVerb, Kept};
use crate::stdout::print;

pub(crate) fn run(verb: &HaltVerb) -> anyhow::Result<ExitCode> {
    match verb {
        HaltVerb::Set { what, reason, test, kept, decider } => {
            let (target, by) = (target(what)?, format!("cli:{}", decider.by));
            let halt = Halt { target, reason: reason.clone(), by, at: now_ms(), test: *test };
            let doubt = change(&kept.config, async |records, settings| {
                halt.set(&*records).await.context("`store`")?;
                // In an incident nothing is in the way of it; that it may stop nothing is said afterwards.
                doubts(&halt.target, records, settings).await
            })?;
            if let Some(doubt) = &doubt {
                eprintln!("warning: {}", visible_line(doubt));
            }
            say(kept, "halted", &halt.target, true);
            Ok(ExitCode::SUCCESS)
        }
        HaltVerb::Lift { what, kept, decider } => {
            let (target, by) = (target(what)?, format!("cli:{}", decider.by));
            let lifted = change(&kept.config, async |records, _| {
                Halt::lift(&*records, &target, &by).await.context("`store`")
            })?;
            say(kept, "lifted", &target, lifted);
            Ok(if lifted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        HaltVerb::List { kept } => list(kept),
    }
}

/// Why a halt may stop nothing: what it names is not known.
async fn doubts(
    target: &Target,
    records: Arc<dyn Records>,
    settings: &Settings,
) -> anyhow::Result<Option<String>> {
    let (server, tool) = match target {
        Target::All => return Ok(None),
        Target::Principal(id) => return Ok(doubt_of_caller(id, settings)),
        Target::Server(server) => (server, None),
        Target::Tool(server, tool) => (server, Some(tool)),
    };
    let mut known: BTreeSet<String> = settings.servers.keys().map(ToString::to_string).collect();
    let registered = Registry::new(records.clone()).all().await.context("`store`")?;
    known.extend(registered.into_iter().map(|shelved| shelved.entry.slug));
    if !known.contains(server) && server != HUB {
        return Ok(Some(format!(
            "neither the configuration nor the registry has a server `{server}`, so this stops nothing; there are {}",
            listed(&known)
        )));
    }
    let Some(tool) = tool.filter(|_| settings.definitions != DefinitionsMode::Off && server != HUB) else {
        return Ok(None);
    };
    let definitions = Register::entries(&*records).await.context("`store`")?;
    let names: BTreeSet<_> =
        definitions.into_iter().filter(|it| server_of(&it.server) == server).map(|it| it.name).collect();
    let fits = names.iter().any(|name| matches_pattern(tool, name));
    Ok((!fits).then(|| {
        format!(
            "`{server}` has listed nothing so far that `{tool}` fits, so this may stop nothing; it has listed {}",
            listed(&names)
        )
    }))
}

fn doubt_of_caller(id: &str, settings: &Settings) -> Option<String> {
    let keys = settings.identity.keys.as_ref();
    let has = |name: &str| keys.is_some_and(|keys| keys.keys.contains_key(name));
    if !is_principal(id) {
        let meant = if has(id) { format!("; did you mean `principal:key:{id}`?") } else { String::new() };
        return Some(format!(
            "no caller is called `{id}`, so this stops nobody: callers are `anonymous`, `user:ISSUER#SUBJECT`, `key:NAME`, \
             `cert:SHA256` and `spiffe://…`{meant}"
        ));
    }
    let name = id.strip_prefix("key:")?;
    let Some(keys) = keys else {
        return Some(format!("the configuration has no `identity.keys`, so nobody is `{id}`"));
    };
    let names = keys.keys.keys().cloned().collect();
    (!has(name)).then(|| {
        format!(
            "{} has no key `{name}`, so this stops nobody; there are {}",
            keys.file.display(),
            listed(&names)
        )
    })
}

/// Names, as many as somebody reads.
fn listed(names: &BTreeSet<String>) -> String {
    const SHOWN: usize = 12;
    if names.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<_> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = names.len() - shown.len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", shown.join(", "))
}

fn target(what: &str) -> anyhow::Result<Target> {
    what.parse().map_err(|wrong| Usage(wrong).into())
}

fn say(kept: &Kept, word: &str, target: &Target, done: bool) {
    if kept.json {
        print(format_args!("{:#}", json!({ word: done, "what": target })));
    } else if done {
        print(format_args!("{word}: {target}"));
    } else {
        print(format_args!("{target} is not halted by command"));
    }
}

fn list(kept: &Kept) -> anyhow::Result<ExitCode> {
    let (halts, configured) = ask(&kept.config, async |records, settings| {
        Ok((Halts::load(&*records).await.context("`store`")?, portcullis_gateway::halts(settings)))
    })?;
    let all: Vec<_> = configured.0.iter().chain(&halts.0).collect();
    if kept.json {
        print(format_args!("{:#}", json!({ "halts": all })));
    } else {
        for halt in &all {
            let since = if halt.at == 0 { String::new() } else { format!(", {}", moment(halt.at)) };
            let reason = halt.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            print(format_args!("{}  by {}{since}{reason}", halt.target, halt.by));
        }
        if all.is_empty() {
            print("nothing is halted");
        }
    }
    Ok(if all.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
