//! The tracer that is in force, which a changed configuration replaces.
//!
//! Starting a span loads a pointer and takes no lock. A span stays with the tracer that it was started by, and
//! keeps the export thread of that one alive until it ends; so a replacement loses nothing, and for a while several
//! threads may export. They are remembered only for the end of the process, which tells them to hurry.

use std::{
    mem,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::time::timeout;

use super::{export::ExportThread, tracer::Tracer};

/// A tracer that can be replaced while spans are started.
#[derive(Debug)]
pub struct CurrentTracer {
    current: ArcSwap<Tracer>,
    /// The threads of those that were replaced, as long as they still export.
    replaced: Mutex<Vec<Arc<ExportThread>>>,
}

impl CurrentTracer {
    /// Puts the first one in force.
    pub fn new(tracer: Tracer) -> Self {
        Self { current: ArcSwap::from_pointee(tracer), replaced: Mutex::default() }
    }

    /// The tracer in force now. Not to be kept: it could not be replaced then.
    pub fn load(&self) -> impl Deref<Target = Tracer> {
        Loaded(self.current.load())
    }

    /// Puts another one in force. Spans under way go where they began; the old exporter ends with the last of them.
    pub fn replace(&self, tracer: Tracer) {
        let old = self.current.swap(Arc::new(tracer));
        let mut replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        replaced.retain(|thread| !thread.has_ended());
        replaced.extend(old.thread().cloned());
    }

    /// [`Tracer::shutdown`] of the one in force and of all that it replaced, at once.
    pub async fn shutdown(&self, within: Duration) -> bool {
        let mut threads = mem::take(&mut *self.replaced.lock().unwrap_or_else(PoisonError::into_inner));
        threads.extend(self.current.load().thread().cloned());
        for thread in &*threads {
            thread.close();
        }
        let all = async {
            for thread in &threads {
                thread.ended().await;
            }
        };
        timeout(within, all).await.is_ok()
    }
}

struct Loaded(arc_swap::Guard<Arc<Tracer>>);

impl Deref for Loaded {
    type Target = Tracer;

    fn deref(&self) -> &Tracer {
        &self.0
    }
}
