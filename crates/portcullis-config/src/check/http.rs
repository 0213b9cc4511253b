//! URLs, origins and hosts.

use std::net::IpAddr;

use ::http::Uri;
use ::http::uri::Authority;

use super::Check;
use crate::node::Path;
use crate::{Http, raw};

pub(super) fn http(check: &mut Check<'_>, raw: &raw::Http) -> Http {
    let top = Path::top("http");
    let mut list = |key: &str, values: &[String], parse: fn(&str) -> Result<String, String>| {
        let mut out = Vec::with_capacity(values.len());
        for (index, value) in values.iter().enumerate() {
            match parse(value) {
                Ok(value) => out.push(value),
                Err(message) => check.error(&top.key(key).index(index), message),
            }
        }
        out
    };
    Http {
        allowed_origins: list("allowed_origins", &raw.allowed_origins, origin),
        allowed_hosts: list("allowed_hosts", &raw.allowed_hosts, host),
    }
}

/// An origin as RFC 6454 §6.2 serialises it. Schemes of browser extensions and of desktop clients are fine; `*` and
/// `null` are not, since they stand for everybody.
fn origin(text: &str) -> Result<String, String> {
    let expected = || format!("`{text}` is not an origin; expected `scheme://host` or `scheme://host:port`");
    let (scheme, rest) = text.split_once("://").ok_or_else(expected)?;
    let scheme_fits = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    if !scheme_fits || !is_host(rest) {
        return Err(expected());
    }
    Ok(text.to_ascii_lowercase())
}

fn host(text: &str) -> Result<String, String> {
    if is_host(text) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(format!("`{text}` is not a host; expected `host` or `host:port`"))
}

pub(super) fn is_host(text: &str) -> bool {
    let plain = !text.contains(['*', '@', '/', '?', '#']);
    plain
        && text
            .parse::<Authority>()
            .is_ok_and(|authority| !authority.host().is_empty() && has_fit_port(&authority))
}

/// An absolute `http` or `https` URL with a host and without user information or fragment.
pub(super) fn absolute_url(text: &str) -> Result<Uri, String> {
    let expected = || match with_scheme(text) {
        Some(meant) => format!("is not a URL; did you mean `{meant}`?"),
        None => "is not a URL; expected `https://host/path` or `http://host/path`".to_owned(),
    };
    if text.contains('#') {
        return Err("has a fragment (`#…`), which is never sent; remove it".to_owned());
    }
    let url: Uri = text.parse().map_err(|_| expected())?;
    let authority = url.authority().ok_or_else(expected)?;
    if !matches!(url.scheme_str(), Some("http" | "https")) || authority.host().is_empty() {
        return Err(expected());
    }
    if authority.as_str().contains('@') {
        return Err("has a user name or password before the host; send them in `headers` instead".to_owned());
    }
    if !has_fit_port(authority) {
        return Err("has a port that is none; expected a number from 0 to 65535".to_owned());
    }
    Ok(url)
}

/// What somebody most likely means who left the scheme out. What may be a secret is not repeated.
fn with_scheme(text: &str) -> Option<String> {
    if text.contains("://") || text.contains(['@', '?']) || text.len() > 200 {
        return None;
    }
    let of = |scheme: &str| format!("{scheme}://{text}").parse::<Uri>().ok();
    let url = of("http")?;
    let plain = |part: &str| part.len() <= 8 && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if url.path().matches('/').count() > 2 || !url.path().split('/').all(plain) {
        return None;
    }
    let authority = url.authority().filter(|it| !it.host().is_empty() && has_fit_port(it))?;
    if is_loopback(&url) {
        return Some(url.to_string());
    }
    let named = authority.host().contains('.') || authority.port().is_some();
    if named { of("https").map(|url| url.to_string()) } else { None }
}

/// Whether what follows the host is nothing or a port.
fn has_fit_port(authority: &Authority) -> bool {
    authority.port_u16().is_some() || authority.as_str().len() == authority.host().len()
}

/// Whether the host of a URL is this machine.
pub(crate) fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// A URL that is asked where nobody on the way may listen: `https`, or this machine. `danger` is what could happen otherwise.
pub(super) fn guarded_url(check: &mut Check<'_>, path: &Path, url: &str, danger: &str) {
    match absolute_url(url) {
        Ok(url) if url.scheme_str() == Some("http") && !is_loopback(&url) => {
            check.error(path, format!("plain `http` off this machine: {danger}; use `https`"));
        }
        Ok(_) => {}
        Err(message) => check.error(path, message),
    }
}
