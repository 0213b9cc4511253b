//! APIs that a document describes.

use std::collections::BTreeMap;

use super::Check;
use super::http::{absolute_url, is_loopback};
use super::server::{http as upstream_at, misplaced, no_child};
use crate::node::Path;
use crate::{DocumentAt, HttpTransport, HttpUpstream, OpenApi, UpstreamTls, UpstreamUrl, raw};

/// For an API of which only its document says where it is.
const NOWHERE: &str = "https://openapi.invalid/";

pub(super) fn openapi(
    check: &mut Check<'_>,
    path: &Path,
    raw: &raw::Server,
    api: &raw::OpenApi,
) -> Option<HttpUpstream> {
    misplaced(check, path, "url", &[("transport", raw.transport.is_some()), ("era", raw.era.is_some())]);
    let at = path.key("openapi");
    let document = document(check, &at.key("document"), &api.document);
    let digest = api.digest.as_deref().and_then(|digest| {
        let hex = digest.strip_prefix("sha256:").map(str::to_ascii_lowercase);
        let hex = hex.filter(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if hex.is_none() {
            check.error(&at.key("digest"), "expected `sha256:` and 64 hexadecimal digits");
        }
        hex
    });
    let mut query = BTreeMap::new();
    for (name, secret) in &api.query {
        if let Some(secret) = check.secret(&at.key("query").key(name), name, secret) {
            query.insert(name.clone(), secret);
        }
    }
    let settings = OpenApi {
        document: document?,
        digest,
        is_placed_by_document: api.base_url.is_none(),
        query,
        operations: api.operations.clone(),
    };
    let upstream = match &api.base_url {
        Some(url) => {
            let at = at.key("base_url");
            if url.contains('?') {
                check.error(&at, "has a query; put what belongs there into `query`");
            }
            upstream_at(check, path, raw, url, &at)?
        }
        None => {
            let secret = [
                (path.key("headers"), !raw.headers.is_empty()),
                (path.key("credentials"), raw.credentials.is_some()),
                (path.key("tls"), raw.tls.is_some()),
                (at.key("query"), !api.query.is_empty()),
            ];
            for (key, _) in secret.iter().filter(|(_, given)| *given) {
                check.error(
                    key,
                    "needs `openapi.base_url`: a document must not decide where secrets are sent",
                );
            }
            no_child(check, path, raw);
            HttpUpstream {
                url: UpstreamUrl(::http::Uri::from_static(NOWHERE)),
                transport: HttpTransport::Streamable,
                headers: BTreeMap::new(),
                credentials: None,
                tls: UpstreamTls::default(),
                openapi: None,
                image: None,
            }
        }
    };
    Some(HttpUpstream { openapi: Some(Box::new(settings)), ..upstream })
}

fn document(check: &mut Check<'_>, path: &Path, text: &str) -> Option<DocumentAt> {
    if text.trim().is_empty() {
        check.error(path, "expected a file or a URL");
        return None;
    }
    if !text.contains("://") {
        return Some(DocumentAt::File(check.file(path, text)));
    }
    match absolute_url(text) {
        Ok(url) => {
            if url.scheme_str() == Some("http") && !is_loopback(&url) {
                check.warn(
                    path,
                    "plain `http` off this machine: anybody on the way can put another document there",
                );
            }
            Some(DocumentAt::Url(text.to_owned()))
        }
        Err(message) => {
            check.error(path, message);
            None
        }
    }
}
