//! `portcullis guard …`: the content filter from a shell.
//!
//! `scan` finds, `report` compares what it finds with what somebody marked. Both read a line at a time, so that a file may
//! be longer than memory. What they do not do: change anything, or read a configuration.

mod report;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use portcullis_guard::{Engine, Scan, Settings};
use serde_json::{Value, json};

use crate::args::GuardVerb;
use crate::stdout::print;

pub(crate) fn run(verb: &GuardVerb) -> anyhow::Result<ExitCode> {
    let engine = Engine::new(&Settings::default()).context("the default settings do not work")?;
    match verb {
        GuardVerb::Scan { file } => scan(&engine, file.as_deref()),
        GuardVerb::Report { file, floor, json } => report::report(&engine, file.as_deref(), *floor, *json),
    }
}

/// The lines of a file, or of what comes in.
fn lines(file: Option<&Path>) -> anyhow::Result<Box<dyn Iterator<Item = io::Result<String>>>> {
    Ok(match file.filter(|file| *file != Path::new("-")) {
        Some(file) => {
            let opened =
                File::open(file).map_err(|error| crate::Usage(format!("{}: {error}", file.display())))?;
            Box::new(BufReader::new(opened).lines())
        }
        None => Box::new(io::stdin().lock().lines()),
    })
}

/// What is in a line: in its `text`, when it is JSON and has one.
fn look(engine: &Engine, line: &str, parsed: Option<&Value>) -> Scan {
    match parsed.and_then(|value| value.get("text")).and_then(Value::as_str) {
        Some(text) => engine.scan(text),
        None => engine.scan(line),
    }
}

fn scan(engine: &Engine, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let mut whole = true;
    for (index, line) in lines(file)?.enumerate() {
        let (number, line) = (index + 1, line.with_context(|| format!("line {}", index + 1))?);
        let parsed: Option<Value> = serde_json::from_str(&line).ok();
        let scan = look(engine, &line, parsed.as_ref());
        for found in scan.findings {
            // Two digits: a score is a rank, not a measurement.
            let score = (f64::from(found.score) * 100.0).round() / 100.0;
            print(json!({
                "line": number,
                "entity": found.entity.name(),
                "detail": found.detail,
                "start": found.start,
                "end": found.end,
                "score": score,
            }));
        }
        if let Some(limit) = scan.exceeded {
            eprintln!("line {number}: not looked at in full: {limit}");
            whole = false;
        }
    }
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
