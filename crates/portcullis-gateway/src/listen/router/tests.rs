//! The list of paths is the code's, and the document is the list's.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::PATHS;
use crate::listen::openapi::DOCUMENT;

/// Texts that begin like paths and are none that is served.
const OTHER: &[&str] = &["/proc", "/etc"];

/// A path that is served and is not on the list would be walked by nobody.
#[test]
fn every_path_in_the_code_is_on_the_list() {
    let mut found = Vec::new();
    collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/listen")), &mut found);
    assert!(
        found.iter().any(|(path, _)| path == "/healthz") && found.iter().any(|(path, _)| path == "/mcp/s/")
    );
    for (path, file) in found {
        let listed = PATHS.iter().any(|(pattern, _)| {
            let start = pattern.split(['{', '…']).next().unwrap_or_default();
            path == *pattern || path == start || pattern.contains(&path)
        });
        let other = OTHER.iter().any(|other| path.starts_with(other));
        assert!(listed || other, "{path} in {file} is in no row of `PATHS`");
    }
}

/// Methods of one path in the document.
fn operations(document: &Value) -> Vec<(&str, String, &Value)> {
    const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
    let paths = document["paths"].as_object().unwrap().iter();
    let operations =
        paths.flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |it| (path, it)));
    let operations = operations.filter(|(_, (name, _))| METHODS.contains(&name.as_str()));
    operations.map(|(path, (name, it))| (path.as_str(), name.to_ascii_uppercase(), it)).collect()
}

#[test]
fn the_document_describes_every_path_and_no_other() {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let operations = operations(&document);
    let fits = |pattern: &str, path: &str| match pattern.strip_suffix('…') {
        Some(start) => path.starts_with(start),
        None => path == pattern,
    };
    for (pattern, methods) in PATHS {
        for method in *methods {
            let described = operations.iter().any(|(path, it, _)| it == method && fits(pattern, path));
            assert!(described, "{method} {pattern} is not in openapi.json");
        }
    }
    for (path, method, _) in &operations {
        let served =
            |(pattern, methods): &(&str, &[&str])| fits(pattern, path) && methods.contains(&method.as_str());
        assert!(PATHS.iter().any(served), "{method} {path} is in openapi.json and not in `PATHS`");
    }
    let ids: BTreeSet<_> = operations.iter().map(|(_, _, it)| it["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), operations.len(), "each operation has a name of its own");
    for (path, method, it) in &operations {
        assert!(it["summary"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path}");
        for (status, answer) in it["responses"].as_object().unwrap() {
            assert!(status.parse::<u16>().is_ok(), "{method} {path}: {status}");
            if let Some(place) = answer["$ref"].as_str() {
                let place = place.strip_prefix('#').unwrap();
                assert!(document.pointer(place).is_some(), "{method} {path}: {place} leads nowhere");
            }
        }
    }
}

/// What is below `/as/` is a list of its own, in the crate that answers it.
#[test]
fn the_document_describes_all_of_the_authorization_server() {
    let code = concat!(env!("CARGO_MANIFEST_DIR"), "/../portcullis-identity/src/facade/mod.rs");
    let code = std::fs::read_to_string(code).unwrap();
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let operations = operations(&document);
    let described: BTreeSet<_> = operations
        .iter()
        .filter_map(|(path, method, _)| Some((method.clone(), path.strip_prefix("/as")?)))
        .filter(|(_, path)| !path.starts_with("/.well-known/"))
        .collect();
    let mut answered = BTreeSet::new();
    for line in code.lines().filter(|line| line.trim_start().starts_with('(') && line.contains("=>")) {
        let texts: Vec<_> = line.split('"').skip(1).step_by(2).collect();
        match texts.as_slice() {
            [method, path, ..] if path.starts_with('/') => answered.insert(((*method).to_owned(), *path)),
            [path, ..] if path.starts_with('/') => answered.insert(("GET".to_owned(), *path)),
            _ => false,
        };
    }
    assert!(answered.len() >= 8, "{answered:?}");
    assert_eq!(answered, described);
}

fn collect(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
            continue;
        }
        // The document is held to the list by a test of its own.
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        if path.file_name().is_some_and(|name| name == "tests.rs") {
            continue;
        }
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let texts = line.split('"').skip(1).step_by(2);
            let paths =
                texts.filter(|text| text.starts_with("/.") || text.starts_with('/') && text.len() > 1);
            let paths = paths.map(|text| text.split(['{', '?', ' ']).next().unwrap_or_default());
            let paths = paths.filter(|found| found.len() > 1);
            found.extend(paths.map(|found| (found.to_owned(), path.display().to_string())));
        }
    }
}
