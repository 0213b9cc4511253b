//! Servers of both eras, over HTTP and as children, that tell of changes whatever a test says.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::child::Process;
use super::fake::tool;
use super::{Answer, Child, Fake, Upstream, until};

/// How the server is reached, and what it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    HttpLegacy,
    HttpModern,
    StdioLegacy,
    StdioModern,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] =
        [Self::HttpLegacy, Self::HttpModern, Self::StdioLegacy, Self::StdioModern];
}

/// `_meta` that names a stream.
pub(crate) const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// The server. What it is told to say goes to whoever listens; what is subscribed it only remembers.
pub(crate) enum Teller {
    Http(Http),
    Child { child: Child, process: Box<Option<Process>>, modern: bool },
}

/// The one behind a URL.
pub(crate) struct Http {
    pub(crate) upstream: Upstream,
    bell: broadcast::Sender<Value>,
    subscribed: Arc<Mutex<HashSet<String>>>,
    tools: Arc<Mutex<Vec<Value>>>,
}

fn capabilities() -> Value {
    json!({
        "tools": {"listChanged": true}, "prompts": {"listChanged": true},
        "resources": {"listChanged": true, "subscribe": true},
    })
}

impl Teller {
    pub(crate) async fn start(kind: Kind) -> Self {
        match kind {
            Kind::HttpLegacy => Self::http(Fake::legacy(), false).await,
            Kind::HttpModern => Self::http(Fake::modern(), true).await,
            Kind::StdioLegacy | Kind::StdioModern => {
                let modern = kind == Kind::StdioModern;
                let child = Child::new(if modern { MODERN_CHILD } else { LEGACY_CHILD }).await;
                Self::Child { child, process: Box::new(None), modern }
            }
        }
    }

    async fn http(mut fake: Fake, modern: bool) -> Self {
        let (bell, _) = broadcast::channel(1024);
        let subscribed = Arc::<Mutex<HashSet<String>>>::default();
        fake.capabilities = capabilities();
        let tools = Arc::new(Mutex::new(vec![tool("echo")]));
        let listed = tools.clone();
        fake = fake.on("tools/list", move |_, answer| {
            let tools = listed.lock().unwrap().clone();
            let mut result = json!({"tools": tools});
            if modern {
                result["resultType"] = json!("complete");
                result["ttlMs"] = json!(60_000);
                result["cacheScope"] = json!("public");
            }
            answer.result(result)
        });
        let fake = if modern {
            let bell = bell.clone();
            fake.on("subscriptions/listen", move |seen, answer| {
                listen(seen.rpc["params"]["notifications"].clone(), answer, bell.subscribe())
            })
        } else {
            let (bell, here, gone) = (bell.clone(), subscribed.clone(), subscribed.clone());
            let uri = |seen: &super::upstream::Seen| seen.rpc["params"]["uri"].as_str().unwrap().to_owned();
            fake.on("GET", move |_, mut answer| {
                let mut bell = bell.subscribe();
                async move {
                    answer.open_stream().await;
                    while let Some(message) = next(&mut bell, &mut answer).await {
                        answer.event(&message).await;
                    }
                }
            })
            .on("resources/subscribe", move |seen, answer| {
                here.lock().unwrap().insert(uri(&seen));
                answer.result(json!({}))
            })
            .on("resources/unsubscribe", move |seen, answer| {
                gone.lock().unwrap().remove(&uri(&seen));
                answer.result(json!({}))
            })
        };
        Self::Http(Http { upstream: fake.start().await, bell, subscribed, tools })
    }

    /// Its entry in the configuration.
    pub(crate) fn config(&self) -> Value {
        match self {
            Self::Http(http) => http.upstream.config(),
            Self::Child { child, modern, .. } => {
                let mut config = child.config();
                config["era"] = json!(if *modern { "modern" } else { "legacy" });
                config
            }
        }
    }

    /// Makes it say something to all who listen.
    pub(crate) async fn tell(&mut self, method: &str, params: Value) {
        let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
        match self {
            Self::Http(http) => {
                // Whoever listens does so by now; nobody at all is no error.
                let _ = http.bell.send(message);
            }
            Self::Child { child, process, .. } => {
                if process.is_none() {
                    **process = Some(child.started().await);
                }
                process.as_mut().as_mut().unwrap().tell(message).await;
            }
        }
    }

