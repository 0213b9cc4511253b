//! What is listed of a server whose user has to do something first: a tool that says so. They have not connected an account yet,
//! or the identity provider wants them to log in again before the gateway may call for them.
//!
//! Without it a user would see nothing of such a server, and so never call what would ask for the account. Its name is
//! unlike what servers call their own tools; where one has it all the same, this one counts.

use std::time::{Duration, Instant};

use portcullis_mcp::json::{Change, Raw};
use portcullis_model::ErrorKind;

use super::listing::{Freshness, ListKind, Listing, Origin};
use crate::call::Refusal;
use crate::upstream::Server;

/// The name of the tool.
pub(super) const TOOL: &str = "portcullis_connect_account";

/// How long it is listed before the server is asked again.
const LISTED: Duration = Duration::from_secs(2);

/// Whether a server cannot be asked before its user has done something.
pub(super) fn is_for_the_user(refusal: &Refusal) -> bool {
    matches!(refusal.kind, ErrorKind::ConnectionRequired | ErrorKind::LoginRequired)
}

/// Whether a name is that of the tool.
pub(super) fn is_tool(server: &Server, kind: ListKind, name: &str) -> bool {
    kind == ListKind::Tools && name == TOOL && (server.takes_accounts() || server.takes_subjects())
}

/// The same for the tool's name on the aggregate.
pub(super) fn is_exposed_tool(server: &Server, kind: ListKind, name: &str) -> bool {
    let own = name.strip_prefix(server.id().as_str()).and_then(|rest| rest.strip_prefix("__"));
    own.is_some_and(|own| is_tool(server, kind, own))
}

/// The list of a server of which nothing is known yet.
pub(super) fn listing(kind: ListKind, server: &Server) -> Listing {
    let raws = if kind == ListKind::Tools { vec![tool(server)] } else { Vec::new() };
    let freshness = Freshness::unhinted(Instant::now(), LISTED);
    let (extra, metrics) = (Raw::from_static("{}"), &server.env().metrics);
    let mut listing = Listing::new(kind, server.id(), Origin::Http, raws, extra, freshness, metrics);
    listing.number = server.env().number();
    listing
}

fn tool(server: &Server) -> Raw {
    let raw = Raw::from_static(
        r#"{"title":"Connect an account","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":false,"destructiveHint":false,"idempotentHint":true}}"#,
    );
    let description = if server.takes_accounts() {
        format!(
            "The server `{}` needs an account of the user. Call this to connect one; its own tools are listed then.",
            server.id()
        )
    } else {
        format!(
            "The server `{}` is called for the user, whose identity provider wants a new login first. Call this to see what is \
             needed; its own tools are listed then.",
            server.id()
        )
    };
    let (name, description) = (Raw::from_text(TOOL), Raw::from_text(&description));
    raw.with(&[("name", Change::Set(name.as_bytes())), ("description", Change::Set(description.as_bytes()))])
}
