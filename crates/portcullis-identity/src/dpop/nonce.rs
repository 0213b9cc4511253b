//! Nonces that need not be remembered (RFC 9449 section 9): a MAC over the minute they were given in.

use aws_lc_rs::{constant_time, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// How long a nonce is given, in seconds; it is good for as long again.
const PERIOD: u64 = 60;

/// Gives nonces and knows them again.
pub(crate) struct Nonces(hmac::Key);

impl Nonces {
    pub(crate) fn new() -> Self {
        let mut key = [0u8; 32];
        rand::fill(&mut key).expect("the operating system has randomness");
        Self::by(&key)
    }

    /// Those of a key, which all who have it know.
    pub(crate) fn by(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The nonce of now.
    pub(crate) fn give(&self, now: u64) -> String {
        self.of(now / PERIOD)
    }

    /// Whether a nonce is of now, or of a moment ago.
    pub(crate) fn knows(&self, nonce: &str, now: u64) -> bool {
        let period = now / PERIOD;
        let is = |period: u64| {
            constant_time::verify_slices_are_equal(nonce.as_bytes(), self.of(period).as_bytes()).is_ok()
        };
        is(period) || is(period.saturating_sub(1))
    }

    fn of(&self, period: u64) -> String {
        let tag = hmac::sign(&self.0, &period.to_be_bytes());
        URL_SAFE_NO_PAD.encode(&tag.as_ref()[..16])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_for_a_while_and_nobody_elses_ever() {
        let nonces = Nonces::new();
        let nonce = nonces.give(600);
        for now in [600, 659, 660, 719] {
            assert!(nonces.knows(&nonce, now), "{now}");
        }
        for now in [0, 599, 720, 10_000] {
            assert!(!nonces.knows(&nonce, now), "{now}");
        }
        assert!(!Nonces::new().knows(&nonce, 600));
    }
}
