//! What a client connected to, and where that is.

use portcullis_model::{ServerId, ToolsetId};

/// What the client connected to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/mcp`: all servers as one.
    Aggregate,
    /// `/mcp/s/{server}`: one server, unprefixed.
    Server(ServerId),
    /// `/mcp/v/{toolset}`: a virtual server, made of what servers have.
    Toolset(ToolsetId),
}

impl Endpoint {
    /// The endpoint at a place: what follows `/mcp`, and for HTTP+SSE what precedes `/sse`.
    pub(crate) fn at(place: &str) -> Option<Self> {
        if place.is_empty() {
            return Some(Self::Aggregate);
        }
        if let Some(toolset) = place.strip_prefix("/v/") {
            return Some(Self::Toolset(ToolsetId::parse(toolset).ok()?));
        }
        Some(Self::Server(ServerId::parse(place.strip_prefix("/s/")?).ok()?))
    }

    /// Its place, as [`Endpoint::at`] reads it.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Aggregate => String::new(),
            Self::Server(id) => format!("/s/{id}"),
            Self::Toolset(id) => format!("/v/{id}"),
        }
    }

    /// Whether several servers are one there, so that names and URIs say whose they are.
    pub(crate) fn is_merged(&self) -> bool {
        !matches!(self, Self::Server(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_has_its_place() {
        let server = Endpoint::Server(ServerId::parse("crm").unwrap());
        let toolset = Endpoint::Toolset(ToolsetId::parse("crm").unwrap());
        for (endpoint, place) in [(Endpoint::Aggregate, ""), (server, "/s/crm"), (toolset, "/v/crm")] {
            assert_eq!(endpoint.place(), place);
            assert_eq!(Endpoint::at(place), Some(endpoint));
        }
        for none in ["/", "/s", "/s/", "/v/", "/x/crm", "crm", "/v/Crm", "/v/a/b"] {
            assert_eq!(Endpoint::at(none), None, "{none}");
        }
    }
}
