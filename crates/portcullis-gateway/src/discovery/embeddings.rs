//! Meanings beside words: vectors of tools and questions, from a service that the operator names.
//!
//! It speaks the interface of OpenAI's `/v1/embeddings`, which most servers of models have. The texts of tools that somebody searches
//! among are sent there once, in the background, and their vectors are kept by the digest of the text, so many of them. A question is sent
//! with every search that nobody made before, and has little time: when there is no answer by then, words alone decide. What
//! is near in meaning and what fits in words are two rankings, made one by reciprocal ranks.
//!
//! A question is a way out of the gateway. It is sent as the guard leaves it, and not at all where the guard stops it, or where
//! its caller has read what flows keep apart: private or untrusted data, or data of a region. Texts of tools are those that clients
//! are shown.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use portcullis_config as config;
use portcullis_hub::search::{Hit, Vector, nearest};
use portcullis_identity::{Fetch, Form, Trust, Wanted};
use portcullis_mcp::json::{Object, Raw};
use portcullis_mcp::method::Method;
use portcullis_model::ServerId;
use portcullis_telemetry::Metrics;
use serde::Deserialize;
use serde_json::json;

use crate::call::Call;
use crate::gateway::Gateway;
use crate::inspect::{Inspection, Subject};
use crate::oversight;
use crate::route::{Listing, Tools};

/// Texts in one request: a small machine has to have read them before the client gives up, in eight seconds.
const TOGETHER: usize = 4;
/// Largest answer that is read, in bytes: so many vectors of 4,096 numbers in full.
const LARGEST: usize = 4 << 20;
/// Longest text that is sent, in characters: what models read of one.
const LONGEST: usize = 1_000;
/// Vectors after which the older ones are forgotten, and bytes of them.
const MOST_KNOWN: usize = 20_000;
const MOST_BYTES: usize = 32 << 20;
/// After a failure, tools are not learned for so long.
const PAUSE: Duration = Duration::from_secs(30);
/// The nearest so many count.
pub(super) const NEAREST: usize = 50;

/// A tool's part and place, and what it means.
type Placed = (usize, usize, Arc<Vector>);

/// The digest of a text.
pub(crate) type Key = [u8; 32];

/// Whom to ask, and what is known.
pub(crate) struct Embeddings {
    settings: config::Embeddings,
    authorization: String,
    /// Or why it cannot be asked.
    outside: Result<Arc<dyn Fetch>, String>,
    known: Mutex<Known>,
    learning: AtomicBool,
    failed: Mutex<Option<Instant>>,
    metrics: Metrics,
}

/// Vectors by the digests of their texts: the newer ones, and those before them.
#[derive(Default)]
struct Known {
    newer: HashMap<Key, Arc<Vector>>,
    older: HashMap<Key, Arc<Vector>>,
    /// Of the newer ones.
    bytes: usize,
}

impl Known {
    fn get(&mut self, key: &Key) -> Option<Arc<Vector>> {
        if let Some(vector) = self.newer.get(key) {
            return Some(vector.clone());
        }
        let vector = self.older.remove(key)?;
        self.add(*key, vector.clone());
        Some(vector)
    }

    fn add(&mut self, key: Key, vector: Arc<Vector>) {
        if self.newer.len() >= MOST_KNOWN || self.bytes + vector.size() > MOST_BYTES {
            self.older = std::mem::take(&mut self.newer);
            self.bytes = 0;
        }
        self.bytes += vector.size();
        self.newer.insert(key, vector);
    }
}

/// What the service answers.
#[derive(Deserialize)]
struct Answer {
    data: Vec<Embedding>,
}

#[derive(Deserialize)]
struct Embedding {
    index: usize,
    embedding: Vec<f32>,
}

/// What of a tool is sent.
fn text_of(listing: &Listing, index: usize) -> String {
    let item = &listing.items[index];
    let say = |key| item.raw.find_string(key).unwrap_or_default();
    let name = item.known_as().replace(['_', '-', '.', '/'], " ");
    let text = format!("{} {name}: {} {}", listing.server, say("title"), say("description"));
    text.chars().take(LONGEST).collect()
}

/// The digests of a list's texts.
pub(crate) fn keys(listing: &Listing) -> Vec<Key> {
    (0..listing.items.len()).map(|index| key(&text_of(listing, index))).collect()
}

