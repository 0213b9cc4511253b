//! The few words of MCP that the bench speaks, on both of its ends.
//!
//! The bench stays independent of the gateway's own crates: a mistake there must not be repeated here, where
//! it would measure as "correct".

use std::fmt;

/// The modern revision, the only one of its era so far.
pub(crate) const MODERN: &str = "2026-07-28";

/// The newest legacy revision: what the generator asks for and what the upstream falls back to.
pub(crate) const LEGACY: &str = "2025-11-25";

/// All that the upstream accepts over Streamable HTTP, newest first.
pub(crate) const ACCEPTED: [&str; 4] = [MODERN, LEGACY, "2025-06-18", "2025-03-26"];

/// `_meta` key of the protocol version, required on every modern request.
pub(crate) const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// Header that names a legacy session, in the spelling of 2025-11-25; names are case-insensitive.
pub(crate) const SESSION_HEADER: &str = "mcp-session-id";

/// Which of the two wire forms a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub(crate) enum Era {
    /// 2026-07-28: self-contained requests, no session.
    Modern,
    /// 2025-11-25 and before: `initialize`, then a session.
    Legacy,
}

impl fmt::Display for Era {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Modern => "modern",
            Self::Legacy => "legacy",
        })
    }
}
