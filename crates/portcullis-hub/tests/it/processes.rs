//! What `/proc` says about processes, and waiting until it says so.

use std::{fs, os::fd::RawFd, path::PathBuf, thread, time::Instant};

use crate::DEADLINE;

/// Whether `pid` runs. A zombie does not; whether its parent reaps it is the parent's business.
pub(crate) fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which is in parentheses and may hold any character.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// The value of the marker variable of `pid`.
pub(crate) fn marker(pid: u32) -> Option<String> {
    let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let entry =
        environ.split(|&byte| byte == 0).find_map(|entry| entry.strip_prefix(b"PORTCULLIS_CHILD="))?;
    Some(String::from_utf8(entry.to_vec()).expect("a marker is text"))
}

/// The supervisor whose child `pid` is. `fork` returns when the child has let go of our memory, which is a moment
/// before its own environment can be read.
#[track_caller]
pub(crate) fn instance(pid: u32) -> String {
    until("the child is marked", || marker(pid).is_some());
    let marker = marker(pid).expect("it was marked just now");
    marker.split('.').next().expect("splitting gives at least one part").to_owned()
}

/// All processes whose marker begins with `instance`.
pub(crate) fn marked(instance: &str) -> Vec<u32> {
    let prefix = format!("{instance}.");
    all().filter(|&pid| marker(pid).is_some_and(|marker| marker.starts_with(&prefix))).collect()
}

/// The marked processes of the gateway that is process `gateway`.
pub(crate) fn started_by(gateway: u32) -> impl Iterator<Item = u32> {
    let prefix = format!("{gateway}-");
    all().filter(move |&pid| marker(pid).is_some_and(|marker| marker.starts_with(&prefix)))
}

/// The keeper of `instance`.
pub(crate) fn keeper(instance: &str) -> Option<u32> {
    let words = format!("\0__keeper\0{instance}\0");
    all().find(|pid| {
        fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains(&words))
    })
}

/// The value of a field of `/proc/PID/status`.
pub(crate) fn status(pid: u32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.expect("the field is there").trim().to_owned()
}

/// What `fd` of `pid` is open on: for sockets and pipes a name that no other has.
pub(crate) fn file(pid: u32, fd: RawFd) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/fd/{fd}")).expect("it is open")
}

/// Everything that `pid` has open.
pub(crate) fn files(pid: u32) -> Vec<PathBuf> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").flatten();
    open.filter_map(|entry| fs::read_link(entry.path()).ok()).collect()
}

/// Looks until `holds`; `/proc` has no events to wait for.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "never came true: {what}");
        thread::yield_now();
    }
}

fn all() -> impl Iterator<Item = u32> {
    let processes = fs::read_dir("/proc").expect("there is a /proc");
    processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}
