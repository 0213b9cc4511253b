//! A JWS in compact form (RFC 7515 section 3.1), taken apart and not believed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::Algorithm;
use crate::inbound::LONGEST;
use crate::refused::Reason;

/// A JSON object.
pub(crate) type Object = serde_json::Map<String, Value>;

/// Longest header, before it is decoded.
const LONGEST_HEADER: usize = 4 * 1024;

/// What a JWS says. Nothing of it is proven yet.
pub(crate) struct Compact<'a> {
    /// What the signature is over.
    pub(crate) signed: &'a [u8],
    pub(crate) header: Header,
    pub(crate) claims: Object,
    pub(crate) signature: Vec<u8>,
}

/// The parts of a header that are looked at. `jku`, `x5u`, `x5c` are not, whatever they say.
pub(crate) struct Header {
    /// `None` for every algorithm that is not known here.
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) kid: Option<String>,
    pub(crate) typ: Option<String>,
    /// For DPoP proofs alone.
    pub(crate) jwk: Option<Object>,
}

impl<'a> Compact<'a> {
    /// Whether a text has the form of one: three parts.
    pub(crate) fn looks_like(text: &str) -> bool {
        text.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// Takes a token apart.
    ///
    /// # Errors
    /// It is too large, not well-formed, or asks to be read in a way that is not known here.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Reason> {
        if text.len() > LONGEST {
            return Err(Reason::TooLarge);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Reason::Unreadable)?;
        let (header, claims) = signed.split_once('.').ok_or(Reason::Unreadable)?;
        if header.len() > LONGEST_HEADER {
            return Err(Reason::TooLarge);
        }
        let header = object(header)?;
        if ["crit", "zip", "b64"].iter().any(|name| header.contains_key(*name)) {
            return Err(Reason::UnknownCritical);
        }
        let text_of = |name: &str| header.get(name).and_then(Value::as_str);
        let header = Header {
            algorithm: text_of("alg").and_then(Algorithm::parse),
            kid: text_of("kid").map(str::to_owned),
            typ: text_of("typ").map(str::to_owned),
            jwk: header.get("jwk").and_then(Value::as_object).cloned(),
        };
        Ok(Self { signed: signed.as_bytes(), header, claims: object(claims)?, signature: decode(signature)? })
    }
}

fn object(part: &str) -> Result<Object, Reason> {
    match serde_json::from_slice(&decode(part)?) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(Reason::Unreadable),
    }
}

/// Strict: no padding, no line ends, no second spelling of the same bytes.
fn decode(part: &str) -> Result<Vec<u8>, Reason> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Reason::Unreadable)
}
