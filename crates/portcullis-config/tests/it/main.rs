//! The crate from outside: texts in, settings or problems out.

mod audit;
mod clients;
mod credentials;
mod discovery;
mod files;
mod formats;
mod guard;
mod identity;
mod kubernetes;
mod listener;
mod openapi;
mod oversight;
mod policy;
mod problems;
mod property;
mod schema;
mod secrets;
mod toolsets;
mod values;

use std::collections::BTreeMap;

use portcullis_config::{Format, Loaded, Overrides, Problem, Problems, Server, Settings};
use portcullis_model::ServerId;

type Env = BTreeMap<String, String>;

/// An environment from `NAME=value` words.
fn env(words: &[&str]) -> Env {
    words.iter().filter_map(|word| word.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

fn yaml(text: &str, env: &Env) -> Result<Loaded, Problems> {
    portcullis_config::parse("p.yaml", text, Format::Yaml, env, &Overrides::default())
}

/// The settings of a text that has no problem, not even a warning.
#[track_caller]
fn settings(text: &str) -> Settings {
    let loaded = yaml(text, &Env::new()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(lines(&loaded.warnings), "");
    loaded.settings
}

/// The text is refused with exactly these lines.
#[track_caller]
fn refuses(text: &str, expected: &str) {
    match yaml(text, &env(&["HOME=/home/u"])) {
        Ok(_) => panic!("accepted, expected:\n{expected}"),
        Err(problems) => assert_eq!(problems.to_string(), expected.trim()),
    }
}

/// The text is accepted with exactly these warnings.
#[track_caller]
fn warns(text: &str, expected: &str) -> Settings {
    let loaded = yaml(text, &env(&["TOKEN=t0k3n"])).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(lines(&loaded.warnings), expected.trim());
    loaded.settings
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn server<'a>(settings: &'a Settings, id: &str) -> &'a Server {
    &settings.servers[&ServerId::parse(id).expect("a test names servers well")]
}
