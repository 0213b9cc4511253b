//! Time stamps of checkpoints (RFC 3161): an authority signs that a checkpoint was there at a time, so that whoever has the log's
//! key cannot say later that another one was.
//!
//! What is stamped is the text of a checkpoint without its signatures, so that witnesses may sign after it. A stamp is checked as
//! section 2.3 of the RFC and RFC 5652 and 5816 want it: the token's own attributes, the certificate that it names, its purpose, and
//! its chain to an authority that was handed in, all at the time that the stamp says. Left out are revocation (a stamp is
//! checked years later, when nobody answers any more) and signatures with RSA-PSS.

use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512, digest};
use cms::cert::CertificateChoices;
use cms::cert::x509::ext::Extensions;
use cms::cert::x509::ext::pkix::SubjectKeyIdentifier;
use cms::cert::x509::ext::pkix::name::GeneralName;
use cms::content_info::ContentInfo;
use cms::signed_data::{SignedData, SignerIdentifier, SignerInfo};
use der::asn1::{BitString, Int, ObjectIdentifier, OctetString};
use der::{Any, DateTime, Decode as _, Encode as _, Sequence, Tag, Tagged as _};
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::aws_lc_rs as by;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::checkpoint::Checkpoint;

/// Where stamps lie beside the log, by the sizes of checkpoints.
pub(crate) const KIND: &str = "timestamp";
/// What is posted, and what comes back.
pub const QUERY: &str = "application/timestamp-query";

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
const SIGNING_CERTIFICATE_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
const ID_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const ID_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const ID_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
/// `id-kp-timeStamping`, as webpki wants it.
const TIME_STAMPING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 8];

/// An algorithm and what it is given.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct Algorithm {
    oid: ObjectIdentifier,
    #[asn1(optional = "true")]
    parameters: Option<Any>,
}

#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct Imprint {
    algorithm: Algorithm,
    hash: OctetString,
}

#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct Request {
    version: u8,
    imprint: Imprint,
    nonce: Int,
    certificate_wanted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct Status {
    code: u8,
    #[asn1(optional = "true")]
    text: Option<Vec<String>>,
    #[asn1(optional = "true")]
    failure: Option<BitString>,
}

#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct Response {
    status: Status,
    #[asn1(optional = "true")]
    token: Option<Any>,
}

#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct Accuracy {
    #[asn1(optional = "true")]
    seconds: Option<u32>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    millis: Option<u16>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    micros: Option<u16>,
}

/// What was stamped, and when (`TSTInfo`).
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct Info {
    version: u8,
    policy: ObjectIdentifier,
    imprint: Imprint,
    serial: Int,
    /// A `GeneralizedTime`, which may have fractions of a second.
    time: Any,
    #[asn1(optional = "true")]
    accuracy: Option<Accuracy>,
    #[asn1(default = "Default::default")]
    ordering: bool,
    #[asn1(optional = "true")]
    nonce: Option<Int>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    authority: Option<GeneralName>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    extensions: Option<Extensions>,
}

/// The certificates that a signer says it has, the first of which has to be its own; the two forms differ in the hash.
#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct Named {
    certificates: Vec<Any>,
    #[asn1(optional = "true")]
    policies: Option<Any>,
}

#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct NamedOne {
    hash: OctetString,
    #[asn1(optional = "true")]
    issuer: Option<Any>,
}

#[derive(Clone, Debug, PartialEq, Eq, Sequence)]
struct NamedOneBy {
    algorithm: Algorithm,
    hash: OctetString,
    #[asn1(optional = "true")]
    issuer: Option<Any>,
}

/// A stamp that is none, or does not say what it has to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStamp {
    /// It cannot be read.
    #[error("not a time stamp: {0}")]
    Malformed(String),
    /// The authority refused.
    #[error("the authority refused: {0}")]
    Refused(String),
    /// It is one, of something else, or not signed as it has to be.
    #[error("not a time stamp of this checkpoint: {0}")]
    Wrong(&'static str),
    /// Its certificate does not lead to an authority that is trusted.
    #[error("not by an authority that is trusted: {0}")]
    Untrusted(String),
}

