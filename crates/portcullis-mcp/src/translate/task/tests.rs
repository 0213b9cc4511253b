//! The table of tasks, row by row.

use super::*;
use crate::json::Limits;

fn raw(text: &str) -> Raw {
    Raw::parse(bytes::Bytes::copy_from_slice(text.as_bytes()), Limits::default()).unwrap()
}

const INFO: &str = r#"{"name":"s","version":"1"}"#;

#[test]
fn create_results_are_told_by_their_shape() {
    let nested = raw(r#"{"task":{"taskId":"t","status":"working","ttl":5},"_meta":{"k":1}}"#);
    let flat = raw(r#"{"resultType":"task","taskId":"t","status":"working","ttlMs":5,"_meta":{"k":1}}"#);
    let (id, task) = created(Era::Legacy, &nested).unwrap();
    assert_eq!((id.as_str(), task.as_str()), ("t", r#"{"taskId":"t","status":"working","ttl":5}"#));
    let (id, task) = created(Era::Modern, &flat).unwrap();
    assert_eq!((id.as_str(), task.as_str()), ("t", r#"{"taskId":"t","status":"working","ttlMs":5}"#));
    for none in [
        r#"{"content":[]}"#,
        r#"{"task":{"status":"working"}}"#,
        r#"{"task":{"taskId":7,"status":"working"}}"#,
        r#"{"task":{"taskId":"t","status":"done"}}"#,
        r#"{"task":"t"}"#,
    ] {
        assert_eq!(created(Era::Legacy, &raw(none)), None, "{none}");
    }
    assert_eq!(created(Era::Modern, &raw(r#"{"resultType":"task"}"#)), None);
    assert_eq!(created(Era::Modern, &nested), None);
}

#[test]
fn tasks_cross_the_eras() {
    use Era::{Legacy, Modern};
    let cases = [
        (
            Legacy,
            Modern,
            r#"{"taskId":"t","status":"working","createdAt":"c","lastUpdatedAt":"u","ttl":5,"pollInterval":2,"x":1.0}"#,
            r#"{"taskId":"new","status":"working","createdAt":"c","lastUpdatedAt":"u","x":1.0,"ttlMs":5,"pollIntervalMs":2}"#,
        ),
        (
            Modern,
            Legacy,
            r#"{"resultType":"complete","taskId":"t","status":"input_required","statusMessage":"m","ttlMs":null,"pollIntervalMs":2,"inputRequests":{},"_meta":{}}"#,
            r#"{"taskId":"new","status":"input_required","statusMessage":"m","ttl":null,"pollInterval":2}"#,
        ),
        // The same era: another id, and nothing that is not of a task.
        (
            Legacy,
            Legacy,
            r#"{"taskId":"t","status":"failed","ttl":5,"_meta":{}}"#,
            r#"{"taskId":"new","status":"failed","ttl":5}"#,
        ),
        (
            Modern,
            Modern,
            r#"{"taskId":"t","status":"completed","ttlMs":5,"result":{"isError":true}}"#,
            r#"{"taskId":"new","status":"completed","ttlMs":5}"#,
        ),
        // What a tool called a failure.
        (
            Modern,
            Legacy,
            r#"{"taskId":"t","status":"completed","ttlMs":5,"result":{"content":[],"isError":true}}"#,
            r#"{"taskId":"new","status":"failed","ttl":5}"#,
        ),
        (
            Modern,
            Legacy,
            r#"{"taskId":"t","status":"completed","ttlMs":5,"result":{"content":[],"isError":false}}"#,
            r#"{"taskId":"new","status":"completed","ttl":5}"#,
        ),
        // Durations that are none.
        (
            Legacy,
            Modern,
            r#"{"taskId":"t","status":"working","ttl":"long","pollInterval":0.5}"#,
            r#"{"taskId":"new","status":"working","ttlMs":null}"#,
        ),
        (
            Legacy,
            Modern,
            r#"{"taskId":"t","status":"working"}"#,
            r#"{"taskId":"new","status":"working","ttlMs":null}"#,
        ),
    ];
    for (from, to, before, after) in cases {
        assert_eq!(reshape(from, to, &raw(before), "new").as_str(), after, "{before}");
    }
}

#[test]
fn a_client_is_told_of_its_task_in_its_own_shape() {
    let task = raw(r#"{"taskId":"t","status":"working"}"#);
    assert_eq!(
        create_result(Era::Legacy, &task, INFO).as_str(),
        r#"{"task":{"taskId":"t","status":"working"}}"#
    );
    assert_eq!(
        create_result(Era::Modern, &task, INFO).as_str(),
        r#"{"taskId":"t","status":"working","resultType":"task","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s","version":"1"}}}"#
    );
}

#[test]
fn a_task_of_the_extension_carries_its_ending() {
    let task = raw(r#"{"taskId":"t","status":"failed","ttlMs":5}"#);
    let meta = r#""_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s","version":"1"}}"#;
    let result: Ending = Ok(raw(
        r#"{"content":[],"isError":true,"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"up"}}}"#,
    ));
    assert_eq!(
        get_result(&task, Detail::Ended(&result), INFO).as_str(),
        format!(
            r#"{{"taskId":"t","status":"completed","ttlMs":5,"result":{{"content":[],"isError":true,"resultType":"complete"}},"resultType":"complete",{meta}}}"#
        )
    );
    let error: Ending = Err(RpcError::new(-5, "no", None));
    assert_eq!(
        get_result(&task, Detail::Ended(&error), INFO).as_str(),
        format!(
            r#"{{"taskId":"t","status":"failed","ttlMs":5,"error":{{"code":-5,"message":"no"}},"resultType":"complete",{meta}}}"#
        )
    );
    let questions = raw(r#"{"1":{"method":"roots/list"}}"#);
    assert_eq!(
        get_result(&task, Detail::Asks(&questions), INFO).as_str(),
        format!(
            r#"{{"taskId":"t","status":"input_required","ttlMs":5,"inputRequests":{{"1":{{"method":"roots/list"}}}},"resultType":"complete",{meta}}}"#
        )
    );
    assert_eq!(
        get_result(&task, Detail::None, INFO).as_str(),
        format!(r#"{{"taskId":"t","status":"failed","ttlMs":5,"resultType":"complete",{meta}}}"#)
    );
    assert_eq!(acknowledgement(INFO).as_str(), format!(r#"{{"resultType":"complete",{meta}}}"#));
}

#[test]
fn endings_are_read_by_status() {
    let completed = raw(r#"{"status":"completed","result":{"content":[]},"error":{"code":1,"message":"x"}}"#);
    assert_eq!(ending(&completed).unwrap().unwrap().as_str(), r#"{"content":[]}"#);
    let failed = raw(r#"{"status":"failed","error":{"code":1,"message":"x"}}"#);
    assert_eq!(ending(&failed).unwrap().unwrap_err().code(), 1);
    let silent = raw(r#"{"status":"failed","error":"x"}"#);
    assert_eq!(ending(&silent).unwrap().unwrap_err().code(), -32603);
    for none in [r#"{"status":"working","result":{}}"#, r#"{"status":"cancelled"}"#, "{}"] {
        assert!(ending(&raw(none)).is_none(), "{none}");
    }
}

#[test]
fn messages_say_to_which_task_they_belong() {
    let bare = raw(r#"{"content":[]}"#);
    let related = with_related(&bare, "a");
    assert_eq!(
        related.as_str(),
        r#"{"content":[],"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"a"}}}"#
    );
    assert_eq!(
        with_related(&related, "b").find_path(&["_meta", RELATED_TASK]).unwrap().as_str(),
        r#"{"taskId":"b"}"#
    );
    assert_eq!(without_related(&related), bare);
    let more = raw(r#"{"_meta":{"k":1,"io.modelcontextprotocol/related-task":{"taskId":"a"}}}"#);
    assert_eq!(without_related(&more).as_str(), r#"{"_meta":{"k":1}}"#);
    let other = raw(r#"{ "_meta":{} }"#);
    assert_eq!(without_related(&other), other);
}

#[test]
fn tools_say_whether_they_can_be_tasks() {
    for (tool, support) in [
        (r#"{"execution":{"taskSupport":"optional"}}"#, TaskSupport::Optional),
        (r#"{"execution":{"taskSupport":"required"}}"#, TaskSupport::Required),
        (r#"{"execution":{"taskSupport":"forbidden"}}"#, TaskSupport::Forbidden),
        (r#"{"execution":{}}"#, TaskSupport::Forbidden),
        (r#"{"name":"x"}"#, TaskSupport::Forbidden),
    ] {
        assert_eq!(TaskSupport::of(&raw(tool)), support, "{tool}");
    }
    assert_eq!(TaskSupport::of(&tool_with_tasks(&raw(r#"{"name":"x"}"#))), TaskSupport::Optional);
}

#[test]
fn nothing_is_promised_beyond_what_is_kept() {
    for (era, task, expected) in [
        (Era::Legacy, r#"{"ttl":5}"#, r#"{"ttl":5}"#),
        (Era::Legacy, r#"{"ttl":11,"a":1}"#, r#"{"ttl":10,"a":1}"#),
        (Era::Legacy, r#"{"ttl":null}"#, r#"{"ttl":10}"#),
        (Era::Modern, r#"{"ttlMs":null}"#, r#"{"ttlMs":10}"#),
        (Era::Modern, r#"{"ttlMs":-1}"#, r#"{"ttlMs":10}"#),
        (Era::Modern, r#"{"ttlMs":10}"#, r#"{"ttlMs":10}"#),
    ] {
        assert_eq!(kept_at_most(era, &Raw::from_static(task), 10).as_str(), expected);
    }
}

#[test]
fn what_a_server_says_without_end_is_not_remembered() {
    let long = "x".repeat(5000);
    let said =
        format!(r#"{{"taskId":"t","status":"working","statusMessage":"{long}","more":"{long}","ttl":5}}"#);
    assert_eq!(brief(&Raw::trusted(said)).as_str(), r#"{"taskId":"t","status":"working","ttl":5}"#);
    let short = Raw::from_static(r#"{"taskId":"t","more":1}"#);
    assert_eq!(brief(&short), short);
}
