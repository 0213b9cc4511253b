//! Who calls: the resource server's half of OAuth 2.1, API keys for machines, and an authorization server for those whose
//! identity provider cannot do what MCP clients need. And as whom servers are called: `outbound/`.
//!
//! [`Identity::authenticate`] is the way of a credential, and `claims.rs` the list of what a token must pass, in its order.
//! `jose/` reads and verifies signatures, `issuer/` knows an identity provider and keeps its keys, `dpop/` checks proofs of
//! possession, `api_key.rs` and `revoked.rs` are the operator's own lists. `metadata.rs` and `challenge.rs` tell a client
//! where to log in, `facade/` logs people in where their provider needs a translator, and `doctor/` finds out why a login
//! does not work.
//!
//! What a caller presents ends here: an [`InboundToken`] can be given to this crate and to nobody else, and nothing that
//! comes out of it holds the token. The crate opens no connection: it asks through a [`Fetch`] that it is given, and
//! `address.rs` says which addresses such a client must not follow a document to.
//!
//! Deliberately absent: what a caller may do (policy), and people's accounts (the identity provider).

mod address;
mod api_key;
mod authenticate;
mod cache;
mod challenge;
mod claims;
mod clock;
pub mod doctor;
mod dpop;
mod ended;
mod facade;
mod familiar;
mod fetch;
mod inbound;
mod issuer;
mod jose;
mod lasting;
mod metadata;
pub mod outbound;
mod proof;
mod refused;
mod revoked;
mod settings;
mod turn;
mod verified;
mod watch;

#[cfg(test)]
mod fixture;

pub use address::is_global;
pub use api_key::{ApiKey, KeyHash};
pub use authenticate::{Circumstances, Identity};
pub use challenge::{challenge, login_challenge, step_up_challenge};
pub use ended::Ended;
pub use facade::{
    ConfiguredClient, DocumentSettings, Facade, FacadeAnswer, FacadeRequest, FacadeSettings, IdpSettings,
    Outsides, Profile, SealKey, is_fit_for_operator,
};
pub use familiar::{Familiar, Mark};
pub use fetch::{Fetch, FetchError, Fetched, Fetching, Form, Trust, Wanted};
pub use inbound::{InboundToken, Presented, Scheme};
pub use jose::Algorithm;
pub use metadata::{ProtectedResource, metadata_url};
pub use proof::ClientProof;
pub use refused::{Reason, Refused};
pub use revoked::Revoked;
pub use settings::{Introspection, IssuerSettings, Settings, Tenants};
pub use verified::Verified;
pub use watch::Watch;
