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
use portcullis_identity::{Fetch, FetchError, Form, Trust, Wanted};
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
/// While the service is away, tools are not learned for so long, and nothing more is said of it.
const PAUSE: Duration = Duration::from_secs(30);
/// After so long a text is asked about again for which there was no vector.
const ASKED_AGAIN: Duration = Duration::from_hours(1);
/// What every service has a vector for: one that answers this is there.
const ANY: &str = "a tool";
/// Vectors of more bytes together are not gone through on a worker: so many take a fraction of a millisecond.
const MOST_HERE: usize = 1 << 20;
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
    /// When the service was found to be away as tools were learned: what becomes of a question is its caller's alone.
    away: Mutex<Option<Instant>>,
    /// When the log said so last.
    said: Mutex<Option<Instant>>,
    metrics: Metrics,
}

/// Vectors by the digests of their texts: the newer ones, and those before them.
#[derive(Default)]
struct Known {
    newer: HashMap<Key, Arc<Vector>>,
    older: HashMap<Key, Arc<Vector>>,
    /// Of the newer ones.
    bytes: usize,
    /// Texts that have no vector, and since when that is known.
    none: HashMap<Key, Instant>,
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

    /// What a service said of a text; `None` when it has no vector for it.
    fn learn(&mut self, text: &str, vector: Option<Vector>) {
        match vector {
            Some(vector) => self.add(key(text), Arc::new(vector)),
            None => {
                if self.none.len() >= MOST_KNOWN {
                    self.none.clear();
                }
                self.none.insert(key(text), Instant::now());
            }
        }
    }

    /// Whether there is no vector for a text, as far as is known.
    fn has_none(&self, key: &Key) -> bool {
        self.none.get(key).is_some_and(|since| since.elapsed() < ASKED_AGAIN)
    }
}

/// Why there are no vectors.
struct Failure {
    why: String,
    /// It may be for what was asked, and not because of who asks or of whom.
    may_be_of_text: bool,
}

