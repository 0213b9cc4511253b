//! Quantiles by nearest rank.

use std::time::Duration;

use super::Latencies;

fn check(values: impl IntoIterator<Item = u64>, quantile: f64, expected: u64) {
    let latencies: Latencies = values.into_iter().map(Duration::from_millis).collect();
    assert_eq!(latencies.quantile(quantile), Duration::from_millis(expected), "{quantile} of {latencies:?}");
}

#[test]
fn quantiles_are_values_that_occurred() {
    check((1..=100).rev(), 0.5, 50);
    check(1..=100, 0.99, 99);
    check(1..=100, 1.0, 100);
    check([3, 1, 2], 0.99, 3);
    check([3, 1, 2], 0.01, 1);
    check([7], 0.5, 7);
    check([], 0.5, 0);
}
