//! Plays one side of a transcript: says what it says, waits for what it hears, and tells what is different.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::ends::End;
use super::lines::{ANY, Line, Step, What};
use super::matching::{Names, compare, fill};
use super::setting::Pass;
use super::text::Side;
use super::wire::{Heard, Scene, Way, Where, Wire};
use crate::harness::DEADLINE;

/// The capabilities that a modern client declares.
pub(super) const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// How long nothing has to come, where nothing may.
const SILENCE: Duration = Duration::from_secs(2);

/// A request of either side.
struct Request {
    label: Option<String>,
    id: Value,
    /// The id as JSON, by which it may be meant as well.
    text: String,
    method: String,
    ours: bool,
    answered: bool,
    way: Option<Way>,
    /// The session over HTTP.
    session: Option<String>,
}

/// One side.
pub(super) struct Player<W> {
    pub(super) side: Side,
    pub(super) end: End,
    /// What its requests declare, of a modern client.
    pub(super) declares: Value,
    pub(super) wire: W,
    pub(super) scene: Arc<Scene>,
    /// What it shows, of a client.
    pub(super) pass: Option<Pass>,
    pub(super) names: Names,
    requests: Vec<Request>,
    kept: VecDeque<Heard>,
}

impl<W: Wire> Player<W> {
    pub(super) fn new(side: Side, end: End, declares: &Value, wire: W, scene: &Arc<Scene>) -> Self {
        let (declares, scene) = (declares.clone(), scene.clone());
        let (names, requests, kept) = (Names::new(), Vec::new(), VecDeque::new());
        Self { side, end, declares, wire, scene, pass: None, names, requests, kept }
    }

    /// Plays a script to its end.
    ///
    /// # Errors
    /// Where it was not followed, and what was different.
    pub(super) async fn play(&mut self, steps: &[Step]) -> Result<(), String> {
        for step in steps {
            self.step(step).await?;
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Say { line, notes } => self.say(line, notes).await,
            Step::Hear { line, status, notes, .. } => self.hear(line, *status, notes).await,
            Step::Signal(name) => {
                self.scene.signal(name);
                Ok(())
            }
            Step::Await(name) => {
                let waiting = tokio::time::timeout(DEADLINE, self.scene.wait(name));
                waiting.await.map_err(|_| format!("nobody signalled `{name}`"))
            }
            Step::Always(method, result) => {
                let mut result = fill(result, &self.names);
                if self.end.is_modern() {
                    result = modern(result, method, &json!(0), &json!("private"));
                }
                self.wire.always(method, result);
                Ok(())
            }
            Step::Leave => {
                self.wire.leave().await;
                Ok(())
            }
            Step::Expire => {
                self.pass.as_ref().expect("`tokens` in the row").expire().await;
                Ok(())
            }
            Step::Silence => {
                tokio::time::sleep(SILENCE).await;
                self.surplus()
            }
            Step::Hide(tool) => {
                let policies = self.scene.policies.clone().expect("`hides` in the row");
                let hiding = tokio::time::timeout(2 * DEADLINE, policies.hide(tool)).await;
                hiding.map_err(|_| "not all pairs have come to here".to_owned())
            }
        }
    }

    /// What came and is in no script.
    pub(super) fn surplus(&mut self) -> Result<(), String> {
        while let Some(heard) = self.wire.heard() {
            self.keep(heard);
        }
        let messages = self.kept.iter().filter(|heard| matches!(heard, Heard::Message { .. }));
        match messages.map(show).collect::<Vec<_>>() {
            all if all.is_empty() => Ok(()),
            all => Err(format!("    came and is in no script: {}", all.join("\n"))),
        }
    }