impl From<der::Error> for InvalidStamp {
    fn from(error: der::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// A question to an authority: what is posted, and what shows that the answer is to it.
#[derive(Clone, Debug)]
pub struct Query {
    /// The body, of the type [`QUERY`].
    pub body: Vec<u8>,
    nonce: Int,
}

/// Authorities that are trusted.
pub struct Authorities(Vec<TrustAnchor<'static>>);

impl std::fmt::Debug for Authorities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authorities({})", self.0.len())
    }
}

impl Authorities {
    /// From their certificates.
    ///
    /// # Errors
    /// One is none.
    pub fn new(certificates: &[CertificateDer<'_>]) -> Result<Self, InvalidStamp> {
        let anchor = |certificate: &CertificateDer<'_>| {
            anchor_from_trusted_cert(certificate)
                .map(|anchor| anchor.to_owned())
                .map_err(|error| InvalidStamp::Untrusted(error.to_string()))
        };
        Ok(Self(certificates.iter().map(anchor).collect::<Result<_, _>>()?))
    }
}

fn imprint(checkpoint: &Checkpoint) -> Result<Imprint, der::Error> {
    let algorithm = Algorithm { oid: ID_SHA256, parameters: Some(Any::null()) };
    Ok(Imprint { algorithm, hash: OctetString::new(digest(&SHA256, checkpoint.text().as_bytes()).as_ref())? })
}

/// Asks for a stamp of a checkpoint.
///
/// # Errors
/// The system gives no random bytes.
pub fn query(checkpoint: &Checkpoint) -> Result<Query, InvalidStamp> {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random)
        .map_err(|_| InvalidStamp::Malformed("the system gives no random bytes".to_owned()))?;
    // Positive, and written in the shortest way.
    random[0] = random[0] & 0x7f | 0x40;
    let nonce = Int::new(&random)?;
    let request =
        Request { version: 1, imprint: imprint(checkpoint)?, nonce: nonce.clone(), certificate_wanted: true };
    Ok(Query { body: request.to_der()?, nonce })
}

/// Reads an answer: the token, which is what is kept. All of it is checked but who the authority is.
///
/// # Errors
/// It is a refusal, or no stamp of this checkpoint.
pub fn accept(checkpoint: &Checkpoint, query: &Query, answer: &[u8]) -> Result<Vec<u8>, InvalidStamp> {
    let response = Response::from_der(answer)?;
    if response.status.code > 1 {
        let why = response.status.text.unwrap_or_default().join("; ");
        return Err(InvalidStamp::Refused(format!("status {} {why}", response.status.code)));
    }
    let token = response.token.ok_or(InvalidStamp::Wrong("there is no token in the answer"))?.to_der()?;
    let opened = open(checkpoint, &token)?;
    if opened.info.nonce.as_ref() == Some(&query.nonce) {
        Ok(token)
    } else {
        Err(InvalidStamp::Wrong("it is the answer to another question"))
    }
}

/// Checks a token; when it says that the checkpoint was there, in seconds since 1970. Without authorities it is not asked who
/// says so.
///
/// # Errors
/// It is no stamp of this checkpoint, or by nobody who is trusted.
pub fn verify(
    checkpoint: &Checkpoint,
    token: &[u8],
    authorities: Option<&Authorities>,
) -> Result<u64, InvalidStamp> {
    let opened = open(checkpoint, token)?;
    let time = opened.time;
    if let Some(Authorities(anchors)) = authorities {
        let own = CertificateDer::from(opened.certificate.as_slice());
        let own =
            EndEntityCert::try_from(&own).map_err(|error| InvalidStamp::Untrusted(error.to_string()))?;
        let others: Vec<_> =
            opened.others.iter().map(|other| CertificateDer::from(other.as_slice())).collect();
        let (at, purpose) = (UnixTime::since_unix_epoch(time), KeyUsage::required(TIME_STAMPING));
        own.verify_for_usage(ALL, anchors, &others, at, purpose, None, None)
            .map_err(|error| InvalidStamp::Untrusted(error.to_string()))?;
    }
    Ok(time.as_secs())
}

/// A token that holds by itself.
struct Opened {
    info: Info,
    time: Duration,
    /// The signer's.
    certificate: Vec<u8>,
    others: Vec<Vec<u8>>,
}

