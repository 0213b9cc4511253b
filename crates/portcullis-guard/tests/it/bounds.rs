//! What a document may cost: time and memory that grow with it, and with nothing else in it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use base64::Engine as _;
use portcullis_guard::{Action, Engine, FieldRule, Limits, Path, Settings};

use crate::{Names, engine, plan};

/// How many short documents are as long as the long one, and how much longer than they all that one may take: thrice, since its
/// square would be eight times.
const TIMES: usize = 8;
const RATIO: u32 = 3;

/// One long document takes about as long as many short ones. Counted as the fastest of as many runs as it takes, so that a busy
/// machine does not decide: it takes its share of both.
#[track_caller]
fn is_linear(what: &str, count: usize, made: impl Fn(usize) -> String, work: impl Fn(&str)) {
    let time = |text: &str, times: usize| {
        let started = Instant::now();
        (0..times).for_each(|_| work(black_box(text)));
        started.elapsed()
    };
    let (less, more) = (made(count), made(TIMES * count));
    let (mut short, mut long) = (Duration::MAX, Duration::MAX);
    for _ in 0..8 {
        short = short.min(time(&less, TIMES));
        long = long.min(time(&more, 1));
        if long < short * RATIO {
            return;
        }
    }
    panic!("{what:?}: {short:?} for {TIMES} short ones, {long:?} for a long one");
}

/// A text of so many pieces is scanned in linear time.
#[track_caller]
fn scans_linearly(piece: &str, count: usize, end: &str) {
    let limits = Limits { findings: usize::MAX, ..Limits::default() };
    let engine = Engine::new(&Settings { limits, ..Settings::default() }).expect("good settings");
    let made = |count: usize| piece.repeat(count) + end;
    is_linear(piece, count, made, |text| {
        black_box(engine.scan_text(text));
    });
}

fn gone(path: &str) -> FieldRule {
    FieldRule { path: Path::parse(path).expect("good"), entities: None, action: Action::Drop }
}

/// The path of every finding and field together, in bytes.
fn paths(engine: &Engine, document: &str, rule: Option<FieldRule>) -> (usize, usize) {
    let mut plan = plan(Action::Redact);
    plan.fields.extend(rule);
    let outcome = engine.transform_json(document.as_bytes(), &plan, &mut Names::default());
    let report = outcome.report();
    let findings = report.applied.iter().map(|applied| applied.finding.path.len());
    let fields = report.fields.iter().map(|(path, _)| path.len());
    (report.applied.len() + report.fields.len(), findings.chain(fields).sum())
}

#[test]
fn a_long_key_is_not_kept_with_every_finding_below_it() {
    let key = "k".repeat(100_000);
    let tokens = vec!["\"AKIAZ3MSJV4WYDGKQ2UB\""; 1_000].join(",");
    for document in [
        format!("{{\"{key}\":[{tokens}]}}"),
        serde_json::json!({ key.clone(): serde_json::json!({ key: [0, "AKIAZ3MSJV4WYDGKQ2UB"] }).to_string() })
            .to_string()
            .replace("AKIAZ3MSJV4WYDGKQ2UB\\\"", &vec!["AKIAZ3MSJV4WYDGKQ2UB\\\""; 1_000].join(",\\\"")),
    ] {
        let (count, length) = paths(&engine(), &document, None);
        assert_eq!(count, 1_000);
        assert!(length < 500 * count, "{length} bytes for {count} findings");
    }
}

#[test]
fn many_long_keys_are_not_kept_with_every_finding_below_them() {
    let key = "k".repeat(1_000);
    let tokens = vec!["\"AKIAZ3MSJV4WYDGKQ2UB\""; 1_000].join(",");
    let document = format!("{}[{tokens}]{}", format!("{{\"{key}\":").repeat(60), "}".repeat(60));
    let (count, length) = paths(&engine(), &document, None);
    assert_eq!(count, 1_000);
    assert!(length < 500 * count, "{length} bytes for {count} findings");
}

#[test]
fn of_fields_that_go_the_paths_are_kept_as_far_as_those_of_findings() {
    let limits = Limits { findings: 10, ..Limits::default() };
    let engine = Engine::new(&Settings { limits, ..Settings::default() }).expect("good settings");
    let document = format!("{{\"gone\":[{}1]}}", "1,".repeat(999));
    let (count, length) = paths(&engine, &document, Some(gone("$.gone[*]")));
    assert_eq!((count, length), (1_000, "$.gone[0]".len() * 10));
}

#[test]
fn a_path_that_is_short_is_written_in_full() {
    let paths = |document: &str| {
        let scan = engine().scan_json(document.as_bytes());
        scan.findings.into_iter().map(|found| found.path).collect::<Vec<_>>()
    };
    assert_eq!(
        paths(r#"{"spec":{"template":{"spec":{"containers":[{"env":[{"value":"a@b.example"}]}]}}}}"#),
        ["$.spec.template.spec.containers[0].env[0].value"]
    );
    let (key, other) = ("é".repeat(40), "o".repeat(60));
    assert_eq!(
        paths(&format!(r#"{{"{key}":{{"a.{other}{other}":["a@b.example"]}}}}"#)),
        [format!("$.{}…['a.{other}oo…'][0]", "é".repeat(32))]
    );
}

#[test]
fn many_beginnings_of_a_token_in_one_run_cost_no_more_than_each() {
    scans_linearly("eyJ_", 2_000, "");
    scans_linearly("eyJ_", 2_000, ".");
    scans_linearly("eyJ-", 1_000, ".aaaa.bbbb");
    scans_linearly("eyJh-", 1_000, ".aaaa.bbbb");
}

#[test]
fn names_of_credentials_without_a_value_cost_no_more_than_each() {
    scans_linearly("token=ab ", 1_000, "");
}

#[test]
fn a_value_that_says_what_to_put_in_its_place_again_and_again_costs_no_more_than_its_length() {
    let engine = engine();
    let made = |count: usize| format!("password is a{}1", "your".repeat(count));
    is_linear("your", 20_000, made, |text| {
        black_box(engine.scan_text(text));
    });
}

#[test]
fn what_stands_before_many_findings_is_not_looked_at_for_each() {
    let limits = Limits { findings: usize::MAX, ..Limits::default() };
    let engine = Engine::new(&Settings { limits, ..Settings::default() }).expect("good settings");
    let made = |count: usize| {
        let mails = base64::engine::general_purpose::STANDARD.encode("a@bc.de ".repeat(count));
        format!("%41{}{mails}", " ".repeat(16 * count))
    };
    is_linear("mails", 1_000, made, |text| {
        black_box(engine.scan_text(text));
    });
}

#[test]
fn words_for_persons_without_a_name_cost_no_more_than_each() {
    scans_linearly("name: ", 2_000, "");
    scans_linearly("Mr-", 4_000, "");
}

#[test]
fn members_that_are_taken_out_cost_no_more_than_each() {
    let engine = engine();
    for (path, piece) in [("$[*]", "1"), ("$[*].a", "{\"a\":1,\"b\":1}")] {
        let mut plan = plan(Action::Allow);
        plan.fields.push(gone(path));
        let made = |count: usize| format!("[{}]", vec![piece; count].join(","));
        is_linear(path, 2_000, made, |text| {
            black_box(engine.transform_json(text.as_bytes(), &plan, &mut Names::default()));
        });
    }
}
