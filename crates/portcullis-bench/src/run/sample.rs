//! One load and what it found, the cost of the hop included.

use std::time::Duration;

use super::proc::{Usage, usage};
use crate::load::{Outcome, Plan, generate};

/// What one load found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Answered calls per second.
    pub(crate) per_second: f64,
    /// Median latency, in milliseconds.
    pub(crate) p50_ms: f64,
    /// 99th percentile, in milliseconds.
    pub(crate) p99_ms: f64,
    /// CPU time of the hop for each call, in microseconds.
    pub(crate) cpu_us: Option<f64>,
    /// Calls that were due and never answered.
    pub(crate) unfinished: u64,
}

/// Runs `plan`; the hop's process is `pid`.
pub(crate) fn sample(plan: &Plan, pid: Option<u32>) -> anyhow::Result<(Sample, Outcome)> {
    let before = pid.map(usage);
    let outcome = generate(plan)?;
    let after = pid.map(usage);
    let ms = |quantile| outcome.latencies.quantile(quantile).as_secs_f64() * 1e3;
    let sample = Sample {
        per_second: outcome.per_second,
        p50_ms: ms(0.5),
        p99_ms: ms(0.99),
        cpu_us: before.zip(after).map(|(before, after)| per_call(before, after, outcome.answered)),
        unfinished: outcome.unfinished,
    };
    Ok((sample, outcome))
}

/// Microseconds of CPU time for each of `calls`.
fn per_call(before: Usage, after: Usage, calls: u64) -> f64 {
    let spent: Duration = after.cpu.saturating_sub(before.cpu);
    #[expect(clippy::cast_precision_loss, reason = "a count of calls")]
    let calls = calls.max(1) as f64;
    spent.as_secs_f64() * 1e6 / calls
}

/// The middle value; of an even number, the mean of the two in the middle.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
    }
}
