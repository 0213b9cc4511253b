//! The one pass over a text that proposes candidates.
//!
//! Words are runs of letters and digits. A block of bytes is looked at together: where its words begin, which have digits,
//! which signs it has. A word of letters is passed over when it is none that matters; one with digits, a long one, one that
//! base64 may begin with, and five signs get a closer look. So plain prose costs a few instructions for each word, whatever
//! may be found.

use std::hint;

use foldhash::{HashMap, HashMapExt};

use crate::context::Topics;
use crate::recognise::assigned::Announced;
use crate::recognise::formats::Formats;
use crate::recognise::injection::{ANCHORS, Anchor, Rules};
use crate::recognise::{
    Subject, assigned, behind, curl, date, email, iban, jwt, lettered, manifest, mrz, national, network,
    number, parts, person, secret,
};
use crate::text::block::{self, Block};
use crate::text::class::{self, CLASS, DIGIT, JOINT, LINK, LOWER, SIGN, UPPER};
use crate::text::decode;
use crate::text::filter::{Beginnings, Filter, Heads};
use crate::{Entity, EntitySet};

/// How many letters a credential begins with before a sign, where it stands inside a word.
const HEAD: usize = 8;

/// What a word of letters begins.
#[derive(Clone, Copy)]
enum Meaning {
    Order(Anchor),
    Title,
    Name,
    Street,
    Month,
    Begin,
    Told(Announced),
    Curl,
    Kind,
}

impl Meaning {
    /// What is found by it; `None` when that tells what to pass over, and is looked at whatever is wanted.
    fn entity(self) -> Option<Entity> {
        Some(match self {
            Self::Order(_) => Entity::Injection,
            Self::Title | Self::Name => Entity::Person,
            Self::Street => Entity::Address,
            Self::Told(Announced::Password) | Self::Curl => Entity::Password,
            Self::Told(_) | Self::Kind => Entity::Secret,
            Self::Begin | Self::Month => return None,
        })
    }
}

/// What a first look at letters says.
enum Glance {
    Nothing,
    /// They are a word that may mean something.
    Meaning,
    /// They may be a part of something.
    More,
}

/// All that candidates are compared with.
pub(crate) struct Sweep {
    meanings: HashMap<&'static str, Meaning>,
    formats: Formats,
    rules: Rules,
    /// Words of letters that matter.
    words: Filter<256>,
    /// What they begin with.
    beginnings: Beginnings,
    /// What credentials begin with.
    heads: Heads,
    /// Whether numbers are wanted.
    numbers: bool,
}

/// What gets a closer look: where in its block, how many letters it begins with, and whether it is a sign.
struct Candidate {
    bit: usize,
    letters: usize,
    is_sign: bool,
}

impl Sweep {
    /// For what is wanted: other words mean nothing.
    pub(crate) fn new(wanted: EntitySet) -> Self {
        let mut meanings = HashMap::new();
        let mut add = |list: &'static str, meaning: Meaning| {
            if meaning.entity().is_some_and(|entity| !wanted.contains(entity)) {
                return;
            }
            for word in list.split_ascii_whitespace() {
                meanings.entry(word).or_insert(meaning);
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
        add("password passwd pwd passwort kennwort passphrase", Meaning::Told(Announced::Password));
        add("token secret key apikey", Meaning::Told(Announced::Secret));
        add("kind", Meaning::Kind);
        add("curl", Meaning::Curl);
        let formats = Formats::new();
        let (mut words, mut beginnings) = (Filter::new(), Beginnings::new());
        for word in meanings.keys() {
            words.add(word);
            // Others are no words of letters.
            if word.len() >= 2 {
                beginnings.add(word);
            }
        }
        let mut heads = Heads::new();
        for (prefix, shortest) in formats.beginnings() {
            heads.add(prefix);
            let next = prefix.bytes().find(|byte| !class::is_letter(*byte));
            debug_assert!(
                next.map_or(shortest >= decode::SHORTEST, |next| CLASS[usize::from(next)]
                    & (DIGIT | LINK | JOINT)
                    != 0),
                "{prefix} would be passed over"
            );
        }
        // Hashes that the engine wrote.
        heads.add("h:");
        let numbers = wanted.meets(EntitySet::NUMBERS);
        Self { meanings, formats, rules: Rules::new(), words, beginnings, heads, numbers }
    }

    /// Looks through the text; runs of what may be base64 are added to `runs`.
    pub(crate) fn look(&self, subject: &mut Subject<'_>, runs: &mut Vec<(usize, usize)>) {
        let bytes = subject.bytes;
        let mut runs = Runs { found: runs, until: 0 };
        let mut last = [0; block::SIZE + 8];
        // No block begins inside a word, unless something was found that ends there: the rest is a word then.
        let mut base = 0;
        'blocks: loop {
            base = self.pass(bytes, base);
            if base >= bytes.len() {
                return;
            }
            let window = Block::window(bytes, base, &mut last);
            let block = Block::of(window);
            let starts = block.starts() & u64::MAX >> (block::SIZE - block.whole());
            let all = self.candidates(window, &block, starts);
            let mut open = all;
            while let Some(Candidate { bit, letters, is_sign }) =
                self.next(window, &block, class::before(bytes, base), &mut open)
            {
                let at = base + bit;
                if letters > 0 && bit > 0 && bit + letters == block::SIZE {
                    base = at;
                    continue 'blocks;
                }
                let Some(next) = self.closer(subject, &mut runs, at, at + letters, is_sign) else { continue };
                if next >= base + block::SIZE {
                    base = next;
                    continue 'blocks;
                }
                let from = next - base;
                open = (all | block.word() & 1 << from) & u64::MAX << from;
            }
            base += block.whole();
        }
    }

