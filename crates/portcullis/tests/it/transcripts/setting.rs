//! What some rows need besides a client and a server: users who show tokens, and policies that change.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use super::client::Client;
use super::ends::End;
use crate::harness::idp::{Idp, PUBLIC, now};
use crate::harness::{Gateway, signal};

/// Who issues the users' tokens.
pub(super) struct Tokens {
    idp: Idp,
    lasting: u64,
}

/// A token, and when it is over.
#[derive(Clone)]
pub(super) struct Pass {
    pub(super) token: String,
    expires: u64,
}

impl Tokens {
    pub(super) async fn lasting(seconds: u64) -> Self {
        Self { idp: Idp::start().await, lasting: seconds }
    }

    pub(super) fn configure(&self, config: &mut Value) {
        config["public_url"] = json!(PUBLIC);
        config["identity"] = json!({"issuers": [{"issuer": self.idp.issuer}]});
    }

    /// A token of a user for one server's endpoint.
    pub(super) fn of(&self, user: &str, client: End, server: &str) -> Pass {
        let expires = now() + self.lasting;
        let audience = format!("{PUBLIC}{}", Client::path(client, server));
        Pass { token: self.idp.token_with(user, &json!({"aud": audience, "exp": expires})), expires }
    }
}

impl Pass {
    /// Waits until it is over, and has been for long enough that nobody's clock can be asked otherwise.
    pub(super) async fn expire(&self) {
        let left = UNIX_EPOCH + Duration::from_secs(self.expires + 1);
        let left = left.duration_since(SystemTime::now()).unwrap_or_default();
        tokio::time::sleep(left).await;
    }
}

/// The policies of a row, which all its pairs change together.
pub(super) struct Policies {
    gateway: Arc<Gateway>,
    servers: Vec<String>,
    all: Barrier,
}

impl Policies {
    pub(super) fn new(gateway: &Arc<Gateway>, servers: Vec<String>) -> Self {
        let all = Barrier::new(servers.len());
        Self { gateway: gateway.clone(), servers, all }
    }

    /// Writes policies that permit all but one tool of each server.
    pub(super) fn write<'a>(folder: &Path, servers: impl Iterator<Item = &'a String>, hidden: &str) {
        let mut text = String::from("permit (principal, action, resource);\n");
        for server in servers {
            let _ = writeln!(text, "forbid (principal, action, resource == Tool::\"{server}/{hidden}\");");
        }
        let folder = folder.join("policies");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("draft"), text).unwrap();
        std::fs::rename(folder.join("draft"), folder.join("all.cedar")).unwrap();
    }

    /// Hides another tool once all have come to where it is to be hidden, and waits until that is in force.
    pub(super) async fn hide(&self, tool: &str) {
        if self.all.wait().await.is_leader() {
            Self::write(self.gateway.folder(), self.servers.iter(), tool);
            signal(self.gateway.pid(), Signal::HUP);
            self.gateway.logged("took up the policies").await;
        }
        self.all.wait().await;
    }
}
