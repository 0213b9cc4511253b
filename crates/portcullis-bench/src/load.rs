//! `portcullis-bench load`: sends `tools/call`s at a server and says how long the answers took.
//!
//! Closed loop: every connection sends its next call as soon as the last is answered; this finds the
//! throughput. Open loop: calls are due on a fixed schedule and latency counts from the moment a call was
//! due, not from when a connection became free for it; this finds what a user meets, without the coordinated
//! omission that a closed loop suffers from when the server stalls.

mod engine;
mod latencies;
mod slot;
mod timeline;

use std::time::Duration;

use anyhow::{bail, ensure};
use serde_json::json;

pub(crate) use self::engine::run as generate;
pub(crate) use self::latencies::Latencies;
use crate::client::Endpoint;
use crate::wire::Era;

/// One run of load.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Where to.
    pub(crate) endpoint: Endpoint,
    /// In which wire form.
    pub(crate) era: Era,
    /// Keep-alive connections; also the most calls in flight.
    pub(crate) connections: usize,
    /// Closed or open loop.
    pub(crate) pace: Pace,
    /// Time at the start that is not measured.
    pub(crate) warmup: Duration,
    /// Time that is measured.
    pub(crate) measured: Duration,
    /// The tool to call; the upstream's are `tool_01`, `tool_02` …, and `ask`.
    pub(crate) tool: String,
    /// The tool asks in the middle of each call, and is answered.
    pub(crate) asks: bool,
    /// Length of the text that each call asks for.
    pub(crate) bytes: usize,
}

/// When the next call is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// As soon as a connection is free.
    Closed,
    /// On a schedule of so many calls a second.
    Open(f64),
}

/// What a run of load found.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Latency of every measured call, unfinished ones included.
    pub(crate) latencies: Latencies,
    /// Measured calls that were answered, per second.
    pub(crate) per_second: f64,
    /// Calls answered, warm-up included: what the servers' CPU time was spent on.
    pub(crate) answered: u64,
    /// Calls whose answer was wrong or never came because the connection broke, warm-up included.
    pub(crate) wrong: u64,
    /// What was wrong first.
    pub(crate) first_wrong: Option<String>,
    /// Measured calls that were due but not answered when the run was cut off: the server was too slow.
    pub(crate) unfinished: u64,
    /// Connections that had to be opened again.
    pub(crate) reconnects: u64,
}

/// The command line of one run.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("pace").required(true).args(["closed", "rate"]))]
pub(crate) struct Options {
    /// Endpoint, as http://HOST:PORT/PATH
    #[arg(long)]
    url: Endpoint,
    /// Wire form to speak.
    #[arg(long, value_enum)]
    era: Era,
    /// Keep-alive connections.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Closed loop: the next call follows the last answer.
    #[arg(long)]
    closed: bool,
    /// Open loop: so many calls per second, on a fixed schedule.
    #[arg(long)]
    rate: Option<f64>,
    /// Seconds to measure.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Seconds of warm-up before that.
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
    /// Tool to call; it must answer as the bench upstream does.
    #[arg(long, default_value = "tool_01")]
    tool: String,
    /// Call the tool that asks, and answer what it asks.
    #[arg(long, conflicts_with = "tool")]
    asks: bool,
    /// Bytes of text that each call asks for.
    #[arg(long, default_value_t = crate::echo::TEXT_BYTES)]
    bytes: usize,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// Runs the load and prints what it found; an error if any answer was wrong.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let plan = plan(options)?;
    let outcome = generate(&plan)?;
    if options.json {
        println!("{}", as_json(&outcome));
    } else {
        print_table(&outcome);
    }
    if outcome.wrong > 0 {
        bail!("{} wrong answers, first: {}", outcome.wrong, outcome.first_wrong.unwrap_or_default());
    }
    Ok(())
}

fn plan(options: &Options) -> anyhow::Result<Plan> {
    ensure!(options.connections > 0, "--connections is at least 1");
    let pace = match options.rate {
        Some(rate) => Pace::Open(rate),
        None => Pace::Closed,
    };
    ensure!(pace == Pace::Closed || options.rate.is_some_and(|rate| rate > 0.0), "--rate is above 0");
    Ok(Plan {
        endpoint: options.url.clone(),
        era: options.era,
        connections: options.connections,
        pace,
        warmup: Duration::try_from_secs_f64(options.warmup)?,
        measured: Duration::try_from_secs_f64(options.seconds)?,
        tool: if options.asks { "ask".to_owned() } else { options.tool.clone() },
        asks: options.asks,
        bytes: options.bytes,
    })
}

fn print_table(outcome: &Outcome) {
    let Outcome { latencies, per_second, wrong, unfinished, reconnects, .. } = outcome;
    let ms = |quantile| latencies.quantile(quantile).as_secs_f64() * 1e3;
    println!("calls       {:>12}", latencies.count());
    println!("wrong       {wrong:>12}");
    println!("unfinished  {unfinished:>12}");
    println!("reconnects  {reconnects:>12}");
    println!("calls/s     {per_second:>12.0}");
    for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
        println!("{name:<11} {:>9.3} ms", ms(quantile));
    }
}

fn as_json(outcome: &Outcome) -> serde_json::Value {
    let ms = |quantile| outcome.latencies.quantile(quantile).as_secs_f64() * 1e3;
    json!({
        "calls": outcome.latencies.count(),
        "wrong": outcome.wrong,
        "first_wrong": outcome.first_wrong,
        "unfinished": outcome.unfinished,
        "reconnects": outcome.reconnects,
        "calls_per_second": outcome.per_second,
        "p50_ms": ms(0.5), "p90_ms": ms(0.9), "p99_ms": ms(0.99), "max_ms": ms(1.0),
    })
}
