//! Which versions an advisory is about.

use serde_json::{Value, json};

use super::{Advisory, Unread, Watched};
use crate::registry::Package;
use crate::registry::python::Python;

fn package(registry: &str, name: &str, version: &str) -> Package {
    let version = Some(version.to_owned());
    Package { registry: registry.to_owned(), name: name.to_owned(), version, digest: None }
}

fn advisory(ecosystem: &str, name: &str, affected: &Value) -> Value {
    let mut affected = affected.clone();
    affected["package"] = json!({ "ecosystem": ecosystem, "name": name });
    json!({ "id": "GHSA-1", "summary": "Reads what it must not.", "affected": [affected] })
}

fn affecting(text: &[u8], package: &Package) -> Vec<Result<Advisory, Unread>> {
    let found = Watched::new(std::slice::from_ref(package)).affected(text);
    found.into_iter().map(|(_, advisory)| advisory).collect()
}

fn ids(advisory: &Value, package: &Package) -> usize {
    affecting(advisory.to_string().as_bytes(), package).len()
}

#[test]
fn ranges_begin_and_end_where_the_advisory_says() {
    let events = json!({ "ranges": [{ "type": "SEMVER", "events": [
        { "introduced": "0" }, { "fixed": "1.2.0" }, { "introduced": "2.0.0-beta.1" }, { "last_affected": "2.1.0" },
    ] }] });
    let advisory = advisory("npm", "@acme/files", &events);
    for (version, affected) in [
        ("0.1.0", true),
        ("1.1.9", true),
        ("1.2.0-rc.1", true),
        ("1.2.0", false),
        ("1.9.0", false),
        ("2.0.0-alpha", false),
        ("2.0.0-beta.2", true),
        ("2.1.0", true),
        ("2.1.1", false),
        // Nobody can say where that belongs.
        ("nightly", true),
    ] {
        let is = ids(&advisory, &package("npm", "@acme/files", version)) == 1;
        assert_eq!(is, affected, "{version}");
    }
    assert_eq!(ids(&advisory, &package("npm", "files", "1.0.0")), 0);
    assert_eq!(ids(&advisory, &package("pypi", "@acme/files", "1.0.0")), 0);
    let found = affecting(advisory.to_string().as_bytes(), &package("npm", "@acme/files", "1.0.0"));
    let found = found[0].as_ref().expect("read");
    assert_eq!((found.id.as_str(), found.fixed.as_slice()), ("GHSA-1", &["1.2.0".to_owned()][..]));
}

#[test]
fn versions_that_are_listed_are_affected_whatever_their_order() {
    let listed = advisory("PyPI", "Acme_Files", &json!({ "versions": ["1.0", "build-7"] }));
    assert_eq!(ids(&listed, &package("pypi", "acme.files", "build-7")), 1);
    assert_eq!(ids(&listed, &package("pypi", "acme.files", "1.1")), 0);
}

