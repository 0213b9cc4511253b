//! How much of what a client asks for the servers behind its endpoint can tell.
//!
//! Changes of lists are told for every list that the endpoint has, for the gateway changes lists itself; a resource is
//! told about when the server that has it says that it will.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::subscription::Filter;
use portcullis_model::{ErrorKind, ServerId};
use portcullis_policy::{Action, Thing, ThingKind};

use super::{Subscriber, too_many};
use crate::admit::{Act, Gate, Pass};
use crate::call::{Caller, Refusal};
use crate::gateway::Gateway;
use crate::oversight::{self, Oversight};
use crate::route::{self, ListKind, Variant};
use crate::upstream::Watcher;

/// How long a server may take to say whether it will tell.
const PATIENCE: Duration = Duration::from_secs(5);

/// The part of `filter` that is accepted; from now on the subscriber is told.
///
/// # Errors
/// There is no such endpoint any more, or its one server cannot be reached.
pub(crate) async fn accept(
    gateway: &Gateway,
    subscriber: &Arc<Subscriber>,
    filter: Filter,
) -> Result<Filter, Refusal> {
    let offered = route::offered(gateway, &subscriber.endpoint, &subscriber.caller()).await?;
    let lists = filter.lists & offered.lists();
    subscriber.mailbox.want(lists);
    if !lists.is_empty() {
        follow(gateway, subscriber);
    }
    let uris = if offered.subscribe { filter.uris } else { Vec::new() };
    let accepted = join_all(uris.iter().map(|uri| subscribe(gateway, subscriber, uri))).await;
    let accepted = uris.into_iter().zip(accepted).filter_map(|(uri, accepted)| match accepted {
        Ok(()) => Some(uri),
        Err(refusal) => {
            tracing::debug!(why = refusal.message, "left out of a subscription");
            None
        }
    });
    // Tasks are looked after elsewhere.
    Ok(Filter { lists, uris: accepted.collect(), tasks: filter.tasks })
}

/// Sees to it that the servers behind the endpoint are asked for changes of their lists.
pub(crate) fn follow(gateway: &Gateway, subscriber: &Subscriber) {
    let behind = gateway.servers.load().behind(&subscriber.endpoint, None, &subscriber.caller());
    for catalogue in behind.into_iter().flatten() {
        catalogue.follow(subscriber.caller().revision.era());
    }
}

/// Subscribes to one resource, by the URI that the endpoint has for it.
///
/// # Errors
/// Why it is not told about.
pub(super) async fn subscribe(
    gateway: &Gateway,
    subscriber: &Arc<Subscriber>,
    uri: &str,
) -> Result<(), Refusal> {
    if subscriber.has(uri) {
        return Ok(());
    }
    if subscriber.is_full() {
        return Err(too_many());
    }
    let subscribing = async {
        let (endpoint, caller) = (&subscriber.endpoint, &*subscriber.caller());
        let pass = gateway.gate.pass(caller);
        let by = (pass.as_ref().and_then(Pass::enforced), Action::Subscribe);
        let (catalogue, own) = route::server_of_uri(gateway, endpoint, caller, uri, by).await?;
        let server = &catalogue.server;
        let thing = Thing { server: server.id().as_str(), kind: ThingKind::Resource, name: &own };
        let act = Act { action: Action::Subscribe, thing, arguments: None };
        let ruled = pass.map(|pass| pass.rule(caller, Some(&act)));
        if let Some(denied) = ruled.filter(|ruled| !ruled.allowed()) {
            return Err(denied.step_up().unwrap_or_else(|| route::unknown_resource(uri)));
        }
        if let Some(refusal) = route::held(&catalogue, Variant::of(caller), ListKind::Resources, &own) {
            return Err(refusal);
        }
        let oversight = &gateway.env.oversight;
        if let Some(refusal) = oversight.stopped(&caller.principal, Some(server.id()), None) {
            return Err(refusal);
        }
        oversight::may_subscribe(oversight, caller, server.id(), &own).await?;
        let feed = server.feed(caller.revision.era(), &caller.conversation).await?;
        // What the conversation of its calls declares.
        let caps = Variant::of(caller).caps.without(ClientCaps::TASKS);
        let watcher = watcher(subscriber, oversight, server.id(), uri, own.len());
        let subscription = feed.subscribe(&own, caps, watcher)?;
        subscription.settled().await?;
        subscription.shared().await;
        subscriber.keep(uri, (server.id(), &own), subscription)
    };
    tokio::time::timeout(PATIENCE, subscribing).await.unwrap_or_else(|_| {
        let message = "the server did not say in time whether it will tell about that resource";
        Err(Refusal::new(ErrorKind::UpstreamTimeout, message))
    })?;
    // The session may have ended meanwhile, and its subscriptions with it.
    if subscriber.ended.is_cancelled() {
        subscriber.end();
    }
    Ok(())
}

/// Whether a subscriber may still be told of a resource of a server.
pub(super) fn may_hear(gate: &Gate, caller: &Caller, server: &ServerId, own: &str) -> bool {
    let thing = Thing { server: server.as_str(), kind: ThingKind::Resource, name: own };
    let pass = gate.pass(caller);
    pass.as_ref().and_then(Pass::enforced).is_none_or(|pass| pass.may(Action::Subscribe, thing))
}

/// Puts updates into the mailbox under the client's own name for them, as far as the client may know of them by then, and the server is not stopped. A part of the resource begins with the server's
/// name for the whole, of `own` bytes, and so begins the client's name for it with the client's.
fn watcher(
    subscriber: &Subscriber,
    oversight: &Arc<Oversight>,
    server: &ServerId,
    uri: &str,
    own: usize,
) -> Watcher {
    let (mailbox, whole) = (subscriber.mailbox.clone(), Arc::<str>::from(uri));
    let same = !subscriber.endpoint.is_merged();
    let (gate, caller, server) =
        (subscriber.registry.gate.clone(), subscriber.caller.clone(), server.clone());
    let oversight = oversight.clone();
    Arc::new(move |updated| match updated.get(own..) {
        Some(_) if oversight.is_hidden(&server, None) => {}
        Some(_) if !may_hear(&gate, &caller.load(), &server, updated) => {}
        Some("") => mailbox.put_uri(&whole, &whole),
        Some(_) if same => mailbox.put_uri(updated, &whole),
        Some(rest) => mailbox.put_uri(&[&whole, rest].concat(), &whole),
        None => {}
    })
}
