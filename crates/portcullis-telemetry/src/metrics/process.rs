//! What the process itself uses, under the names that every Prometheus client agrees on.
//!
//! Linux only, read from `/proc` at scrape time. A number that cannot be read is left out rather than zero.

use std::fs;

use super::exposition::Text;

pub(super) fn render(text: &mut Text, started: f64) {
    let mut gauge = |name, help, value: Option<u64>| {
        if let Some(value) = value {
            text.family(name, "gauge", help);
            text.sample::<&str>(name, &[], value);
        }
    };
    gauge("process_resident_memory_bytes", "Resident memory size in bytes.", resident_bytes());
    gauge("process_open_fds", "Number of open file descriptors.", open_fds());
    let name = "process_start_time_seconds";
    text.family(name, "gauge", "Start time of the process since the Unix epoch in seconds.");
    text.sample::<&str>(name, &[], format_args!("{started:.3}"));
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Without the descriptor that reading the directory takes.
fn open_fds() -> Option<u64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(count).ok()?.checked_sub(1)
}
