//! The header fields of one request (RFC 9110 section 5).
//!
//! They stay where they came in: a field is two places in the text of the request's head, and looking one up compares a
//! handful of names. A hash map of owned names and values would cost more to fill than all that is asked of it. HTTP/2
//! has no such text; its fields are written into one.

use bytes::Bytes;
use http::header::COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The fields, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    text: Bytes,
    places: Vec<Place>,
}

/// Where the name and the value stand.
#[derive(Clone, Copy, Debug)]
struct Place {
    name: (usize, usize),
    value: (usize, usize),
}

impl Fields {
    /// The fields at these places of `text`, each as the ranges of its name and its value. Names are tokens, values hold
    /// no line ends: the parser has seen to it.
    pub(super) fn new(text: Bytes, places: impl Iterator<Item = [(usize, usize); 2]>) -> Self {
        Self { text, places: places.map(|[name, value]| Place { name, value }).collect() }
    }

    /// The values of a field, in their order.
    pub(crate) fn all<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let name = name.as_str().as_bytes();
        self.places
            .iter()
            .filter(move |place| self.is_named(place, name))
            .map(|place| self.slice(place.value))
    }

    /// The first value of a field.
    pub(crate) fn get(&self, name: &HeaderName) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// The first value of a field, when it is visible ASCII, blanks and tabs.
    pub(crate) fn text(&self, name: &HeaderName) -> Option<&str> {
        let value = self.get(name)?;
        let visible = |byte: &u8| matches!(byte, 0x20..=0x7e | b'\t');
        value.iter().all(visible).then(|| std::str::from_utf8(value).expect("visible ASCII is UTF-8"))
    }

    /// All cookies as one text: HTTP/2 may have each in a field of its own (RFC 9113 section 8.2.3).
    pub(super) fn cookies(&self) -> Option<String> {
        let fields = self.all(&COOKIE).map(|field| std::str::from_utf8(field).ok());
        let fields: Vec<_> = fields.collect::<Option<_>>()?;
        (!fields.is_empty()).then(|| fields.join("; "))
    }

    /// Whether there is such a field.
    pub(crate) fn has(&self, name: &HeaderName) -> bool {
        self.get(name).is_some()
    }

    /// Whether there is a field of one of these names, which are in lower case.
    pub(super) fn has_any(&self, names: &[&str]) -> bool {
        self.places.iter().any(|place| names.iter().any(|name| self.is_named(place, name.as_bytes())))
    }

    /// The fields whose names start with `prefix`, which is in lower case.
    pub(crate) fn with_prefix(&self, prefix: &str) -> HeaderMap {
        let mut found = HeaderMap::new();
        for place in &self.places {
            let name = self.slice(place.name);
            let starts =
                name.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()));
            if starts
                && let (Ok(name), Ok(value)) =
                    (HeaderName::from_bytes(name), HeaderValue::from_bytes(self.slice(place.value)))
            {
                found.append(name, value);
            }
        }
        found
    }

    fn is_named(&self, place: &Place, name: &[u8]) -> bool {
        // Most are told apart by their length.
        place.name.1 - place.name.0 == name.len() && self.slice(place.name).eq_ignore_ascii_case(name)
    }

    fn slice(&self, (start, end): (usize, usize)) -> &[u8] {
        &self.text[start..end]
    }
}

impl From<&HeaderMap> for Fields {
    fn from(headers: &HeaderMap) -> Self {
        let mut text = Vec::new();
        let mut places = Vec::with_capacity(headers.len());
        for (name, value) in headers {
            let mut put = |bytes: &[u8]| {
                let start = text.len();
                text.extend_from_slice(bytes);
                (start, text.len())
            };
            places.push(Place { name: put(name.as_str().as_bytes()), value: put(value.as_bytes()) });
        }
        Self { text: text.into(), places }
    }
}

#[cfg(test)]
mod tests;
