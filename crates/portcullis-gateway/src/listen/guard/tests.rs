//! Which `Host` and `Origin` are served.

use std::collections::BTreeMap;

use portcullis_config::{Overrides, defaults};

use http::{HeaderMap, HeaderValue};

use super::*;

fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
    let loaded = defaults(&BTreeMap::<String, String>::new(), &Overrides::default()).unwrap();
    let mut settings = loaded.settings;
    change(&mut settings);
    settings
}

fn allowed(host: &str, origin: Option<&str>, listener: &str, settings: &Settings) -> bool {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_str(host).unwrap());
    if let Some(origin) = origin {
        headers.insert(ORIGIN, HeaderValue::from_str(origin).unwrap());
    }
    check(&Fields::from(&headers), None, listener.parse().unwrap(), settings).is_ok()
}

#[test]
fn a_loopback_listener_serves_loopback_names_only() {
    let plain = settings(|_| {});
    let on = "127.0.0.1:8080";
    for (host, origin, expected) in [
        ("127.0.0.1:8080", None, true),
        ("localhost", None, true),
        ("[::1]:8080", None, true),
        ("LOCALHOST:1", Some("http://localhost:6274"), true),
        ("127.0.0.1:8080", Some("https://127.0.0.1"), true),
        ("127.0.0.1:8080", Some("http://evil.example"), false),
        ("127.0.0.1:8080", Some("null"), false),
        ("127.0.0.1:8080", Some("http://localhost.evil.example"), false),
        ("127.0.0.1:8080", Some("http://localhost@evil.example"), false),
        ("evil.example", None, false),
        ("127.0.0.1.evil.example", None, false),
        ("", None, false),
    ] {
        assert_eq!(allowed(host, origin, on, &plain), expected, "{host} {origin:?}");
    }
}

#[test]
fn configured_names_are_served() {
    let named = settings(|settings| {
        settings.public_url = Some("https://mcp.example.com/base".to_owned());
        settings.http.allowed_hosts = vec!["gw.internal:8443".to_owned()];
        settings.http.allowed_origins = vec!["https://app.example.com".to_owned()];
    });
    for (host, origin, expected) in [
        ("mcp.example.com", None, true),
        ("mcp.example.com:443", Some("https://mcp.example.com"), true),
        ("gw.internal:8443", None, true),
        ("gw.internal:1", None, false),
        ("mcp.example.com", Some("https://APP.example.com"), true),
        ("mcp.example.com", Some("http://app.example.com"), false),
        ("mcp.example.com", Some("http://localhost"), false),
        ("other.example.com", None, false),
    ] {
        assert_eq!(allowed(host, origin, "0.0.0.0:8443", &named), expected, "{host} {origin:?}");
    }
}
