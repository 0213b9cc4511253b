//! The content filter: is what passes fit for who reads it?
//!
//! Pure: text or JSON in, findings or changed bytes out. [`Engine`] finds ([`Engine::scan_text`], [`Engine::scan_json`])
//! and changes ([`Engine::transform_json`], as a [`Plan`] says). One pass over the text proposes candidates (`sweep`),
//! `recognise` confirms them by their checksums and by the words around them, `view` sees through encodings. What it
//! deliberately does not do: I/O, configuration, and deciding which rules hold for whom; the caller hands in a plan, and what
//! somebody else has found ([`Told`]).

mod action;
mod context;
mod engine;
mod entity;
mod finding;
mod json;
mod known;
mod path;
mod plan;
mod recognise;
mod settings;
mod sweep;
mod text;
mod told;

pub use action::Action;
pub use engine::Engine;
pub use entity::{Entity, EntitySet};
pub use finding::{Finding, Limit, Scan};
pub use known::KnownValues;
pub use path::{Path, PathError};
pub use plan::{Applied, FieldRule, Outcome, Plan, Pseudonyms, Report};
pub use settings::{Limits, Settings, SettingsError};
pub use told::{Span, Told};
