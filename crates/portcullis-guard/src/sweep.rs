//! The one pass over a text that proposes candidates.
//!
//! Words are runs of letters and digits; what kinds of characters a word has decides who looks at it. A word of letters
//! only is looked up when its first characters are those of some word that matters, so that plain prose costs one table
//! look-up for each byte and one for each word. Everything else begins at one of five signs.

use foldhash::{HashMap, HashMapExt};

use crate::Entity;
use crate::context::Topics;
use crate::recognise::formats::Formats;
use crate::recognise::injection::{ANCHORS, Anchor, Rules};
use crate::recognise::{
    Subject, assigned, curl, date, email, iban, lettered, mrz, national, network, number, person, secret,
};
use crate::text::class::{self, CLASS, CONTROL, DIGIT, LINK, LOWER, SIGN, UPPER, WIDE, WORD};
use crate::text::decode;

/// What a word of letters begins.
#[derive(Clone, Copy)]
enum Meaning {
    Order(Anchor),
    Title,
    Name,
    Street,
    Month,
    Begin,
    Password,
    Curl,
}

/// All that candidates are compared with.
pub(crate) struct Sweep {
    meanings: HashMap<String, Meaning>,
    formats: Formats,
    rules: Rules,
    /// One bit for each pair of first characters of a word that matters.
    heads: Box<[u64; 1024]>,
}

impl Sweep {
    pub(crate) fn new() -> Self {
        let mut meanings = HashMap::new();
        let mut add = |list: &str, meaning: Meaning| {
            for word in list.split_ascii_whitespace() {
                meanings.entry(word.to_owned()).or_insert(meaning);
            }
        };
        for (anchor, list) in ANCHORS {
            add(list, Meaning::Order(*anchor));
        }
        add(
            "january february march april may june july august september october november december jan feb mar apr jun \
             jul aug sep sept oct nov dec januar februar",
            Meaning::Month,
        );
        add(person::TITLES, Meaning::Title);
        add(person::STREETS, Meaning::Street);
        add("name", Meaning::Name);
        add("begin", Meaning::Begin);
        add("password passwd pwd passwort kennwort passphrase", Meaning::Password);
        add("curl", Meaning::Curl);
        let formats = Formats::new();
        let mut heads = Box::new([0u64; 1024]);
        let mut mark = |head: [u8; 2]| {
            let bit = usize::from(u16::from_le_bytes(head));
            heads[bit / 64] |= 1 << (bit % 64);
        };
        for word in meanings.keys() {
            let bytes = word.as_bytes();
            for first in [bytes[0], bytes[0].to_ascii_uppercase()] {
                mark([first, bytes[1]]);
                mark([first, bytes[1].to_ascii_uppercase()]);
            }
        }
        formats.heads().for_each(&mut mark);
        Self { meanings, formats, rules: Rules::new(), heads }
    }

    fn matters(&self, bytes: &[u8], start: usize) -> bool {
        let Some(head) = bytes.get(start..start + 2) else { return false };
        let bit = usize::from(u16::from_le_bytes([head[0], head[1]]));
        self.heads[bit / 64] >> (bit % 64) & 1 != 0
    }

    /// Looks through the text; runs of what may be base64 are added to `runs`. Returns the classes of all bytes.
    pub(crate) fn look(&self, subject: &mut Subject<'_>, runs: &mut Vec<(usize, usize)>) -> u8 {
        let bytes = subject.bytes;
        let (mut at, mut seen) = (0, 0);
        let mut run_until = 0;
        while at < bytes.len() {
            let kind = CLASS[bytes[at] as usize];
            if kind & WORD != 0 {
                let start = at;
                if let Some(end) = secret::end_of_ours(subject.text, start) {
                    at = end;
                    continue;
                }
                let mut all = kind;
                at += 1;
                while at < bytes.len() {
                    let next = CLASS[bytes[at] as usize];
                    if next & WORD == 0 {
                        break;
                    }
                    all |= next;
                    at += 1;
                }
                if start >= run_until && may_be_run(bytes, start, at, all) {
                    run_until = decode::run_end(bytes, start);
                    if run_until - start >= decode::SHORTEST {
                        runs.push((start, run_until));
                    }
                }
                at = self.word(subject, start, at, all).unwrap_or(at).max(at);
            } else {
                seen |= kind;
                at = if kind & SIGN != 0 { sign(subject, at).unwrap_or(at + 1).max(at + 1) } else { at + 1 };
            }
        }
        seen
    }

    fn word(&self, subject: &mut Subject<'_>, start: usize, end: usize, all: u8) -> Option<usize> {
        let bytes = subject.bytes;
        if all & DIGIT == 0 {
            if !self.matters(bytes, start) {
                return None;
            }
            return self
                .formats
                .look(subject, start)
                .or_else(|| jwt(subject, start))
                .or_else(|| self.meaning(subject, start, end));
        }
        if all == DIGIT {
            if end - start == 2
                && class::at(bytes, end) == b'-'
                && let Some(end) = network::hyphens(subject, start)
            {
                return Some(end);
            }
            return Some(number::look(subject, start)).filter(|next| *next > start);
        }
        if self.matters(bytes, start)
            && let Some(end) = self.formats.look(subject, start).or_else(|| jwt(subject, start))
        {
            return Some(end);
        }
        mixed(subject, start, end)
    }