fn open(checkpoint: &Checkpoint, token: &[u8]) -> Result<Opened, InvalidStamp> {
    let wrong = InvalidStamp::Wrong;
    let outer = ContentInfo::from_der(token)?;
    if outer.content_type != SIGNED_DATA {
        return Err(wrong("it is not signed"));
    }
    let signed: SignedData = outer.content.decode_as()?;
    if signed.encap_content_info.econtent_type != TST_INFO {
        return Err(wrong("what is signed is no time"));
    }
    let content = signed.encap_content_info.econtent.ok_or(wrong("there is nothing in it"))?;
    let content = content.decode_as::<OctetString>()?;
    let info = Info::from_der(content.as_bytes())?;
    let stamped = &info.imprint;
    if info.version != 1 || stamped.algorithm.oid != ID_SHA256 || stamped.hash != imprint(checkpoint)?.hash {
        return Err(wrong("it is of something else"));
    }
    let [author] = signed.signer_infos.0.as_slice() else { return Err(wrong("it has not one signer")) };
    let mut others = Vec::new();
    for choice in signed.certificates.iter().flat_map(|all| all.0.iter()) {
        if let CertificateChoices::Certificate(certificate) = choice {
            others.push((is_of(author, certificate)?, certificate.to_der()?));
        }
    }
    let own = others.iter().position(|(is_own, _)| *is_own).ok_or(wrong("its certificate is missing"))?;
    let (_, certificate) = others.swap_remove(own);
    check_signature(author, content.as_bytes(), &certificate)?;
    let time = moment(&info.time).ok_or(wrong("its time is none"))?;
    Ok(Opened { info, time, certificate, others: others.into_iter().map(|(_, other)| other).collect() })
}

/// `YYYYMMDDhhmmss`, perhaps a fraction, `Z` (RFC 3161, section 2.4.2).
fn moment(time: &Any) -> Option<Duration> {
    let text = std::str::from_utf8(time.value()).ok()?.strip_suffix('Z')?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if time.tag() != Tag::GeneralizedTime || whole.len() != 14 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let part = |from: usize| whole[from..from + 2].parse::<u8>().ok();
    let year = whole[..4].parse().ok()?;
    let time = DateTime::new(year, part(4)?, part(6)?, part(8)?, part(10)?, part(12)?).ok()?;
    Some(time.unix_duration())
}

/// Whether a signer says that it has this certificate.
fn is_of(signer: &SignerInfo, certificate: &cms::cert::x509::Certificate) -> Result<bool, InvalidStamp> {
    let own = &certificate.tbs_certificate;
    Ok(match &signer.sid {
        SignerIdentifier::IssuerAndSerialNumber(sid) => {
            sid.issuer == own.issuer && sid.serial_number == own.serial_number
        }
        SignerIdentifier::SubjectKeyIdentifier(id) => {
            own.get::<SubjectKeyIdentifier>()?.is_some_and(|(_, key)| key == *id)
        }
    })
}

/// The signature is over the attributes, and those say what of, and with which certificate.
fn check_signature(signer: &SignerInfo, content: &[u8], certificate: &[u8]) -> Result<(), InvalidStamp> {
    let wrong = InvalidStamp::Wrong;
    let attributes = signer.signed_attrs.as_ref().ok_or(wrong("it has no signed attributes"))?;
    let one = |oid: ObjectIdentifier| {
        let mut found = attributes.iter().filter(move |attribute| attribute.oid == oid);
        match (found.next().map(|attribute| attribute.values.as_slice()), found.next()) {
            (Some([value]), None) => Some(value),
            _ => None,
        }
    };
    let kind = one(CONTENT_TYPE).ok_or(wrong("it does not say what is signed"))?;
    if kind.decode_as::<ObjectIdentifier>()? != TST_INFO {
        return Err(wrong("it says that something else is signed"));
    }
    let (algorithm, suits) = match signer.digest_alg.oid {
        ID_SHA256 => (&SHA256, WITH_SHA256),
        ID_SHA384 => (&SHA384, WITH_SHA384),
        ID_SHA512 => (&SHA512, WITH_SHA512),
        _ => return Err(wrong("its digest is none of SHA-256, SHA-384 and SHA-512")),
    };
    let hashed = one(MESSAGE_DIGEST).ok_or(wrong("it has no digest of what is signed"))?;
    if hashed.decode_as::<OctetString>()?.as_bytes() != digest(algorithm, content).as_ref() {
        return Err(wrong("what is signed was altered"));
    }
    let named = match (one(SIGNING_CERTIFICATE_V2), one(SIGNING_CERTIFICATE)) {
        (Some(named), _) => names_v2(&named.decode_as()?, certificate)?,
        (None, Some(named)) => names_v1(&named.decode_as()?, certificate)?,
        (None, None) => false,
    };
    if !named {
        return Err(wrong("it does not name the certificate that it is signed with"));
    }
    let own = CertificateDer::from(certificate);
    let own = EndEntityCert::try_from(&own).map_err(|error| InvalidStamp::Malformed(error.to_string()))?;
    let message = attributes.to_der()?;
    let signature = signer.signature.as_bytes();
    let good = suits.iter().any(|suits| own.verify_signature(*suits, &message, signature).is_ok());
    if good { Ok(()) } else { Err(wrong("its signature is not by its certificate")) }
}

