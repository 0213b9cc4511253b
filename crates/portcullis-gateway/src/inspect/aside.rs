//! What is not inspected: words between the gateway and its peers that nobody reads.
//!
//! A server's own state and ids never reach a client as they are (they are sealed on the way), and have to come back as they
//! went; to change them would break the call. They are laid aside while the rest is looked at. A page's URL is for the
//! user's browser and of no use with a part of it missing.

use portcullis_mcp::json::{Change, Kind, Object, Raw};

/// Members by their keys from the root; `*` is every member or element.
pub(super) type Places = &'static [&'static [&'static str]];

/// Of an `input_required` result.
pub(super) const INPUT_REQUIRED: Places = &[
    &["requestState"],
    &["inputRequests", "*", "params", "elicitationId"],
    &["inputRequests", "*", "params", "url"],
];
/// Of a task, or of a result that is one.
pub(super) const TASK: Places = &[&["taskId"], &["task", "taskId"], &["inputRequests", "*", "params", "url"]];
/// Of the params of a request.
pub(super) const PARAMS: Places = &[&["requestState"], &["taskId"], &["_meta", "progressToken"]];
/// Of the params of a question.
pub(super) const QUESTION: Places =
    &[&["elicitationId"], &["url"], &["_meta", "io.modelcontextprotocol/related-task", "taskId"]];
/// Of the params of a notification.
pub(super) const NOTIFICATION: Places = &[&["progressToken"]];
/// Of an error.
pub(super) const ERROR: Places =
    &[&["data", "elicitations", "*", "elicitationId"], &["data", "elicitations", "*", "url"]];

const NOTHING: &[u8] = b"null";

/// A message without what is laid aside, and what that is.
pub(super) struct Aside(Vec<(Vec<String>, Raw)>);

impl Aside {
    /// Lays aside what is at `places`.
    pub(super) fn take(message: &Object, places: Places) -> (Raw, Self) {
        let mut aside = Vec::new();
        for place in places_in(message, places) {
            find(message, place, &mut Vec::new(), &mut aside);
        }
        let mut rest = message.raw().clone();
        for (path, _) in &aside {
            rest = put(&rest, path, NOTHING);
        }
        (rest, Self(aside))
    }

    /// Puts it back where it was, as far as that is still there.
    pub(super) fn put_back(self, message: Raw) -> Raw {
        self.0.iter().fold(message, |message, (path, value)| put(&message, path, value.as_bytes()))
    }
}

/// The places whose first member is there, found in one pass.
fn places_in(message: &Object, places: Places) -> impl Iterator<Item = &'static [&'static str]> {
    let mut there = 0u32;
    if !places.is_empty() {
        for member in message.members() {
            for (index, place) in places.iter().enumerate() {
                there |= u32::from(member.key_is(place[0])) << index;
            }
        }
    }
    places.iter().enumerate().filter(move |(index, _)| there >> index & 1 != 0).map(|(_, place)| *place)
}

fn find(value: &Object, place: &[&str], path: &mut Vec<String>, aside: &mut Vec<(Vec<String>, Raw)>) {
    let Some((step, after)) = place.split_first() else {
        // Only what is a plain word can be one of the gateway's.
        if matches!(value.kind(), Kind::String | Kind::Number) {
            aside.push((path.clone(), value.raw().clone()));
        }
        return;
    };
    let mut go = |key: String, inner: Object| {
        path.push(key);
        find(&inner, after, path, aside);
        path.pop();
    };
    match (*step, value.kind()) {
        ("*", Kind::Object) => value.members().for_each(|it| go(it.key().into_owned(), it.value().into())),
        ("*", Kind::Array) => {
            value.elements().enumerate().for_each(|(index, it)| go(index.to_string(), it.into()));
        }
        // Of a page that a user is sent to, and of nothing else.
        ("url", Kind::Object) if !value.find("mode").is_some_and(|mode| mode.is_text("url")) => {}
        (key, Kind::Object) => {
            if let Some(inner) = value.find_object(key) {
                go(key.to_owned(), inner);
            }
        }
        _ => {}
    }
}

fn put(value: &Raw, path: &[String], new: &[u8]) -> Raw {
    let Some((key, after)) = path.split_first() else { return Raw::trusted(new.to_vec()) };
    match value.kind() {
        Kind::Object => match value.find(key) {
            Some(inner) => value.with(&[(key.as_str(), Change::Set(put(&inner, after, new).as_bytes()))]),
            None => value.clone(),
        },
        Kind::Array => {
            let mut index = 0usize;
            value.map_elements(|inner| {
                let here = index.to_string() == *key;
                index += 1;
                Some(if here { put(&inner, after, new) } else { inner })
            })
        }
        _ => value.clone(),
    }
}
