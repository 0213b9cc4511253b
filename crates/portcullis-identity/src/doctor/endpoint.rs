//! The endpoint: its 401, and its metadata as a protected resource (RFC 9728).

use serde_json::{Value, json};

use super::{About, Question, Told, Walk, is_safe, plain};
use crate::issuer::origin;
use crate::metadata::metadata_url;

impl Walk<'_> {
    /// The authorization server that a client would go to.
    pub(super) async fn endpoint(&mut self) -> Option<String> {
        let about = About { step: "endpoint", document: self.url };
        if !self.url.starts_with("https://") && !self.url.starts_with("http://") {
            self.bad(
                about,
                "url",
                "this is no `https` or `http` URL",
                "give the URL of the endpoint, such as https://host/mcp",
            );
            return None;
        }
        if !is_safe(self.url) {
            let advice = "put TLS in front of it: clients must not send tokens in plain text";
            self.doubtful(about, "url", "plain `http` off this machine", advice);
        }
        let named = self.challenge().await?;
        self.resource_metadata(named.as_deref()).await
    }

    /// The answer to a request without a token. `None` when there is nobody to go on with, `Some(None)` when it does not say
    /// where its metadata is.
    async fn challenge(&mut self) -> Option<Option<String>> {
        let about = About { step: "challenge", document: self.url };
        let hello = json!({
            "jsonrpc": "2.0", "id": 1, "method": "initialize",
            "params": {"protocolVersion": "2025-11-25", "capabilities": {},
                "clientInfo": {"name": "portcullis-doctor", "version": env!("CARGO_PKG_VERSION")}},
        });
        let post = Some(("application/json", hello.to_string().into_bytes()));
        let told =
            match self.probe.send(Question { url: self.url.to_owned(), post, authorization: None }).await {
                Ok(told) => told,
                Err(why) => {
                    self.away(about, &why, "see that the gateway runs, and that its name leads to it");
                    return None;
                }
            };
        match told.status {
            401 => {}
            200..300 => {
                let said = format!("answered {} without a token: no login is needed to connect", told.status);
                let advice = "if it should be needed, set `identity.facade` or `identity.issuers`, or require it there";
                self.doubtful(about, "status", said, advice);
                return Some(None);
            }
            status => {
                let advice = match status {
                    404 => {
                        "there is no endpoint at this path; of this gateway it is /mcp, /mcp/s/{server} or /mcp/v/{toolset}"
                    }
                    403 => "the host or origin is refused: set `public_url` or `http.allowed_hosts`",
                    _ => "a request without a token has to be answered with 401",
                };
                self.bad(about, "status", format!("answered {status} instead of 401"), advice);
                return None;
            }
        }
        let Some(challenge) = told.field("www-authenticate") else {
            let advice = "send `WWW-Authenticate: Bearer resource_metadata=\"…\"` with the 401";
            self.bad(about, "WWW-Authenticate", "401 without this field", advice);
            return Some(None);
        };
        match parameter(challenge, "resource_metadata") {
            Some(url) => {
                self.good(about, format!("401, and the metadata is at {}", plain(&url)));
                Some(Some(url))
            }
            None => {
                let advice = "name the metadata there: not every client looks at the well-known addresses";
                self.doubtful(about, "resource_metadata", "the challenge does not name the metadata", advice);
                Some(None)
            }
        }
    }

    /// Reads the metadata of the resource where a client would: where the challenge says, then at the path, then at the root.
    async fn resource_metadata(&mut self, named: Option<&str>) -> Option<String> {
        let step = "resource-metadata";
        let at_path = metadata_url(self.url);
        let at_root = metadata_url(origin(self.url));
        let mut found: Option<(String, Value)> = None;
        let mut places: Vec<&str> = named.into_iter().collect();
        places.extend([at_path.as_str(), at_root.as_str()].iter().filter(|it| Some(**it) != named));
        places.dedup();
        for url in places {
            let about = About { step, document: url };
            let is_named = Some(url) == named;
            match (self.get(url).await, &found) {
                (Ok(told), None) if told.status == 200 => match told.json() {
                    Some(document) => found = Some((url.to_owned(), document)),
                    None => {
                        let advice = "serve a JSON object (RFC 9728 section 3.2), with no page of a proxy in its place";
                        self.bad(about, "body", "what is there is no JSON object", advice);
                    }
                },
                (Ok(told), Some((_, first))) if told.status == 200 => {
                    let other = told.json().is_some_and(|document| document["resource"] != first["resource"]);
                    if url == at_path && other {
                        let said = "says something else than the document that the challenge names";
                        self.doubtful(about, "resource", said, "serve one document at both addresses");
                    }
                }
                (Ok(told), _) if is_named => {
                    let said = format!("the challenge names it, and it answers {}", told.status);
                    self.bad(
                        about,
                        "status",
                        said,
                        "serve the document where `resource_metadata` says it is",
                    );
                }
                (Ok(told), Some(_)) if url == at_path && told.status != 200 => {
                    let advice = "serve it there too: clients without the challenge look at this address";
                    self.doubtful(about, "status", format!("answers {}", told.status), advice);
                }
                (Err(why), _) if is_named => {
                    self.away(about, &why, "the challenge names an address nobody answers at");
                }
                _ => {}
            }
        }
        let Some((url, document)) = found else {
            let about = About { step, document: &at_path };
            let said = "there is no metadata at any of the addresses where clients look";
            self.bad(about, "status", said, "serve RFC 9728 metadata at this address");
            return None;
        };
        self.read_resource(&url, &document)
    }

    fn read_resource(&mut self, url: &str, document: &Value) -> Option<String> {
        let about = About { step: "resource-metadata", document: url };
        match document["resource"].as_str() {
            Some(resource) if resource == self.url => {}
            Some(resource) if resource.trim_end_matches('/') == self.url.trim_end_matches('/') => {
                let said =
                    format!("`{}` differs from the URL by a slash: clients compare texts", plain(resource));
                self.doubtful(about, "resource", said, "use the URL exactly as the metadata has it");
            }
            Some(resource) => {
                let said = format!("`{}` is not the URL that was asked for", plain(resource));
                let advice = "clients stop here: set `public_url` to the URL that they use, or use the URL that it names";
                self.bad(about, "resource", said, advice);
            }
            None => self.bad(about, "resource", "is missing", "name the endpoint's own URL"),
        }
        if document["scopes_supported"]
            .as_array()
            .is_some_and(|all| all.iter().any(|it| it == "offline_access"))
        {
            let advice = "remove `offline_access`: whether it stays logged in is the client's own business";
            self.doubtful(about, "scopes_supported", "asks every client for a lasting login", advice);
        }
        let servers = document["authorization_servers"].as_array();
        let Some(server) = servers.and_then(|all| all.first()).and_then(Value::as_str) else {
            let advice = "name at least one: `identity.facade`, or an entry of `identity.issuers`";
            self.bad(about, "authorization_servers", "names no authorization server", advice);
            return None;
        };
        if !is_safe(server) {
            let said = format!("`{}` is not `https`", plain(server));
            self.bad(about, "authorization_servers", said, "clients refuse to log in over plain `http`");
        }
        self.good(about, format!("people log in at {}", plain(server)));
        Some(server.to_owned())
    }
}

/// A parameter of a challenge (RFC 9110 section 11.2), quoted or not.
pub(super) fn parameter(challenge: &str, name: &str) -> Option<String> {
    let mut rest = challenge;
    while let Some(at) = rest.find(name) {
        let before = rest[..at].chars().last();
        let after = rest[at + name.len()..].trim_start();
        if before.is_none_or(|char| char == ' ' || char == ',')
            && let Some(value) = after.strip_prefix('=')
        {
            let value = value.trim_start();
            return match value.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').map(|(value, _)| value.to_owned()),
                None => value.split([',', ' ']).next().map(str::to_owned),
            };
        }
        rest = &rest[at + name.len()..];
    }
    None
}

/// The error of OAuth in an answer, if it is one.
pub(super) fn error_of(told: &Told) -> Option<String> {
    Some(plain(told.json()?["error"].as_str()?))
}
