//! Every file that a server is started from, by name, version and digest. No address is in it but that of a registry, so the same
//! files may come from a mirror.

use std::ops::Deref;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Failed;
use crate::hex::hex;
use crate::registry::normal;

/// Most files of one lock. The largest servers that are published come to some hundreds.
const MOST: usize = 4000;
/// The longest text of one: what a store takes as a value.
const LONGEST: usize = 1 << 20;

/// What was locked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// `npm` or `pypi`.
    pub registry: String,
    /// The registry that the packages come from, where whoever starts them says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The program that is started.
    pub program: String,
    /// The version of Python that the files are for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// What was asked for: the package that has the program, and those beside it.
    pub roots: Vec<Root>,
    /// All that is installed, these included.
    pub files: Vec<Locked>,
}

/// A package that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Its name.
    pub name: String,
    /// The one version of it.
    pub version: String,
}

/// A package as it is installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locked {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Digests, each with its algorithm: the file has one of these.
    pub digests: Vec<String>,
    /// Where npm puts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What else npm has to know of it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub more: Map<String, Value>,
}

/// A lock as it is kept: the text that it was written as once, and the digest of that. Whoever reads it hands on this text, for a later
/// program may write the same lock as another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    lock: Lock,
    text: Arc<str>,
    digest: String,
}

/// A text that is no lock, or not the one that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lock of its packages is not what it was")]
pub struct Unreadable;

impl Sealed {
    /// Reads one that was kept under its digest.
    ///
    /// # Errors
    /// It has another.
    pub fn parse(text: &str, digest: &str) -> Result<Self, Unreadable> {
        if sha256(text.as_bytes()) != digest {
            return Err(Unreadable);
        }
        let lock = serde_json::from_str(text).map_err(|_| Unreadable)?;
        Ok(Self { lock, text: text.into(), digest: digest.to_owned() })
    }

    /// The text.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// The SHA-256 of the text, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

impl Deref for Sealed {
    type Target = Lock;

    fn deref(&self) -> &Lock {
        &self.lock
    }
}

impl Lock {
    /// The same as it is kept from now on.
    pub fn sealed(self) -> Sealed {
        let text = self.written();
        Sealed { digest: sha256(text.as_bytes()), text: text.into(), lock: self }
    }

    fn written(&self) -> String {
        serde_json::to_string(self).expect("it has texts alone, and keys that are")
    }

    /// What came with what was asked for.
    pub fn came_along(&self) -> impl Iterator<Item = &Locked> {
        let is_root = |file: &Locked| match self.registry.as_str() {
            // Of PyPI there is one version of each.
            "pypi" => self.roots.iter().any(|root| normal(&root.name) == normal(&file.name)),
            _ => self.roots.iter().any(|root| (&root.name, &root.version) == (&file.name, &file.version)),
        };
        self.files.iter().filter(move |file| !is_root(file))
    }

    /// `acme-files 1.4.0`, as people are told of it.
    pub fn name(&self) -> String {
        self.roots.first().map(|root| format!("{} {}", root.name, root.version)).unwrap_or_default()
    }

    /// The packages that want something run when they are installed, which nobody does.
    pub fn with_scripts(&self) -> Vec<&Locked> {
        let has = |file: &&Locked| file.more.get("hasInstallScript") == Some(&Value::Bool(true));
        self.files.iter().filter(has).collect()
    }

    /// How `now` differs, in lines for people; of what has other bytes under the same version first.
    pub fn differs_from(&self, now: &Self) -> Vec<String> {
        let (mut swapped, mut others) = (Vec::new(), Vec::new());
        let place = |file: &Locked| file.place.clone().unwrap_or_else(|| file.name.clone());
        for was in &self.files {
            let (name, version) = (&was.name, &was.version);
            match now.files.iter().find(|is| place(is) == place(was)) {
                None => others.push(format!("{name} {version} would not be there")),
                Some(is) if is.version != *version => {
                    others.push(format!("{name} would be {}, and is {version}", is.version));
                }
                // A file that was published later is no other than the one that is there.
                Some(is) if was.digests.iter().any(|digest| is.digests.contains(digest)) => {}
                Some(is) if is.digests == was.digests => {}
                Some(_) => {
                    swapped.push(format!("{name} {version} HAS OTHER BYTES than it had under this version"));
                }
            }
        }
        for is in now.files.iter().filter(|is| !self.files.iter().any(|was| place(was) == place(is))) {
            others.push(format!("{} {} would be there, too", is.name, is.version));
        }
        swapped.append(&mut others);
        swapped
    }

    /// # Errors
    /// It is larger than anything that somebody would look at, and than what can be kept.
    pub(super) fn bounded(mut self) -> Result<Self, Failed> {
        if self.files.len() > MOST || self.written().len() > LONGEST {
            let (name, found) = (self.name(), self.files.len());
            return Err(Failed::new(format!(
                "{name} comes to {found} packages, which is too much to be locked"
            )));
        }
        let key = |file: &Locked| (file.place.clone(), file.name.clone());
        self.files.sort_by_key(key);
        if self.files.windows(2).any(|pair| key(&pair[0]) == key(&pair[1])) {
            return Err(Failed::new(format!("{} comes to two packages of one name", self.name())));
        }
        Ok(self)
    }
}

/// The SHA-256 of something, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// Whether a program has a name and no path: nothing that leads out of the folder of programs.
pub(super) fn is_program(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    name.len() <= 128 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(allowed)
}

/// The refusal of a file that is not the one that its publisher means.
pub(super) fn other_than_said(name: &str, version: &str, said: &str) -> Failed {
    Failed::new(format!(
        "the file of {name} {version} is not the one that its server.json means (fileSha256 {said}): either may be wrong. It is \
         not used; ask its publisher which file is meant"
    ))
}
