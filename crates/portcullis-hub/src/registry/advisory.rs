//! Known vulnerabilities of a package: advisories in the format of OSV (<https://ossf.github.io/osv-schema/>), as its dumps
//! have them. Text is handed in; which versions are affected follows from the advisory alone.
//!
//! A dump is read once, whatever the number of packages that are held against it.

use std::cmp::Ordering;
use std::collections::HashMap;

use semver::Version;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::package::Package;
use super::python::Python;

/// What is known against a version of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advisory {
    /// `GHSA-…`, `PYSEC-…`, `MAL-…`.
    pub id: String,
    /// What it is about, as its author says.
    pub summary: String,
    /// Versions in which it is mended, in the advisory's order.
    pub fixed: Vec<String>,
}

/// What of an advisory is read.
#[derive(Deserialize)]
struct Record {
    id: String,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    details: String,
    withdrawn: Option<String>,
    #[serde(default)]
    affected: Vec<Affected>,
}

#[derive(Deserialize)]
struct Affected {
    package: Option<Subject>,
    #[serde(default)]
    versions: Vec<String>,
    #[serde(default)]
    ranges: Vec<Range>,
}

#[derive(Deserialize)]
struct Subject {
    ecosystem: String,
    name: String,
}

#[derive(Deserialize)]
struct Range {
    #[serde(rename = "type")]
    kind: String,
    events: Vec<Event>,
}

/// One of these is there.
#[derive(Deserialize)]
struct Event {
    introduced: Option<String>,
    fixed: Option<String>,
    last_affected: Option<String>,
}

/// An advisory that names the package and is not what it should be: what it says is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an advisory about this package cannot be read")]
pub struct Unread;

/// Packages that advisories are looked up for, by the names that these have for them.
pub struct Watched<'a>(HashMap<String, Vec<(usize, &'a Package)>>);

impl<'a> Watched<'a> {
    /// These. One without a version has none that could be affected.
    pub fn new(packages: &'a [Package]) -> Self {
        let mut watched: HashMap<_, Vec<_>> = HashMap::new();
        for (index, package) in packages.iter().enumerate().filter(|(_, package)| package.version.is_some()) {
            watched.entry(name_of(package)).or_default().push((index, package));
        }
        Self(watched)
    }

    /// What in `text` is about one of them in its version, each with the place of that among them; `text` is one advisory, an array,
    /// or one to a line. What was withdrawn is passed over, and so is what is no advisory and names none of them.
    ///
    /// A version that cannot be ordered is taken to be affected.
    pub fn affected(&self, text: &[u8]) -> Vec<(usize, Result<Advisory, Unread>)> {
        let text = String::from_utf8_lossy(text);
        let records: Vec<&str> = match serde_json::from_str::<Vec<&RawValue>>(&text) {
            Ok(records) => records.into_iter().map(RawValue::get).collect(),
            Err(_) if serde_json::from_str::<&RawValue>(&text).is_ok() => vec![&text],
            Err(_) => text.lines().collect(),
        };
        let mut found = Vec::new();
        for record in records {
            match serde_json::from_str::<Record>(record) {
                Ok(record) => {
                    let names = record.affected.iter().filter_map(|it| it.package.as_ref());
                    let about = self.called(names.map(|it| it.name.clone()));
                    found.extend(
                        about.filter_map(|(index, package)| Some((index, Ok(record.against(package)?)))),
                    );
                }
                // One of the strings in what may be JSON is the name of one.
                Err(_) => {
                    let names: Vec<_> = strings(record).collect();
                    let about = self.called(names.iter().cloned());
                    let about = about.filter(|(_, package)| names.iter().any(|name| is_name(name, package)));
                    found.extend(about.map(|(index, _)| (index, Err(Unread))));
                }
            }
        }
        found
    }

    /// Those that one of the names is the name of, each once.
    fn called(&self, names: impl Iterator<Item = String>) -> impl Iterator<Item = (usize, &'a Package)> {
        let mut called = Vec::new();
        for name in names {
            for key in [normal(&name), name] {
                called.extend(self.0.get(&key).into_iter().flatten().copied());
            }
        }
        called.sort_unstable_by_key(|it| it.0);
        called.dedup_by_key(|it| it.0);
        called.into_iter()
    }
}

