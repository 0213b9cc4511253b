//! Schemas of a document as JSON Schema of 2020-12, each able to stand alone.
//!
//! What is the same in both stays the bytes that it was: members that mean nothing else, values, the text of numbers.
//! Changed is what means something else elsewhere. References lead to `$defs` of the schema itself, into which whatever it
//! refers to is taken, however the definitions refer to each other; the dialect of OpenAPI 3.0 (`nullable`, exclusive bounds
//! that are truth values) becomes what it means; what is for generators of code (`xml`, `discriminator`, `x-…`) goes. What
//! a request need not have, because only answers do (`readOnly`), is not required of it, and the other way round.
//!
//! A reference that leads nowhere, or out of the document, lets anything be there: the API decides.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use portcullis_mcp::json::{Change, Kind, Raw, Writer, write_string};

use crate::document::Document;

/// Which way a value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the API.
    Request,
    /// From it.
    Response,
}

/// A schema with all that it refers to is larger than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// Writes schemas that share their definitions.
pub(crate) struct Schemas<'d> {
    document: &'d Document,
    way: Way,
    /// How many bytes may still be written.
    room: usize,
    /// The name of each definition, by the reference to it.
    names: HashMap<String, String>,
    taken: HashSet<String>,
    /// References whose definitions are still to be written.
    wanted: Vec<String>,
}

