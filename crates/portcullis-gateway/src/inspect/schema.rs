//! Whether a structured result fits what its tool says of it (2026-07-28, tools, output schema).
//!
//! Asked only of results that the guard has changed. Schemas are servers' words: nothing that they refer to is fetched, and
//! their patterns run in linear time. A schema that cannot be understood is no schema.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use foldhash::HashMap;
use jsonschema::{PatternOptions, Validator};
use portcullis_guard::{Action, FieldRule, Path};
use portcullis_mcp::json::Raw;

/// Schemas that are kept ready.
const MOST_KEPT: usize = 256;
/// Largest schema that is read, in bytes.
const LARGEST: usize = 256 << 10;
/// Misfits of one result that are mended.
const MOST_MENDED: usize = 64;

/// Schemas that were asked about.
#[derive(Default)]
pub(super) struct Schemas(Mutex<HashMap<Bytes, Option<Arc<Schema>>>>);

/// A schema.
pub(super) struct Schema(Validator);

impl Schemas {
    /// The schema, if it is one.
    pub(super) fn of(&self, raw: &Raw) -> Option<Arc<Schema>> {
        if raw.as_bytes().len() > LARGEST {
            return None;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(schema) = known.get(raw.as_bytes()) {
            return schema.clone();
        }
        if known.len() >= MOST_KEPT {
            known.clear();
        }
        let schema = Schema::read(raw).map(Arc::new);
        // A copy: the slice would keep the whole list that it is from.
        known.insert(Bytes::copy_from_slice(raw.as_bytes()), schema.clone());
        schema
    }
}

impl Schema {
    fn read(raw: &Raw) -> Option<Self> {
        let value: serde_json::Value = raw.to().ok()?;
        let options = jsonschema::options().with_pattern_options(PatternOptions::regex());
        options.build(&value).ok().map(Self)
    }

    /// What would have to go for `data` to fit; `None` when it fits.
    pub(super) fn misfits(&self, data: &Raw) -> Option<Vec<FieldRule>> {
        let data: serde_json::Value = data.to().ok()?;
        if self.0.is_valid(&data) {
            return None;
        }
        let places = self.0.iter_errors(&data).take(MOST_MENDED);
        Some(places.filter_map(|error| drop_at(error.instance_path().as_str())).collect())
    }
}

/// Whether data fits a schema. One that cannot be understood is no schema, and everything fits.
pub(crate) fn fits(schema: &Raw, data: &Raw) -> bool {
    Schema::read(schema).is_none_or(|schema| schema.misfits(data).is_none())
}

/// Drops what a JSON pointer (RFC 6901) points at; `None` for what no path can say.
fn drop_at(pointer: &str) -> Option<FieldRule> {
    let mut path = "$".to_owned();
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        if token.bytes().all(|byte| byte.is_ascii_digit()) {
            let _ = write!(path, "[{token}]");
        } else {
            let _ = write!(path, "['{token}']");
        }
    }
    let path = Path::parse(&path).ok().filter(|_| pointer.len() > 1)?;
    Some(FieldRule { path, entities: None, action: Action::Drop })
}
