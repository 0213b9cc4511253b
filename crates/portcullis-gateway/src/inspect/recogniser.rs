//! Another recogniser, with the interface of Presidio's analyzer, which is asked about the texts of a message before the guard
//! reads it.
//!
//! Short texts go together in one request, each at its own place, and what was found in a request is known for a while by
//! the digest of all its text: what is found in a text may hang on those around it, and nobody's message is to decide about
//! another's. Time, size and the number of requests are bounded, and one message has a part of the places only. What could not be asked about either passes with
//! what the guard finds by itself, or is handed to the engine as not read, which blocks it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use portcullis_config::{self as config, Direction};
use portcullis_guard::{Entity, EntitySet, Span, Told};
use portcullis_identity::{Fetch, Form as Posted, Trust, Wanted};
use portcullis_mcp::json::Raw;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::content::Inner;
use super::decision::Form;

/// How long a request's texts are together, in bytes; a longer text is alone in its own.
const TOGETHER: usize = 32 << 10;
/// What stands between them.
const BETWEEN: &str = "\n\n";
/// Largest answer that is read, in bytes.
const LARGEST: usize = 1 << 20;
/// Of so many places a message has one.
const SHARES: usize = 4;
/// Requests, and places in their texts, after which the older ones of those that are known are forgotten.
const MOST_KNOWN: usize = 8192;
const MOST_PLACES: usize = 65_536;

/// Whom to ask.
pub(super) struct Recogniser {
    settings: config::Recogniser,
    authorization: String,
    /// Or why it cannot be asked.
    outside: Result<Arc<dyn Fetch>, String>,
    places: Semaphore,
    known: Mutex<Known>,
}

/// What was found in the texts of requests, by their digests: the newer ones, and those before them.
#[derive(Default)]
struct Known {
    newer: HashMap<[u8; 32], Arc<[Span]>>,
    older: HashMap<[u8; 32], Arc<[Span]>>,
    /// Places in the newer ones.
    places: usize,
}

/// Texts of one request.
#[derive(Default)]
struct Batch {
    text: String,
    /// Where each text begins.
    texts: Vec<(usize, String)>,
}

impl Recogniser {
    pub(super) fn of(settings: &config::Recogniser) -> Self {
        let outside = crate::identity::outside(settings.ca.as_deref()).map_err(|error| error.to_string());
        Self::asking(settings.clone(), outside)
    }

    fn asking(settings: config::Recogniser, outside: Result<Arc<dyn Fetch>, String>) -> Self {
        let authorization = settings.token.as_ref().map(|token| format!("Bearer {}", token.expose()));
        Self {
            authorization: authorization.unwrap_or_default(),
            places: Semaphore::new(settings.concurrency),
            known: Mutex::default(),
            settings,
            outside,
        }
    }

    /// What it finds.
    pub(super) fn finds(&self) -> EntitySet {
        self.settings.entities.iter().map(|(_, entity)| *entity).collect()
    }

    /// What is found in each of some texts; `None` where they pass without.
    async fn told(&self, texts: Vec<String>) -> Option<Told> {
        match self.read(texts).await {
            Ok(told) => Some(told),
            Err(why) => {
                tracing::warn!(
                    why,
                    blocks = !self.settings.lenient,
                    "`guard.recogniser` was not asked about a message"
                );
                (!self.settings.lenient).then(Told::default)
            }
        }
    }

    /// # Errors
    /// They are too long, or it gave no answer that is one.
    async fn read(&self, texts: Vec<String>) -> Result<Told, String> {
        let length: usize = texts.iter().map(String::len).sum();
        if length > self.settings.max_bytes {
            return Err(format!("its texts have {length} bytes, more than `max_bytes`"));
        }
        let at_once = (self.settings.concurrency / SHARES).max(1);
        let found = stream::iter(batches(texts)).map(|batch| self.spans(batch)).buffered(at_once);
        let found = tokio::time::timeout(self.settings.timeout, found.try_collect::<Vec<_>>()).await;
        Ok(found.map_err(|_| "no answer in time".to_owned())??.into_iter().flatten().collect())
    }

