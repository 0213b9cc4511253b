//! The generator's loop: one thread, one epoll, one timer, and as many connections as the plan says.
//!
//! One thread keeps the generator's own cost and jitter the same for every target. The timer is a timerfd
//! because an open loop needs finer ticks than the millisecond of `epoll_wait` or of an async runtime. A
//! connection carries one call at a time: HTTP/1.1 pipelining is not what MCP clients do.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::slot::{self, Ended, Leg, Progress, Slot};
use super::timeline::Timeline;
use super::{Latencies, Outcome, Plan};

/// How long after the end of the window answers are still waited for.
const DRAIN: Duration = Duration::from_secs(2);

/// A server with so many wrong answers is not worth measuring to the end.
const HOPELESS: u64 = 1_000;

/// epoll's mark for the timer; connections have marks of their own.
const TIMER: u64 = u64::MAX;

struct Engine<'p> {
    plan: &'p Plan,
    timeline: Timeline,
    epoll: OwnedFd,
    timer: OwnedFd,
    slots: Vec<Slot>,
    /// Indices of the slots without a call.
    free: Vec<usize>,
    /// Serial of the next call.
    serial: u64,
    latencies: Vec<Duration>,
    finished: u64,
    outcome: Outcome,
    request: Vec<u8>,
    scratch: String,
}

/// Runs `plan` to its end.
pub(crate) fn run(plan: &Plan) -> anyhow::Result<Outcome> {
    let mut engine = Engine::new(plan)?;
    for index in 0..plan.connections {
        let slot = Slot::connect(plan, &engine.epoll, index)?;
        engine.slots.push(slot);
    }
    // Handshakes took time: the schedule starts only now.
    engine.timeline = Timeline::new(Instant::now(), plan.warmup, plan.measured, plan.pace);
    engine.turn_until_done()?;
    Ok(engine.conclude())
}

