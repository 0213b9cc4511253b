//! Every way in which an answer can be wrong is noticed.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{WrongAnswer, check};
use crate::client::response::Response;
use crate::echo::Arguments;
use crate::wire::Era;

fn judge(status: u16, era: Era, message: &Value) -> Result<(), WrongAnswer> {
    let message = Cow::Owned(message.to_string().into_bytes());
    let response = Response { status, message, session: None, close: false, length: 0 };
    check(&response, era, 7, &Arguments::numbered(7), &mut String::new())
}

fn answer(id: u64, text_of: u64) -> Value {
    let mut text = String::new();
    Arguments::numbered(text_of).answer_into(&mut text);
    json!({ "jsonrpc": "2.0", "id": id, "result": {
        "resultType": "complete", "content": [{ "type": "text", "text": text }] } })
}

#[test]
fn accepts_the_right_answer() {
    judge(200, Era::Modern, &answer(7, 7)).unwrap();
    judge(200, Era::Legacy, &answer(7, 7)).unwrap();
}

#[test]
fn refuses_a_neighbours_answer() {
    assert!(matches!(judge(200, Era::Modern, &answer(8, 7)), Err(WrongAnswer::Id { got: 8, expected: 7 })));
    assert!(matches!(judge(200, Era::Modern, &answer(7, 8)), Err(WrongAnswer::Text(7))));
}

#[test]
fn refuses_errors_and_half_answers() {
    assert!(matches!(judge(500, Era::Modern, &answer(7, 7)), Err(WrongAnswer::Status { status: 500, .. })));
    let mut typeless = answer(7, 7);
    typeless["result"].as_object_mut().unwrap().remove("resultType");
    assert!(matches!(judge(200, Era::Modern, &typeless), Err(WrongAnswer::ResultType(None))));
    judge(200, Era::Legacy, &typeless).unwrap();
    let mut failed = answer(7, 7);
    failed["result"]["isError"] = true.into();
    assert!(matches!(judge(200, Era::Legacy, &failed), Err(WrongAnswer::Failed(_))));
    let refused = json!({ "jsonrpc": "2.0", "id": 7, "error": { "code": -32603, "message": "no" } });
    assert!(matches!(judge(200, Era::Legacy, &refused), Err(WrongAnswer::Failed(_))));
    let mut cut = answer(7, 7);
    cut["result"]["content"] = json!([]);
    assert!(matches!(judge(200, Era::Legacy, &cut), Err(WrongAnswer::Text(7))));
}
