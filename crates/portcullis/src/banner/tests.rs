//! What the banner says.

use super::*;

#[test]
fn says_what_each_server_offers_and_how_to_connect() {
    let report = |id: &str, state, offers| ServerReport {
        id: id.parse().unwrap(),
        state,
        revision: Some("2025-11-25"),
        offers,
    };
    let text = describe(
        "http://127.0.0.1:8080/mcp",
        &[
            report("files", ServerState::Up, [Some(14), Some(0), None, None]),
            report("time", ServerState::Down { why: "not found".to_owned() }, [None; 4]),
        ],
    );
    assert!(text.contains("  files  14 tools  (MCP 2025-11-25)\n"), "{text}");
    assert!(text.contains("  time   DOWN: not found\n"), "{text}");
    assert!(text.contains("\"url\":\"http://127.0.0.1:8080/mcp\""), "{text}");
    assert!(text.contains("http://127.0.0.1:8080/mcp/s/NAME"), "{text}");
}
