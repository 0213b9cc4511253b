//! Servers of packages: locked when they are scanned, installed by that lock, and started without their registry.

mod ground;

use serde_json::{Value, json};

use crate::harness::client::text_of;
use crate::harness::{Gateway, Modern, until};
use crate::registry::lacking;
use ground::{Ground, deep_of_npm, deep_of_pypi, installed};

const KINDS: [(&str, &str); 2] = [("npm", "npm:@acme/files@1.4.0"), ("pypi", "pypi:acme-files@1.4.0")];

/// What is added with each server where this machine has no sandboxes.
fn walls() -> &'static [&'static str] {
    if lacking().is_some() { &["--no-sandbox"] } else { &[] }
}

fn add(ground: &Ground, gateway: &Gateway, what: &str, more: &[&str]) {
    let args = [&["add", what, "--name", "files", "--yes"], walls(), more].concat();
    ground.done(gateway.folder(), &args);
}

fn inspected(ground: &Ground, gateway: &Gateway) -> Value {
    serde_json::from_str(&ground.done(gateway.folder(), &["inspect", "files", "--json"])).unwrap()
}

/// What the server says, once it is there.
async fn answer(gateway: &Gateway) -> String {
    until("the server's tool", async || {
        let list = Modern::new().result(gateway, "tools/list", json!({})).await;
        list["tools"][0]["name"] == "files__say"
    })
    .await;
    text_of(&Modern::new().call(gateway, "files__say", json!({})).await).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packages_are_installed_once_as_they_were_locked_and_started_without_their_registry() {
    for (kind, what) in KINDS {
        let canary = tempfile::tempdir().unwrap();
        let mut ground = Ground::that_runs(&format!("touch {}/sung", canary.path().display()));
        let gateway = ground.start(&ground.config(&json!({})));
        let ecosystem = if kind == "npm" { "npm" } else { "PyPI" };
        let advisory = json!({
            "id": "GHSA-deep", "summary": "Reads too deep.",
            "affected": [{"package": {"ecosystem": ecosystem, "name": "acme-deep"}, "versions": ["1.0.0"]}],
        });
        std::fs::write(gateway.folder().join("osv/one.json"), advisory.to_string()).unwrap();
        add(&ground, &gateway, what, &["--arg", "and-this"]);
        let scanned = ground.done(gateway.folder(), &["scan", "files"]);
        let name = if kind == "npm" { "@acme/files" } else { "acme-files" };
        let affected = format!(
            "package {kind} acme-deep 1.0.0, which came with {name} 1.4.0: GHSA-deep: Reads too deep."
        );
        for told in [affected.as_str(), "locked to 2 packages, each by its digest; the lock is sha256:"] {
            assert!(scanned.contains(told), "{told}: {scanned}");
        }
        let scripted = scanned.matches("they are not run").count();
        assert_eq!(scripted, if kind == "npm" { 2 } else { 0 }, "{scanned}");
        let lock = inspected(&ground, &gateway)["lock"].clone();
        assert_eq!(lock["packages"], 2);
        ground.done(gateway.folder(), &["review", "files"]);
        ground.done(gateway.folder(), &["approve", "files", "--note", "known"]);
        let walled = if walls().is_empty() { "not changed" } else { "changed" };
        assert_eq!(answer(&gateway).await, format!("deep and-this {walled}"));
        let place = gateway.folder().join("packages");
        assert_eq!(installed(&place), [lock["digest"].as_str().unwrap()]);
        // Another gateway, beside the same store: it finds them there, with nobody to ask.
        let fetched = ground.count();
        ground.close();
        let mut config = ground.config(&json!({}));
        config["store"]["path"] = json!(gateway.folder().join("portcullis.db"));
        let other = ground.start(&config);
        assert_eq!(answer(&other).await, format!("deep and-this {walled}"));
        assert_eq!((installed(&place).len(), ground.count()), (1, fetched), "{kind}");
        // Where there are no walls, its own Python runs it.
        if kind == "npm" || walls().is_empty() {
            assert_eq!(installed(canary.path()), [""; 0], "{kind}: nothing that was published ran outside");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_bytes_under_the_same_version_are_refused_where_they_are_not_installed() {
    for (kind, what) in KINDS {
        let mut ground = Ground::new();
        let gateway = ground.start(&ground.config(&json!({})));
        add(&ground, &gateway, what, &[]);
        ground.done(gateway.folder(), &["scan", "files"]);
        ground.shelf[kind][1] = match kind {
            "npm" => deep_of_npm("1.0.0", "evil"),
            _ => deep_of_pypi("1.0.0", "evil"),
        };
        ground.publish();
        let again = ground.done(gateway.folder(), &["scan", "files"]);
        assert!(again.contains("acme-deep 1.0.0 HAS OTHER BYTES than it had under this version"), "{again}");
        ground.done(gateway.folder(), &["review", "files"]);
        ground.done(gateway.folder(), &["approve", "files", "--note", "what was locked is good"]);
        assert!(answer(&gateway).await.starts_with("deep "), "{kind}");
        // On another machine, it has to be fetched.
        let mut config = ground.config(&json!({"folder": "elsewhere"}));
        config["store"]["path"] = json!(gateway.folder().join("portcullis.db"));
        let other = ground.start(&config);
        until("the server that was approved", async || other.ready().await["servers"]["files"].is_object())
            .await;
        let list = Modern::new().result(&other, "tools/list", json!({})).await;
        assert_eq!(list["tools"], json!([]));
        let told = other.logged("acme-deep 1.0.0 is not the file that was locked").await;
        assert!(told.contains("Find out from its publisher why"), "{told}");
        until("the end of what was begun", async || installed(&other.folder().join("elsewhere")).is_empty())
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_optional_and_cannot_be_had_as_it_was_locked_is_not_left_out() {
    let mut ground = Ground::new();
    let may = |text: &str| {
        let mut may = deep_of_npm("1.0.0", text);
        may["manifest"]["name"] = json!("acme-may");
        may
    };
    // What is for other machines is locked, and not missed here.
    let mut other = may("other");
    other["manifest"]["name"] = json!("acme-other");
    other["manifest"]["os"] = json!(["win32"]);
    ground.shelf["npm"][0]["manifest"]["optionalDependencies"] = json!({"acme-may": "1", "acme-other": "1"});
    ground.shelf["npm"].as_array_mut().unwrap().push(other);
    ground.publish();
    let gateway = ground.start(&ground.config(&json!({})));
    add(&ground, &gateway, KINDS[0].1, &[]);
    let away = ground.refused(gateway.folder(), &["scan", "files"]);
    assert!(away.contains("cannot be locked: it asks for acme-may, which npm has left out"), "{away}");
    ground.shelf["npm"].as_array_mut().unwrap().push(may("good"));
    ground.publish();
    let scanned = ground.done(gateway.folder(), &["scan", "files"]);
    assert!(scanned.contains("locked to 4 packages"), "{scanned}");
    ground.done(gateway.folder(), &["review", "files"]);
    ground.done(gateway.folder(), &["approve", "files", "--note", "known"]);
    assert!(answer(&gateway).await.starts_with("deep "));
    let place = installed(&gateway.folder().join("packages")).remove(0);
    let modules = installed(&gateway.folder().join("packages").join(place).join("node_modules"));
    assert_eq!(modules, [".bin", ".package-lock.json", "@acme", "acme-deep", "acme-may"]);
    // On other machines, it has to be fetched.
    for (folder, has, told) in [
        ("one", Some(may("evil")), "acme-may 1.0.0 is not the file that was locked"),
        ("two", None, "the packages of @acme/files 1.4.0 cannot be installed"),
    ] {
        ground.shelf["npm"].as_array_mut().unwrap().pop();
        ground.shelf["npm"].as_array_mut().unwrap().extend(has);
        ground.publish();
        let mut config = ground.config(&json!({"folder": folder}));
        config["store"]["path"] = json!(gateway.folder().join("portcullis.db"));
        let other = ground.start(&config);
        until("the server that was approved", async || other.ready().await["servers"]["files"].is_object())
            .await;
        let list = Modern::new().result(&other, "tools/list", json!({})).await;
        assert_eq!(list["tools"], json!([]));
        other.logged(told).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_is_the_file_that_its_server_json_means_or_is_not_used() {
    for (kind, what) in KINDS {
        let ground = Ground::new();
        let gateway = ground.start(&ground.config(&json!({})));
        let (identifier, version) = what.split_once(':').unwrap().1.rsplit_once('@').unwrap();
        let scanned = |digest: &str, of: &str| {
            let package = json!({
                "registryType": kind, "identifier": identifier, "version": version, "fileSha256": digest,
                "transport": {"type": "stdio"},
            });
            let document = json!({
                "name": "com.example/files", "description": "Files.", "version": of, "packages": [package],
            });
            std::fs::write(gateway.folder().join("server.json"), document.to_string()).unwrap();
            add(&ground, &gateway, "server.json", &[]);
            ground.run(gateway.folder(), &["scan", &format!("files@{of}")], None)
        };
        let refused = crate::oversight::said(&scanned(&"0a".repeat(32), "1.0.0"));
        assert!(refused.contains("is not the one that its server.json means (fileSha256 0a0a"), "{refused}");
        let digest = ground.digest(if kind == "npm" { "@acme/files" } else { "acme_files" });
        let taken = scanned(&digest, "2.0.0");
        assert!(taken.status.success(), "{}", crate::oversight::said(&taken));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_locked_stays_so_and_a_scan_says_what_it_would_be_now() {
    for (kind, what) in KINDS {
        let mut ground = Ground::new();
        let gateway = ground.start(&ground.config(&json!({})));
        add(&ground, &gateway, what, &[]);
        ground.done(gateway.folder(), &["scan", "files"]);
        let lock = inspected(&ground, &gateway)["lock"].clone();
        let newer = match kind {
            "npm" => deep_of_npm("1.1.0", "newer"),
            _ => deep_of_pypi("1.1.0", "newer"),
        };
        ground.shelf[kind].as_array_mut().unwrap().push(newer);
        ground.publish();
        let again = ground.done(gateway.folder(), &["scan", "files"]);
        assert!(
            again.contains("today, acme-deep would be 1.1.0, and is 1.0.0; it is started from"),
            "{again}"
        );
        assert_eq!(inspected(&ground, &gateway)["lock"], lock);
        let args = [&["configure", "files"], walls()].concat();
        ground.done(gateway.folder(), &args);
        assert_eq!(inspected(&ground, &gateway)["lock"], Value::Null, "it begins anew");
        ground.done(gateway.folder(), &["scan", "files"]);
        assert_ne!(inspected(&ground, &gateway)["lock"]["digest"], lock["digest"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_locked_says_why_and_is_started_unlocked_where_somebody_says_so() {
    let mut ground = Ground::new();
    let gateway = ground.start(&ground.config(&json!({})));
    let folder = gateway.folder();
    // Where there is no sandbox, `npx` has its home, and there its registry.
    std::fs::write(ground.home().join(".npmrc"), format!("registry={}\n", ground.url("npm"))).unwrap();
    ground.done(folder, &["add", KINDS[0].1, "--name", "files", "--no-sandbox", "--yes"]);
    let bare = tempfile::tempdir().unwrap();
    let missing = ground.run(folder, &["scan", "files"], bare.path().to_str());
    assert_eq!(missing.status.code(), Some(1));
    let missing = crate::oversight::said(&missing);
    assert!(missing.contains("there is no program `npm`; install it, it comes with Node.js"), "{missing}");
    let unlocked = ground.done(folder, &["scan", "files", "--unlocked"]);
    for told in ["packages: they are not locked, and may be others at each start", "NOT LOCKED"] {
        assert!(unlocked.contains(told), "{told}: {unlocked}");
    }
    ground.done(folder, &["review", "files"]);
    ground.done(folder, &["approve", "files", "--note", "as before"]);
    assert!(answer(&gateway).await.starts_with("deep "), "by its own command line");
    let in_use = ground.done(folder, &["scan", "files"]);
    assert!(in_use.contains("it was approved like that; another version is locked"), "{in_use}");
    assert_eq!(installed(&folder.join("packages")), [""; 0]);
    let steered = [
        "add",
        KINDS[0].1,
        "--name",
        "steered",
        "--set",
        "npm_config_loglevel=error",
        "--no-sandbox",
        "--yes",
    ];
    ground.done(folder, &steered);
    let steered = ground.done(folder, &["scan", "steered"]);
    assert!(steered.contains("npm_config_loglevel says where packages come from"), "{steered}");
    ground.close();
    for (kind, what) in KINDS {
        ground.done(folder, &["add", what, "--name", kind, "--yes"]);
        let away = ground.refused(folder, &["scan", kind]);
        let from = format!("it was to come from {}", ground.url(kind));
        for told in ["cannot be found out", from.as_str(), "--unlocked"] {
            assert!(away.contains(told), "{told}: {away}");
        }
    }
}