    fn meaning(&self, subject: &mut Subject<'_>, start: usize, end: usize) -> Option<usize> {
        let mut lower = [0; 16];
        let word = lower.get_mut(..end - start)?;
        word.copy_from_slice(&subject.bytes[start..end]);
        word.make_ascii_lowercase();
        match *self.meanings.get(std::str::from_utf8(word).ok()?)? {
            Meaning::Order(anchor) if subject.wanted.contains(Entity::Injection) => {
                self.rules.look(subject, anchor, start, end);
                None
            }
            Meaning::Order(_) => None,
            Meaning::Title => person::titled(subject, start, end),
            Meaning::Name => person::announced(subject, start, end),
            Meaning::Street => person::street(subject, start, end),
            Meaning::Month => date::named(subject, start, end),
            Meaning::Begin => private_key(subject, start),
            Meaning::Password => told(subject, end),
            Meaning::Curl => curl::look(subject, end),
        }
    }
}

/// Whether base64 may begin here: it has letters of both cases, or digits, and is long with what follows.
fn may_be_run(bytes: &[u8], start: usize, end: usize, all: u8) -> bool {
    let before = class::before(bytes, start);
    if matches!(before, b'/' | b'+' | b'-' | b'_')
        && start > 0
        && class::is_word(class::before(bytes, start - 1))
    {
        return false;
    }
    let mixed = all != LOWER && all != UPPER && all != DIGIT;
    mixed && (end - start >= decode::SHORTEST || CLASS[class::at(bytes, end) as usize] & LINK != 0)
}

/// Words of letters and digits: accounts, identifiers, passports.
fn mixed(subject: &mut Subject<'_>, start: usize, end: usize) -> Option<usize> {
    let bytes = subject.bytes;
    if let Some((country, end)) = iban::find(bytes, start) {
        subject.hit(Entity::Iban, country, start, end, 0.98);
        return Some(end);
    }
    let length = end - start;
    if (class::at(bytes, end) == b'<' || length >= 30)
        && let Some(end) = mrz::look(subject, start)
    {
        return Some(end);
    }
    if class::at(bytes, end) == b'~'
        && let Some(end) = assigned::entra(subject, end)
    {
        return Some(end);
    }
    let first_digit = bytes[start].is_ascii_digit();
    if first_digit && length <= 4 && matches!(&bytes[end - 2..end], b"st" | b"nd" | b"rd" | b"th") {
        return date::look(subject, start);
    }
    if length == 2
        && class::at(bytes, end) == b'-'
        && let Some(end) = network::hyphens(subject, start)
    {
        return Some(end);
    }
    let before = class::before(bytes, start);
    let clean = !matches!(before, b'_' | b'/' | b'=' | b'.') && !matches!(class::at(bytes, end), b'_' | b'/');
    if !(6..=16).contains(&length) || !clean {
        return telegram(subject, start, end);
    }
    let word = &bytes[start..end];
    let around = subject.around(start, end);
    if let Some((country, proof, topics)) = lettered::find(word, around) {
        let joined = matches!(before, b'-') || class::at(bytes, end) == b'-';
        let enough = proof == national::Proof::Strong && !joined || around.any(Topics::IDENTITY);
        if enough && !(subject.nearest(start).any(Topics::OTHER)) {
            subject.hit(Entity::NationalId, country, start, end, if around.has(topics) { 0.97 } else { 0.8 });
            return Some(end);
        }
    }
    let digits = word.iter().filter(|byte| byte.is_ascii_digit()).count();
    let capitals = word.iter().all(|byte| !byte.is_ascii_lowercase());
    let least = if subject.nearest(start).has(Topics::PASSPORT) && matches!(length, 8 | 9) { 1 } else { 4 };
    if around.has(Topics::PASSPORT) && digits >= least && length <= 10 && capitals {
        subject.hit(Entity::Passport, "", start, end, 0.85);
        return Some(end);
    }
    None
}

/// Bot tokens: a number, a colon, 35 characters of which the first is an A.
fn telegram(subject: &mut Subject<'_>, start: usize, end: usize) -> Option<usize> {
    let bytes = subject.bytes;
    let head = bytes[..start].iter().rev().take(17);
    let is_token = class::before(bytes, start) == b':' && bytes[start] == b'A';
    if !is_token || end - start < 2 {
        return None;
    }
    let digits = head.skip(1).take_while(|byte| byte.is_ascii_digit()).count();
    let length = bytes[start..]
        .iter()
        .take(36)
        .take_while(|byte| class::is_word(**byte) || matches!(byte, b'_' | b'-'))
        .count();
    if !(5..=16).contains(&digits) || length != 35 {
        return None;
    }
    subject.hit(Entity::Secret, "telegram", start - 1 - digits, start + length, 0.95);
    Some(start + length)
}

