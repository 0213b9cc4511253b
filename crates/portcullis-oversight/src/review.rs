//! What speaks against a definition that nobody has looked at.
//!
//! All of it is exact: a reader can see for each reason that it is so. Whether a text sounds like an instruction is scored by
//! whoever is given as [`Suspicion`]; that only ever holds something back, and never lets anything through.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::definition::{Definition, DefinitionKind, Pin};
use crate::entry::{Entry, Reason};
use crate::hidden::has_hidden;
use crate::likeness::{alike, is_telling, likeness, words};
use crate::scope::server_of;

/// Says what in a definition of a server tells a model what to do.
pub type Suspicion = Arc<dyn Fn(&str, &Definition) -> Option<String> + Send + Sync>;

/// From so much on two texts are one.
const SAME: f32 = 0.9;

/// The names that servers are known by, for looking up whose a name is.
#[derive(Default)]
pub(crate) struct Names {
    /// By what they look like.
    alike: HashMap<(DefinitionKind, String), BTreeSet<(String, String)>>,
    /// Tools whose names cannot be mere words.
    telling: HashMap<String, BTreeSet<String>>,
    /// All tools, for `server__tool`.
    tools: BTreeSet<(String, String)>,
}

impl Names {
    pub(crate) fn add(&mut self, scope: &str, kind: DefinitionKind, name: &str) {
        let server = server_of(scope);
        if matches!(kind, DefinitionKind::Tool | DefinitionKind::Prompt) {
            let place = self.alike.entry((kind, likeness(name))).or_default();
            place.insert((server.to_owned(), name.to_owned()));
        }
        if kind == DefinitionKind::Tool {
            self.tools.insert((server.to_owned(), name.to_owned()));
            if is_telling(name) {
                self.telling.entry(name.to_owned()).or_default().insert(server.to_owned());
            }
        }
    }

    /// Something of another server that a name can be taken for. Two servers that come with the same plain name are no
    /// rarity; a name that only looks the same is no accident, nor is one that a known server comes up with later.
    fn taken_for(&self, scope: &str, definition: &Definition, baseline: bool) -> Option<Reason> {
        let server = server_of(scope);
        if baseline {
            return self.drawn_as(server, definition.kind, &definition.name);
        }
        let others = self.alike.get(&(definition.kind, likeness(&definition.name)))?;
        let (server, name) = others.iter().find(|(other, _)| other != server)?;
        Some(Reason::Shadows { server: server.clone(), name: name.clone() })
    }

    /// Something of another server whose name is in other letters, and looks the same.
    pub(crate) fn drawn_as(&self, scope: &str, kind: DefinitionKind, name: &str) -> Option<Reason> {
        let server = server_of(scope);
        if name.is_ascii() {
            return None;
        }
        let others = self.alike.get(&(kind, likeness(name)))?;
        let (server, name) = others.iter().find(|(other, named)| other != server && named != name)?;
        Some(Reason::Shadows { server: server.clone(), name: name.clone() })
    }

    /// A tool of another server that one of these words is.
    pub(crate) fn spoken_of(&self, scope: &str, words: &BTreeSet<String>) -> Option<Reason> {
        let server = server_of(scope);
        words.iter().find_map(|word| {
            let found = self.named(word);
            let own = found.iter().any(|(of, _)| of == server);
            let other = found.into_iter().find(|_| !own)?;
            Some(Reason::Mentions { server: other.0, name: other.1 })
        })
    }

    /// The tools that have a name, perhaps with their server's before it.
    fn named(&self, word: &str) -> Vec<(String, String)> {
        if let Some(servers) = self.telling.get(word) {
            return servers.iter().map(|server| (server.clone(), word.to_owned())).collect();
        }
        for part in ["__", ".", "/", ":"] {
            if let Some((server, name)) = word.split_once(part) {
                let tool = (server.to_owned(), name.to_owned());
                if self.tools.contains(&tool) {
                    return vec![tool];
                }
            }
        }
        Vec::new()
    }
}

