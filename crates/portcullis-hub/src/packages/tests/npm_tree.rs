//! What of a lock of npm is for a machine: all of that is installed, and nothing else.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use serde_json::{Value, json};

use super::{ARGS, integrity, npm_of};
use crate::packages::npm::tree::{Machine, Tree};
use crate::packages::npm::{is_as_locked, link_program, written};
use crate::packages::{Failed, Lock};

const LINUX: Machine = Machine { os: "linux", cpu: "x64", libc: Some("glibc") };
const MUSL: Machine = Machine { os: "linux", cpu: "x64", libc: Some("musl") };
const MAC: Machine = Machine { os: "darwin", cpu: "arm64", libc: None };

/// A lock of `@acme/files`, which is `own`, with others by their names.
fn lock(own: &Value, others: &Value) -> Result<Lock, Failed> {
    let mut packages = json!({ "node_modules/@acme/files": own });
    packages["node_modules/@acme/files"]["version"] = json!("1.4.0");
    packages["node_modules/@acme/files"]["bin"] = json!({ "files": "run.js" });
    for (name, other) in others.as_object().expect("they have names") {
        packages[format!("node_modules/{name}")] = other.clone();
        packages[format!("node_modules/{name}")]["version"] = json!("1.0.0");
    }
    for (_, entry) in packages.as_object_mut().expect("packages") {
        entry["integrity"] = integrity('A').into();
    }
    npm_of(&packages, ARGS)
}

/// What of it is for a machine.
fn of(lock: &Lock, machine: &Machine) -> Vec<String> {
    let wanted = Tree::of(&lock.roots, &lock.files).wanted(machine);
    wanted.keys().map(|place| place.trim_start_matches("node_modules/").to_owned()).collect()
}

#[test]
fn what_is_asked_for_and_left_out_by_npm_is_not_locked() {
    let deep = json!({ "deep": "^1" });
    for key in ["dependencies", "optionalDependencies", "peerDependencies"] {
        let own = json!({ key: deep });
        let refused = lock(&own, &json!({})).expect_err(key).what;
        let told = "`node_modules/@acme/files` cannot be locked: it asks for deep";
        assert!(refused.contains(told), "{key}: {refused}");
        lock(&own, &json!({ "deep": {} })).expect(key);
        lock(&own, &json!({ "@acme/files/node_modules/deep": {} })).expect(key);
        // It is another one's.
        let below = json!({ "wide": {}, "wide/node_modules/deep": {} });
        lock(&own, &below).expect_err(key);
    }
    let may_lack =
        json!({ "peerDependencies": deep, "peerDependenciesMeta": { "deep": { "optional": true } } });
    lock(&may_lack, &json!({})).expect("it may be absent");
    // What is for other machines is in a lock as well, and complete.
    let own = json!({ "optionalDependencies": { "wide": "1" } });
    lock(&own, &json!({ "wide": { "os": ["win32"], "dependencies": deep } })).expect_err("deep is not there");
    let refused =
        npm_of(&json!({ "node_modules/deep": { "version": "1.0.0", "integrity": integrity('A') } }), ARGS);
    refused.expect_err("what was asked for is not there");
}

#[test]
fn a_machine_goes_without_what_publishers_say_is_for_others_and_nothing_else() {
    let own = json!({
        "dependencies": { "deep": "1" },
        "optionalDependencies": { "any": "1", "glibc": "1", "musl": "1", "mac": "1", "not-mac": "1", "wasm": "1", "above": "1" },
        "peerDependencies": { "peer": "1", "there": "1", "absent": "1" },
        "peerDependenciesMeta": { "there": { "optional": true }, "absent": { "optional": true } },
    });
    let lock = lock(
        &own,
        &json!({
            "deep": { "dependencies": { "there": "1" } },
            "any": { "optional": true, "os": "any" },
            "glibc": { "optional": true, "os": ["linux"], "cpu": ["x64"], "libc": ["glibc"], "dependencies": { "shared": "1" } },
            "musl": { "optional": true, "os": ["linux"], "cpu": ["x64"], "libc": ["musl"], "dependencies": { "shared": "1" } },
            "mac": { "optional": true, "os": ["darwin"], "cpu": ["arm64"] },
            "not-mac": { "optional": true, "os": ["!darwin"] },
            "wasm": { "optional": true, "cpu": ["wasm32"], "dependencies": { "runtime": "1", "deep": "1" } },
            // It is nothing without what is for others.
            "above": { "optional": true, "dependencies": { "mac": "1", "deep": "1" } },
            "runtime": { "optional": true }, "shared": { "optional": true }, "peer": {}, "there": {},
        }),
    )
    .expect("a lock");
    assert_eq!(
        of(&lock, &LINUX),
        ["@acme/files", "any", "deep", "glibc", "not-mac", "peer", "shared", "there"]
    );
    assert_eq!(
        of(&lock, &MUSL),
        ["@acme/files", "any", "deep", "musl", "not-mac", "peer", "shared", "there"]
    );
    assert_eq!(of(&lock, &MAC), ["@acme/files", "above", "any", "deep", "mac", "peer", "there"]);
    let written = written(&lock, &Tree::of(&lock.roots, &lock.files).wanted(&MAC));
    assert!(!written.to_string().contains("optionalDependencies") && !written.to_string().contains("musl"));
    let needs = &written["packages"]["node_modules/@acme/files"]["dependencies"];
    assert_eq!(*needs, json!({ "above": "1", "any": "1", "deep": "1", "mac": "1" }));
    assert_eq!(written["packages"]["node_modules/mac"]["optional"], Value::Null);
    // Where there is no way around it, npm says that it is for others.
    let own = json!({ "dependencies": { "mac": "1" } });
    let lock = self::lock(&own, &json!({ "mac": { "os": ["darwin"] } })).expect("a lock");
    assert_eq!(of(&lock, &LINUX), ["@acme/files", "mac"]);
}