    /// The next of the open candidates that gets a closer look; `before` stands before the block.
    #[allow(
        clippy::inline_always,
        reason = "the loop over all text: a call for each candidate costs a tenth of it"
    )]
    #[inline(always)]
    fn next(&self, window: &block::Window, block: &Block, before: u8, open: &mut u64) -> Option<Candidate> {
        let other = block.digit | block.mark;
        while *open != 0 {
            let bit = open.trailing_zeros() as usize;
            let first = *open & open.wrapping_neg();
            *open ^= first;
            let before = || if bit == 0 { before } else { window[bit - 1] };
            if first & block.mark != 0 {
                let is_sign = CLASS[usize::from(window[bit])] & SIGN != 0;
                if is_sign && !idle::is_idle_sign(window, bit, before()) {
                    return Some(Candidate { bit, letters: 0, is_sign });
                }
                continue;
            }
            if first & block.digit != 0 {
                if !self.is_idle_number(window, block, bit, before()) {
                    return Some(Candidate { bit, letters: 0, is_sign: false });
                }
                continue;
            }
            // One bit, where the letters end, to which the sum carries.
            let after = block.letter.wrapping_add(first) & !block.letter;
            let end = if after == 0 { block::SIZE } else { after.trailing_zeros() as usize };
            let (letters, word) = (end - bit, eight(window, bit));
            if letters < decode::SHORTEST && after != 0 {
                let goes_on = after & other != 0 && self.goes_on(window[end], word);
                if goes_on && !self.is_idle_word(window, block, (bit, end), before()) {
                    return Some(Candidate { bit, letters, is_sign: false });
                }
                if !self.words.may_be(word, letters) {
                    continue;
                }
            }
            return Some(Candidate { bit, letters, is_sign: false });
        }
        None
    }

    /// Where words begin that may matter, of those that begin at `starts`, and marks.
    #[allow(clippy::inline_always, reason = "once for each block of all text")]
    #[inline(always)]
    fn candidates(&self, window: &block::Window, block: &Block, starts: u64) -> u64 {
        let words = starts & block.letter;
        let mut found = block.mark | starts & block.digit | words & block.long();
        let mut open = words;
        while let Some(bit) = self.next_beginning(window, &mut open) {
            found |= 1 << bit;
        }
        let mut ends = block.ends();
        while ends != 0 {
            let end = ends.trailing_zeros() as usize;
            let outside = !block.letter & ((1 << end) - 1);
            let start = block::SIZE - outside.leading_zeros() as usize;
            if self.goes_on(window[end], eight(window, start)) {
                found |= starts & 1 << start;
            }
            ends &= ends - 1;
        }
        found
    }

    /// The next of the open words that begins as one that matters.
    #[allow(clippy::inline_always, reason = "once for each word of all text")]
    #[inline(always)]
    fn next_beginning(&self, window: &block::Window, open: &mut u64) -> Option<usize> {
        while *open != 0 {
            let bit = open.trailing_zeros() as usize;
            *open &= *open - 1;
            if let [first, second] = window[bit..].as_chunks().0[..2]
                && self.beginnings.may_be(first, second)
            {
                // A branch that is hardly ever taken costs less than keeping the bit of each word.
                hint::cold_path();
                return Some(bit);
            }
        }
        None
    }

    /// Whether a word of few letters, of which these are the first, may be part of something by what is next to them.
    #[inline]
    fn goes_on(&self, next: u8, first: u64) -> bool {
        let next = CLASS[usize::from(next)];
        next & (DIGIT | LINK) != 0 || next & JOINT != 0 && self.heads.may_be(first)
    }

    /// Looks at a sign, or at a word that begins with the letters from `at` to `end` and may be more, or mean something. Says where
    /// to go on; `None` is with whatever comes next.
    #[inline(never)]
    fn closer(
        &self,
        subject: &mut Subject<'_>,
        runs: &mut Runs<'_>,
        at: usize,
        end: usize,
        is_sign: bool,
    ) -> Option<usize> {
        if is_sign {
            return sign(subject, at).filter(|next| *next > at + 1);
        }
        let bytes = subject.bytes;
        match self.glance(bytes, at, end) {
            Glance::Nothing => None,
            Glance::Meaning => Some(self.meaning(subject, at, end).unwrap_or(end).max(end)),
            Glance::More => {
                let rest = bytes[end..].iter().take_while(|byte| class::is_word(**byte));
                Some(self.word(subject, runs, at, end + rest.count()))
            }
        }
    }

    /// What to do with the letters from `start` to `end`: a credential, a number, base64 or what the engine wrote is long, or
    /// has a digit or a certain sign after its first letters.
    fn glance(&self, bytes: &[u8], start: usize, end: usize) -> Glance {
        let length = end - start;
        let next = CLASS[usize::from(class::at(bytes, end))];
        if length >= decode::SHORTEST
            || next & (DIGIT | LINK) != 0
            || next & JOINT != 0 && self.heads.may_have(bytes, start)
        {
            Glance::More
        } else if self.words.may_have(bytes, start, length) {
            Glance::Meaning
        } else {
            Glance::Nothing
        }
    }

    /// Looks at the word from `start` to `end`; says where to go on.
    fn word(&self, subject: &mut Subject<'_>, runs: &mut Runs<'_>, start: usize, end: usize) -> usize {
        if let Some(end) = secret::end_of_ours(subject.text, start) {
            return end;
        }
        let all = subject.bytes[start..end].iter().fold(0, |all, byte| all | CLASS[usize::from(*byte)]);
        runs.look(subject.bytes, start, end, all);
        self.candidate(subject, start, end, all).unwrap_or(end).max(end)
    }

    fn candidate(&self, subject: &mut Subject<'_>, start: usize, end: usize, all: u8) -> Option<usize> {
        let bytes = subject.bytes;
        if bytes[start] == b'A'
            && class::before(bytes, start) == b':'
            && let Some(end) = parts::telegram(subject, start)
        {
            return Some(end);
        }
        if all & DIGIT == 0 {
            return self.credential(subject, start).or_else(|| self.meaning(subject, start, end));
        }
        if all == DIGIT {
            if let Some(end) = self.numbered(subject, start, end) {
                return Some(end);
            }
            if !subject.wanted.meets(EntitySet::NUMBERS) {
                return None;
            }
            if end - start == 2
                && class::at(bytes, end) == b'-'
                && let Some(end) = network::hyphens(subject, start)
            {
                return Some(end);
            }
            return Some(number::look(subject, start)).filter(|next| *next > start);
        }
        self.credential(subject, start)
            .or_else(|| self.inside(subject, start, end))
            .or_else(|| mixed(subject, start, end))
    }

    /// Credentials behind other characters of a word with digits, whose last letters and the sign behind it begin them:
    /// `…7Xghp_…`.
    fn inside(&self, subject: &mut Subject<'_>, start: usize, end: usize) -> Option<usize> {
        let bytes = subject.bytes;
        if !matches!(class::at(bytes, end), b'_' | b'-') {
            return None;
        }
        let letters = bytes[start..end].iter().rev().take(HEAD).take_while(|byte| class::is_letter(**byte));
        let from = (end - letters.count()).max(start + 1);
        (from..end)
            .filter(|at| self.heads.may_have(bytes, *at))
            .find_map(|at| self.formats.look_inside(subject, at))
    }

    fn credential(&self, subject: &mut Subject<'_>, start: usize) -> Option<usize> {
        if !self.heads.may_have(subject.bytes, start) {
            return None;
        }
        self.formats.look(subject, start).or_else(|| jwt::look(subject, start))
    }

    /// Credentials that begin with a number, and so with a word that nobody wants who wants no numbers.
    fn numbered(&self, subject: &mut Subject<'_>, start: usize, end: usize) -> Option<usize> {
        let google = class::at(subject.bytes, end) == b'/';
        parts::numbered(subject, start, end)
            .or_else(|| if google { self.credential(subject, start) } else { None })
    }

    fn meaning(&self, subject: &mut Subject<'_>, start: usize, end: usize) -> Option<usize> {
        if !self.words.may_have(subject.bytes, start, end - start) {
            return None;
        }
        let mut lower = [0; 16];
        let word = lower.get_mut(..end - start)?;
        word.copy_from_slice(&subject.bytes[start..end]);
        word.make_ascii_lowercase();
        let meaning = *self.meanings.get(std::str::from_utf8(word).ok()?)?;
        let found = match meaning {
            Meaning::Order(anchor) => {
                self.rules.look(subject, anchor, start, end);
                None
            }
            Meaning::Title => person::titled(subject, start, end),
            Meaning::Name => person::announced(subject, start, end),
            Meaning::Street => person::street(subject, start, end),
            Meaning::Month => date::named(subject, start, end),
            Meaning::Begin => private_key(subject, start),
            Meaning::Told(what) => assigned::told(subject, start, end, what),
            Meaning::Curl => curl::look(subject, end),
            Meaning::Kind => manifest::look(subject, end),
        };
        // Nothing is passed over for some that is looked at for others.
        found.filter(|_| meaning.entity().is_none())
    }
}

