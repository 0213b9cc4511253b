//! What proxies say of whom they forward.

/// Header fields by which a proxy says for whom, to which host and how it forwards (RFC 7239, RFC 9110 section 7.6.3, and those
/// in use without an RFC), in lower case. Servers behind one take them for its word.
pub const FORWARDING: [&str; 9] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-real-ip",
];
