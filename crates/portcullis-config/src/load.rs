//! The ways in: a file, a text, a client's file, or nothing at all.

use std::path::{Path, PathBuf};

use crate::check::{self, Source};
use crate::node::{self, Mark, Node, Value};
use crate::report::Report;
use crate::{
    Environment, Overrides, Problem, Problems, Settings, VaultSecret, clients, conform, fill, raw, read,
    schema,
};

/// Largest configuration file, in bytes.
const LARGEST: u64 = 16 << 20;

/// Settings together with what was noticed on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The checked settings.
    pub settings: Settings,
    /// What should be looked at but does not stop the start, in file order.
    pub warnings: Vec<Problem>,
    /// The configuration file and every file it depends on (secrets, certificates, keys): what a watcher
    /// watches to know when to load again. Sorted; [`parse`], [`import`] and [`defaults`] leave out the
    /// configuration itself.
    pub files: Vec<PathBuf>,
    /// What a Vault keeps of it that has to be known before the settings count, whether it was read
    /// ([`Environment::vault`]) or not. Secrets of servers' credentials are none of it: they are read when they are needed.
    pub vault: Vec<VaultSecret>,
}

/// The format of a configuration text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// YAML 1.2.
    Yaml,
    /// JSON, with comments and trailing commas allowed as editors write them.
    Json,
    /// TOML 1.
    Toml,
}

impl Format {
    /// The format that the extension of `path` stands for.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "yaml" | "yml" => Some(Self::Yaml),
            "json" | "jsonc" => Some(Self::Json),
            "toml" => Some(Self::Toml),
            _ => None,
        }
    }
}

/// Reads and checks a configuration file; the format follows from its extension.
///
/// # Errors
/// Every problem of the file in one run, or the one that kept it from being read.
pub fn load(path: &Path, env: &dyn Environment, overrides: &Overrides) -> Result<Loaded, Problems> {
    let name = path.display().to_string();
    let refuse = |message: String| {
        let mut report = Report::new(&name);
        report.error(Mark::default(), &node::Path::default(), message, None);
        report
    };
    match read_file(path) {
        Ok((format, text)) => {
            let mut loaded = parse(&name, &text, format, env, overrides)?;
            loaded.files.insert(0, path.to_owned());
            Ok(loaded)
        }
        Err(message) => refuse(message).refused(),
    }
}

/// The format and the text of a file.
pub(crate) fn read_file(path: &Path) -> Result<(Format, String), String> {
    let format = Format::of(path).ok_or("expected a name that ends in .yaml, .yml, .json or .toml")?;
    let text = read_text(path).map_err(|error| format!("cannot read the configuration: {error}"))?;
    Ok((format, text))
}

fn read_text(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(std::io::Error::other("larger than 16 MiB"));
    }
    Ok(text)
}

/// Checks a configuration text. `name` is how problems call it, and relative paths start from its folder.
///
/// # Errors
/// Every problem of the text in one run.
pub fn parse(
    name: &str,
    text: &str,
    format: Format,
    env: &dyn Environment,
    overrides: &Overrides,
) -> Result<Loaded, Problems> {
    let mut report = Report::new(name);
    let Some(mut root) = read::read(text, format, &mut report) else { return report.refused() };
    clients::join(&mut root, &mut report);
    settle(name, root, env, overrides, report)
}

/// Checks the file of an MCP client (Claude Desktop, Claude Code, Cursor, VS Code, Codex, Zed, …), everything but
/// its servers left at the defaults. The format follows from the extension of `name`, and is JSON without one.
///
/// # Errors
/// Every problem of the text in one run, and that no servers were found in it.
pub fn import(
    name: &str,
    text: &str,
    env: &dyn Environment,
    overrides: &Overrides,
) -> Result<Loaded, Problems> {
    let mut report = Report::new(name);
    let format = Format::of(Path::new(name)).unwrap_or(Format::Json);
    let Some(root) = read::read(text, format, &mut report) else { return report.refused() };
    let root = clients::adopt(root, &mut report);
    settle(name, root, env, overrides, report)
}

/// The servers in the file of an MCP client, each as an entry of `servers` would be written: with our own keys and no others,
/// and with references to the environment as they stand there. With them comes what should be looked at. Nothing is checked
/// but the shape of it; the format follows from the extension of `name`, and is JSON without one.
///
/// # Errors
/// Every problem of the text in one run, and that no servers were found in it.
pub fn entries(
    name: &str,
    text: &str,
) -> Result<(serde_json::Map<String, serde_json::Value>, Vec<Problem>), Problems> {
    let mut report = Report::new(name);
    let format = Format::of(Path::new(name)).unwrap_or(Format::Json);
    let Some(root) = read::read(text, format, &mut report) else { return report.refused() };
    let root = clients::adopt(root, &mut report);
    let mut conformed = conform::conform(&schema::schema(), &root, &mut report);
    let servers = match conformed["servers"].take() {
        serde_json::Value::Object(servers) => servers,
        _ => serde_json::Map::new(),
    };
    report.finish().map(|warnings| (servers, warnings))
}

/// The settings without any file.
///
/// # Errors
/// What is wrong with the environment or the flags.
pub fn defaults(env: &dyn Environment, overrides: &Overrides) -> Result<Loaded, Problems> {
    let root = Node { at: Mark::default(), value: Value::Map(Vec::new()) };
    settle("", root, env, overrides, Report::new("defaults"))
}

/// The absolute folder of a file, so that a path from it means the same wherever it is used.
fn folder_of(name: &str) -> PathBuf {
    let folder = Path::new(name).parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

/// The steps that every way in shares.
fn settle(
    name: &str,
    mut root: Node,
    env: &dyn Environment,
    overrides: &Overrides,
    mut report: Report,
) -> Result<Loaded, Problems> {
    fill::fill(&mut root, &node::Path::default(), env, &mut report);
    let conformed = conform::conform(&schema::schema(), &root, &mut report);
    let file: raw::File = match serde_json::from_value(conformed) {
        Ok(file) => file,
        Err(error) => {
            // Only when a value was refused above whose place cannot do without it.
            if !report.failed_under(&node::Path::default()) {
                report.error(root.at, &node::Path::default(), error.to_string(), None);
            }
            return report.refused();
        }
    };
    let base = folder_of(name);
    let source = Source { root: &root, base: &base, env };
    let (settings, files, vault) = check::check(&file, &source, overrides, &mut report);
    let (files, vault) = (files.into_iter().collect(), vault.into_iter().collect());
    Ok(Loaded { settings, warnings: report.finish()?, files, vault })
}
