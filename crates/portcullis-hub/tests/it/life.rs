//! From start to exit: the environment, the ends a child can come to, and what starting costs in the long run.

use std::{env, fs, net::TcpListener, os::fd::AsRawFd, process, time::Duration};

use portcullis_hub::{Ended, SpawnError};
use tokio::{io::AsyncWriteExt, join};

use crate::{FIXTURE, Lines, command, processes, sh, spawn, supervisor, within};

#[tokio::test]
async fn child_exits_when_stdin_closes() {
    let supervisor = supervisor();
    let mut child = spawn(&supervisor, &command("cat", &[])).await;
    let mut lines = Lines::of(child.stdout);
    child.stdin.write_all(b"ping\n").await.expect("cat reads");
    assert_eq!(lines.next().await.as_deref(), Some("ping"));
    drop(child.stdin);
    let (one, other) = within(async { join!(child.handle.exited(), child.handle.exited()) }).await;
    assert_eq!(one.ended, Ended::Code(0));
    assert_eq!(one, other, "all who wait are told the same");
    assert_eq!(within(child.handle.exited()).await, one, "and who asks afterwards");
    assert_eq!(lines.next().await, None);
}

#[tokio::test]
async fn environment_is_scrubbed() {
    assert!(
        env::var_os("CARGO_MANIFEST_DIR").is_some(),
        "cargo sets it, so that there is something to scrub"
    );
    let supervisor = supervisor();
    let mut command = command("env", &[]);
    command.env = vec![("TOKEN".into(), "mine".into()), ("PORTCULLIS_CHILD".into(), "forged".into())];
    let child = spawn(&supervisor, &command).await;
    let mut lines = Lines::of(child.stdout);
    let mut names = Vec::new();
    while let Some(line) = lines.next().await {
        let (name, value) = line.split_once('=').expect("env prints NAME=VALUE");
        match name {
            "TOKEN" => assert_eq!(value, "mine"),
            "PORTCULLIS_CHILD" => {
                assert!(
                    value.starts_with(&format!("{}-", process::id())) && value.ends_with(".files.0"),
                    "{value}"
                );
            }
            _ => {}
        }
        names.push(name.to_owned());
    }
    assert!(names.iter().any(|name| name == "TOKEN") && names.iter().any(|name| name == "PORTCULLIS_CHILD"));
    let base = ["HOME", "LANG", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER", "TOKEN", "PORTCULLIS_CHILD"];
    names.retain(|name| {
        !base.contains(&name.as_str()) && !name.starts_with("LC_") && !name.starts_with("XDG_")
    });
    assert_eq!(names, [""; 0], "nothing else");
}

#[tokio::test]
async fn child_leads_a_group_and_holds_nothing_of_others() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let supervisor = supervisor();
    let first = spawn(&supervisor, &command("cat", &[])).await;
    let second = spawn(&supervisor, &sh("echo ready; cat")).await;
    let (first_stdin, pid) = (first.stdin.as_raw_fd(), second.handle.pid());
    assert_eq!(Lines::of(second.stdout).next().await.as_deref(), Some("ready"));
    let theirs = processes::files(pid);
    for fd in [listener.as_raw_fd(), first_stdin, first.stdout.as_raw_fd()] {
        assert!(!theirs.contains(&processes::file(process::id(), fd)));
    }
    assert!(
        theirs.contains(&processes::file(process::id(), second.stdin.as_raw_fd())),
        "its own stdin it has"
    );
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let group = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(2));
    assert_eq!(group, Some(pid.to_string().as_str()));
}

#[tokio::test]
async fn works_in_the_directory_it_is_told() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let supervisor = supervisor();
    let mut command = sh("pwd -P");
    command.cwd = Some(dir.path().to_owned());
    let child = spawn(&supervisor, &command).await;
    let real = dir.path().canonicalize().expect("it is there");
    assert_eq!(Lines::of(child.stdout).next().await.as_deref(), real.to_str());
}

#[tokio::test]
async fn exit_tells_the_code_or_the_signal() {
    let supervisor = supervisor();
    supervisor.quote_stderr(true);
    for (script, ended, text) in [
        ("exit 7", Ended::Code(7), "exit code 7; nothing on stderr"),
        ("echo no key >&2; exit 1", Ended::Code(1), "exit code 1; last line on stderr: no key"),
        ("kill -SEGV $$", Ended::Signal(11), "signal 11 (SIGSEGV); nothing on stderr"),
    ] {
        let child = spawn(&supervisor, &sh(script)).await;
        let exit = within(child.handle.exited()).await;
        assert_eq!(exit.ended, ended);
        assert_eq!(exit.to_string(), text);
    }
}

