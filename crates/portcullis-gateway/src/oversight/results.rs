//! Results that the guard holds: kept until somebody approves, and given to whoever makes the same call again.
//!
//! The server has carried the call out, and it must not do so twice: while its result waits, the same call is a question about
//! that result. Whoever is asked decides with what was found, not with what is in it.

use std::sync::Arc;

use portcullis_mcp::json::{Limits, Raw};
use portcullis_mcp::revision::Era;
use portcullis_mcp::translate::Payload;
use portcullis_model::{ErrorKind, ServerId, Unavailable};
use portcullis_oversight::{Approval, Found, Matter, Shelved};

use super::Oversight;
use super::asking::{About, Claimed, Ground};
use super::leave::{Leave, can_wait};
use crate::call::{Call, Outcome, Refusal};
use crate::gateway::Gateway;
use crate::inspect::HeldResult;
use crate::rounds::{self, Came};
use crate::route::Route;

/// What became of a result that waits.
pub(crate) enum Recalled {
    /// Somebody has approved.
    Given(Payload),
    /// Nobody has, or somebody will not have it.
    Instead(Outcome),
}

/// What is there for a call already; `None` when nothing is, and it has to be made.
pub(crate) async fn recall(gateway: &Gateway, call: &Arc<Call>, route: &Route) -> Option<Recalled> {
    let oversight = gateway.env.oversight.clone();
    let rules = oversight.rules.load_full().filter(|rules| rules.holds)?;
    let name = route.subject.as_deref().filter(|_| !route.connecting && can_wait(&call.method))?;
    let server = route.catalogue.server.id();
    let about = About { gateway, call, rules: &rules, server, name, matter: Matter::Result };
    let recalled = about.recall(&oversight).await;
    recalled.unwrap_or_else(|error| Some(Recalled::Instead(about.unavailable(&error).into())))
}

/// Keeps a result that came, and asks for its approval.
pub(crate) async fn hold(
    gateway: &Gateway,
    call: &Arc<Call>,
    (server, name): (&ServerId, &str),
    held: HeldResult,
) -> Recalled {
    let oversight = gateway.env.oversight.clone();
    let blocked = |why: &str| {
        let message = format!("the result of `{name:.128}` is blocked: {}, and {why}", held.why);
        Recalled::Instead(Refusal::new(ErrorKind::ContentBlocked, message).into())
    };
    let Some(rules) = oversight.rules.load_full() else { return blocked("nobody can be asked") };
    let about = About { gateway, call, rules: &rules, server, name, matter: Matter::Result };
    if !about.somebody_decides() {
        return blocked("nobody can be asked");
    }
    match about.hold(&oversight, &held).await {
        Ok(Ok(recalled)) => recalled,
        Ok(Err(why)) => blocked(why),
        Err(error) => Recalled::Instead(about.unavailable(&error).into()),
    }
}

