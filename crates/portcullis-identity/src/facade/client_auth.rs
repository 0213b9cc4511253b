//! Which client asks for a token, and whether it is the one (OAuth 2.1 section 2.4, RFC 7523 section 2.2).
//!
//! A client proves itself in the one way that it is known by: one with keys is not let in by a secret or by its name alone.

use aws_lc_rs::constant_time;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_model::Expected;
use serde_json::Value;

use super::client::{Client, Proof};
use super::kept::digest;
use super::refusal::Refusal;
use super::wire::{FacadeRequest, Params};
use super::{Facade, now};
use crate::claims::LEEWAY;
use crate::inbound::sha256;
use crate::jose::{Algorithm, Compact, KeySet, Object};

/// What has been used once, for as long as it would be good.
pub(super) const SEEN: &str = "facade-seen";
/// How long an assertion may be good, in seconds.
pub(super) const LONGEST_LIFE: u64 = 300;
/// Longest `jti`, in bytes.
const LONGEST_ID: usize = 256;
const BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

const WRONG: Refusal = Refusal::client("the client does not prove that it is the one");

impl Facade {
    pub(super) async fn authenticate_client(
        &self,
        request: &FacadeRequest<'_>,
        params: &Params,
    ) -> Result<Client, Refusal> {
        let basic = request.authorization.map(read_basic).transpose()?;
        let assertion = params.get("client_assertion")?;
        let (named, in_form) = (params.get("client_id")?, params.get("client_secret")?);
        if usize::from(basic.is_some()) + usize::from(assertion.is_some()) + usize::from(in_form.is_some())
            > 1
        {
            return Err(Refusal::bad("the client authenticates in two ways at once"));
        }
        if let Some(assertion) = assertion {
            if params.get("client_assertion_type")? != Some(BEARER) {
                return Err(Refusal::bad("`client_assertion_type` is not known here"));
            }
            return self.by_assertion(assertion, named, request).await;
        }
        let (id, secret) = match basic {
            Some((id, secret)) => (id, Some(secret)),
            None => {
                let id = named.ok_or(Refusal::client("the request names no client"))?;
                (id.to_owned(), in_form.map(str::to_owned))
            }
        };
        if named.is_some_and(|named| named != id) {
            return Err(Refusal::bad("the client is named in two ways"));
        }
        let client = self.client(&id, request.peer).await?;
        match (&client.proof, secret) {
            (Proof::None, None) => Ok(client),
            (Proof::Secret(hash), Some(secret)) => {
                let same = constant_time::verify_slices_are_equal(hash, &sha256(secret.as_bytes())).is_ok();
                if same { Ok(client) } else { Err(WRONG) }
            }
            _ => Err(WRONG),
        }
    }

    async fn by_assertion(
        &self,
        assertion: &str,
        named: Option<&str>,
        request: &FacadeRequest<'_>,
    ) -> Result<Client, Refusal> {
        let compact = Compact::parse(assertion).map_err(|_| WRONG)?;
        let algorithm = compact.header.algorithm.filter(|it| Algorithm::USUAL.contains(it)).ok_or(WRONG)?;
        let text = |name: &str| compact.claims.get(name).and_then(Value::as_str);
        // Not believed yet: it says whose keys are to be tried.
        let id = text("sub").filter(|id| text("iss") == Some(id)).ok_or(WRONG)?;
        if named.is_some_and(|named| named != id) {
            return Err(Refusal::bad("the client is named in two ways"));
        }
        let client = self.client(id, request.peer).await?;
        let set = match &client.proof {
            Proof::Keys(jwks) => KeySet::read(jwks.as_bytes()),
            Proof::KeysAt(url) => KeySet::read(&self.documents.keys_at(id, url, request.peer).await?),
            Proof::None | Proof::Secret(_) => return Err(WRONG),
        };
        let set = set.map_err(|_| WRONG)?;
        if !self.assertions.has_room(request.peer) {
            return Err(Refusal::too_often());
        }
        // To check a signature costs more than to make one up. Whom the operator knows has to come often.
        let checked = set.check_signature(&compact, algorithm);
        if checked.is_err() || !client.is_trusted() {
            self.assertions.count(request.peer);
        }
        checked.map_err(|_| WRONG)?;
        let ours = [self.at("/token"), self.settings.issuer.clone()];
        if !is_audience(&compact.claims, &ours) {
            return Err(Refusal::client("the client's assertion is made for somebody else"));
        }
        self.use_once(&compact.claims, id, Refusal::client("the client's assertion is not good any more"))
            .await?;
        Ok(client)
    }

    /// Checks the times of an assertion, and that it was not used before.
    pub(super) async fn use_once(
        &self,
        claims: &Object,
        whose: &str,
        refusal: Refusal,
    ) -> Result<(), Refusal> {
        let time = |name: &str| claims.get(name).and_then(Value::as_u64);
        let now = now();
        let expires = time("exp").ok_or(refusal)?;
        if expires.saturating_add(LEEWAY) <= now || expires > now + LONGEST_LIFE + LEEWAY {
            return Err(refusal);
        }
        let made_later = |name: &str| time(name).is_some_and(|time| time > now + LEEWAY);
        if made_later("iat") || made_later("nbf") {
            return Err(refusal);
        }
        let id = claims.get("jti").and_then(Value::as_str);
        let id = id.filter(|id| !id.is_empty() && id.len() <= LONGEST_ID).ok_or(refusal)?;
        let (key, ends) = (digest(&format!("{whose}\0{id}")), expires + 2 * LEEWAY);
        if !self.kept.put(SEEN, &key, &true, ends, Expected::Absent).await? {
            return Err(Refusal { reason: "an assertion that was used before", ..refusal });
        }
        Ok(())
    }
}

/// Whether claims are for one of these and for nobody else.
pub(super) fn is_audience(claims: &Object, ours: &[String]) -> bool {
    match claims.get("aud") {
        Some(Value::String(audience)) => ours.contains(audience),
        Some(Value::Array(all)) => match all.as_slice() {
            [Value::String(audience)] => ours.contains(audience),
            _ => false,
        },
        _ => false,
    }
}

/// RFC 6749 section 2.3.1: both parts are form-encoded before they are put together.
fn read_basic(field: &str) -> Result<(String, String), Refusal> {
    let read = || {
        let (scheme, credentials) = field.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("Basic") {
            return None;
        }
        let text = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
        let (id, secret) = text.split_once(':')?;
        let part = |text: &str| super::wire::decode(text.as_bytes());
        Some((part(id)?, part(secret)?))
    };
    read().ok_or(Refusal::client("`Authorization` cannot be read"))
}