#[test]
fn the_program_is_that_of_the_package_that_was_asked_for() {
    let own = json!({ "dependencies": { "aa": "1" } });
    let lock = lock(&own, &json!({ "aa": { "bin": { "files": "x.js" } } })).expect("a lock");
    let folder = tempfile::tempdir().expect("a folder");
    let at = |path: &str| folder.path().join("node_modules").join(path);
    for (path, text) in [("@acme/files/run.js", "own"), ("aa/x.js", "another's")] {
        fs::create_dir_all(at(path).parent().expect("a folder")).expect("made");
        fs::write(at(path), text).expect("written");
    }
    // As npm does it: `aa` comes first.
    fs::create_dir(at(".bin")).expect("made");
    symlink("../aa/x.js", at(".bin/files")).expect("a link");
    link_program(folder.path(), &lock).expect("linked");
    assert_eq!(fs::read_to_string(at(".bin/files")).expect("read"), "own");
    let mode = fs::metadata(at("@acme/files/run.js")).expect("there").permissions().mode();
    assert_eq!(mode & 0o111, 0o111, "it can be started");
    fs::remove_file(at("@acme/files/run.js")).expect("removed");
    symlink("/bin/sh", at("@acme/files/run.js")).expect("a link");
    link_program(folder.path(), &lock).expect_err("it leads elsewhere");
}

#[test]
fn what_npm_has_installed_is_what_was_locked_or_nothing_is_started() {
    let deep = json!({ "version": "1.0.0", "integrity": integrity('B') });
    let bundled = json!({ "version": "2.0.0", "integrity": integrity('C'), "inBundle": true });
    let mut own = json!({ "version": "1.4.0", "integrity": integrity('A'), "bin": { "files": "run.js" } });
    own["dependencies"] = json!({ "deep": "1", "wide": "2" });
    own["optionalDependencies"] = json!({ "may": "1" });
    let may = json!({ "version": "1.0.0", "integrity": integrity('D'), "optional": true });
    let lock = json!({
        "node_modules/@acme/files": own, "node_modules/deep": deep, "node_modules/wide": bundled, "node_modules/may": may,
    });
    let lock = npm_of(&lock, ARGS).expect("a lock");
    let good = json!({
        "node_modules/@acme/files": { "version": "1.4.0", "integrity": integrity('A') }, "node_modules/deep": deep,
        "node_modules/wide": { "version": "2.0.0", "inBundle": true }, "node_modules/may": may,
    });
    let wanted = Tree::of(&lock.roots, &lock.files).wanted(&LINUX);
    let held = |packages: &Value| {
        is_as_locked(json!({ "packages": packages }).to_string().as_bytes(), &lock, &wanted)
    };
    held(&good).expect("it is the same");
    for (place, key, value) in [
        ("node_modules/deep", "version", json!("1.0.1")),
        ("node_modules/deep", "integrity", json!(integrity('C'))),
        ("node_modules/deep", "integrity", json!(format!("{} {}", integrity('B'), integrity('C')))),
        ("node_modules/deep", "integrity", Value::Null),
        ("node_modules/wide", "integrity", json!(integrity('B'))),
    ] {
        let mut other = good.clone();
        other[place][key] = value.clone();
        let told = held(&other).expect_err(key).what;
        assert!(told.contains(place) && told.contains("@acme/files 1.4.0"), "{key} {value}: {told}");
    }
    for place in ["node_modules/deep", "node_modules/wide", "node_modules/may"] {
        let mut less = good.clone();
        less.as_object_mut().expect("packages").remove(place);
        let told = held(&less).expect_err(place).what;
        assert!(told.contains(&format!("left out {place}")), "{told}");
    }
    let mut more = good;
    more["node_modules/deep/node_modules/more"] = deep;
    held(&more).expect_err("one more");
    is_as_locked(b"{}", &lock, &wanted).expect_err("it says nothing");
    is_as_locked(b"", &lock, &wanted).expect_err("nor does this");
}
