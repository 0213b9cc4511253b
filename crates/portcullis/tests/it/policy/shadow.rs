//! Shadow mode denies nothing, and says what would be; without policies everything is as it was.

use serde_json::json;

use super::{Setting, names};
use crate::harness::{Legacy, Modern};

const POLICIES: &str = r#"
    permit (principal, action, resource in Server::"open");
    @id("no-change")
    forbid (principal, action == Action::"tools/call", resource == Tool::"open/change");
"#;

#[tokio::test]
async fn shadow_mode_denies_nothing_and_says_what_would_be() {
    let setting = Setting::new(true, POLICIES, json!({"mode": "shadow"})).await;
    let (gateway, client) = (&setting.gateway, Modern::new());
    let all = ["open__look", "open__change", "shut__look", "shut__change"];
    let list = client.result(gateway, "tools/list", json!({})).await;
    assert_eq!(names(&list), all);
    assert_eq!(list["cacheScope"], "public", "nothing is left out, so it is everybody's");
    let told = gateway.logged("would not be listed (shadow)").await;
    assert!(told.contains("anonymous") && told.contains("tools/list"), "{told}");
    client.call(gateway, "open__change", json!({})).await;
    let told = gateway.logged("would be denied (shadow)").await;
    for word in ["no-change", "change", "forbidden", "tools/call", "anonymous"] {
        assert!(told.contains(word), "{word} in {told}");
    }
    for path in ["/mcp/s/shut", "/mcp"] {
        let session = Legacy::open_at(gateway, path, "2025-11-25").await;
        let name = if path == "/mcp" { "shut__change" } else { "unlisted" };
        session.call(gateway, name, json!({})).await;
    }
    let read = client.result(gateway, "resources/read", json!({"uri": "mcp+shut+db://a"})).await;
    assert_eq!(read["contents"][0]["text"], "read");
    assert!(!gateway.log().contains("db://a"), "a URI may hold what logs are not to");
}