impl About<'_> {
    async fn recall(&self, oversight: &Oversight) -> Result<Option<Recalled>, Unavailable> {
        let digest = self.digest();
        let answer = match rounds::came(&self.gateway.sealer, self.call) {
            Came::Answered { approved, nonce, matter: Matter::Result } => Some((approved, nonce)),
            // An answer to something else is none to this.
            _ => None,
        };
        let nothing = || answer.map(|_| gone());
        if Approval::of(&*oversight.records, digest).await?.is_none() {
            return Ok(nothing());
        }
        if let Some(denied) = self.fetches(oversight).await? {
            return Ok(Some(Recalled::Instead(denied.into())));
        }
        if let Some((approved, nonce)) = answer {
            self.answered(oversight, &digest.id(), nonce, approved).await?;
        }
        let (leave, approval) = match self.claim(oversight, None, answer.is_some()).await? {
            Claimed::Settled(leave, approval) => (leave, approval),
            Claimed::Waiting(approval) => {
                (self.ask_again(oversight, &approval, answer.is_some()).await?, approval)
            }
            Claimed::Unknown => return Ok(nothing()),
        };
        self.settled(oversight, leave, &approval).await.map(Some)
    }

    /// # Errors
    /// The store does not answer; inside, why the result is not kept.
    async fn hold(
        &self,
        oversight: &Oversight,
        held: &HeldResult,
    ) -> Result<Result<Recalled, &'static str>, Unavailable> {
        let (records, grounds) = (&*oversight.records, [Ground::guard(&held.why)]);
        let request = self.request(&grounds);
        let ask =
            async || Approval::ask(records, &request, self.rules.lifetime, oversight.key.as_ref()).await;
        let (mut approval, mut new) = ask().await?;
        if !new && approval.ruling.is_some() {
            // The same call was made at the same time, and somebody has decided about its result.
            match self.claim(oversight, Some(approval.nonce), false).await? {
                Claimed::Settled(Leave::Given, approval) => {
                    return self.settled(oversight, Leave::Given, &approval).await.map(Ok);
                }
                Claimed::Settled(_, denied) => {
                    oversight.shelf.take(records, &denied).await?;
                    denied.forget(records).await?;
                }
                Claimed::Waiting(_) | Claimed::Unknown => {}
            }
            (approval, new) = ask().await?;
        }
        if new {
            let why = match oversight.shelf.keep(records, &approval, &packed(&held.payload)).await {
                Ok(Shelved::Kept) => None,
                Ok(Shelved::TooLarge) => Some("it is too large to be kept for an approval"),
                Ok(Shelved::NoRoom) => Some("too many results wait for an approval"),
                Err(error) => {
                    let _ = approval.forget(records).await;
                    return Err(error);
                }
            };
            if let Some(why) = why {
                approval.forget(records).await?;
                return Ok(Err(why));
            }
            self.record("result needs an approval", None, &held.why);
            oversight.asked(&approval, self.call);
        }
        let leave = self.ask_again(oversight, &approval, new).await?;
        self.settled(oversight, leave, &approval).await.map(Ok)
    }

    /// Asks about the result that waits, which may not be the one that came last.
    async fn ask_again(
        &self,
        oversight: &Oversight,
        approval: &Approval,
        news: bool,
    ) -> Result<Leave, Unavailable> {
        self.ask(oversight, approval, news, &approval.why.join("; ")).await
    }

    /// The result, where there is leave for it. One that somebody will not have is thrown away.
    async fn settled(
        &self,
        oversight: &Oversight,
        leave: Leave,
        approval: &Approval,
    ) -> Result<Recalled, Unavailable> {
        let denied = matches!(&leave, Leave::Refused(refusal) if refusal.kind == ErrorKind::ApprovalDenied);
        if !denied && !matches!(leave, Leave::Given) {
            return Ok(Recalled::Instead(leave.into()));
        }
        let found = oversight.shelf.take(&*oversight.records, approval).await?;
        if denied {
            return Ok(Recalled::Instead(leave.into()));
        }
        Ok(match found {
            Found::Result(bytes) => unpacked(bytes).map_or_else(gone, Recalled::Given),
            Found::Nothing => gone(),
            Found::Foreign => {
                let message = "the result that was approved was kept by another gateway, or before a restart, and cannot be \
                               opened without the same `vault.key`";
                Recalled::Instead(Refusal::new(ErrorKind::OversightUnavailable, message).into())
            }
        })
    }
}

fn gone() -> Recalled {
    let message =
        "the result does not wait any more; to make the call once more, make it without `requestState`";
    Recalled::Instead(Refusal::new(ErrorKind::InvalidParams, message).into())
}

/// A result, and the era that it is written in.
fn packed(payload: &Payload) -> Vec<u8> {
    let era = match payload.era {
        Era::Legacy => b'l',
        Era::Modern => b'm',
    };
    [&[era], payload.result.raw().as_bytes()].concat()
}

fn unpacked(mut bytes: Vec<u8>) -> Option<Payload> {
    let era = match bytes.first()? {
        b'l' => Era::Legacy,
        b'm' => Era::Modern,
        _ => return None,
    };
    bytes.remove(0);
    let result = Raw::parse(bytes.into(), Limits::default()).ok()?;
    Some(Payload { result: result.into(), era })
}
