//! Work of a client that may go away: up to 2025-11-25, leaving cancels nothing.

use std::pin::Pin;
use std::task;

/// Work that a client cannot stop by going away: dropped unfinished, it goes on by itself.
pub(super) struct UntilDone<F: Future + Send + 'static>(Option<Pin<Box<F>>>)
where
    F::Output: Send;

impl<F: Future + Send + 'static> UntilDone<F>
where
    F::Output: Send,
{
    pub(super) fn new(work: F) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<F: Future + Send + 'static> Future for UntilDone<F>
where
    F::Output: Send,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> task::Poll<F::Output> {
        let work = self.0.as_mut().expect("not polled after it was ready");
        let polled = work.as_mut().poll(context);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl<F: Future + Send + 'static> Drop for UntilDone<F>
where
    F::Output: Send,
{
    fn drop(&mut self) {
        if let Some(work) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { drop(work.await) });
        }
    }
}
