//! What a process and its descendants cost, from `/proc`.
//!
//! nginx works in worker processes and the gateway keeps a helper process, so a tree is what counts. Memory is
//! the plain sum of resident sets: pages shared between processes count for each, so the sum never flatters.

use std::fs;
use std::time::Duration;

/// CPU time and resident memory of a process tree at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// User and system time so far.
    pub(crate) cpu: Duration,
    /// Resident bytes.
    pub(crate) resident: u64,
}

/// The fields of `/proc/PID/stat` that matter here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// utime + stime, in clock ticks.
    ticks: u64,
}

/// What the process `root` and all its living descendants use.
pub(crate) fn usage(root: u32) -> Usage {
    let all = processes();
    let mut tree = vec![root];
    let mut at = 0;
    while let Some(&parent) = tree.get(at) {
        tree.extend(all.iter().filter(|(_, stat)| stat.parent == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    let ticks: u64 = all.iter().filter(|(pid, _)| tree.contains(pid)).map(|(_, stat)| stat.ticks).sum();
    let per_second = rustix::param::clock_ticks_per_second();
    Usage {
        cpu: Duration::from_nanos(ticks * (1_000_000_000 / per_second)),
        resident: tree.iter().map(|pid| resident(*pid)).sum(),
    }
}

fn processes() -> Vec<(u32, Stat)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, parse_stat(&text)?))
    })
    .collect()
}

/// `PID (NAME) STATE PPID …`; the name may hold blanks and parentheses, so counting starts after the last one.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    // Counted from the state, which is field 3 of proc(5): PPID is 4, utime 14, stime 15.
    Some(Stat { parent: u32::try_from(number(1)?).ok()?, ticks: number(11)? + number(12)? })
}

fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    parse_resident(&status).unwrap_or(0)
}

fn parse_resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests;