impl<'p> Engine<'p> {
    fn new(plan: &'p Plan) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let mark = epoll::EventData::new_u64(TIMER);
        epoll::add(&epoll, &timer, mark, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        Ok(Self {
            plan,
            timeline: Timeline::new(Instant::now(), plan.warmup, plan.measured, plan.pace),
            epoll,
            timer,
            slots: Vec::new(),
            free: (0..plan.connections).rev().collect(),
            serial: first_serial(),
            latencies: Vec::new(),
            finished: 0,
            outcome: Outcome {
                latencies: Latencies::default(),
                per_second: 0.0,
                answered: 0,
                wrong: 0,
                first_wrong: None,
                unfinished: 0,
                reconnects: 0,
            },
            request: Vec::new(),
            scratch: String::new(),
        })
    }

    fn turn_until_done(&mut self) -> anyhow::Result<()> {
        let heartbeat = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        let mut events = Vec::with_capacity(self.plan.connections + 1);
        loop {
            let waiting = self.send_due()?;
            let all_free = self.free.len() == self.slots.len();
            if (all_free && !waiting) || Instant::now() > self.timeline.end() + DRAIN {
                return Ok(());
            }
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&heartbeat)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("epoll_wait"),
            }
            for event in &events {
                let mark = event.data.u64();
                if mark != TIMER {
                    let (index, leg) = slot::marked(mark);
                    self.receive(index, leg)?;
                }
            }
        }
    }

    /// Sends every due call for which a connection is free. Returns whether calls are still to come, and sets
    /// the timer for the next one if a connection waits for it.
    fn send_due(&mut self) -> anyhow::Result<bool> {
        loop {
            let now = Instant::now();
            let Some(due) = self.timeline.next_due(now) else { return Ok(false) };
            let Some(&index) = self.free.last() else { return Ok(true) };
            if due > now {
                self.set_timer(due - now)?;
                return Ok(true);
            }
            self.free.pop();
            self.timeline.take();
            self.send(index, due)?;
        }
    }

    fn set_timer(&self, wait: Duration) -> anyhow::Result<()> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec::try_from(wait).context("a wait beyond the clock's range")?;
        let setting = Itimerspec { it_interval: zero, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &setting)?;
        Ok(())
    }

    fn send(&mut self, index: usize, due: Instant) -> anyhow::Result<()> {
        let serial = self.serial;
        self.serial += 1;
        match self.slots[index].send(serial, due, &mut self.request) {
            Ok(()) => Ok(()),
            Err(error) => self.broken(index, &format!("cannot send: {error}")),
        }
    }

    /// Takes what has arrived on a connection, and the call's end if it has come.
    fn receive(&mut self, index: usize, leg: Leg) -> anyhow::Result<()> {
        let slot = &mut self.slots[index];
        let Ended { at, verdict, close } = match slot.receive(leg, &mut self.request, &mut self.scratch) {
            Ok(Progress::Waiting) => return Ok(()),
            Ok(Progress::Ended(ended)) => ended,
            Ok(Progress::Surplus) => {
                self.release(index);
                self.count_wrong("bytes that belong to no call")?;
                return self.reconnect(index);
            }
            Err(why) => return self.broken(index, &why),
        };
        let due = slot.due.unwrap_or(at);
        self.release(index);
        self.outcome.answered += 1;
        match verdict {
            Err(wrong) => self.count_wrong(&wrong.to_string())?,
            Ok(()) => {
                if let Some(latency) = self.timeline.measured(due, at) {
                    self.latencies.push(latency);
                    self.finished += 1;
                }
            }
        }
        if close { self.reconnect(index) } else { Ok(()) }
    }

    /// The connection cannot be used any more; the call on it, if any, has failed.
    fn broken(&mut self, index: usize, why: &str) -> anyhow::Result<()> {
        if self.release(index) {
            self.count_wrong(why)?;
        }
        self.reconnect(index)
    }

    /// Makes a connection free again; whether a call was on it.
    fn release(&mut self, index: usize) -> bool {
        let busy = self.slots[index].due.take().is_some();
        if busy {
            self.free.push(index);
        }
        busy
    }

    fn reconnect(&mut self, index: usize) -> anyhow::Result<()> {
        self.outcome.reconnects += 1;
        // Dropping the old stream takes it out of the epoll set.
        self.slots[index] = Slot::connect(self.plan, &self.epoll, index)?;
        Ok(())
    }

    fn count_wrong(&mut self, why: &str) -> anyhow::Result<()> {
        self.outcome.wrong += 1;
        let first = self.outcome.first_wrong.get_or_insert_with(|| why.to_owned());
        if self.outcome.wrong >= HOPELESS {
            bail!("{HOPELESS} wrong answers, first: {first}");
        }
        Ok(())
    }

    /// Adds the calls that were due and never answered, each with the time it had waited by now.
    fn conclude(mut self) -> Outcome {
        let now = Instant::now();
        let mut late: Vec<Instant> = self.slots.iter().filter_map(|slot| slot.due).collect();
        // Only an open loop has calls left on its schedule here; a closed loop's next call is due "now".
        while let Some(due) = self.timeline.next_due(now) {
            late.push(due);
            self.timeline.take();
        }
        for due in late {
            // In a closed loop such a call has outlived the window by far, which counts no less.
            let waited =
                self.timeline.measured(due, now).unwrap_or_else(|| now.saturating_duration_since(due));
            self.latencies.push(waited);
            self.outcome.unfinished += 1;
        }
        #[expect(clippy::cast_precision_loss, reason = "a count of calls")]
        let finished = self.finished as f64;
        self.outcome.per_second = finished / self.plan.measured.as_secs_f64();
        self.outcome.latencies = self.latencies.into_iter().collect();
        self.outcome
    }
}

/// A start that no earlier run used, so that arguments stay distinct between runs; far below 2^53, which is
/// as far as a JSON number is sure to survive.
fn first_serial() -> u64 {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    u64::try_from(micros).unwrap_or_default() % (1 << 52)
}