fn key(text: &str) -> Key {
    digest(&SHA256, text.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

impl Embeddings {
    pub(crate) fn of(settings: &config::Embeddings, metrics: &Metrics) -> Arc<Self> {
        let outside = crate::identity::outside(settings.ca.as_deref()).map_err(|error| error.to_string());
        Self::asking(settings.clone(), outside, metrics)
    }

    fn asking(
        settings: config::Embeddings,
        outside: Result<Arc<dyn Fetch>, String>,
        metrics: &Metrics,
    ) -> Arc<Self> {
        let authorization = settings.key.as_ref().map(|key| format!("Bearer {}", key.expose()));
        Arc::new(Self {
            authorization: authorization.unwrap_or_default(),
            outside,
            known: Mutex::default(),
            learning: AtomicBool::new(false),
            failed: Mutex::default(),
            metrics: metrics.clone(),
            settings,
        })
    }

    /// Whether it is as these settings say.
    pub(crate) fn is_as(&self, settings: &config::Embeddings) -> bool {
        self.settings == *settings
    }

    /// The vectors of some texts.
    async fn ask(&self, texts: &[String]) -> Result<Vec<Vector>, String> {
        let body = json!({ "model": self.settings.model, "input": texts, "encoding_format": "float" });
        let authorization = self.authorization.clone();
        let form = Form { body: body.to_string(), json: true, authorization, ..Form::default() };
        let wanted = Wanted::post(&self.settings.url, Trust::Configured, form, LARGEST);
        let outside = self.outside.as_ref().map_err(Clone::clone)?;
        let fetched = outside.fetch(wanted).await.map_err(|error| error.to_string())?;
        let Answer { data } =
            serde_json::from_slice(&fetched.body).map_err(|error| format!("not its answer: {error}"))?;
        let all: BTreeMap<usize, Vec<f32>> = data.into_iter().map(|it| (it.index, it.embedding)).collect();
        let vectors: Option<Vec<_>> = (0..texts.len()).map(|index| Vector::new(all.get(&index)?)).collect();
        vectors.ok_or_else(|| "an answer without a vector for each text".to_owned())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The vector of a question, if there is one in time.
    async fn question(&self, question: &str) -> Option<Arc<Vector>> {
        let key = key(question);
        let known = self.known().get(&key);
        if known.is_some() {
            return known;
        }
        let texts = [question.to_owned()];
        let vector = match tokio::time::timeout(self.settings.timeout, self.ask(&texts)).await {
            Ok(Ok(mut vectors)) => Arc::new(vectors.pop()?),
            Ok(Err(why)) => {
                self.failed(&why);
                return None;
            }
            Err(_) => {
                self.count("late");
                return None;
            }
        };
        self.count("ok");
        self.known().add(key, vector.clone());
        Some(vector)
    }

    /// Said once in a while.
    fn failed(&self, why: &str) {
        self.count("failed");
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_none_or(|at| at.elapsed() >= PAUSE) {
            tracing::warn!(why, "`discovery.embeddings` does not answer: tools are found by words alone");
            *failed = Some(Instant::now());
        }
    }

    fn count(&self, outcome: &'static str) {
        let help = "Questions and batches of tools for which vectors were wanted, by what became of that.";
        self.metrics.counter("portcullis_embeddings_total", help, &[("outcome", outcome)]).add(1);
    }

    fn is_pausing(&self) -> bool {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|at| at.elapsed() < PAUSE)
    }

    /// Asks about these texts, one batch after the other, until all are known or one fails.
    async fn learn(&self, texts: Vec<String>) {
        for batch in texts.chunks(TOGETHER) {
            match self.ask(batch).await {
                Ok(vectors) => {
                    self.count("ok");
                    let mut known = self.known();
                    for (text, vector) in batch.iter().zip(vectors) {
                        known.add(key(text), Arc::new(vector));
                    }
                }
                Err(why) => {
                    self.failed(&why);
                    break;
                }
            }
        }
        self.learning.store(false, Ordering::Release);
    }

    /// What is known of the tools that are shown, by part and place; the texts of those of which nothing is.
    fn tools(&self, tools: &Tools) -> (Vec<Placed>, Vec<String>) {
        let (mut found, mut unknown) = (Vec::new(), Vec::new());
        let mut known = self.known();
        for (part, (listing, shown)) in tools.parts().enumerate() {
            for (item, key) in listing.meanings().iter().enumerate() {
                if shown.items().is_some_and(|shown| !shown.get(item).copied().unwrap_or(false)) {
                    continue;
                }
                match known.get(key) {
                    Some(vector) => found.push((part, item, vector)),
                    // One look learns no more than fits.
                    None if unknown.len() < MOST_KNOWN / 2 => unknown.push((part, item)),
                    None => {}
                }
            }
        }
        drop(known);
        if unknown.is_empty() || self.is_pausing() {
            return (found, Vec::new());
        }
        let parts: Vec<_> = tools.parts().collect();
        let texts = unknown.into_iter().map(|(part, item)| text_of(parts[part].0, item));
        (found, texts.collect())
    }
}

/// The tools that are nearest in meaning; `None` where nothing is known of that.
pub(super) async fn ranking(
    gateway: &Gateway,
    call: &Call,
    tools: &Tools,
    question: &str,
) -> Option<Vec<Hit>> {
    let embeddings = gateway.embeddings.load_full()?;
    let (known, unknown) = embeddings.tools(tools);
    if !unknown.is_empty() && !embeddings.learning.swap(true, Ordering::AcqRel) {
        let learning = embeddings.clone();
        gateway.env.control.spawn(async move { learning.learn(unknown).await });
    }
    if known.is_empty() {
        return None;
    }
    let Some(question) = sayable(gateway, call, question).await else {
        embeddings.count("withheld");
        return None;
    };
    let asked = embeddings.question(&question).await?;
    Some(nearest(&asked, known.iter().map(|(part, item, vector)| (*part, *item, &**vector)), NEAREST))
}

/// The question as it may be said outside; `None` where it may not.
async fn sayable(gateway: &Gateway, call: &Call, question: &str) -> Option<String> {
    if !oversight::has_read_nothing(gateway, call).await {
        return None;
    }
    let inspection = Inspection::new(&gateway.env.guard(), || Subject {
        caller: call.caller.clone(),
        server: ServerId::parse("hub").expect("a slug"),
        method: Method::ToolsCall,
        tool: Some("search".to_owned()),
        output_schema: None,
        holds: false,
        ruled: None,
    });
    let params: Object = Raw::from_value(&json!({ "arguments": { "query": question } })).into();
    let content = inspection.outgoing(Some(params)).await.ok()?;
    content.params()?.find("arguments")?.find_string("query")
}

#[cfg(test)]
mod tests {
    use portcullis_identity::{Fetched, Fetching};
    use serde_json::Value;

    use super::*;

    /// A service that gives each text a vector of its length, or says this.
    #[derive(Clone, Default)]
    struct Service {
        asked: Arc<Mutex<Vec<Value>>>,
        says: Option<&'static str>,
        silent: bool,
    }

    impl Fetch for Service {
        fn fetch(&self, wanted: Wanted) -> Fetching {
            let form = wanted.form.expect("it is posted");
            assert_eq!(form.authorization, "Bearer secret");
            let asked: Value = serde_json::from_str(&form.body).unwrap();
            self.asked.lock().unwrap().push(asked.clone());
            let (says, silent) = (self.says, self.silent);
            Box::pin(async move {
                if silent {
                    std::future::pending::<()>().await;
                }
                let all = asked["input"].as_array().unwrap().iter().enumerate().rev();
                let vector = |(index, text): (usize, &Value)| json!({"object": "embedding", "index": index, "embedding": [text.as_str().unwrap().len(), 1]});
                let body = json!({"object": "list", "data": all.map(vector).collect::<Vec<_>>()}).to_string();
                let body = says.map_or(body, str::to_owned);
                Ok(Fetched { body: body.into_bytes(), ..Fetched::default() })
            })
        }
    }

    fn asking(service: &Service) -> Arc<Embeddings> {
        let settings = config::Embeddings {
            url: "https://models.example/v1/embeddings".to_owned(),
            model: "small".to_owned(),
            key: Some(config::Secret::new("secret", config::SecretSource::Literal)),
            ca: None,
            timeout: Duration::from_millis(200),
        };
        Embeddings::asking(settings, Ok(Arc::new(service.clone())), &Metrics::default())
    }

    #[tokio::test]
    async fn a_question_is_asked_once_and_vectors_are_taken_by_their_index() {
        let service = Service::default();
        let embeddings = asking(&service);
        let first = embeddings.question("a question").await.expect("a vector");
        assert_eq!(embeddings.question("a question").await, Some(first));
        assert_eq!(service.asked.lock().unwrap().len(), 1);
        let texts = ["one".to_owned(), "longer".to_owned()];
        let vectors = embeddings.ask(&texts).await.unwrap();
        assert_eq!(vectors, [Vector::new(&[3.0, 1.0]).unwrap(), Vector::new(&[6.0, 1.0]).unwrap()]);
        assert_eq!(service.asked.lock().unwrap()[1]["model"], "small");
    }

    #[tokio::test]
    async fn whatever_goes_wrong_words_are_left() {
        let wrong = |says| Service { says: Some(says), ..Service::default() };
        for service in [
            Service { silent: true, ..Service::default() },
            wrong("{}"),
            wrong(r#"{"data": []}"#),
            wrong(r#"{"data": [{"index": 0, "embedding": [0, 0]}]}"#),
            wrong(r#"{"data": [{"index": 7, "embedding": [1]}]}"#),
        ] {
            assert_eq!(asking(&service).question("a question").await, None, "{:?}", service.says);
        }
        let broken = asking(&wrong("{}"));
        broken.learn(vec!["one".to_owned(); 40]).await;
        assert!(broken.is_pausing() && !broken.learning.load(Ordering::Acquire));
    }

    #[test]
    fn what_is_known_is_bounded() {
        let (mut known, vector) = (Known::default(), Arc::new(Vector::new(&[1.0; 4096]).unwrap()));
        for number in 0..20_000 {
            known.add(key(&number.to_string()), vector.clone());
            assert!(known.bytes <= MOST_BYTES);
        }
        assert!(known.get(&key("0")).is_none() && known.get(&key("19999")).is_some());
    }
}
