//! System calls that a child cannot make: those that look into other processes, change the machine, or make a namespace in
//! which the walls would be others; and sockets, where the network is closed. They fail with `EPERM`, as if for lack of a
//! right, which programs know how to take.
//!
//! It is a list of what is refused and not of what is let through: runtimes differ and grow, and the walls for files and
//! ports are Landlock's. `clone3` does not exist for a child (`ENOSYS`), since its flags cannot be seen from here; every C
//! library then takes `clone`, whose can.

use std::{collections::BTreeMap, env};

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp as Is, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
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

/// On x86-64 most calls can be made by a second number, with this bit set, and some by one of their own.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;
#[cfg(target_arch = "x86_64")]
const X32_OWN: &[i64] = &[X32 + 521, X32 + 528, X32 + 539, X32 + 540];

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
    Ok(())
}

fn refused(sandbox: &Sandbox) -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = REFUSED.iter().chain(REFUSED_HERE).map(|&call| (call, Vec::new())).collect();
    #[cfg(target_arch = "x86_64")]
    {
        let second: Vec<_> = rules.keys().map(|call| call | X32).collect();
        rules.extend(second.iter().chain(X32_OWN).map(|&call| (call, Vec::new())));
    }
    let namespaces: Result<_, _> = NAMESPACES
        .iter()
        .map(|flag| {
            let flag = u64::from(flag.unsigned_abs());
            rule(&[(0, Is::MaskedEq(flag), flag)])
        })
        .collect();
    rules.insert(libc::SYS_clone, namespaces?);
    // Writes into somebody else's terminal.
    let terminals: Result<_, _> =
        [libc::TIOCSTI, libc::TIOCLINUX].iter().map(|&request| rule(&[(1, Is::Eq, request)])).collect();
    rules.insert(libc::SYS_ioctl, terminals?);
    rules.insert(libc::SYS_socket, sockets(&sandbox.network)?);
    if sandbox.limits.memory.is_some() {
        // It counts what is private; what is shared would be without a limit.
        let shared = shared(libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        rules.insert(libc::SYS_mmap, vec![rule(&[(3, Is::MaskedEq(shared), shared)])?]);
        for call in [libc::SYS_memfd_create, libc::SYS_memfd_secret, libc::SYS_shmget] {
            rules.insert(call, Vec::new());
        }
    }
    #[cfg(target_arch = "x86_64")]
    for call in [libc::SYS_clone, libc::SYS_socket, libc::SYS_mmap, libc::SYS_memfd_create] {
        if let Some(same) = rules.get(&call).cloned() {
            rules.insert(call | X32, same);
        }
    }
    Ok(rules)
}

fn shared(flags: libc::c_int) -> u64 {
    u64::from(flags.unsigned_abs())
}

/// Which sockets cannot be made.
fn sockets(network: &Network) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let families = |some: &[libc::c_int]| {
        let others: Vec<_> =
            some.iter().map(|family| (0, Is::Ne, u64::from(family.unsigned_abs()))).collect();
        rule(&others)
    };
    let of_type = |family: libc::c_int, kind: libc::c_int| {
        let (family, kind) = (u64::from(family.unsigned_abs()), u64::from(kind.unsigned_abs()));
        rule(&[(0, Is::Eq, family), (1, Is::MaskedEq(SOCKET_TYPE), kind)])
    };
    let mut refused = match network {
        Network::None => vec![families(&[libc::AF_UNIX])?],
        // A program asks the kernel for its addresses over netlink.
        Network::Ports(_) | Network::Any => {
            vec![families(&[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK])?]
        }
    };
    let mut kinds = vec![libc::SOCK_RAW];
    if matches!(network, Network::Ports(ports) if !ports.contains(&53)) {
        kinds.push(libc::SOCK_DGRAM);
    }
    for family in [libc::AF_INET, libc::AF_INET6] {
        for &kind in &kinds {
            refused.push(of_type(family, kind)?);
        }
    }
    Ok(refused)
}

/// Refuses a call whose arguments (by their index) are all so.
fn rule(conditions: &[(u8, Is, u64)]) -> Result<SeccompRule, seccompiler::BackendError> {
    let conditions: Result<_, _> = conditions
        .iter()
        .map(|(index, is, value)| SeccompCondition::new(*index, Dword, is.clone(), *value))
        .collect();
    SeccompRule::new(conditions?)
}
