//! The program as it is used: an upstream process, load at it from another, and the figures that come out.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_portcullis-bench");

/// An upstream process; ended when dropped.
struct Upstream {
    child: Child,
    url: String,
}

impl Upstream {
    fn start(arguments: &[&str]) -> Self {
        let mut child =
            Command::new(PROGRAM).arg("upstream").args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { child, url: url.trim().to_owned() }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn load(url: &str, era: &str, arguments: &[&str]) -> Output {
    let fixed = ["load", "--url", url, "--era", era, "--seconds", "0.3", "--warmup", "0.05", "--json"];
    Command::new(PROGRAM).args(fixed).args(arguments).output().unwrap()
}

fn figures(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn closed_loop_gets_right_answers_in_both_eras() {
    for sessions in [&[][..], &["--sessions"]] {
        let upstream = Upstream::start(sessions);
        for era in ["modern", "legacy"] {
            for connections in ["1", "32"] {
                let found = figures(&load(&upstream.url, era, &["--closed", "--connections", connections]));
                assert_eq!(found["wrong"], 0, "{found}");
                assert_eq!(found["reconnects"], 0, "{found}");
                assert!(found["calls"].as_u64() > Some(100), "{found}");
            }
        }
    }
}

#[test]
fn a_tool_that_asks_is_answered_in_both_eras() {
    let upstream = Upstream::start(&["--asks"]);
    for era in ["modern", "legacy"] {
        for connections in ["1", "32"] {
            let found =
                figures(&load(&upstream.url, era, &["--asks", "--closed", "--connections", connections]));
            assert_eq!(found["wrong"], 0, "{era}: {found}");
            assert_eq!(found["unfinished"], 0, "{era}: {found}");
            assert!(found["calls"].as_u64() > Some(50), "{era}: {found}");
        }
    }
}

#[test]
fn an_answer_without_the_question_fails_the_run() {
    let upstream = Upstream::start(&["--sessions"]);
    // There is no such tool.
    let output = load(&upstream.url, "legacy", &["--asks", "--closed", "--connections", "1"]);
    assert!(!output.status.success());
    // It answers without asking.
    let liar = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", liar.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in liar.incoming().flatten() {
            answer_with_a_constant(stream);
        }
    });
    let output = load(&url, "modern", &["--asks", "--closed", "--connections", "1"]);
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("was answered without a question"), "{error}");
}

#[test]
fn open_loop_keeps_to_its_schedule() {
    let upstream = Upstream::start(&[]);
    let found = figures(&load(&upstream.url, "modern", &["--rate", "200", "--connections", "4"]));
    // 0.3 s at 200 a second: every call that was due is accounted for, answered or not.
    assert_eq!(found["calls"], 60, "{found}");
}

#[test]
fn every_one_of_many_servers_answers() {
    let upstream = Upstream::start(&["--serve-many", "3", "--tools", "2"]);
    let third = upstream.url.replace("/mcp", "/s3/mcp");
    let found = figures(&load(&third, "modern", &["--closed", "--connections", "1", "--tool", "tool_02"]));
    assert_eq!(found["wrong"], 0, "{found}");
    let fourth = upstream.url.replace("/mcp", "/s4/mcp");
    assert!(!load(&fourth, "modern", &["--closed", "--connections", "1"]).status.success());
}

#[test]
fn overload_shows_in_the_latency_and_not_as_missing_calls() {
    // Takes connections and never answers: all that was due has to appear, with the time it waited.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", silent.local_addr().unwrap());
    let found = figures(&load(&url, "modern", &["--rate", "100", "--connections", "1"]));
    assert_eq!(found["unfinished"].as_u64(), found["calls"].as_u64(), "{found}");
    assert!(found["p50_ms"].as_f64() > Some(1_000.0), "{found}");
}

#[test]
fn answer_to_another_call_fails_the_run() {
    let liar = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", liar.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in liar.incoming().flatten() {
            answer_with_a_constant(stream);
        }
    });
    let output = load(&url, "modern", &["--closed", "--connections", "1"]);
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("the answer has id 1, the call"), "{error}");
}

/// Answers every read with the same well-formed result.
fn answer_with_a_constant(mut stream: TcpStream) {
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","content":[{"type":"text","text":"x"}]}}"#;
    let response = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut chunk = [0; 4096];
    while stream.read(&mut chunk).is_ok_and(|count| count > 0) {
        if stream.write_all(response.as_bytes()).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}
