//! Locks that are read, and those that are refused.

mod installing;
mod npm_tree;

use serde_json::{Value, json};

use super::{Failed, Lock, Locked, Root, Sealed, npm, pypi};
use crate::registry::{Document, Start};

fn start(command: &str, args: &[&str]) -> Start {
    let document = Document::made("local/files", None, "Files.", "1.0.0").expect("well-formed");
    let launch = json!({ "command": command, "args": args });
    Start::of(&launch, &document).expect("understood").expect("packages")
}

fn roots() -> Vec<Root> {
    vec![Root { name: "@acme/files".to_owned(), version: "1.4.0".to_owned() }]
}

/// A SHA-512 as npm writes it; `sign` tells it from others.
fn integrity(sign: char) -> String {
    format!("sha512-{}A==", sign.to_string().repeat(85))
}

/// What npm makes of a package, with one more entry.
fn npm_with(place: &str, entry: &Value, args: &[&str]) -> Result<Lock, Failed> {
    let mut packages = json!({
        "": { "dependencies": { "@acme/files": "1.4.0" } },
        "node_modules/@acme/files": {
            "version": "1.4.0", "integrity": integrity('A'), "bin": { "files": "run.js" }, "license": "MIT",
        },
    });
    packages[place] = entry.clone();
    npm_of(&packages, args)
}

fn npm_of(packages: &Value, args: &[&str]) -> Result<Lock, Failed> {
    let text = json!({ "lockfileVersion": 3, "packages": packages }).to_string();
    npm::read(text.as_bytes(), &start("npx", args), roots())
}

const ARGS: &[&str] = &["-y", "@acme/files@1.4.0"];

fn refused(place: &str, entry: &Value) -> String {
    npm_with(place, entry, ARGS).expect_err(place).what
}

#[test]
fn what_npm_resolves_to_is_kept_without_addresses_and_without_what_nobody_needs() {
    let deep = json!({
        "version": "1.0.0", "integrity": format!("sha1-abc {}", integrity('B')), "hasInstallScript": true,
        "funding": "https://example.com", "hasShrinkwrap": true,
    });
    let place = "node_modules/@acme/files/node_modules/deep";
    let lock = npm_with(place, &deep, ARGS).expect("a lock");
    assert_eq!(
        (lock.program.as_str(), lock.files.len(), lock.name().as_str()),
        ("files", 2, "@acme/files 1.4.0")
    );
    let sealed = lock.clone().sealed();
    let text = sealed.text();
    for gone in ["http", "sha1", "license", "funding", "hasShrinkwrap"] {
        assert!(!text.contains(gone), "{gone}: {text}");
    }
    assert_eq!(Sealed::parse(text, sealed.digest()).as_ref(), Ok(&sealed));
    Sealed::parse(&text.replace("1.0.0", "1.0.1"), sealed.digest()).expect_err("another text");
    let scripts: Vec<_> = lock.with_scripts().into_iter().map(|file| file.name.as_str()).collect();
    assert_eq!(scripts, ["deep"]);
    // Where it is not in the file of the other, npm fetches it.
    let bundled = json!({ "version": "1.0.0", "inBundle": true, "integrity": integrity('C') });
    let lock = npm_with(place, &bundled, ARGS).expect("a lock");
    assert_eq!(lock.files[1].digests, [integrity('C')]);
    let alias = json!({ "version": "1.0.0", "name": "real", "integrity": integrity('B') });
    assert_eq!(npm_with("node_modules/alias", &alias, ARGS).expect("a lock").files[1].name, "real");
}

