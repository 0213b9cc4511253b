//! System calls that a child cannot make: those that look into other processes or rule over them, change the machine, or make
//! a namespace in which the walls would be others; and sockets, where the network is closed. They fail with `EPERM`, as if for
//! lack of a right, which programs know how to take.
//!
//! It is a list of what is refused and not of what is let through: runtimes differ and grow, and the walls for files and
//! ports are Landlock's. `clone3` does not exist for a child (`ENOSYS`), since its flags cannot be seen from here; every C
//! library then takes `clone`, whose can. Nor do calls by the second numbers that x86-64 has for them (x32), which no list
//! would be complete for.
//!
//! A filter sees numbers and not what pointers lead to, and of a `sendmsg` not the address.

use std::{collections::BTreeMap, env};

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp as Is, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter, sock_filter,
};

use super::{Network, Sandbox};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Refused whatever their arguments.
const REFUSED: &[i64] = &[
    // Into other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_perf_event_open,
    // What has a name and no file, so that no rule for files holds for it.
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    // Other trees of files and other namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    // Calls through a back door.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_userfaultfd,
    libc::SYS_bpf,
    libc::SYS_personality,
    // The machine's own.
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
];

#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] =
    &[libc::SYS_kexec_file_load, libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[i64] = &[];

/// Refused when their first argument is the id of a process: 0 is whoever makes the call.
const OF_OTHERS: &[i64] = &[
    libc::SYS_prlimit64,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setaffinity,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
];

/// With whom `setpriority` and `ioprio_set` mean all processes of a user (linux/resource.h, linux/ioprio.h).
const PRIO_USER: u64 = 2;
const IOPRIO_WHO_USER: u64 = 3;

/// No system call has a number from here on but those of x32.
const X32: u32 = 0x4000_0000;

/// Namespaces that `clone` could make.
const NAMESPACES: &[libc::c_int] = &[
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// The bits of a socket's type that say what it is; above them are flags.
const SOCKET_TYPE: u64 = 0xf;

/// Types of sockets that are neither TCP nor UDP. The last is `SOCK_PACKET`, which is too old for a name.
const OTHER_TYPES: &[libc::c_int] =
    &[libc::SOCK_RAW, libc::SOCK_RDM, libc::SOCK_SEQPACKET, libc::SOCK_DCCP, 10];

/// From here on this process, and all that it becomes and starts, cannot make the calls.
pub(super) fn restrict(sandbox: &Sandbox) -> Result<(), String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let absent = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let filters = [(absent, libc::ENOSYS), (refused(sandbox).map_err(|error| said(&error))?, libc::EPERM)];
    for (rules, error) in filters {
        let arch = env::consts::ARCH.try_into().map_err(|error: seccompiler::BackendError| said(&error))?;
        let refuse = SeccompAction::Errno(error.unsigned_abs());
        let filter =
            SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).map_err(|error| said(&error))?;
        let program: BpfProgram =
            filter.try_into().map_err(|error: seccompiler::BackendError| said(&error))?;
        apply_filter(&program).map_err(|error| said(&error))?;
    }
    apply_filter(&no_second_numbers()).map_err(|error| said(&error))
}

