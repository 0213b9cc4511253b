//! Values that a name announces: `password: …`, `API_TOKEN="…"`, `<secret>…</secret>`, `Authorization: Bearer …`.
//!
//! The name says what the value may be, the value has to look like it: a credential has the disorder of chance, a
//! password is one word that is no placeholder. What it leaves out: passwords that are told in a sentence.

use super::Subject;
use super::secret::{entropy, is_placeholder, is_random, is_restless, is_scrambled, is_uuid};
use crate::Entity;
use crate::context::{Topics, Words};
use crate::text::class;

/// How long a name and a value may be.
const NAME: usize = 60;
const VALUE: usize = 1024;
/// How long a value is that stands by itself, in a member of JSON.
const LONGEST: usize = 8 << 10;

/// What a name announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announced {
    Password,
    Secret,
    /// A key or token of a vendor, by the vendor's name only.
    Vague,
    Nothing,
}

/// What a name announces, judged by its words.
pub(crate) fn announced(words: &Words, name: &str) -> Announced {
    // `var apiToken string = …`
    let name = name.strip_suffix(" string").unwrap_or(name);
    // Bundler's credentials of a host, whose name is the rest: `user:password`.
    let own = name.rsplit(' ').next().unwrap_or(name);
    if own.strip_prefix("BUNDLE_").is_some_and(|host| host.contains("__")) {
        return Announced::Password;
    }
    let topics = words.of(name);
    let ending = by_ending(name);
    let said = if topics.has(Topics::PASSWORD) || ending == Announced::Password {
        Announced::Password
    } else if topics.any(Topics::SECRET) || ending == Announced::Secret {
        Announced::Secret
    } else if topics.any(Topics::VENDOR.or(Topics::KEY)) {
        Announced::Vague
    } else {
        return Announced::Nothing;
    };
    if !topics.has(Topics::VENDOR) && is_count(name) { Announced::Nothing } else { said }
}

/// What the end of a name says, whatever its words are.
fn by_ending(name: &str) -> Announced {
    let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| ends_with(name, suffix));
    let last = name.bytes().rev().find(u8::is_ascii_alphanumeric).unwrap_or_default();
    match last.to_ascii_lowercase() {
        b'd' if ends(&["password", "passwd", "pwd"]) => Announced::Password,
        b't' if ends(&["secret"]) => Announced::Secret,
        b'n' if ends(&["token"]) => Announced::Secret,
        b'l' | b's' if ends(&["credential", "credentials"]) => Announced::Secret,
        b'y' if ends(&[
            "apikey",
            "accesskey",
            "secretkey",
            "privatekey",
            "authkey",
            "signingkey",
            "encryptionkey",
            "masterkey",
        ]) =>
        {
            Announced::Secret
        }
        _ => Announced::Nothing,
    }
}

/// Whether what is named is about a value and not one: `password_length`, `token-type`.
fn is_count(name: &str) -> bool {
    let last = name.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    [
        "length", "min", "max", "policy", "field", "type", "hint", "id", "url", "uri", "count", "name",
        "file", "path", "limit",
    ]
    .iter()
    .any(|word| last.eq_ignore_ascii_case(word))
}

/// Whether the letters and digits of a name end so, whatever stands between them.
fn ends_with(name: &str, suffix: &str) -> bool {
    let mut name = name.bytes().rev().filter(u8::is_ascii_alphanumeric);
    suffix.bytes().rev().all(|byte| name.next().is_some_and(|other| other.eq_ignore_ascii_case(&byte)))
}

/// Looks at a sign of assignment at `sign` (`:`, `=`, `>`); says where the value ends that it found.
pub(crate) fn look(subject: &mut Subject<'_>, sign: usize) -> Option<usize> {
    let bytes = subject.bytes;
    let (from, to) = name_before(bytes, sign)?;
    let name = subject.text.get(from..to)?;
    // `<add key="Password" value="…" />`: the name is the value of the attribute before.
    let name = if name.eq_ignore_ascii_case("value") { attribute(subject.text, from)? } else { name };
    let what = announced(subject.words, name);
    if what == Announced::Nothing {
        return None;
    }
    let (start, end, quoted) = value_after(bytes, sign)?;
    judge(subject, what, start, end, quoted)
}

/// What stands in quotes before `from`, with nothing but space between.
fn attribute(text: &str, from: usize) -> Option<&str> {
    let head = text[crate::context::ceil(text, from.saturating_sub(NAME + 8)).min(from)..from].trim_end();
    let head = head.strip_suffix(',').unwrap_or(head);
    let quote = head.chars().next_back().filter(|mark| matches!(mark, '"' | '\''))?;
    let inner = head.strip_suffix(quote)?;
    Some(&inner[inner.rfind(quote)? + 1..])
}

