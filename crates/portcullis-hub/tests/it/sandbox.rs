//! A hostile server in a sandbox: each attempt succeeds without one and fails in it, and nobody else is harmed.

use std::{
    env, fs,
    net::{TcpListener, UdpSocket},
    os::{linux::net::SocketAddrExt as _, unix::fs::PermissionsExt as _, unix::net},
    path::{Path, PathBuf},
    time::Duration,
};

use portcullis_hub::{Command, Ended, Lack, Limits, Network, Sandbox, SpawnError, Supervisor};
use tempfile::TempDir;

use crate::{FIXTURE, Lines, command, processes, spawn, supervisor, within};

/// The hostile program, where every user of this machine can run it.
struct Hostile {
    folder: TempDir,
    supervisor: Supervisor,
}

impl Hostile {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        fs::copy(FIXTURE, folder.path().join("hostile")).expect("a copy");
        Self { folder, supervisor: supervisor() }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("written");
        path
    }

    fn command(&self, sandbox: Option<Sandbox>, words: &[&str]) -> Command {
        let program = self.folder.path().join("hostile");
        let mut command = command(program.to_str().expect("text"), &["attempt"]);
        command.args.extend(words.iter().map(|&word| word.to_owned()));
        command.sandbox = sandbox.map(Box::new);
        command
    }

    /// Whether this machine has what a sandbox takes. Where it has not, nothing is started in one.
    async fn is_held(&self) -> bool {
        let host = self.supervisor.host().await.expect("it can be found out");
        let lacking = Sandbox::default().lacks(host);
        if lacking.is_empty() {
            return true;
        }
        let refused = self.supervisor.spawn(&self.command(Some(Sandbox::default()), &["home"])).await;
        assert!(
            matches!(&refused, Err(SpawnError::Sandbox { lacking: said, .. }) if *said == lacking),
            "{refused:?}"
        );
        false
    }

    /// What the attempt says of itself: `done …` or `failed …`; how it ended, if it says nothing.
    async fn attempts(&self, sandbox: Option<Sandbox>, words: &[&str]) -> String {
        let child = spawn(&self.supervisor, &self.command(sandbox, words)).await;
        let said = Lines::of(child.stdout).next().await;
        drop(child.stdin);
        match said {
            Some(said) => said,
            None => within(child.handle.exited()).await.to_string(),
        }
    }

    /// The attempt succeeds without a sandbox and fails in `sandbox`.
    async fn contained(&self, sandbox: Sandbox, words: &[&str]) {
        let free = self.attempts(None, words).await;
        assert!(free.starts_with("done"), "{words:?} is no attempt where it is let: {free}");
        let held = self.attempts(Some(sandbox), words).await;
        assert!(held.starts_with("failed"), "{words:?}: {held}");
    }
}

