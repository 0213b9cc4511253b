//! Finds marked processes in `/proc` and kills them.
//!
//! One scan can miss a process: one that is being killed may just have forked, and while a process exchanges its
//! program for another its environment reads as empty. Under load that second moment lasts for many
//! milliseconds, so it is recognised: such a process is *in doubt*. Scans are repeated until several in a row
//! find nothing and doubt nothing.
//!
//! Only processes whose environment the kernel lets us read are considered. For an ordinary user those are his
//! own; for root also those that a child started under another user. Where there is no `/proc`, nothing is
//! found.

use std::{collections::HashMap, fs, time::Duration};

use rustix::process::{Pid, Signal, getpgid, kill_process, kill_process_group};

use super::marker::Mark;

/// The time between scans.
pub(super) const PAUSE: Duration = Duration::from_millis(10);

/// Decides when a sweep is over: after so many scans in a row that found nothing.
#[derive(Debug)]
pub(super) struct Quiet {
    needed: u32,
    seen: u32,
}

impl Quiet {
    pub(super) fn after(needed: u32) -> Self {
        Self { needed, seen: 0 }
    }

    /// Takes a scan's result; true when it was the last one needed.
    pub(super) fn reached(&mut self, found: Found) -> bool {
        self.seen = if found == Found::default() { self.seen + 1 } else { 0 };
        self.seen >= self.needed
    }
}

/// What a scan came upon, in processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) killed: usize,
    pub(super) in_doubt: usize,
}

/// Kills every process that carries `mark`, and the group of each whose leader carries it as well.
///
/// Between the look and the signal a process could end and its id be given away. The kernel hands ids out in
/// turn, so that this takes tens of thousands of forks within microseconds.
pub(super) fn scan(mark: &Mark) -> Found {
    let (mut marked, mut in_doubt) = (HashMap::new(), 0);
    for pid in processes() {
        match look_at(pid, mark) {
            Look::Marked => _ = marked.insert(pid, getpgid(Some(pid)).ok()),
            Look::InDoubt => in_doubt += 1,
            Look::Strange => {}
        }
    }
    for (&pid, &group) in &marked {
        if let Some(group) = group.filter(|group| marked.contains_key(group)) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        // An error is no matter: it is gone already, or not ours to kill, which the next scan tells apart.
        let _ = kill_process(pid, Signal::KILL);
    }
    Found { killed: marked.len(), in_doubt }
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.ok()?.file_name().to_str()?.parse().ok()?))
}

enum Look {
    Marked,
    InDoubt,
    Strange,
}

fn look_at(pid: Pid, mark: &Mark) -> Look {
    let read = |file| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let environ = read("environ");
    // No environment, but memory, which kernel threads and zombies have not: it has an empty one, or none yet.
    if environ.is_empty() && read("statm").first().is_some_and(|&digit| digit != b'0') {
        // Arguments every program has; they come into sight together with the environment.
        if read("cmdline").is_empty() {
            return Look::InDoubt;
        }
        return if mark.is_on(&read("environ")) { Look::Marked } else { Look::Strange };
    }
    if mark.is_on(&environ) { Look::Marked } else { Look::Strange }
}
