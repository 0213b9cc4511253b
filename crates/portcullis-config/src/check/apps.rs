//! What views of MCP Apps may ask for.

use ::http::Uri;

use super::Check;
use super::http::is_host;
use crate::node::Path;
use crate::{Apps, raw};

/// The permissions that MCP Apps knows.
const PERMISSIONS: &[&str] = &["camera", "microphone", "geolocation", "clipboardWrite"];

/// The section, with `beside` for the keys that it does not have.
pub(super) fn apps(check: &mut Check<'_>, path: &Path, raw: &raw::Apps, beside: &Apps) -> Apps {
    let mut list = |key: &str, values: &Option<Vec<String>>, beside: &Option<Vec<String>>| {
        let Some(values) = values else { return beside.clone() };
        for (index, value) in values.iter().enumerate() {
            if !is_domain(value) {
                let expected = "expected `scheme://host`, `scheme://*.domain`, or either with a port";
                check.error(&path.key(key).index(index), format!("`{value}` is not a domain; {expected}"));
            }
        }
        Some(values.clone())
    };
    let mut apps = Apps {
        connect_domains: list("connect_domains", &raw.connect_domains, &beside.connect_domains),
        resource_domains: list("resource_domains", &raw.resource_domains, &beside.resource_domains),
        frame_domains: list("frame_domains", &raw.frame_domains, &beside.frame_domains),
        base_uri_domains: list("base_uri_domains", &raw.base_uri_domains, &beside.base_uri_domains),
        permissions: beside.permissions.clone(),
    };
    if let Some(permissions) = &raw.permissions {
        for (index, name) in permissions.iter().enumerate() {
            if !PERMISSIONS.contains(&name.as_str()) {
                let path = path.key("permissions").index(index);
                check.error(&path, format!("no such permission; there are {}", PERMISSIONS.join(", ")));
            }
        }
        apps.permissions = Some(permissions.clone());
    }
    apps
}

fn is_domain(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let host = rest.strip_prefix("*.").unwrap_or(rest);
    is_host(host) && format!("{scheme}://{host}").parse::<Uri>().is_ok()
}
