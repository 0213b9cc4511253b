//! `portcullis config …`

use std::path::Path;
use std::process::ExitCode;

use portcullis_config::{Loaded, Overrides, Problem, Problems, ProcessEnvironment, Severity};
use serde_json::json;

use crate::Usage;
use crate::args::ConfigVerb;
use crate::stdout::print;

pub(crate) fn run(verb: &ConfigVerb) -> anyhow::Result<ExitCode> {
    match verb {
        ConfigVerb::Check { config, json } => Ok(check(config.file(), *json)),
        ConfigVerb::Show { config, .. } => {
            let loaded = load(config.file(), &Overrides::default())?;
            print(format_args!("{:#}", portcullis_config::effective(&loaded.settings)));
            Ok(ExitCode::SUCCESS)
        }
        ConfigVerb::Schema => {
            print(format_args!("{:#}", portcullis_config::schema()));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Reads a configuration; its warnings go to standard error.
pub(crate) fn load(file: &Path, overrides: &Overrides) -> anyhow::Result<Loaded> {
    settle(portcullis_config::load(file, &ProcessEnvironment, overrides))
}

/// Prints the warnings, or makes the problems an error that says them all.
pub(crate) fn settle(loaded: Result<Loaded, Problems>) -> anyhow::Result<Loaded> {
    match loaded {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                eprintln!("{warning}");
            }
            Ok(loaded)
        }
        Err(problems) => {
            let lines: Vec<_> = problems.0.iter().map(ToString::to_string).collect();
            Err(Usage(lines.join("\n")).into())
        }
    }
}

fn check(file: &Path, as_json: bool) -> ExitCode {
    let (problems, usable) = match portcullis_config::load(file, &ProcessEnvironment, &Overrides::default()) {
        Ok(loaded) => {
            let mut problems = loaded.warnings;
            let (usable, policies) = match portcullis_gateway::policies(&loaded.settings) {
                Some(Ok(policies)) => {
                    problems.extend(policies.warnings().iter().map(of_policy));
                    (true, Some(policies))
                }
                Some(Err(of_policies)) => {
                    problems.extend(of_policies.iter().map(of_policy));
                    (false, None)
                }
                None => (true, None),
            };
            let named = portcullis_gateway::policies_are_there(&loaded.settings, policies.as_ref());
            let missing = if usable { named.err() } else { None };
            let usable = usable && missing.is_none();
            problems.extend(missing.map(|message| Problem {
                file: file.display().to_string(),
                line: 0,
                column: 0,
                path: "guard.rules".to_owned(),
                message,
                nearest: None,
                severity: Severity::Error,
            }));
            (problems, usable)
        }
        Err(problems) => (problems.0, false),
    };
    if as_json {
        let problems: Vec<_> = problems.iter().map(describe).collect();
        print(format_args!("{:#}", json!({"ok": usable, "problems": problems})));
    } else {
        for problem in &problems {
            print(problem);
        }
        if usable {
            print(format_args!("{}: ok", file.display()));
        }
    }
    if usable { ExitCode::SUCCESS } else { ExitCode::from(2) }
}

fn of_policy(problem: &portcullis_policy::Problem) -> Problem {
    Problem {
        file: problem.file.clone(),
        line: problem.line,
        column: problem.column,
        path: String::new(),
        message: problem.message.clone(),
        nearest: None,
        severity: if problem.is_error { Severity::Error } else { Severity::Warning },
    }
}

fn describe(problem: &Problem) -> serde_json::Value {
    json!({
        "severity": if problem.severity == Severity::Error { "error" } else { "warning" },
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "path": problem.path,
        "message": problem.message,
        "nearest": problem.nearest,
    })
}
