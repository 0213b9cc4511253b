//! Values that a name announces: `password: …`, `API_TOKEN="…"`, `<secret>…</secret>`, `Authorization: Bearer …`.
//!
//! The name says what the value may be, the value has to look like it: a credential has the disorder of chance, a
//! password is one word that is no placeholder. What it leaves out: passwords that are told in a sentence.

use super::Subject;
use super::secret::{entropy, is_jumbled, is_placeholder, is_random, is_uuid};
use crate::Entity;
use crate::context::{Topics, Words};
use crate::text::class;

/// How long a name and a value may be.
const NAME: usize = 60;
const VALUE: usize = 2048;
/// How many spaces align names and values.
const ALIGNED: usize = 40;
/// How long a value is that stands by itself, in a member of JSON.
const LONGEST: usize = 8 << 10;
/// How long a value is at least whose scheme is not known.
const LEAST_OF_SCHEME: usize = 20;

/// What a name announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announced {
    Password,
    Secret,
    /// A key or token of a vendor, by the vendor's name and what has a short value: a key, an access or client id.
    Vendor,
    /// By the vendor's name only, or a key of something.
    Vague,
    Nothing,
}

impl Announced {
    /// What this says, else what the other says.
    pub(crate) fn or(self, other: Self) -> Self {
        if self == Self::Nothing { other } else { self }
    }
}

