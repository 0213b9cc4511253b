//! Envelopes, good and bad.

use super::*;

fn parse(text: &str) -> Result<Message, Malformed> {
    Message::parse(Bytes::copy_from_slice(text.as_bytes()), Limits::default())
}

#[test]
fn reads_the_three_kinds() {
    let Ok(Message::Request(request)) =
        parse(r#"{"params":{"a":1.0},"method":"tools/c\u0061ll","id":"x\u0031","jsonrpc":"2.0","extra":[]}"#)
    else {
        panic!("no request")
    };
    assert_eq!(request.method, Method::ToolsCall);
    assert_eq!(request.id.raw().as_str(), r#""x\u0031""#);
    assert_eq!(request.params.unwrap().as_str(), r#"{"a":1.0}"#);
    assert!(matches!(parse(r#"{"jsonrpc":"2.0","method":"x"}"#), Ok(Message::Notification(_))));
    let Ok(Message::Response(response)) =
        parse(r#"{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"no"}}"#)
    else {
        panic!("no response")
    };
    assert_eq!(response.answer.unwrap_err().code(), -1);
    assert!(matches!(
        parse(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}"#),
        Ok(Message::Response(Response { id: None, .. }))
    ));
}

#[test]
fn refuses_other_envelopes_and_echoes_the_id() {
    let cases = [
        ("[]", None),
        ("1", None),
        (r#"{"id":1,"method":"x"}"#, Some("1")),
        (r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#, Some("1")),
        (r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#, None),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"x"}"#, None),
        (r#"{"jsonrpc":"2.0","id":{},"method":"x"}"#, None),
        (r#"{"jsonrpc":"2.0","id":"a","method":1}"#, Some("\"a\"")),
        (r#"{"jsonrpc":"2.0","id":"a","method":"x","params":[]}"#, Some("\"a\"")),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","result":{}}"#, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}"#, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"result":[]}"#, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"error":{"code":"1","message":""}}"#, Some("1")),
        (r#"{"jsonrpc":"2.0","result":{}}"#, None),
        (r#"{"jsonrpc":"2.0","id":1}"#, Some("1")),
    ];
    for (text, expected) in cases {
        let Err(Malformed::Envelope { id, .. }) = parse(text) else { panic!("accepted {text}") };
        assert_eq!(id.as_ref().map(|id| id.raw().as_str()), expected, "{text}");
    }
    assert!(matches!(parse("{"), Err(Malformed::Json(_))));
}

#[test]
fn writes_what_it_reads() {
    let text = r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"n":1.0}}"#;
    let Ok(Message::Request(request)) = parse(text) else { panic!() };
    let mut out = Vec::new();
    write_request(&mut out, &request.id, &request.method, request.params.as_deref());
    assert_eq!(out, text.as_bytes());

    let mut out = Vec::new();
    write_error(&mut out, None, &RpcError::new(-32700, "bad \"x\"", None));
    assert_eq!(out, br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"bad \"x\""}}"#);
}