/// `header.payload.signature` of which the first two are JSON objects.
fn jwt(subject: &mut Subject<'_>, start: usize) -> Option<usize> {
    let bytes = subject.bytes;
    if !bytes[start..].starts_with(b"eyJ") {
        return None;
    }
    let is_part = |byte: &&u8| class::is_word(**byte) || matches!(byte, b'-' | b'_');
    let mut at = start;
    let mut parts = [0; 5];
    let mut count = 0;
    while count < 5 {
        let length = bytes[at..].iter().take_while(is_part).count();
        parts[count] = length;
        count += 1;
        at += length;
        if class::at(bytes, at) != b'.' {
            break;
        }
        at += 1;
    }
    let header = decode::run(bytes.get(start..start + parts[0])?)?;
    let names_algorithm =
        header.contains("\"alg\"") || header.contains("\"typ\"") || header.contains("\"kid\"");
    if !(count == 3 || count == 5) || parts[1] < 4 && count == 3 || !names_algorithm {
        return None;
    }
    // A full stop after it is not part of it; one without a signature has it.
    subject.hit(Entity::Jwt, "", start, at, 0.97);
    Some(at)
}

/// A key in PEM, whatever its label, to the end; an end that is missing is where the base64 ends.
fn private_key(subject: &mut Subject<'_>, start: usize) -> Option<usize> {
    let bytes = subject.bytes;
    let head = &bytes[start..bytes.len().min(start + 60)];
    if !bytes[..start].ends_with(b"-----") {
        return None;
    }
    let label = memchr::memmem::find(head, b"PRIVATE KEY")?;
    let body = start + label + "PRIVATE KEY".len();
    let limit = bytes.len().min(body + 16_384);
    let end = match memchr::memmem::find(&bytes[body..limit], b"-----END") {
        Some(at) => {
            let tail = body + at + 8;
            memchr::memmem::find(&bytes[tail..bytes.len().min(tail + 60)], b"-----")
                .map_or(tail, |at| tail + at + 5)
        }
        None => {
            let is_body = |byte: &&u8| {
                class::is_word(**byte)
                    || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'\\' | b'\r' | b'\n' | b' ' | b':' | b',')
            };
            body + bytes[body..limit].iter().take_while(is_body).count()
        }
    };
    // What a manual shows has no key in it.
    if bytes[body..end].iter().filter(|byte| class::is_word(**byte)).count() < 40 {
        return None;
    }
    subject.hit(Entity::PrivateKey, "", start - 5, end, 0.98);
    Some(end)
}

/// `password is …`.
fn told(subject: &mut Subject<'_>, end: usize) -> Option<usize> {
    let rest = &subject.text[end..];
    let after = [" is ", " was ", " to ", " ist "].iter().find_map(|word| rest.strip_prefix(word))?;
    let quoted = after.starts_with(['"', '\'', '`']);
    let after = after.trim_start_matches(['"', '\'', '`']);
    let start = subject.text.len() - after.len();
    let length = after.find([' ', '"', '\'', '`', ',', '\n', ';', ')']).unwrap_or(after.len());
    let value = after[..length].trim_end_matches(['.', '!', '?']);
    let digits = value.bytes().any(|byte| byte.is_ascii_digit());
    let signs = value.bytes().any(|byte| byte.is_ascii_punctuation());
    if value.len() < 4 || !(digits || signs && quoted) || crate::recognise::secret::is_placeholder(value) {
        return None;
    }
    subject.hit(Entity::Password, "", start, start + value.len(), 0.7);
    Some(start + value.len())
}

fn sign(subject: &mut Subject<'_>, at: usize) -> Option<usize> {
    let bytes = subject.bytes;
    match bytes[at] {
        b'@' => email::look(subject, at),
        // `setProperty("API_TOKEN", "…")`
        b',' => {
            let quote = class::before(bytes, at);
            let next = class::at(bytes, at + 1 + usize::from(class::at(bytes, at + 1) == b' '));
            if matches!(quote, b'"' | b'\'') && next == quote { assigned::look(subject, at) } else { None }
        }
        b':' => {
            let next = class::at(bytes, at + 1);
            let before = class::before(bytes, at);
            if (before.is_ascii_hexdigit() && next.is_ascii_hexdigit() || next == b':')
                && let Some(end) = network::colons(subject, at)
            {
                return Some(end);
            }
            if next == b'/' || before.is_ascii_digit() { None } else { assigned::look(subject, at) }
        }
        b'>' => {
            let is_tag = bytes[at.saturating_sub(40)..at]
                .iter()
                .rev()
                .take_while(|byte| class::is_word(**byte) || matches!(byte, b'_' | b'-' | b'.'))
                .count();
            if class::before(bytes, at - is_tag) == b'<' || class::before(bytes, at) == b'=' {
                assigned::look(subject, at)
            } else {
                None
            }
        }
        _ => {
            if class::at(bytes, at + 1) == b'=' {
                None
            } else {
                assigned::look(subject, at)
            }
        }
    }
}

/// Whether a text with bytes of these classes may have hidden characters.
pub(crate) fn may_hide(classes: u8) -> bool {
    classes & (WIDE | CONTROL) != 0
}
