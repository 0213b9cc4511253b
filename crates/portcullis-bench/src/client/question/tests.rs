//! Questions in the form of either era, and those that are somebody else's.

use serde_json::{Value, json};

use super::{Round, find};
use crate::client::answer::WrongAnswer;
use crate::echo::Arguments;

fn elicitation(serial: u64) -> Value {
    json!({ "method": "elicitation/create", "params": { "message": Arguments::numbered(serial).question() } })
}

fn input_required(requests: &Value) -> Vec<u8> {
    json!({ "jsonrpc": "2.0", "id": 7, "result": {
        "resultType": "input_required", "inputRequests": requests, "requestState": "s\u{e9}" } })
    .to_string()
    .into_bytes()
}

#[test]
fn reads_a_round_and_keeps_its_state_as_it_came() {
    let message = br#"{"id":7,"result":{"resultType":"input_required","requestState":"a\u0062",
        "inputRequests":{"k":{"method":"elicitation/create","params":{"message":"What is the word of call 7?"}}}}}"#;
    let round = Round::read(message, &Arguments::numbered(7)).unwrap().unwrap();
    assert_eq!((round.key(), round.request_state.unwrap().get()), ("k", r#""a\u0062""#));
    let complete = br#"{"id":7,"result":{"resultType":"complete","content":[]}}"#;
    assert!(Round::read(complete, &Arguments::numbered(7)).unwrap().is_none());
}

#[test]
fn refuses_a_round_that_is_not_this_calls() {
    let wrong = |requests: Value| {
        let message = input_required(&requests);
        let found = Round::read(&message, &Arguments::numbered(7));
        assert!(matches!(found, Err(WrongAnswer::Question { call: 7, .. })), "{requests}: {found:?}");
    };
    wrong(json!({ "k": elicitation(8) }));
    wrong(json!({ "k": elicitation(7), "l": elicitation(7) }));
    wrong(json!({}));
    wrong(json!({ "k": { "method": "roots/list" } }));
}

#[test]
fn finds_the_question_on_a_stream() {
    let note =
        br#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}"#.to_vec();
    let mut question = elicitation(7);
    question["id"] = json!("q1");
    let messages = [note.clone(), question.to_string().into_bytes()];
    let id = find(&messages, &Arguments::numbered(7)).unwrap().unwrap();
    assert_eq!(id.get(), r#""q1""#);
    assert!(matches!(find(&messages, &Arguments::numbered(8)), Err(WrongAnswer::Question { call: 8, .. })));
    assert!(find(&[note], &Arguments::numbered(7)).unwrap().is_none());
}
