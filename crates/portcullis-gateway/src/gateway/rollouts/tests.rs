//! Versions that take each other's place.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use portcullis_config::{
    Format, LockedPackages, NextVersion, Overrides, Registered, RegistryPackages, Settings, Transport,
};
use portcullis_hub::Supervisor;
use portcullis_hub::packages::{Lock, Root};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Revision;
use portcullis_model::{ErrorKind, Expected, Fault, Keeping, Principal, Put, Record, Records};
use portcullis_telemetry::{Metrics, Tracer};
use serde_json::json;
use tokio::runtime::Handle;

use super::*;
use crate::call::{Caller, Endpoint, Outcome, fixture};
use crate::gateway::Kept;
use crate::pipeline;
use crate::route::Servers;

/// A store that keeps nothing.
struct Nothing;

impl Records for Nothing {
    fn get<'a>(&'a self, _: &'static str, _: &'a str) -> Keeping<'a, Option<Record>> {
        Box::pin(async { Ok(None) })
    }

    fn put<'a>(
        &'a self,
        _: &'static str,
        _: &'a str,
        _: Vec<u8>,
        _: Option<SystemTime>,
        _: Expected,
    ) -> Keeping<'a, Put> {
        Box::pin(async { Ok(Put::Kept(1)) })
    }

    fn take<'a>(&'a self, _: &'static str, _: &'a str) -> Keeping<'a, Option<Record>> {
        Box::pin(async { Ok(None) })
    }

    fn list<'a>(
        &'a self,
        _: &'static str,
        _: &'a str,
        _: &'a str,
        _: usize,
    ) -> Keeping<'a, Vec<(String, Record)>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn sweep(&self) -> Keeping<'_, usize> {
        Box::pin(async { Ok(0) })
    }
}

/// One server `x` in a version, and perhaps another that nearly all have.
fn settings(version: &str, next: Option<&str>) -> Settings {
    let of = |version: &str| {
        let text = format!(r#"{{"servers": {{"x": {{"url": "http://127.0.0.1:9/{version}"}}}}}}"#);
        let loaded = portcullis_config::parse(
            "test.json",
            &text,
            Format::Json,
            &BTreeMap::new(),
            &Overrides::default(),
        );
        loaded.expect("well-formed").settings
    };
    let mut settings = of(version);
    let next = next.map(|version| NextVersion {
        version: version.to_owned(),
        offers: Arc::new([]),
        percent: 99,
        server: of(version).servers.into_values().next().expect("it is there"),
    });
    let registered = Registered { version: version.to_owned(), offers: Arc::new([]), next };
    settings.registered.insert(ServerId::parse("x").expect("a slug"), registered);
    settings
}

fn gateway(settings: Settings) -> Arc<Gateway> {
    let (control, supervisor) = (Handle::current(), Supervisor::new(Path::new("portcullis")));
    let kept = Kept { records: Arc::new(Nothing), evidence: None, witness: None };
    Gateway::new(settings, 1, control, supervisor, Metrics::new(), Tracer::disabled(), kept)
        .expect("a gateway")
}

#[tokio::test]
async fn whoever_has_a_version_has_it_while_it_takes_the_others_place() {
    let gateway = gateway(settings("1", Some("2")));
    let before = gateway.servers.load_full();
    let version = |servers: &Servers, caller: &Caller| {
        let chosen = servers.find("x").expect("it is there").version_of(caller);
        chosen.server.version().expect("it has one").to_string()
    };
    let somebody = fixture::call(Revision::NEWEST, ClientCaps::NONE, "{}").caller;
    let mut callers = (0..1_000).map(|connection| Caller { connection, ..Caller::clone(&somebody) });
    let caller = callers.find(|caller| version(&before, caller) == "2").expect("one of them has it");
    let until = Instant::now() + Duration::from_mins(1);
    let update = before.update(&settings("2", None), &gateway.env, until).expect("an update");
    update.transitions.iter().for_each(|it| it.begin(Vec::new));
    assert_eq!(version(&before, &caller), "2", "whoever still finds the old ones");
    assert_eq!(version(&update.servers, &caller), "2");
    // While both know each other, nothing goes round in circles.
    for servers in [&*before, &update.servers] {
        let catalogue = servers.find("x").expect("it is there");
        catalogue.end_session(&"somebody".into());
        catalogue.invalidate(&Method::ToolsListChanged, None);
        catalogue.forget();
        assert_eq!(catalogue.all_servers().len(), 2);
    }
    update.transitions.into_iter().for_each(Transition::end);
    assert_eq!(version(&update.servers, &caller), "2");
}

#[test]
fn a_store_that_is_away_is_asked_less_and_less() {
    let pauses = [0, 1, 2, 5, 6, 100, u32::MAX].map(|failures| pause(failures).as_secs());
    assert_eq!(pauses, [1, 2, 4, 32, 60, 60, 60]);
}

/// A version whose packages take their time, in a gateway with somebody to look after children; a call may take `most`.
fn slow(folder: &Path, most: &str) -> Arc<Gateway> {
    let program = |name: &str, text: &str| {
        let file = folder.join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{text}\n")).expect("written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("allowed");
        file
    };
    program("uv", "echo once >> ../../count; while ! [ -e ../../done ]; do sleep 0.1; done; exit 1");
    let lock = Lock {
        registry: "pypi".to_owned(),
        from: None,
        program: "acme".to_owned(),
        python: Some("3".to_owned()),
        roots: vec![Root { name: "acme".to_owned(), version: "1.0.0".to_owned() }],
        files: Vec::new(),
    };
    let lock = lock.sealed();
    let uvx = folder.join("uvx");
    let text = json!({"servers": {"x": {"command": uvx, "args": [], "call_timeout": most}}}).to_string();
    let loaded =
        portcullis_config::parse("test.json", &text, Format::Json, &BTreeMap::new(), &Overrides::default());
    let mut next = loaded.expect("well-formed").settings.servers.into_values().next().expect("it is there");
    let Transport::Stdio(stdio) = &mut next.transport else { panic!("it is a child") };
    let packages = RegistryPackages { folder: folder.join("packages"), ..RegistryPackages::default() };
    let (text, digest) = (lock.text().clone(), lock.digest().to_owned());
    stdio.locked = Some(Box::new(LockedPackages { lock: text, digest, packages }));
    let mut settings = settings("1", Some("2"));
    let registered = settings.registered.values_mut().next().expect("it is there");
    registered.next.as_mut().expect("it is rolled out").server = next;
    let supervisor = Supervisor::new(&program("keeper", "exec cat > /dev/null"));
    let kept = Kept { records: Arc::new(Nothing), evidence: None, witness: None };
    Gateway::new(settings, 1, Handle::current(), supervisor, Metrics::new(), Tracer::disabled(), kept)
        .expect("a gateway")
}

#[tokio::test]
async fn a_version_is_not_taken_back_because_its_packages_take_their_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = slow(folder.path(), "100ms");
    let servers = gateway.servers.load_full();
    let catalogue = servers.find("x").expect("it is there");
    let next = catalogue.next_version().expect("it is rolled out");
    let conversation: Arc<str> = Arc::from("catalogue");
    let open = || next.server.connection_with(Era::Modern, &conversation, ClientCaps::NONE);
    for _ in 0..4 {
        let refusal = open().await.err().expect("nothing is there to be started");
        assert!(refusal.message.contains("its packages are being installed"), "{}", refusal.message);
        assert_eq!(refusal.kind.fault(), Fault::Us, "no call of it counts as one that it let down");
        assert!(refusal.retry_after.is_some());
    }
    assert_eq!((next.server.failures(), next.server.state()), (None, ServerState::Idle));
    assert!(catalogue.next_verdict().is_none());
    // What comes of it counts.
    std::fs::write(folder.path().join("done"), "").expect("written");
    while next.server.failures().is_none() {
        let _ = open().await;
    }
    let (why, times) = next.server.failures().expect("it is down");
    assert!(why.contains("acme 1.0.0") || why.contains("Python"), "{why}");
    assert_eq!(times, 1);
    // Once, however often it is told: nobody has tried it again.
    for _ in 0..5 {
        let refusal = open().await.err().expect("nothing is there to be started");
        assert!(refusal.message.contains(&why), "{}", refusal.message);
        assert!(refusal.retry_after > Some(Duration::from_secs(30)), "{refusal:?}");
    }
    assert_eq!(next.server.failures(), Some((why, 1)));
    assert!(catalogue.next_verdict().is_none());
    let count = std::fs::read_to_string(folder.path().join("count")).expect("counted");
    assert_eq!(count.lines().count(), 1);
}

