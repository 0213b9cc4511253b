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
    /// What names the registry that they come from.
    source: &'static [&'static str],
    /// What names the version of the language that runs them: nothing else may, for any program would be started that it names.
    interpreter: &'static [&'static str],
    /// Other options that a value follows.
    with_value: &'static [&'static str],
    /// Options without one.
    alone: &'static [&'static str],
}

const NPX: Starter = Starter {
    registry: "npm",
    from: &["--package", "-p"],
    beside: &[],
    source: &["--registry"],
    interpreter: &[],
    with_value: &["--cache", "--prefix"],
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
    source: &["--index-url", "--default-index"],
    interpreter: &["--python", "-p"],
    with_value: &["--cache-dir"],
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

/// How a command line of `npx` or `uvx` starts packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// First the package that has the program, and then those beside it.
    pub packages: Vec<Package>,
    /// The names of these, with the extras that are wanted of them.
    pub names: Vec<String>,
    /// The program, where it is named apart from its package.
    pub program: Option<String>,
    /// The registry that they come from, where it says one.
    pub from: Option<String>,
    /// The version of the language that runs them, where it says one.
    pub interpreter: Option<String>,
    /// How many arguments there are before the program's own.
    pub skip: usize,
}

impl Start {
    /// That of the entry `launch`, with the digests that `document` has; `None` where it is no such command line.
    ///
    /// # Errors
    /// The command line has what could make another package of it.
    pub fn of(launch: &Value, document: &Document) -> Result<Option<Self>, Untold> {
        let Some(starter) = starter(launch) else { return Ok(None) };
        let args = launch.get("args").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let Told { from, program, source, interpreter, skip } = starter.told(args)?;
        let packages = from.iter().map(|named| Package::named(starter.registry, named, document));
        let names = from.iter().map(|named| match named.find(['=', '@', ' ']) {
            Some(end) if starter.registry == "pypi" => named[..end].to_owned(),
            _ => split(starter.registry, named).map_or(*named, |(name, _)| name).to_owned(),
        });
        Ok(Some(Self {
            packages: packages.collect::<Result<_, _>>()?,
            names: names.collect(),
            program: program.map(str::to_owned),
            from: source.map(str::to_owned),
            interpreter: interpreter.map(str::to_owned),
            skip,
        }))
    }

    /// Why its files cannot be locked, where they cannot: another place than is known here may say which they are. `env` are
    /// the names of the variables that it is given.
    pub fn unlockable<'a>(&self, env: impl IntoIterator<Item = &'a String>) -> Option<String> {
        if self.packages.iter().any(|package| package.version.is_none()) {
            return Some("not every package has one version".to_owned());
        }
        if let Some(from) = &self.from {
            let what = match from {
                from if from.contains("${") => "is filled in when the gateway starts it",
                from if from.contains('@') => "has a user or a password in it",
                from if !["https://", "http://"].iter().any(|scheme| from.starts_with(scheme)) => "is no URL",
                _ => "",
            };
            if !what.is_empty() {
                return Some(format!(
                    "the registry on its command line {what}; `registry.packages` of the configuration names another, with credentials \
                     in ~/.npmrc or ~/.netrc"
                ));
            }
        }
        let steers = |name: &&String| {
            let name = name.to_ascii_uppercase();
            ["NPM_CONFIG_", "PIP_", "UV_"].iter().any(|start| name.starts_with(start))
        };
        env.into_iter().find(steers).map(|name| {
            format!("{name} says where packages come from; that is for `registry.packages` of the configuration to say")
        })
    }
}

/// `3`, `3.12` or `3.12.1`, and no path or name of a program.
fn is_version_of_language(text: &str) -> bool {
    let is_number =
        |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split('.').count() <= 3 && text.split('.').all(is_number)
}

/// The program that starts packages, where an entry has one.
fn starter(launch: &Value) -> Option<Starter> {
    let command = launch.get("command").and_then(Value::as_str)?;
    match command.rsplit('/').next() {
        Some("npx") => Some(NPX),
        Some("uvx") => Some(UVX),
        _ => None,
    }
}

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
        Ok(Start::of(launch, document)?.map(|start| start.packages).unwrap_or_default())
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

/// What the arguments say.
struct Told<'a> {
    from: Vec<&'a str>,
    program: Option<&'a str>,
    source: Option<&'a str>,
    interpreter: Option<&'a str>,
    skip: usize,
}

impl Starter {
    fn told<'a>(&self, args: &'a [Value]) -> Result<Told<'a>, Untold> {
        let (mut from, mut beside) = (Vec::new(), Vec::new());
        let (mut source, mut interpreter, mut program) = (None, None, None);
        let mut rest = args.iter();
        let mut next =
            || rest.next().map(|arg| arg.as_str().ok_or_else(|| Untold(arg.to_string()))).transpose();
        while let Some(arg) = next()? {
            if arg == "--" {
                program = next()?;
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
            let takes = [self.from, self.beside, self.source, self.interpreter, self.with_value].concat();
            let untold = || Untold(arg.to_owned());
            if !takes.contains(&option) {
                return Err(untold());
            }
            let value = match value {
                Some(value) => value,
                None => next()?.ok_or_else(untold)?,
            };
            if self.from.contains(&option) {
                from.push(value);
            } else if self.beside.contains(&option) {
                beside.extend(value.split(',').map(str::trim));
            } else if self.source.contains(&option) {
                source = Some(value);
            } else if self.interpreter.contains(&option) {
                interpreter = Some(value).filter(|value| is_version_of_language(value));
                if interpreter.is_none() {
                    return Err(untold());
                }
            }
        }
        if from.is_empty() {
            from.push(program.take().ok_or_else(|| Untold(String::new()))?);
        }
        from.append(&mut beside);
        Ok(Told { from, program, source, interpreter, skip: args.len() - rest.len() })
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

/// Whether this is a name of a package of `npm` or `pypi`, and no path, address or version with it.
pub(crate) fn is_name(registry: &str, name: &str) -> bool {
    split(registry, name) == Some((name, None))
        && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'[')
}

/// Whether this is one version of a package of `npm` or `pypi`, and no range or tag.
pub fn is_exact(registry: &str, version: &str) -> bool {
    match registry {
        "pypi" => Python::parse(version).is_some(),
        _ => Version::parse(version).is_ok(),
    }
}
