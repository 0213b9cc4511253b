//! What a line looks like, and that no input breaks it.

use std::{
    io,
    sync::{Arc, Mutex},
};

use proptest::prelude::*;
use serde_json::{Value, json};
use tracing::{debug, error, info, info_span, warn};

use super::*;

const ESCAPE: char = '\u{1b}';

/// Keeps what is written, and counts how often.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<Vec<u8>>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no test panics while it writes").push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink {
    /// Each write as one line.
    fn lines(&self) -> Vec<String> {
        let writes = self.0.lock().expect("no test panics while it writes");
        writes.iter().map(|write| String::from_utf8(write.clone()).expect("UTF-8")).collect()
    }
}

fn log(format: LogFormat, filter: &str, body: impl FnOnce(&LogHandle)) -> Vec<String> {
    let sink = Sink::default();
    let writer = sink.clone();
    let (subscriber, handle) =
        subscriber(format, filter, move || writer.clone(), false).expect("the filter is valid");
    tracing::subscriber::with_default(subscriber, || body(&handle));
    sink.lines()
}

/// The line without its time, which is checked for its shape.
fn object(line: &str) -> Value {
    assert_eq!(line.matches('\n').count(), 1, "one line: {line:?}");
    let mut object: Value = serde_json::from_str(line).expect("JSON");
    let ts = object.as_object_mut().expect("an object").shift_remove("ts").expect("a time");
    let ts = ts.as_str().expect("text");
    assert!(ts.len() == 27 && ts.ends_with('Z') && ts.as_bytes()[10] == b'T', "{ts}");
    object
}

#[test]
fn json_has_a_fixed_head_and_flat_fields() {
    let lines = log(LogFormat::Json, "info", |_| {
        warn!(
            target: "portcullis::x",
            { server.id = "files", duration_ms = 12, share = 0.5, ok = true },
            "up {}", 1
        );
    });
    assert!(lines[0].starts_with(r#"{"ts":""#), "{}", lines[0]);
    assert_eq!(
        object(&lines[0]),
        json!({"level": "WARN", "target": "portcullis::x", "message": "up 1",
               "server.id": "files", "duration_ms": 12, "share": 0.5, "ok": true})
    );
}

#[test]
fn json_has_the_fields_of_the_spans_around_it() {
    let lines = log(LogFormat::Json, "info", |_| {
        let outer = info_span!("outer", a = 1, b = 1, late = tracing::field::Empty);
        let _outer = outer.enter();
        let _inner = info_span!("inner", b = 2, c = 2).entered();
        outer.record("late", "known now");
        info!(target: "t", c = 3, "said");
    });
    assert_eq!(
        object(&lines[0]),
        json!({"level": "INFO", "target": "t", "message": "said",
               "a": 1, "b": 2, "late": "known now", "c": 3})
    );
}

#[test]
fn a_field_cannot_pass_for_the_head() {
    let lines = log(LogFormat::Json, "info", |_| {
        let _span = info_span!("span", message = "not mine").entered();
        info!(target: "t", ts = "0", level = "FATAL", target = 7, "real");
    });
    assert_eq!(
        object(&lines[0]),
        json!({"level": "INFO", "target": "t", "message": "real", "field.message": "not mine",
               "field.ts": "0", "field.level": "FATAL", "field.target": 7})
    );
}

#[test]
fn an_error_brings_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the file")]
    struct Outer(#[source] io::Error);

    let failure = Outer(io::Error::other("disk on fire"));
    let lines = log(LogFormat::Json, "info", |_| {
        error!(target: "t", error = &failure as &(dyn std::error::Error + 'static), "failed");
    });
    assert_eq!(object(&lines[0])["error"], "cannot read the file: disk on fire");
}

#[test]
fn numbers_that_json_lacks_become_text() {
    let lines = log(LogFormat::Json, "info", |_| info!(target: "t", a = f64::NAN, b = f64::INFINITY, "odd"));
    let line = object(&lines[0]);
    assert_eq!((&line["a"], &line["b"]), (&json!("NaN"), &json!("inf")));
}

#[test]
fn the_filter_can_be_changed_while_running() {
    let lines = log(LogFormat::Json, "warn", |handle| {
        info!("not yet");
        handle.set_filter("portcullis_telemetry=debug").expect("valid");
        debug!("now");
        assert!(handle.set_filter("portcullis=loud").is_err());
        debug!("still");
    });
    let messages: Vec<_> = lines.iter().map(|line| object(line)["message"].clone()).collect();
    assert_eq!(messages, ["now", "still"]);
}

#[test]
fn the_format_can_be_changed_while_running() {
    let lines = log(LogFormat::Json, "info", |handle| {
        let _span = info_span!("around", n = 1).entered();
        info!(target: "t", "first");
        handle.set_format(LogFormat::Pretty);
        info!(target: "t", "second");
        info_span!("anew", m = 2).in_scope(|| info!(target: "t", "third"));
        handle.set_format(LogFormat::Json);
        info!(target: "t", "fourth");
    });
    let json = |nth: usize| object(&lines[nth]);
    assert_eq!(json(0), json!({"level": "INFO", "target": "t", "message": "first", "n": 1}));
    assert!(lines[1].ends_with("INFO around: t: second\n"), "{}", lines[1]);
    assert!(lines[2].ends_with("INFO around:anew{m=2}: t: third\n"), "{}", lines[2]);
    assert_eq!(json(3), json!({"level": "INFO", "target": "t", "message": "fourth", "n": 1}));
    assert_eq!(lines.len(), 4);
}

#[test]
fn a_filter_that_cannot_be_read_is_named() {
    let error = parse_filter("info,x=loud").expect_err("loud is no level");
    assert!(error.to_string().starts_with(r#"cannot read the log filter "info,x=loud": "#), "{error}");
}

#[test]
fn pretty_is_for_people_and_auto_is_json_without_a_terminal() {
    let say = |format| log(format, "info", |_| info!(target: "t", n = 1, "said"));
    let pretty = say(LogFormat::Pretty).concat();
    assert!(pretty.contains("INFO t: said n=1"), "{pretty}");
    assert!(!pretty.contains('\u{1b}'), "no colour without a terminal: {pretty:?}");
    assert_eq!(object(&say(LogFormat::Auto)[0])["message"], "said");
}

#[test]
fn format_names_are_read() {
    assert_eq!("json".parse(), Ok(LogFormat::Json));
    assert_eq!("pretty".parse(), Ok(LogFormat::Pretty));
    assert_eq!("auto".parse(), Ok(LogFormat::default()));
    assert!("JSON".parse::<LogFormat>().is_err());
}

proptest! {
    #[test]
    fn any_text_stays_within_its_field(text in any::<String>(), message in any::<String>()) {
        let lines = log(LogFormat::Json, "info", |_| info!(target: "t", text, "{message}"));
        prop_assert_eq!(
            object(&lines[0]),
            json!({"level": "INFO", "target": "t", "message": message, "text": text})
        );
    }

    #[test]
    fn no_text_reaches_the_terminal_as_an_escape(text in any::<String>()) {
        let lines = log(LogFormat::Pretty, "info", |_| info!(target: "t", text, "\u{1b}[31m{text}"));
        prop_assert!(!lines.concat().contains(ESCAPE));
    }
}
