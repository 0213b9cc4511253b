//! W3C Trace Context: `traceparent` and `tracestate`, as HTTP headers or as members of MCP's `_meta`.
//!
//! <https://www.w3.org/TR/trace-context-2/>. `traceparent` is parsed strictly, because a context that is half
//! right joins the wrong traces. `tracestate` belongs to other vendors, so it is checked just enough to be
//! safe to pass on, and dropped whole when it is not; that never costs the `traceparent` (§4.3).
//!
//! Baggage is not handled here: the gateway neither reads it nor adds to it.

use std::{fmt, str::FromStr, sync::Arc};

/// The longest `tracestate` that is passed on, in bytes. §3.3.1.5 asks for no less.
const MAX_TRACESTATE: usize = 512;
/// §3.3.1.1.
const MAX_TRACESTATE_MEMBERS: usize = 32;

/// `sampled` (§3.2.2.5.1) and `random` (§3.2.2.5.2); all other bits are sent as zero.
const KNOWN_FLAGS: u8 = FLAG_SAMPLED | FLAG_RANDOM;
const FLAG_SAMPLED: u8 = 0x01;
const FLAG_RANDOM: u8 = 0x02;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// From bytes, in network order. `None` when all are zero, which the specification calls invalid.
            pub fn new(bytes: [u8; $bytes]) -> Option<Self> {
                (bytes != [0; $bytes]).then_some(Self(bytes))
            }

            /// The bytes, in network order.
            pub fn to_bytes(self) -> [u8; $bytes] {
                self.0
            }
        }

        /// Lower-case hex.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

id! {
    /// Names one trace across all who take part. Never zero.
    TraceId, 16
}

id! {
    /// Names one span within a trace. Never zero.
    SpanId, 8
}

/// Where in which trace a message belongs. Its `Display` is the `traceparent` value, of version `00`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: TraceId,
    span_id: SpanId,
    flags: u8,
    tracestate: Option<Arc<str>>,
}

/// Why a `traceparent` was not taken. The receiver starts a trace of its own then (§4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseTraceparentError {
    /// Too short, too long for version `00`, or no dash where one belongs.
    #[error("traceparent is not version-traceid-spanid-flags")]
    Shape,
    /// Something other than `0-9a-f` where hex belongs. Upper case is refused too.
    #[error("traceparent has a character that is not lower-case hex")]
    Hex,
    /// Version `ff`, which the specification forbids.
    #[error("traceparent has the forbidden version ff")]
    Version,
    /// A trace id or span id of zeros.
    #[error("traceparent has an id of zeros")]
    ZeroId,
}

impl TraceContext {
    /// A context of its own, without `tracestate`.
    pub fn new(trace_id: TraceId, span_id: SpanId, sampled: bool) -> Self {
        Self { trace_id, span_id, flags: u8::from(sampled), tracestate: None }
    }

    /// Reads both values. Several `tracestate` headers are to be joined with `,` in their order (§3.3.1).
    ///
    /// A `tracestate` that is too long or malformed is dropped without a word. A `traceparent` of a version
    /// that is newer than ours is read as far as we know it (§3.2.4) and goes on as version `00`.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Result<Self, ParseTraceparentError> {
        let context: Self = traceparent.parse()?;
        Ok(context.with_tracestate(tracestate))
    }

    /// The same place with other vendors' state, or with none when that is not fit to pass on.
    #[must_use]
    pub fn with_tracestate(self, tracestate: Option<&str>) -> Self {
        let tracestate = tracestate.filter(|state| is_tracestate(state)).map(Arc::from);
        Self { tracestate, ..self }
    }

    /// The trace.
    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// The span that whoever receives this is a child of.
    pub fn span_id(&self) -> SpanId {
        self.span_id
    }

    /// Whether the sender may have recorded its part, and wants the others to.
    pub fn sampled(&self) -> bool {
        self.flags & FLAG_SAMPLED != 0
    }

    /// Other vendors' state: at most 512 bytes of printable ASCII, to be passed on as it is.
    pub fn tracestate(&self) -> Option<&str> {
        self.tracestate.as_deref()
    }

    pub(super) fn flags(&self) -> u8 {
        self.flags
    }

    /// The place of a span of ours, below this one or in a trace of its own.
    pub(super) fn own(trace_id: TraceId, span_id: SpanId, flags: u8, parent: Option<&Self>) -> Self {
        let tracestate = parent.and_then(|parent| parent.tracestate.clone());
        Self { trace_id, span_id, flags: flags & KNOWN_FLAGS, tracestate }
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

/// `traceparent` alone.
impl FromStr for TraceContext {
    type Err = ParseTraceparentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use ParseTraceparentError as Error;

        /// `2 + 1 + 32 + 1 + 16 + 1 + 2`
        const LENGTH: usize = 55;
        let text = text.as_bytes();
        let (known, rest) = text.split_at_checked(LENGTH).ok_or(Error::Shape)?;
        let [version] = hex(&known[..2])?;
        if version == 0xff {
            return Err(Error::Version);
        }
        let rest_fits = if version == 0 { rest.is_empty() } else { matches!(rest, [] | [b'-', ..]) };
        if !rest_fits || known[2] != b'-' || known[35] != b'-' || known[52] != b'-' {
            return Err(Error::Shape);
        }
        let trace_id = TraceId::new(hex(&known[3..35])?).ok_or(Error::ZeroId)?;
        let span_id = SpanId::new(hex(&known[36..52])?).ok_or(Error::ZeroId)?;
        let [flags] = hex(&known[53..])?;
        Ok(Self { trace_id, span_id, flags: flags & KNOWN_FLAGS, tracestate: None })
    }
}

/// `digits` has two for each byte.
fn hex<const N: usize>(digits: &[u8]) -> Result<[u8; N], ParseTraceparentError> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(ParseTraceparentError::Hex),
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(bytes)
}

/// Whether this is a list of `key=value` that can go into a header (§3.3.1). Keys are checked by character,
/// not by their vendor rules; a key that comes twice is malformed.
fn is_tracestate(state: &str) -> bool {
    if state.len() > MAX_TRACESTATE {
        return false;
    }
    let members =
        || state.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|m| !m.is_empty());
    let keys = || members().map(|member| member.split_once('=').map_or("", |(key, _)| key));
    let unique = keys().enumerate().all(|(position, key)| !keys().take(position).any(|other| other == key));
    (1..=MAX_TRACESTATE_MEMBERS).contains(&members().count()) && unique && members().all(is_member)
}

fn is_member(member: &str) -> bool {
    let Some((key, value)) = member.split_once('=') else { return false };
    let key_byte = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    let value_byte = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'=';
    let starts_well = key.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
    starts_well
        && key.len() <= 256
        && key.bytes().all(key_byte)
        && (1..=256).contains(&value.len())
        && value.bytes().all(value_byte)
}

#[cfg(test)]
mod tests;