/// What a name announces, judged by its words.
pub(crate) fn announced(words: &Words, name: &str) -> Announced {
    // `var apiToken string = …`, `-Dacme.login=…`
    let name = name.strip_suffix(" string").unwrap_or(name);
    let name = name.strip_prefix("-D").unwrap_or(name);
    // Bundler's credentials of a host, whose name is the rest: `user:password`.
    let own = name.rsplit(' ').next().unwrap_or(name);
    if own.strip_prefix("BUNDLE_").is_some_and(|host| host.contains("__")) {
        return Announced::Password;
    }
    // `refresh_token2`
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let mut topics = words.of(name);
    if bare.len() < name.len() {
        topics = topics.or(words.of(bare));
    }
    topics = topics.or(words.of_pairs(name));
    let ending = by_ending(bare);
    let said = if topics.has(Topics::PASSWORD) || ending == Announced::Password {
        Announced::Password
    } else if topics.any(Topics::SECRET) || ending == Announced::Secret {
        Announced::Secret
    } else {
        let by_part = by_part(name);
        if by_part == Announced::Secret {
            Announced::Secret
        } else if topics.has(Topics::VENDOR) && (topics.has(Topics::KEY) || is_of_client(name)) {
            Announced::Vendor
        } else if topics.any(Topics::VENDOR.or(Topics::KEY)) || by_part == Announced::Vague {
            Announced::Vague
        } else {
            return Announced::Nothing;
        }
    };
    let is_own = topics.has(Topics::VENDOR) || is_key_id(name) || is_webhook(name);
    let is_other = ends_in(name, &COUNTS) || !is_own && ends_in(name, &PARTS);
    if is_other { Announced::Nothing } else { said }
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

/// What is written together with other words: `mysecretvalue`, `subscriptionkey`.
fn by_part(name: &str) -> Announced {
    let bytes = name.as_bytes();
    let has = |at: usize, word: &str| {
        bytes.get(at..at + word.len()).is_some_and(|part| part.eq_ignore_ascii_case(word.as_bytes()))
    };
    let mut said = Announced::Nothing;
    for (at, pair) in bytes.array_windows().enumerate() {
        let [first, second]: [u8; 2] = *pair;
        match [first | 0x20, second | 0x20] {
            [b't', b'o'] if has(at, "token") => return Announced::Secret,
            [b's', b'e'] if has(at, "secret") && !has(at, "secretar") => return Announced::Secret,
            [b'c', b'r'] if has(at, "credential") || has(at, "creds") => return Announced::Secret,
            [b'a', b'p'] if has(at, "apikey") => return Announced::Secret,
            [b'k', b'e'] if has(at, "key") => said = Announced::Vague,
            [b'a', b'u'] if has(at, "auth") && !has(at, "author") => said = Announced::Vague,
            [b'a', b'c'] if has(at, "access") => said = Announced::Vague,
            _ => {}
        }
    }
    said
}

/// Whether a part of a name says that it is half of a pair: `access_id`, `ClientId`, `consumerKey`.
fn is_of_client(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    ["access", "client", "consumer"].iter().any(|word| lower.contains(word))
}

/// `access_key_id`, which is half of a credential.
fn is_key_id(name: &str) -> bool {
    ends_with(name, "accesskeyid")
}

/// `webhook_url`, which is a credential by itself when a part of it is drawn by chance.
fn is_webhook(name: &str) -> bool {
    ends_with(name, "webhookurl") || ends_with(name, "webhookuri")
}

/// What a name ends in that is about a value and is none: `password_length`, `token-type`.
const COUNTS: [&str; 9] = ["length", "min", "max", "policy", "field", "type", "hint", "count", "limit"];
/// The same, where no vendor calls so what is half of a credential: `token_id`, `secret-name`.
const PARTS: [&str; 6] = ["id", "url", "uri", "name", "file", "path"];

/// Whether the last word of a name is one of these.
fn ends_in(name: &str, words: &[&str]) -> bool {
    let last = name.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    words.iter().any(|word| last.eq_ignore_ascii_case(word))
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
    // `arn:aws:…` is the name of a resource.
    if bytes[..from].ends_with(b"arn:") {
        return None;
    }
    let name = subject.text.get(from..to)?;
    // `<add key="Password" value="…" />`: the name is the value of the attribute before.
    let name = if name.eq_ignore_ascii_case("value") { attribute(subject.text, from)? } else { name };
    let name = if is_type(name) { typed(subject.text, from).unwrap_or(name) } else { name };
    let what = subject.names.announced(subject.words, name);
    if what == Announced::Nothing {
        return None;
    }
    let (start, end, quoted) = value_after(bytes, sign)?;
    // What a name is compared with is a value in quotes alone: `data["password"] != data["again"]`.
    if !quoted && class::before(bytes, sign) == b'!' {
        return None;
    }
    judge(subject, what, start, end, quoted)
}

/// What stands before `from`, as far as a name may be long.
fn head(text: &str, from: usize) -> &str {
    &text[crate::context::ceil(text, from.saturating_sub(NAME + 16)).min(from)..from]
}

/// What stands in quotes before `from`, with nothing but space and a comma between; or `name: …` in the line before.
fn attribute(text: &str, from: usize) -> Option<&str> {
    let all = head(text, from);
    let head = all.strip_suffix(['"', '\'']).unwrap_or(all).trim_end();
    let is_below = all[head.len()..].contains('\n');
    let head = head.strip_suffix(',').unwrap_or(head);
    if let Some(quote) = head.chars().next_back().filter(|mark| matches!(mark, '"' | '\'')) {
        let inner = head.strip_suffix(quote)?;
        return Some(&inner[inner.rfind(quote)? + 1..]);
    }
    let line = head.rsplit('\n').next().filter(|_| is_below)?;
    let (label, name) = line.trim_start_matches([' ', '\t', '-']).split_once(": ")?;
    matches!(label, "name" | "key").then(|| name.trim())
}

/// Whether this is how languages name the type of a text.
fn is_type(name: &str) -> bool {
    matches!(name, "string" | "String" | "str" | "text" | "any")
}

/// The name whose type stands at `from`: `apiToken: string`.
fn typed(text: &str, from: usize) -> Option<&str> {
    let head =
        head(text, from).trim_end_matches(['&', ' ', '\'']).strip_suffix(':')?.trim_end_matches(['?', ' ']);
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    Some(&head[head.trim_end_matches(is_name).len()..]).filter(|name| name.len() >= 2)
}

/// The name before a sign: up to the words of one line, without quotes around it.
fn name_before(bytes: &[u8], sign: usize) -> Option<(usize, usize)> {
    let mut end = sign;
    while end > 0 && sign - end < ALIGNED && matches!(bytes[end - 1], b' ' | b'\t') {
        end -= 1;
    }
    let mut to = end;
    while to > 0
        && end - to < 6
        && matches!(
            bytes[to - 1],
            b' ' | b'"' | b'\'' | b'`' | b'\\' | b':' | b'|' | b'?' | b'=' | b'+' | b'!' | b']' | b')'
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
    let block = block(bytes, sign);
    let mut at = block.unwrap_or(sign + 1);
    let mut quote = None;
    // The text of an element may stand on a line of its own.
    let lines = bytes[sign] == b'>' || block.is_some();
    while at < bytes.len() && at - sign <= ALIGNED {
        match bytes[at] {
            b'\n' | b'\r' if lines && quote.is_none() => at += 1,
            // `: =a1b2`: what stands alone before a value is a sign, and what touches it is its first character.
            b'=' if quote.is_none() && bytes[at - 1] == b' ' && is_first(class::at(bytes, at + 1)) => break,
            b' ' | b'\t' | b'=' | b'>' | b':' | b'\\' | b'(' | b',' if quote.is_none() => at += 1,
            mark @ (b'"' | b'\'' | b'`') if quote.is_none() => {
                quote = Some(mark);
                at += 1;
            }
            _ => break,
        }
    }
    if quote.is_none() {
        (at, quote) = marked(bytes, at);
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

/// Whether a value may go on with it after an `=`.
fn is_first(byte: u8) -> bool {
    class::is_word(byte) || matches!(byte, b'-' | b'_')
}

/// Where a text begins whose quote has a mark before it, and its quote: `f"…"`, `b'…'`, `@"…"`.
fn marked(bytes: &[u8], at: usize) -> (usize, Option<u8>) {
    let quote = class::at(bytes, at + 1);
    let is_mark =
        matches!(class::at(bytes, at), b'@' | b'b' | b'f' | b'r' | b'u' | b'B' | b'F' | b'R' | b'U');
    if is_mark && matches!(quote, b'"' | b'\'') { (at + 2, Some(quote)) } else { (at, None) }
}

/// Where the line of a block scalar of YAML ends (1.2.2 § 8.1): `: |-`.
fn block(bytes: &[u8], sign: usize) -> Option<usize> {
    let rest = bytes[sign..].strip_prefix(b": ")?;
    let style = rest.strip_prefix(b"|").or_else(|| rest.strip_prefix(b">"))?;
    let style = style.strip_prefix(b"-").or_else(|| style.strip_prefix(b"+")).unwrap_or(style);
    style.starts_with(b"\n").then(|| bytes.len() - style.len() + 1)
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
    SCHEMES.iter().find(is_it).map_or_else(|| own_scheme(value), |scheme| scheme.len())
}

/// The same of one that nobody knows, by what follows: a long word with digits. `FlyV1 fm2_…`
fn own_scheme(value: &[u8]) -> usize {
    let is_name = |byte: &&u8| class::is_word(**byte) || matches!(byte, b'-' | b'_');
    let length = value.iter().take(13).take_while(is_name).count();
    if !(2..=12).contains(&length) || value.get(length) != Some(&b' ') {
        return 0;
    }
    let word = value[length + 1..]
        .iter()
        .take(LEAST_OF_SCHEME)
        .take_while(|byte| class::is_word(**byte) || matches!(byte, b'-' | b'_' | b'.' | b'/' | b'+' | b'='));
    let (count, digits) =
        word.fold((0, 0), |(count, digits), byte| (count + 1, digits + usize::from(byte.is_ascii_digit())));
    if count == LEAST_OF_SCHEME && digits >= 2 { length + 1 } else { 0 }
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
    let before = &subject.bytes[..start];
    if rest.starts_with(' ') && (is_flag(before) || is_variable(before)) {
        let (from, to, quoted) = value_after(subject.bytes, end)?;
        return judge(subject, what, from, to, quoted);
    }
    if what == Announced::Password && rest.starts_with([' ', '\t']) && is_login(before) {
        let (from, to, _) = value_after(subject.bytes, end)?;
        return judge(subject, what, from, to, true);
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

/// Whether a long option of a command goes on here: `--api-`, `-` where it is the whole of it.
fn is_flag(before: &[u8]) -> bool {
    let name = before
        .iter()
        .rev()
        .take(NAME)
        .take_while(|byte| class::is_word(**byte) || matches!(byte, b'-' | b'_'));
    let from = before.len() - name.count();
    before[from..].starts_with(b"-")
        && (before.len() - from == 1 || before[from..].starts_with(b"--"))
        && matches!(class::before(before, from), b' ' | b'\t' | b'\n' | b'"' | b'\'')
}

/// Whether an entry of `.netrc` goes on here: `machine HOST login NAME`, whatever white space is between.
fn is_login(before: &[u8]) -> bool {
    let mut words = before.rsplit(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).take(4);
    let mut next = || words.next().unwrap_or_default();
    let (name, login, host, machine) = (next(), next(), next(), next());
    login == b"login" && machine == b"machine" && name.len() + host.len() < 2 * NAME
}

/// Whether the name of a variable goes on here, as shells and manifests write it: `ENV API_`.
fn is_variable(before: &[u8]) -> bool {
    let is_name = |byte: &&u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || **byte == b'_';
    let name = before.iter().rev().take(NAME).take_while(is_name).count();
    name >= 3
        && before.ends_with(b"_")
        && matches!(class::before(before, before.len() - name), b' ' | b'\t' | b'\n' | b'"' | b'\'')
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
        Announced::Secret if is_capability(value) => 0.7,
        // One that is too long for a password, or has words in it, may be a token that is called so.
        Announced::Password if value.len() > 128 && is_secret(value.as_bytes(), quoted) => 0.7,
        Announced::Vendor if is_secret(value.as_bytes(), quoted) && !is_dotted(value) => 0.7,
        Announced::Vendor if is_number(value.as_bytes()) => 0.6,
        Announced::Vague
            if is_secret(value.as_bytes(), quoted)
                && is_long_random(value.as_bytes())
                && !is_dotted(value) =>
        {
            0.7
        }
        _ => return None,
    };
    let entity = if what == Announced::Password { Entity::Password } else { Entity::Secret };
    // What may be an address is looked at again, for whoever wants those alone; for others this is the surer finding.
    let is_address = value.contains('@');
    let score = if is_address { 0.96 } else { score };
    subject.hit(entity, if entity == Entity::Secret { "assigned" } else { "" }, start, end, score);
    (!is_address).then_some(end)
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
        && (quoted || mixed && !is_version || bytes.len() >= 8 && is_jumbled(bytes, false))
        && !NONE.iter().any(|word| value.eq_ignore_ascii_case(word))
}

fn is_secret(value: &[u8], quoted: bool) -> bool {
    // What is called, built or put in stands in brackets; what is drawn of all that can be printed has other signs besides.
    let is_bracket = |byte: &u8| matches!(byte, b'(' | b'{' | b'<');
    let is_drawn = || {
        quoted
            && value
                .iter()
                .filter(|byte| matches!(byte, b'!' | b'#'..=b'&' | b'*' | b'^' | b'|' | b'~' | b'@' | b'?'))
                .count()
                >= 3
    };
    let is_token = value.iter().all(u8::is_ascii_graphic) && (!value.iter().any(is_bracket) || is_drawn());
    let slashes = memchr::memchr_iter(b'/', value).count();
    let is_path =
        value.starts_with(b"http") || value.starts_with(b"/") && slashes > 2 && entropy(value) < 4.2;
    let is_chance = || is_random(value) || is_jumbled(value, quoted) || is_hex(value);
    let least = if value.len() < 20 { 2.2 } else { 2.8 };
    // Of a few characters more has to be by chance.
    let has_digit = || value.iter().any(u8::is_ascii_digit);
    let is_long = value.len() >= 10 || value.len() >= 8 && has_digit() && is_jumbled(value, false);
    is_long && value.len() <= LONGEST && is_token && !is_path && entropy(value) >= least && is_chance()
}

/// `Basic` and what is a name, a colon and a password when it is decoded (RFC 7617).
fn is_basic(text: &str, start: usize, end: usize) -> bool {
    let is_named =
        text.as_bytes()[..start].last_chunk::<6>().is_some_and(|name| name.eq_ignore_ascii_case(b"basic "));
    is_named
        && crate::text::decode::run(&text.as_bytes()[start..end])
            .is_some_and(|pair| pair.split_once(':').is_some_and(|(name, _)| !name.is_empty()))
}

/// Hexadecimal that chance gave nearly no letters, or no digits.
fn is_hex(value: &[u8]) -> bool {
    let has = |kind: fn(&u8) -> bool| value.iter().any(kind);
    value.len() >= 16
        && value.iter().all(u8::is_ascii_hexdigit)
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_alphabetic)
}

/// Some vendors' client secrets are long numbers.
fn is_number(value: &[u8]) -> bool {
    (15..=80).contains(&value.len()) && value.iter().all(u8::is_ascii_digit) && entropy(value) >= 2.0
}

fn is_long_random(value: &[u8]) -> bool {
    // Of a few characters each has to be another, as chance makes them.
    let (least, is_chance) = match value.len() {
        0..12 => return false,
        12..16 => (3.0, is_random(value) && is_jumbled(value, false)),
        _ => (3.0, true),
    };
    is_chance && (is_uuid(value) || entropy(value) >= least)
}

/// Whether a value has dots, and its parts are not those of a token: long, and by chance.
fn is_dotted(value: &str) -> bool {
    let is_part =
        |part: &str| part.len() >= 8 && is_random(part.as_bytes()) && is_jumbled(part.as_bytes(), false);
    value.contains('.') && !(value.len() >= 32 && value.split('.').all(is_part))
}

/// An address that whoever has it may use: a part of it is drawn by chance.
fn is_capability(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://").filter(|(scheme, _)| scheme.starts_with("http")) else {
        return false;
    };
    let is_drawn = |part: &str| {
        (20..=VALUE).contains(&part.len())
            && is_random(part.as_bytes())
            && is_jumbled(part.as_bytes(), false)
            && !is_uuid(part.as_bytes())
            && !part.contains('.')
    };
    let mut parts = rest.split(['/', '?', '&', '=']).skip(1);
    value.bytes().all(|byte| byte.is_ascii_graphic()) && parts.any(is_drawn)
}