/// Calls from [`X32`] on do not exist. Written by hand, since rules are for one call each.
fn no_second_numbers() -> [sock_filter; 4] {
    let instruction = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    // The codes are of linux/bpf_common.h, and small.
    let code = |of: u32| u16::try_from(of).expect("a code has 16 bits");
    [
        // The call's number comes first in what the filter sees.
        instruction(code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS), 0, 0, 0),
        instruction(code(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K), 0, 1, X32),
        instruction(code(libc::BPF_RET), 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs()),
        instruction(code(libc::BPF_RET), 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

fn refused(sandbox: &Sandbox) -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = REFUSED.iter().chain(REFUSED_HERE).map(|&call| (call, Vec::new())).collect();
    for &call in OF_OTHERS {
        rules.insert(call, vec![rule(&[(0, Is::Ne, 0)])?]);
    }
    for (call, user) in [(libc::SYS_setpriority, PRIO_USER), (libc::SYS_ioprio_set, IOPRIO_WHO_USER)] {
        rules.insert(call, vec![rule(&[(0, Is::Eq, user)])?, rule(&[(1, Is::Ne, 0)])?]);
    }
    let namespaces: Result<_, _> = NAMESPACES.iter().map(|&flag| rule(&[has(0, flag)])).collect();
    rules.insert(libc::SYS_clone, namespaces?);
    // Writes into somebody else's terminal.
    let terminals: Result<_, _> =
        [libc::TIOCSTI, libc::TIOCLINUX].iter().map(|&request| rule(&[(1, Is::Eq, request)])).collect();
    rules.insert(libc::SYS_ioctl, terminals?);
    rules.insert(libc::SYS_socket, sockets(&sandbox.network)?);
    if sandbox.network != Network::Any {
        // One of datagrams can be turned to anybody's socket, whatever it was made for; with AF_UNIX, RAW is another word for it.
        let turned: Result<_, _> =
            [libc::SOCK_DGRAM, libc::SOCK_RAW].iter().map(|&it| rule(&[is_of_type(it)])).collect();
        rules.insert(libc::SYS_socketpair, turned?);
        // A connection to somewhere that was never asked for by `connect`.
        for (call, flags) in [(libc::SYS_sendto, 3), (libc::SYS_sendmsg, 2), (libc::SYS_sendmmsg, 3)] {
            rules.insert(call, vec![rule(&[has(flags, libc::MSG_FASTOPEN)])?]);
        }
    }
    if sandbox.limits.memory.is_some() {
        // It counts what is private; what is shared would be without a limit.
        rules.insert(libc::SYS_mmap, vec![rule(&[has(3, libc::MAP_SHARED | libc::MAP_ANONYMOUS)])?]);
        for call in [libc::SYS_memfd_create, libc::SYS_memfd_secret] {
            rules.insert(call, Vec::new());
        }
    }
    Ok(rules)
}

/// Which sockets cannot be made. Pairs that are connected to each other are another call's.
fn sockets(network: &Network) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    // A program asks the kernel for its addresses over netlink.
    let mut families = vec![libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    let mut types = OTHER_TYPES.to_vec();
    let mut refused = Vec::new();
    match network {
        Network::None => return Ok(Vec::new()),
        Network::Ports(ports) => {
            if !ports.contains(&53) {
                types.push(libc::SOCK_DGRAM);
            }
            // MPTCP, SCTP and their like, which are not held to the ports.
            let others = [(2, Is::Ne, number(libc::IPPROTO_IP)), (2, Is::Ne, number(libc::IPPROTO_TCP))];
            for family in [libc::AF_INET, libc::AF_INET6] {
                let mut conditions = vec![(0, Is::Eq, number(family)), is_of_type(libc::SOCK_STREAM)];
                conditions.extend(others.iter().cloned());
                refused.push(rule(&conditions)?);
            }
        }
        Network::Any => families.push(libc::AF_UNIX),
    }
    let others: Vec<_> = families.iter().map(|&family| (0, Is::Ne, number(family))).collect();
    refused.push(rule(&others)?);
    for family in [libc::AF_INET, libc::AF_INET6] {
        for &it in &types {
            refused.push(rule(&[(0, Is::Eq, number(family)), is_of_type(it)])?);
        }
    }
    Ok(refused)
}

/// A condition: an argument by its index, how it is compared, and with what.
type Condition = (u8, Is, u64);

fn number(constant: libc::c_int) -> u64 {
    u64::from(constant.unsigned_abs())
}

/// The argument has all of these bits.
fn has(index: u8, flags: libc::c_int) -> Condition {
    (index, Is::MaskedEq(number(flags)), number(flags))
}

/// A socket, or a pair of them, is of this type.
fn is_of_type(it: libc::c_int) -> Condition {
    (1, Is::MaskedEq(SOCKET_TYPE), number(it))
}

/// Refuses a call whose arguments are all so.
fn rule(conditions: &[Condition]) -> Result<SeccompRule, seccompiler::BackendError> {
    let conditions: Result<_, _> = conditions
        .iter()
        .map(|(index, is, value)| SeccompCondition::new(*index, Dword, is.clone(), *value))
        .collect();
    SeccompRule::new(conditions?)
}
