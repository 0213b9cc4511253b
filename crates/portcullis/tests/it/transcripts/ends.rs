//! Who stands on either side of the gateway: transports and revisions.
//!
//! Each transport has its oldest, its newest and, where that is another, its modern form, and Streamable HTTP has every
//! revision on the client's side, for there they differ most: between these, every pair is played. The revisions that are
//! left, on every transport that can carry them, are played with one end of each transport on the other side.

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

/// Clients of which every one is played before every server of [`SERVERS`].
const CLIENTS: [End; 8] = [
    end(Transport::Http, "2025-03-26"),
    end(Transport::Http, "2025-06-18"),
    end(Transport::Http, "2025-11-25"),
    end(Transport::Http, MODERN),
    end(Transport::Sse, "2024-11-05"),
    end(Transport::Sse, "2025-11-25"),
    end(Transport::Stdio, "2025-11-25"),
    end(Transport::Stdio, MODERN),
];

/// Servers of which every one is played behind every client of [`CLIENTS`].
const SERVERS: [End; 7] = [
    end(Transport::Http, "2025-11-25"),
    End { transport: Transport::Http, revision: "2025-06-18", sessions: false },
    end(Transport::Http, MODERN),
    end(Transport::Sse, "2024-11-05"),
    end(Transport::Sse, "2025-11-25"),
    end(Transport::Stdio, "2025-11-25"),
    end(Transport::Stdio, MODERN),
];

/// The other clients, and the servers that they are played before.
const OTHER_CLIENTS: [End; 5] = [
    end(Transport::Sse, "2025-03-26"),
    end(Transport::Sse, "2025-06-18"),
    end(Transport::Stdio, "2024-11-05"),
    end(Transport::Stdio, "2025-03-26"),
    end(Transport::Stdio, "2025-06-18"),
];
const BEFORE: [End; 3] =
    [end(Transport::Http, MODERN), end(Transport::Sse, "2025-11-25"), end(Transport::Stdio, "2025-11-25")];

/// The other servers, and the clients that they are played behind.
const OTHER_SERVERS: [End; 8] = [
    end(Transport::Http, "2025-03-26"),
    end(Transport::Http, "2025-06-18"),
    End { transport: Transport::Http, revision: "2025-11-25", sessions: false },
    end(Transport::Sse, "2025-03-26"),
    end(Transport::Sse, "2025-06-18"),
    end(Transport::Stdio, "2024-11-05"),
    end(Transport::Stdio, "2025-03-26"),
    end(Transport::Stdio, "2025-06-18"),
];
const BEHIND: [End; 3] =
    [end(Transport::Http, "2025-11-25"), end(Transport::Sse, "2025-11-25"), end(Transport::Stdio, MODERN)];

/// All clients of the table, in its order.
pub(super) fn clients() -> impl Iterator<Item = End> {
    CLIENTS.into_iter().chain(OTHER_CLIENTS)
}

/// All servers of the table, in its order.
pub(super) fn servers() -> impl Iterator<Item = End> {
    SERVERS.into_iter().chain(OTHER_SERVERS)
}

/// Who is played before whom: each of these clients before each of these servers.
pub(super) fn groups() -> [(Vec<End>, Vec<End>); 3] {
    [
        (CLIENTS.to_vec(), SERVERS.to_vec()),
        (OTHER_CLIENTS.to_vec(), BEFORE.to_vec()),
        (BEHIND.to_vec(), OTHER_SERVERS.to_vec()),
    ]
}

/// All pairs.
pub(super) fn pairs() -> impl Iterator<Item = (End, End)> {
    groups().into_iter().flat_map(|(clients, servers)| {
        clients
            .into_iter()
            .flat_map(move |client| servers.clone().into_iter().map(move |server| (client, server)))
    })
}

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
            || clients().chain(servers()).any(|end| end.revision == word)
    }

    /// As a part of a server's name in the configuration, where names are short.
    pub(super) fn slug(&self) -> String {
        let (transport, date) = (self.transport(), self.revision);
        let none = if self.sessions { "" } else { "n" };
        format!("{transport}{}{}{none}", &date[2..4], &date[5..7])
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

#[test]
fn every_transport_in_every_era_meets_every_other_and_every_revision_each_transport() {
    let kind = |end: End| (end.transport(), end.is_modern());
    let all: Vec<_> = pairs().collect();
    for client in clients() {
        for server in servers() {
            let met = |fits: &dyn Fn(End, End) -> bool| all.iter().any(|(one, other)| fits(*one, *other));
            assert!(
                met(&|one, other| kind(one) == kind(client) && kind(other) == kind(server)),
                "{client}, {server}"
            );
            assert!(
                met(&|one, other| one == client && other.transport == server.transport),
                "{client}, {server}"
            );
            assert!(
                met(&|one, other| one.transport == client.transport && other == server),
                "{client}, {server}"
            );
        }
    }
}