#[tokio::test]
async fn whoever_calls_while_packages_are_installed_is_told_so_and_nothing_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = slow(folder.path(), "2s");
    let somebody = |number: u64| {
        let mut call = fixture::call(Revision::NEWEST, ClientCaps::NONE, r#"{"name":"t"}"#);
        let servers = gateway.servers.load_full();
        let catalogue = servers.find("x").expect("it is there");
        let principal = Principal::Certificate { fingerprint: number.to_string().into() };
        let caller = Caller { principal, ..Caller::clone(&call.caller) };
        let mut callers = (0..1_000).map(|connection| Caller { connection, ..Caller::clone(&caller) });
        let is_led = |caller: &Caller| &**catalogue.version_of(caller).server.version().expect("one") == "2";
        let caller = callers.find(is_led).expect("nearly all have it");
        (call.caller, call.endpoint) =
            (caller.into(), Endpoint::Server(ServerId::parse("x").expect("a slug")));
        Arc::new(call)
    };
    // More than one by one would get a turn while they wait, of three callers.
    let calls = (0..45).map(|number| pipeline::run(&gateway, somebody(number % 3)));
    for exchange in futures_util::future::join_all(calls).await {
        let Some(Outcome::Refused(refusal)) = exchange.ready() else {
            panic!("nothing is there to be called")
        };
        assert_eq!(refusal.kind, ErrorKind::Overloaded, "{}", refusal.message);
        assert!(refusal.message.contains("its packages are being installed"), "{}", refusal.message);
    }
    let servers = gateway.servers.load_full();
    let catalogue = servers.find("x").expect("it is there");
    let next = catalogue.next_version().expect("it is rolled out");
    assert_eq!(next.server.tally().lately_counted().failed, 0);
    assert_eq!(next.server.failures(), None);
    std::fs::write(folder.path().join("done"), "").expect("written");
}
