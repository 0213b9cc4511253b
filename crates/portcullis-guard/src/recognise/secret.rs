//! What makes a value a credential: it is no placeholder, and it is not made of words.
//!
//! Shared by the recognisers of known forms (`formats`) and of values that a name announces (`assigned`).

use crate::text::class;

/// Bits of information for each character, after Shannon, of the bytes as they are distributed.
#[allow(clippy::cast_precision_loss, reason = "a length of at most 256")]
pub(crate) fn entropy(value: &[u8]) -> f32 {
    let mut counts = [0u16; 128];
    for byte in value.iter().take(256) {
        counts[usize::from(byte & 0x7f)] += 1;
    }
    let length = value.len().min(256) as f32;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f32::from(*count) / length;
            -share * share.log2()
        })
        .sum()
}

/// Whether a value only stands where a credential would: `<token>`, `${TOKEN}`, `xxxx`, `your-api-key`, `[SECRET]`.
pub(crate) fn is_placeholder(value: &str) -> bool {
    const WORDS: [&str; 15] = [
        "example",
        "placeholder",
        "changeme",
        "change_me",
        "change-me",
        "redacted",
        "dummy",
        "****",
        "....",
        "process.env",
        "os.environ",
        "getenv",
        "${",
        "{{",
        "secrets.",
    ];
    let value = value.trim();
    let lower = value.to_ascii_lowercase();
    let bytes = value.as_bytes();
    WORDS.iter().any(|word| lower.contains(word))
        || is_to_be_filled_in(bytes, &lower)
        || is_ours(value)
        || is_slot(value)
        || matches!(bytes, [b'$', ..] if bytes.len() > 1 && bytes[1..].iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'_'))
        || value.starts_with("ENC[")
        || matches!(bytes, [b'%', .., b'%'])
        || matches!(bytes, [b'{', .., b'}'])
        || bytes.windows(2).all(|pair| pair[0] == pair[1])
        || bytes.iter().all(|byte| matches!(byte, b'*' | b'.' | b'-' | b'_' | b'x' | b'X' | b'#'))
        || is_sequence(bytes)
}

/// Whether a value says what to put in its place. The words that do so also stand inside of others, in what somebody made up, and
/// by chance: `loveyour1dog`. With digits in it, a value has to have them where a word begins, or little else.
fn is_to_be_filled_in(value: &[u8], lower: &str) -> bool {
    let begins = |at: usize| {
        let before = class::before(value, at);
        !class::is_word(before) || before.is_ascii_lowercase() && value[at].is_ascii_uppercase()
    };
    let has_digits = value.iter().any(u8::is_ascii_digit);
    let is_meant = |word: &str| lower.match_indices(word).any(|(at, _)| !has_digits || begins(at));
    ["your", "insert", "replace", "xxxx"].into_iter().any(is_meant)
        || lower.contains("xxxx") && memchr::memchr_iter(b'x', lower.as_bytes()).count() * 4 >= lower.len()
}

/// Something to be filled in stands in angle brackets: `<token>`, `Bearer <your token>`, one that was cut off. A password may have
/// either bracket.
fn is_slot(value: &str) -> bool {
    value.split_once('<').is_some_and(|(before, rest)| before.is_empty() || rest.contains('>'))
}

/// What this engine writes in the place of a value, in whatever form: it must not be found again.
pub(crate) fn is_ours(value: &str) -> bool {
    let inner = |open: char, close: char| value.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    inner('[', ']').is_some_and(is_name)
        || inner('~', '~').and_then(|rest| rest.split_once('.')).is_some_and(|(name, _)| is_name(name))
        || value.strip_prefix("h:").and_then(|rest| rest.split_once(':')).is_some_and(|(name, hash)| {
            is_name(name) && hash.len() == 20 && hash.bytes().all(|b| b.is_ascii_hexdigit())
        })
}