    /// What is found in each text of a batch.
    async fn spans(&self, batch: Batch) -> Result<Vec<(String, Arc<[Span]>)>, String> {
        let key = key(&batch.text);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key);
        let found = match known {
            Some(found) => found,
            None => {
                let found: Arc<[Span]> = self.ask(&batch.text).await?.into();
                self.known.lock().unwrap_or_else(PoisonError::into_inner).add(key, found.clone());
                found
            }
        };
        let mut spans: Vec<Vec<Span>> = batch.texts.iter().map(|_| Vec::new()).collect();
        for span in &*found {
            let first = batch.texts.partition_point(|(start, text)| start + text.len() <= span.start);
            for ((start, text), spans) in batch.texts.iter().zip(&mut spans).skip(first) {
                if *start >= span.end {
                    break;
                }
                let (from, to) = (span.start.max(*start) - start, span.end.min(start + text.len()) - start);
                spans.push(Span { start: from, end: to, ..*span });
            }
        }
        Ok(batch.texts.into_iter().map(|(_, text)| text).zip(spans.into_iter().map(Arc::from)).collect())
    }

    /// What is found in a request's text.
    async fn ask(&self, text: &str) -> Result<Vec<Span>, String> {
        let settings = &self.settings;
        let _place = self.places.acquire().await.map_err(|error| error.to_string())?;
        let names: Vec<_> = settings.entities.iter().map(|(theirs, _)| theirs).collect();
        let body = json!({
            "text": text,
            "language": settings.language,
            "entities": names,
            "score_threshold": settings.threshold,
        });
        let authorization = self.authorization.clone();
        let form = Posted { body: body.to_string(), json: true, authorization, ..Posted::default() };
        let wanted = Wanted::post(&settings.url, Trust::Configured, form, LARGEST);
        let outside = self.outside.as_ref().map_err(Clone::clone)?;
        let fetched = outside.fetch(wanted).await.map_err(|error| error.to_string())?;
        let answer: Vec<Value> =
            serde_json::from_slice(&fetched.body).map_err(|error| format!("not its answer: {error}"))?;
        let place = bytes_of(text);
        answer.iter().filter_map(|found| self.span(found, &place).transpose()).collect()
    }

    /// A finding, in bytes of the request's text; `None` when it is nothing that was asked for.
    ///
    /// # Errors
    /// It is none.
    fn span(&self, found: &Value, place: &impl Fn(usize) -> Option<usize>) -> Result<Option<Span>, String> {
        let at = |member: &str| usize::try_from(found[member].as_u64()?).ok().and_then(place);
        let (Some(name), Some(score), Some(start), Some(end)) =
            (found["entity_type"].as_str(), found["score"].as_f64(), at("start"), at("end"))
        else {
            return Err("a finding without a place in the text".to_owned());
        };
        let entity: Option<Entity> =
            self.settings.entities.iter().find(|(theirs, _)| theirs == name).map(|(_, ours)| *ours);
        #[expect(clippy::cast_possible_truncation, reason = "from 0 to 1")]
        let score = score as f32;
        let fits = start < end && score >= self.settings.threshold;
        Ok(entity.filter(|_| fits).map(|entity| Span { entity, start, end, score }))
    }
}

impl Known {
    fn get(&mut self, key: &[u8; 32]) -> Option<Arc<[Span]>> {
        if let Some(spans) = self.newer.get(key) {
            return Some(spans.clone());
        }
        let spans = self.older.remove(key)?;
        self.add(*key, spans.clone());
        Some(spans)
    }

    fn add(&mut self, key: [u8; 32], spans: Arc<[Span]>) {
        if self.newer.len() >= MOST_KNOWN || self.places + spans.len() > MOST_PLACES {
            self.older = std::mem::take(&mut self.newer);
            self.places = 0;
        }
        self.places += spans.len();
        self.newer.insert(key, spans);
    }
}

