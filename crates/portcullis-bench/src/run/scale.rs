//! How long and how often, and which bounds: the full run and the quick one.

use std::time::Duration;

/// The size of a run and what it is judged by.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    /// Rounds over the matrix; medians over rounds are reported.
    pub(crate) rounds: usize,
    /// Rounds over the cells of elicitation; the same.
    pub(crate) elicitations: usize,
    /// Unmeasured time at the start of each load.
    pub(crate) warmup: Duration,
    /// Measured time of each load.
    pub(crate) measured: Duration,
    /// Legacy sessions of the memory test.
    pub(crate) sessions: u32,
    /// Complete aggregate lists that are timed, per era.
    pub(crate) lists: usize,
    /// What counts as good.
    pub(crate) bounds: Bounds,
}

/// The targets of a run.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// Least share of nginx's throughput.
    pub(crate) throughput: f64,
    /// Least share of the throughput that identity and policies leave, and the guard.
    pub(crate) layers: f64,
    /// Least shares of the throughput that evidence leaves, in `normal` and in `strict`.
    pub(crate) evidence: [f64; 2],
    /// Least share of nginx's throughput with everything on.
    pub(crate) path: f64,
    /// Greatest multiple of nginx's p99.
    pub(crate) p99: f64,
    /// A p99 up to this is good whatever nginx's is; zero in the full run.
    pub(crate) p99_floor: Duration,
    /// Resident bytes of the idle gateway.
    pub(crate) idle_bytes: u64,
    /// Resident bytes for each idle legacy session.
    pub(crate) session_bytes: u64,
    /// Median time of one complete, warm aggregate list.
    pub(crate) list: Duration,
}

impl Scale {
    /// The same run with so many rounds of everything.
    pub(crate) fn with_rounds(self, rounds: usize) -> Self {
        Self { rounds, elicitations: rounds, ..self }
    }

    /// The run whose figures are published, with the project's targets.
    pub(crate) fn full() -> Self {
        Self {
            // Many short turns rather than few long ones: a shared machine has slow seconds, and so all ways meet them.
            rounds: 25,
            elicitations: 9,
            warmup: Duration::from_millis(150),
            measured: Duration::from_millis(600),
            sessions: 10_000,
            lists: 300,
            bounds: Bounds {
                throughput: 0.9,
                layers: 0.85,
                evidence: [0.9, 0.5],
                path: 0.6,
                p99: 2.0,
                p99_floor: Duration::ZERO,
                idle_bytes: 50_000_000,
                session_bytes: 10_000,
                list: Duration::from_millis(5),
            },
        }
    }

    /// The run of every test run: on a busy machine it must never fail for noise, and always for a collapse.
    pub(crate) fn quick() -> Self {
        Self {
            rounds: 3,
            elicitations: 1,
            warmup: Duration::from_millis(150),
            measured: Duration::from_millis(500),
            sessions: 10_000,
            lists: 40,
            bounds: Bounds {
                throughput: 0.33,
                layers: 0.5,
                evidence: [0.5, 0.1],
                path: 0.2,
                p99: 10.0,
                p99_floor: Duration::from_millis(200),
                idle_bytes: 100_000_000,
                session_bytes: 20_000,
                list: Duration::from_millis(50),
            },
        }
    }
}
