//! An object whose members were noted while it was checked.
//!
//! It reads like any other [`Raw`]; it only finds its members without walking them. One that was made in another way, or
//! has more members than are noted, is walked.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

use super::outline::Outline;
use super::raw::{Member, Members};
use super::{JsonError, Kind, Limits, Raw, scan};

/// A JSON value whose members, when it is an object, are found quickly.
#[derive(Clone)]
pub struct Object {
    raw: Raw,
    noted: Option<Noted>,
}

/// Where an object's members stand in an outline.
#[derive(Clone)]
pub(super) struct Noted {
    outline: Arc<Outline>,
    /// The first entry that may be a member's.
    first: usize,
    /// The members' depth in the document.
    depth: u8,
    /// Where the object starts in the document.
    base: usize,
}

/// Levels of a message that are noted: its members, those of `params` or `result`, and those of `_meta`.
const LEVELS: u8 = 3;

impl Object {
    /// Checks that `bytes` hold exactly one JSON value, which may be of any kind, and notes the members of its upper
    /// levels.
    ///
    /// # Errors
    /// What is wrong and where; see [`JsonError`].
    #[allow(clippy::needless_pass_by_value, reason = "the value shares the bytes: it takes them over")]
    pub fn parse(bytes: Bytes, limits: Limits) -> Result<Self, JsonError> {
        let checked = scan::check(&bytes, limits, LEVELS)?;
        let noted = Noted { outline: Arc::new(checked.outline), first: 0, depth: 1, base: checked.start };
        Ok(Self { raw: Raw(bytes.slice(checked.start..checked.end)), noted: Some(noted) })
    }

    /// The members in order; none when this is no object.
    pub fn members(&self) -> Members<'_> {
        match &self.noted {
            Some(noted) if noted.outline.covers(noted.depth) => Members::noted(
                &self.raw,
                noted.outline.from(if self.raw.kind() == Kind::Object { noted.first } else { usize::MAX }),
                noted.depth,
                noted.base,
            ),
            _ => self.raw.members(),
        }
    }

    /// The value of a member, if this is an object that has it.
    pub fn find(&self, key: &str) -> Option<Raw> {
        self.members().named(key).map(|member| member.value())
    }

    /// The values of several members, in one pass.
    pub fn pick<const N: usize>(&self, keys: [&str; N]) -> [Option<Raw>; N] {
        self.members().pick(keys)
    }

    /// The value of a member; its own members are as quickly found.
    pub fn find_object(&self, key: &str) -> Option<Self> {
        self.members().named(key).map(|member| self.inside(&member))
    }

    /// The value of one of this object's members.
    pub(crate) fn inside(&self, member: &Member<'_>) -> Self {
        let noted = self.noted.as_ref().zip(member.place()).map(|(noted, place)| Noted {
            outline: noted.outline.clone(),
            first: noted.first + place + 1,
            depth: noted.depth + 1,
            base: noted.base + member.value_span().0,
        });
        Self { raw: member.value(), noted }
    }

    /// The decoded string of a member.
    pub fn find_string(&self, key: &str) -> Option<String> {
        self.find(key)?.string().map(std::borrow::Cow::into_owned)
    }

    /// The value itself.
    pub fn raw(&self) -> &Raw {
        &self.raw
    }

    /// The value alone.
    pub fn into_raw(self) -> Raw {
        self.raw
    }
}

impl From<Raw> for Object {
    fn from(raw: Raw) -> Self {
        Self { raw, noted: None }
    }
}

impl From<Object> for Raw {
    fn from(object: Object) -> Self {
        object.raw
    }
}

impl Deref for Object {
    type Target = Raw;
    fn deref(&self) -> &Raw {
        &self.raw
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}
