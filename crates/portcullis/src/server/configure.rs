//! `portcullis server configure`: how a version is reached, beside what its `server.json` says: the inputs that it takes, and the
//! walls around it. A version is scanned as it will be started, so it is scanned again afterwards.

use std::process::ExitCode;

use anyhow::Context as _;
use portcullis_hub::registry::{Inputs, Registry, launch};
use serde_json::{Value, json};

use super::add::{flawed, preview};
use super::args::{Configure, Way};
use super::{brief, by, meant, now, openapi};
use crate::Usage;
use crate::approved::would_be_one;
use crate::oversight::change;
use crate::stdout::print;

pub(super) fn run(configure: &Configure) -> anyhow::Result<ExitCode> {
    let inputs = inputs(&configure.way)?;
    let entry = change(&configure.kept.config, async |records, settings| {
        let registry = Registry::new(records);
        let mut shelved = meant(&registry, &configure.what, &super::scan::STAGES).await?;
        let entry = &mut shelved.entry;
        let document = super::import::admitted(entry, settings)?;
        let offers_nothing = document.packages().is_empty() && document.remotes().is_empty();
        let mut reached = if offers_nothing {
            // Nobody published it: it is reached as whoever added it said.
            let mut reached = entry.launch.clone();
            reached.as_object_mut().map(|members| members.remove("sandbox"));
            give(&mut reached, &inputs);
            reached
        } else {
            launch(&document, &inputs).map_err(|flaws| flawed(&flaws))?
        };
        if let Some(base_url) = &configure.way.base_url {
            let Some(api) = reached.get_mut("openapi") else {
                return Err(Usage("--base-url is for what an OpenAPI document describes".to_owned()).into());
            };
            api["base_url"] = Value::from(base_url.as_str());
        }
        tell(&configure.way, &mut reached, !offers_nothing)?;
        walled_in(&configure.way, &mut reached);
        would_be_one(&entry.slug, &reached).map_err(Usage)?;
        if let Err(refused) = entry.reach(reached, &by(&configure.decider.by), now()) {
            eprintln!("{refused}");
            return Ok(None);
        }
        if !registry.change(&shelved).await.context("`store`")? {
            anyhow::bail!("somebody else changed it meanwhile; look at it and try again");
        }
        Ok(Some(shelved.entry))
    })?;
    let Some(entry) = entry else { return Ok(ExitCode::FAILURE) };
    if configure.kept.json {
        print(format_args!("{:#}", brief(&entry, None)));
    } else {
        preview(&entry);
        print(format_args!("next: portcullis server scan {}@{}", entry.slug, entry.version()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds what the operator gives to an entry that takes it as it comes.
pub(super) fn give(launch: &mut Value, inputs: &Inputs) {
    if launch.get("openapi").is_some() {
        for (name, value) in inputs {
            let value = value.as_str().map_or_else(|| value.clone(), literal);
            openapi::give(launch, name, value);
        }
        return;
    }
    let key = if launch.get("url").is_some() { "headers" } else { "env" };
    if let (false, Some(members)) = (inputs.is_empty(), launch.as_object_mut()) {
        let given = members.entry(key).or_insert_with(|| json!({}));
        if let Some(given) = given.as_object_mut() {
            given.extend(
                inputs.iter().map(|(name, value)| {
                    (name.clone(), value.as_str().map_or_else(|| value.clone(), literal))
                }),
            );
        }
    }
}

/// Gives a program the arguments that were named, in place of those that it had; what its `server.json` gives it stays.
pub(super) fn tell(way: &Way, launch: &mut Value, has_own: bool) -> anyhow::Result<()> {
    if way.args.is_empty() {
        return Ok(());
    }
    let starter = launch.get("command").and_then(Value::as_str).map(str::to_owned);
    let args = launch.get_mut("args").and_then(Value::as_array_mut);
    let (Some(starter), Some(args)) = (starter, args) else {
        return Err(Usage("--arg is for a package, which is started here".to_owned()).into());
    };
    if !has_own {
        let begins: usize = match (starter.as_str(), args.first().and_then(Value::as_str)) {
            ("npx", Some("-y")) => 2,
            ("uvx", _) => 1,
            _ => 0,
        };
        let package = begins.checked_sub(1).and_then(|at| args.get(at)?.as_str());
        if package.is_none_or(|package| package.starts_with('-')) {
            let message = "where its arguments begin cannot be told; --arg is for npm:… and pypi:…, and a command in quotes \
                           has its arguments with it";
            return Err(Usage(message.to_owned()).into());
        }
        args.truncate(begins);
    }
    args.extend(way.args.iter().map(|arg| literal(arg)));
    Ok(())
}

/// A text of the configuration that stands for itself.
fn literal(text: &str) -> Value {
    Value::String(text.replace("${", "$${"))
}

/// What the operator gives, by name.
pub(super) fn inputs(way: &Way) -> anyhow::Result<Inputs> {
    let mut inputs = Inputs::new();
    let pair = |text: &str, flag: &str| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Usage(format!("{flag} takes NAME=…, not `{text}`"))),
    };
    for text in &way.inputs {
        let (name, value) = pair(text, "--set")?;
        inputs.insert(name, Value::String(value));
    }
    for text in &way.secrets {
        let (name, variable) = pair(text, "--secret")?;
        inputs.insert(name, json!({ "env": variable }));
    }
    Ok(inputs)
}

/// A program that nobody here wrote runs in a sandbox, unless that was said otherwise.
pub(super) fn walled_in(way: &Way, launch: &mut Value) {
    let Some(members) = launch.as_object_mut().filter(|it| it.contains_key("command") && !way.no_sandbox)
    else {
        return;
    };
    let paths = |paths: &[std::path::PathBuf]| -> Vec<String> {
        paths
            .iter()
            .map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string())
            .collect()
    };
    let mut sandbox = json!({ "read": paths(&way.read), "write": paths(&way.write) });
    if let Some(sandbox) = sandbox.as_object_mut() {
        if way.ports.is_empty() {
            sandbox.insert("network".to_owned(), "any".into());
        } else {
            sandbox.insert("ports".to_owned(), json!(way.ports));
        }
    }
    members.entry("sandbox").or_insert(sandbox);
}
