//! What somebody else says of themselves: fetched once for all who wait, kept for an hour, and kept on while they are away.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long it is kept.
const KEPT: Duration = Duration::from_hours(1);
/// How soon after a failure it is asked for again: whoever waits for somebody who does not answer would wait for each of
/// those before them.
const PAUSE: Duration = Duration::from_secs(5);

/// A document, as it was read last.
pub(crate) struct Lasting<T, E>(Mutex<State<T, E>>);

struct State<T, E> {
    found: Option<(Instant, Arc<T>)>,
    failed: Option<(Instant, E)>,
}

impl<T, E> Default for Lasting<T, E> {
    fn default() -> Self {
        Self(Mutex::new(State { found: None, failed: None }))
    }
}

impl<T, E: Clone> Lasting<T, E> {
    /// The document; `fetch` is given the last good one.
    pub(crate) async fn get(
        &self,
        fetch: impl AsyncFnOnce(Option<Arc<T>>) -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let mut state = self.0.lock().await;
        let before = match &state.found {
            Some((at, found)) if at.elapsed() < KEPT => return Ok(found.clone()),
            before => before.as_ref().map(|(_, found)| found.clone()),
        };
        if let Some((at, error)) = &state.failed
            && at.elapsed() < PAUSE
        {
            return before.ok_or_else(|| error.clone());
        }
        match fetch(before.clone()).await {
            Ok(new) => {
                let new = Arc::new(new);
                *state = State { found: Some((Instant::now(), new.clone())), failed: None };
                Ok(new)
            }
            Err(error) => {
                state.failed = Some((Instant::now(), error.clone()));
                before.ok_or(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn is_fetched_once_and_stays_while_nobody_answers() {
        let (lasting, asked) = (Lasting::<u32, &str>::default(), AtomicUsize::new(0));
        let get = async |answer: Result<u32, &'static str>| {
            let fetch = async |_| {
                asked.fetch_add(1, Ordering::Relaxed);
                answer
            };
            (lasting.get(fetch).await.map(|it| *it), asked.load(Ordering::Relaxed))
        };
        assert_eq!(get(Err("away")).await, (Err("away"), 1));
        assert_eq!(get(Ok(1)).await, (Err("away"), 1), "a moment later nobody is asked");
        tokio::time::advance(PAUSE).await;
        assert_eq!(get(Ok(1)).await, (Ok(1), 2));
        assert_eq!(get(Ok(2)).await, (Ok(1), 2));
        tokio::time::advance(KEPT).await;
        assert_eq!(get(Err("away")).await, (Ok(1), 3));
        assert_eq!(get(Ok(2)).await, (Ok(1), 3));
        tokio::time::advance(PAUSE).await;
        assert_eq!(get(Ok(2)).await, (Ok(2), 4));
    }
}
