//! A client certificate that a connection was opened with: good as long as it lasts, and as its authority is trusted.
//!
//! The handshake verifies it once; a connection may live for days after that. So each request asks again: whether its time
//! is over, which is a comparison, and whether the authorities have changed since, in which case it is verified anew.
//! Streams end with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::watch;

/// Whose certificates are accepted now.
pub(super) struct Trust {
    now: ArcSwap<Accepted>,
    changes: watch::Sender<()>,
}

struct Accepted {
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    generation: u64,
}

impl Trust {
    pub(super) fn new(verifier: Option<Arc<dyn ClientCertVerifier>>) -> Arc<Self> {
        let now = ArcSwap::from_pointee(Accepted { verifier, generation: 1 });
        Arc::new(Self { now, changes: watch::Sender::new(()) })
    }

    /// Others are trusted from now on, or the same, read anew.
    pub(super) fn replace(&self, verifier: Option<Arc<dyn ClientCertVerifier>>) {
        let generation = self.now.load().generation + 1;
        self.now.store(Arc::new(Accepted { verifier, generation }));
        self.changes.send_replace(());
    }
}

/// A certificate that was accepted when its connection was opened.
pub(crate) struct Shown {
    chain: Vec<CertificateDer<'static>>,
    pub(super) sha256: [u8; 32],
    /// When the first of the chain ends, in seconds since 1970.
    ends: u64,
    trust: Arc<Trust>,
    /// Under which generation of authorities it was verified last, and whether it was good.
    generation: AtomicU64,
    good: AtomicBool,
}

impl Shown {
    /// One that was verified just now.
    pub(super) fn new(chain: &[CertificateDer<'static>], sha256: [u8; 32], trust: &Arc<Trust>) -> Self {
        // What cannot be read has ended.
        let ends = chain.iter().map(|one| not_after(one).unwrap_or(0)).min().unwrap_or(0);
        Self {
            chain: chain.to_vec(),
            sha256,
            ends,
            trust: trust.clone(),
            // By whom it was verified is not known for sure, should others be trusted since the handshake began.
            generation: AtomicU64::new(0),
            good: AtomicBool::new(false),
        }
    }

    /// Whether it is good now.
    pub(super) fn counts(&self) -> bool {
        if now() >= self.ends {
            return false;
        }
        let accepted = self.trust.now.load();
        if self.generation.load(Ordering::Acquire) != accepted.generation {
            self.good.store(self.verify(&accepted), Ordering::Relaxed);
            self.generation.store(accepted.generation, Ordering::Release);
        }
        self.good.load(Ordering::Relaxed)
    }

    fn verify(&self, accepted: &Accepted) -> bool {
        let (Some(verifier), Some((own, others))) = (&accepted.verifier, self.chain.split_first()) else {
            return false;
        };
        verifier.verify_client_cert(own, others, UnixTime::now()).is_ok()
    }

    /// Ends when it is not good any more.
    pub(super) async fn until_over(&self) {
        let mut trust = self.trust.changes.subscribe();
        while self.counts() {
            let left = Duration::from_secs(self.ends.saturating_sub(now()));
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                changed = trust.changed() => if changed.is_err() { return },
            }
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `notAfter` of a certificate (RFC 5280 section 4.1.2.5), in seconds since 1970. Only of one that was verified: the rest of
/// its grammar is webpki's matter.
fn not_after(certificate: &[u8]) -> Option<u64> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    // The version stands first where it is not the first version.
    let (tag, _, rest) = element(fields)?;
    if tag == 0xa0 {
        fields = rest;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (_, validity, _) = element(fields)?;
    let (_, _, rest) = element(validity)?;
    let (tag, time, _) = element(rest)?;
    let digits = std::str::from_utf8(time.strip_suffix(b"Z")?).ok()?;
    let (year, rest) = match tag {
        0x17 => {
            let year: u64 = digits.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, digits.get(2..)?)
        }
        0x18 => (digits.get(..4)?.parse().ok()?, digits.get(4..)?),
        _ => return None,
    };
    let number = |place: usize| rest.get(place * 2..place * 2 + 2)?.parse::<u64>().ok();
    let (month, day) = (number(0)?, number(1)?);
    let (hour, minute, second) = (number(2)?, number(3)?, number(4)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || year < 1970 {
        return None;
    }
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    let days = (year - 1970) * 365 + leaps(year - 1) - leaps(1969)
        + before[usize::try_from(month - 1).ok()?]
        + u64::from(leap && month > 2)
        + day
        - 1;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// The first element of DER: its tag, what is in it, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        let fold = |length: usize, byte: &u8| length.checked_mul(256)?.checked_add(usize::from(*byte));
        (digits.iter().try_fold(0, fold)?, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn reads_when_a_certificate_ends() {
        for (year, month, day, seconds) in [
            (2026, 11, 28, 1_795_824_000),
            (2028, 2, 29, 1_835_395_200),
            (2049, 12, 31, 2_524_521_600),
            (2050, 1, 1, 2_524_608_000),
            (2100, 3, 1, 4_107_542_400),
        ] {
            let mut parameters = CertificateParams::new(vec!["x".to_owned()]).unwrap();
            parameters.not_after = date_time_ymd(year, month, day);
            let certificate = parameters.self_signed(&KeyPair::generate().unwrap()).unwrap();
            assert_eq!(not_after(certificate.der()), Some(seconds), "{year}-{month}-{day}");
        }
        for broken in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x03\x30\x01\x02", &[0x30; 64]] {
            assert_eq!(not_after(broken), None);
        }
    }
}
