//! The package that a server is started from, as far as its command line says it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Document;

/// A package of npm or PyPI.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// `npm` or `pypi`.
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

/// The options of `npx` and `uvx` that name a package apart from the program in it.
const FROM: &[&str] = &["--from", "--package", "-p"];
/// Other options of these that a value follows.
const WITH_VALUE: &[&str] = &["--with", "--python", "--index-url", "--registry", "--cache", "--prefix"];

impl Package {
    /// What the entry `launch` starts, with the digest that `document` has of it; `None` when it is no package, or a program
    /// that was installed before.
    pub fn of(launch: &Value, document: &Document) -> Option<Self> {
        let command = launch.get("command")?.as_str()?;
        let registry = match command.rsplit('/').next()? {
            "npx" => "npm",
            "uvx" => "pypi",
            _ => return None,
        };
        let args: Vec<&str> = launch.get("args")?.as_array()?.iter().filter_map(Value::as_str).collect();
        let (name, version) = split(named(&args)?);
        let exact = version.filter(|version| is_exact(version));
        let told = |package: &&Value| {
            let text = |key: &str| package.get(key).and_then(Value::as_str);
            text("registryType") == Some(registry)
                && text("identifier") == Some(name)
                && text("version") == exact
        };
        let digest = document.packages().iter().find(told).and_then(|it| it.get("fileSha256")?.as_str());
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Some(Self {
            registry: registry.to_owned(),
            name: name.to_owned(),
            version: owned(exact),
            digest: owned(digest),
        })
    }
}

/// The argument that names the package.
fn named<'a>(args: &[&'a str]) -> Option<&'a str> {
    let mut args = args.iter().copied();
    while let Some(arg) = args.next() {
        if FROM.contains(&arg) {
            return args.next();
        }
        if let Some((_, package)) = arg.split_once('=').filter(|(option, _)| FROM.contains(option)) {
            return Some(package);
        }
        if WITH_VALUE.contains(&arg) {
            args.next();
        } else if !arg.starts_with('-') {
            return Some(arg);
        }
    }
    None
}

/// `@scope/name@1.2.3`, `name==1.2.3`, `name[extra]@1.2.3`.
fn split(text: &str) -> (&str, Option<&str>) {
    let (name, version) = match text.split_once("==") {
        Some((name, version)) => (name, Some(version)),
        None => match text.rsplit_once('@') {
            Some((name, version)) if !name.is_empty() => (name, Some(version)),
            _ => (text, None),
        },
    };
    (name.split(['[', '<', '>', '=', '~', '!', ' ']).next().unwrap_or(name), version)
}

fn is_exact(version: &str) -> bool {
    version.bytes().next().is_some_and(|byte| byte.is_ascii_digit())
        && !version.split('.').any(|part| matches!(part, "x" | "X" | "*"))
        && !version.contains([' ', '|', '<', '>', ','])
}
