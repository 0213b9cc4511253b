//! `portcullis halt set | lift | list`: the kill switch.

use std::process::ExitCode;

use anyhow::Context as _;
use portcullis_oversight::{Halt, Halts, Target, now_ms};
use serde_json::json;

use super::{ask, change, moment};
use crate::Usage;
use crate::args::{HaltVerb, Kept};
use crate::stdout::print;

pub(crate) fn run(verb: &HaltVerb) -> anyhow::Result<ExitCode> {
    match verb {
        HaltVerb::Set { what, reason, test, kept, decider } => {
            let (target, by) = (target(what)?, format!("cli:{}", decider.by));
            let halt = Halt { target, reason: reason.clone(), by, at: now_ms(), test: *test };
            change(&kept.config, async |records, _| halt.set(&*records).await.context("`store`"))?;
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
