//! Whether a URI may come from a URI template (RFC 6570).
//!
//! Only the question is answered, not which values were put in: it decides who is asked for a resource that nobody lists
//! by name. Of an expression counts what its operator lets it expand to: `{id}` is a piece of a path, `{+path}` anything,
//! `{/a}`, `{.a}`, `{;a}`, `{?a}` and `{&a}` begin with their sign or are absent. Names, lengths and the number of values
//! do not count, and nothing is decoded.
//!
//! Both sides may be hostile, and somebody else's call waits: the work for one template is bounded by the length of the
//! URI times the number of pieces, and only so many templates are tried.

/// The longest URI, and the longest template, that are looked at; in bytes.
const LONGEST: usize = 2048;
/// The most pieces of a template, literal texts and expressions together.
const PIECES: usize = 32;
/// The most templates that are tried, of those whose first and last literal text fit.
const TRIED: usize = 256;

/// Whether `uri` may come from one of these templates. One that is none, or is too long or too involved, makes no URI.
pub fn any_makes<'a>(templates: impl Iterator<Item = &'a str>, uri: &str) -> bool {
    if uri.len() > LONGEST {
        return false;
    }
    templates.filter(|template| frames(template, uri)).take(TRIED).any(|template| makes(template, uri))
}

/// Whether a template's literal texts at both ends fit, which nearly all fail.
fn frames(template: &str, uri: &str) -> bool {
    let literal = template.find('{').unwrap_or(template.len());
    let last = template.rfind('}').map_or(0, |at| at + 1);
    template.len() <= LONGEST && uri.starts_with(&template[..literal]) && uri.ends_with(&template[last..])
}

fn makes(template: &str, uri: &str) -> bool {
    let Some(pieces) = pieces(template) else { return false };
    let uri = uri.as_bytes();
    // Where in the URI the pieces so far may have ended.
    let mut ends = vec![false; uri.len() + 1];
    ends[0] = true;
    for piece in pieces {
        ends = match piece {
            Piece::Literal(text) => after_literal(uri, &ends, text.as_bytes()),
            Piece::Expression(kind) => after_expression(uri, &ends, kind),
        };
    }
    ends[uri.len()]
}

#[derive(Clone, Copy)]
enum Piece<'a> {
    Literal(&'a str),
    Expression(Kind),
}

/// What an operator lets an expression expand to (RFC 6570, appendix A).
#[derive(Clone, Copy)]
struct Kind {
    /// What a value begins with; there may be none then.
    first: Option<u8>,
    /// What does not stand in it.
    never: &'static [u8],
}

fn pieces(template: &str) -> Option<Vec<Piece<'_>>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((literal, after)) = rest.split_once('{') {
        let (expression, after) = after.split_once('}')?;
        pieces.extend((!literal.is_empty()).then_some(Piece::Literal(literal)));
        pieces.push(Piece::Expression(kind(expression)?));
        if pieces.len() > PIECES {
            return None;
        }
        rest = after;
    }
    pieces.extend((!rest.is_empty()).then_some(Piece::Literal(rest)));
    Some(pieces)
}

fn kind(expression: &str) -> Option<Kind> {
    let kind = |first, never: &'static [u8]| Some(Kind { first, never });
    match expression.as_bytes().first()? {
        b'+' => kind(None, b""),
        b'#' => kind(Some(b'#'), b""),
        b'.' => kind(Some(b'.'), b"/?#"),
        b'/' => kind(Some(b'/'), b"?#"),
        b';' => kind(Some(b';'), b"/?#"),
        b'?' => kind(Some(b'?'), b"#"),
        b'&' => kind(Some(b'&'), b"#"),
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'%' => kind(None, b"/?#"),
        // Reserved for extensions, or no expression.
        _ => None,
    }
}

fn after_literal(uri: &[u8], ends: &[bool], text: &[u8]) -> Vec<bool> {
    let mut next = vec![false; ends.len()];
    for (at, _) in ends.iter().enumerate().filter(|(_, ends)| **ends) {
        if uri[at..].starts_with(text) {
            next[at + text.len()] = true;
        }
    }
    next
}

fn after_expression(uri: &[u8], ends: &[bool], kind: Kind) -> Vec<bool> {
    let mut next = vec![false; ends.len()];
    for (at, byte) in uri.iter().enumerate() {
        let begins = ends[at] && kind.first.is_none_or(|first| first == *byte);
        next[at + 1] = (begins || next[at]) && !kind.never.contains(byte) || begins && kind.first.is_some();
    }
    if kind.first.is_some() {
        for (next, ended) in next.iter_mut().zip(ends) {
            *next |= ended;
        }
    }
    next
}

#[cfg(test)]
mod tests;
