//! `portcullis connect`: a host that speaks only stdio before the gateway, in both eras.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::harness::client::text_of;
use crate::harness::fake::tool;
use crate::harness::{Child as Server, DEADLINE, Fake, Gateway, Modern};

/// The bridge as a host starts it.
pub(crate) struct Bridge {
    process: Arc<Mutex<Child>>,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Bridge {
    pub(crate) fn start(gateway: &Gateway, path: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["connect", &format!("http://{}{path}", gateway.address)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (process.stdin.take(), BufReader::new(process.stdout.take().unwrap()));
        let process = Arc::new(Mutex::new(process));
        // What is heard is read without a deadline: a bridge that says nothing ends instead.
        let silent = Arc::downgrade(&process);
        std::thread::spawn(move || {
            std::thread::sleep(2 * DEADLINE);
            if let Some(process) = silent.upgrade() {
                let _ = process.lock().unwrap().kill();
            }
        });
        Self { process, input, output }
    }

    pub(crate) fn say(&mut self, message: &Value) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{message}").unwrap();
        input.flush().unwrap();
    }

    pub(crate) fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// The answers to the requests with ids 1 to `last`, in that order.
    fn answers(&mut self, last: u64) -> Vec<Value> {
        let mut answers: Vec<Value> = (0..last).map(|_| self.hear()).collect();
        answers.sort_by_key(|answer| answer["id"].as_u64());
        answers
    }

    /// Closes the host's end; the bridge leaves by itself.
    pub(crate) fn leave(mut self) {
        drop(self.input.take());
        assert!(self.process.lock().unwrap().wait().unwrap().success());
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = process.kill();
        let _ = process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legacy_host_may_talk_before_it_is_answered() {
    let server = Fake::legacy().start().await;
    let gateway = Gateway::start(&json!({"servers": {"x": server.config()}}));
    let mut bridge = Bridge::start(&gateway, "/mcp");
    bridge.say(&json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "host", "version": "1"},
    }}));
    bridge.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    bridge.say(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}));
    bridge.say(&json!({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {
        "name": "x__echo", "arguments": {"n": 1},
    }}));
    let answers = bridge.answers(3);
    assert_eq!(answers[0]["result"]["protocolVersion"], "2025-06-18");
    assert_eq!(answers[1]["result"]["tools"][0]["name"], "x__echo");
    assert_eq!(text_of(&answers[2]["result"]), r#"{"n":1}"#);
    bridge.leave();
    let metrics = gateway.get("/metrics").await;
    assert!(metrics.text().contains("portcullis_sessions 0\n"), "the session was ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modern_host_gets_the_headers_that_stdio_does_not_have() {
    let mut marked = tool("echo");
    marked["inputSchema"]["properties"]["region"] = json!({"type": "string", "x-mcp-header": "Region"});
    let server = Fake::modern().tools(vec![marked]).start().await;
    let gateway = Gateway::start(&json!({"servers": {"x": server.config()}}));
    let mut bridge = Bridge::start(&gateway, "/mcp/s/x");
    let host = Modern::new();
    let mut call = host.body("tools/call", json!({"name": "echo", "arguments": {"region": "Ülm"}}));
    call["id"] = json!(1);
    bridge.say(&call);
    let mut discover = host.body("server/discover", json!({}));
    discover["id"] = json!(2);
    bridge.say(&discover);
    let answers = bridge.answers(2);
    assert_eq!(answers[0]["result"]["resultType"], "complete", "{}", answers[0]);
    assert!(answers[1]["result"]["supportedVersions"].is_array());
    let seen = server.nth("tools/call", 1).await;
    assert_eq!(seen.header("mcp-param-region"), Some("=?base64?w5xsbQ==?="));
    bridge.leave();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legacy_host_on_stdio_is_asked_and_answers() {
    let server = Server::new(
        r#"
def call(request):
    waiting.append(request)
    send({"id": "q", "method": "elicitation/create", "params": {"message": "who?"}})
def answered(message):
    text(waiting.pop(), json.dumps(message["result"]))
waiting = []
handlers["tools/call"] = call
handlers[None] = answered
"#,
    )
    .await;
    let gateway = Gateway::start(&json!({"servers": {"x": server.config()}}));
    let mut bridge = Bridge::start(&gateway, "/mcp/s/x");
    bridge.say(&json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}}, "clientInfo": {"name": "host", "version": "1"},
    }}));
    bridge.hear();
    bridge.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    bridge.say(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "echo"}}));
    let question = bridge.hear();
    assert_eq!(question["method"], "elicitation/create", "{question}");
    assert_eq!(question["params"]["message"], "who?");
    let answer = json!({"action": "accept", "content": {"name": "Ann"}});
    bridge.say(&json!({"jsonrpc": "2.0", "id": question["id"], "result": answer}));
    let result = bridge.hear();
    assert_eq!(result["id"], 2);
    assert_eq!(serde_json::from_str::<Value>(text_of(&result["result"])).unwrap(), answer);
    bridge.leave();
}

/// A child that answers a call once it is told to.
const HOLDING_CHILD: &str = r#"
def call(request):
    if request["params"]["arguments"]["hold"]:
        return
    text(request, "done")
handlers["tools/call"] = call
"#;

fn cancel(id: u64) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legacy_host_may_use_an_id_again_as_soon_as_it_has_cancelled() {
    let server = Server::new(HOLDING_CHILD).await;
    let gateway = Gateway::start(&json!({"servers": {"x": server.config()}}));
    let mut bridge = Bridge::start(&gateway, "/mcp/s/x");
    bridge.say(&json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "host", "version": "1"},
    }}));
    bridge.hear();
    bridge.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    let call = |hold: bool| {
        let params = json!({"name": "echo", "arguments": {"hold": hold}});
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params})
    };
    let mut child = server.started().await;
    for _ in 0..3 {
        bridge.say(&call(true));
        child.message("tools/call").await;
        // The second is cancelled like the first, though it came while that was ending.
        for _ in 0..2 {
            bridge.say(&cancel(2));
            bridge.say(&call(true));
            child.message("notifications/cancelled").await;
            child.message("tools/call").await;
        }
        bridge.say(&cancel(2));
        bridge.say(&call(false));
        child.message("notifications/cancelled").await;
        child.message("tools/call").await;
        let answer = bridge.hear();
        assert_eq!(answer["id"], 2, "nothing is said of what was cancelled: {answer}");
        assert_eq!(text_of(&answer["result"]), "done", "{answer}");
    }
    bridge.leave();
}