#[tokio::test]
async fn stop_gives_a_child_time_to_end_by_itself() {
    let supervisor = supervisor();
    let child = spawn(&supervisor, &sh("cat; echo saved")).await;
    let mut lines = Lines::of(child.stdout);
    drop(child.stdin);
    within(child.handle.stop(Duration::from_mins(1))).await;
    assert_eq!(child.handle.exited().await.ended, Ended::Code(0));
    assert_eq!(lines.next().await.as_deref(), Some("saved"));
}

#[tokio::test]
async fn stop_asks_by_signal_when_the_end_of_stdin_is_ignored() {
    let supervisor = supervisor();
    let child = spawn(&supervisor, &sh("trap 'exit 7' TERM; sleep 1000 & echo ready; wait")).await;
    assert_eq!(Lines::of(child.stdout).next().await.as_deref(), Some("ready"));
    let stop = child.handle.stop(Duration::from_secs(2));
    within(stop).await;
    assert_eq!(child.handle.exited().await.ended, Ended::Code(7));
}

#[tokio::test]
async fn stop_kills_what_ignores_everything() {
    let supervisor = supervisor();
    let child =
        spawn(&supervisor, &sh("trap '' TERM INT HUP; echo ready; while :; do sleep 1000; done")).await;
    assert_eq!(Lines::of(child.stdout).next().await.as_deref(), Some("ready"));
    within(child.handle.stop(Duration::from_millis(20))).await;
    assert_eq!(child.handle.exited().await.ended, Ended::Signal(9));
    assert!(!processes::runs(child.handle.pid()));
}

#[tokio::test]
async fn stopping_goes_on_when_nobody_waits_and_can_be_hurried() {
    let supervisor = supervisor();
    let child = spawn(&supervisor, &sh("trap '' TERM; echo ready; while :; do sleep 1000; done")).await;
    assert_eq!(Lines::of(child.stdout).next().await.as_deref(), Some("ready"));
    tokio::select! {
        biased;
        () = child.handle.stop(Duration::from_hours(1)) => panic!("it cannot have ended"),
        () = std::future::ready(()) => {}
    }
    within(child.handle.clone().stop(Duration::ZERO)).await;
    assert_eq!(child.handle.exited().await.ended, Ended::Signal(9));
}

#[tokio::test]
async fn dropping_the_last_handle_kills() {
    let supervisor = supervisor();
    let child = spawn(&supervisor, &sh("trap '' TERM; echo ready; while :; do sleep 1000; done")).await;
    let (pid, clone) = (child.handle.pid(), child.handle.clone());
    let mut lines = Lines::of(child.stdout);
    assert_eq!(lines.next().await.as_deref(), Some("ready"));
    drop(child.handle);
    assert!(processes::runs(pid), "one handle is left");
    drop(clone);
    assert_eq!(lines.next().await, None, "everything that could write is gone");
    tokio::task::spawn_blocking(move || processes::until("the child is gone", || !processes::runs(pid)))
        .await
        .expect("it is gone");
}

#[tokio::test]
async fn shutdown_stops_all_and_starts_none() {
    let supervisor = supervisor();
    let one = spawn(&supervisor, &command("cat", &[])).await;
    let other = spawn(&supervisor, &command("sleep", &["1000"])).await;
    let keeper = processes::keeper(&processes::instance(one.handle.pid())).expect("there is a keeper");
    drop(one.stdin);
    within(async { join!(supervisor.shutdown(), supervisor.shutdown()) }).await;
    assert_eq!(one.handle.exited().await.ended, Ended::Code(0));
    assert_eq!(other.handle.exited().await.ended, Ended::Signal(15));
    assert!(!processes::runs(keeper));
    let refused = supervisor.spawn(&command("cat", &[])).await;
    assert!(matches!(refused, Err(SpawnError::ShuttingDown { .. })));
}

#[tokio::test]
async fn a_file_that_is_no_program_says_so() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("serve");
    fs::write(&file, "no first line").expect("a file can be written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("and its mode set");
    let refused = supervisor().spawn(&command(file.to_str().expect("a plain name"), &[])).await;
    let text = refused.expect_err("it is no program").to_string();
    assert!(text.contains("a script needs a first line such as `#!/bin/sh`"), "{text}");
}

#[test]
fn cycles_leave_nothing_behind() {
    let output = process::Command::new(FIXTURE).args(["cycles", "200"]).output().expect("the fixture runs");
    let text = String::from_utf8(output.stdout).expect("it prints text");
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let counts: Vec<(&str, u64, u64)> = text
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| words[at].parse().expect("a count");
            (words[0], number(1), number(2))
        })
        .collect();
    let [files, tasks, children, (_, before, after)] = counts[..] else { panic!("four counts: {text}") };
    assert_eq!([files.1, tasks.1, children.1], [files.2, tasks.2, children.2], "{text}");
    assert_eq!(children.1, 1, "the keeper");
    assert!(after < before + 1_024, "a MiB more is not noise: {text}");
}