impl Failure {
    fn of_text(why: String) -> Self {
        Self { why, may_be_of_text: true }
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        let may_be_of_text = match error {
            FetchError::Status(401 | 403 | 429) | FetchError::Forbidden(_) | FetchError::Failed(_) => false,
            // Servers of models say 500, too, of a text that is too long for them.
            FetchError::Status(status) => (400..=500).contains(&status),
            FetchError::TooLarge => true,
        };
        Self { why: error.to_string(), may_be_of_text }
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
            away: Mutex::default(),
            said: Mutex::default(),
            metrics: metrics.clone(),
            settings,
        })
    }

    /// Whether it is as these settings say.
    pub(crate) fn is_as(&self, settings: &config::Embeddings) -> bool {
        self.settings == *settings
    }

    /// The vectors of some texts; none of what has no direction.
    async fn ask(&self, texts: &[String]) -> Result<Vec<Option<Vector>>, Failure> {
        let body = json!({ "model": self.settings.model, "input": texts, "encoding_format": "float" });
        let authorization = self.authorization.clone();
        let form = Form { body: body.to_string(), json: true, authorization, ..Form::default() };
        let wanted = Wanted::post(&self.settings.url, Trust::Configured, form, LARGEST);
        let outside = self.outside.as_ref();
        let outside = outside.map_err(|why| Failure { why: why.clone(), may_be_of_text: false })?;
        let fetched = outside.fetch(wanted).await?;
        let answer = serde_json::from_slice(&fetched.body);
        let Answer { data } = answer.map_err(|error| Failure::of_text(format!("not its answer: {error}")))?;
        let all: BTreeMap<usize, Vec<f32>> = data.into_iter().map(|it| (it.index, it.embedding)).collect();
        let vectors = (0..texts.len()).map(|index| Some(Vector::new(all.get(&index)?)));
        let vectors: Option<Vec<_>> = vectors.collect();
        vectors.ok_or_else(|| Failure::of_text("an answer without a vector for each text".to_owned()))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The vector of a question, if there is one in time.
    async fn question(&self, question: &str) -> Option<Arc<Vector>> {
        let key = key(question);
        {
            let mut known = self.known();
            let vector = known.get(&key);
            if vector.is_some() || known.has_none(&key) {
                return vector;
            }
        }
        let texts = [question.to_owned()];
        let vector = match tokio::time::timeout(self.settings.timeout, self.ask(&texts)).await {
            Ok(Ok(mut vectors)) => vectors.pop()?,
            Ok(Err(failure)) => {
                self.failed(&failure.why);
                return None;
            }
            Err(_) => {
                self.count("late");
                return None;
            }
        };
        self.count("ok");
        let mut known = self.known();
        known.learn(question, vector);
        known.get(&key)
    }

    /// Said once in a while.
    fn failed(&self, why: &str) {
        self.count("failed");
        if !is_lately(&self.said) {
            tracing::warn!(why, "`discovery.embeddings` does not answer: tools are found by words alone");
            note(&self.said);
        }
    }

    fn count(&self, outcome: &'static str) {
        let help = "Questions and batches of tools for which vectors were wanted, by what became of that.";
        self.metrics.counter("portcullis_embeddings_total", help, &[("outcome", outcome)]).add(1);
    }

    fn is_pausing(&self) -> bool {
        is_lately(&self.away)
    }

    /// Asks about these texts, one batch after the other, until all are known or the service is away.
    async fn learn(&self, texts: Vec<String>) {
        for batch in texts.chunks(TOGETHER) {
            if let Err(why) = self.learn_batch(batch).await {
                self.failed(&why);
                note(&self.away);
                break;
            }
        }
        self.learning.store(false, Ordering::Release);
    }

    /// Asks about a batch, and where that is refused, about each of its texts: whoever writes one that is refused keeps none of
    /// the others from being learned.
    ///
    /// # Errors
    /// The service is away.
    async fn learn_batch(&self, batch: &[String]) -> Result<(), String> {
        let why = match self.ask(batch).await {
            Ok(vectors) => {
                self.count("ok");
                let mut known = self.known();
                batch.iter().zip(vectors).for_each(|(text, vector)| known.learn(text, vector));
                return Ok(());
            }
            Err(failure) if failure.may_be_of_text => failure.why,
            Err(failure) => return Err(failure.why),
        };
        if let [text] = batch {
            // A service that answers nothing says so of every text, as one does that has no such model.
            self.ask(&[ANY.to_owned()]).await.map_err(|failure| failure.why)?;
            self.count("refused");
            tracing::debug!(
                why,
                "`discovery.embeddings` has no vector for a text, which is found by words alone"
            );
            self.known().learn(text, None);
            return Ok(());
        }
        for text in batch {
            Box::pin(self.learn_batch(std::slice::from_ref(text))).await?;
        }
        Ok(())
    }

    /// What is known of the tools that are shown, by part and place; the texts of those of which nothing is, for whoever is to
    /// learn them: one at a time.
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
                    None if known.has_none(key) => {}
                    // One look learns no more than fits.
                    None if unknown.len() < MOST_KNOWN / 2 => unknown.push((part, item)),
                    None => {}
                }
            }
        }
        drop(known);
        if unknown.is_empty() || self.is_pausing() || self.learning.swap(true, Ordering::AcqRel) {
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
    if !unknown.is_empty() {
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
    among(asked, known).await
}

/// The nearest to a question. Many are gone through beside the worker, whose other calls do not wait for them.
async fn among(asked: Arc<Vector>, known: Vec<Placed>) -> Option<Vec<Hit>> {
    let bytes: usize = known.iter().map(|(.., vector)| vector.size()).sum();
    let rank =
        move || nearest(&asked, known.iter().map(|(part, item, vector)| (*part, *item, &**vector)), NEAREST);
    if bytes <= MOST_HERE {
        return Some(rank());
    }
    tokio::task::spawn_blocking(rank).await.ok()
}

fn is_lately(at: &Mutex<Option<Instant>>) -> bool {
    at.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| at.elapsed() < PAUSE)
}

fn note(at: &Mutex<Option<Instant>>) {
    *at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
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
mod tests;