    async fn say(&mut self, line: &Line, notes: &[(String, String)]) -> Result<(), String> {
        let body = fill(&line.body, &self.names);
        let mut message = json!({"jsonrpc": "2.0"});
        let mut place = self.place(line.on.as_deref());
        match &line.what {
            What::Method(method) => {
                message["method"] = json!(method);
                if !body.is_null() {
                    message["params"] = body;
                }
                if !method.starts_with("notifications/") {
                    let id = notes.iter().find(|(name, _)| name == "id");
                    let own = if self.side == Side::Server {
                        json!(format!("asks-{}", self.requests.len()))
                    } else {
                        json!(self.requests.len() + 100)
                    };
                    let id = id.map_or(own, |(_, id)| serde_json::from_str(id).expect("an id"));
                    message["id"] = id.clone();
                    self.add(line.label.clone(), id, method, true);
                    self.declare(&mut message);
                }
            }
            What::Result(label) | What::Error(label) => {
                let is_server = self.side == Side::Server && self.end.is_modern();
                let request = self.request(label.as_deref(), false)?;
                request.answered = true;
                message["id"] = request.id.clone();
                place = request.way.clone().map_or(Where::Aside, Where::On);
                if matches!(line.what, What::Result(_)) {
                    let body = if body.is_null() { json!({}) } else { body };
                    message["result"] = if is_server {
                        modern(body, &request.method, &json!(0), &json!("private"))
                    } else {
                        body
                    };
                } else {
                    message["error"] = body;
                }
            }
            What::Cancel(label) => {
                let request = self.request(label.as_deref(), true)?;
                request.answered = true;
                let id = request.id.clone();
                self.scene.note(self.side, &format!("> cancel {id}"));
                self.wire.cancel(&id).await;
                return Ok(());
            }
            What::Batch => {
                for item in body.as_array().expect("a batch is a list") {
                    if let (Some(id), Some(method)) = (item.get("id"), item["method"].as_str()) {
                        self.add(None, id.clone(), method, true);
                    }
                }
                message = body;
            }
            What::End => return Err("the end of a stream is only heard".to_owned()),
        }
        self.scene.note(self.side, &format!("> {message}"));
        self.wire.say(message, place, notes).await;
        Ok(())
    }

    /// What every request of a modern client says.
    fn declare(&self, message: &mut Value) {
        if self.side != Side::Server && self.end.is_modern() {
            let meta = &mut message["params"]["_meta"];
            for (key, value) in [
                ("io.modelcontextprotocol/protocolVersion", json!(self.end.revision)),
                ("io.modelcontextprotocol/clientInfo", json!({"name": "player", "version": "1"})),
                (CAPABILITIES, self.declares.clone()),
            ] {
                if meta.get(key).is_none() {
                    meta[key] = value;
                }
            }
        }
    }

    async fn hear(
        &mut self,
        line: &Line,
        status: Option<u16>,
        notes: &[(String, String)],
    ) -> Result<(), String> {
        let heard = self.next(line).await?;
        let Heard::Message { message, status: actual, headers, way } = heard else { return Ok(()) };
        if matches!(line.what, What::Cancel(_)) {
            return Ok(());
        }
        let mut differences = Vec::new();
        if let (Some(status), Some(actual)) = (status, actual)
            && status != actual
        {
            differences.push(format!("status: {status} is said, {actual} is heard"));
        }
        if !headers.is_empty() {
            for (name, value) in notes {
                let there =
                    headers.iter().find(|(known, _)| known == name).map_or("absent", |(_, value)| value);
                if there != value {
                    differences.push(format!("{name}: `{value}` is said, `{there}` is heard"));
                }
            }
        }
        let member = match &line.what {
            What::Method(_) => "params",
            What::Error(_) => "error",
            _ => "result",
        };
        let mut expected = line.body.clone();
        if let What::Result(label) = &line.what {
            let request = self.request(label.as_deref(), true)?;
            request.answered = true;
            let method = request.method.clone();
            if self.side != Side::Server && self.end.is_modern() && expected.is_object() {
                expected = modern(expected, &method, &json!(ANY), &json!(ANY));
            }
        } else if let What::Error(label) = &line.what {
            self.request(label.as_deref(), true)?.answered = true;
        } else if let (What::Method(method), Some(id)) = (&line.what, message.get("id")) {
            let session = headers.iter().find(|(name, _)| name == "mcp-session-id");
            let session = session.map(|(_, session)| session.clone());
            let request = self.add(line.label.clone(), id.clone(), method, false);
            (request.way, request.session) = (way, session);
        }
        match message.get(member) {
            None if member == "params" => differences.extend(match &expected {
                Value::Null => Vec::new(),
                expected => compare(expected, &json!({}), &mut self.names),
            }),
            None => differences.push(format!("there is no {member}")),
            Some(_) if expected.is_null() => {}
            Some(actual) => differences.extend(compare(&expected, actual, &mut self.names)),
        }
        if differences.is_empty() { Ok(()) } else { Err(report(line, &differences, Some(&message))) }
    }