/// What a definition's texts are, found out without looking at others' names.
pub(crate) struct Facts {
    hidden: bool,
    /// The words that may be names, but for those that it is listed with.
    words: BTreeSet<String>,
    renamed: Option<String>,
    suspicious: Option<String>,
}

impl Facts {
    /// Of a definition of `server`; `listed` are the names of all that it is listed with. What is not `compared` closely is only known again under a new
    /// name when it is the same to the letter.
    pub(crate) fn of(
        (server, definition): (&str, &Definition),
        gone: &[Gone],
        compared: bool,
        listed: &BTreeSet<&str>,
        suspicion: Option<&Suspicion>,
    ) -> Self {
        let mut words = words(&definition.text);
        words.retain(|word| !listed.contains(word.as_str()));
        let rest = if gone.is_empty() { None } else { without_name(&definition.text) };
        let same = |gone: &&Gone| {
            rest.as_ref()
                .is_some_and(|rest| gone.rest == *rest || (compared && alike(&gone.rest, rest) >= SAME))
        };
        let renamed = gone.iter().find(same);
        Self {
            hidden: hides(&definition.text) || has_hidden(&definition.name),
            words,
            renamed: renamed.map(|gone| gone.name.clone()),
            suspicious: suspicion.and_then(|suspicion| suspicion(server_of(server), definition)),
        }
    }
}

/// A definition before it is known whether it is let through.
pub(crate) struct Candidate<'a> {
    pub(crate) server: &'a str,
    pub(crate) definition: &'a Definition,
    /// It comes with the first list of the server, or another version of it has a thing of this name.
    pub(crate) baseline: bool,
    /// What it was when its version was approved, where that had one of its name.
    pub(crate) expected: Option<Pin>,
    /// When its version was approved, that had none of its name.
    pub(crate) unseen: bool,
    pub(crate) facts: &'a Facts,
}

/// What speaks against it.
pub(crate) fn reasons(candidate: &Candidate<'_>, names: &Names) -> Vec<Reason> {
    let Candidate { server, definition, baseline, facts, .. } = candidate;
    let mut reasons = Vec::new();
    if facts.hidden {
        reasons.push(Reason::Hidden);
    }
    reasons.extend(names.taken_for(server, definition, *baseline));
    reasons.extend(names.spoken_of(server, &facts.words));
    reasons.extend(facts.renamed.clone().map(|from| Reason::Renamed { from }));
    let suspicious = facts.suspicious.clone().or_else(|| definition.suspect.then(|| "orders".to_owned()));
    reasons.extend(suspicious.map(|what| Reason::Suspicious { what }));
    reasons
}

fn hides(text: &str) -> bool {
    // Of what JSON has to escape, an escape is all that is left to see.
    fn any(value: &serde_json::Value) -> bool {
        match value {
            serde_json::Value::String(text) => has_hidden(text),
            serde_json::Value::Array(elements) => elements.iter().any(any),
            serde_json::Value::Object(members) => {
                members.iter().any(|(key, value)| has_hidden(key) || any(value))
            }
            _ => false,
        }
    }
    serde_json::from_str(text).map_or_else(|_| has_hidden(text), |value| any(&value))
}

/// Something that is trusted and not listed any more, without its name.
pub(crate) struct Gone {
    name: String,
    rest: String,
}

impl Gone {
    pub(crate) fn of(entry: &Entry) -> Option<Self> {
        Some(Self { name: entry.name.clone(), rest: without_name(entry.text.as_ref()?)? })
    }
}

/// The rest of a definition when its name is taken away; `None` when nothing is left that could be told apart.
fn without_name(text: &str) -> Option<String> {
    let mut members: BTreeMap<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    for key in ["name", "title", "uri", "uriTemplate"] {
        members.remove(key);
    }
    members.get("description")?;
    serde_json::to_string(&members).ok()
}
