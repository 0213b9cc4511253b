//! A service that answers, and one that does not.

use portcullis_identity::{Fetched, Fetching};
use serde_json::Value;

use super::*;

/// A service that gives each text a vector of its length, or says this.
#[derive(Clone, Default)]
struct Service {
    asked: Arc<Mutex<Vec<Value>>>,
    says: Option<&'static str>,
    silent: bool,
    /// After so many answers it breaks.
    lasts: Option<usize>,
    /// Texts that begin so are refused with this status.
    refused: Option<(&'static str, u16)>,
    /// And for those there are numbers without a direction.
    flat: Option<&'static str>,
}

impl Fetch for Service {
    fn fetch(&self, wanted: Wanted) -> Fetching {
        let form = wanted.form.expect("it is posted");
        assert_eq!(form.authorization, "Bearer secret");
        let asked: Value = serde_json::from_str(&form.body).unwrap();
        let count = {
            let mut all = self.asked.lock().unwrap();
            all.push(asked.clone());
            all.len()
        };
        let is_broken = self.lasts.is_some_and(|lasts| count > lasts);
        let (says, silent, refused, flat) = (self.says, self.silent, self.refused, self.flat);
        Box::pin(async move {
            if silent {
                std::future::pending::<()>().await;
            }
            if is_broken {
                return Err(FetchError::Status(500));
            }
            let texts: Vec<_> =
                asked["input"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
            if let Some((begin, status)) = refused
                && texts.iter().any(|text| text.starts_with(begin))
            {
                return Err(FetchError::Status(status));
            }
            let all = texts.iter().enumerate().rev();
            let numbers = |text: &str| {
                if flat.is_some_and(|begin| text.starts_with(begin)) { [0, 0] } else { [text.len(), 1] }
            };
            let vector = |(index, text): (usize, &&str)| json!({"object": "embedding", "index": index, "embedding": numbers(text)});
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
    let vectors = embeddings.ask(&texts).await.unwrap_or_else(|failure| panic!("{}", failure.why));
    assert_eq!(vectors, [Vector::new(&[3.0, 1.0]), Vector::new(&[6.0, 1.0])]);
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

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}

/// How many of the texts have a vector, and how many none.
fn learned(embeddings: &Embeddings, texts: &[String]) -> (usize, usize) {
    let mut known = embeddings.known();
    let has = texts.iter().filter(|text| known.get(&key(text)).is_some()).count();
    (has, texts.iter().filter(|text| known.has_none(&key(text))).count())
}

#[tokio::test]
async fn one_text_keeps_no_other_from_being_learned() {
    let all = texts(&["bad 1", "bad 2", "bad 3", "bad 4", "bad 5", "good 1", "good 2", "good 3", "good 4"]);
    for refused in [400, 422, 404, 500] {
        let service = Service { refused: Some(("bad", refused)), ..Service::default() };
        let embeddings = asking(&service);
        embeddings.learn(all.clone()).await;
        assert_eq!(learned(&embeddings, &all), (4, 5), "{refused}");
        assert!(!embeddings.is_pausing());
        // Three batches of which two are taken apart, and for each that is refused what every service knows.
        assert_eq!(service.asked.lock().unwrap().len(), 3 + 8 + 5, "{refused}");
    }
    let service = Service { flat: Some("bad"), ..Service::default() };
    let embeddings = asking(&service);
    embeddings.learn(all.clone()).await;
    assert_eq!((learned(&embeddings, &all), service.asked.lock().unwrap().len()), ((4, 5), 3));
}

#[tokio::test]
async fn a_service_that_is_away_is_left_alone_and_no_text_is_blamed() {
    let all = texts(&["one", "two", "three", "four", "five", "six"]);
    // What it has no model for is refused like a text; who asks, or how often, is none of the text's.
    for (status, asked) in [(401, 1), (403, 1), (429, 1), (503, 1), (404, 3), (400, 3)] {
        let service = Service { refused: Some(("", status)), ..Service::default() };
        let embeddings = asking(&service);
        embeddings.learn(all.clone()).await;
        assert_eq!((learned(&embeddings, &all), embeddings.is_pausing()), ((0, 0), true), "{status}");
        assert_eq!(service.asked.lock().unwrap().len(), asked, "{status}");
    }
    let service = Service { lasts: Some(1), ..Service::default() };
    let embeddings = asking(&service);
    embeddings.learn(all.clone()).await;
    assert_eq!((learned(&embeddings, &all), embeddings.is_pausing()), ((4, 0), true));
}

#[tokio::test]
async fn a_question_that_is_refused_stops_nobody_from_learning() {
    let service = Service { refused: Some(("bad", 400)), flat: Some("flat"), ..Service::default() };
    let embeddings = asking(&service);
    assert_eq!(embeddings.question("bad").await, None);
    assert!(!embeddings.is_pausing() && is_lately(&embeddings.said));
    // What has no direction is asked once.
    for _ in 0..2 {
        assert_eq!(embeddings.question("flat").await, None);
    }
    assert_eq!(service.asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn many_vectors_are_gone_through_beside_the_worker() {
    let vector = Arc::new(Vector::new(&[1.0; 4096]).unwrap());
    let known = |count| (0..count).map(|item| (0, item, vector.clone())).collect::<Vec<_>>();
    for (count, is_at_once) in [(2, true), (300, false)] {
        let mut among = std::pin::pin!(among(vector.clone(), known(count)));
        let waker = std::task::Waker::noop();
        let polled = among.as_mut().poll(&mut std::task::Context::from_waker(waker));
        assert_eq!(polled.is_ready(), is_at_once, "{count}");
        if !is_at_once {
            assert_eq!(among.await.expect("a ranking").len(), NEAREST);
        }
    }
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
