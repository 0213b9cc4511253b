//! What a server says with a refusal (`WWW-Authenticate`): untrusted input, which may only choose among what the operator
//! allows.
//!
//! Of all it could say, four things are heeded: which document describes the server, which scopes it wants, whether it
//! wants proofs of possession, and its error code. Everything is bounded.

use super::sign::random;

/// Longest field that is looked at, in bytes.
const LONGEST: usize = 8 * 1024;
/// Scopes that one challenge may name.
const SCOPES: usize = 32;
const LONGEST_SCOPE: usize = 256;

/// A challenge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) resource_metadata: Option<String>,
    pub(super) scopes: Option<Vec<String>>,
    pub(super) error: Option<String>,
    pub(super) dpop: bool,
}

impl Challenge {
    /// Reads the first challenge that is for tokens; nothing heeds the others.
    pub(super) fn read(value: &str) -> Self {
        let mut challenge = Self::default();
        if value.len() > LONGEST {
            return challenge;
        }
        let mut ours = false;
        let mut rest = value;
        while let Some((word, after)) = token(rest) {
            rest = after.trim_start();
            let Some(after) = rest.strip_prefix('=') else {
                // The name of a scheme.
                if ours {
                    break;
                }
                challenge.dpop = word.eq_ignore_ascii_case("DPoP");
                ours = challenge.dpop || word.eq_ignore_ascii_case("Bearer");
                rest = rest.trim_start_matches([',', ' ', '\t']);
                continue;
            };
            let Some((text, after)) = text(after.trim_start()) else { break };
            rest = after.trim_start_matches([',', ' ', '\t']);
            if ours {
                challenge.take(word, text);
            }
        }
        challenge
    }

    fn take(&mut self, name: &str, text: String) {
        if name.eq_ignore_ascii_case("resource_metadata") {
            self.resource_metadata.get_or_insert(text);
        } else if name.eq_ignore_ascii_case("error") {
            self.error.get_or_insert(text);
        } else if name.eq_ignore_ascii_case("scope") && self.scopes.is_none() {
            self.scopes = Some(scopes(&text)).filter(|scopes| !scopes.is_empty());
        }
    }
}

/// The scopes in a text (RFC 6749 section 3.3), as many as one may name.
pub(super) fn scopes(text: &str) -> Vec<String> {
    let fits = |scope: &&str| {
        scope.len() <= LONGEST_SCOPE
            && scope.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
    };
    let mut scopes: Vec<String> = Vec::new();
    for scope in text.split_ascii_whitespace().filter(fits) {
        if scopes.len() < SCOPES && !scopes.iter().any(|known| known == scope) {
            scopes.push(scope.to_owned());
        }
    }
    scopes
}

fn token(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches([',', ' ', '\t']);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let end = text.bytes().position(|byte| !fits(byte)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A token or a quoted string, and what follows.
fn text(value: &str) -> Option<(String, &str)> {
    let Some(quoted) = value.strip_prefix('"') else {
        let end = value.find([',', ' ', '\t']).unwrap_or(value.len());
        return Some((value[..end].to_owned(), &value[end..]));
    };
    let mut out = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((out, &quoted[at + 1..])),
            '\\' => out.push(chars.next()?.1),
            char => out.push(char),
        }
    }
    None
}

/// A verifier for PKCE and its challenge (RFC 7636).
pub(super) fn pkce() -> (String, String) {
    use base64::Engine as _;
    let verifier = random(32);
    let digest = crate::inbound::sha256(verifier.as_bytes());
    let challenge = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest);
    (verifier, challenge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_servers_write_and_survives_what_they_should_not() {
        let full = Challenge::read(
            r#"Basic realm="x", Bearer error="insufficient_scope", scope="a b  a", resource_metadata="https://h/\"m""#,
        );
        assert_eq!(full.error.as_deref(), Some("insufficient_scope"));
        assert_eq!(full.scopes, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(full.resource_metadata.as_deref(), Some("https://h/\"m"));
        assert!(!full.dpop);
        let dpop = Challenge::read(r#"DPoP error="use_dpop_nonce", algs="ES256""#);
        assert!(dpop.dpop && dpop.error.as_deref() == Some("use_dpop_nonce"));
        // The second challenge is another one.
        let two = Challenge::read(r#"Bearer scope=a, DPoP scope="b""#);
        assert_eq!((two.scopes, two.dpop), (Some(vec!["a".to_owned()]), false));
        let longest = "x".repeat(LONGEST + 1);
        for nothing in ["", "Basic", "Bearer", "Bearer scope=\"", "=", ",,,", "Bearer =x", longest.as_str()] {
            let read = Challenge::read(nothing);
            assert_eq!((read.scopes, read.resource_metadata), (None, None), "{nothing:.20}");
        }
    }

    #[test]
    fn a_challenge_asks_for_so_many_scopes_and_for_nothing_that_is_none() {
        let many: Vec<String> = (0..1000).map(|number| format!("s{number}")).collect();
        assert_eq!(scopes(&many.join(" ")).len(), SCOPES);
        assert_eq!(scopes(&format!("ok \u{e4} a\"b {}", "x".repeat(LONGEST_SCOPE + 1))), ["ok"]);
    }
}
