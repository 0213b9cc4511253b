//! The list of paths is the code's.

use std::path::Path;

use super::PATHS;

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

fn collect(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
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