/// The first eight bytes of the word that begins at `bit` of a block.
#[inline]
fn eight(window: &block::Window, bit: usize) -> u64 {
    window[bit..].first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight))
}

/// Stretches that may be base64.
struct Runs<'a> {
    found: &'a mut Vec<(usize, usize)>,
    /// Where the last one ends, whether it is long enough or not.
    until: usize,
}

impl Runs<'_> {
    /// Base64 may begin with a word that has letters of both cases, or digits, and is long with what follows.
    fn look(&mut self, bytes: &[u8], start: usize, end: usize, all: u8) {
        let mixed = all != LOWER && all != UPPER && all != DIGIT;
        let long = end - start >= decode::SHORTEST || CLASS[class::at(bytes, end) as usize] & LINK != 0;
        let goes_on = matches!(class::before(bytes, start), b'/' | b'+' | b'-' | b'_')
            && start > 1
            && class::is_word(bytes[start - 2]);
        if start < self.until || !mixed || !long || goes_on {
            return;
        }
        self.until = decode::run_end(bytes, start);
        if decode::may_be_run(&bytes[start..self.until]) {
            self.found.push((start, self.until));
        }
    }
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
        && let Some(end) = parts::entra(subject, end)
    {
        return Some(end);
    }
    if let Some(end) = parts::look(subject, start, end) {
        return Some(end);
    }
    // Whatever is wanted, since what it passes over is looked at for nobody.
    if length >= behind::WORD
        && let Some(end) = behind::look(subject, start, end)
    {
        return Some(end);
    }
    if idle::is_ordinal(&bytes[start..end]) {
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
        return parts::maxmind(subject, start, end);
    }
    if !subject.wanted.meets(EntitySet::NUMBERS) {
        return None;
    }
    let word = &bytes[start..end];
    let around = |subject: &Subject<'_>| subject.around(start, end);
    if let Some((country, proof, topics)) = lettered::find(word, || around(subject)) {
        let around = around(subject);
        let joined = matches!(before, b'-') || class::at(bytes, end) == b'-';
        let enough = proof == national::Proof::Strong && !joined || around.any(Topics::IDENTITY);
        if enough && !(subject.nearest(start).any(Topics::OTHER)) {
            subject.hit(Entity::NationalId, country, start, end, if around.has(topics) { 0.97 } else { 0.8 });
            return Some(end);
        }
    }
    let digits = word.iter().filter(|byte| byte.is_ascii_digit()).count();
    let capitals = word.iter().all(|byte| !byte.is_ascii_lowercase());
    let may_be = length <= 10 && capitals && (digits >= 4 || matches!(length, 8 | 9));
    if !may_be || !around(subject).has(Topics::PASSPORT) {
        return None;
    }
    if digits >= 4 || digits >= 1 && subject.nearest(start).has(Topics::PASSPORT) {
        subject.hit(Entity::Passport, "", start, end, 0.85);
        return Some(end);
    }
    None
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

fn sign(subject: &mut Subject<'_>, at: usize) -> Option<usize> {
    let bytes = subject.bytes;
    match bytes[at] {
        b'@' => email::look(subject, at),
        b'~' if class::is_word(class::at(bytes, at + 1)) => secret::end_of_ours(subject.text, at + 1),
        b'~' => None,
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
            // A time, or the address of a server.
            let is_other = before.is_ascii_digit() && !matches!(next, b' ' | b'"' | b'\'');
            if next == b'/' || is_other { None } else { assigned::look(subject, at) }
        }
        b'>' => {
            let is_tag = bytes[at.saturating_sub(40)..at]
                .iter()
                .rev()
                .take_while(|byte| class::is_word(**byte) || matches!(byte, b'_' | b'-' | b'.'))
                .count();
            if class::before(bytes, at - is_tag) == b'<' || matches!(class::before(bytes, at), b'=' | b'-') {
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

mod idle;
#[cfg(test)]
mod tests;
