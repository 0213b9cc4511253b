//! Who is listened to.

use serde_json::{Value, json};

use super::{Admission, host_of};
use crate::registry::Document;

fn admission(namespaces: &[&str], packages: &[&str], remotes: &[&str]) -> Admission {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    Admission { namespaces: owned(namespaces), packages: owned(packages), remotes: owned(remotes) }
}

fn document(name: &str, packages: &Value, remotes: &Value) -> Document {
    let version = "1.0.0";
    let whole = json!({
        "name": name, "description": "Files.", "version": version, "packages": packages, "remotes": remotes,
    });
    Document::new(whole).expect("well-formed")
}

fn package(kind: &str, from: Option<&str>) -> Value {
    let mut package = json!({
        "registryType": kind, "identifier": "files", "version": "1.0.0", "transport": { "type": "stdio" },
    });
    if let Some(from) = from {
        package["registryBaseUrl"] = from.into();
    }
    package
}

#[test]
fn whose_servers_come_in_is_said_by_namespace() {
    let npm = document("com.example.team/files", &json!([package("npm", None)]), &json!([]));
    for (pattern, comes_in) in [
        ("com.example.team", true),
        ("com.example.*", true),
        ("com.example.team.*", true),
        ("*", true),
        ("com.example", false),
        ("com.example.te.*", false),
        ("com.example.tea*", false),
        ("Com.example.team", false),
    ] {
        assert_eq!(admission(&[pattern], &["npm"], &[]).admit(&npm).is_ok(), comes_in, "{pattern}");
    }
}

#[test]
fn packages_come_from_where_they_may() {
    let mirror = "https://npm.example.com";
    for (package, allowed, comes_in) in [
        (package("npm", None), "npm", true),
        (package("npm", Some("https://registry.npmjs.org/")), "npm", true),
        (package("npm", None), "https://registry.npmjs.org", true),
        (package("npm", Some(mirror)), "npm", false),
        (package("npm", Some(mirror)), "https://npm.example.com/", true),
        (package("npm", Some("https://npm.example.com.evil.example")), mirror, false),
        (package("pypi", None), "npm", false),
        // It has no public registry that it could come from.
        (package("mcpb", None), "npm", false),
    ] {
        let mut package = package;
        package["fileSha256"] = "0".repeat(64).into();
        let of_it = document("com.example/files", &json!([package]), &json!([]));
        assert_eq!(admission(&["*"], &[allowed], &[]).admit(&of_it).is_ok(), comes_in, "{package} {allowed}");
    }
}

#[test]
fn what_may_not_be_used_is_no_way_to_the_server() {
    let remotes = json!([
        { "type": "streamable-http", "url": "https://mcp.example.com/mcp" },
        { "type": "sse", "url": "https://elsewhere.example/sse" },
    ]);
    let both = document("com.example/files", &json!([package("pypi", None), package("oci", None)]), &remotes);
    let admitted = admission(&["*"], &["pypi"], &["*.example.com"]).admit(&both).expect("it comes in");
    assert_eq!(admitted.packages(), [package("pypi", None)]);
    assert_eq!(admitted.remotes(), [remotes[0].clone()]);
    assert!(admission(&["*"], &["npm"], &["example.com"]).admit(&both).is_err());
}

#[test]
fn a_host_is_what_a_client_would_connect_to() {
    for (url, host) in [
        ("https://MCP.example.com:8443/mcp", Some("mcp.example.com")),
        ("https://mcp.example.com?x", Some("mcp.example.com")),
        ("https://mcp.example.com@evil.example/mcp", None),
        ("https://evil.example\\.example.com/", Some("evil.example")),
        ("https://{tenant}.example.com/mcp", None),
        ("{url}", None),
        ("https://[::1]/mcp", None),
    ] {
        assert_eq!(host_of(url).as_deref(), host, "{url}");
    }
}
