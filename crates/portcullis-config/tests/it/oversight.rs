//! The sections `definitions`, `flow`, `approvals` and `halt`.

use std::time::Duration;

use portcullis_config::{DefinitionsMode, FlowMode};

use crate::{refuses, settings, warns};

#[test]
fn what_is_seen_first_is_trusted_and_nothing_is_kept_apart_when_nothing_is_said() {
    let of = settings("");
    assert_eq!(of.definitions, DefinitionsMode::TrustFirstUse);
    assert_eq!(of.flow, None);
    assert!(of.approvals.tools.is_empty() && !of.approvals.by_operator);
    assert_eq!(of.approvals.lifetime, Duration::from_mins(10));
    assert!(!of.halt.all);
    assert_eq!(settings("definitions: { mode: approve }").definitions, DefinitionsMode::Approve);
}

#[test]
fn flows_and_halts_are_read() {
    let text = "
servers: { crm: { url: http://127.0.0.1/ }, web: { url: http://127.0.0.1/ } }
flow: { private: [crm], untrusted: ['web/*'], external: ['*/send_*'], mode: deny, window: 5m, per: session,
        regions: { eu: { data: [crm/eu_*], servers: [crm], groups: [staff] } } }
approvals: { tools: [crm/delete_*], by: operator, lifetime: 1m }
halt: { servers: [web], tools: [crm/delete_*], principals: [anonymous] }
";
    let of = settings(text);
    let flow = of.flow.unwrap();
    assert_eq!((flow.mode, flow.window, flow.per_session), (FlowMode::Deny, Duration::from_mins(5), true));
    assert_eq!((flow.regions[0].name.as_str(), flow.regions[0].groups.len()), ("eu", 1));
    assert!(of.approvals.by_operator && of.halt.tools.len() == 1);
}

#[test]
fn patterns_and_principals_have_to_be_some() {
    refuses(
        "\
servers: { crm: { url: http://127.0.0.1/ } }
flow: { private: [/x], untrusted: [crm], external: [crm/] }
approvals: { lifetime: 0s }
halt: { tools: [crm], principals: [ada] }
",
        "\
p.yaml:2:19: error: flow.private[0]: `/x` is neither `SERVER` nor `SERVER/NAME`; `*` stands for any characters
p.yaml:2:53: error: flow.external[0]: `crm/` is neither `SERVER` nor `SERVER/NAME`; `*` stands for any characters
p.yaml:3:14: error: approvals.lifetime: must be longer than nothing
p.yaml:4:17: error: halt.tools[0]: `crm` is not `SERVER/NAME`
p.yaml:4:36: error: halt.principals[0]: `ada` is no principal; expected `anonymous`, `cert:<SHA-256 in lower-case hex>`, `key:<name>`, `user:<issuer>#<subject>` or `spiffe://…`",
    );
    warns(
        "flow: { private: ['*'] }",
        "p.yaml:1:1: warning: flow: keeps nothing apart: that takes `private`, `untrusted` and `external`, or `regions`",
    );
}
