//! What an event costs, from its digests to the disk: CPU time of the whole process for each, the writing thread's included.
//!
//! A gateway that serves as fast as it can has no core to spare, so CPU time is what evidence takes from it. Prints a line for
//! each step; the last ones are a log in `normal` and in `strict`, in a folder given as the argument, else in a temporary one.

#![allow(clippy::cast_precision_loss, reason = "small numbers")]

use std::borrow::Cow;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_audit::payloads::Side;
use portcullis_audit::{
    Decision, Event, EventId, Keyring, Kind, Log, Mode, Outcome, Request, Segments, Server, Settings, Signer,
    Time, Tool, Trace, VERSION, Who,
};
use rustix::time::{ClockId, clock_gettime};

const EVENTS: u64 = 200_000;
/// Calls that are under way at the same time in `strict`.
const TOGETHER: usize = 32;

fn cpu() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(spent.tv_sec.unsigned_abs(), u32::try_from(spent.tv_nsec).unwrap_or_default())
}

fn report(what: &str, events: u64, began: Instant, before: Duration) {
    let (took, spent) = (began.elapsed(), cpu().saturating_sub(before));
    println!(
        "{what:<34} {:>8.3} µs CPU/event {:>10.0} events/s",
        spent.as_secs_f64() * 1e6 / events as f64,
        events as f64 / took.as_secs_f64()
    );
}

fn measure<T>(what: &str, mut once: impl FnMut() -> T) {
    let (began, before) = (Instant::now(), cpu());
    for _ in 0..EVENTS {
        black_box(once());
    }
    report(what, EVENTS, began, before);
}

/// The event of a call that was carried out, as the gateway writes it: in words that are elsewhere.
fn event<'a>(log: &Log, contents: &[Vec<u8>; 2]) -> Event<Cow<'a, str>> {
    let some = |word: &'static str| Some(Cow::Borrowed(word));
    let digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let mut event = Event {
        kind: Kind::Exchange,
        id: EventId::new(),
        time: Time::now(),
        v: VERSION,
        who: Who {
            person: Some(log.keyring().pseudonym("https://idp.example", "somebody").into()),
            client: some("portcullis-bench"),
            groups: vec!["g2".into(), "g7".into(), "g12".into()],
            network: some("loopback"),
            proof: some("token"),
            ..Who::default()
        },
        request: Request {
            endpoint: some("/mcp/s/up"),
            era: some("modern"),
            id: some("123456"),
            method: some("tools/call"),
            protocol: some("2026-07-28"),
            transport: some("http"),
            session: None,
        },
        server: Server { id: some("up"), version: some("0.1.0"), delegation: some("none") },
        tool: Tool { name: some("tool_01"), definition: some(digest), read_only: Some(true) },
        decision: Decision {
            verdict: some("allow"),
            policies: vec!["p2".into(), "p7".into()],
            revision: some(digest),
            ..Decision::default()
        },
        trace: Trace {
            trace_id: some("0123456789abcdef0123456789abcdef"),
            span_id: some("0123456789abcdef"),
        },
        result: Outcome { status: some("completed"), upstream_us: 123, ..Outcome::default() },
        ..Event::default()
    };
    log.attach(&mut event, Side::Input, &contents[0]);
    log.attach(&mut event, Side::Output, &contents[1]);
    event
}

fn open(folder: &std::path::Path, mode: Mode) -> Log {
    let settings = Settings { node: "bench".to_owned(), mode, ..Settings::default() };
    let signer = Signer::generate("portcullis/audit/bench").expect("a key");
    let journal = Arc::new(Segments::open(folder).expect("a folder"));
    Log::open(journal, signer, Keyring::derive(b"only for benches"), settings).expect("a log")
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let scratch = tempfile::tempdir().expect("a folder");
    // `cargo bench` adds `--bench`.
    let named = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).map(PathBuf::from);
    let folder = named.unwrap_or_else(|| scratch.path().to_owned());
    let contents = |size: usize| [vec![b'a'; 60], vec![b'x'; size]];
    let log = open(&folder.join("normal"), Mode::Normal);
    let keyring = log.keyring().clone();
    let (one, four) = (contents(1 << 10), contents(4 << 10));
    measure("an id", EventId::new);
    measure("a pseudonym", || keyring.pseudonym("https://idp.example", "somebody"));
    measure("a digest of 60 bytes", || keyring.digest(&one[0]));
    measure("a digest of 1 KB", || keyring.digest(&one[1]));
    measure("a digest of 4 KB", || keyring.digest(&four[1]));
    measure("an event, results of 1 KB", || event(&log, &one));
    measure("an event, results of 4 KB", || event(&log, &four));
    for (what, contents) in [("recorded in `normal`, 1 KB", &one), ("recorded in `normal`, 4 KB", &four)] {
        let (began, before) = (Instant::now(), cpu());
        for _ in 0..EVENTS {
            log.record(event(&log, contents)).await.expect("normal mode refuses nothing");
        }
        log.checkpoint().await.expect("a checkpoint");
        report(what, EVENTS, began, before);
    }
    // As a gateway has it that is busy with other things: at a pace, not as fast as it goes.
    let (began, before) = (Instant::now(), cpu());
    let paced = EVENTS / 10;
    for number in 0..paced {
        let due = began + Duration::from_micros(25) * u32::try_from(number).unwrap_or(u32::MAX);
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        log.record(event(&log, &one)).await.expect("normal mode refuses nothing");
    }
    log.checkpoint().await.expect("a checkpoint");
    report("  at 40,000 a second (spins)", paced, began, before);
    log.close();

    let log = open(&folder.join("strict"), Mode::Strict);
    let (began, before) = (Instant::now(), cpu());
    let local = tokio::task::LocalSet::new();
    let each = EVENTS / 10 / TOGETHER as u64;
    for _ in 0..TOGETHER {
        let (log, contents) = (log.clone(), one.clone());
        local.spawn_local(async move {
            for _ in 0..each {
                log.record(event(&log, &contents)).await.expect("the disk takes it");
            }
        });
    }
    local.await;
    report("recorded in `strict`, 32 together", each * TOGETHER as u64, began, before);
    log.close();
}
