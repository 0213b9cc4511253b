//! The places of a server for calls, and of those who wait for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis_model::ErrorKind;
use tokio::sync::OwnedSemaphorePermit;

use super::Server;
use crate::call::Refusal;

/// A place among those who wait; given back when dropped.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn take(counter: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        let place = Self(counter.clone());
        (counter.fetch_add(1, Ordering::Relaxed) < limit).then_some(place)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Server {
    /// Waits for one of the server's places for calls.
    ///
    /// # Errors
    /// As many calls wait already as may run: a server that does not keep up must not take the places of others.
    pub(crate) async fn admit(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        self.called.touch();
        if let Ok(permit) = self.calls.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let waiting = Waiting::take(&self.waiting, self.settings.max_concurrent).ok_or_else(|| {
            let message =
                format!("server `{}` is busy, and as many calls wait for it as may; try again", self.id);
            Refusal::new(ErrorKind::Overloaded, message)
        })?;
        let permit = self.calls.clone().acquire_owned().await.expect("the semaphore is never closed");
        drop(waiting);
        Ok(permit)
    }
}
