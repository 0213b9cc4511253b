//! Names of persons and postal addresses, by what stands before them or by the key under which they stand.
//!
//! Without a model of language only what is announced is found: `Mr. Jane Doe`, `my name is …`, `customer_name`, a number
//! with a word for a street. What it leaves out is the rest, which is most names in free text.

use super::Subject;
use crate::Entity;
use crate::context::Topics;
use crate::text::class;

/// Words before a name.
pub(crate) const TITLES: &str =
    "mr mrs ms miss dr prof sir madam herr frau monsieur madame señor señora signor signora mme";

/// Words for streets.
pub(crate) const STREETS: &str = "street st avenue ave road rd boulevard blvd lane ln drive court ct place square terrace highway \
    hwy parkway pkwy crescent close way suite apt";

/// Looks at a title; says where the name after it ends.
pub(crate) fn titled(subject: &mut Subject<'_>, start: usize, end: usize) -> Option<usize> {
    let bytes = subject.bytes;
    if !bytes[start].is_ascii_uppercase() {
        return None;
    }
    let at = end + bytes[end..].iter().take(2).take_while(|byte| matches!(byte, b'.' | b' ')).count();
    let (stop, count) = if at == end { (at, 0) } else { names(subject.text, at) };
    if count == 0 {
        return None;
    }
    subject.hit(Entity::Person, "titled", at, stop, 0.75);
    Some(stop)
}

/// Looks at `name`: what follows `is` or a colon.
pub(crate) fn announced(subject: &mut Subject<'_>, start: usize, end: usize) -> Option<usize> {
    let rest = &subject.text[end..];
    let after = [" is ", ": ", " = ", "'s "]
        .iter()
        .find_map(|word| rest.strip_prefix(word))
        .or_else(|| rest.strip_prefix(':'))?;
    let mine = subject.bytes[..start].trim_ascii_end();
    let own = [
        "my",
        "full",
        "first",
        "last",
        "customer",
        "patient",
        "client",
        "his",
        "her",
        "account holder",
        "cardholder",
        "employee",
    ]
    .iter()
    .any(|word| {
        mine.len().checked_sub(word.len()).is_some_and(|at| mine[at..].eq_ignore_ascii_case(word.as_bytes()))
    });
    let at = subject.text.len() - after.len();
    let (stop, count) = names(subject.text, at);
    if count == 0 || !(own || count >= 2) {
        return None;
    }
    subject.hit(Entity::Person, "announced", at, stop, if own { 0.8 } else { 0.55 });
    Some(stop)
}

/// The end of a row of capitalised words at `at`, and their number.
fn names(text: &str, at: usize) -> (usize, usize) {
    let mut stop = at;
    let mut count = 0;
    let mut next = at;
    while count < 4 {
        let Some(rest) = text.get(next..) else { break };
        let length =
            rest.find(|c: char| !(c.is_alphabetic() || matches!(c, '\'' | '-' | '’'))).unwrap_or(rest.len());
        let word = &rest[..length];
        let capital = word.chars().next().is_some_and(char::is_uppercase);
        let particle =
            count > 0 && matches!(word, "de" | "van" | "von" | "der" | "da" | "di" | "la" | "bin" | "al");
        if !(capital || particle) {
            break;
        }
        if capital {
            count += 1;
            stop = next + length;
        }
        // An initial has a full stop.
        next += length;
        if length == 1 && text[next..].starts_with('.') {
            next += 1;
            stop = next;
        }
        if !text[next..].starts_with(' ') {
            break;
        }
        next += 1;
    }
    (stop, count)
}

/// Looks at the value of a JSON member by what its key says.
pub(crate) fn member(subject: &mut Subject<'_>, key: &str) {
    let text = subject.text;
    let field = subject.field;
    if text.is_empty() || text.len() > 160 || super::secret::is_ours(text) || text.contains("***") {
        return;
    }
    let compact: String = key.chars().filter(|c| c.is_alphabetic()).flat_map(char::to_lowercase).collect();
    let is_name = field.has(Topics::NAME)
        && !field.any(Topics::SECRET)
        && (field.has(Topics::WHO)
            || [
                "fullname",
                "firstname",
                "lastname",
                "surname",
                "givenname",
                "familyname",
                "vorname",
                "nachname",
                "apellidos",
                "cognome",
                "achternaam",
            ]
            .contains(&compact.as_str()))
        && !["filename", "username", "toolname", "servername", "hostname"]
            .iter()
            .any(|word| compact.ends_with(word));
    if is_name {
        let (stop, count) = names(text, 0);
        if stop == text.len() && count >= 1 {
            subject.hit(Entity::Person, "key", 0, stop, 0.8);
        }
    } else if field.has(Topics::ADDRESS)
        && !field.any(Topics::OTHER)
        && !compact.contains("mail")
        && !compact.contains("ip")
        && !compact.contains("mac")
    {
        let digits = text.bytes().any(|byte| byte.is_ascii_digit());
        let words = text.split([' ', ',']).filter(|word| !word.is_empty()).count();
        if digits && words >= 2 && !text.contains('@') && !text.contains("://") {
            subject.hit(Entity::Address, "key", 0, text.len(), 0.8);
        }
    }
}

/// Looks at a word for a street: `12 Example Street`, with a town and a code after it.
pub(crate) fn street(subject: &mut Subject<'_>, start: usize, end: usize) -> Option<usize> {
    let text = subject.text;
    let bytes = subject.bytes;
    if !bytes[start].is_ascii_uppercase() {
        return None;
    }
    // Back over capitalised words to a number.
    let mut from = start;
    for _ in 0..5 {
        let head = text[..from].strip_suffix(' ')?;
        let word = head.rsplit([' ', '\n', ',', ':']).next()?;
        from = head.len() - word.len();
        let number = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        if !number.is_empty()
            && number.len() <= 5
            && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
        {
            let stop = place(text, end);
            subject.hit(Entity::Address, "street", from, stop, 0.65);
            return Some(stop);
        }
        if !word.chars().next().is_some_and(char::is_uppercase) {
            return None;
        }
    }
    None
}

/// Where the address ends whose street ends at `end`: `, Springfield, IL 62704`.
fn place(text: &str, end: usize) -> usize {
    let bytes = text.as_bytes();
    let mut stop = end;
    let mut at = end;
    if class::at(bytes, at) == b'.' {
        at += 1;
    }
    while stop < end + 80 {
        let gap = bytes[at.min(bytes.len())..]
            .iter()
            .take(3)
            .take_while(|byte| matches!(byte, b',' | b' ' | b'\n'))
            .count();
        let next = at + gap;
        let Some(rest) = text.get(next..) else { break };
        let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '-')).unwrap_or(rest.len());
        let word = &rest[..length];
        let first = word.chars().next();
        let fits = first.is_some_and(|c| c.is_uppercase() || c.is_ascii_digit());
        if gap == 0
            || !fits
            || (gap == 1
                && bytes[at] == b' '
                && stop == end
                && first.is_some_and(char::is_uppercase)
                && word.len() > 4)
        {
            break;
        }
        at = next + length;
        stop = at;
    }
    stop
}
