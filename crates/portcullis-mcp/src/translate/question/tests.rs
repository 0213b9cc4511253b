//! Questions and answers, from the newest revision to the older ones.

use super::*;
use crate::json::Limits;

fn raw(text: &str) -> Raw {
    Raw::parse(bytes::Bytes::copy_from_slice(text.as_bytes()), Limits::default()).unwrap()
}

fn ask(to: Revision, method: &Method, params: &str) -> String {
    match question_for(to, method, Some(&raw(params)), "minted") {
        Asked::With(params) => params.unwrap().to_string(),
        Asked::Answered(answer) => format!("answered {answer}"),
    }
}

#[test]
fn what_a_revision_knows_is_asked_as_it_came() {
    let form = r#"{"message":"m","requestedSchema":{"type":"object","properties":{"n":{"type":"number","default":1.0}}}}"#;
    for to in [Revision::V2025_06_18, Revision::V2025_11_25, Revision::V2026_07_28] {
        assert_eq!(ask(to, &Method::CreateElicitation, form), form);
    }
    let sampling = r#"{"messages":[{"role":"user","content":{"type":"text","text":"x"}}],"maxTokens":1}"#;
    assert_eq!(ask(Revision::V2024_11_05, &Method::CreateMessage, sampling), sampling);
    assert_eq!(question_for(Revision::V2025_03_26, &Method::RootsList, None, ""), Asked::With(None));
}

#[test]
fn only_2025_11_25_names_elicitations_by_url() {
    let (with, without) =
        (r#"{"mode":"url","url":"https://x","elicitationId":"e"}"#, r#"{"mode":"url","url":"https://x"}"#);
    assert_eq!(ask(Revision::V2026_07_28, &Method::CreateElicitation, with), without);
    assert_eq!(ask(Revision::V2025_11_25, &Method::CreateElicitation, with), with);
    let minted = r#"{"mode":"url","url":"https://x","elicitationId":"minted"}"#;
    assert_eq!(ask(Revision::V2025_11_25, &Method::CreateElicitation, without), minted);
}

#[test]
fn titles_of_choices_have_an_older_form_and_several_choices_have_none() {
    let titled = r#"{"mode":"form","message":"m","requestedSchema":{"type":"object","properties":{"a":{"type":"boolean"},"c":{"type":"string","oneOf":[{"const":"1","title":"One"},{"const":"2"}]}}}}"#;
    assert_eq!(
        ask(Revision::V2025_06_18, &Method::CreateElicitation, titled),
        r#"{"message":"m","requestedSchema":{"type":"object","properties":{"a":{"type":"boolean"},"c":{"type":"string","enum":["1","2"],"enumNames":["One","2"]}}}}"#
    );
    let several = r#"{"message":"m","requestedSchema":{"type":"object","properties":{"c":{"type":"array","items":{"enum":["1"]}}}}}"#;
    assert_eq!(
        ask(Revision::V2025_06_18, &Method::CreateElicitation, several),
        r#"answered {"action":"decline"}"#
    );
    assert_eq!(ask(Revision::V2025_11_25, &Method::CreateElicitation, several), several);
}

#[test]
fn progress_and_tasks_of_the_client_are_not_asked_for() {
    let given = r#"{"messages":[],"task":{"ttl":1},"_meta":{"progressToken":7,"x":1}}"#;
    assert_eq!(
        ask(Revision::V2025_11_25, &Method::CreateMessage, given),
        r#"{"messages":[],"_meta":{"x":1}}"#
    );
}

#[test]
fn a_message_of_many_blocks_becomes_many_messages() {
    let many = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant","content":{"type":"text","text":"c"}}]}"#;
    assert_eq!(
        ask(Revision::V2025_06_18, &Method::CreateMessage, many),
        r#"{"messages":[{"role":"user","content":{"type":"text","text":"a"}},{"role":"user","content":{"type":"text","text":"b"}},{"role":"assistant","content":{"type":"text","text":"c"}}]}"#
    );
}

#[test]
fn an_older_server_gets_one_block() {
    let answer =
        |text: &str| answer_for(Revision::V2025_06_18, &Method::CreateMessage, &raw(text)).to_string();
    assert_eq!(
        answer(r#"{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}"#),
        r#"{"role":"assistant","content":{"type":"text","text":"a\nb"}}"#
    );
    assert_eq!(
        answer(r#"{"content":[{"type":"image","data":""},{"type":"text","text":"b"}]}"#),
        r#"{"content":{"type":"image","data":""}}"#
    );
    let one = r#"{"content":{"type":"text","text":"a"}}"#;
    assert_eq!(answer(one), one);
    let newer = answer_for(Revision::V2025_11_25, &Method::CreateMessage, &raw(r#"{"content":[]}"#));
    assert_eq!(newer.as_str(), r#"{"content":[]}"#);
}

#[test]
fn what_nobody_answers_is_cancelled_and_what_nobody_offered_is_declined() {
    assert_eq!(cancelled(&Method::CreateElicitation, "x").unwrap().as_str(), r#"{"action":"cancel"}"#);
    assert_eq!(cancelled(&Method::CreateMessage, "x").unwrap_err().code(), code::INTERNAL);
    assert_eq!(refused(&Method::CreateElicitation).unwrap().as_str(), r#"{"action":"decline"}"#);
    assert_eq!(refused(&Method::RootsList).unwrap_err().code(), code::METHOD_NOT_FOUND);
}
