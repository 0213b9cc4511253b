//! What tries to outlive its parent: grandchildren in sessions of their own, and everything when the gateway is
//! killed.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    os::fd::AsRawFd,
    process::{self, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::task::spawn_blocking;

use crate::{
    FIXTURE, Lines, command,
    processes::{file, files, instance, keeper, marked, marker, runs, started_by, status, until},
    sh, spawn, supervisor, within,
};

/// Six processes: a shell that ignores every polite signal and its stdin, two in its group, one in a session of
/// its own, one in a session whose leader has gone, and that last leader's other child, with all pipes closed.
const STUBBORN: &str = "trap '' TERM INT HUP
sleep 1001 &
setsid sleep 1002 &
setsid sh -c 'sleep 1003 & exec <&- >&- 2>&-; sleep 1004 &' &
while :; do sleep 1000; done";

fn kill(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.try_into().expect("an id fits")).expect("an id is not zero");
    kill_process(pid, signal).expect("it is there and ours");
}

/// Waits without blocking the runtime, which has the supervisor's work to do meanwhile.
async fn eventually(what: &'static str, holds: impl FnMut() -> bool + Send + 'static) {
    spawn_blocking(move || until(what, holds)).await.expect(what);
}

#[tokio::test]
async fn stop_sweeps_what_left_the_group() {
    let supervisor = supervisor();
    let neighbour = spawn(&supervisor, &command("cat", &[])).await;
    let child = spawn(&supervisor, &sh(STUBBORN)).await;
    let family = instance(child.handle.pid());
    let all = family.clone();
    eventually("all six and the neighbour run", move || marked(&all).len() == 7).await;
    within(child.handle.stop(Duration::from_millis(20))).await;
    assert_eq!(marked(&family), [neighbour.handle.pid()], "and nobody else is touched");
}

#[tokio::test]
async fn an_exit_sweeps_too() {
    let supervisor = supervisor();
    let child = spawn(&supervisor, &sh("setsid sleep 1000 & echo $!; read wait; exit 1")).await;
    let mut lines = Lines::of(child.stdout);
    let grandchild: u32 = lines.next().await.expect("it prints").parse().expect("an id");
    eventually("the grandchild is marked", move || marker(grandchild).is_some()).await;
    drop(child.stdin);
    within(child.handle.exited()).await;
    eventually("the grandchild is swept", move || !runs(grandchild)).await;
}

#[tokio::test]
async fn two_supervisors_leave_each_other_alone() {
    let (one, other) = (supervisor(), supervisor());
    let child = spawn(&one, &command("cat", &[])).await;
    let _killed = spawn(&other, &command("sleep", &["1000"])).await;
    within(other.shutdown()).await;
    assert!(runs(child.handle.pid()));
}

/// A gateway in a process of its own. It is killed in any case, for it would wait for ever if a test failed.
struct Gateway {
    process: process::Child,
    child: u32,
}

impl Gateway {
    fn start(args: &[&str]) -> Self {
        let mut process = Command::new(FIXTURE)
            .arg("gateway")
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the fixture starts");
        let stdout = process.stdout.take().expect("stdout was asked for");
        let mut gateway = Self { process, child: 0 };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("it prints");
        gateway.child = line.trim().parse().expect("an id");
        gateway
    }
}

impl Drop for Gateway {
    /// As `kill -9` does.
    fn drop(&mut self) {
        self.process.kill().expect("it is ours");
        self.process.wait().expect("it is ours");
    }
}

#[test]
fn nothing_survives_a_killed_gateway() {
    let gateway = Gateway::start(&["/bin/sh", "-c", STUBBORN]);
    let family = instance(gateway.child);
    until("all six run", || marked(&family).len() == 6);
    let keeper = keeper(&family).expect("there is a keeper");
    drop(gateway);
    until("the keeper has done its work", || !runs(keeper));
    assert_eq!(marked(&family), [0; 0]);
}

#[test]
fn nothing_survives_a_gateway_within_a_gateway() {
    let outer = Gateway::start(&[FIXTURE, "gateway", "/bin/sh", "-c", STUBBORN]);
    let inner = outer.child;
    let inner_family = || started_by(inner).next().map(instance);
    until("the inner gateway has a child", || inner_family().is_some());
    let families = [instance(inner), inner_family().expect("it still has one")];
    until("all six run", || marked(&families[1]).len() == 6);
    let keepers = families.each_ref().map(|family| keeper(family).expect("each has a keeper"));
    drop(outer);
    until("both keepers have done their work", || !keepers.into_iter().any(runs));
    for family in &families {
        assert_eq!(marked(family), [0; 0]);
    }
}

#[tokio::test]
async fn keeper_is_one_thread_that_polite_signals_do_not_end() {
    let supervisor = supervisor();
    let child = spawn(&supervisor, &command("cat", &[])).await;
    let keeper = keeper(&instance(child.handle.pid())).expect("there is a keeper");
    let polite = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];
    let mask: u64 = polite.iter().map(|signal| 1 << (signal.as_raw() - 1)).sum();
    eventually("it handles them", move || {
        u64::from_str_radix(&status(keeper, "SigCgt"), 16).expect("a mask") & mask == mask
    })
    .await;
    for signal in polite {
        kill(keeper, signal);
    }
    eventually("it has taken them all", move || status(keeper, "ShdPnd").bytes().all(|digit| digit == b'0'))
        .await;
    assert!(runs(keeper));
    assert_eq!(status(keeper, "Threads"), "1");
}

#[tokio::test]
async fn keeper_holds_nothing_of_the_gateways() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let supervisor = supervisor();
    let child = spawn(&supervisor, &command("cat", &[])).await;
    let family = instance(child.handle.pid());
    let first = keeper(&family).expect("there is a keeper");
    // The second is started when there are pipes to a child already.
    kill(first, Signal::KILL);
    let replaced = family.clone();
    eventually("there is another", move || keeper(&replaced).is_some_and(|second| second != first)).await;
    let second = keeper(&family).expect("there is another");
    let theirs = files(second);
    assert!(!theirs.is_empty());
    assert!(!theirs.contains(&file(process::id(), listener.as_raw_fd())));
    for pipe in [child.stdin.as_raw_fd(), child.stdout.as_raw_fd()] {
        assert!(!theirs.contains(&file(process::id(), pipe)));
    }
}

#[tokio::test]
async fn a_dead_keeper_is_replaced() {
    let supervisor = supervisor();
    let child = spawn(&supervisor, &command("cat", &[])).await;
    let family = instance(child.handle.pid());
    let first = keeper(&family).expect("there is a keeper");
    kill(first, Signal::KILL);
    let replaced = family.clone();
    eventually("there is another", move || keeper(&replaced).is_some_and(|second| second != first)).await;
    assert!(runs(child.handle.pid()), "the child has not noticed");
    within(supervisor.shutdown()).await;
    assert_eq!(keeper(&family), None);
}