/// The end of what this engine wrote and whose first word begins at `start`: a hash or a pseudonym.
pub(crate) fn end_of_ours(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let before = start.checked_sub(1).map(|at| bytes[at]);
    if before == Some(b'~') {
        if !(bytes[start].is_ascii_uppercase() || bytes[start] == b'_') {
            return None;
        }
        let reach = crate::context::floor(text, start + 530);
        let end = start + text[start..reach].find('~')? + 1;
        return is_ours(&text[start - 1..end]).then_some(end);
    }
    if bytes[start] != b'h' || bytes.get(start + 1) != Some(&b':') {
        return None;
    }
    let name = bytes[start + 2..].iter().take(14).position(|byte| *byte == b':')?;
    let end = start + 2 + name + 1 + 20;
    text.get(start..end).is_some_and(is_ours).then_some(end)
}

/// `abcdefgh`, `12345678`.
fn is_sequence(value: &[u8]) -> bool {
    value.len() >= 4
        && value.windows(2).filter(|pair| pair[1] == pair[0].wrapping_add(1)).count() * 5 >= value.len() * 4
}

/// Whether a value has what chance makes and words do not: digits among letters, or both cases in disorder.
pub(crate) fn is_random(value: &[u8]) -> bool {
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = value.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let kind = |byte: u8| match byte {
        b'0'..=b'9' => 0,
        b'a'..=b'z' => 1,
        b'A'..=b'Z' => 2,
        _ => 3,
    };
    let turns = value.windows(2).filter(|pair| kind(pair[0]) != kind(pair[1])).count();
    let even = digits * 5 >= value.len() && letters * 5 >= value.len();
    digits >= 2 && letters >= 2 && (turns * 5 >= value.len() || even)
        || (value.len() >= 24 && turns * 3 >= value.len())
}

/// What follows each letter from a to z in words and names of code: 300 of the 676 pairs, and all but one in twenty that are written.
#[rustfmt::skip]
const FOLLOWING: [&str; 26] = [
    "bcdfgiklmnprstuvwxy", "aceijlorsuy", "acehiklmorstu", "abdeilorstu", "abcdefgiklmnopqrstvwxy", "aefilorstu", "aehilnorsu", "aeiortu", "abcdefglmnoprstvxz", "aeou", "aeilos", "acdefilopstuy", "abdeimopsu", "acdefgiklnopstuvy", "abcdfgiklmnoprstuvw", "adehiloprstuy", "u", "abcdefgiklmnoprstuvy", "acefhiklmnoprstuy", "acdefhilmnoprstuwy", "abcdefgilmnprst", "aeio", "aehinors", "ceipt", "eimnpst", "e",
];

/// Whether a value goes from character to character as chance does: between letters and digits, and to letters that follow each
/// other in no word. Of random ones nine in ten are at ten characters and all but a few at sixteen, of names of code one in
/// sixty; where less is enough, in quotes, one in fifty.
pub(crate) fn is_jumbled(value: &[u8], quoted: bool) -> bool {
    let jumps = jumps(value);
    let (enough, of) = if quoted { (4, 1) } else { (10, 3) };
    jumps >= 3 && jumps * enough >= value.len() * of
}

/// How often a value goes between letters and digits, and to a letter that follows in no word.
pub(crate) fn jumps(value: &[u8]) -> usize {
    let is_jump = |pair: &&[u8]| match (pair[0].to_ascii_lowercase(), pair[1].to_ascii_lowercase()) {
        (letter @ b'a'..=b'z', next @ b'a'..=b'z') => {
            !FOLLOWING[usize::from(letter - b'a')].as_bytes().contains(&next)
        }
        (letter, next) => {
            letter.is_ascii_alphanumeric()
                && next.is_ascii_alphanumeric()
                && letter.is_ascii_digit() != next.is_ascii_digit()
        }
    };
    value.windows(2).filter(is_jump).count()
}

/// A UUID, which is more often a name than a secret.
pub(crate) fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
