//! What something is done to: a server, or a thing that it has.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};

use portcullis_model::matches_pattern as matches;

use crate::schema::CALLERS;

/// What a server says that its tool does. Hints: true of servers that are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools, reason = "they are the protocol's")]
pub struct Annotations {
    /// It changes nothing.
    pub read_only: bool,
    /// It may destroy.
    pub destructive: bool,
    /// Done twice it does no more than done once.
    pub idempotent: bool,
    /// It reaches beyond its own domain.
    pub open_world: bool,
}

impl Default for Annotations {
    /// What holds for a tool that says nothing (2026-07-28, tools).
    fn default() -> Self {
        Self { read_only: false, destructive: true, idempotent: false, open_world: true }
    }
}

/// What kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ThingKind {
    /// The server itself; it has no name beside.
    Server,
    /// A toolset, which is of no server.
    Toolset,
    /// A tool.
    Tool(Annotations),
    /// A prompt.
    Prompt,
    /// A resource; its name is its URI.
    Resource,
    /// A template of resources; its name is the template. To policies it is a resource whose URI is not known yet.
    Template,
}

impl ThingKind {
    /// Another one for each.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Server => 0,
            Self::Prompt => 1,
            Self::Resource => 2,
            Self::Template => 3,
            Self::Toolset => 4,
            Self::Tool(said) => {
                let said = [said.read_only, said.destructive, said.idempotent, said.open_world];
                said.iter().fold(1, |number, said| number << 1 | u8::from(*said))
            }
        }
    }
}

/// A server, a thing that it has, under the server's own name for it, or a toolset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Thing<'a> {
    /// The server's slug; empty for a toolset.
    pub server: &'a str,
    /// Which kind.
    pub kind: ThingKind,
    /// The server's own name for it.
    pub name: &'a str,
}

impl<'a> Thing<'a> {
    /// A server.
    pub fn server(server: &'a str) -> Self {
        Self { server, kind: ThingKind::Server, name: "" }
    }

    /// A toolset.
    pub fn toolset(name: &'a str) -> Self {
        Self { server: "", kind: ThingKind::Toolset, name }
    }

    /// The server that it is, or is of.
    pub(crate) fn its_server(&self) -> Option<Thing<'a>> {
        (self.kind != ThingKind::Toolset).then(|| Thing::server(self.server))
    }

    /// Whether it could be taken for another: then nobody may do anything with it.
    pub(crate) fn is_ambiguous(&self) -> bool {
        matches!(self.kind, ThingKind::Resource | ThingKind::Template) && !crate::uri::is_plain(self.name)
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match self.kind {
            ThingKind::Server => "Server",
            ThingKind::Toolset => "Toolset",
            ThingKind::Tool(_) => "Tool",
            ThingKind::Prompt => "Prompt",
            ThingKind::Resource | ThingKind::Template => "Resource",
        }
    }

    pub(crate) fn uid(&self) -> EntityUid {
        match self.kind {
            ThingKind::Server => uid("Server", self.server),
            ThingKind::Toolset => uid("Toolset", self.name),
            _ => uid(self.type_name(), &format!("{}/{}", self.server, self.name)),
        }
    }

    /// Its entity, below its server and its labels; `hints` says whether somebody asks for what its server says of it.
    pub(crate) fn entity(
        &self,
        uid: EntityUid,
        parents: impl IntoIterator<Item = EntityUid>,
        hints: bool,
    ) -> Entity {
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let mut attributes = vec![("server".to_owned(), text(self.server))];
        match self.kind {
            ThingKind::Server => attributes = vec![("name".to_owned(), text(self.server))],
            ThingKind::Toolset => attributes = vec![("name".to_owned(), text(self.name))],
            ThingKind::Prompt => attributes.push(("name".to_owned(), text(self.name))),
            ThingKind::Tool(said) => {
                attributes.push(("name".to_owned(), text(self.name)));
                attributes.extend(hints.then(|| ("annotations".to_owned(), annotations(said))));
            }
            ThingKind::Resource | ThingKind::Template => {
                let scheme = self.name.split_once(':').map_or("", |(scheme, _)| scheme);
                attributes.push(("uri".to_owned(), text(self.name)));
                attributes.push(("scheme".to_owned(), text(&scheme.to_ascii_lowercase())));
            }
        }
        entity(uid, attributes, parents)
    }
}

