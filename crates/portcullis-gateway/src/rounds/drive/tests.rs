//! The rounds of a modern server, driven with a server that is a list of outcomes.

use std::sync::Mutex;

use bytes::Bytes;
use portcullis_mcp::json::Limits;
use portcullis_mcp::revision::{Era, Revision};
use portcullis_mcp::translate::Payload;

use super::*;
use crate::call::fixture;

fn raw(text: &str) -> Raw {
    Raw::parse(Bytes::copy_from_slice(text.as_bytes()), Limits::default()).unwrap()
}

fn wants(text: &str) -> Exchange {
    Exchange::done(Outcome::InputRequired(raw(text)))
}

fn done() -> Exchange {
    let result = raw(r#"{"content":[]}"#).into();
    Exchange::done(Outcome::Complete(Payload { result, era: Era::Modern }))
}

fn progress(values: &[f64]) -> Vec<Event> {
    let note = |value: &f64| {
        let params = Some(raw(&format!(r#"{{"progressToken":1,"progress":{value}}}"#)));
        Event::Notification(Notification { method: Method::Progress, params })
    };
    values.iter().map(note).collect()
}

/// A driver over `legs`, and the params of each attempt after the first.
fn drive(caps: ClientCaps, legs: Vec<Exchange>) -> (Exchange, Arc<Mutex<Vec<String>>>) {
    drive_for(Duration::from_mins(1), caps, legs)
}

fn drive_for(limit: Duration, caps: ClientCaps, legs: Vec<Exchange>) -> (Exchange, Arc<Mutex<Vec<String>>>) {
    let mut legs = VecDeque::from(legs);
    let first = legs.pop_front().unwrap();
    let (legs, sent) = (Arc::new(Mutex::new(legs)), Arc::new(Mutex::new(Vec::new())));
    let log = sent.clone();
    let again: Again = Box::new(move |call| {
        log.lock().unwrap().push(call.params.as_ref().unwrap().raw().to_string());
        let leg = legs.lock().unwrap().pop_front();
        async move { leg.expect("no more attempts") }.boxed()
    });
    let drive = Drive {
        again,
        call: Arc::new(fixture::call(Revision::V2025_11_25, caps, r#"{"name":"t"}"#)),
        streamed: false,
        leg: Leg::Open(first),
        round: 0,
        let_through: false,
        deadline: Instant::now() + limit,
        progress: Steady::default(),
    };
    (drive.into_exchange(), sent)
}

async fn question(exchange: &mut Exchange) -> Question {
    match exchange.next().await {
        Some(Event::Asked(question)) => question,
        other => panic!("no question: {other:?}"),
    }
}

async fn refused(exchange: &mut Exchange) -> Refusal {
    match exchange.next().await {
        Some(Event::Done(Outcome::Refused(refusal))) => refusal,
        other => panic!("no refusal: {other:?}"),
    }
}

const ASKS: &str = r#"{"inputRequests":{"a":{"method":"elicitation/create","params":{"message":"m"}},"b":{"method":"roots/list"}},"requestState":"s \u00e9"}"#;

#[tokio::test]
async fn answers_go_into_the_next_attempt_with_the_state_as_it_was() {
    let caps = ClientCaps::ELICIT_FORM | ClientCaps::ROOTS;
    let (mut exchange, sent) = drive(caps, vec![wants(ASKS), done()]);
    let (first, second) = (question(&mut exchange).await, question(&mut exchange).await);
    assert_eq!(first.params.as_ref().unwrap().as_str(), r#"{"message":"m"}"#);
    second.answer(Ok(raw(r#"{"roots":[]}"#)));
    first.answer(Err(RpcError::new(-1, "no", None)));
    assert!(matches!(exchange.next().await, Some(Event::Done(Outcome::Complete(_)))));
    assert!(exchange.next().await.is_none());
    let sent = sent.lock().unwrap();
    assert_eq!(sent.len(), 1);
    assert!(sent[0].ends_with(r#""requestState":"s \u00e9"}"#), "{sent:?}");
    assert!(sent[0].contains(r#""a":{"action":"cancel"}"#) && sent[0].contains(r#""b":{"roots":[]}"#));
}

#[tokio::test]
async fn a_refused_request_that_has_no_form_ends_the_call() {
    let caps = ClientCaps::ELICIT_FORM | ClientCaps::ROOTS;
    let (mut exchange, sent) = drive(caps, vec![wants(ASKS)]);
    let (_first, second) = (question(&mut exchange).await, question(&mut exchange).await);
    second.answer(Err(RpcError::new(-1, "not mine to say", None)));
    let refusal = refused(&mut exchange).await;
    assert_eq!(refusal.kind, ErrorKind::InputRefused);
    assert!(refusal.message.contains("not mine to say"));
    assert!(sent.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_the_client_did_not_offer_is_not_asked() {
    let (mut exchange, _) = drive(ClientCaps::ELICIT_FORM, vec![wants(ASKS)]);
    assert_eq!(refused(&mut exchange).await.kind, ErrorKind::UpstreamProtocol);
    for wrong in [
        "{}",
        r#"{"inputRequests":{"a":{}}}"#,
        r#"{"inputRequests":{"a":{"method":"roots/list","params":1}}}"#,
    ] {
        let (mut exchange, _) = drive(ClientCaps::ROOTS, vec![wants(wrong)]);
        assert_eq!(refused(&mut exchange).await.kind, ErrorKind::UpstreamProtocol, "{wrong}");
    }
}

#[tokio::test]
async fn a_state_alone_is_brought_back_after_a_pause_and_not_for_ever() {
    let began = Instant::now();
    let (mut exchange, sent) = drive(ClientCaps::NONE, vec![wants(r#"{"requestState":"1"}"#), done()]);
    assert!(matches!(exchange.next().await, Some(Event::Done(Outcome::Complete(_)))));
    assert!(began.elapsed() >= PACE);
    assert_eq!(*sent.lock().unwrap(), [r#"{"name":"t","requestState":"1"}"#]);
    let legs = (0..20).map(|_| wants(r#"{"requestState":"1"}"#)).collect();
    let (mut exchange, sent) = drive(ClientCaps::NONE, legs);
    assert_eq!(refused(&mut exchange).await.kind, ErrorKind::UpstreamProtocol);
    assert_eq!(sent.lock().unwrap().len(), 9, "ten attempts with the first");
}

#[tokio::test]
async fn progress_of_several_attempts_rises() {
    let leg = |values: &[f64], last: Exchange| {
        let mut events = progress(values);
        let Some(outcome) = last.ready().cloned() else { panic!("a ready outcome") };
        events.push(Event::Done(outcome));
        Exchange::live(futures_util::stream::iter(events), true)
    };
    let legs = vec![
        leg(&[1.0, 2.5], wants(r#"{"requestState":"1"}"#)),
        leg(&[1.0, 2.5, 3.0, 4.0], wants(r#"{"requestState":"2"}"#)),
        leg(&[4.0, 5.0], done()),
    ];
    let (mut exchange, _) = drive(ClientCaps::NONE, legs);
    let mut seen = Vec::new();
    while let Some(event) = exchange.next().await {
        if let Event::Notification(note) = event {
            seen.push(note.params.unwrap().find("progress").unwrap().to_string());
        }
    }
    assert_eq!(seen, ["1", "2.5", "3", "4", "5"]);
}

#[tokio::test]
async fn a_client_that_never_answers_does_not_hold_the_call_for_ever() {
    let caps = ClientCaps::ELICIT_FORM | ClientCaps::ROOTS;
    let (mut exchange, _) = drive_for(Duration::from_millis(50), caps, vec![wants(ASKS)]);
    let _open = (question(&mut exchange).await, question(&mut exchange).await);
    assert_eq!(refused(&mut exchange).await.kind, ErrorKind::InputRefused);
}
