//! The one timer of a connection.
//!
//! Arming a timer and disarming it again costs more than anything else that a quiet request does for its limits in time.
//! So the timer is armed once and only *what is due* moves: when it fires too early it is armed for the rest. Only a time
//! before the armed one has to touch it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

pub(super) struct Alarm {
    sleep: Pin<Box<Sleep>>,
    due: Instant,
}

impl Alarm {
    pub(super) fn at(due: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(due)), due }
    }

    /// From now on it is due then.
    pub(super) fn set(&mut self, due: Instant) {
        self.due = due;
        if due < self.sleep.deadline() {
            self.sleep.as_mut().reset(due);
        }
    }

    /// The same, unless it is due before.
    pub(super) fn set_no_later(&mut self, due: Instant) {
        self.set(self.due.min(due));
    }

    /// Ready when it is due.
    pub(super) fn poll(&mut self, task: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(task));
            if Instant::now() >= self.due {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.due);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    const STEP: Duration = Duration::from_millis(10);

    #[tokio::test]
    async fn fires_when_it_is_due_and_not_when_it_was_once() {
        let start = Instant::now();
        let mut alarm = Alarm::at(start + STEP);
        alarm.set(start + 10 * STEP);
        poll_fn(|task| alarm.poll(task)).await;
        assert!(start.elapsed() >= 10 * STEP);
        let start = Instant::now();
        alarm.set(start + 100_000 * STEP);
        alarm.set_no_later(start + 2 * STEP);
        alarm.set_no_later(start + 100_000 * STEP);
        poll_fn(|task| alarm.poll(task)).await;
        assert!((2 * STEP..1000 * STEP).contains(&start.elapsed()));
    }
}
