//! A token that does not get in: what it says, and what the endpoint makes of it. Its text is shown nowhere.

use serde_json::{Value, json};

use super::endpoint::parameter;
use super::{About, Question, Walk, plain};
use crate::jose::{Compact, Object};

impl Walk<'_> {
    pub(super) async fn token(&mut self, issuer: &str) {
        let Some(token) = self.means.token.clone() else { return };
        let about = About { step: "token", document: "the token" };
        match Compact::parse(&token) {
            Ok(compact) => self.claims(about, issuer, compact.header.typ.as_deref(), &compact.claims),
            Err(_) => {
                let advice = "only its issuer can read it: the gateway needs `introspection` for it";
                self.doubtful(about, "token", "is no JWT", advice);
            }
        }
        self.try_token(&token).await;
    }

    /// What a resource server would look at. The signature is not checked here: the endpoint does that.
    fn claims(&mut self, about: About<'_>, issuer: &str, typ: Option<&str>, claims: &Object) {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        match text("iss") {
            Some(named) if named == issuer => {}
            Some(named) => {
                let said = format!("`{}` is not the authorization server of this endpoint", plain(named));
                self.bad(about, "iss", said, "get one from the authorization server that the metadata names");
            }
            None => self.bad(about, "iss", "is missing", "a token has to name its issuer"),
        }
        let audiences: Vec<&str> = match claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if !audiences.contains(&self.url) {
            let said = format!("[{}] does not name this endpoint", plain(&audiences.join(", ")));
            let advice = "ask for it with `resource=` the URL of the endpoint; a provider that cannot do that needs `audience` in \
                          `identity.issuers`, or `identity.facade` in front of it";
            self.doubtful(about, "aud", said, advice);
        }
        if !typ.is_some_and(|typ| {
            typ.eq_ignore_ascii_case("at+jwt") || typ.eq_ignore_ascii_case("application/at+jwt")
        }) {
            let advice =
                "its issuer needs `untyped: true` in `identity.issuers`, if this is an access token at all";
            self.doubtful(about, "typ", "does not say that it is an access token", advice);
        }
        if ["nonce", "at_hash", "c_hash"].iter().any(|name| claims.contains_key(*name)) {
            self.bad(about, "nonce", "this is an ID token", "send the access token that came with it");
        }
        match claims.get("exp").and_then(Value::as_u64) {
            Some(expires) if expires < crate::clock::now() => {
                self.bad(about, "exp", "has expired", "get a new one; see that clocks agree");
            }
            Some(_) => {}
            None => self.bad(about, "exp", "is missing, or no number", "a token has to have an end"),
        }
    }

    async fn try_token(&mut self, token: &str) {
        let url = self.url;
        let about = About { step: "token", document: url };
        let message = json!({
            "jsonrpc": "2.0", "id": 1, "method": "initialize",
            "params": {"protocolVersion": "2025-11-25", "capabilities": {},
                "clientInfo": {"name": "portcullis-doctor", "version": env!("CARGO_PKG_VERSION")}},
        });
        let post = Some(("application/json", message.to_string().into_bytes()));
        let authorization = Some(format!("Bearer {token}"));
        match self.probe.send(Question { url: url.to_owned(), post, authorization }).await {
            Ok(told) => match told.status {
                200..300 => self.good(about, "lets the token in"),
                403 => {
                    let scope = told.field("www-authenticate").and_then(|it| parameter(it, "scope"));
                    let said = format!("wants more scopes: {}", plain(&scope.unwrap_or_default()));
                    self.bad(about, "scope", said, "ask for all of them at the next login");
                }
                status => {
                    let advice = "the gateway's log says why (`refused a credential`)";
                    self.bad(about, "Authorization", format!("answers {status} to the token"), advice);
                }
            },
            Err(why) => self.away(about, &why, "it answered before"),
        }
    }
}
