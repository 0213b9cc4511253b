//! A child that runs before it is needed.
//!
//! A legacy server learns once, in the handshake, what its client can be asked, so a call with other capabilities needs
//! another process; and programs take their time to start, a second where it is Python. So when a client opens the
//! server's own endpoint that may come with such a call, a process is started and left alone: nothing is said to it, and
//! whatever its first client declares it will hear. It is one at most, ends when nobody needed it, and after that no other
//! is started before one would have been of use. It is never counted on: one that has ended, or ends in the handshake, is
//! replaced by a process that is started then.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use portcullis_config::{EraPin, Transport};
use portcullis_hub::Child;
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::revision::Era;

use super::{DECLARED_IDLE, Server};
use crate::upstream::channel::GRACE;

/// The place for it.
#[derive(Default)]
pub(super) struct Spare(Mutex<State>);

#[derive(Default)]
struct State {
    child: Option<Child>,
    /// Counts them.
    number: u64,
    /// One is being started.
    starting: bool,
    /// The last one ended without having been needed.
    in_vain: bool,
}

impl Spare {
    /// Takes it, if there is one that still runs.
    pub(super) fn take(&self) -> Option<Child> {
        let mut state = self.state();
        state.in_vain = false;
        state.child.take().filter(runs)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn runs(child: &Child) -> bool {
    child.handle.exited().now_or_never().is_none()
}

/// Ends a child that has heard nothing.
async fn end(child: Child) {
    drop((child.stdin, child.stdout));
    child.handle.stop(GRACE).await;
}

impl Server {
    /// A client has opened the server's endpoint; what it declares now, it may declare with a call. Starts a process ahead
    /// where its calls may need one of their own.
    pub(crate) fn expect(self: &Arc<Self>, era: Era, caps: ClientCaps) {
        let Transport::Stdio(stdio) = &self.settings.transport else { return };
        // What a legacy client has declared counts for all its calls.
        let may_ask = era == Era::Modern || caps.answers();
        let is_modern = self.about.load().as_ref().is_some_and(|peer| peer.revision.era() == Era::Modern);
        if !may_ask || !stdio.spare || is_modern || self.settings.era == EraPin::Modern {
            return;
        }
        if caps.answers() && self.conversations.has_open(caps.without(ClientCaps::TASKS)) {
            return;
        }
        {
            let mut state = self.spare.state();
            // Some programs do not run twice.
            state.in_vain |= state.child.as_ref().is_some_and(|child| !runs(child));
            if state.child.is_some() || state.starting || state.in_vain {
                return;
            }
            state.starting = true;
        }
        let (server, patience) = (self.clone(), stdio.idle_stop.unwrap_or(DECLARED_IDLE).min(DECLARED_IDLE));
        self.env.control.spawn(async move {
            let Some(number) = server.start_spare().await else { return };
            tokio::time::sleep(patience).await;
            let unneeded = {
                let mut state = server.spare.state();
                let is_it = state.number == number && state.child.is_some();
                state.in_vain |= is_it;
                state.child.take_if(|_| is_it)
            };
            if let Some(child) = unneeded {
                tracing::debug!(server.id = %server.id, "nobody needed the spare child");
                end(child).await;
            }
        });
    }

    /// Starts it and says which it is; `None` when it could not be started, or is not needed any more.
    async fn start_spare(&self) -> Option<u64> {
        let started = self.start_child().await;
        let unneeded = {
            let mut state = self.spare.state();
            let needed = std::mem::take(&mut state.starting) && !self.retired.load(Ordering::Relaxed);
            match started {
                // It is a program's own matter that it cannot run twice; the first one says what else is wrong.
                Err(_) => {
                    state.in_vain = true;
                    return None;
                }
                Ok(child) if needed => {
                    state.number += 1;
                    let number = state.number;
                    drop(state.child.replace(child));
                    return Some(number);
                }
                Ok(child) => child,
            }
        };
        end(unneeded).await;
        None
    }

    /// It is not needed: it ends.
    pub(super) fn dismiss_spare(&self) {
        let unneeded = {
            let mut state = self.spare.state();
            state.starting = false;
            state.child.take()
        };
        if let Some(child) = unneeded {
            self.env.control.spawn(end(child));
        }
    }
}
