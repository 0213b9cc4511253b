//! The calls of a hostile server: each is refused in its sandbox and for no other reason. The filter is there where the rules
//! for files are not, so these run on every machine that can filter calls.

use std::process::Command as Process;

use nix::libc::{self, c_int, c_long};
use portcullis_hub::{Command, Limits, Network, Sandbox, Supervisor};

use crate::{Lines, command, spawn, supervisor};

/// Makes the calls that its argument has, and says what the system answered to each: 0 or the number of an error.
const CALLER: &str = "import ctypes, json, sys
system = ctypes.CDLL(None, use_errno=True)
def answer(call):
    ctypes.set_errno(0)
    return ctypes.get_errno() if system.syscall(*map(ctypes.c_long, call)) == -1 else 0
print(json.dumps([answer(call) for call in json.loads(sys.argv[1])]))";

/// A call and its arguments.
type Call = Vec<c_long>;

/// A sandbox as far as this machine has one.
fn filtered(network: Network) -> Sandbox {
    Sandbox { network, best_effort: true, ..Sandbox::default() }
}

/// The interpreter itself: what stands in for it on some machines looks for it first, where the sandbox does not let it.
fn python() -> String {
    let asked =
        Process::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().expect("it runs");
    String::from_utf8(asked.stdout).expect("text").trim().to_owned()
}

async fn answers(supervisor: &Supervisor, sandbox: Option<Sandbox>, calls: &[Call]) -> Vec<c_int> {
    let calls = serde_json::to_string(calls).expect("numbers");
    let asked = command(&python(), &["-c", CALLER, &calls]);
    let child = spawn(supervisor, &Command { sandbox: sandbox.map(Box::new), ..asked }).await;
    let said = Lines::of(child.stdout).next().await.expect("it answers");
    serde_json::from_str(&said).expect("numbers")
}

fn call(number: c_long, arguments: &[c_int]) -> Call {
    [number].into_iter().chain(arguments.iter().map(|&it| c_long::from(it))).collect()
}

/// Each of `refused` is refused in `sandbox` and not without; each of `let_through` is no business of the filter.
async fn held(sandbox: Sandbox, refused: &[Call], let_through: &[Call]) {
    let supervisor = supervisor();
    if !supervisor.host().await.expect("it can be found out").calls {
        return;
    }
    let free = answers(&supervisor, None, refused).await;
    let inside = answers(&supervisor, Some(sandbox.clone()), refused).await;
    for (index, call) in refused.iter().enumerate() {
        assert_ne!(free[index], libc::EPERM, "{call:?} is refused anyhow");
        assert_eq!(inside[index], libc::EPERM, "{call:?}");
    }
    let inside = answers(&supervisor, Some(sandbox), let_through).await;
    for (index, call) in let_through.iter().enumerate() {
        assert_ne!(inside[index], libc::EPERM, "{call:?}");
    }
}

#[tokio::test]
async fn nobody_elses_processes_are_ruled_over() {
    let supervisor = supervisor();
    let bystander = spawn(&supervisor, &command("cat", &[])).await;
    let pid: c_int = bystander.handle.pid().try_into().expect("a process id");
    let of = |pid: c_int| {
        [
            call(libc::SYS_prlimit64, &[pid, 7, 0, 0]),
            call(libc::SYS_sched_setaffinity, &[pid, 0, 0]),
            call(libc::SYS_sched_setscheduler, &[pid, 0, 0]),
            call(libc::SYS_sched_setparam, &[pid, 0]),
            call(libc::SYS_sched_setattr, &[pid, 0, 0]),
            call(libc::SYS_migrate_pages, &[pid, 0, 0, 0]),
            call(libc::SYS_move_pages, &[pid, 0, 0, 0, 0, 0]),
            call(libc::SYS_setpriority, &[0, pid, 0]),
            call(libc::SYS_ioprio_set, &[1, pid, 0]),
        ]
    };
    held(filtered(Network::Any), &of(pid), &of(0)).await;
}

