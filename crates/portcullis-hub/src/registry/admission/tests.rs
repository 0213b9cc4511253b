//! Who is listened to.

use portcullis_model::ServerId;
use serde_json::{Value, json};

use super::{Admission, host_of};
use crate::registry::{Document, Entry, Inputs, launch};

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
fn a_package_that_says_how_it_is_started_is_no_way_to_the_server() {
    let admission = admission(&["*"], &["npm"], &[]);
    let comes_in = |key: &str, said: Value| {
        let mut package = package("npm", None);
        package[key] = json!([said]);
        admission.admit(&document("com.example/files", &json!([package]), &json!([]))).is_ok()
    };
    let other = "--registry=https://evil.example";
    assert!(!comes_in("runtimeArguments", json!({ "type": "positional", "value": other })));
    assert!(comes_in("packageArguments", json!({ "type": "positional", "value": other })));
    for name in [
        "npm_config_registry",
        "NPM_CONFIG_REGISTRY",
        "UV_DEFAULT_INDEX",
        "Pip_Index_Url",
        "NODE_OPTIONS",
        "PYTHONPATH",
        "LD_PRELOAD",
        "PATH",
        "HOME",
        "PATH=/tmp:",
    ] {
        assert!(!comes_in("environmentVariables", json!({ "name": name, "value": "x" })), "{name}");
        assert!(
            !comes_in("environmentVariables", json!({ "name": name })),
            "{name}, which somebody may give"
        );
    }
    for name in ["API_KEY", "NODE_ENV", "MY_PATH", "HOMEPAGE"] {
        assert!(comes_in("environmentVariables", json!({ "name": name, "value": "x" })), "{name}");
    }
}

#[test]
fn what_came_in_is_held_to_what_may_come_in_now() {
    let mirror = "https://npm.example.com";
    let both = json!([package("npm", Some(mirror)), package("npm", None)]);
    let remotes = json!([{ "type": "streamable-http", "url": "https://mcp.example.com/mcp" }]);
    let by = |packages: &Value, remotes: &Value, allowed: &Admission| {
        let document = document("com.example/files", packages, remotes);
        let launch = launch(&allowed.admit(&document).expect("it comes in"), &Inputs::new())
            .expect("it takes nothing");
        Entry::submitted(&document, &ServerId::parse("files").expect("a slug"), launch, "ann", 1)
    };
    let (from_both, from_npm) = (admission(&["*"], &["npm", mirror], &[]), admission(&["*"], &["npm"], &[]));
    let mirrored = by(&both, &json!([]), &from_both);
    assert_eq!(from_both.holds(&mirrored), Ok(()));
    assert!(from_npm.holds(&mirrored).is_err(), "the other package comes in, and is not what is started");
    assert_eq!(from_npm.holds(&by(&both, &json!([]), &from_npm)), Ok(()));
    let (anywhere, here) =
        (admission(&["*"], &["npm"], &["*"]), admission(&["*"], &["npm"], &["mcp.example.com"]));
    let far = by(&both, &remotes, &anywhere);
    assert_eq!(here.holds(&far), Ok(()));
    assert!(from_npm.holds(&far).is_err(), "where it runs is allowed no more");
    assert!(admission(&["org.other"], &["npm"], &["*"]).holds(&far).is_err());
    let mut changed = by(&both, &json!([]), &from_npm);
    changed.launch["args"] = json!(["-y", "--registry=https://evil.example", "files@1.0.0"]);
    assert!(from_npm.holds(&changed).is_err());
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

#[test]
fn an_image_says_itself_where_it_comes_from() {
    let image = |name: &str| {
        json!({
            "registryType": "oci", "identifier": format!("{name}@sha256:{}", "0".repeat(64)),
            "transport": { "type": "streamable-http", "url": "http://localhost:8080/mcp" },
        })
    };
    for (name, allowed, comes_in) in [
        ("acme/x", "oci", true),
        ("docker.io/acme/x", "oci", true),
        ("ghcr.io/acme/x", "oci", false),
        ("ghcr.io/acme/x", "https://ghcr.io", true),
        ("ghcr.io.evil.example/acme/x", "https://ghcr.io", false),
        ("localhost:5000/x", "oci", false),
    ] {
        let document = document("com.example/x", &json!([image(name)]), &json!([]));
        let admitted = admission(&["com.example"], &[allowed], &[]).admit(&document);
        assert_eq!(admitted.is_ok(), comes_in, "{name} {allowed}");
    }
    // What else is said of it is not where it is pulled from.
    for (name, from, allowed) in [
        ("evil/mcp", "https://ghcr.io", "https://ghcr.io"),
        ("Evil/mcp", "https://docker.io", "oci"),
        ("Evil/mcp", "https://docker.io", "https://docker.io"),
    ] {
        let mut image = image(name);
        image["registryBaseUrl"] = from.into();
        let document = document("com.example/x", &json!([image]), &json!([]));
        let admitted = admission(&["com.example"], &[allowed], &[]).admit(&document);
        assert!(admitted.is_err(), "{name} {from} {allowed}");
        let flaws = launch(&document, &Inputs::new()).expect_err("it contradicts itself");
        assert!(flaws[0].to_string().contains("names it with the registry that it comes from"), "{flaws:?}");
    }
    for (name, from) in [("ghcr.io/acme/x", "https://ghcr.io"), ("acme/x", "https://docker.io/")] {
        let mut image = image(name);
        image["registryBaseUrl"] = from.into();
        launch(&document("com.example/x", &json!([image]), &json!([])), &Inputs::new()).expect(name);
    }
    let document = document("com.example/x", &json!([image("acme/x")]), &json!([]));
    let reached = launch(&document, &Inputs::new()).expect("it takes nothing");
    let slug = ServerId::parse("x").expect("a slug");
    let other = json!({ "image": format!("acme/y@sha256:{}", "0".repeat(64)) });
    let only = admission(&["com.example"], &["oci"], &[]);
    for (entry, holds) in [(reached, true), (other, false)] {
        assert_eq!(only.holds(&Entry::submitted(&document, &slug, entry, "ann", 1)).is_ok(), holds);
    }
}