#[test]
fn what_is_no_file_of_a_registry_with_a_digest_is_refused() {
    let good = json!({ "version": "1.0.0", "integrity": integrity('B') });
    for resolved in [
        "file:../../etc",
        "git+ssh://git@example.com/deep.git#abc",
        "https://example.com/deep.tgz",
        "http://registry.npmjs.org/deep",
        "https://registry.npmjs.org/deep/-/deep-1.0.0.tgz",
        "https://npm.example.com.evil/deep.tgz",
        "../deep",
    ] {
        let mut entry = good.clone();
        entry["resolved"] = resolved.into();
        assert!(refused("node_modules/deep", &entry).contains("no file of a registry"), "{resolved}");
    }
    for place in [
        "../deep",
        "deep",
        "node_modules/../../deep",
        "node_modules/..",
        "node_modules/.bin",
        "node_modules/a/b",
        "node_modules/deep/",
        "node_modules//etc",
        "node_modules/deep/lib/node_modules/x",
        "/node_modules/deep",
        "node_modules/a\\..\\b",
    ] {
        assert!(refused(place, &good).contains("it is no place of a package"), "{place}");
    }
    for (key, value, why) in [
        ("link", json!(true), "it is a folder"),
        ("name", json!("../deep"), "its name is none"),
        ("name", json!("deep@npm:other"), "its name is none"),
        ("bin", json!({ "deep": "../../../etc/cron.d/x" }), "it has programs outside"),
        ("bin", json!({ "deep": "/etc/cron.d/x" }), "it has programs outside"),
        ("bin", json!({ "../deep": "x.js" }), "it has programs outside"),
        ("bin", json!("x.js"), "it has programs outside"),
        ("version", json!("^1.0.0"), "it has no version"),
        ("version", Value::Null, "it has no version"),
        ("integrity", Value::Null, "no SHA-512"),
        ("integrity", json!("sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk="), "no SHA-512"),
        ("integrity", json!("sha512-AAAA"), "no SHA-512"),
        ("integrity", json!(format!("{} {}", integrity('B'), integrity('C'))), "several SHA-512"),
    ] {
        let mut entry = good.clone();
        entry[key] = value.clone();
        assert!(refused("node_modules/deep", &entry).contains(why), "{key} {value}");
    }
    for place in ["node_modules/deep", "node_modules/@acme/files/node_modules/deep"] {
        let bundled = json!({ "version": "1.0.0", "inBundle": true });
        assert!(refused(place, &bundled).contains("in the file of another package"), "{place}");
    }
    let twice = json!({ "version": "1.0.0", "integrity": format!("{0}\n{0}", integrity('B')) });
    assert_eq!(npm_with("node_modules/deep", &twice, ARGS).expect("a lock").files[1].digests.len(), 1);
    for text in ["", "[]", "{\"lockfileVersion\":1,\"packages\":{}}", "{\"lockfileVersion\":3}"] {
        npm::read(text.as_bytes(), &start("npx", ARGS), roots()).expect_err(text);
    }
}

#[test]
fn a_lock_that_nobody_would_look_at_is_none() {
    let entry = json!({ "version": "1.0.0", "integrity": integrity('B') });
    let mut packages = json!({ "node_modules/@acme/files": { "version": "1.4.0", "integrity": integrity('A'), "bin": { "x": "x" } } });
    for number in 0..5000 {
        packages[format!("node_modules/p{number}")] = entry.clone();
    }
    let text = json!({ "lockfileVersion": 3, "packages": packages }).to_string();
    let failed = npm::read(text.as_bytes(), &start("npx", ARGS), roots()).expect_err("too many");
    assert!(failed.what.contains("5001 packages, which is too much"), "{failed}");
    let long = json!({ "version": "1.0.0", "integrity": integrity('B'), "dependencies": { "x": "1".repeat(1 << 20) } });
    assert!(refused("node_modules/deep", &long).contains("too much"));
}

#[test]
fn the_program_is_the_one_that_npx_would_start_and_no_path() {
    let with = |bin: Value, args: &[&str]| {
        let entry = json!({ "version": "1.4.0", "integrity": integrity('A'), "bin": bin });
        npm_with("node_modules/@acme/files", &entry, args).map(|lock| lock.program)
    };
    let named = &["-y", "--package", "@acme/files@1.4.0", "other"];
    assert_eq!(with(json!({ "one": "a.js" }), ARGS).as_deref(), Ok("one"));
    assert_eq!(with(json!({ "files": "a.js", "other": "b.js" }), ARGS).as_deref(), Ok("files"));
    assert_eq!(with(json!({ "files": "a.js", "other": "b.js" }), named).as_deref(), Ok("other"));
    for (bin, args) in [
        (json!({ "one": "a.js", "two": "b.js" }), ARGS),
        (json!({}), ARGS),
        (Value::Null, ARGS),
        (json!({ "one": "a.js" }), named),
    ] {
        let failed = with(bin.clone(), args).expect_err(&bin.to_string());
        assert!(failed.what.contains("that could be started"), "{bin}: {failed}");
    }
}

#[test]
fn what_uv_resolves_to_is_wheels_by_digest_and_nothing_else() {
    let (one, two) = (format!("sha256:{}", "1".repeat(64)), format!("sha256:{}", "2".repeat(64)));
    let text = format!(
        "# made by uv\nacme-time==1.0.0 \\\n    --hash={two} \\\n    --hash={one}\nsix==1.16.0 --hash={one}\n"
    );
    let files = pypi::read(&text).expect("read");
    let names: Vec<_> = files.iter().map(|it| (it.name.as_str(), it.version.as_str())).collect();
    assert_eq!(names, [("acme-time", "1.0.0"), ("six", "1.16.0")]);
    assert_eq!(files[0].digests, [one.clone(), two]);
    for wrong in [
        "six==1.16.0".to_owned(),
        format!("six>=1.16.0 --hash={one}"),
        format!("six @ https://example.com/six.whl --hash={one}"),
        format!("six==1.16.0 ; sys_platform == 'win32' --hash={one}"),
        format!("-e ../six --hash={one}"),
        format!("../six==1.16.0 --hash={one}"),
        format!("six==1.16.0 --hash={one} --index-url=http://example.com"),
        "six==1.16.0 --hash=md5:00000000000000000000000000000000".to_owned(),
        "--extra-index-url http://example.com".to_owned(),
    ] {
        pypi::read(&wrong).expect_err(&wrong);
    }
}