/// Keywords whose value is a schema.
const ONE: &[&str] = &[
    "additionalItems",
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords whose value is a list of schemas.
const LIST: &[&str] = &["allOf", "anyOf", "items", "oneOf", "prefixItems"];
/// Keywords whose value has schemas for members.
const NAMED: &[&str] = &["dependentSchemas", "patternProperties", "properties"];
/// What means nothing outside of the document, or would have references mean something else.
const DROPPED: &[&str] = &[
    "$anchor",
    "$comment",
    "$defs",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$schema",
    "$vocabulary",
    "definitions",
    "discriminator",
    "externalDocs",
    "xml",
];

impl<'d> Schemas<'d> {
    /// For schemas that come to at most `room` bytes together.
    pub(crate) fn new(document: &'d Document, way: Way, room: usize) -> Self {
        let (names, taken, wanted) = (HashMap::new(), HashSet::new(), Vec::new());
        Self { document, way, room, names, taken, wanted }
    }

    /// A schema, with a description in place of its own.
    pub(crate) fn write(&mut self, schema: &Raw, description: Option<&Raw>) -> Result<Raw, TooLarge> {
        let mut out = Vec::new();
        self.schema(schema, &mut out)?;
        let written = Raw::trusted(out);
        let Some(description) = description.filter(|text| text.kind() == Kind::String) else {
            return Ok(written);
        };
        self.take_room(description.as_bytes().len())?;
        let change = [("description", Change::Set(description.as_bytes()))];
        // One that lets anything be there may be no object.
        let written = if written.kind() == Kind::Object { written } else { Raw::from_static("{}") };
        Ok(written.with(&change))
    }

    /// A schema whose values are objects, with all that it refers to: as a tool says what it gives.
    pub(crate) fn write_whole(&mut self, schema: &Raw) -> Result<Raw, TooLarge> {
        let Some(schema) = self.document.resolve(schema) else {
            return Ok(Raw::from_static(r#"{"type":"object"}"#));
        };
        let written = self.write(&schema, None)?;
        let written = match written.find("type") {
            Some(_) => written,
            None => written.with(&[("type", Change::Set(br#""object""#))]),
        };
        Ok(match self.definitions()? {
            Some(definitions) => written.with(&[("$defs", Change::Set(definitions.as_bytes()))]),
            None => written,
        })
    }

    /// All that was referred to, as the value of `$defs`; `None` when that is nothing.
    pub(crate) fn definitions(&mut self) -> Result<Option<Raw>, TooLarge> {
        let mut out = Vec::from(b"{");
        while let Some(reference) = self.wanted.pop() {
            let Some(schema) = self.document.find(&reference) else { continue };
            if out.len() > 1 {
                out.push(b',');
            }
            write_string(&mut out, &self.names[&reference]);
            out.push(b':');
            self.schema(&schema, &mut out)?;
        }
        out.push(b'}');
        Ok((out.len() > 2).then(|| Raw::trusted(out)))
    }

    /// Whether all values of a schema are objects, as far as it says so itself.
    pub(crate) fn is_object(&self, schema: &Raw) -> bool {
        self.is_object_within(schema, 8)
    }

    fn is_object_within(&self, schema: &Raw, hops: usize) -> bool {
        let schema = self.document.resolve(schema).filter(|schema| self.document.spend_on(schema, 4));
        let Some(schema) = schema else { return false };
        if self.is_nullable(&schema) {
            return false;
        }
        match schema.find("type") {
            Some(kind) => kind.is_text("object"),
            None if schema.find("properties").is_some() => true,
            None if hops == 0 => false,
            None => {
                let all = schema.find("allOf");
                all.iter().flat_map(Raw::elements).take(64).any(|part| self.is_object_within(&part, hops - 1))
            }
        }
    }

    fn is_nullable(&self, schema: &Raw) -> bool {
        self.document.is_3_0() && schema.find("nullable").and_then(|it| it.bool()) == Some(true)
    }

    fn take_room(&mut self, bytes: usize) -> Result<(), TooLarge> {
        self.room = self.room.checked_sub(bytes).ok_or(TooLarge)?;
        Ok(())
    }

    fn schema(&mut self, schema: &Raw, out: &mut Vec<u8>) -> Result<(), TooLarge> {
        match schema.kind() {
            Kind::Bool => {
                out.extend_from_slice(schema.as_bytes());
                return self.take_room(5);
            }
            Kind::Object => {}
            // No schema at all.
            _ => {
                out.extend_from_slice(b"{}");
                return self.take_room(2);
            }
        }
        // Gone through once, with all that is in it: nested schemas are gone through again.
        if !self.document.spend(schema.as_bytes().len()) {
            return Err(TooLarge);
        }
        let all = All::of(schema);
        let combines = ["allOf", "anyOf", "oneOf"].iter().any(|key| all.find(key).is_some());
        let nullable = self.document.is_3_0() && all.is_true("nullable");
        let wraps = nullable && all.find("type").is_none() && combines;
        if wraps {
            out.extend_from_slice(br#"{"anyOf":["#);
        }
        self.object(&all, nullable, out)?;
        if wraps {
            out.extend_from_slice(br#",{"type":"null"}]}"#);
        }
        Ok(())
    }

    fn object(&mut self, all: &All, nullable: bool, out: &mut Vec<u8>) -> Result<(), TooLarge> {
        let mut members = Writer::begin(out);
        self.take_room(2)?;
        if let Some(reference) = all.find("$ref").and_then(Raw::string) {
            self.refer(&reference, &mut members)?;
            if self.document.is_3_0() {
                // What stands beside a reference counts for nothing there.
                members.end();
                return Ok(());
            }
        }
        for (key, value) in &all.0 {
            self.take_room(key.len() + 4)?;
            self.member(all, nullable, (key, value), &mut members)?;
        }
        members.end();
        Ok(())
    }

    fn member(
        &mut self,
        schema: &All,
        nullable: bool,
        (key, value): (&str, &Raw),
        members: &mut Writer<'_>,
    ) -> Result<(), TooLarge> {
        if key == "$ref" || key.starts_with("x-") || DROPPED.contains(&key) {
            return Ok(());
        }
        if ONE.contains(&key) && matches!(value.kind(), Kind::Object | Kind::Bool) {
            return self.schema(value, members.key(key));
        }
        if LIST.contains(&key) && value.kind() == Kind::Array {
            let out = members.key(key);
            out.push(b'[');
            for (index, part) in value.elements().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                self.schema(&part, out)?;
            }
            out.push(b']');
            return Ok(());
        }
        if NAMED.contains(&key) && value.kind() == Kind::Object {
            let mut named = Writer::begin(members.key(key));
            for property in value.members() {
                let key = property.key();
                self.take_room(key.len() + 4)?;
                self.schema(&property.value(), named.key(&key))?;
            }
            named.end();
            return Ok(());
        }
        let is_3_0 = self.document.is_3_0();
        let changed: Option<Raw> = match key {
            "required" => self.required(schema, value),
            "example" if schema.find("examples").is_none() => {
                self.take_room(value.as_bytes().len())?;
                members.put("examples", format!("[{value}]").as_bytes());
                return Ok(());
            }
            "example" => None,
            "nullable" if is_3_0 => None,
            "type" if nullable && value.kind() == Kind::String => {
                Some(Raw::trusted(format!("[{value},\"null\"]")))
            }
            "enum" if nullable && schema.find("type").is_some() => Some(with_null(value)),
            "exclusiveMinimum" if is_3_0 && value.kind() == Kind::Bool => exclusive(schema, value, "minimum"),
            "exclusiveMaximum" if is_3_0 && value.kind() == Kind::Bool => exclusive(schema, value, "maximum"),
            "minimum" if is_3_0 && schema.is_true("exclusiveMinimum") => None,
            "maximum" if is_3_0 && schema.is_true("exclusiveMaximum") => None,
            _ => Some(value.clone()),
        };
        if let Some(value) = changed {
            self.take_room(value.as_bytes().len())?;
            members.put(key, value.as_bytes());
        }
        Ok(())
    }

    fn refer(&mut self, reference: &str, members: &mut Writer<'_>) -> Result<(), TooLarge> {
        if self.document.find(reference).is_none_or(|it| !matches!(it.kind(), Kind::Object | Kind::Bool)) {
            return Ok(());
        }
        let name = match self.names.get(reference) {
            Some(name) => name.clone(),
            None => self.name(reference),
        };
        self.take_room(name.len() + 16)?;
        let mut to = Vec::new();
        write_string(&mut to, &format!("#/$defs/{name}"));
        members.put("$ref", &to);
        Ok(())
    }

    /// A name for a definition that needs no escapes, made of the last part of the reference to it.
    fn name(&mut self, reference: &str) -> String {
        let last = reference.rsplit('/').next().unwrap_or_default();
        let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' };
        let plain: String = last.chars().map(safe).take(100).collect();
        let plain = if plain.is_empty() { "root".to_owned() } else { plain };
        let mut name = plain.clone();
        let mut count = 2;
        while !self.taken.insert(name.clone()) {
            name = format!("{plain}_{count}");
            count += 1;
        }
        self.names.insert(reference.to_owned(), name.clone());
        self.wanted.push(reference.to_owned());
        name
    }

    /// The required members, without those that go only the other way; `None` when nothing is left to be required.
    fn required(&self, schema: &All, required: &Raw) -> Option<Raw> {
        let document = self.document;
        let properties = schema.find("properties").filter(|properties| document.spend_on(properties, 1));
        let Some(properties) = properties else { return Some(required.clone()) };
        let properties: HashMap<_, _> = properties.members().map(|it| (it.key(), it.value())).collect();
        let other = match self.way {
            Way::Request => "readOnly",
            Way::Response => "writeOnly",
        };
        let goes_other_way = |name: &Raw| {
            let name = name.string().unwrap_or(Cow::Borrowed(""));
            let Some(property) = properties.get(&*name) else { return false };
            if !document.spend_on(property, 1) {
                return false;
            }
            is_true(property, other) || document.resolve(property).is_some_and(|it| is_true(&it, other))
        };
        let mut any = false;
        let left = required.map_elements(|name| {
            if goes_other_way(&name) {
                any = true;
                return None;
            }
            Some(name)
        });
        if any { Some(left).filter(|left| left.elements().next().is_some()) } else { Some(required.clone()) }
    }
}

fn is_true(schema: &Raw, key: &str) -> bool {
    schema.find(key).and_then(|it| it.bool()) == Some(true)
}

/// A bound that is exclusive in OpenAPI 3.0, where a truth value says so.
fn exclusive(schema: &All, value: &Raw, bound: &str) -> Option<Raw> {
    schema.find(bound).filter(|_| value.bool() == Some(true)).cloned()
}

/// The members of a schema, found without going through it again.
struct All(Vec<(String, Raw)>);

impl All {
    fn of(schema: &Raw) -> Self {
        Self(schema.members().map(|member| (member.key().into_owned(), member.value())).collect())
    }

    fn find(&self, key: &str) -> Option<&Raw> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    fn is_true(&self, key: &str) -> bool {
        self.find(key).and_then(Raw::bool) == Some(true)
    }
}

fn with_null(values: &Raw) -> Raw {
    if values.kind() != Kind::Array || values.elements().any(|value| value.kind() == Kind::Null) {
        return values.clone();
    }
    let mut out = values.as_bytes()[..values.as_bytes().len() - 1].to_vec();
    if values.elements().next().is_some() {
        out.push(b',');
    }
    out.extend_from_slice(b"null]");
    Raw::trusted(out)
}

#[cfg(test)]
mod tests;
