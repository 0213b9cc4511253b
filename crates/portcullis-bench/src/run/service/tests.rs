//! Starting and stopping, with small shell programs as servers.

use std::process::Command;
use std::time::Duration;

use super::{Service, url};

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

#[test]
fn finds_the_url_in_a_line_of_words() {
    assert_eq!(url("listening on http://127.0.0.1:80/mcp, as told"), Some("http://127.0.0.1:80/mcp"));
    assert_eq!(url("{\"url\":\"http://127.0.0.1:80/mcp\"}"), Some("http://127.0.0.1:80/mcp"));
    assert_eq!(url("listening"), None);
}

#[test]
fn takes_the_endpoint_from_standard_output_and_ends_with_the_value() {
    let announce = shell("echo starting; echo http://127.0.0.1:9/mcp; exec sleep 1000");
    let service = Service::start("a sleeper", announce, None, Duration::from_secs(10)).unwrap();
    assert_eq!(service.endpoint.address.port(), 9);
    let proc = format!("/proc/{}", service.pid());
    assert!(std::fs::exists(&proc).unwrap());
    drop(service);
    assert!(!std::fs::exists(&proc).unwrap());
}

#[test]
fn failure_shows_the_end_of_the_log() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let failing = shell("echo no such setting >&2; exit 2");
    let error = Service::start("a failure", failing, Some(log.path()), Duration::from_secs(10)).unwrap_err();
    assert!(error.to_string().ends_with("\n  | no such setting"), "{error}");
}