fn lock_of(files: &[(&str, &str, &[&str])]) -> Lock {
    let file = |(name, version, digests): &(&str, &str, &[&str])| Locked {
        name: (*name).to_owned(),
        version: (*version).to_owned(),
        digests: digests.iter().map(|&it| it.to_owned()).collect(),
        place: None,
        more: serde_json::Map::new(),
    };
    Lock {
        registry: "pypi".to_owned(),
        from: None,
        program: "acme".to_owned(),
        python: Some("3.11".to_owned()),
        roots: vec![Root { name: "acme".to_owned(), version: "1.0.0".to_owned() }],
        files: files.iter().map(file).collect(),
    }
}

#[test]
fn a_lock_is_the_text_that_it_was_written_as_whatever_would_be_written_today() {
    let lock = lock_of(&[("acme", "1.0.0", &["sha256:00"])]);
    let mut later = json!(lock);
    later["since"] = json!("another version");
    let text = format!("{later:#}");
    let sealed = Sealed::parse(&text, &super::sha256(text.as_bytes())).expect("it has its digest");
    assert_eq!((&*sealed, &**sealed.text()), (&lock, text.as_str()));
    assert_ne!(sealed.digest(), lock.sealed().digest());
}

#[test]
fn what_has_other_bytes_is_told_before_what_has_another_version() {
    let was = lock_of(&[("a", "1", &["x", "y"]), ("b", "1", &["x"]), ("c", "1", &["x"]), ("d", "1", &["x"])]);
    let now = lock_of(&[("a", "1", &["y", "z"]), ("b", "2", &["q"]), ("d", "1", &["q"]), ("e", "1", &["x"])]);
    assert_eq!(was.differs_from(&was), [""; 0]);
    let told = [
        "d 1 HAS OTHER BYTES than it had under this version",
        "b would be 2, and is 1",
        "c 1 would not be there",
        "e 1 would be there, too",
    ];
    assert_eq!(was.differs_from(&now), told);
}

#[test]
fn what_says_elsewhere_where_packages_come_from_is_not_locked() {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let start = |args| start("npx", args);
    assert_eq!(start(ARGS).unlockable(&names(&["TOKEN", "PATH"])), None);
    for steering in ["NPM_CONFIG_REGISTRY", "npm_config_registry", "UV_INDEX", "PIP_INDEX_URL"] {
        let why = start(ARGS).unlockable(&names(&["TOKEN", steering])).expect(steering);
        assert!(why.starts_with(steering), "{why}");
    }
    for args in [&["files"][..], &["files@^1"], &["-p", "files@1.0.0", "-p", "others", "x"]] {
        assert!(start(args).unlockable(&Vec::new()).is_some(), "{args:?}");
    }
    for (from, why) in [
        ("https://${TOKEN}.example.com", "is filled in when"),
        ("https://me:secret@npm.example.com", "has a user or a password in it"),
        ("", "is no URL"),
        ("../simple", "is no URL"),
    ] {
        let from = format!("--registry={from}");
        let told = self::start("npx", &["-y", &from, "files@1.0.0"]).unlockable(&Vec::new()).expect(&from);
        assert!(told.contains(why) && !told.contains("example.com"), "{from}: {told}");
    }
    let all = self::start(
        "uvx",
        &[
            "--python",
            "3.12",
            "--from",
            "acme-files[all]==1.0.0",
            "--with",
            "six@1.16.0",
            "--default-index=https://a/simple",
            "serve",
            "--port",
            "1",
        ],
    );
    assert_eq!(all.names, ["acme-files[all]", "six"]);
    assert_eq!(
        (all.program.as_deref(), all.interpreter.as_deref(), all.skip),
        (Some("serve"), Some("3.12"), 8)
    );
    assert_eq!(all.from.as_deref(), Some("https://a/simple"));
    assert_eq!(all.unlockable(&Vec::new()), None);
}

#[test]
fn a_python_is_named_by_its_version_and_no_program_is() {
    let document = Document::made("local/files", None, "Files.", "1.0.0").expect("well-formed");
    let told = |python: &str| {
        let launch = json!({ "command": "uvx", "args": ["--python", python, "acme-files==1.0.0"] });
        Start::of(&launch, &document).map(|start| start.expect("packages").interpreter)
    };
    for version in ["3", "3.12", "3.12.1"] {
        assert_eq!(told(version).expect("a version").as_deref(), Some(version));
    }
    for other in [
        "/tmp/evil",
        "./evil",
        "evil",
        "python3",
        "3.12.1.1",
        "3.",
        ".3",
        "",
        "3/../evil",
        "pypy@3.10",
        ">=3",
    ] {
        told(other).expect_err(other);
    }
}