/// What stands between quotes in what may be JSON, and may be a name: no key, and no value of one that never has names.
fn strings(record: &str) -> impl Iterator<Item = String> {
    let pieces: Vec<_> = record.split('"').collect();
    let is_key = |index: usize| pieces.get(index + 1).is_some_and(|next| next.trim_start().starts_with(':'));
    let is_word =
        |index: usize| index >= 2 && is_key(index - 2) && ["ecosystem", "type"].contains(&pieces[index - 2]);
    let names: Vec<_> = (1..pieces.len()).filter(|&index| !is_key(index) && !is_word(index)).collect();
    names.into_iter().map(move |index| pieces[index].replace("\\/", "/"))
}

/// The name of a package as advisories are compared by.
fn name_of(package: &Package) -> String {
    if package.registry == "pypi" { normal(&package.name) } else { package.name.clone() }
}

fn is_name(name: &str, package: &Package) -> bool {
    match package.registry.as_str() {
        "pypi" => normal(name) == normal(&package.name),
        _ => name == package.name,
    }
}

impl Record {
    fn against(&self, package: &Package) -> Option<Advisory> {
        let version = package.version.as_deref()?;
        let about = self.affected.iter().filter(|it| it.package.as_ref().is_some_and(|it| it.is(package)));
        let affected: Vec<_> = about.filter(|it| it.has(package, version)).collect();
        if self.withdrawn.is_some() || affected.is_empty() {
            return None;
        }
        let fixed = affected.iter().flat_map(|it| &it.ranges).flat_map(|range| &range.events);
        let fixed = fixed.filter_map(|event| event.fixed.clone()).collect();
        let first_line = self.details.lines().next().unwrap_or_default();
        let summary = if self.summary.is_empty() { first_line } else { &self.summary };
        Some(Advisory { summary: summary.to_owned(), id: self.id.clone(), fixed })
    }
}

impl Subject {
    fn is(&self, package: &Package) -> bool {
        // What is behind a colon is a distribution of the ecosystem.
        let ecosystem = self.ecosystem.split(':').next().unwrap_or_default();
        ecosystem.eq_ignore_ascii_case(&package.registry) && is_name(&self.name, package)
    }
}

/// A name as PyPI compares them (PEP 503).
pub(crate) fn normal(name: &str) -> String {
    let words = name.split(['-', '_', '.']).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}

impl Affected {
    fn has(&self, package: &Package, version: &str) -> bool {
        self.versions.iter().any(|it| it == version)
            || self.ranges.iter().filter(|range| range.kind != "GIT").any(|range| range.has(package, version))
    }
}

impl Range {
    /// From where it begins before the version, nothing ended it up to there.
    fn has(&self, package: &Package, version: &str) -> bool {
        let before = |one: &str, other: &str, or_same: bool| match compare(&package.registry, one, other) {
            Some(Ordering::Less) => true,
            Some(Ordering::Greater) => false,
            // Where nobody knows, better one finding too many.
            Some(Ordering::Equal) | None => or_same,
        };
        let fixed = || self.events.iter().filter_map(|event| event.fixed.as_deref());
        let last = || self.events.iter().filter_map(|event| event.last_affected.as_deref());
        self.events.iter().filter_map(|event| event.introduced.as_deref()).any(|begun| {
            (begun == "0" || before(begun, version, true))
                && !fixed()
                    .any(|end| (begun == "0" || before(begun, end, false)) && is_from(package, version, end))
                && !last()
                    .any(|end| (begun == "0" || before(begun, end, true)) && before(end, version, false))
        })
    }
}

/// Whether a version is this one or a later one, for certain.
fn is_from(package: &Package, version: &str, from: &str) -> bool {
    matches!(compare(&package.registry, version, from), Some(Ordering::Greater | Ordering::Equal))
}

fn compare(registry: &str, one: &str, other: &str) -> Option<Ordering> {
    match registry {
        "pypi" => Some(Python::parse(one)?.cmp(&Python::parse(other)?)),
        _ => Some(Version::parse(one).ok()?.cmp_precedence(&Version::parse(other).ok()?)),
    }
}

#[cfg(test)]
mod tests;
