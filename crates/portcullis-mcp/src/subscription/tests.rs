//! Filters are read strictly and written as they were; everything on a stream names it.

use super::*;
use crate::json::Limits;

fn raw(text: &str) -> Raw {
    Raw::parse(bytes::Bytes::copy_from_slice(text.as_bytes()), Limits::default()).unwrap()
}

fn read(notifications: &str) -> Result<Filter, BadFilter> {
    Filter::read(Some(&raw(&format!("{{\"notifications\":{notifications}}}"))))
}

#[test]
fn filters_round_trip_and_unknown_kinds_are_absent() {
    let cases = [
        ("{}", "{}"),
        (r#"{"toolsListChanged":true,"promptsListChanged":false}"#, r#"{"toolsListChanged":true}"#),
        (
            r#"{"resourceSubscriptions":["a://b","a://b","c:d"],"resourcesListChanged":true,"taskIds":["t"],"x":1}"#,
            r#"{"resourcesListChanged":true,"resourceSubscriptions":["a://b","c:d"],"taskIds":["t"]}"#,
        ),
        (r#"{"resourceSubscriptions":[]}"#, "{}"),
    ];
    for (given, written) in cases {
        assert_eq!(read(given).unwrap().write().as_str(), written, "{given}");
    }
}

#[test]
fn refuses_filters_of_the_wrong_shape() {
    for bad in [
        "null",
        "[]",
        r#"{"toolsListChanged":1}"#,
        r#"{"toolsListChanged":null}"#,
        r#"{"resourceSubscriptions":"a"}"#,
        r#"{"resourceSubscriptions":["a",1]}"#,
        r#"{"taskIds":{}}"#,
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
    assert!(Filter::read(None).is_err() && Filter::read(Some(&raw("{}"))).is_err());
}

#[test]
fn everything_names_the_stream_in_the_type_of_its_id() {
    for id in ["7", "\"7\""] {
        let id = Id::from_raw(&raw(id)).unwrap();
        let stamp = format!("\"_meta\":{{\"io.modelcontextprotocol/subscriptionId\":{}}}", id.raw());
        let mut out = Vec::new();
        write_updated(&mut out, "a\"b", Some(&id));
        let written = String::from_utf8(out).unwrap();
        assert_eq!(
            written,
            format!(
                "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{{\"uri\":\"a\\\"b\",{stamp}}}}}"
            )
        );
        let mut out = Vec::new();
        write_list_changed(&mut out, &Method::ToolsListChanged, Some(&id));
        assert!(String::from_utf8(out).unwrap().ends_with(&format!("\"params\":{{{stamp}}}}}")));
        let mut out = Vec::new();
        write_acknowledged(&mut out, &id, &Filter { lists: Lists::PROMPTS, ..Filter::default() });
        let expected = format!("\"params\":{{\"notifications\":{{\"promptsListChanged\":true}},{stamp}}}}}");
        assert!(String::from_utf8(out).unwrap().ends_with(&expected));
        let result = closing_result(&id, &raw("{\"name\":\"g\"}"));
        let named = result.find_path(&["_meta", key::SUBSCRIPTION_ID]).unwrap();
        assert_eq!(named, *id.raw());
    }
    let mut out = Vec::new();
    write_list_changed(&mut out, &Method::ToolsListChanged, None);
    assert_eq!(out, b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}");
}

#[test]
fn a_sub_resource_is_cut_at_its_separators_only() {
    let found = |uri| subscribable(uri).collect::<Vec<_>>();
    assert_eq!(
        found("db://a/b?c#d"),
        ["db://a/b?c#d", "db://a/b?c", "db://a/b", "db://a/", "db://a", "db://", "db:/", "db:/", "db:"]
    );
    assert_eq!(found("mail:x.y"), ["mail:x.y"]);
    assert_eq!(found("a/"), ["a/", "a"]);
    assert!(!found("file:///ab").contains(&"file:///a"));
    assert!(subscribable(&"/".repeat(10_000)).count() <= 2 * MOST_CUTS + 1);
}

#[test]
fn declared_changes_are_read_from_capabilities() {
    let capabilities =
        raw(r#"{"tools":{"listChanged":true},"prompts":{"listChanged":false},"resources":{}}"#);
    assert_eq!(Lists::declared(&capabilities), Lists::TOOLS);
    let methods: Vec<_> = Lists::ALL.methods().collect();
    assert!(methods.iter().all(|method| Lists::of(method).is_some()) && methods.len() == 3);
}
