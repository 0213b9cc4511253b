//! Private data, untrusted content and effects on the outside: any two of them may meet, all three may not.
//!
//! Operators label servers and tools; servers can only add to that, in the `_meta` of a result. What a caller has read
//! within a window is joined, and never taken back before the window is over: a model that has read a customer's file and
//! then a stranger's text may be led by the one to send the other. A call counts from when it is sent, whatever comes of it.
//!
//! Regions are the other rule: data of a region is for callers of the region, and who holds it calls only servers of it.

mod windows;

use std::collections::BTreeMap;
use std::time::Duration;

use portcullis_model::matches_pattern;
use serde::{Deserialize, Serialize};

pub use windows::{Joined, Who, Windows};

/// What is labelled how: patterns, `SERVER` or `SERVER/NAME`, with `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Gives private data.
    pub private: Vec<String>,
    /// Gives what strangers may have written.
    pub untrusted: Vec<String>,
    /// Acts on the outside.
    pub external: Vec<String>,
    /// Regions.
    pub regions: Vec<Region>,
    /// For how long what was read counts.
    pub window: Duration,
}

/// Data that has to stay with some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// What gives its data.
    pub data: Vec<String>,
    /// What may be called by whoever holds it, beside what gives it.
    pub servers: Vec<String>,
    /// The groups whose members may have it; everybody when both are empty.
    pub groups: Vec<String>,
    /// The callers who may have it.
    pub principals: Vec<String>,
}

/// What something is, or what has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// Whence private data comes, if there is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<String>,
    /// Whence untrusted content comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untrusted: Option<String>,
    /// Regions whose data it is, and whence.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub regions: BTreeMap<String, String>,
}

/// Why a call may not simply be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// It acts on the outside, and the caller has read both.
    Exfiltration {
        /// Whence the private data came.
        private: String,
        /// Whence the untrusted content came.
        untrusted: String,
    },
    /// The caller holds data of a region, and this is outside.
    Leaves {
        /// Which region.
        region: String,
        /// Whence its data came.
        from: String,
    },
    /// The data is of a region, and the caller is not of it. No release changes that.
    Outside {
        /// Which region.
        region: String,
    },
}

impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exfiltration { private, untrusted } => {
                write!(
                    f,
                    "it acts on the outside after private data ({private}) and untrusted content ({untrusted}) were read"
                )
            }
            Self::Leaves { region, from } => {
                write!(f, "it is outside of `{region}`, whose data was read ({from})")
            }
            Self::Outside { region } => write!(f, "its data is for callers of `{region}`"),
        }
    }
}

impl Labels {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What there is, in words: `private`, `untrusted`, `region:eu`.
    pub fn words(&self) -> Vec<String> {
        let private = self.private.iter().map(|_| "private".to_owned());
        let untrusted = self.untrusted.iter().map(|_| "untrusted".to_owned());
        let regions = self.regions.keys().map(|region| format!("region:{region}"));
        private.chain(untrusted).chain(regions).collect()
    }

    /// Joins; whether anything was added.
    pub fn join(&mut self, other: &Self) -> bool {
        let before = (self.private.is_some(), self.untrusted.is_some(), self.regions.len());
        if self.private.is_none() {
            self.private.clone_from(&other.private);
        }
        if self.untrusted.is_none() {
            self.untrusted.clone_from(&other.untrusted);
        }
        for (region, from) in &other.regions {
            self.regions.entry(region.clone()).or_insert_with(|| from.clone());
        }
        before != (self.private.is_some(), self.untrusted.is_some(), self.regions.len())
    }

    /// What the words of a result's own labels say; what is no label of ours says nothing.
    pub fn said<'a>(words: impl Iterator<Item = &'a str>, from: &str) -> Self {
        let mut labels = Self::default();
        for word in words.take(16) {
            match word {
                "private" => labels.private = Some(from.to_owned()),
                "untrusted" => labels.untrusted = Some(from.to_owned()),
                word => {
                    if let Some(region) = word.strip_prefix("region:").filter(|name| name.len() <= 64) {
                        labels.regions.insert(region.to_owned(), from.to_owned());
                    }
                }
            }
        }
        labels
    }
}

/// Whether a pattern is of a thing of a server.
pub fn is_of(pattern: &str, server: &str, name: &str) -> bool {
    match pattern.split_once('/') {
        Some((of, what)) => matches_pattern(of, server) && matches_pattern(what, name),
        None => matches_pattern(pattern, server),
    }
}

fn any(patterns: &[String], server: &str, name: &str) -> bool {
    patterns.iter().any(|pattern| is_of(pattern, server, name))
}

impl Rules {
    /// Whether nothing is labelled.
    pub fn is_empty(&self) -> bool {
        self.private.is_empty()
            && self.untrusted.is_empty()
            && self.external.is_empty()
            && self.regions.is_empty()
    }

    /// What whoever calls this has read.
    pub fn read(&self, server: &str, name: &str) -> Labels {
        let from = || format!("{server}/{name}");
        let regions = self.regions.iter().filter(|region| any(&region.data, server, name));
        Labels {
            private: any(&self.private, server, name).then(from),
            untrusted: any(&self.untrusted, server, name).then(from),
            regions: regions.map(|region| (region.name.clone(), from())).collect(),
        }
    }

    /// Whether it depends on what was read whether this may be called.
    pub fn is_sink(&self, server: &str, name: &str) -> bool {
        let leaves =
            |region: &Region| !any(&region.servers, server, name) && !any(&region.data, server, name);
        any(&self.external, server, name) || self.regions.iter().any(leaves)
    }

    /// What speaks against a call by whoever has read all this.
    pub fn conflicts(&self, window: &Labels, server: &str, name: &str) -> Vec<Conflict> {
        let mut conflicts = Vec::new();
        if any(&self.external, server, name)
            && let (Some(private), Some(untrusted)) = (&window.private, &window.untrusted)
        {
            let (private, untrusted) = (private.clone(), untrusted.clone());
            conflicts.push(Conflict::Exfiltration { private, untrusted });
        }
        for (region, from) in &window.regions {
            let rule = self.regions.iter().find(|rule| rule.name == *region);
            let inside = |rule: &Region| any(&rule.servers, server, name) || any(&rule.data, server, name);
            if !rule.is_some_and(inside) {
                conflicts.push(Conflict::Leaves { region: region.clone(), from: from.clone() });
            }
        }
        conflicts
    }

    /// The region whose data this is, and that the caller is not of.
    pub fn outside(&self, server: &str, name: &str, id: &str, groups: &[String]) -> Option<Conflict> {
        let has = |region: &&Region| {
            (region.groups.is_empty() && region.principals.is_empty())
                || region.principals.iter().any(|one| one == id)
                || region.groups.iter().any(|group| groups.contains(group))
        };
        let of = self.regions.iter().filter(|region| any(&region.data, server, name));
        let region = of.into_iter().find(|region| !has(region))?;
        Some(Conflict::Outside { region: region.name.clone() })
    }
}

#[cfg(test)]
mod tests;
