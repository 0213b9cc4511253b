//! `portcullis policy …` and `portcullis explain`: policies tried without a gateway and without a server.

mod history;
mod question;
pub(crate) mod recorder;
pub(crate) mod versions;

use std::path::Path;
use std::process::ExitCode;

use portcullis_config::{Expected, Overrides, ProcessEnvironment, Settings};
use portcullis_policy::{Policies, Reason, Verdict};
use serde_json::{Value, json};

use crate::Usage;
use crate::args::{Explain, PolicyVerb};
use crate::config::load;
use crate::stdout::print;
pub(crate) use history::with_store;
use question::Question;

pub(crate) fn run(verb: &PolicyVerb) -> anyhow::Result<ExitCode> {
    match verb {
        PolicyVerb::Test { file, config, json } => test(file, config.as_deref(), *json),
        PolicyVerb::Explain(asked) => explain(asked),
        PolicyVerb::History { config, json } => history::history(config, *json),
        PolicyVerb::Rollback { number, config, dry_run } => history::rollback(*number, config, *dry_run),
        PolicyVerb::Schema { file } => {
            let settings = load(file, &Overrides::default())?.settings;
            print(portcullis_gateway::policy_schema(&settings));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The policies of a configuration.
fn policies_of(settings: &Settings, config: &Path) -> anyhow::Result<Policies> {
    match portcullis_gateway::policies(settings) {
        Some(Ok(policies)) => Ok(policies),
        Some(Err(problems)) => {
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            Err(Usage(lines.join("\n")).into())
        }
        None => {
            let message = format!("{} has no `policy`: everybody may use everything", config.display());
            Err(Usage(message).into())
        }
    }
}

fn test(file: &Path, config: Option<&Path>, as_json: bool) -> anyhow::Result<ExitCode> {
    let cases = portcullis_config::cases(file, &ProcessEnvironment);
    let cases = cases.map_err(|problems| Usage(problems.to_string()))?;
    let config = config.or(cases.config.as_deref()).ok_or_else(|| {
        Usage(format!("{}: name the configuration with `config` or --config", file.display()))
    })?;
    let settings = load(config, &Overrides::default())?.settings;
    let policies = policies_of(&settings, config)?;
    let (mut found, mut failed) = (Vec::new(), 0);
    for case in &cases.cases {
        let place = format!("{}:{}", file.display(), case.line);
        let question = Question::of_case(case, &settings);
        let question = question.map_err(|error| Usage(format!("{place}: error: {error}")))?;
        let verdict = question.put(&policies);
        let name = case.name.clone().unwrap_or_else(|| question.to_string());
        let wrong = wrong(&verdict, case.expect, case.by.as_deref());
        failed += usize::from(wrong.is_some());
        if as_json {
            let mut shown = describe(&verdict);
            shown["name"] = json!(name);
            shown["line"] = json!(case.line);
            shown["ok"] = json!(wrong.is_none());
            shown["key"] = json!(question.key);
            found.push(shown);
        } else if let Some(wrong) = wrong {
            print(format_args!("{place}: FAILED: {name}: {wrong}"));
            write(&verdict);
            tell_key(&question);
        }
    }
    let passed = cases.cases.len() - failed;
    if as_json {
        print(format_args!(
            "{:#}",
            json!({"ok": failed == 0, "passed": passed, "failed": failed, "cases": found})
        ));
    } else {
        print(format_args!("{passed} passed, {failed} failed"));
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is not as expected.
fn wrong(verdict: &Verdict, expected: Expected, by: Option<&str>) -> Option<String> {
    let word = |allowed| if allowed { "allowed" } else { "denied" };
    let wanted = expected == Expected::Allow;
    if verdict.allowed != wanted {
        return Some(format!("expected to be {}, and is {}", word(wanted), word(verdict.allowed)));
    }
    let by = by.filter(|by| verdict.reasons.iter().all(|reason| reason.id != *by))?;
    Some(format!("is {}, and not by `{by}`", word(wanted)))
}

/// Says why.
pub(crate) fn explain(asked: &Explain) -> anyhow::Result<ExitCode> {
    let settings = load(&asked.config, &Overrides::default())?.settings;
    let policies = policies_of(&settings, &asked.config)?;
    let question = Question::of_args(asked, &settings).map_err(Usage)?;
    let verdict = question.put(&policies);
    let (digest, version) = version_of(&settings);
    if asked.json {
        let mut shown = describe(&verdict);
        shown["question"] = json!(question.to_string());
        shown["digest"] = json!(digest);
        shown["version"] = json!(version);
        shown["key"] = json!(question.key);
        print(format_args!("{shown:#}"));
    } else {
        let word = if verdict.allowed { "allowed" } else { "denied" };
        print(format_args!("{word}: {question}"));
        write(&verdict);
        tell_key(&question);
        let version = version.map(|version| format!("version {version}, ")).unwrap_or_default();
        print(format_args!("  by the policies of {version}digest {digest:.12}"));
    }
    Ok(if verdict.allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The digest of the policies that were asked, and their version, where they are on record.
fn version_of(settings: &Settings) -> (String, Option<u64>) {
    let digest = settings.policy.as_ref().map(versions::digest_of).unwrap_or_default();
    let asked = history::with_store(settings, async |records| Ok(versions::of(&*records, &digest).await?));
    // Without a store, or while it is away, the digest says which they are.
    let version = asked.ok().flatten().map(|version| version.number);
    (digest, version)
}

/// Where the groups and scopes of a machine are from.
fn tell_key(question: &Question) {
    if let Some(key) = &question.key {
        print(format_args!("  {key}"));
    }
}

fn write(verdict: &Verdict) {
    print(format_args!("  {}", verdict.because));
    for reason in &verdict.reasons {
        let effect = if reason.permits { "permit" } else { "forbid" };
        print(format_args!("  {effect} `{}` ({}:{})", reason.id, reason.file, reason.line));
    }
    if verdict.reasons.is_empty() && !verdict.asked.is_empty() {
        let asked: Vec<_> = verdict.asked.iter().map(|reason| format!("`{}`", reason.id)).collect();
        print(format_args!("  asked, and not met: {}", asked.join(", ")));
    }
    if !verdict.lacks.is_empty() {
        let scopes = verdict.lacks.join(" ");
        print(format_args!(
            "  a token with the scopes `{scopes}` beside would do, and the caller is told to get one"
        ));
    }
}

fn describe(verdict: &Verdict) -> Value {
    let all = |reasons: &[Reason]| -> Vec<Value> {
        let one = |reason: &Reason| {
            json!({
                "id": reason.id,
                "file": reason.file,
                "line": reason.line,
                "effect": if reason.permits { "permit" } else { "forbid" },
                "text": reason.text,
            })
        };
        reasons.iter().map(one).collect()
    };
    json!({
        "allowed": verdict.allowed,
        "because": verdict.because.to_string(),
        "policies": all(&verdict.reasons),
        "asked": all(&verdict.asked),
        "lacks": verdict.lacks,
    })
}
