//! Requests and answers as plain values, and what a form is made of.
//!
//! Everything in a request is somebody's input. A parameter that is there twice is refused rather than chosen from
//! (RFC 6749 section 3.1), and so is what is no UTF-8.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::page;
use super::refusal::Refusal;

/// Parameters of one request.
const MOST: usize = 64;
/// Longest query or body that is looked at, in bytes.
pub(super) const LONGEST: usize = 64 * 1024;

/// A request to the facade.
#[derive(Clone, Copy, Debug, Default)]
pub struct FacadeRequest<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The path below the issuer, such as `/authorize`.
    pub path: &'a str,
    /// What follows the question mark.
    pub query: Option<&'a str>,
    /// The `Cookie` field.
    pub cookie: Option<&'a str>,
    /// The `Authorization` field.
    pub authorization: Option<&'a str>,
    /// The `DPoP` field; empty, which is no proof, where it is there twice or no text.
    pub proof: Option<&'a str>,
    /// The `Content-Type` field.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
    /// Who asks.
    pub peer: Option<IpAddr>,
}

/// An answer of the facade.
#[derive(Clone, Debug, Default)]
pub struct FacadeAnswer {
    /// The HTTP status.
    pub status: u16,
    /// Its fields; names in lower case.
    pub fields: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
    /// Why something was refused, for the log. Never text of a peer.
    pub refused: Option<&'static str>,
    /// Whom this was about, as our tokens call them: who is said here got a token, or is said by their identity provider to
    /// have logged out. Nobody's word alone puts a name here.
    pub whom: Option<String>,
}

impl FacadeAnswer {
    pub(super) fn json(status: u16, value: &Value) -> Self {
        let fields = vec![("content-type", "application/json".to_owned())];
        Self { status, fields, body: value.to_string(), ..Self::default() }.unkept()
    }

    /// Done, and nothing to say.
    pub(super) fn empty() -> Self {
        Self { status: 200, ..Self::default() }.unkept()
    }

    /// A public document, which may be kept for a while.
    pub(super) fn document(value: &Value) -> Self {
        let fields = vec![
            ("content-type", "application/json".to_owned()),
            ("cache-control", "public, max-age=300".to_owned()),
        ];
        Self { status: 200, fields, body: value.to_string(), ..Self::default() }
    }

    /// A refusal for a program (RFC 6749 section 5.2).
    pub(super) fn error(refusal: &Refusal) -> Self {
        let mut answer =
            Self::json(refusal.status, &json!({"error": refusal.code, "error_description": refusal.reason}));
        if refusal.status == 401 {
            answer.fields.push(("www-authenticate", "Basic realm=\"portcullis\"".to_owned()));
        }
        if matches!(refusal.status, 429 | 503) {
            answer.fields.push(("retry-after", "30".to_owned()));
        }
        answer.refused = Some(refusal.reason);
        answer
    }

    /// A refusal for a person.
    pub(super) fn error_page(refusal: &Refusal) -> Self {
        let mut answer = Self::page(refusal.status, page::error(refusal));
        if matches!(refusal.status, 429 | 503) {
            answer.fields.push(("retry-after", "30".to_owned()));
        }
        answer.refused = Some(refusal.reason);
        answer
    }

    /// A page of our own: in no frame, without scripts, kept by nobody.
    pub(super) fn page(status: u16, body: String) -> Self {
        let fields = vec![
            ("content-type", "text/html; charset=utf-8".to_owned()),
            ("content-security-policy", page::policy()),
            ("x-frame-options", "DENY".to_owned()),
            ("x-content-type-options", "nosniff".to_owned()),
            // A page without a referrer would send its form with `Origin: null`.
            ("referrer-policy", "same-origin".to_owned()),
        ];
        Self { status, fields, body, ..Self::default() }.unkept()
    }

    /// Sends a browser somewhere else, with a GET whatever it did before.
    pub(super) fn redirect(to: String) -> Self {
        let fields = vec![("location", to), ("referrer-policy", "no-referrer".to_owned())];
        Self { status: 303, fields, ..Self::default() }.unkept()
    }

    pub(super) fn with_cookie(mut self, cookie: String) -> Self {
        self.fields.push(("set-cookie", cookie));
        self
    }

