//! The engine against its own surface.

mod bounds;
mod corpus;
mod identifiers;
mod properties;
mod scan;
mod secrets;
mod transform;

use std::collections::HashMap;

use aws_lc_rs::hmac;
use portcullis_guard::{Action, Engine, Entity, Plan, Pseudonyms, Settings};

/// An engine that looks for everything.
fn engine() -> Engine {
    Engine::new(&Settings::default()).expect("the defaults are good")
}

fn plan(action: Action) -> Plan {
    Plan::all(action, hmac::Key::new(hmac::HMAC_SHA256, b"a tenant's key"))
}

/// Entity and value of all that is found in a text.
fn found(engine: &Engine, text: &str) -> Vec<(Entity, String)> {
    engine
        .scan(text)
        .findings
        .iter()
        .map(|found| (found.entity, text[found.start..found.end].to_owned()))
        .collect()
}

/// Names that a map gives.
#[derive(Default)]
struct Names(HashMap<String, (Entity, String)>);

impl Pseudonyms for Names {
    fn seal(&mut self, entity: Entity, value: &str) -> Option<String> {
        let known = self
            .0
            .iter()
            .find(|(_, (kind, known))| *kind == entity && known == value)
            .map(|(name, _)| name.clone());
        Some(known.unwrap_or_else(|| {
            let name = format!("name-{:04}", self.0.len());
            self.0.insert(name.clone(), (entity, value.to_owned()));
            name
        }))
    }

    fn open(&mut self, entity: Entity, name: &str) -> Option<String> {
        self.0.get(name).filter(|(kind, _)| *kind == entity).map(|(_, value)| value.clone())
    }
}
