//! Who may do what: the texts are read here, and understood where they are used.

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};

use super::Check;
use crate::node::Path;
use crate::{FactKind, Policy, PolicyMode, PolicyText, raw};

/// Largest file of policies, in bytes, and most of them in one folder.
const LARGEST: u64 = 4 << 20;
const MOST: usize = 1_000;

pub(super) fn policy(check: &mut Check<'_>, raw: &raw::Policy) -> Policy {
    let top = Path::top("policy");
    let mut texts = Vec::new();
    for (index, file) in raw.files.iter().enumerate() {
        texts.extend(read(check, &top.key("files").index(index), file));
    }
    // What was refused already would have been some.
    if raw.files.is_empty() && raw.roles.is_empty() && !check.report.failed_under(&top) {
        check.warn(&top, "names neither `files` nor `roles`: everything is denied to everybody");
    }
    for (key, lists) in [("roles", &raw.roles), ("groups", &raw.groups), ("labels", &raw.labels)] {
        for (name, members) in lists {
            let path = top.key(key).key(name);
            if name.is_empty() || members.iter().any(String::is_empty) {
                check.error(&path, "a name is empty");
            }
        }
    }
    for (name, members) in &raw.groups {
        for (index, id) in members.iter().enumerate() {
            if !is_principal(id) {
                let path = top.key("groups").key(name).index(index);
                check.error(&path, format!("`{id}` is no principal; {PRINCIPALS}"));
            }
        }
    }
    Policy {
        mode: match raw.mode {
            Some(raw::PolicyMode::Shadow) => PolicyMode::Shadow,
            Some(raw::PolicyMode::Enforce) | None => PolicyMode::Enforce,
        },
        texts,
        roles: raw.roles.clone(),
        groups: raw.groups.clone(),
        labels: raw.labels.clone(),
        claims: facts(check, &top.key("claims"), &raw.claims),
        arguments: facts(check, &top.key("arguments"), &raw.arguments),
    }
}

pub(super) const PRINCIPALS: &str = "expected `anonymous`, `cert:<SHA-256 in lower-case hex>`, `key:<name>`, \
                          `user:<issuer>#<subject>` or `spiffe://…`";

pub(super) fn is_principal(id: &str) -> bool {
    let hex =
        |text: &str| text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    id == "anonymous"
        || id.starts_with("spiffe://")
        || id.strip_prefix("cert:").is_some_and(hex)
        || id.strip_prefix("key:").is_some_and(|name| !name.is_empty())
        || id.strip_prefix("user:").is_some_and(|user| user.contains('#'))
}

fn facts(
    check: &mut Check<'_>,
    path: &Path,
    raw: &BTreeMap<String, raw::FactKind>,
) -> BTreeMap<String, FactKind> {
    let mut facts = BTreeMap::new();
    for (name, kind) in raw {
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        if name.is_empty() || name.len() > 128 || !name.bytes().all(plain) {
            check.error(&path.key(name), "expected a name of ASCII characters without blanks and quotes");
        }
        let kind = match kind {
            raw::FactKind::String => FactKind::String,
            raw::FactKind::Integer => FactKind::Integer,
            raw::FactKind::Decimal => FactKind::Decimal,
            raw::FactKind::Boolean => FactKind::Boolean,
            raw::FactKind::Strings => FactKind::Strings,
        };
        facts.insert(name.clone(), kind);
    }
    facts
}

/// The texts of a file, or of the files of a folder, whose names are watched too.
fn read(check: &mut Check<'_>, path: &Path, text: &str) -> Vec<PolicyText> {
    let place = check.resolve(text);
    check.files.insert(place.clone());
    let files = match files(&place) {
        Ok(files) => files,
        Err(error) => {
            check.error(path, format!("cannot read {}: {error}", place.display()));
            return Vec::new();
        }
    };
    let mut texts = Vec::new();
    for file in files {
        check.files.insert(file.clone());
        match read_text(&file) {
            Ok(text) => texts.push(PolicyText { file, text }),
            Err(error) => check.error(path, format!("cannot read {}: {error}", file.display())),
        }
    }
    texts
}

fn files(place: &FilePath) -> std::io::Result<Vec<PathBuf>> {
    if !std::fs::metadata(place)?.is_dir() {
        return Ok(vec![place.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(place)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "cedar") {
            files.push(file);
        }
        if files.len() > MOST {
            return Err(std::io::Error::other(format!("more than {MOST} files")));
        }
    }
    files.sort();
    Ok(files)
}

fn read_text(file: &FilePath) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(file)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(std::io::Error::other("larger than 4 MiB"));
    }
    Ok(text)
}
