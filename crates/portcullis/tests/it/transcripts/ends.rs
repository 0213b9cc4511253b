//! Who stands on either side of the gateway: transports and revisions.
//!
//! Not every product of the two is here: each transport has its oldest, its newest and, where that is another, its
//! modern form, and Streamable HTTP has every revision on the client's side, for there they differ most.

use std::fmt;

/// How messages are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// Streamable HTTP.
    Http,
    /// HTTP+SSE of 2024-11-05.
    Sse,
    /// A child of the gateway; on the client's side a host before `portcullis connect`.
    Stdio,
}

/// The first revision of the modern era.
pub(super) const MODERN: &str = "2026-07-28";

/// A client or a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) transport: Transport,
    pub(super) revision: &'static str,
    /// A legacy server behind a URL may do without.
    pub(super) sessions: bool,
}

const fn end(transport: Transport, revision: &'static str) -> End {
    End { transport, revision, sessions: true }
}

/// The clients of the table, in its order.
pub(super) const CLIENTS: [End; 8] = [
    end(Transport::Http, "2025-03-26"),
    end(Transport::Http, "2025-06-18"),
    end(Transport::Http, "2025-11-25"),
    end(Transport::Http, MODERN),
    end(Transport::Sse, "2024-11-05"),
    end(Transport::Sse, "2025-11-25"),
    end(Transport::Stdio, "2025-11-25"),
    end(Transport::Stdio, MODERN),
];

/// The servers of the table, in its order.
pub(super) const SERVERS: [End; 7] = [
    end(Transport::Http, "2025-11-25"),
    End { transport: Transport::Http, revision: "2025-06-18", sessions: false },
    end(Transport::Http, MODERN),
    end(Transport::Sse, "2024-11-05"),
    end(Transport::Sse, "2025-11-25"),
    end(Transport::Stdio, "2025-11-25"),
    end(Transport::Stdio, MODERN),
];

impl End {
    pub(super) fn is_modern(&self) -> bool {
        self.revision >= MODERN
    }

    /// Whether a word of a selector is said of it.
    pub(super) fn is(&self, word: &str) -> bool {
        match word {
            "modern" => self.is_modern(),
            "legacy" => !self.is_modern(),
            "http" => self.transport == Transport::Http,
            "sse" => self.transport == Transport::Sse,
            "stdio" => self.transport == Transport::Stdio,
            "sessionless" => !self.sessions,
            _ => self.revision == word,
        }
    }

    /// Words that selectors may have.
    pub(super) fn knows(word: &str) -> bool {
        ["modern", "legacy", "http", "sse", "stdio", "sessionless"].contains(&word)
            || CLIENTS.iter().chain(&SERVERS).any(|end| end.revision == word)
    }

    /// As a part of a server's name in the configuration, where names are short.
    pub(super) fn slug(&self) -> String {
        let (transport, date) = (self.transport(), self.revision);
        format!("{transport}{}{}", &date[2..4], &date[5..7])
    }

    fn transport(&self) -> &'static str {
        match self.transport {
            Transport::Http => "http",
            Transport::Sse => "sse",
            Transport::Stdio => "stdio",
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.transport(), self.revision)?;
        if !self.sessions {
            f.write_str(" sessionless")?;
        }
        Ok(())
    }
}