fn key(text: &str) -> [u8; 32] {
    digest(&SHA256, text.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Texts, as many together as are sent in one request.
fn batches(texts: Vec<String>) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    for text in texts {
        let fits = |batch: &Batch| batch.text.len() + BETWEEN.len() + text.len() <= TOGETHER;
        if !batches.last().is_some_and(fits) {
            batches.push(Batch::default());
        }
        if let Some(batch) = batches.last_mut() {
            if !batch.text.is_empty() {
                batch.text.push_str(BETWEEN);
            }
            batch.texts.push((batch.text.len(), text.clone()));
            batch.text.push_str(&text);
        }
    }
    batches
}

/// Where a character begins, by its number; the one after the last is the end.
fn bytes_of(text: &str) -> impl Fn(usize) -> Option<usize> {
    let starts: Option<Vec<usize>> =
        (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).chain([text.len()]).collect());
    let length = text.len();
    move |number| match &starts {
        Some(starts) => starts.get(number).copied(),
        None => Some(number).filter(|number| *number <= length),
    }
}

impl Inner {
    /// What the other recogniser finds in what goes some way; `None` when nobody is asked, since nothing would be done about it.
    pub(super) async fn ask(&self, direction: Direction, form: Form, said: &[&Raw]) -> Option<Told> {
        let recogniser = self.guard.recogniser.as_ref()?;
        if !self.decide(direction, form).acts_on(recogniser.finds()) {
            return None;
        }
        let mut texts: Vec<String> = said.iter().flat_map(|raw| self.guard.engine.texts(raw)).collect();
        texts.sort_unstable();
        texts.dedup();
        Box::pin(recogniser.told(texts)).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use portcullis_identity::{Fetched, Fetching};

    use super::*;

    /// An analyzer that takes each `Müller` for a person, with places in characters, as Python counts them; or that says this.
    #[derive(Clone, Default)]
    struct Analyzer {
        asked: Arc<Mutex<Vec<Value>>>,
        says: Option<&'static str>,
        silent: bool,
    }

    impl Fetch for Analyzer {
        fn fetch(&self, wanted: Wanted) -> Fetching {
            let asked: Value = serde_json::from_str(&wanted.form.expect("it is posted").body).unwrap();
            let text = asked["text"].as_str().unwrap().to_owned();
            self.asked.lock().unwrap().push(asked);
            let (says, silent) = (self.says, self.silent);
            Box::pin(async move {
                if silent {
                    std::future::pending::<()>().await;
                }
                let found = text.match_indices("Müller").map(|(at, name)| {
                    let start = text[..at].chars().count();
                    let end = start + name.chars().count();
                    json!({"entity_type": "PERSON", "start": start, "end": end, "score": 0.85})
                });
                let body = says.map_or_else(|| json!(found.collect::<Vec<_>>()).to_string(), str::to_owned);
                Ok(Fetched { body: body.into_bytes(), ..Fetched::default() })
            })
        }
    }

    fn settings() -> config::Recogniser {
        config::Recogniser {
            url: "https://presidio.example/analyze".to_owned(),
            token: None,
            ca: None,
            language: "de".to_owned(),
            entities: vec![("PERSON".to_owned(), Entity::Person)],
            threshold: 0.6,
            timeout: Duration::from_millis(200),
            max_bytes: 100_000,
            concurrency: 2,
            lenient: false,
        }
    }

    fn asking(analyzer: &Analyzer, settings: config::Recogniser) -> Recogniser {
        Recogniser::asking(settings, Ok(Arc::new(analyzer.clone())))
    }

    async fn found(recogniser: &Recogniser, texts: &[&str]) -> Result<Vec<Vec<String>>, String> {
        let batch = texts.iter().map(|text| (*text).to_owned()).collect();
        let told = recogniser.read(batch).await?;
        let of =
            |text: &&str| told.spans(text).iter().map(|span| text[span.start..span.end].to_owned()).collect();
        Ok(texts.iter().map(of).collect())
    }

    #[tokio::test]
    async fn places_in_characters_become_places_in_bytes_of_each_text() {
        let analyzer = Analyzer::default();
        let recogniser = asking(&analyzer, settings());
        let texts = ["größer als Frau Müller", "nobody", "Müller und 😀 Müller"];
        let all = found(&recogniser, &texts).await.unwrap();
        assert_eq!(all, [vec!["Müller"], vec![], vec!["Müller", "Müller"]]);
        let asked = analyzer.asked.lock().unwrap().clone();
        assert_eq!(asked.len(), 1, "they go together: {asked:?}");
        let expected = json!({"text": texts.join("\n\n"), "language": "de", "entities": ["PERSON"], "score_threshold": 0.6_f32});
        assert_eq!(asked[0], expected);
    }

    #[tokio::test]
    async fn what_is_known_is_not_asked_about_again_and_tells_nothing_of_the_same_text_beside_others() {
        let analyzer = Analyzer::default();
        let recogniser = asking(&analyzer, settings());
        for texts in [&["Frau Müller"][..], &["Frau Müller", "Herr Müller"], &["Frau Müller"]] {
            for _ in 0..2 {
                assert_eq!(found(&recogniser, texts).await.unwrap(), vec![vec!["Müller"]; texts.len()]);
            }
        }
        let asked = analyzer.asked.lock().unwrap().clone();
        let texts: Vec<_> = asked.iter().map(|asked| asked["text"].as_str().unwrap()).collect();
        assert_eq!(texts, ["Frau Müller", "Frau Müller\n\nHerr Müller"]);
    }

    #[tokio::test]
    async fn what_is_found_across_texts_is_in_both_and_nothing_else_is_taken() {
        let says = r#"[{"entity_type": "PERSON", "start": 2, "end": 8, "score": 0.9},
            {"entity_type": "PERSON", "start": 0, "end": 1, "score": 0.1},
            {"entity_type": "URL", "start": 0, "end": 1, "score": 1.0}]"#;
        let analyzer = Analyzer { says: Some(says), ..Analyzer::default() };
        let all = found(&asking(&analyzer, settings()), &["abcd", "efgh"]).await.unwrap();
        assert_eq!(all, [["cd"], ["ef"]]);
    }

