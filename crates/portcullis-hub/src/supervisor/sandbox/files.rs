//! Files, ports, signals and abstract sockets: the Landlock rules of a child.
//!
//! What every program needs to start at all may be read: libraries, certificates, names of users and hosts, time zones.
//! `/etc` as a whole may not, for it has keys in it, and neither may `/proc`, which shows what others do; of that, a child
//! sees itself and the figures that runtimes ask the machine for.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
};

use super::{Network, Places, Sandbox};

/// The newest rights that we ask for; the kernel's own come first, and `Sandbox::lacks` says what we cannot do without.
const NEWEST: ABI = ABI::V9;

/// May be read and run by everybody, where it is there.
const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ca-certificates.conf",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/pki/ca-trust/extracted",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/openssl.cnf",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
    "/dev/random",
    "/dev/urandom",
    // What is mapped of it for writing would be memory that nobody counts.
    "/dev/zero",
    "/proc/cpuinfo",
    "/proc/filesystems",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/fs/file-max",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/random",
    "/proc/sys/kernel/version",
    "/proc/sys/vm/overcommit_memory",
    "/proc/uptime",
    "/proc/version",
    // Our own, which stays the child's: it becomes of us.
    "/proc/self",
    "/sys/devices/system/cpu",
    "/sys/kernel/mm/transparent_hugepage",
];

/// May be read and written by everybody.
const DEVICES: &[&str] = &["/dev/null", "/dev/full"];

/// Takes every right to files, ports, signals and sockets away that `sandbox` does not give. `program` is what is started,
/// `places` where it works and what is its own.
pub(super) fn restrict(sandbox: &Sandbox, program: &Path, places: &Places) -> Result<(), RulesetError> {
    let every = AccessFs::from_all(NEWEST);
    let (reads, writes) = (AccessFs::from_read(NEWEST), AccessFs::WriteFile | AccessFs::ReadFile);
    let mut rules = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(every)?;
    if sandbox.network != Network::Any {
        rules = rules.handle_access(AccessNet::from_all(NEWEST))?;
    }
    let mut rules = rules.scope(Scope::from_all(NEWEST))?.create()?;
    let read = SYSTEM.iter().map(PathBuf::from).chain(of_program(program)).chain(places.cwd.clone());
    for path in read.chain(sandbox.read.iter().cloned()) {
        rules = allow(rules, &path, reads)?;
    }
    for device in DEVICES {
        rules = allow(rules, Path::new(device), writes)?;
    }
    for path in sandbox.write.iter().map(PathBuf::as_path).chain([&*places.private]) {
        rules = allow(rules, path, every)?;
    }
    if let Network::Ports(ports) = &sandbox.network {
        for &port in ports {
            rules = rules.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
        }
    }
    rules.restrict_self()?;
    Ok(())
}

fn allow<R: RulesetCreatedAttr>(
    rules: R,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<R, RulesetError> {
    // What is not there is nothing that could be read; what comes to be there later was not allowed.
    let Ok(opened) = PathFd::new(path) else { return Ok(rules) };
    let folder = fs::metadata(path).is_ok_and(|found| found.is_dir());
    let access = if folder { access } else { access & AccessFs::from_file(NEWEST) };
    rules.add_rule(PathBeneath::new(opened, access))
}

/// What belongs to a program beside its file, where that is in a `bin`.
const BESIDE: &[&str] = &["bin", "lib", "lib64"];

/// Where the parts of an installed program are: its file, under its name and where links lead; and where that is in the
/// `bin` of an installation, what is installed there. A virtual environment and `node_modules` are that and nothing else; a
/// home has more.
pub(in crate::supervisor) fn of_program(program: &Path) -> Vec<PathBuf> {
    let real = fs::canonicalize(program).ok();
    let mut paths = Vec::new();
    for file in [Some(program), real.as_deref()].into_iter().flatten() {
        paths.push(file.to_owned());
        let Some(folder) = file.parent() else { continue };
        let Some(above) = folder.parent() else { continue };
        match folder.file_name().and_then(OsStr::to_str) {
            Some("bin") if above.join("pyvenv.cfg").is_file() => paths.push(above.to_owned()),
            Some("bin") => paths.extend(BESIDE.iter().map(|name| above.join(name))),
            Some(".bin") if above.file_name() == Some(OsStr::new("node_modules")) => {
                paths.push(above.to_owned());
            }
            _ => {}
        }
    }
    paths
}
