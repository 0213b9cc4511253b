//! The authorization server: its metadata (RFC 8414), and whether what it names is there.

use serde_json::Value;

use super::endpoint::error_of;
use super::{About, Question, Walk, is_safe, plain};
use crate::facade::with_params;
use crate::issuer::places;
use crate::jose::KeySet;

/// A client that no server knows, and a place that it must send nobody to.
const STRANGER: &str = "portcullis-doctor";
const NOWHERE: &str = "https://nowhere.invalid/callback";
/// A challenge for a verifier that nobody has.
const CHALLENGE: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

impl Walk<'_> {
    pub(super) async fn authorization_server(&mut self, issuer: &str) {
        let Some((url, document)) = self.metadata(issuer).await else {
            return self.token(issuer).await;
        };
        self.check_metadata(issuer, &url, &document);
        self.registration(&url, &document);
        self.keys(&document).await;
        self.authorization(&url, &document).await;
        self.token_endpoint(&url, &document).await;
        self.token(issuer).await;
    }

    /// The document, at the first address that has one.
    async fn metadata(&mut self, issuer: &str) -> Option<(String, Value)> {
        let step = "server-metadata";
        let mut statuses = Vec::new();
        for url in places(issuer) {
            let about = About { step, document: &url };
            match self.get(&url).await {
                Ok(told) if told.status == 200 => {
                    if let Some(document) = told.json() {
                        return Some((url, document));
                    }
                    let advice = "serve a JSON object there, or 404: clients stop at the first answer";
                    self.bad(about, "body", "what is there is no JSON object", advice);
                    return None;
                }
                Ok(told) => statuses.push(told.status.to_string()),
                Err(why) => {
                    self.away(about, &why, "see that clients can reach the authorization server");
                    return None;
                }
            }
        }
        let first = places(issuer).swap_remove(0);
        let said = format!("no metadata: the well-known addresses answer {}", statuses.join(", "));
        let advice = "the provider has neither RFC 8414 nor OpenID metadata for this issuer; check the issuer's spelling, or put \
                      `identity.facade` in front of it";
        self.bad(About { step, document: &first }, "status", said, advice);
        None
    }

    fn check_metadata(&mut self, issuer: &str, url: &str, document: &Value) {
        let about = About { step: "server-metadata", document: url };
        let text = |name: &str| document[name].as_str();
        match text("issuer") {
            Some(named) if named == issuer => self.good(about, format!("is of {}", plain(issuer))),
            Some(named) => {
                let said =
                    format!("`{}` is not the issuer that was asked for, `{}`", plain(named), plain(issuer));
                let advice = "clients refuse it (mix-up): name the issuer exactly as its own metadata does, slash by slash";
                self.bad(about, "issuer", said, advice);
            }
            None => self.bad(
                about,
                "issuer",
                "is missing",
                "the document has to name its issuer (RFC 8414 section 2)",
            ),
        }
        for name in ["authorization_endpoint", "token_endpoint"] {
            match text(name) {
                Some(url) if is_safe(url) => {}
                Some(url) => {
                    let said = format!("`{}` is not `https`", plain(url));
                    self.bad(about, name, said, "clients go to `https` addresses alone");
                }
                None => self.bad(about, name, "is missing", "without it nobody can log in"),
            }
        }
        let lists =
            |name: &str, value: &str| document[name].as_array().map(|all| all.iter().any(|it| it == value));
        let step = About { step: "pkce", document: url };
        match lists("code_challenge_methods_supported", "S256") {
            Some(true) => self.good(step, "S256"),
            Some(false) => {
                let advice = "turn S256 on at the provider, or put `identity.facade` in front of it";
                self.bad(step, "code_challenge_methods_supported", "does not list S256", advice);
            }
            None => {
                let advice = "clients of MCP must refuse a server that does not say it does PKCE; Entra and Cognito do not: put \
                              `identity.facade` in front of them";
                self.bad(step, "code_challenge_methods_supported", "is missing", advice);
            }
        }
        if lists("response_types_supported", "code") == Some(false) {
            self.bad(
                about,
                "response_types_supported",
                "does not list `code`",
                "turn the code flow on at the provider",
            );
        }
        if document["authorization_response_iss_parameter_supported"] != true {
            let advice = "answers that do not name their issuer are open to mix-up where a client knows several (RFC 9207)";
            self.doubtful(about, "authorization_response_iss_parameter_supported", "is not true", advice);
        }
    }

    /// How a client that is not known gets known.
    fn registration(&mut self, url: &str, document: &Value) {
        let about = About { step: "registration", document: url };
        let by_document = document["client_id_metadata_document_supported"] == true;
        let by_request = document["registration_endpoint"].as_str();
        if by_request.is_some_and(|url| !is_safe(url)) {
            self.bad(
                about,
                "registration_endpoint",
                "is not `https`",
                "clients go to `https` addresses alone",
            );
        }
        match (by_document, by_request, &self.means.client_id) {
            (true, Some(_), _) => self.good(about, "by metadata document, and dynamically"),
            (true, None, _) => {
                self.good(about, "by metadata document; older clients need an id from the operator");
            }
            (false, Some(_), _) => {
                let advice = "dynamic registration is deprecated; newer clients would rather bring a metadata document";
                self.doubtful(
                    about,
                    "client_id_metadata_document_supported",
                    "only dynamic registration",
                    advice,
                );
            }
            (false, None, Some(_)) => self.good(about, "none, but there is a client id"),
            (false, None, None) => {
                let advice = "clients cannot register: give them a client id that is registered by hand (and try it with \
                              --client-id), or put `identity.facade` in front of the provider";
                self.bad(about, "registration_endpoint", "no way for a client to become known", advice);
            }
        }
    }

    async fn keys(&mut self, document: &Value) {
        let Some(url) = document["jwks_uri"].as_str() else { return };
        let about = About { step: "keys", document: url };
        match self.get(url).await {
            Ok(told) if told.status == 200 => match KeySet::read(&told.body) {
                Ok(keys) if keys.is_empty() => {
                    let said = "the set holds no key that a signature can be checked with".to_owned();
                    self.bad(about, "keys", said, "serve public keys for signatures (RFC 7517)");
                }
                Ok(_) => self.good(about, "a set of keys"),
                Err(error) => {
                    self.bad(about, "keys", error.to_string(), "serve public keys for signatures (RFC 7517)");
                }
            },
            Ok(told) => {
                self.bad(
                    about,
                    "status",
                    format!("answers {}", told.status),
                    "tokens cannot be checked without keys",
                );
            }
            Err(why) => self.away(about, &why, "tokens cannot be checked without keys"),
        }
    }

    /// Asks for a login, as a browser would: with a client that is known it has to get somewhere, with one that is not it must
    /// not be sent on.
    async fn authorization(&mut self, url: &str, document: &Value) {
        let Some(endpoint) = document["authorization_endpoint"].as_str().filter(|url| is_safe(url)) else {
            return;
        };
        let about = About { step: "authorize", document: endpoint };
        let known = self.means.client_id.as_deref().zip(self.means.redirect_uri.as_deref());
        let (client, redirect) = known.unwrap_or((STRANGER, NOWHERE));
        let params = [
            ("response_type", "code"),
            ("client_id", client),
            ("redirect_uri", redirect),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("resource", self.url),
            ("state", "doctor"),
        ];
        let told = match self.get(&with_params(endpoint, &params)).await {
            Ok(told) => told,
            Err(why) => return self.away(about, &why, "browsers have to reach this address"),
        };
        let to = told.field("location").unwrap_or_default();
        let sent_back = (300..400).contains(&told.status) && to.starts_with(redirect);
        match (told.status, known) {
            (404 | 405 | 500.., _) => {
                let said = format!("answers {}", told.status);
                self.bad(
                    About { step: "authorize", document: url },
                    "authorization_endpoint",
                    said,
                    "nobody can log in there",
                );
            }
            (_, None) if sent_back => {
                let advice = "an authorization server must send nobody to an address that is not registered";
                self.bad(
                    about,
                    "redirect_uri",
                    "sends a client that it cannot know on to any address",
                    advice,
                );
            }
            (_, None) => self.good(about, "is there, and sends no stranger on"),
            (_, Some(_)) if sent_back && to.contains("error=") => {
                let error =
                    to.split("error=").nth(1).and_then(|rest| rest.split('&').next()).unwrap_or_default();
                let said = format!("sends the client back with `{}`", plain(error));
                let advice = match error {
                    "invalid_target" => {
                        "the server does not know this resource: see that PRM's `resource` is registered there"
                    }
                    "invalid_scope" => "the server does not know the scopes",
                    _ => "see what the client may do at the server",
                };
                self.bad(about, "error", said, advice);
            }
            (400.., Some(_)) => {
                let advice = "register the client there, with this very redirect URI";
                self.bad(about, "client_id", format!("answers {} to the client", told.status), advice);
            }
            (_, Some(_)) => self.good(about, "asks the person to log in"),
        }
    }

    /// A made-up code has to be refused in the way of OAuth.
    async fn token_endpoint(&mut self, url: &str, document: &Value) {
        let Some(endpoint) = document["token_endpoint"].as_str().filter(|url| is_safe(url)) else { return };
        let about = About { step: "token-endpoint", document: endpoint };
        let client = self.means.client_id.as_deref().unwrap_or(STRANGER);
        let body = with_params(
            "",
            &[
                ("grant_type", "authorization_code"),
                ("client_id", client),
                ("code", "made-up"),
                ("redirect_uri", NOWHERE),
                ("code_verifier", "made-up-made-up-made-up-made-up-made-up-made-up"),
                ("resource", self.url),
            ],
        );
        let post =
            Some(("application/x-www-form-urlencoded", body.trim_start_matches('?').as_bytes().to_vec()));
        match self.probe.send(Question { url: endpoint.to_owned(), post, authorization: None }).await {
            Ok(told) => match (told.status, error_of(&told)) {
                (400 | 401, Some(error)) => {
                    self.good(about, format!("refuses a made-up code with `{error}`"));
                }
                (200..300, _) => {
                    self.bad(
                        about,
                        "status",
                        "takes a code that nobody gave",
                        "this is no authorization server to trust",
                    );
                }
                (status, None) => {
                    let said = format!("answers {status} without an OAuth error: nothing there speaks OAuth");
                    let advice = "see that `token_endpoint` is the right address, and that no proxy answers in its place";
                    self.bad(About { step: "token-endpoint", document: url }, "token_endpoint", said, advice);
                }
                (status, Some(error)) => {
                    let said = format!("answers {status} with `{error}`");
                    self.doubtful(about, "status", said, "an error of this kind has the status 400 or 401");
                }
            },
            Err(why) => self.away(about, &why, "clients have to reach this address"),
        }
    }
}
