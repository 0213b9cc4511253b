//! The process-wide subscriber. One test, because there can be only one subscriber in a process.

use std::{env, process::Command};

use portcullis_telemetry::{InitError, LogFormat, init_logs};
use serde_json::Value;

/// Set in the child, which then plays the gateway.
const CHILD: &str = "PORTCULLIS_TEST_LOGS_CHILD";

#[test]
fn logs_json_lines_to_standard_error_once_set_up() {
    if env::var_os(CHILD).is_some() {
        return child();
    }
    let output = Command::new(env::current_exe().expect("a running test has a path"))
        .args(["--exact", "logs::logs_json_lines_to_standard_error_once_set_up", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("the test runs itself");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(output.status.success(), "{stderr}");
    let lines: Vec<Value> =
        stderr.lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect();
    let messages: Vec<_> = lines.iter().map(|line| line["message"].as_str().expect("text")).collect();
    assert_eq!(messages, ["quiet", "loud", "by the facade"]);
    assert_eq!(lines[2]["target"], "elsewhere", "not the facade's own target: {}", lines[2]);
    assert!(lines[2].get("log.line").is_none());
    assert!(!String::from_utf8_lossy(&output.stdout).contains("quiet"), "standard output is for data");
}

fn child() {
    assert!(matches!(init_logs(LogFormat::Auto, "=="), Err(InitError::Filter(_))));
    let handle = init_logs(LogFormat::Auto, "info").expect("the first");
    assert!(matches!(init_logs(LogFormat::Auto, "info"), Err(InitError::AlreadySet(_))));
    tracing::debug!("not yet");
    tracing::info!("quiet");
    handle.set_filter("debug").expect("a filter");
    tracing::debug!("loud");
    log::info!(target: "elsewhere", "by the facade");
}
