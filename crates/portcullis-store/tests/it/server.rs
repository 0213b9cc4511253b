//! A PostgreSQL server of its own: Debian's, in a folder of its own, on a socket and a port that nobody else uses.
//!
//! It refuses to run as root, so root lends it the account that Debian made for it.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use tempfile::TempDir;

/// How long it may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running server; it ends with the value.
pub(crate) struct Server {
    child: Option<Child>,
    folder: TempDir,
    port: u16,
    authority: CertificateDer<'static>,
}

/// The account that it runs as, when that is not our own.
#[derive(Clone, Copy)]
struct Account {
    user: u32,
    group: u32,
}

impl Server {
    pub(crate) fn start() -> Self {
        let bin = programs();
        let account = account();
        let folder = tempfile::Builder::new().prefix("pg-").tempdir_in("/tmp").unwrap();
        let data = folder.path().join("data");
        hand_over(folder.path(), account);
        let mut initdb = Command::new(bin.join("initdb"));
        initdb.arg("-D").arg(&data).args([
            "-A",
            "trust",
            "-U",
            "portcullis",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
        ]);
        let made = as_account(&mut initdb, account).current_dir(folder.path()).output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let authority = certificates(&data, account);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { child: None, folder, port, authority };
        server.start_again();
        server.psql("postgres", "CREATE DATABASE portcullis").unwrap();
        server
    }

    /// After [`Self::stop`]: with what it had, where it was.
    pub(crate) fn start_again(&mut self) {
        let mut command = Command::new(programs().join("postgres"));
        command.arg("-D").arg(self.folder.path().join("data")).arg("-k").arg(self.folder.path());
        command.args(["-p", &self.port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "ssl=on",
            "ssl_cert_file=server.crt",
            "ssl_key_file=server.key",
            "fsync=off",
        ] {
            command.args(["-c", setting]);
        }
        command.stdout(Stdio::null()).stderr(Stdio::null()).current_dir(self.folder.path());
        self.child = Some(as_account(&mut command, account()).spawn().unwrap());
        let began = Instant::now();
        while let Err(said) = self.psql("postgres", "SELECT 1") {
            assert!(began.elapsed() < PATIENCE, "PostgreSQL does not start: {said}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it in the middle of whatever it does, as a crash would.
    pub(crate) fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // Its "immediate shutdown": all its processes end, and it recovers when it starts again.
        if let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        }
        let _ = child.wait();
    }

    /// Has statements carried out; what they gave, or what was said.
    pub(crate) fn psql(&self, database: &str, statements: &str) -> Result<String, String> {
        let mut psql = Command::new(programs().join("psql"));
        psql.arg("-h").arg(self.folder.path()).args(["-p", &self.port.to_string(), "-U", "portcullis"]);
        psql.args(["-d", database, "-v", "ON_ERROR_STOP=1", "-qAtc", statements]);
        let done = as_account(psql.current_dir(self.folder.path()), account()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if done.status.success() { Ok(text(done.stdout)) } else { Err(text(done.stderr)) }
    }

    /// Over its socket.
    pub(crate) fn url(&self) -> String {
        let socket = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://portcullis@{socket}:{}/portcullis", self.port)
    }

    /// Over its port, with TLS.
    pub(crate) fn url_over_tls(&self, host: &str) -> String {
        format!("postgres://portcullis@{host}:{}/portcullis?sslmode=require&hostaddr=127.0.0.1", self.port)
    }

    /// A client that trusts whoever signed its certificate.
    pub(crate) fn trusting(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).unwrap();
        ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
    }

    pub(crate) fn trusting_nobody() -> ClientConfig {
        ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Where Debian keeps the programs of the newest version that is installed.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> =
        versions.map(|it| it.path().join("bin")).filter(|bin| bin.join("initdb").exists()).collect();
    found.sort();
    if let Some(bin) = found.pop() {
        return bin;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let elsewhere = std::env::split_paths(&path).find(|folder| folder.join("initdb").exists());
    elsewhere.expect("PostgreSQL is not installed; tests/system-packages postgres installs it")
}

fn account() -> Option<Account> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = accounts
        .lines()
        .find(|line| line.starts_with("postgres:"))
        .expect("Debian's package makes an account `postgres`");
    let number = |index| line.split(':').nth(index).and_then(|text| text.parse().ok()).expect("passwd(5)");
    Some(Account { user: number(2), group: number(3) })
}

fn hand_over(path: &Path, account: Option<Account>) {
    if let Some(Account { user, group }) = account {
        std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
    }
}

fn as_account(command: &mut Command, account: Option<Account>) -> &mut Command {
    if let Some(Account { user, group }) = account {
        command.uid(user).gid(group);
    }
    command
}

/// A certificate for `localhost`, where the server looks for it; returns who signed it.
fn certificates(data: &Path, account: Option<Account>) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let signed = authority.self_signed(&key).unwrap();
    let issuer = Issuer::new(authority, key);
    let own = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&own, &issuer).unwrap();
    for (name, text) in [("server.crt", certificate.pem()), ("server.key", own.serialize_pem())] {
        let path = data.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        hand_over(&path, account);
    }
    signed.der().clone()
}
