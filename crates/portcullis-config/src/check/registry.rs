//! What comes into the registry of servers.

use super::Check;
use crate::node::Path;
use crate::{RegistryImport, RegistryPackages, ServerRegistry, Store, raw};

/// Where packages are installed, when nobody says it.
const FOLDER: &str = "packages";

pub(super) fn registry(check: &mut Check<'_>, raw: &raw::Registry, store: &Store) -> ServerRegistry {
    let top = Path::top("registry");
    let advisories = raw.advisories.as_deref().map(|text| {
        let folder = check.resolve(text);
        if !folder.is_dir() {
            let message = format!("there is no folder {}; put a dump of OSV there", folder.display());
            check.warn(&top.key("advisories"), message);
        }
        folder
    });
    let import = raw.import.as_ref().map(|raw| import(check, &top.key("import"), raw));
    let packages = packages(check, &top.key("packages"), &raw.packages, store);
    ServerRegistry { import, advisories, packages }
}

fn packages(check: &mut Check<'_>, path: &Path, raw: &raw::Packages, store: &Store) -> RegistryPackages {
    for (key, url) in [("npm", &raw.npm), ("pypi", &raw.pypi)] {
        let Some(url) = url else { continue };
        let authority = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let authority = authority.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
        if authority.is_empty() || url.contains(|c: char| c.is_whitespace() || c.is_control()) {
            check.error(
                &path.key(key),
                "expected the URL of a registry of packages, as `https://npm.example.com`",
            );
        } else if authority.contains('@') {
            let message =
                "others can see it there; give credentials to npm in ~/.npmrc, and to uv in ~/.netrc";
            check.error(&path.key(key), message);
        }
    }
    let folder = match (&raw.folder, store) {
        (Some(folder), _) => check.resolve(folder),
        (None, Store::Sqlite { path }) => path.with_file_name(FOLDER),
        (None, _) => check.resolve(FOLDER),
    };
    RegistryPackages { npm: raw.npm.clone(), pypi: raw.pypi.clone(), folder }
}

fn import(check: &mut Check<'_>, path: &Path, raw: &raw::Import) -> RegistryImport {
    if raw.namespaces.is_empty() {
        check.error(&path.key("namespaces"), "nobody's servers are let in; name whose are, as `com.example`");
    }
    if raw.packages.is_empty() && raw.remotes.is_empty() {
        let message = "no package and no remote is let in, so no server is; fill `packages` or `remotes`";
        check.error(path, message);
    }
    // A star stands for what is below a name, or for everything.
    let starred = |text: &str, after: bool| {
        let rest = if after { text.strip_suffix(".*") } else { text.strip_prefix("*.") };
        text == "*" || !rest.unwrap_or(text).contains('*')
    };
    for (key, texts, after) in [("namespaces", &raw.namespaces, true), ("remotes", &raw.remotes, false)] {
        for (index, text) in texts.iter().enumerate() {
            if text.is_empty() || text.contains(['/', ' ']) || !starred(text, after) {
                let example = if after {
                    "`com.example`, `com.example.*`"
                } else {
                    "`mcp.example.com`, `*.example.com`"
                };
                check.error(&path.key(key).index(index), format!("expected {example} or `*`"));
            }
        }
    }
    for (index, text) in raw.packages.iter().enumerate() {
        let is_name = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase());
        if !is_name && !text.starts_with("https://") && !text.starts_with("http://") {
            let message = "expected a kind, as `npm` or `pypi`, or the URL of a registry of packages";
            check.error(&path.key("packages").index(index), message);
        }
    }
    RegistryImport {
        namespaces: raw.namespaces.clone(),
        packages: raw.packages.clone(),
        remotes: raw.remotes.clone(),
    }
}
