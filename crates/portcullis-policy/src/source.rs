//! Texts of policies, and where in them something is.

use std::fmt;

/// One file of policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What it is called in problems and reasons.
    pub file: String,
    /// What is in it.
    pub text: String,
}

/// What is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// In which file.
    pub file: String,
    /// In which line, from 1.
    pub line: usize,
    /// In which column, in characters from 1.
    pub column: usize,
    /// What, and what to do.
    pub message: String,
    /// Whether the policies are refused for it.
    pub is_error: bool,
}

impl fmt::Display for Problem {
    /// In the form that editors jump to.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = if self.is_error { "error" } else { "warning" };
        write!(f, "{}:{}:{}: {severity}: {}", self.file, self.line, self.column, self.message)
    }
}

/// One policy of a file.
pub(crate) struct Piece<'a> {
    pub(crate) text: &'a str,
    /// Where it begins, in bytes.
    pub(crate) start: usize,
}

impl Source {
    /// Line and column of a byte of the text.
    pub(crate) fn place(&self, byte: usize) -> (usize, usize) {
        let before = self.text.get(..byte).unwrap_or(&self.text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }

    pub(crate) fn problem(&self, byte: usize, message: impl Into<String>) -> Problem {
        let (line, column) = self.place(byte);
        Problem { file: self.file.clone(), line, column, message: message.into(), is_error: true }
    }

    /// The policies, each up to its semicolon. One is parsed at a time, so that each error is found, and has a place.
    pub(crate) fn pieces(&self) -> Vec<Piece<'_>> {
        let (text, bytes) = (self.text.as_str(), self.text.as_bytes());
        let (mut pieces, mut start, mut at) = (Vec::new(), None, 0);
        while at < bytes.len() {
            match bytes[at] {
                b'/' if bytes.get(at + 1) == Some(&b'/') => {
                    at = text[at..].find('\n').map_or(bytes.len(), |end| at + end);
                    continue;
                }
                byte if byte.is_ascii_whitespace() => {}
                b'"' => {
                    start.get_or_insert(at);
                    at = end_of_string(bytes, at);
                    continue;
                }
                b';' => {
                    let start = start.take().unwrap_or(at);
                    pieces.push(Piece { text: &text[start..=at], start });
                }
                _ => {
                    start.get_or_insert(at);
                }
            }
            at += 1;
        }
        // What has no semicolon is for the parser to complain about.
        pieces.extend(start.map(|start| Piece { text: &text[start..], start }));
        pieces
    }
}

/// Behind the closing quote of the string that begins at `at`.
fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    at += 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_told_apart_whatever_is_in_strings_and_comments() {
        let text = "// a; comment\npermit(principal, action, resource)\n  when { \"a;\\\";//\" == \"\" };\n\n  forbid (x); rest";
        let source = Source { file: "f".into(), text: text.into() };
        let found: Vec<_> =
            source.pieces().iter().map(|piece| (piece.text, source.place(piece.start))).collect();
        assert_eq!(found.len(), 3);
        assert!(found[0].0.starts_with("permit") && found[0].0.ends_with("};"));
        assert_eq!(found[0].1, (2, 1));
        assert_eq!(found[1], ("forbid (x);", (5, 3)));
        assert_eq!(found[2], ("rest", (5, 15)));
    }

    #[test]
    fn no_text_makes_it_fall_over() {
        for text in ["", ";", "\"", "\"\\", "//", "/", "é;\"é"] {
            let source = Source { file: "f".into(), text: text.into() };
            source.pieces();
            source.place(99);
        }
    }
}
