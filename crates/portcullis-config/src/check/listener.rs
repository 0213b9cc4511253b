//! The listener and who may reach it: the rules that keep an unprotected gateway off the network.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Check;
use crate::node::Path;
use crate::{Anonymous, Overrides, Tls, raw};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Where to listen when nobody says.
const DEFAULT: SocketAddr = SocketAddr::new(LOOPBACK, 8080);

/// The flag or variable that a value came from; `None` is the file.
type Origin = Option<&'static str>;

pub(super) fn listen(check: &mut Check<'_>, file: &raw::File, overrides: &Overrides) -> (SocketAddr, Origin) {
    let from_env = check.source.env.var("PORTCULLIS_LISTEN").filter(|text| !text.is_empty());
    let (text, origin) = if let Some(text) = &overrides.listen {
        (text.as_str(), Some("--listen"))
    } else if let Some(text) = &from_env {
        (text.as_str(), Some("PORTCULLIS_LISTEN"))
    } else if let Some(raw) = &file.listen {
        (raw.0.as_str(), None)
    } else {
        return (DEFAULT, None);
    };
    match parse(text) {
        Ok(address) => (address, origin),
        Err(message) => {
            report(check, origin, "listen", &message);
            (DEFAULT, origin)
        }
    }
}

/// `8080` and `:8080` are loopback, so that nobody opens a gateway to the network by leaving something out.
fn parse(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix(':').unwrap_or(text);
    if let Some(port) = bare.strip_prefix("localhost:").or(Some(bare)).and_then(|port| port.parse().ok()) {
        return Ok(SocketAddr::new(LOOPBACK, port));
    }
    text.parse().map_err(|_| match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("`{text}` has no port; write `[{address}]:8080`"),
        Ok(address) => format!("`{text}` has no port; write `{address}:8080`"),
        Err(_) => format!(
            "`{text}` is not an address; expected a port (`8080`, loopback only) or an IP address and a port, such as \
             `127.0.0.1:8080`"
        ),
    })
}

/// Whether callers without credentials are served. Refuses listeners that are open to everybody or to nobody.
pub(super) fn anonymous(
    check: &mut Check<'_>,
    file: &raw::File,
    listen: SocketAddr,
    origin: Origin,
) -> Anonymous {
    let loopback = listen.ip().to_canonical().is_loopback();
    // A `tls` that was refused says enough; what follows from its absence is not news.
    let tokens = check.report.failed_under(&Path::top("identity").key("issuers"))
        || check.report.failed_under(&Path::top("identity").key("keys"))
        || check.report.failed_under(&Path::top("identity").key("facade"))
        || !file.identity.issuers.is_empty()
        || file.identity.facade.is_some()
        || file.identity.keys.is_some();
    let proven = tokens
        || check.report.failed_under(&Path::top("tls"))
        || file.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    let anonymous = match file.identity.anonymous {
        Some(raw::Anonymous::Allow) => Anonymous::Allow,
        None if loopback && !tokens => Anonymous::Allow,
        Some(raw::Anonymous::Deny) | None => Anonymous::Deny,
    };
    if !loopback && anonymous == Anonymous::Allow {
        let path = Path::top("identity").key("anonymous");
        check.error(&path, format!("`allow` only works on loopback, and `listen` is {listen}; remove it"));
    }
    if !loopback && !proven {
        let message = format!(
            "{listen} is not loopback and nobody could call there: set `identity.issuers`, `identity.keys` or \
             `tls.client_ca`, so that clients can show who they are, or listen on `127.0.0.1:{}`",
            listen.port()
        );
        report(check, origin, "listen", &message);
    }
    if loopback && anonymous == Anonymous::Deny && !proven {
        let path = Path::top("identity").key("anonymous");
        check.error(&path, "`deny` leaves nobody who could call: set `identity.issuers`, `identity.keys` or `tls.client_ca` as well, or \
                            remove it");
    }
    anonymous
}

pub(super) fn tls(check: &mut Check<'_>, raw: Option<&raw::Tls>) -> Option<Tls> {
    let raw = raw?;
    let path = Path::top("tls");
    Some(Tls {
        cert: check.file(&path.key("cert"), &raw.cert),
        key: check.file(&path.key("key"), &raw.key),
        client_ca: raw.client_ca.as_ref().map(|file| check.file(&path.key("client_ca"), file)),
    })
}

/// What tokens need: a name of the gateway that they are made for, and a way on which nobody reads them.
pub(super) fn for_tokens(check: &mut Check<'_>, file: &raw::File, listen: SocketAddr) {
    let loopback = listen.ip().to_canonical().is_loopback();
    let identity = &file.identity;
    if loopback || (identity.issuers.is_empty() && identity.facade.is_none() && identity.keys.is_none()) {
        return;
    }
    if file.public_url.is_none() && !file.identity.issuers.is_empty() {
        let message = "needs `public_url`: access tokens name the URL that clients know as their audience";
        check.error(&Path::top("identity").key("issuers"), message);
    }
    let secure =
        file.tls.is_some() || file.public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
    if !secure {
        let message = "tokens and keys cross the network in plain text: set `tls`, or `public_url` to the `https` URL of \
                       what stands in front";
        check.warn(&Path::top("identity"), message);
    }
}

/// The URL without its trailing slash.
pub(super) fn public_url(check: &mut Check<'_>, raw: Option<&str>) -> Option<String> {
    let raw = raw?;
    let path = Path::top("public_url");
    match super::http::absolute_url(raw) {
        Ok(url) if url.query().is_some() => check.error(&path, "has a query; remove it"),
        Ok(_) => {}
        Err(message) => check.error(&path, message),
    }
    Some(raw.trim_end_matches('/').to_owned())
}

fn report(check: &mut Check<'_>, origin: Origin, key: &str, message: &str) {
    let path = Path::top(key);
    match origin {
        Some(origin) => check.report.error_outside(origin, &path, message, None),
        None => check.error(&path, message),
    }
}
