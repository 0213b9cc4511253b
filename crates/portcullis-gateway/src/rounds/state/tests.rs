//! A state opens for the request that it was given for, and no other.

use bytes::Bytes;
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::json::Limits;
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Revision;
use portcullis_model::{Principal, ServerId};

use super::*;
use crate::call::fixture;
use crate::seal::ROTATION;

const PARAMS: &str = r#"{"name":"t","arguments":{"a":1,"b":["x",{"c":null,"d":2.50}]},"_meta":{"x":1}}"#;

fn identity(principal: Principal, endpoint: Endpoint, method: Method, params: &str) -> Identity {
    let call = fixture::call(Revision::NEWEST, ClientCaps::NONE, params);
    let caller = Arc::new(Caller { principal, ..Caller::clone(&call.caller) });
    Identity::of(&Arc::new(Call { endpoint, caller, method, ..call }))
}

fn call(params: &str) -> Identity {
    identity(Principal::Anonymous, Endpoint::Aggregate, Method::ToolsCall, params)
}

fn states() -> [State; 5] {
    [
        State::Parked(Place { id: [7; 16], round: 3 }),
        State::Relayed { whose: "x@2.0.0".into(), inner: Raw::from_static(r#""é\u00e9=""#) },
        State::Visited { whose: "x@2.0.0".into() },
        State::Asked { nonce: 7, matter: Matter::Call },
        State::Asked { nonce: 7, matter: Matter::Result },
    ]
}

#[test]
fn a_state_comes_back_as_it_was_given() {
    let keys = Sealer::new();
    for state in states() {
        let sealed = Raw::from_text(&call(PARAMS).seal(&keys, ROTATION, &state));
        assert_eq!(call(PARAMS).open(&keys, &sealed).unwrap(), state);
        // However the client writes the same arguments down, and whatever else it says.
        let again =
            r#"{ "arguments": {"b":["\u0078",{"d":2.50,"c":null}], "a" : 1}, "name":"t", "_meta":{} }"#;
        assert_eq!(call(again).open(&keys, &sealed).unwrap(), state);
    }
}

#[test]
fn a_state_is_bound_to_its_request_and_caller() {
    let keys = Sealer::new();
    let state = &states()[0];
    let sealed = Raw::from_text(&call(PARAMS).seal(&keys, ROTATION, state));
    let endpoint = Endpoint::Server(ServerId::parse("x").unwrap());
    let somebody = Principal::Certificate { fingerprint: "00".into() };
    let others = [
        call(r#"{"name":"u","arguments":{"a":1,"b":["x",{"c":null,"d":2.50}]}}"#),
        call(r#"{"name":"t","arguments":{"a":2,"b":["x",{"c":null,"d":2.50}]}}"#),
        call(r#"{"name":"t","arguments":{"a":1,"b":["x",{"c":null,"d":2.5}]}}"#),
        call(r#"{"name":"t"}"#),
        identity(Principal::Anonymous, endpoint, Method::ToolsCall, PARAMS),
        identity(Principal::Anonymous, Endpoint::Aggregate, Method::PromptsGet, PARAMS),
        identity(somebody, Endpoint::Aggregate, Method::ToolsCall, PARAMS),
    ];
    for other in others {
        let refusal = other.open(&keys, &sealed).unwrap_err();
        assert_eq!(refusal.kind, ErrorKind::InvalidParams, "{}", refusal.message);
    }
    let expired = call(PARAMS).seal(&keys, Duration::ZERO, state);
    std::thread::sleep(Duration::from_millis(5));
    let refusal = call(PARAMS).open(&keys, &Raw::from_text(&expired)).unwrap_err();
    assert!(refusal.message.contains("expired"), "{}", refusal.message);
    for wrong in [r#""""#, "7", r#""AgAAAA""#] {
        let wrong = Raw::parse(Bytes::copy_from_slice(wrong.as_bytes()), Limits::default()).unwrap();
        assert!(call(PARAMS).open(&keys, &wrong).is_err());
    }
}

#[test]
fn a_state_survives_a_rotation() {
    let keys = Sealer::new();
    let sealed = Raw::from_text(&call(PARAMS).seal(&keys, ROTATION, &states()[1]));
    keys.rotate();
    assert_eq!(call(PARAMS).open(&keys, &sealed).unwrap(), states()[1]);
}