#[tokio::test]
async fn nothing_is_shared_by_a_name_that_is_no_file() {
    let refused = [
        call(libc::SYS_shmget, &[0, 0, 0]),
        call(libc::SYS_shmat, &[-1, 0, 0]),
        call(libc::SYS_semget, &[0, 0, 0]),
        call(libc::SYS_semop, &[-1, 0, 0]),
        call(libc::SYS_msgget, &[-1, 0]),
        call(libc::SYS_msgsnd, &[-1, 0, 0, 0]),
        call(libc::SYS_mq_open, &[0, 0, 0, 0]),
    ];
    held(filtered(Network::Any), &refused, &[call(libc::SYS_getpid, &[])]).await;
}

#[tokio::test]
async fn without_a_network_there_is_no_socket() {
    let refused = [
        call(libc::SYS_socket, &[libc::AF_UNIX, libc::SOCK_STREAM, 0]),
        call(libc::SYS_socket, &[libc::AF_INET, libc::SOCK_STREAM, 0]),
        call(libc::SYS_socket, &[libc::AF_INET6, libc::SOCK_DGRAM, 0]),
        call(libc::SYS_socket, &[libc::AF_NETLINK, libc::SOCK_DGRAM, 0]),
        // They can be turned to anybody's.
        call(libc::SYS_socketpair, &[libc::AF_UNIX, libc::SOCK_DGRAM, 0, 0]),
        call(libc::SYS_socketpair, &[libc::AF_UNIX, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0, 0]),
    ];
    let pair = call(libc::SYS_socketpair, &[libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0, 0]);
    held(filtered(Network::None), &refused, &[pair]).await;
}

#[tokio::test]
async fn a_network_of_ports_is_tcp_by_connect_alone() {
    let socket = |family, kind, protocol| call(libc::SYS_socket, &[family, kind, protocol]);
    let refused = [
        socket(libc::AF_UNIX, libc::SOCK_STREAM, 0),
        socket(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_MPTCP),
        socket(libc::AF_INET6, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, libc::IPPROTO_SCTP),
        socket(libc::AF_INET, libc::SOCK_SEQPACKET, libc::IPPROTO_SCTP),
        socket(libc::AF_INET, libc::SOCK_RDM, 0),
        socket(libc::AF_INET, 6, libc::IPPROTO_DCCP),
        socket(libc::AF_INET, libc::SOCK_DGRAM, 0),
        call(libc::SYS_sendto, &[-1, 0, 0, libc::MSG_FASTOPEN, 0, 0]),
        call(libc::SYS_sendmsg, &[-1, 0, libc::MSG_FASTOPEN | libc::MSG_NOSIGNAL]),
        call(libc::SYS_sendmmsg, &[-1, 0, 0, libc::MSG_FASTOPEN]),
    ];
    let let_through = [
        socket(libc::AF_INET, libc::SOCK_STREAM, 0),
        socket(libc::AF_INET6, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, libc::IPPROTO_TCP),
        socket(libc::AF_NETLINK, libc::SOCK_RAW, 0),
        call(libc::SYS_sendto, &[-1, 0, 0, libc::MSG_NOSIGNAL, 0, 0]),
    ];
    held(filtered(Network::Ports(vec![443])), &refused, &let_through).await;
    let names = [socket(libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_UDP)];
    held(filtered(Network::Ports(vec![443, 53])), &refused[..6], &names).await;
}

#[tokio::test]
async fn what_is_counted_is_all_the_memory_that_there_is() {
    let limits = Limits { memory: Some(1 << 30), ..Limits::default() };
    let refused = [
        call(libc::SYS_memfd_create, &[0, 0]),
        call(libc::SYS_mmap, &[0, 0, 0, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1, 0]),
    ];
    let let_through = [call(libc::SYS_mmap, &[0, 0, 0, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0])];
    held(Sandbox { limits, ..filtered(Network::Any) }, &refused, &let_through).await;
}

/// On x86-64 each call has a second number; no other machine has numbers so high.
#[tokio::test]
async fn no_call_has_a_second_number() {
    let supervisor = supervisor();
    if !supervisor.host().await.expect("it can be found out").calls {
        return;
    }
    let second =
        [call(0x4000_0000 | libc::SYS_getpid, &[]), call(0x4000_0000 | libc::SYS_socket, &[2, 1, 0])];
    let inside = answers(&supervisor, Some(filtered(Network::None)), &second).await;
    assert_eq!(inside, [libc::ENOSYS; 2]);
}