fn names_v1(named: &Named, certificate: &[u8]) -> Result<bool, InvalidStamp> {
    let Some(first) = named.certificates.first() else { return Ok(false) };
    let one: NamedOne = first.decode_as()?;
    Ok(one.hash.as_bytes() == digest(&SHA1_FOR_LEGACY_USE_ONLY, certificate).as_ref())
}

fn names_v2(named: &Named, certificate: &[u8]) -> Result<bool, InvalidStamp> {
    let Some(first) = named.certificates.first() else { return Ok(false) };
    // The algorithm is left out where it is SHA-256.
    let has_algorithm = first.value().first() == Some(&Tag::Sequence.octet());
    let (oid, hash) = if has_algorithm {
        let one: NamedOneBy = first.decode_as()?;
        (one.algorithm.oid, one.hash)
    } else {
        let one: NamedOne = first.decode_as()?;
        (ID_SHA256, one.hash)
    };
    let algorithm = match oid {
        ID_SHA256 => &SHA256,
        ID_SHA384 => &SHA384,
        ID_SHA512 => &SHA512,
        _ => return Ok(false),
    };
    Ok(hash.as_bytes() == digest(algorithm, certificate).as_ref())
}

type Suits = &'static [&'static dyn SignatureVerificationAlgorithm];

/// What signs over a digest: the key of the certificate says which of them.
static WITH_SHA256: Suits =
    &[by::RSA_PKCS1_2048_8192_SHA256, by::ECDSA_P256_SHA256, by::ECDSA_P384_SHA256, by::ECDSA_P521_SHA256];
static WITH_SHA384: Suits =
    &[by::RSA_PKCS1_2048_8192_SHA384, by::ECDSA_P256_SHA384, by::ECDSA_P384_SHA384, by::ECDSA_P521_SHA384];
static WITH_SHA512: Suits = &[
    by::RSA_PKCS1_2048_8192_SHA512,
    by::ECDSA_P256_SHA512,
    by::ECDSA_P384_SHA512,
    by::ECDSA_P521_SHA512,
    by::ED25519,
];
/// What certificates may be signed with.
static ALL: Suits = &[
    by::RSA_PKCS1_2048_8192_SHA256,
    by::RSA_PKCS1_2048_8192_SHA384,
    by::RSA_PKCS1_2048_8192_SHA512,
    by::ECDSA_P256_SHA256,
    by::ECDSA_P256_SHA384,
    by::ECDSA_P384_SHA256,
    by::ECDSA_P384_SHA384,
    by::ECDSA_P521_SHA512,
    by::ED25519,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_with_fractions_and_no_others() {
        let time = |text: &str| moment(&Any::new(Tag::GeneralizedTime, text.as_bytes()).unwrap());
        let known = Duration::from_secs(1_798_761_599);
        assert_eq!(time("20261231235959Z"), Some(known));
        assert_eq!(time("20261231235959.25Z"), Some(known));
        for wrong in
            ["20261231235959", "202612312359Z", "20261331235959Z", "20261231235959.Z", "2026123123595+Z", "Z"]
        {
            assert_eq!(time(wrong), None, "{wrong}");
        }
        assert_eq!(moment(&Any::new(Tag::Utf8String, &b"20261231235959Z"[..]).unwrap()), None);
    }
}
