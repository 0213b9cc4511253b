//! Reading `/proc`: awkward names, and this very process.

use super::{Stat, parse_resident, parse_stat, usage};

#[test]
fn reads_stat_of_a_process_with_an_awkward_name() {
    let text = "42 (a) b (c) S 7 42 42 0 -1 4194560 500 0 0 0 30 12 0 0 20 0 1 0 100 0 0";
    assert_eq!(parse_stat(text), Some(Stat { parent: 7, ticks: 42 }));
    assert_eq!(parse_stat("42 (cut S 7"), None);
}

#[test]
fn reads_resident_size_in_bytes() {
    assert_eq!(parse_resident("Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t1\n"), Some(2048 * 1024));
    assert_eq!(parse_resident("Name:\tzombie\n"), None);
}

#[test]
fn a_tree_holds_its_children() {
    let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
    let (alone, together) = (usage(child.id()), usage(std::process::id()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(alone.resident > 0);
    assert!(together.resident > alone.resident);
}