    /// Makes it say that a resource has changed.
    pub(crate) async fn update(&mut self, uri: &str) {
        self.tell("notifications/resources/updated", json!({"uri": uri})).await;
    }

    /// Gives one behind a URL other tools, and makes it say so.
    pub(crate) async fn give_tools(&mut self, tools: Vec<Value>) {
        let Self::Http(http) = self else { panic!("a child has the tools that it has") };
        *http.tools.lock().unwrap_or_else(PoisonError::into_inner) = tools;
        self.change_tools().await;
    }

    /// Waits until somebody listens to one behind a URL.
    pub(crate) async fn heard(&self) {
        let Self::Http(http) = self else { panic!("a child is always heard") };
        until("somebody who listens to the server", async || http.open() > 0).await;
    }

    /// Makes it say that its tools have changed.
    pub(crate) async fn change_tools(&mut self) {
        self.tell("notifications/tools/list_changed", json!({})).await;
    }
}

impl Http {
    /// What is subscribed at a legacy server.
    pub(crate) fn subscribed(&self) -> Vec<String> {
        let mut all: Vec<_> =
            self.subscribed.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        all.sort();
        all
    }

    /// How many streams it has open.
    pub(crate) fn open(&self) -> usize {
        self.bell.receiver_count()
    }

    /// The filters that it was asked for, in order.
    pub(crate) fn filters(&self) -> Vec<Value> {
        let seen = self.upstream.seen();
        let asked = seen.iter().filter(|seen| seen.method() == "subscriptions/listen");
        asked.map(|seen| seen.rpc["params"]["notifications"].clone()).collect()
    }
}

/// A stream of a modern server, up to its client's leaving.
async fn listen(filter: Value, mut answer: Answer, mut bell: broadcast::Receiver<Value>) {
    let stamp = json!({SUBSCRIPTION_ID: answer.id});
    answer.open_stream().await;
    let acknowledged = json!({
        "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
        "params": {"_meta": stamp, "notifications": filter},
    });
    answer.event(&acknowledged).await;
    while let Some(mut message) = next(&mut bell, &mut answer).await {
        message["params"]["_meta"] = stamp.clone();
        answer.event(&message).await;
    }
}

async fn next(bell: &mut broadcast::Receiver<Value>, answer: &mut Answer) -> Option<Value> {
    tokio::select! {
        message = bell.recv() => message.ok(),
        () = answer.closed() => None,
    }
}

const LEGACY_CHILD: &str = r#"
capabilities.update({"prompts": {"listChanged": True}, "resources": {"listChanged": True, "subscribe": True}})
handlers["resources/subscribe"] = lambda r: answer(r, {})
handlers["resources/unsubscribe"] = lambda r: answer(r, {})

def obey():
    while True:
        send(order())
threading.Thread(target=obey, daemon=True).start()
"#;

const MODERN_CHILD: &str = r#"
ID = "io.modelcontextprotocol/subscriptionId"
listening = {}
capabilities.update({"prompts": {"listChanged": True}, "resources": {"listChanged": True, "subscribe": True}})
hints = {"resultType": "complete", "ttlMs": 60000, "cacheScope": "public"}
handlers["server/discover"] = lambda r: answer(r, dict(hints, supportedVersions=["2026-07-28"], capabilities=capabilities))
handlers["tools/list"] = lambda r: answer(r, dict(hints, tools=tools))

def listen(request):
    listening[request["id"]] = request["params"]["notifications"]
    params = {"_meta": {ID: request["id"]}, "notifications": request["params"]["notifications"]}
    send({"method": "notifications/subscriptions/acknowledged", "params": params})
handlers["subscriptions/listen"] = listen
handlers["notifications/cancelled"] = lambda n: listening.pop(n["params"]["requestId"], None)

def obey():
    while True:
        message = order()
        for id in list(listening):
            send(dict(message, params=dict(message["params"], _meta={ID: id})))
threading.Thread(target=obey, daemon=True).start()
"#;