/// The name before a sign: up to the words of one line, without quotes around it.
fn name_before(bytes: &[u8], sign: usize) -> Option<(usize, usize)> {
    let mut to = sign;
    while to > 0
        && sign - to < 6
        && matches!(
            bytes[to - 1],
            b' ' | b'"' | b'\'' | b'`' | b'\\' | b':' | b'|' | b'?' | b'=' | b']' | b')'
        )
    {
        to -= 1;
    }
    let is_name = |byte: u8| class::is_word(byte) || matches!(byte, b'_' | b'-' | b'.');
    let mut from = to;
    while from > 0 && to - from < NAME && is_name(bytes[from - 1]) {
        from -= 1;
    }
    // `API key: …` has two words.
    if from > 1 && bytes[from - 1] == b' ' && class::is_letter(bytes[from - 2]) {
        let mut wider = from - 1;
        while wider > 0 && from - wider < 20 && class::is_letter(bytes[wider - 1]) {
            wider -= 1;
        }
        from = wider;
    }
    (to - from >= 2).then_some((from, to))
}

/// The value after a sign: start, end, and whether it stands in quotes.
fn value_after(bytes: &[u8], sign: usize) -> Option<(usize, usize, bool)> {
    let mut at = sign + 1;
    let mut quote = None;
    // The text of an element may stand on a line of its own.
    let (reach, lines) = if bytes[sign] == b'>' { (32, true) } else { (8, false) };
    while at < bytes.len() && at - sign <= reach {
        match bytes[at] {
            b'\n' | b'\r' if lines && quote.is_none() => at += 1,
            b' ' | b'\t' | b'=' | b'>' | b':' | b'\\' | b'(' | b',' if quote.is_none() => at += 1,
            mark @ (b'"' | b'\'' | b'`') if quote.is_none() => {
                quote = Some(mark);
                at += 1;
            }
            _ => break,
        }
    }
    at += scheme(&bytes[at.min(bytes.len())..]);
    let rest = bytes.get(at..)?;
    let ends = |byte: &u8| match quote {
        Some(mark) => *byte == mark || matches!(byte, b'\n' | b'\r'),
        None => matches!(
            byte,
            b' ' | b'\t'
                | b'\n'
                | b'\r'
                | b'"'
                | b'\''
                | b'`'
                | b'<'
                | b'>'
                | b';'
                | b','
                | b')'
                | b'}'
                | b'|'
                | b'&'
                | b']'
        ),
    };
    let mut length = rest.iter().take(VALUE + 1).position(ends).unwrap_or(rest.len().min(VALUE + 1));
    while length > 0
        && (rest[length - 1] == b'\\'
            || quote.is_none() && matches!(rest[length - 1], b'.' | b':' | b'!' | b'?'))
    {
        length -= 1;
    }
    (length > 0 && length <= VALUE).then_some((at, at + length, quote.is_some()))
}

/// The length of the name of a scheme (RFC 9110 § 11.1) with which a value begins.
fn scheme(value: &[u8]) -> usize {
    const SCHEMES: [&[u8]; 11] = [
        b"Bearer ",
        b"Basic ",
        b"Token ",
        b"ApiKey ",
        b"Api-Token ",
        b"Api-Key ",
        b"SSWS ",
        b"OAuth ",
        b"Bot ",
        b"Key ",
        b"GenieKey ",
    ];
    let is_it =
        |scheme: &&&[u8]| value.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme));
    SCHEMES.iter().find(is_it).map_or(0, |scheme| scheme.len())
}

/// Looks at the value of a JSON member by its key.
pub(crate) fn member(subject: &mut Subject<'_>, what: Announced) {
    let end = subject.bytes.len();
    let start = scheme(subject.bytes);
    if what != Announced::Nothing && end <= LONGEST {
        judge(subject, what, start, end, true);
    }
}

/// `password is …`, `the API key was …`, `--token …`. The word that says what it is ends at `end`.
pub(crate) fn told(subject: &mut Subject<'_>, start: usize, end: usize, what: Announced) -> Option<usize> {
    let rest = &subject.text[end..];
    if rest.starts_with(' ') && is_flag(&subject.bytes[..start]) {
        let (from, to, quoted) = value_after(subject.bytes, end)?;
        return judge(subject, what, from, to, quoted);
    }
    let after = [" is ", " was ", " to ", " ist "].iter().find_map(|word| rest.strip_prefix(word))?;
    let quoted = after.starts_with(['"', '\'', '`']);
    let after = after.trim_start_matches(['"', '\'', '`']);
    let start = subject.text.len() - after.len();
    let length = after.find([' ', '"', '\'', '`', ',', '\n', ';', ')']).unwrap_or(after.len());
    let value = after[..length].trim_end_matches(['.', '!', '?']);
    if what != Announced::Password {
        return judge(subject, what, start, start + value.len(), quoted);
    }
    let digits = value.bytes().any(|byte| byte.is_ascii_digit());
    let signs = value.bytes().any(|byte| byte.is_ascii_punctuation());
    if value.len() < 4 || !(digits || signs && quoted) || is_placeholder(value) {
        return None;
    }
    subject.hit(Entity::Password, "", start, start + value.len(), 0.7);
    Some(start + value.len())
}

