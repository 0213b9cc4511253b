//! Who needs whom in a lock of npm, and what of it is for this machine.
//!
//! npm leaves out whatever is optional and cannot be had, and says nothing of it. So nothing is left to it: a lock has all that any
//! of its packages asks for, for all machines, and what this one goes without is decided here, by what publishers say of the
//! machines that a package is for (`os`, `cpu`, `libc`). Which versions would do is not looked at: npm has chosen them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::{env, fs};

use serde_json::Value;

use crate::packages::{Locked, Root};

/// What a package asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// It is nothing without.
    Always,
    /// It does without where that is for other machines.
    WhereItCan,
    /// It uses it where it is there for another one.
    IfThere,
}

/// The packages of a lock, by their places.
pub(in crate::packages) struct Tree<'a> {
    files: BTreeMap<&'a str, &'a Locked>,
    roots: &'a [Root],
}

/// A machine, as npm knows it.
pub(in crate::packages) struct Machine {
    pub(in crate::packages) os: &'static str,
    pub(in crate::packages) cpu: &'static str,
    pub(in crate::packages) libc: Option<&'static str>,
}

impl<'a> Tree<'a> {
    pub(in crate::packages) fn of(roots: &'a [Root], files: &'a [Locked]) -> Self {
        let files = files.iter().filter_map(|file| Some((file.place.as_deref()?, file))).collect();
        Self { files, roots }
    }

    /// The first package that is asked for and not there: who asks, and for what.
    pub(in crate::packages) fn lacks(&self) -> Option<(&'a str, &'a str)> {
        let root = |root: &&'a Root| self.find("", &root.name).is_none_or(|it| it.version != root.version);
        if let Some(root) = self.roots.iter().find(root) {
            return Some(("", &root.name));
        }
        self.files.iter().find_map(|(&place, file)| {
            let mut needs = needs(file).filter(|(_, need)| *need != Need::IfThere);
            needs.find(|(name, _)| self.find(place, name).is_none()).map(|(name, _)| (place, name))
        })
    }

    /// What is installed on a machine. What there is no way around is, whatever machine it is for: npm says that.
    pub(in crate::packages) fn wanted(&self, machine: &Machine) -> BTreeMap<&'a str, &'a Locked> {
        let foreign = self.foreign(machine);
        let mut wanted = BTreeMap::new();
        let mut found: Vec<_> = self.roots.iter().filter_map(|root| self.find("", &root.name)).collect();
        while let Some(file) = found.pop() {
            let place = place(file);
            if wanted.insert(place, file).is_some() {
                continue;
            }
            let needed = needs(file).filter_map(|(name, need)| Some((self.find(place, name)?, need)));
            let here =
                needed.filter(|(file, need)| *need == Need::Always || !foreign.contains(self::place(file)));
            found.extend(here.map(|(file, _)| file));
        }
        wanted
    }

    /// What a machine can do nothing with: what is for others, and what is nothing without that.
    fn foreign(&self, machine: &Machine) -> HashSet<&'a str> {
        let mut needed_by: HashMap<&str, Vec<&'a str>> = HashMap::new();
        for (&from, file) in &self.files {
            for (name, _) in needs(file).filter(|(_, need)| *need == Need::Always) {
                if let Some(needed) = self.find(from, name) {
                    needed_by.entry(place(needed)).or_default().push(from);
                }
            }
        }
        let foreign = self.files.iter().filter(|(_, file)| !machine.is_for(file));
        let mut found: Vec<_> = foreign.map(|(&place, _)| place).collect();
        let mut foreign = HashSet::new();
        while let Some(place) = found.pop() {
            if foreign.insert(place) {
                found.extend(needed_by.get(place).into_iter().flatten());
            }
        }
        foreign
    }

    /// What a package at `from` gets by a name: the nearest one above it.
    pub(in crate::packages) fn find(&self, from: &str, name: &str) -> Option<&'a Locked> {
        let mut from = Some(from);
        while let Some(place) = from {
            let below = if place.is_empty() { String::new() } else { format!("{place}/") };
            if let Some(file) = self.files.get(format!("{below}node_modules/{name}").as_str()) {
                return Some(file);
            }
            let above = place.rfind("/node_modules/").map_or("", |end| &place[..end]);
            from = (!place.is_empty()).then_some(above);
        }
        None
    }
}

/// Where npm puts it.
fn place(file: &Locked) -> &str {
    file.place.as_deref().unwrap_or_default()
}

/// What a package asks for, by name.
fn needs(file: &Locked) -> impl Iterator<Item = (&str, Need)> {
    let has = |key: &str, name: &str| file.more.get(key).is_some_and(|it| it.get(name).is_some());
    let peer_may_lack = |name: &str| {
        let meta = file.more.get("peerDependenciesMeta");
        meta.and_then(|meta| meta.get(name)?.get("optional")?.as_bool()) == Some(true)
    };
    let always = names(file, "dependencies").filter(move |name| !has("optionalDependencies", name));
    let always = always.map(|name| (name, Need::Always));
    let optional = names(file, "optionalDependencies").map(|name| (name, Need::WhereItCan));
    let peers = names(file, "peerDependencies")
        .map(move |name| (name, if peer_may_lack(name) { Need::IfThere } else { Need::Always }));
    always.chain(optional).chain(peers)
}

fn names<'a>(file: &'a Locked, key: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let found = file.more.get(key).and_then(Value::as_object);
    found.into_iter().flatten().map(|(name, _)| name.as_str())
}

impl Machine {
    /// This one.
    pub(in crate::packages) fn here() -> Self {
        let os = match env::consts::OS {
            "macos" => "darwin",
            os => os,
        };
        let cpu = match env::consts::ARCH {
            "x86_64" => "x64",
            "x86" => "ia32",
            "aarch64" => "arm64",
            "powerpc64" => "ppc64",
            "loongarch64" => "loong64",
            arch => arch,
        };
        Self { os, cpu, libc: libc().filter(|_| os == "linux") }
    }

    /// Whether a package is for it, if it alone is asked.
    fn is_for(&self, file: &Locked) -> bool {
        let allows = |key: &str, own: Option<&str>| file.more.get(key).is_none_or(|it| allows(it, own));
        allows("os", Some(self.os)) && allows("cpu", Some(self.cpu)) && allows("libc", self.libc)
    }
}

/// Whether `own` is in a list of what is meant, or of what is not (`!win32`), as npm has it.
fn allows(list: &Value, own: Option<&str>) -> bool {
    let list = list.as_array().map_or(std::slice::from_ref(list), Vec::as_slice);
    let list: Vec<_> = list.iter().filter_map(Value::as_str).collect();
    let Some(own) = own else { return false };
    let is_not = |entry: &str| entry.strip_prefix('!') == Some(own);
    list == ["any"]
        || !list.iter().any(|entry| is_not(entry))
            && (list.contains(&own) || list.iter().all(|entry| entry.starts_with('!')))
}

/// Which C library this machine has, found out as npm does: by its `ldd`, and where there is none by its loader.
fn libc() -> Option<&'static str> {
    match fs::read("/usr/bin/ldd") {
        Ok(ldd) => {
            let ldd = String::from_utf8_lossy(&ldd);
            ["musl", "GNU C Library"]
                .into_iter()
                .zip(["musl", "glibc"])
                .find(|(it, _)| ldd.contains(it))
                .map(|(_, libc)| libc)
        }
        Err(_) => {
            let loader = format!("/lib/ld-musl-{}.so.1", env::consts::ARCH);
            Some(if Path::new(&loader).exists() { "musl" } else { "glibc" })
        }
    }
}