    pub(super) fn about(mut self, whom: String) -> Self {
        self.whom = Some(whom);
        self
    }

    fn unkept(mut self) -> Self {
        self.fields.push(("cache-control", "no-store".to_owned()));
        self
    }
}

/// The parameters of a query or a form.
#[derive(Debug, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads `application/x-www-form-urlencoded`.
    pub(super) fn read(text: &[u8]) -> Result<Self, Refusal> {
        if text.len() > LONGEST {
            return Err(Refusal::bad("the request is too large"));
        }
        let mut all = Vec::new();
        for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if all.len() == MOST {
                return Err(Refusal::bad("too many parameters"));
            }
            let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let (name, value) = pair.split_at(at);
            let decoded = decode(name).zip(decode(value.get(1..).unwrap_or_default()));
            all.push(decoded.ok_or(Refusal::bad("a parameter is not well-formed"))?);
        }
        Ok(Self(all))
    }

    /// The form of a POST.
    pub(super) fn of_form(request: &FacadeRequest<'_>) -> Result<Self, Refusal> {
        let media = request.content_type.unwrap_or_default();
        let essence = media.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Refusal::bad("the body must be `application/x-www-form-urlencoded`"));
        }
        Self::read(request.body)
    }

    /// The value of a parameter; an empty one counts as absent (RFC 6749 section 3.1).
    pub(super) fn get(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut values = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let value = values.next();
        if values.next().is_some() {
            return Err(Refusal::bad("a parameter is there twice"));
        }
        Ok(value.filter(|value| !value.is_empty()))
    }

    /// The value of a parameter that has to be there.
    pub(super) fn need(&self, name: &str, missing: &'static str) -> Result<&str, Refusal> {
        self.get(name)?.ok_or(Refusal::bad(missing))
    }
}

pub(super) fn decode(text: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let pair = [*bytes.next()?, *bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?
            }
            other => *other,
        });
    }
    String::from_utf8(out).ok()
}

/// A URL with parameters added to it.
pub(crate) fn with_params(url: &str, params: &[(&str, &str)]) -> String {
    let mut out = url.to_owned();
    let mut separator = if url.contains('?') { '&' } else { '?' };
    for (name, value) in params {
        let _ = write!(out, "{separator}{name}=");
        crate::issuer::form_encode(&mut out, value);
        separator = '&';
    }
    out
}

/// A form.
pub(super) fn form(params: &[(&str, &str)]) -> String {
    with_params("", params).split_off(usize::from(!params.is_empty()))
}

/// One cookie of a `Cookie` field. Of two with one name, neither counts: one was put there by somebody else.
pub(super) fn cookie<'a>(field: Option<&'a str>, name: &str) -> Option<&'a str> {
    let pairs = field?.split(';').filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(known, _)| *known == name).map(|(_, value)| value);
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_forms_and_refuses_what_can_be_read_in_two_ways() {
        let params = Params::read(b"a=1&b=x%20y+z&c=&d").unwrap();
        assert_eq!(params.get("a").unwrap(), Some("1"));
        assert_eq!(params.get("b").unwrap(), Some("x y z"));
        assert_eq!((params.get("c").unwrap(), params.get("d").unwrap()), (None, None));
        assert!(Params::read(b"a=1&a=1").unwrap().get("a").is_err());
        for bad in ["a=%", "a=%4", "a=%zz", "a=%ff", "%ff=1"] {
            assert!(Params::read(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Params::read("a&".repeat(100).as_bytes()).is_err());
    }

    #[test]
    fn adds_parameters_to_urls_that_have_some_and_to_those_that_have_none() {
        assert_eq!(with_params("https://c/cb", &[("a", "1&2"), ("b", "ä")]), "https://c/cb?a=1%262&b=%C3%A4");
        assert_eq!(with_params("https://c/cb?x=y", &[("a", "1")]), "https://c/cb?x=y&a=1");
        assert_eq!((form(&[("a", "1")]), form(&[])), ("a=1".to_owned(), String::new()));
    }

    #[test]
    fn a_cookie_that_is_there_twice_is_none() {
        assert_eq!(cookie(Some("a=1; b=2"), "b"), Some("2"));
        assert_eq!(cookie(Some("b=1; b=2"), "b"), None);
        assert_eq!(cookie(None, "b"), None);
    }
}
