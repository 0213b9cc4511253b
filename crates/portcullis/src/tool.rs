//! `portcullis tool`: the tools of an endpoint as a client sees them, and one of them called, as whoever the token stands for.
//!
//! It is an ordinary client with a session (2025-11-25) that can be asked nothing, behind the bridge of `portcullis connect`. So
//! what is listed and what is refused is what any client of that caller gets.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use portcullis_gateway::bridge;
use portcullis_telemetry::{LogFormat, init_logs};
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf,
};

use crate::Usage;
use crate::args::{At, ToolVerb};
use crate::connect::endpoint;
use crate::stdout::print;

const REVISION: &str = "2025-11-25";
/// So much waits on the way to the bridge and back, in bytes.
const ON_THE_WAY: usize = 64 << 10;
/// An endpoint that says nothing for so long says nothing any more.
const PATIENCE: Duration = Duration::from_mins(5);
/// More pages than that are none.
const MOST_PAGES: usize = 1000;

/// What an endpoint said in place of a result.
#[derive(Debug)]
struct Refused {
    code: i64,
    message: String,
}

pub(crate) fn run(verb: &ToolVerb) -> anyhow::Result<ExitCode> {
    init_logs(LogFormat::Auto, "warn").map_err(|error| Usage(error.to_string()))?;
    let at = match verb {
        ToolVerb::List { at } => at,
        ToolVerb::Call { at, arguments, .. } => {
            arguments_of(arguments)?;
            at
        }
    };
    let endpoint = endpoint(&in_full(&at.url), &at.access)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let ((ours, input), (output, theirs)) =
            (tokio::io::duplex(ON_THE_WAY), tokio::io::duplex(ON_THE_WAY));
        let ((_, writes), (reads, _)) = (tokio::io::split(ours), tokio::io::split(theirs));
        let client = async {
            let mut client = Client { writes, reads: BufReader::new(reads).lines(), last: 0 };
            let done = client.greet(at).await;
            match (done, verb) {
                (Err(error), _) => Err(error),
                (Ok(()), ToolVerb::List { at }) => client.list(at).await,
                (Ok(()), ToolVerb::Call { name, arguments, at }) => {
                    client.call(name, arguments_of(arguments)?, at).await
                }
            }
            // The bridge ends its session and itself when nothing more is written.
        };
        let bridged = bridge::run(&endpoint, input, output);
        let (done, bridged) = tokio::join!(client, bridged);
        bridged?;
        done
    })
}

/// Where the endpoint of a gateway is that was named without a path, as `server logs` takes it.
fn in_full(url: &str) -> String {
    match url.split_once("://") {
        Some((_, rest)) if !rest.trim_end_matches('/').contains(['/', '?']) => {
            format!("{}/mcp", url.trim_end_matches('/'))
        }
        _ => url.to_owned(),
    }
}

/// Why the endpoint did not greet us, in terms of this command.
fn unreached(said: &str, has_token: bool) -> String {
    if let Some(told) = said.strip_prefix("cannot connect to ") {
        let (url, why) = told.split_once(": ").unwrap_or((told, "no connection"));
        return format!("nothing answers at {url} (`--url`, PORTCULLIS_URL): {why}");
    }
    match said.strip_prefix("the endpoint answered ") {
        Some(status) if status.starts_with("401") || status.starts_with("403") => {
            let hint =
                if has_token { "" } else { "; `--token-env NAME` sends the key or token of a variable" };
            format!("the endpoint does not let us in: {status}{hint}")
        }
        _ => said.to_owned(),
    }
}

fn arguments_of(text: &str) -> anyhow::Result<Value> {
    let arguments: Value = serde_json::from_str(text).map_err(|error| {
        Usage(format!("the arguments are no JSON: {error}; write them as '{{\"a\": 1}}'"))
    })?;
    if !arguments.is_object() {
        return Err(Usage("the arguments have to be a JSON object, as '{\"a\": 1}'".to_owned()).into());
    }
    Ok(arguments)
}

/// This side of the session.
struct Client {
    writes: WriteHalf<DuplexStream>,
    reads: Lines<BufReader<ReadHalf<DuplexStream>>>,
    last: u64,
}

impl Client {
    /// Opens the session.
    async fn greet(&mut self, at: &At) -> anyhow::Result<()> {
        let info = json!({ "name": "portcullis tool", "version": env!("CARGO_PKG_VERSION") });
        let hello = json!({ "protocolVersion": REVISION, "capabilities": {}, "clientInfo": info });
        match self.ask("initialize", hello).await? {
            Ok(_) => self.write(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await,
            Err(Refused { message, .. }) => anyhow::bail!(unreached(&message, at.access.token_env.is_some())),
        }
    }

    async fn list(&mut self, at: &At) -> anyhow::Result<ExitCode> {
        let (mut tools, mut cursor) = (Vec::new(), None::<String>);
        for _ in 0..MOST_PAGES {
            let params = cursor.map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }));
            let mut page = match self.ask("tools/list", params).await? {
                Ok(page) => page,
                Err(refused) => return Ok(refused.tell()),
            };
            if let Value::Array(found) = page["tools"].take() {
                tools.extend(found);
            }
            cursor = page["nextCursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        if at.json {
            print(format_args!("{:#}", json!({ "tools": tools })));
            return Ok(ExitCode::SUCCESS);
        }
        for tool in &tools {
            let text = |key: &str| tool[key].as_str().unwrap_or_default();
            let first = text("description").lines().next().unwrap_or_default();
            print(format_args!("{:<40}  {first:.100}", text("name")).to_string().trim_end());
        }
        if tools.is_empty() {
            print("no tools; `/readyz` of the gateway says whether a server is down");
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn call(&mut self, name: &str, arguments: Value, at: &At) -> anyhow::Result<ExitCode> {
        let result = match self.ask("tools/call", json!({ "name": name, "arguments": arguments })).await? {
            Ok(result) => result,
            Err(refused) => return Ok(refused.tell()),
        };
        if at.json {
            print(format_args!("{result:#}"));
        } else {
            for block in result["content"].as_array().into_iter().flatten() {
                match block["text"].as_str() {
                    Some(text) => print(text),
                    None => print(format_args!("[{}]", block["type"].as_str().unwrap_or("?"))),
                }
            }
        }
        let failed = result["isError"] == true;
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// Sends a request and waits for its answer; what comes meanwhile is passed over.
    async fn ask(&mut self, method: &str, params: Value) -> anyhow::Result<Result<Value, Refused>> {
        self.last += 1;
        let id = self.last;
        self.write(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).await?;
        loop {
            let line = tokio::time::timeout(PATIENCE, self.reads.next_line()).await;
            let line = line.map_err(|_| anyhow::anyhow!("the endpoint does not answer"))??;
            let mut message: Value = serde_json::from_str(&line.context("the connection has ended")?)?;
            if message["id"] != id || message.get("method").is_some() {
                continue;
            }
            if let Some(result) = message.get_mut("result") {
                return Ok(Ok(result.take()));
            }
            let error = &message["error"];
            let said = error["message"].as_str().unwrap_or("it refuses and does not say why").to_owned();
            return Ok(Err(Refused { code: error["code"].as_i64().unwrap_or_default(), message: said }));
        }
    }

    async fn write(&mut self, message: &Value) -> anyhow::Result<()> {
        self.writes.write_all(format!("{message}\n").as_bytes()).await?;
        Ok(())
    }
}

impl Refused {
    /// What was asked about is not so.
    fn tell(&self) -> ExitCode {
        eprintln!("{} (error {})", self.message, self.code);
        ExitCode::FAILURE
    }
}
