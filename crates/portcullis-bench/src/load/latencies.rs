//! Latencies, kept one by one and sorted once.
//!
//! A run has at most a few hundred thousand of them, and all rounds of a cell some millions, so exact quantiles cost less
//! than the error bars of a histogram would.

use std::time::Duration;

/// All latencies of a run, in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Takes in the latencies of another run.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
        // Both were sorted, which a stable sort makes use of.
        self.0.sort();
    }

    /// The smallest latency that at least the share `quantile` (above 0, at most 1) of all calls did not
    /// exceed; zero when there are none.
    pub(crate) fn quantile(&self, quantile: f64) -> Duration {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "a rank within a vector's length"
        )]
        let rank = (quantile * self.0.len() as f64).ceil() as usize;
        let last = self.0.len().saturating_sub(1);
        self.0.get(rank.saturating_sub(1).min(last)).copied().unwrap_or_default()
    }
}

impl FromIterator<Duration> for Latencies {
    fn from_iter<I: IntoIterator<Item = Duration>>(all: I) -> Self {
        let mut sorted: Vec<Duration> = all.into_iter().collect();
        sorted.sort_unstable();
        Self(sorted)
    }
}

#[cfg(test)]
mod tests;
