//! What a scrape looks like, and that it cannot grow without bound.

use std::{thread, time::Duration};

use super::*;

/// Everything but the process' own numbers, which differ from run to run.
fn rendered(metrics: &Metrics) -> String {
    let text = metrics.render();
    text.lines().filter(|line| !line.contains("process_")).flat_map(|line| [line, "\n"]).collect()
}

fn samples<'t>(text: &'t str, name: &str) -> Vec<&'t str> {
    text.lines().filter(|line| line.starts_with(name)).collect()
}

#[test]
fn renders_the_text_format() {
    let metrics = Metrics::new();
    let read = metrics.call_series("files", "tools/call", "read");
    let under_way = read.start();
    read.finish(Outcome::Ok, Duration::from_micros(500));
    read.finish(Outcome::Ok, Duration::from_micros(501));
    read.finish(Outcome::ToolError, Duration::from_millis(1500));
    read.finish(Outcome::Timeout, Duration::from_secs(61));
    metrics.call_series("files", "tools/call", "never called");
    metrics.http_response(200);
    metrics.http_response(200);
    metrics.http_response(503);
    metrics.http_response(99);
    metrics.http_response(600);
    metrics.set_server_up("files", true);
    metrics.set_server_up("crm", false);
    metrics.child_restarted("files");
    let session = metrics.sessions().hold();
    metrics.streams().add(2);
    let expected = include_str!("golden.txt").replace("VERSION", env!("CARGO_PKG_VERSION"));
    assert_eq!(rendered(&metrics), expected);

    drop((session, under_way));
    let text = metrics.render();
    assert_eq!(samples(&text, "portcullis_sessions "), ["portcullis_sessions 0"]);
    assert_eq!(
        samples(&text, "portcullis_calls_in_flight{"),
        [r#"portcullis_calls_in_flight{server_id="files"} 0"#]
    );
}

#[test]
fn every_sample_belongs_to_the_family_above_it() {
    let metrics = Metrics::new();
    metrics.call_series("a", "ping", "").finish(Outcome::Ok, Duration::ZERO);
    let mut family = "";
    for line in metrics.render().lines().map(str::to_owned).collect::<Vec<_>>().leak() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().expect("a name");
        } else if !line.starts_with('#') {
            assert!(line.starts_with(family) && !family.is_empty(), "{line} is not of {family}");
            let value = line.rsplit(' ').next().expect("a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}

#[test]
fn escapes_label_values() {
    let metrics = Metrics::new();
    metrics.set_server_up("a\"b\\c\nd", true);
    assert_eq!(
        samples(&metrics.render(), "portcullis_server_up"),
        [r#"portcullis_server_up{server_id="a\"b\\c\nd"} 1"#]
    );
}

#[test]
fn asked_again_gives_the_same_series() {
    let metrics = Metrics::new();
    metrics.call_series("s", "tools/call", "t").finish(Outcome::Refused, Duration::ZERO);
    metrics.clone().call_series("s", "tools/call", "t").finish(Outcome::Refused, Duration::ZERO);
    assert_eq!(metrics.call_series("s", "tools/call", "t").count(Outcome::Refused), 2);
    metrics.counter("x_total", "X.", &[("a", "1")]).add(2);
    metrics.counter("x_total", "ignored", &[("a", "1")]).add(3);
    assert_eq!(samples(&metrics.render(), "x_total"), [r#"x_total{a="1"} 5"#]);
}

#[test]
fn call_series_are_bounded_whatever_the_names() {
    let metrics = Metrics::with_max_series(4);
    for n in 0..1000 {
        let (server, method, tool) = (format!("s{}", n % 7), format!("m{n}"), format!("t{n}"));
        metrics.call_series(&server, &method, &tool).finish(Outcome::Ok, Duration::ZERO);
    }
    let text = metrics.render();
    let series = samples(&text, "portcullis_calls_total");
    assert_eq!(series.len(), 9, "4 by name, 4 by server and method, 1 for all others: {series:#?}");
    assert_eq!(series.iter().filter(|line| line.contains(r#"tool_name="_other""#)).count(), 5);
    let calls: u64 = series.iter().map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(calls, 1000, "no call goes uncounted");
    // What was known before the limit stays exact.
    assert_eq!(metrics.call_series("s1", "m1", "t1").count(Outcome::Ok), 1);
}

#[test]
fn other_series_are_bounded_too() {
    let metrics = Metrics::with_max_series(3);
    for n in 0..100 {
        metrics.counter("x_total", "X.", &[("a", &n.to_string())]).add(1);
    }
    let text = metrics.render();
    assert_eq!(samples(&text, "x_total").len(), 4);
    assert!(text.contains(r#"x_total{a="_other"} 97"#), "{text}");
}

#[test]
fn a_removed_server_takes_its_series_along() {
    let metrics = Metrics::with_max_series(1);
    let held = metrics.call_series("gone", "tools/call", "t");
    held.finish(Outcome::Ok, Duration::ZERO);
    metrics.set_server_up("gone", true);
    metrics.child_restarted("gone");
    metrics.remove_server("gone");
    held.finish(Outcome::Error, Duration::ZERO);
    assert!(!metrics.render().contains("gone"));
    // And gives its place to another.
    metrics.call_series("new", "tools/call", "t").finish(Outcome::Ok, Duration::ZERO);
    assert!(metrics.render().contains(r#"server_id="new",method="tools/call",tool_name="t",outcome="ok""#));
}

#[test]
fn counts_from_many_threads() {
    let metrics = Metrics::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let series = metrics.call_series("s", "tools/call", "t");
                for _ in 0..1000 {
                    let _under_way = series.start();
                    series.finish(Outcome::Ok, Duration::from_millis(3));
                }
            });
        }
    });
    let text = metrics.render();
    assert!(text.contains(r#"portcullis_calls_in_flight{server_id="s"} 0"#), "{text}");
    let labels = r#"{server_id="s",method="tools/call",tool_name="t"}"#;
    assert!(text.contains(&format!("portcullis_call_duration_seconds_count{labels} 4000\n")), "{text}");
    assert!(text.contains(&format!("portcullis_call_duration_seconds_sum{labels} 12\n")), "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn tells_what_the_process_uses() {
    let text = Metrics::new().render();
    let value = |name: &str| samples(&text, name)[0].rsplit(' ').next().unwrap().parse::<f64>().unwrap();
    assert!(value("process_resident_memory_bytes ") > 100_000.0);
    assert!(value("process_open_fds ") >= 3.0);
    assert!(value("process_start_time_seconds ") > 1_700_000_000.0);
}
