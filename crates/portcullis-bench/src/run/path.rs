//! The whole path: the same calls directly, through nginx, and through gateways of which each has one thing more switched on.
//!
//! All of them run beside each other and take turns, so that the price of each step is that of the same minutes.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::gateway::{self, Gateway};
use super::layers::{Issuer, policies_text};
use super::scale::Scale;
use super::service::Service;
use super::turns::{self, Contender, Turns};
use crate::client::Endpoint;
use crate::echo::TEXT_BYTES;

/// The steps. Each gateway has what those before it have.
pub(crate) const STEPS: [&str; 7] =
    ["direct", "nginx", "bare", "+ identity", "+ policy", "+ guard", "+ evidence (`normal`)"];
/// What the shares are of.
pub(crate) const NGINX: usize = 1;

/// Measures all of them.
pub(crate) fn measure(
    program: &Path,
    scratch: &Path,
    upstream: &Endpoint,
    nginx: &Service,
    scale: &Scale,
) -> anyhow::Result<Turns> {
    let folder = scratch.join("path");
    std::fs::create_dir(&folder)?;
    let issuer = Issuer::start()?;
    let policies = folder.join("policies.cedar");
    std::fs::write(&policies, policies_text())?;
    let sections = [
        format!("identity: {}\n", issuer.identity()),
        format!("policy: {}\n", json!({"files": [policies]})),
        "guard: {}\n".to_owned(),
        "audit: { mode: normal }\n".to_owned(),
    ];
    let token: Arc<str> = format!("Bearer {}", issuer.token()).into();
    let mut config = gateway::either_era(upstream);
    let mut gateways = Vec::new();
    let mut contenders = vec![
        Contender::new(upstream.clone(), None),
        Contender::new(nginx.endpoint.clone(), Some(nginx.pid())),
    ];
    for step in 0..=sections.len() {
        let folder = folder.join(step.to_string());
        std::fs::create_dir(&folder)?;
        let gateway = Gateway::start(program, &folder, &config)?;
        let authorization = (step > 0).then(|| token.clone());
        let endpoint = Endpoint { authorization, ..gateway.server("up") };
        contenders.push(Contender::new(endpoint, Some(gateway.pid())));
        gateways.push(gateway);
        config.extend(sections.get(step).map(String::as_str));
    }
    turns::take("the whole path", scale, &contenders, TEXT_BYTES)
}