fn words(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[tokio::test]
async fn a_sandboxed_server_reads_and_writes_what_it_was_given_and_nothing_else() {
    let hostile = Hostile::new();
    if !hostile.is_held().await {
        return;
    }
    let (secret, data) = (hostile.file("secret", "s"), hostile.file("data", "d"));
    let sandbox = Sandbox { read: vec![data.clone()], ..Sandbox::default() };
    for path in [words(&secret), "/etc", "/proc/sys/kernel/hostname", "/proc", "/"] {
        hostile.contained(sandbox.clone(), &["read", path]).await;
    }
    assert_eq!(hostile.attempts(Some(sandbox.clone()), &["read", words(&data)]).await, "done");
    for path in [&secret, &data] {
        hostile.contained(sandbox.clone(), &["write", words(path)]).await;
    }
    let own = hostile.file("own", "");
    let sandbox = Sandbox { write: vec![own.clone()], ..sandbox };
    assert_eq!(hostile.attempts(Some(sandbox), &["write", words(&own)]).await, "done");
    assert_eq!(fs::read_to_string(&own).expect("there"), "written");
}

#[tokio::test]
async fn a_link_leads_out_of_no_sandbox() {
    let hostile = Hostile::new();
    if !hostile.is_held().await {
        return;
    }
    let secret = hostile.file("secret", "s");
    let given = hostile.folder.path().join("given");
    fs::create_dir(&given).expect("made");
    std::os::unix::fs::symlink(&secret, given.join("link")).expect("linked");
    let sandbox = Sandbox { write: vec![given.clone()], ..Sandbox::default() };
    hostile.contained(sandbox, &["read", words(&given.join("link"))]).await;
}

#[tokio::test]
async fn a_folder_of_its_own_is_its_home_until_it_is_gone() {
    let hostile = Hostile::new();
    if !hostile.is_held().await {
        return;
    }
    let said = hostile.attempts(Some(Sandbox::default()), &["home"]).await;
    let home = said.strip_prefix("done ").expect(&said);
    assert_ne!(Some(home), env::var("HOME").ok().as_deref());
    hostile.supervisor.shutdown().await;
    assert!(!Path::new(home).exists(), "{home} is left");
    assert!(!Path::new(home).parent().expect("it has one").exists(), "the folder of all is left");
}

#[tokio::test]
async fn where_the_gateway_works_is_nothing_that_a_sandbox_shows() {
    let hostile = Hostile::new();
    let here = env::current_dir().expect("we are somewhere");
    let sandbox = Sandbox { best_effort: true, ..Sandbox::default() };
    let home = hostile.attempts(Some(sandbox.clone()), &["home"]).await;
    let within = |home: &str| Path::new(home.strip_prefix("done ").expect(home)).parent().map(Path::to_owned);
    let works = hostile.attempts(Some(sandbox.clone()), &["where"]).await;
    assert_eq!(within(&works), within(&home), "it works in a folder of its own");
    // Where it is told to work, it does.
    let told = Command { cwd: Some(here.clone()), ..hostile.command(Some(sandbox), &["where"]) };
    let child = spawn(&hostile.supervisor, &told).await;
    assert_eq!(Lines::of(child.stdout).next().await, Some(format!("done {}", here.display())));
    if hostile.is_held().await {
        hostile.contained(Sandbox::default(), &["read", words(&here)]).await;
    }
}

/// The loader of each program says so when it is told of a file that is not there.
#[tokio::test]
async fn what_the_loader_is_told_is_for_the_server_and_not_for_what_walls_it_in() {
    let hostile = Hostile::new();
    let sandbox = Sandbox { best_effort: true, ..Sandbox::default() };
    let env = vec![("LD_PRELOAD".to_owned(), "/no/such/file.so".to_owned())];
    let told = Command { env, ..hostile.command(Some(sandbox), &["where"]) };
    let child = spawn(&hostile.supervisor, &told).await;
    drop((child.stdin, child.stdout));
    let exit = within(child.handle.exited()).await;
    let said = exit.stderr.iter().filter(|line| line.contains("/no/such/file.so")).count();
    assert_eq!(said, 1, "{:?}", exit.stderr);
}

#[tokio::test]
async fn no_network_is_none_over_whatever_socket() {
    let hostile = Hostile::new();
    if !hostile.is_held().await {
        return;
    }
    let tcp = TcpListener::bind("127.0.0.1:0").expect("bound");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let name = format!("portcullis-test-{}", std::process::id());
    let address = net::SocketAddr::from_abstract_name(&name).expect("a name");
    let _unix = net::UnixListener::bind_addr(&address).expect("bound");
    let tcp = tcp.local_addr().expect("bound").to_string();
    let udp = udp.local_addr().expect("bound").to_string();
    for words in [["connect", &tcp], ["send", &udp], ["abstract", &name]] {
        hostile.contained(Sandbox::default(), &words).await;
    }
}

#[tokio::test]
async fn a_network_of_ports_is_those_ports() {
    let hostile = Hostile::new();
    if !hostile.is_held().await {
        return;
    }
    let (given, other) = (TcpListener::bind("127.0.0.1:0"), TcpListener::bind("127.0.0.1:0"));
    let (given, other) = (given.expect("bound"), other.expect("bound"));
    let udp = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let address = |listener: &TcpListener| listener.local_addr().expect("bound");
    let network = Network::Ports(vec![address(&given).port()]);
    let sandbox = Sandbox { network, ..Sandbox::default() };
    let connect = ["connect", &address(&given).to_string()];
    assert_eq!(hostile.attempts(Some(sandbox.clone()), &connect).await, "done");
    hostile.contained(sandbox.clone(), &["connect", &address(&other).to_string()]).await;
    hostile.contained(sandbox, &["send", &udp.local_addr().expect("bound").to_string()]).await;
}

#[tokio::test]
async fn other_processes_are_neither_read_nor_traced_nor_signalled() {
    let hostile = Hostile::new();
    if !hostile.is_held().await {
        return;
    }
    let bystander = spawn(&hostile.supervisor, &command("cat", &[])).await;
    let pid = bystander.handle.pid().to_string();
    for words in [["environ", &pid], ["trace", &pid], ["signal", &pid]] {
        let held = hostile.attempts(Some(Sandbox::default()), &words).await;
        assert!(held.starts_with("failed"), "{words:?}: {held}");
    }
    drop(bystander.stdin);
    assert_eq!(within(bystander.handle.exited()).await.ended, Ended::Code(0), "it was not harmed");
    // That they are attempts.
    let bystander = spawn(&hostile.supervisor, &command("cat", &[])).await;
    let pid = bystander.handle.pid().to_string();
    for words in [["environ", &pid], ["trace", &pid], ["signal", &pid]] {
        let free = hostile.attempts(None, &words).await;
        assert!(free.starts_with("done"), "{words:?}: {free}");
    }
}

#[tokio::test]
async fn no_other_namespaces_are_to_be_had() {
    let hostile = Hostile::new();
    if !hostile.is_held().await {
        return;
    }
    let held = hostile.attempts(Some(Sandbox::default()), &["namespace"]).await;
    assert!(held.starts_with("failed EPERM"), "{held}");
}

#[tokio::test]
async fn memory_and_files_end_where_they_were_said_to() {
    let hostile = Hostile::new();
    if !hostile.is_held().await {
        return;
    }
    let limits = Limits { memory: Some(64 << 20), open_files: Some(32), ..Limits::default() };
    let sandbox = Sandbox { limits, ..Sandbox::default() };
    hostile.contained(sandbox.clone(), &["memory", "268435456"]).await;
    hostile.contained(sandbox.clone(), &["shared", "268435456"]).await;
    hostile.contained(sandbox.clone(), &["open", "64"]).await;
    assert_eq!(hostile.attempts(Some(sandbox), &["memory", "1048576"]).await, "done");
    let limits = Limits { file_size: Some(1 << 20), ..Limits::default() };
    let written =
        hostile.attempts(Some(Sandbox { limits, ..Sandbox::default() }), &["fill", "4194304"]).await;
    // The kernel says so by a signal, which nobody need heed.
    assert!(written.starts_with("failed") || written.starts_with("signal 25"), "{written}");
}

/// Whoever is not root is counted in a namespace; root needs somebody else to count.
#[tokio::test]
async fn a_fork_bomb_stays_within_its_count_and_harms_nobody() {
    let hostile = Hostile::new();
    let host = hostile.supervisor.host().await.expect("it can be found out").clone();
    let user = host.root.then(|| "nobody".to_owned());
    let limits = Limits { processes: Some(16), ..Limits::default() };
    let sandbox = Sandbox { user, limits, ..Sandbox::default() };
    if sandbox.lacks(&host).contains(&Lack::Processes) {
        let refused = hostile.supervisor.spawn(&hostile.command(Some(sandbox), &["fork", "64"])).await;
        let Err(SpawnError::Sandbox { lacking, .. }) = refused else { panic!("{refused:?}") };
        assert!(lacking.contains(&Lack::Processes));
        return;
    }
    let free = hostile.attempts(None, &["fork", "64"]).await;
    assert_eq!(free, "done 64");
    let held = hostile.attempts(Some(sandbox.clone()), &["fork", "64"]).await;
    let started: u32 = held.strip_prefix("failed ").and_then(|count| count.parse().ok()).expect(&held);
    assert!(started < 16, "{held}");
    // A second of the same: what the first had is given back, and others have their own.
    let again = hostile.attempts(Some(sandbox), &["fork", "4"]).await;
    assert_eq!(again, "done 4");
    assert_eq!(hostile.attempts(None, &["fork", "64"]).await, "done 64");
}

#[tokio::test]
async fn what_a_sandboxed_server_starts_is_in_the_same_sandbox_and_ends_with_it() {
    let hostile = Hostile::new();
    if !hostile.is_held().await {
        return;
    }
    let secret = hostile.file("secret", "s");
    let script = format!(
        "cat {} 2>/dev/null && echo read || echo refused; setsid sleep 600 & echo $!; read _",
        words(&secret)
    );
    let mut shell = command("/bin/sh", &["-c", &script]);
    shell.sandbox = Some(Box::default());
    let child = spawn(&hostile.supervisor, &shell).await;
    let mut lines = Lines::of(child.stdout);
    assert_eq!(lines.next().await.as_deref(), Some("refused"));
    let sleeper: u32 = lines.next().await.and_then(|line| line.parse().ok()).expect("a process id");
    assert!(processes::runs(sleeper));
    drop(child.stdin);
    within(child.handle.stop(Duration::from_secs(5))).await;
    assert!(!processes::runs(sleeper), "it is left");
}

#[tokio::test]
async fn what_cannot_be_made_is_said_and_not_skipped() {
    let hostile = Hostile::new();
    let nobody = Sandbox { user: Some("no-such-user-here".to_owned()), ..Sandbox::default() };
    let error =
        hostile.supervisor.spawn(&hostile.command(Some(nobody), &["home"])).await.expect_err("refused");
    let root = hostile.supervisor.host().await.expect("found out").root;
    let reason = if root { "there is no user `no-such-user-here`" } else { "does not run as root" };
    assert!(error.to_string().contains(reason), "{error}");
}
