//! Forms and queries (`application/x-www-form-urlencoded`), written and read.

/// A form under construction.
#[derive(Clone, Default)]
pub(super) struct Fields(String);

impl Fields {
    /// Adds a field.
    pub(super) fn add(&mut self, name: &str, value: &str) -> &mut Self {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(&encode(name));
        self.0.push('=');
        self.0.push_str(&encode(value));
        self
    }

    /// Adds a field that may be empty, and then is left out.
    pub(super) fn add_some(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.add(name, value);
        }
        self
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// A blank may as well be `%20` in forms, and must be in queries.
pub(super) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}

/// Longest query that is read, in bytes.
const LONGEST: usize = 16 * 1024;

/// The fields of a query, each at most once: what is there twice could be read two ways. `None` when it cannot be read.
pub(super) fn read(query: &str) -> Option<Vec<(String, String)>> {
    if query.len() > LONGEST {
        return None;
    }
    let mut fields: Vec<(String, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name)?, decode(value)?);
        if fields.iter().any(|(known, _)| *known == name) {
            return None;
        }
        fields.push((name, value));
    }
    Some(fields)
}

fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
                (digit(bytes.next()?)? << 4) | digit(bytes.next()?)?
            }
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_is_read_two_ways() {
        let mut fields = Fields::default();
        fields.add("a", "1&b=2 +\u{e4}").add_some("c", None).add_some("d", Some("x"));
        let text = fields.into_text();
        assert_eq!(text, "a=1%26b%3D2%20%2B%C3%A4&d=x");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read(&text), Some(vec![pair("a", "1&b=2 +\u{e4}"), pair("d", "x")]));
        assert_eq!(read("iss=https%3A%2F%2Fa&iss=https%3A%2F%2Fb"), None);
        assert_eq!(read("a=%f"), None);
        assert_eq!(read("a=%ff"), None);
        assert_eq!(read(&"a".repeat(LONGEST + 1)), None);
    }
}
