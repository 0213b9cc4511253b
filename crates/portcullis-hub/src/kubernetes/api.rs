//! The few requests of the API that are needed, each bounded in time and size, and sent again where that harms nobody.
//!
//! All of them may be carried out twice: what is applied is applied as a whole, what is deleted is named by its uid. So what was
//! refused for a reason that passes is asked again a few times, with growing pauses.

use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::failure::{Failure, Refused};
use super::objects::MANAGER;

/// Largest answer, in bytes; a page of Deployments has some.
const LARGEST: usize = 16 << 20;
/// Largest answer that is only read for what it says.
const REFUSAL: usize = 64 << 10;
/// From the first byte of a request to the last of the answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often something is asked for, and how long the first pause is.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What is answered with.
const OBJECTS: &str = "application/json";
/// What is answered to whoever writes a Secret: an object would have all that is in it, with what others put there.
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// The way to an API server. It knows where that is and shows it who asks.
pub trait Wire: Send + Sync {
    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    /// Why there is none, for people.
    fn send(&self, request: Request) -> Sending;
}

/// An answer that is under way.
pub type Sending = Pin<Box<dyn Future<Output = Result<Answer, String>> + Send>>;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method of HTTP.
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// The media type of the answer.
    pub accept: &'static str,
    /// The media type of the body.
    pub media: Option<&'static str>,
    /// The body; empty where there is none.
    pub body: Vec<u8>,
}

/// The head of an answer, and its body as it comes.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Box<dyn Chunks>,
}

/// A body as it comes.
pub trait Chunks: Send {
    /// The next piece; `None` at the end.
    fn next(&mut self) -> Coming<'_>;
}

/// A piece of a body that is under way.
pub type Coming<'a> = Pin<Box<dyn Future<Output = Result<Option<Vec<u8>>, String>> + Send + 'a>>;

/// What is done with a kind of object, as roles name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Apply,
    Note,
    List,
    Watch,
    Delete,
    Read,
}

impl Verb {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Note => "note in",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Delete => "delete",
            Self::Read => "read",
        }
    }
}

/// Kinds of objects, with where they are in the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Deployment,
    Service,
    Secret,
    NetworkPolicy,
    Pod,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::Service => "Service",
            Self::Secret => "Secret",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::Pod => "Pod",
        }
    }

    fn path(self, namespace: &str) -> String {
        let (group, plural) = match self {
            Self::Deployment => ("apis/apps/v1", "deployments"),
            Self::Service => ("api/v1", "services"),
            Self::Secret => ("api/v1", "secrets"),
            Self::NetworkPolicy => ("apis/networking.k8s.io/v1", "networkpolicies"),
            Self::Pod => ("api/v1", "pods"),
        };
        format!("/{group}/namespaces/{namespace}/{plural}")
    }
}

/// One namespace of a cluster.
pub(super) struct Api {
    wire: Arc<dyn Wire>,
    namespace: String,
}

impl Api {
    pub(super) fn new(wire: Arc<dyn Wire>, namespace: String) -> Self {
        Self { wire, namespace }
    }

    /// Applies an object: what the gateway decides about it is so afterwards, and nothing else has changed.
    ///
    /// # Errors
    /// [`Failure`]; a conflict where somebody else manages one of these fields.
    pub(super) async fn apply(&self, kind: Kind, name: &str, object: &Value) -> Result<Value, Failure> {
        let path = kind.path(&self.namespace);
        let request = Request {
            method: "PATCH",
            path: format!("{path}/{name}?fieldManager={MANAGER}&fieldValidation=Strict"),
            accept: if kind == Kind::Secret { METADATA } else { OBJECTS },
            // YAML, of which JSON is a part: all versions of the API take this name.
            media: Some("application/apply-patch+yaml"),
            body: object.to_string().into_bytes(),
        };
        let what = format!("{} `{name}`", kind.name());
        self.json(Verb::Apply, &what, request).await
    }

    /// Sets annotations, or removes those that are `null`; whoever else manages others keeps them.
    pub(super) async fn annotate(
        &self,
        kind: Kind,
        name: &str,
        annotations: &Map<String, Value>,
    ) -> Result<Value, Failure> {
        let path = kind.path(&self.namespace);
        let request = Request {
            method: "PATCH",
            path: format!("{path}/{name}?fieldManager={MANAGER}"),
            accept: OBJECTS,
            media: Some("application/merge-patch+json"),
            body: json!({ "metadata": { "annotations": annotations } }).to_string().into_bytes(),
        };
        let what = format!("{} `{name}`", kind.name());
        self.json(Verb::Note, &what, request).await
    }

    /// One page of the objects with these labels; `more` is where the one before it ended.
    pub(super) async fn list(
        &self,
        kind: Kind,
        selector: &str,
        limit: usize,
        more: Option<&str>,
    ) -> Result<Value, Failure> {
        let path = kind.path(&self.namespace);
        let mut path = format!("{path}?labelSelector={}&limit={limit}", encoded(selector));
        if let Some(more) = more {
            path = format!("{path}&continue={}", encoded(more));
        }
        self.json(Verb::List, &format!("{}s", kind.name()), get(path)).await
    }

    /// Pods with these labels, as far as they are in this state, and no more than one page of them.
    pub(super) async fn pods(&self, selector: &str, state: &str, limit: usize) -> Result<Value, Failure> {
        let path = Kind::Pod.path(&self.namespace);
        let (selector, state) = (encoded(selector), encoded(state));
        let path = format!("{path}?labelSelector={selector}&fieldSelector={state}&limit={limit}");
        self.json(Verb::List, "Pods", get(path)).await
    }