fn annotations(hints: Annotations) -> RestrictedExpression {
    let hint = |name: &str, hint| (name.to_owned(), RestrictedExpression::new_bool(hint));
    record([
        hint("readOnlyHint", hints.read_only),
        hint("destructiveHint", hints.destructive),
        hint("idempotentHint", hints.idempotent),
        hint("openWorldHint", hints.open_world),
    ])
}

/// A record; the keys are distinct.
pub(crate) fn record(
    members: impl IntoIterator<Item = (String, RestrictedExpression)>,
) -> RestrictedExpression {
    RestrictedExpression::new_record(members).expect("a record's keys are distinct")
}

/// An entity; its attributes are distinct and literal.
pub(crate) fn entity(
    uid: EntityUid,
    attributes: impl IntoIterator<Item = (String, RestrictedExpression)>,
    parents: impl IntoIterator<Item = EntityUid>,
) -> Entity {
    let attributes = attributes.into_iter().collect();
    Entity::new(uid, attributes, parents.into_iter().collect()).expect("attributes are literals")
}

/// The types of the schema. Cedar reads a type name with its whole grammar, which costs more than a decision.
static TYPES: LazyLock<HashMap<&'static str, EntityTypeName>> = LazyLock::new(|| {
    let others = ["Action", "Role", "Group", "Label", "Server", "Tool", "Prompt", "Resource", "Toolset"];
    let names = others.into_iter().chain(CALLERS);
    names.map(|name| (name, name.parse().expect("the types are ours"))).collect()
});

/// The entity of a type of the schema.
pub(crate) fn uid(kind: &str, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(TYPES[kind].clone(), EntityId::new(id))
}

/// Which labels the operator gave to what. A pattern is `SERVER` for a server and all it has, or `SERVER/NAME`; `*` stands
/// for any characters.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    patterns: Vec<(EntityUid, String, Option<String>)>,
}

impl Labels {
    pub(crate) fn new(patterns: &BTreeMap<String, Vec<String>>) -> Self {
        let split = |label: &str, pattern: &String| match pattern.split_once('/') {
            Some((server, name)) => (uid("Label", label), server.to_owned(), Some(name.to_owned())),
            None => (uid("Label", label), pattern.clone(), None),
        };
        let patterns = patterns.iter().flat_map(|(label, all)| all.iter().map(move |one| split(label, one)));
        Self { patterns: patterns.collect() }
    }

    /// The server's own.
    pub(crate) fn of_server(&self, server: &str) -> Vec<EntityUid> {
        let by_pattern = self.patterns.iter().filter(|(_, of, name)| name.is_none() && matches(of, server));
        by_pattern.map(|(label, _, _)| label.clone()).collect()
    }

    /// Those of a thing itself; its server's come on top.
    pub(crate) fn of_thing(&self, thing: &Thing<'_>) -> Vec<EntityUid> {
        let is = |(_, server, name): &&(EntityUid, String, Option<String>)| {
            name.as_ref().is_some_and(|name| matches(server, thing.server) && matches(name, thing.name))
        };
        self.patterns.iter().filter(is).map(|(label, _, _)| label.clone()).collect()
    }

    /// Those that something of the server may have.
    pub(crate) fn within(&self, server: &str) -> Vec<EntityUid> {
        let may = self.patterns.iter().filter(|(_, of, _)| matches(of, server));
        may.map(|(label, _, _)| label.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_a_servers_or_a_things() {
        let patterns = [("internal", vec!["crm"]), ("pii", vec!["crm/*_contact", "hr"])];
        let patterns =
            patterns.map(|(label, of)| (label.to_owned(), of.into_iter().map(str::to_owned).collect()));
        let labels = Labels::new(&patterns.into());
        let tool = |server, name| Thing { server, kind: ThingKind::Tool(Annotations::default()), name };
        assert_eq!(labels.of_thing(&tool("crm", "get_contact")), [uid("Label", "pii")]);
        assert_eq!(labels.of_thing(&tool("crm", "get_deal")), []);
        assert_eq!(labels.of_server("crm"), [uid("Label", "internal")]);
        assert_eq!(labels.of_server("hr"), [uid("Label", "pii")]);
        assert_eq!(labels.within("crm"), [uid("Label", "internal"), uid("Label", "pii")]);
        assert_eq!(labels.within("x"), []);
    }
}
