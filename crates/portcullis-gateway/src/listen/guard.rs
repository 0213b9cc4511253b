//! `Host` and `Origin`: is the request meant for this gateway, and does it come from a page that may ask?
//!
//! A web page can make a browser send requests to a listener on loopback; DNS rebinding makes it even look like the
//! page's own server. Requests without `Origin` come from no browser. MCP demands the check of `Origin` on every
//! request (streamable HTTP, security), `Host` is what catches rebinding.

use std::net::{IpAddr, SocketAddr};

use http::Uri;
use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use portcullis_config::Settings;
use portcullis_model::ErrorKind;

use super::fields::Fields;
use crate::call::Refusal;

/// Checks both headers.
///
/// # Errors
/// Which one is not allowed, and which setting allows it.
pub(crate) fn check(
    fields: &Fields,
    authority: Option<&str>,
    listener: SocketAddr,
    settings: &Settings,
) -> Result<(), Refusal> {
    // HTTP/2 has the host in the request's target, HTTP/1.1 in a field.
    let host = authority.map(str::as_bytes).or_else(|| fields.get(&HOST)).unwrap_or_default();
    let allowed = || {
        let host = Authority::try_from(host).ok();
        host.is_some_and(|host| is_plain(&host) && host_allowed(&host, listener, settings))
    };
    if !is_usual(host, listener) && !allowed() {
        let message = "this `Host` is not served here; name it in `http.allowed_hosts` or set `public_url`";
        return Err(Refusal::new(ErrorKind::ForbiddenOrigin, message));
    }
    match fields.get(&ORIGIN) {
        Some(origin) if !origin_allowed(origin, listener, settings) => {
            let message = "this `Origin` may not call; name it in `http.allowed_origins`";
            Err(Refusal::new(ErrorKind::ForbiddenOrigin, message))
        }
        _ => Ok(()),
    }
}

fn host_allowed(host: &Authority, listener: SocketAddr, settings: &Settings) -> bool {
    if listener.ip().is_loopback() && is_loopback(host.host()) {
        return true;
    }
    let public = public_authority(settings);
    if public.as_ref().is_some_and(|public| public.host().eq_ignore_ascii_case(host.host())) {
        return true;
    }
    if settings.http.allowed_hosts.iter().any(|allowed| names(allowed, host)) {
        return true;
    }
    // A listener on the network that was told no name of its own cannot know which names lead to it.
    !listener.ip().is_loopback() && public.is_none() && settings.http.allowed_hosts.is_empty()
}

/// Whether `host[:port]` names `host`; without a port any port fits.
fn names(allowed: &str, host: &Authority) -> bool {
    Authority::try_from(allowed).is_ok_and(|allowed| {
        allowed.host().eq_ignore_ascii_case(host.host())
            && allowed.port_u16().is_none_or(|port| Some(port) == host.port_u16())
    })
}

/// What nearly every request to a listener on loopback says, seen without taking the host to pieces.
fn is_usual(host: &[u8], listener: SocketAddr) -> bool {
    let loopback = [&b"127.0.0.1"[..], b"localhost"].iter().find_map(|name| host.strip_prefix(*name));
    listener.ip().is_loopback()
        && loopback.is_some_and(|rest| match rest {
            [] => true,
            [b':', port @ ..] => (1..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit),
            _ => false,
        })
}

fn origin_allowed(origin: &[u8], listener: SocketAddr, settings: &Settings) -> bool {
    let Some(text) = std::str::from_utf8(origin).ok() else { return false };
    let Ok(uri) = Uri::try_from(text) else { return false };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return false };
    if !is_plain(authority) {
        return false;
    }
    if listener.ip().is_loopback() && matches!(scheme, "http" | "https") && is_loopback(authority.host()) {
        return true;
    }
    let origin = format!("{scheme}://{authority}").to_ascii_lowercase();
    let public = settings.public_url.as_ref().and_then(|url| Uri::try_from(url.as_str()).ok());
    let public = public.and_then(|url| Some(format!("{}://{}", url.scheme_str()?, url.authority()?)));
    public.is_some_and(|public| public.eq_ignore_ascii_case(&origin))
        || settings.http.allowed_origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(&origin))
}

fn public_authority(settings: &Settings) -> Option<Authority> {
    Uri::try_from(settings.public_url.as_deref()?).ok()?.authority().cloned()
}

/// Whether it is a host and perhaps a port: no user, and nothing behind the bracket of an IPv6 address.
fn is_plain(authority: &Authority) -> bool {
    let rest = authority.as_str().strip_prefix(authority.host());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests;