/// Whether a long option of a command goes on here: `--api-`.
fn is_flag(before: &[u8]) -> bool {
    let name = before
        .iter()
        .rev()
        .take(NAME)
        .take_while(|byte| class::is_word(**byte) || matches!(byte, b'-' | b'_'));
    let from = before.len() - name.count();
    before[from..].starts_with(b"--")
        && matches!(class::before(before, from), b' ' | b'\t' | b'\n' | b'"' | b'\'')
}

fn judge(
    subject: &mut Subject<'_>,
    what: Announced,
    start: usize,
    end: usize,
    quoted: bool,
) -> Option<usize> {
    let value = subject.text.get(start..end)?;
    if is_placeholder(value) {
        return None;
    }
    let score = match what {
        Announced::Password if is_password(value, quoted) => 0.85,
        Announced::Secret if is_secret(value.as_bytes(), quoted) || is_basic(subject.text, start, end) => {
            0.85
        }
        Announced::Secret if is_uuid(value.as_bytes()) || is_number(value.as_bytes()) => 0.6,
        Announced::Vague if is_secret(value.as_bytes(), quoted) && is_long_random(value.as_bytes()) => 0.7,
        _ => return None,
    };
    let entity = if what == Announced::Password { Entity::Password } else { Entity::Secret };
    subject.hit(entity, if entity == Entity::Secret { "assigned" } else { "" }, start, end, score);
    Some(end)
}

fn is_password(value: &str, quoted: bool) -> bool {
    const NONE: [&str; 26] = [
        "null",
        "none",
        "true",
        "false",
        "string",
        "required",
        "optional",
        "password",
        "passwd",
        "undefined",
        "nil",
        "text",
        "hidden",
        "secret",
        "must",
        "should",
        "object",
        "boolean",
        "value",
        "empty",
        "reset",
        "changed",
        "token",
        "basic",
        "incorrect",
        "invalid",
    ];
    let bytes = value.as_bytes();
    let words = value.split(' ').count();
    let mixed = bytes.iter().any(|byte| !byte.is_ascii_alphabetic());
    let is_version = value.contains('.') && bytes.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    let is_call = value.contains('(') && value.ends_with(')')
        || value.contains("()")
        || value.starts_with("self.")
        || value.starts_with("config.");
    let is_path = value.contains("://") || value.starts_with('/') && value.matches('/').count() > 1;
    (4..=128).contains(&value.len())
        && words == 1
        && !is_call
        && !is_path
        && (quoted || mixed && !is_version)
        && !NONE.iter().any(|word| value.eq_ignore_ascii_case(word))
}

fn is_secret(value: &[u8], quoted: bool) -> bool {
    let is_token =
        value.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'(' | b'{' | b'<' | b' '));
    let slashes = memchr::memchr_iter(b'/', value).count();
    let is_path =
        value.starts_with(b"http") || value.starts_with(b"/") && slashes > 2 && entropy(value) < 4.2;
    let is_chance = || is_random(value) || is_scrambled(value) || is_restless(value, quoted);
    (10..=LONGEST).contains(&value.len()) && is_token && !is_path && entropy(value) >= 2.8 && is_chance()
}

/// `Basic` and what is a name, a colon and a password when it is decoded (RFC 7617).
fn is_basic(text: &str, start: usize, end: usize) -> bool {
    let is_named = text[..start].to_ascii_lowercase().ends_with("basic ");
    is_named
        && crate::text::decode::run(&text.as_bytes()[start..end])
            .is_some_and(|pair| pair.split_once(':').is_some_and(|(name, _)| !name.is_empty()))
}

/// Some vendors' client secrets are long numbers.
fn is_number(value: &[u8]) -> bool {
    (15..=40).contains(&value.len()) && value.iter().all(u8::is_ascii_digit) && entropy(value) >= 2.0
}

fn is_long_random(value: &[u8]) -> bool {
    value.len() >= 16 && (is_uuid(value) || entropy(value) >= 3.0) && !value.contains(&b'.')
}