    /// What becomes of the objects with these labels, from a version on: a line of JSON for each change.
    pub(super) async fn watch(
        &self,
        kind: Kind,
        selector: &str,
        from: &str,
        lasts: Duration,
    ) -> Result<Box<dyn Chunks>, Failure> {
        let (path, selector, from) = (kind.path(&self.namespace), encoded(selector), encoded(from));
        let path = format!(
            "{path}?watch=true&labelSelector={selector}&resourceVersion={from}&allowWatchBookmarks=true&timeoutSeconds={}",
            lasts.as_secs()
        );
        let what = format!("{}s", kind.name());
        let answer = tokio::time::timeout(PATIENCE, self.wire.send(get(path))).await;
        let answer = answer.map_err(|_| late())?.map_err(Failure::Away)?;
        self.fit(Verb::Watch, &what, answer).await
    }

    /// Deletes a Deployment and what it owns, if it is still the one with this uid, and nobody has touched it since this version;
    /// whether it was that.
    pub(super) async fn delete(
        &self,
        kind: Kind,
        name: &str,
        uid: &str,
        version: Option<&str>,
    ) -> Result<bool, Failure> {
        let path = kind.path(&self.namespace);
        let mut options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": { "uid": uid },
        });
        if let Some(version) = version {
            options["preconditions"]["resourceVersion"] = version.into();
        }
        let request = Request {
            method: "DELETE",
            path: format!("{path}/{name}"),
            accept: OBJECTS,
            media: Some("application/json"),
            body: options.to_string().into_bytes(),
        };
        let what = format!("{} `{name}`", kind.name());
        match self.json(Verb::Delete, &what, request).await {
            Ok(_) => Ok(true),
            // It is gone, or another one by now.
            Err(Failure::Refused(refused)) if matches!(refused.status, 404 | 409 | 410) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// The last lines of a pod's output, each with its time before it.
    pub(super) async fn logs(
        &self,
        pod: &str,
        container: &str,
        lines: usize,
        bytes: usize,
    ) -> Result<Vec<u8>, Failure> {
        let path = Kind::Pod.path(&self.namespace);
        let path = format!(
            "{path}/{pod}/log?container={container}&tailLines={lines}&limitBytes={bytes}&timestamps=true"
        );
        self.ask(Verb::Read, &format!("the log of Pod `{pod}`"), get(path), bytes + 4096).await
    }

    async fn json(&self, verb: Verb, what: &str, request: Request) -> Result<Value, Failure> {
        let body = self.ask(verb, what, request, LARGEST).await?;
        serde_json::from_slice(&body)
            .map_err(|error| Failure::Unreadable(format!("{} {what}", verb.as_str()), error.to_string()))
    }

    /// Asks until there is an answer that says something.
    async fn ask(&self, verb: Verb, what: &str, request: Request, most: usize) -> Result<Vec<u8>, Failure> {
        let (mut pause, mut attempt) = (PAUSE, 1);
        loop {
            let asked = tokio::time::timeout(PATIENCE, self.once(verb, what, request.clone(), most)).await;
            let failure = match asked.unwrap_or_else(|_| Err(late())) {
                Ok(body) => return Ok(body),
                Err(failure) => failure,
            };
            let wait = match &failure {
                _ if attempt == ATTEMPTS => return Err(failure),
                Failure::Away(_) => pause,
                Failure::Refused(refused) if refused.passes() => {
                    refused.retry_after.map_or(pause, Duration::from_secs).clamp(pause, LONGEST_PAUSE)
                }
                _ => return Err(failure),
            };
            tracing::debug!(what, attempt, %failure, "asked the API server in vain");
            tokio::time::sleep(wait).await;
            (pause, attempt) = ((pause * 2).min(LONGEST_PAUSE), attempt + 1);
        }
    }

    async fn once(&self, verb: Verb, what: &str, request: Request, most: usize) -> Result<Vec<u8>, Failure> {
        let answer = self.wire.send(request).await.map_err(Failure::Away)?;
        let mut body = self.fit(verb, what, answer).await?;
        match collect(&mut *body, most).await? {
            Some(body) => Ok(body),
            None => Err(Failure::Large(format!("{} {what}", verb.as_str()), most)),
        }
    }

    /// The body of an answer that is a success.
    async fn fit(&self, verb: Verb, what: &str, mut answer: Answer) -> Result<Box<dyn Chunks>, Failure> {
        if (200..300).contains(&answer.status) {
            return Ok(answer.body);
        }
        let reading = tokio::time::timeout(PATIENCE, collect(&mut *answer.body, REFUSAL)).await;
        let body = reading.unwrap_or(Ok(None)).unwrap_or_default().unwrap_or_default();
        Err(Refused::read(verb, what, answer.status, &body).into())
    }
}

fn get(path: String) -> Request {
    Request { method: "GET", path, accept: OBJECTS, media: None, body: Vec::new() }
}

fn late() -> Failure {
    Failure::Away(format!("it did not answer within {} s", PATIENCE.as_secs()))
}

/// A whole body; `None` when it is larger than it may be.
async fn collect(body: &mut dyn Chunks, most: usize) -> Result<Option<Vec<u8>>, Failure> {
    let mut all = Vec::new();
    while let Some(piece) = body.next().await.map_err(Failure::Away)? {
        if all.len() + piece.len() > most {
            return Ok(None);
        }
        all.extend(piece);
    }
    Ok(Some(all))
}

/// A value of a query.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
