//! As whom the gateway calls servers.
//!
//! A [`Source`] gives the [`Credential`] of one server, for one user or for the gateway itself, by the kind that is
//! configured ([`Kind`]); `grants.rs` has the kinds that ask nobody, `connect.rs`, `connection.rs` and `account.rs` the one
//! in which the user connects an account. `discovery.rs` and `registration.rs` find out where and as whom, `tokens.rs` asks token
//! endpoints, `vault.rs` keeps what must be kept, `login.rs`
//! finds out who sits at a browser; `secrets.rs` reads what the configuration does not hold itself, for `reveal.rs`. The [`Office`] is what all sources share.
//!
//! A caller's token goes in as a [`SubjectToken`] and comes out nowhere: only a [`Credential`] can be sent to a server,
//! and nothing makes one of the other.
//!
//! Deliberately absent: who may open a link, which is for whoever serves pages to know; and calls to servers.

mod account;
mod challenge;
mod connect;
mod connection;
mod credential;
mod discovery;
mod form;
mod grants;
mod login;
mod needed;
mod office;
mod registration;
mod reveal;
mod secrets;
mod settings;
mod sign;
mod source;
mod subject;
mod tokens;
mod vault;

#[cfg(test)]
mod tests;

pub use connect::{Arrival, Begun, Link, NotConnected};
pub use credential::{Credential, Headers};
pub use login::{LoggedIn, Login, LoginSettings};
pub use needed::{Connect, LogIn, Needed};
pub use office::Office;
pub use secrets::{NotRead, SecretRef, Secrets, VaultAuth, VaultSettings};
pub use settings::{
    Assertion, Client, ClientAuth, Exchange, Flavor, Grant, Hidden, IdJag, Kind, Oauth, Place,
    ServerCredentials, Workload,
};
pub use sign::{KeyError, SigningKey};
pub use source::{Refusal, Source};
pub use subject::SubjectToken;
