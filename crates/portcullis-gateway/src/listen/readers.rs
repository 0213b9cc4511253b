//! Who may read what names servers and tools: the metrics, and why the gateway is ready or not.
//!
//! Names are what policies hide, so whoever may read them is said by the configuration (`telemetry.allow`), or follows from
//! the roles of a policy. Without either, whoever may call may read; and whoever needs no credential for that, because it is
//! on this machine, must be on this machine: a proxy in front of a listener on loopback is, and those behind it are not.

use std::sync::Arc;

use http::Response;
use http::header::HOST;
use http::uri::Authority;
use portcullis_config::{Policy, Readers, Settings};
use portcullis_mcp::revision::Era;
use portcullis_model::{ErrorKind, FORWARDING, Principal};

use super::authentication::authenticate;
use super::body::Body;
use super::context::Context;
use super::request::Head;
use super::response;
use crate::call::{Endpoint, Refusal};
use crate::identity::Form;

/// Roles whose members run the gateway, or look after those who do.
const ROLES: [&str; 3] = ["operator", "auditor", "admin"];

/// Whether whoever makes a request may read them.
///
/// # Errors
/// The answer for a caller that may not.
pub(super) async fn check(context: &Arc<Context>, head: &Head) -> Result<(), Box<Response<Body>>> {
    let settings = context.gateway.settings.load_full();
    if settings.telemetry.allow.as_ref().is_some_and(|allow| names(allow, &Principal::Anonymous)) {
        return Ok(());
    }
    let caller = authenticate(context, &Endpoint::Aggregate, Form::Streamable, head).await?;
    if may_read(&settings, &caller.principal, is_local(context, head)) {
        return Ok(());
    }
    let message = "this names servers and tools; `telemetry.allow` says who may read it";
    let refusal = Refusal::new(ErrorKind::Forbidden, message);
    Err(Box::new(response::refusal(Era::Modern, None, &refusal)))
}

fn may_read(settings: &Settings, principal: &Principal, local: bool) -> bool {
    match (&settings.telemetry.allow, &settings.policy) {
        (Some(allow), _) => names(allow, principal),
        (None, Some(policy)) => has_role(policy, principal, &ROLES),
        (None, None) => local || !principal.is_anonymous(),
    }
}

pub(super) fn names(allow: &Readers, principal: &Principal) -> bool {
    let id = principal.id();
    allow.principals.contains(&id) || principal.groups().iter().any(|group| allow.groups.contains(group))
}

pub(super) fn has_role(policy: &Policy, principal: &Principal, roles: &[&str]) -> bool {
    let id = principal.id();
    let is_in = |group: &String| {
        principal.groups().contains(group)
            || policy.groups.get(group).is_some_and(|members| members.contains(&id))
    };
    roles.iter().filter_map(|role| policy.roles.get(*role)).flatten().any(is_in)
}

/// Whether a request was made on this machine, as far as anybody can tell: it comes from there, was sent to there, and
/// nobody says that it was forwarded.
pub(super) fn is_local(context: &Context, head: &Head) -> bool {
    let from_here = context.peer.is_some_and(|peer| peer.to_canonical().is_loopback());
    let host =
        head.authority.as_deref().map(str::as_bytes).or_else(|| head.fields.get(&HOST)).unwrap_or_default();
    let to_here = Authority::try_from(host).is_ok_and(|host| {
        let name = host.host().trim_start_matches('[').trim_end_matches(']');
        name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    });
    from_here && to_here && !head.fields.has_any(&FORWARDING)
}