#[test]
fn versions_of_python_are_in_their_order() {
    let ordered = [
        "1.0.dev1",
        "1.0a1.dev1",
        "1.0a1",
        "1.0-alpha.2",
        "1.0b1",
        "1.0rc1",
        "1.0",
        "1.0.post1.dev2",
        "1.0-1",
        "1.0.1",
        "1.1",
        "1.10",
        "2023.1",
        "1!0.1",
    ];
    let parsed: Vec<_> = ordered.iter().map(|text| Python::parse(text).expect(text)).collect();
    for (index, pair) in parsed.windows(2).enumerate() {
        assert!(pair[0] <= pair[1], "{} {}", ordered[index], ordered[index + 1]);
    }
    assert_eq!(Python::parse("v1.0.0+local"), Python::parse("1"));
    for wrong in ["", "one", "1.0-final", "1..0"] {
        assert_eq!(Python::parse(wrong), None, "{wrong}");
    }
    let events = json!({ "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "0" }, { "fixed": "2026.1.14" }] }] });
    let advisory = advisory("PyPI", "mcp-server-git", &events);
    assert_eq!(ids(&advisory, &package("pypi", "mcp-server-git", "2026.1.9")), 1);
    assert_eq!(ids(&advisory, &package("pypi", "mcp-server-git", "2026.1.14")), 0);
}

#[test]
fn dumps_are_read_in_each_of_their_forms_and_without_what_was_withdrawn() {
    let one = advisory("npm", "files", &json!({ "versions": ["1.0.0"] }));
    let mut withdrawn = one.clone();
    withdrawn["withdrawn"] = "2026-01-01T00:00:00Z".into();
    let files = package("npm", "files", "1.0.0");
    let lines = format!("{one}\nno advisory\n{withdrawn}\n{one}\n");
    for (text, found) in [
        (one.to_string(), 1),
        (json!([one, withdrawn]).to_string(), 1),
        (lines, 2),
        (withdrawn.to_string(), 0),
        (serde_json::to_string_pretty(&one).expect("text"), 1),
        ("files".to_owned(), 0),
    ] {
        assert_eq!(affecting(text.as_bytes(), &files).len(), found, "{text}");
    }
    let unpinned = Package { version: None, ..files };
    assert_eq!(ids(&one, &unpinned), 0);
}

#[test]
fn an_advisory_that_cannot_be_read_takes_no_other_with_it_and_is_told_of() {
    let one = advisory("npm", "@acme/files", &json!({ "versions": ["1.0.0"] }));
    let mut broken = one.clone();
    broken["affected"][0]["ranges"] = json!([{ "type": "SEMVER" }]);
    let mut others = broken.clone();
    others["affected"][0]["package"]["name"] = "@acme/files-2".into();
    let files = package("npm", "@acme/files", "1.0.0");
    let pretty = serde_json::to_string_pretty(&json!([broken, others, one])).expect("text");
    let lines = format!("{others}\n{broken}\n{one}\n");
    let cut_off = format!("{one}\n{}", &one.to_string()[..one.to_string().len() - 5]);
    for (text, unread, read) in [
        (pretty, 1, 1),
        (lines, 1, 1),
        (broken.to_string(), 1, 0),
        (others.to_string(), 0, 0),
        (cut_off, 1, 1),
    ] {
        for text in [text.replace("@acme/", "@acme\\/"), text] {
            let found = affecting(text.as_bytes(), &files);
            let not_read = found.iter().filter(|it| **it == Err(Unread)).count();
            assert_eq!((not_read, found.len() - not_read), (unread, read), "{text}");
        }
    }
    let python = advisory("PyPI", "Acme_Files", &json!({ "versions": 1 })).to_string();
    assert_eq!(affecting(python.as_bytes(), &package("pypi", "acme.files", "1")), [Err(Unread)]);
    // A package may be called as what every advisory has.
    let pretty = serde_json::to_string_pretty(&broken).expect("text");
    for (registry, name) in [
        ("npm", "events"),
        ("npm", "type"),
        ("npm", "ranges"),
        ("npm", "npm"),
        ("pypi", "semver"),
        ("pypi", "package"),
        ("npm", "acme-files"),
    ] {
        for text in [&broken.to_string(), &pretty, &python] {
            assert_eq!(affecting(text.as_bytes(), &package(registry, name, "1")), [], "{name}: {text}");
        }
    }
}

#[test]
fn each_of_many_packages_has_its_own_advisories() {
    let versions = json!({ "versions": ["1.0.0"] });
    let (deep, clock) = (advisory("npm", "deep", &versions), advisory("PyPI", "Acme.Clock", &versions));
    let all = [
        package("npm", "deep", "1.0.0"),
        package("npm", "deep", "2.0.0"),
        package("pypi", "acme_clock", "1.0.0"),
        package("npm", "acme-clock", "1.0.0"),
    ];
    let text = json!([deep, clock, deep]).to_string();
    let mut found: Vec<_> = Watched::new(&all).affected(text.as_bytes()).into_iter().map(|it| it.0).collect();
    found.sort_unstable();
    assert_eq!(found, [0, 0, 2]);
}
