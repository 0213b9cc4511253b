//! The process that takes a sandbox upon itself and then becomes the server's program.
//!
//! It is our own executable with the hidden verb `__sandbox ERRAND PROGRAM ARGS…`, started in the place of the program with
//! the environment, working directory and pipes that are meant for it. `__sandbox probe` tells what this machine has.
//! The order matters: user and namespace while there are rights to change them, then nothing that could give any back, the
//! files while they can still be opened, and the filter for calls last, since all the others make some.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fmt::Display,
    fs, io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, ExitCode},
};

use nix::sched::{CloneFlags, unshare};
use rustix::process::{Resource, Rlimit, getegid, geteuid, getrlimit, setrlimit};
use rustix::thread::{
    CapabilitiesSecureBits, clear_ambient_capability_set, set_capabilities_secure_bits, set_no_new_privs,
    set_thread_gid, set_thread_groups, set_thread_uid,
};
use serde::{Deserialize, Serialize};

use super::{Host, Limits, Network, Places, Sandbox, calls, files};

/// The hidden verb of our executable.
pub(in crate::supervisor) const VERB: &str = "__sandbox";

/// The exit code of a child whose sandbox could not be made, as of `env` and `timeout` for what they cannot do.
const FAILED: u8 = 125;

/// How likely the kernel is to end a sandboxed process first when memory is short, from -1000 to 1000.
const FIRST_TO_GO: &str = "500";

/// What the process is told.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::supervisor) struct Errand {
    pub(in crate::supervisor) sandbox: Sandbox,
    /// Where the child works and what is its own.
    pub(in crate::supervisor) places: Places,
    /// Variables that the dynamic loader heeds. They are for the child alone: what they say would otherwise be done in this
    /// process, before it is walled in.
    pub(in crate::supervisor) loader: BTreeMap<String, String>,
    /// User and group to become.
    pub(in crate::supervisor) user: Option<(u32, u32)>,
    /// What the machine has.
    pub(in crate::supervisor) host: Host,
}

/// The body of the hidden verb `portcullis __sandbox`: it returns only when the program could not be started, with the exit
/// code for that and a line on stderr, which is the child's.
///
/// Call it first thing in `main`, while the process has one thread: what it takes upon itself counts for that.
pub fn sandbox_main() -> ExitCode {
    let mut words = env::args_os().skip(2);
    let first = words.next().unwrap_or_default();
    if first == "probe" {
        // All that it is made of can be written.
        println!("{}", serde_json::to_string(&Host::here()).expect("it is a few booleans"));
        return ExitCode::SUCCESS;
    }
    let errand = first.to_str().and_then(|text| serde_json::from_str(text).ok());
    let (Some(errand), Some(program)) = (errand, words.next()) else {
        eprintln!("{VERB} is run by the gateway itself, for servers with a sandbox; there is no other use");
        return ExitCode::from(2);
    };
    let error = match enter(&errand, Path::new(&program)) {
        Ok(()) => become_program(&program, words, &errand.loader),
        Err(error) => error,
    };
    eprintln!("sandbox: {error}");
    ExitCode::from(FAILED)
}

fn become_program(
    program: &OsString,
    args: impl Iterator<Item = OsString>,
    loader: &BTreeMap<String, String>,
) -> String {
    let error = Command::new(program).args(args).envs(loader).exec();
    format!("cannot start {}: {error}", Path::new(program).display())
}

fn enter(errand: &Errand, program: &Path) -> Result<(), String> {
    let Errand { sandbox, places, user, host, loader: _ } = errand;
    // Where it may not be said, the machine has its own order.
    let _ = fs::write("/proc/self/oom_score_adj", FIRST_TO_GO);
    if let Some(user) = *user {
        change_user(user).map_err(told("cannot change the user"))?;
    }
    if host.namespaces && !host.root {
        own_namespace(&sandbox.network).map_err(told("cannot make a namespace"))?;
    }
    limit(&sandbox.limits).map_err(told("cannot set limits"))?;
    set_no_new_privs(true).and_then(|()| powerless_root()).map_err(told("cannot give up privileges"))?;
    // A folder that this user cannot reach would be no home.
    fs::read_dir(&places.private).map_err(told("cannot open its own folder"))?;
    if host.files {
        files::restrict(sandbox, program, places).map_err(told("cannot set rules for files"))?;
    }
    if host.calls {
        calls::restrict(sandbox).map_err(told("cannot set the filter for calls"))?;
    }
    Ok(())
}

fn told<E: Display>(what: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}

/// Each of these counts for one thread; there is only this one.
fn change_user((user, group): (u32, u32)) -> rustix::io::Result<()> {
    let (user, group) = (rustix::process::Uid::from_raw(user), rustix::process::Gid::from_raw(group));
    set_thread_groups(&[])?;
    set_thread_gid(group)?;
    set_thread_uid(user)
}

/// A namespace in which only our own processes are counted, and, where there is no network, one that has none.
pub(super) fn own_namespace(network: &Network) -> io::Result<()> {
    let (user, group) = (geteuid(), getegid());
    let mut kinds = CloneFlags::CLONE_NEWUSER;
    if *network == Network::None {
        kinds |= CloneFlags::CLONE_NEWNET;
    }
    unshare(kinds)?;
    let (user, group) = (user.as_raw(), group.as_raw());
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1"))
}

/// Root that runs a program is no more than a user whose files are root's. For others there is nothing to give up.
fn powerless_root() -> rustix::io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    clear_ambient_capability_set()?;
    set_capabilities_secure_bits(CapabilitiesSecureBits::NO_ROOT | CapabilitiesSecureBits::NO_ROOT_LOCKED)
}

fn limit(limits: &Limits) -> rustix::io::Result<()> {
    let set = [
        // A core file would be a copy of what it knows.
        (Resource::Core, Some(0)),
        (Resource::Data, limits.memory),
        (Resource::Nproc, limits.processes),
        (Resource::Nofile, limits.open_files),
        (Resource::Fsize, limits.file_size),
    ];
    for (resource, most) in set {
        let Some(most) = most else { continue };
        // Only ever less than what holds already.
        let most = getrlimit(resource).maximum.map_or(most, |held| held.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}
