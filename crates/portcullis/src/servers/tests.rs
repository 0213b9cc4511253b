//! Command lines and names of servers.

use super::*;

#[test]
fn splits_commands_without_a_shell() {
    let cases: [(&str, &[&str]); 5] = [
        ("npx -y @scope/server /data", &["npx", "-y", "@scope/server", "/data"]),
        (r#"a "b c" 'd "e' f\ g"#, &["a", "b c", "d \"e", "f g"]),
        (r#"a "" 'x\y'"#, &["a", "", "x\\y"]),
        ("  ", &[]),
        ("a;b $(c) | d", &["a;b", "$(c)", "|", "d"]),
    ];
    for (line, expected) in cases {
        assert_eq!(words(line).unwrap(), expected, "{line}");
    }
    assert!(words("a 'b").is_err());
}

#[test]
fn names_servers() {
    for (what, name) in [
        ("https://mcp.example.com/mcp", "mcp.example.com"),
        ("npx -y @modelcontextprotocol/server-filesystem@1.0 /data", "filesystem"),
        ("uvx mcp-server-time", "time"),
        ("/usr/bin/my-server --stdio", "my-server"),
        ("node", "server"),
    ] {
        assert_eq!(guess(what), name, "{what}");
    }
    let servers = ["a=https://x/mcp".to_owned(), "echo hi".to_owned()];
    let named = named(&servers).unwrap();
    assert_eq!(
        Value::Object(named).to_string(),
        r#"{"a":{"url":"https://x/mcp"},"echo":{"command":"echo","args":["hi"]}}"#
    );
    assert!(self::named(&["echo".to_owned(), "echo".to_owned()]).is_err());
}
