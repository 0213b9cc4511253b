//! The package that a server is started from, as far as its command line says it.

use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Document;
use super::python::Python;

/// A package of npm or PyPI, or an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// `npm`, `pypi` or `oci`.
    pub registry: String,
    /// Its name there.
    pub name: String,
    /// The version that is started; `None` where whoever starts it takes what is newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The SHA-256 of its file, in hexadecimal, where its publisher says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// Why nobody can tell which package is started: what the command line has that is not understood, or nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("which package is started cannot be told: `{0}` is not understood")]
pub struct Untold(pub String);

/// How a program that starts packages is told of them. An option that is not listed may do anything.
struct Starter {
    registry: &'static str,
    /// What names a package apart from the program in it.
    from: &'static [&'static str],
    /// What names packages that are there beside it, with commas between them.
    beside: &'static [&'static str],
    /// Other options that a value follows.
    with_value: &'static [&'static str],
    /// Options without one.
    alone: &'static [&'static str],
}

const NPX: Starter = Starter {
    registry: "npm",
    from: &["--package", "-p"],
    beside: &[],
    with_value: &["--registry", "--cache", "--prefix"],
    alone: &[
        "-y",
        "--yes",
        "-q",
        "--quiet",
        "-s",
        "--silent",
        "--no-install",
        "--offline",
        "--prefer-offline",
        "--prefer-online",
        "--ignore-scripts",
    ],
};

const UVX: Starter = Starter {
    registry: "pypi",
    from: &["--from"],
    beside: &["--with", "-w"],
    with_value: &["--python", "-p", "--index-url", "--default-index", "--cache-dir"],
    alone: &[
        "-q",
        "--quiet",
        "-v",
        "--verbose",
        "-n",
        "--no-cache",
        "--isolated",
        "--offline",
        "--refresh",
        "--no-config",
        "--no-progress",
        "--native-tls",
    ],
};

impl Package {
    /// What the entry `launch` starts, first the package that has the program and then those beside it, each with the digest
    /// that `document` has of it; none when it is no package, or a program that was installed before.
    ///
    /// # Errors
    /// The command line has what could make another package of it.
    pub fn of(launch: &Value, document: &Document) -> Result<Vec<Self>, Untold> {
        if let Some(image) = launch.get("image").and_then(Value::as_str) {
            let (name, digest) = image.split_once("@sha256:").ok_or_else(|| Untold(image.to_owned()))?;
            let (name, digest) = (name.to_owned(), Some(digest.to_owned()));
            return Ok(vec![Self { registry: "oci".to_owned(), name, version: None, digest }]);
        }
        let command = launch.get("command").and_then(Value::as_str).unwrap_or_default();
        let starter = match command.rsplit('/').next() {
            Some("npx") => NPX,
            Some("uvx") => UVX,
            _ => return Ok(Vec::new()),
        };
        let args = launch.get("args").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let named = starter.named(args)?;
        named.into_iter().map(|named| Self::named(starter.registry, named, document)).collect()
    }

    fn named(registry: &str, named: &str, document: &Document) -> Result<Self, Untold> {
        let (name, version) = split(registry, named).ok_or_else(|| Untold(named.to_owned()))?;
        let exact = version.filter(|version| is_exact(registry, version));
        let told = |package: &&Value| {
            let text = |key: &str| package.get(key).and_then(Value::as_str);
            text("registryType") == Some(registry)
                && text("identifier") == Some(name)
                && text("version") == exact
        };
        let digest = document.packages().iter().find(told).and_then(|it| it.get("fileSha256")?.as_str());
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Ok(Self {
            registry: registry.to_owned(),
            name: name.to_owned(),
            version: owned(exact),
            digest: owned(digest),
        })
    }
}

impl Starter {
    /// The arguments that name packages.
    fn named<'a>(&self, args: &'a [Value]) -> Result<Vec<&'a str>, Untold> {
        let (mut from, mut beside) = (Vec::new(), Vec::new());
        let mut args = args.iter().map(|arg| arg.as_str().ok_or_else(|| Untold(arg.to_string())));
        let mut program = None;
        while let Some(arg) = args.next().transpose()? {
            if arg == "--" {
                program = args.next().transpose()?;
                break;
            }
            if !arg.starts_with('-') {
                program = Some(arg);
                break;
            }
            if self.alone.contains(&arg) {
                continue;
            }
            let (option, value) = match arg.split_once('=') {
                Some((option, value)) => (option, Some(value)),
                None => (arg, None),
            };
            let takes = [self.from, self.beside, self.with_value].concat();
            let untold = || Untold(arg.to_owned());
            if !takes.contains(&option) {
                return Err(untold());
            }
            let value = value.map_or_else(|| args.next().transpose(), |value| Ok(Some(value)))?;
            let value = value.ok_or_else(untold)?;
            if self.from.contains(&option) {
                from.push(value);
            } else if self.beside.contains(&option) {
                beside.extend(value.split(',').map(str::trim));
            }
        }
        if from.is_empty() {
            from.push(program.ok_or_else(|| Untold(String::new()))?);
        }
        from.append(&mut beside);
        Ok(from)
    }
}

/// `@scope/name@1.2.3` of npm; `name==1.2.3` or `name[extra]@1.2.3` of PyPI. What is no name there (a path, a URL, a
/// repository) is none.
fn split<'a>(registry: &str, text: &'a str) -> Option<(&'a str, Option<&'a str>)> {
    if registry == "npm" {
        let at = text.match_indices('@').map(|(at, _)| at).find(|at| *at > 0);
        let (name, version) = at.map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])));
        let parts = name.strip_prefix('@').map_or((None, name), |scoped| {
            scoped.split_once('/').map_or((None, ""), |(scope, name)| (Some(scope), name))
        });
        let is_word = |word: &str| {
            word.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '~')
                && word.chars().all(|c| c.is_ascii_alphanumeric() || "._~-".contains(c))
        };
        return (parts.0.is_none_or(is_word) && is_word(parts.1)).then_some((name, version));
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let rest = rest.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(extras) => extras.split_once(']')?.1.trim_start(),
        None => rest,
    };
    let is_name =
        name.starts_with(|c: char| c.is_ascii_alphanumeric()) && !rest.starts_with(['/', '\\', ':', '+']);
    is_name.then(|| (name, rest.strip_prefix("==").or_else(|| rest.strip_prefix('@')).map(str::trim)))
}

/// Whether this is one version of a package of `npm` or `pypi`, and no range or tag.
pub fn is_exact(registry: &str, version: &str) -> bool {
    match registry {
        "pypi" => Python::parse(version).is_some(),
        _ => Version::parse(version).is_ok(),
    }
}