    /// Waits for what a line is about. What else comes meanwhile is kept for later lines.
    async fn next(&mut self, line: &Line) -> Result<Heard, String> {
        let wanted = match &line.what {
            What::Method(method) => Wanted::Method(method.clone()),
            What::Cancel(label) => Wanted::Cancel(self.request(label.as_deref(), false)?.id.clone()),
            What::Result(label) | What::Error(label) => {
                Wanted::Answer(self.request(label.as_deref(), true)?.id.clone())
            }
            What::Batch => return Err("a batch is only said".to_owned()),
            What::End => Wanted::End,
        };
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            if let Some(at) = self.kept.iter().position(|heard| wanted.is(heard)) {
                return Ok(self.kept.remove(at).expect("it is there"));
            }
            let Ok(heard) = tokio::time::timeout_at(deadline, self.wire.hear()).await else {
                let other = self.kept.iter().map(show).collect::<Vec<_>>().join("\n");
                let other = if other.is_empty() { "nothing".to_owned() } else { other };
                return Err(report(line, &[format!("did not come; what came: {other}")], None));
            };
            self.keep(heard);
        }
    }

    fn keep(&mut self, heard: Heard) {
        self.scene.note(self.side, &format!("< {}", show(&heard)));
        self.kept.push_back(heard);
    }

    fn add(&mut self, label: Option<String>, id: Value, method: &str, ours: bool) -> &mut Request {
        if let Some(label) = &label {
            self.names.insert(format!("${label}"), id.clone());
        }
        let method = method.to_owned();
        let text = id.to_string();
        self.requests.push(Request {
            label,
            id,
            text,
            method,
            ours,
            answered: false,
            way: None,
            session: None,
        });
        self.requests.last_mut().expect("one was added")
    }

    /// The request with a label (or an id), or the last one that is open.
    fn request(&mut self, label: Option<&str>, ours: bool) -> Result<&mut Request, String> {
        let requests = self.requests.iter_mut().rev().filter(|request| request.ours == ours);
        let found = match label {
            None => requests.into_iter().find(|request| !request.answered),
            Some(label) => requests
                .into_iter()
                .find(|request| request.label.as_deref() == Some(label) || request.text == label),
        };
        found.ok_or_else(|| format!("there is no request {}", label.unwrap_or("that is open")))
    }

    /// Where something goes: with the request of the other side that is meant, or beside it.
    fn place(&mut self, on: Option<&str>) -> Where {
        let last = self.requests.iter().rev().find(|request| !request.ours);
        match (on, last) {
            (Some("aside"), _) | (_, None) => Where::Aside,
            (Some("beside"), Some(Request { session: Some(session), .. })) => Where::Beside(session.clone()),
            (Some("beside"), Some(Request { way: Some(way), .. })) => Where::On(way.clone()),
            _ => match self.request(on, false) {
                Ok(Request { way: Some(way), .. }) => Where::On(way.clone()),
                _ => Where::Aside,
            },
        }
    }
}

/// What a line waits for.
enum Wanted {
    Method(String),
    Answer(Value),
    Cancel(Value),
    End,
}

impl Wanted {
    fn is(&self, heard: &Heard) -> bool {
        match (self, heard) {
            (Self::Method(method), Heard::Message { message, .. }) => message["method"] == **method,
            (Self::Answer(id), Heard::Message { message, .. }) => {
                message.get("method").is_none() && message["id"] == *id
            }
            (Self::Cancel(id), Heard::Message { message, .. }) => {
                message["method"] == "notifications/cancelled" && message["params"]["requestId"] == *id
            }
            (Self::Cancel(id), Heard::Left { id: left }) => left == id,
            (Self::End, heard) => matches!(heard, Heard::Ended),
            (_, Heard::Left { .. } | Heard::Ended) => false,
        }
    }
}

/// A result with what modern ones always have.
fn modern(mut result: Value, method: &str, ttl: &Value, scope: &Value) -> Value {
    let cacheable = [
        "server/discover",
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
        "resources/read",
    ];
    let mut add = |name: &str, value: &Value| {
        if result.get(name).is_none() {
            result[name] = value.clone();
        }
    };
    add("resultType", &json!("complete"));
    if cacheable.contains(&method) && result["resultType"] == "complete" {
        for (name, value) in [("ttlMs", ttl), ("cacheScope", scope)] {
            if result.get(name).is_none() {
                result[name] = value.clone();
            }
        }
    }
    result
}

fn report(line: &Line, differences: &[String], message: Option<&Value>) -> String {
    let differences = differences.join("\n      ");
    let message = message.map(|message| format!("\n    heard:  {message}")).unwrap_or_default();
    format!("    script: {}\n      {differences}{message}", line.text)
}

fn show(heard: &Heard) -> String {
    match heard {
        Heard::Message { message, status: Some(status), .. } => format!("{status} {message}"),
        Heard::Message { message, .. } => message.to_string(),
        Heard::Left { id } => format!("the end of {id}"),
        Heard::Ended => "the end of the stream".to_owned(),
    }
}
