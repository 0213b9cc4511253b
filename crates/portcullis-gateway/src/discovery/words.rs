//! What of a tool's definition is searched: names, texts, and of its schema the arguments at any depth.

use portcullis_hub::search::{Entry, Part};
use portcullis_mcp::json::{Kind, Raw};

use crate::route::Listing;

/// How deep schemas are read. What hides deeper is nothing that a search would be about.
const DEPTH: usize = 6;
/// How much of a schema's texts is read, in bytes: some servers enumerate the world.
const MOST: usize = 16 * 1024;

/// The words of a list's tools.
pub(crate) fn words(listing: &Listing) -> Part {
    let texts: Vec<Texts> = listing.items.iter().map(|item| Texts::of(&item.raw)).collect();
    let entries = listing.items.iter().zip(&texts).map(|(item, texts)| Entry {
        name: item.known_as(),
        title: &texts.title,
        description: &texts.description,
        arguments: &texts.arguments,
        details: &texts.details,
        server: listing.server.as_str(),
    });
    Part::new(entries)
}

#[derive(Default)]
struct Texts {
    title: String,
    description: String,
    arguments: String,
    details: String,
}

impl Texts {
    fn of(tool: &Raw) -> Self {
        let text = |key| tool.find_string(key).unwrap_or_default();
        let mut texts = Self { title: text("title"), description: text("description"), ..Self::default() };
        if let Some(schema) = tool.find("inputSchema") {
            texts.read(&schema, DEPTH);
        }
        texts
    }

    fn read(&mut self, schema: &Raw, depth: usize) {
        if depth == 0 || schema.kind() != Kind::Object {
            return;
        }
        for member in schema.members() {
            match &*member.key() {
                "properties" => {
                    for property in member.value().members() {
                        add(&mut self.arguments, &property.key());
                        self.read_property(&property.value(), depth);
                    }
                }
                "items" | "additionalProperties" => self.read(&member.value(), depth - 1),
                "anyOf" | "oneOf" | "allOf" => {
                    for one in member.value().elements() {
                        self.read(&one, depth - 1);
                    }
                }
                _ => {}
            }
        }
    }

    fn read_property(&mut self, property: &Raw, depth: usize) {
        if property.kind() != Kind::Object {
            return;
        }
        add(&mut self.details, &property.find_string("description").unwrap_or_default());
        for value in property.find("enum").iter().flat_map(|values| values.elements().collect::<Vec<_>>()) {
            add(&mut self.details, &value.string().unwrap_or_default());
        }
        self.read(property, depth - 1);
    }
}

fn add(to: &mut String, text: &str) {
    if to.len() + text.len() < MOST {
        to.push(' ');
        to.push_str(text);
    }
}