    #[tokio::test]
    async fn what_could_not_be_asked_about_is_not_read_unless_that_is_wanted() {
        let silent = Analyzer { silent: true, ..Analyzer::default() };
        let wrong = |says| Analyzer { says: Some(says), ..Analyzer::default() };
        let small = config::Recogniser { max_bytes: 1, ..settings() };
        for (what, analyzer, settings) in [
            ("no answer", silent, settings()),
            ("no list", wrong(r#"{"error": "no"}"#), settings()),
            (
                "no place",
                wrong(r#"[{"entity_type": "PERSON", "start": 0, "end": 99, "score": 1}]"#),
                settings(),
            ),
            ("too long", Analyzer::default(), small),
        ] {
            let texts = || vec!["a text".to_owned()];
            assert!(asking(&analyzer, settings.clone()).read(texts()).await.is_err(), "{what}");
            let told = asking(&analyzer, settings.clone()).told(texts()).await;
            assert!(told.is_some_and(|told| told.is_unread("a text")), "{what}");
            let lenient = config::Recogniser { lenient: true, ..settings };
            assert!(asking(&analyzer, lenient).told(texts()).await.is_none(), "{what}");
        }
    }

    #[test]
    fn long_texts_are_alone_and_what_is_known_is_bounded() {
        let long = "a".repeat(TOGETHER + 1);
        let batches = batches(vec!["one".into(), "two".into(), long, "three".into()]);
        let counts: Vec<_> = batches.iter().map(|batch| batch.texts.len()).collect();
        assert_eq!(counts, [2, 1, 1]);
        let mut known = Known::default();
        for number in 0..3 * MOST_KNOWN {
            known.add(key(&number.to_string()), Arc::from([]));
            assert!(known.newer.len() + known.older.len() <= 2 * MOST_KNOWN);
        }
        assert!(
            known.get(&key("0")).is_none() && known.get(&key(&(3 * MOST_KNOWN - 1).to_string())).is_some()
        );
    }
}
