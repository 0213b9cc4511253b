//! What makes a value a credential: it is no placeholder, and it is not made of words.
//!
//! Shared by the recognisers of known forms (`formats`) and of values that a name announces (`assigned`).

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
    const WORDS: [&str; 20] = [
        "example",
        "placeholder",
        "changeme",
        "change_me",
        "change-me",
        "your",
        "xxxx",
        "redacted",
        "dummy",
        "insert",
        "replace",
        "****",
        "....",
        "process.env",
        "os.environ",
        "getenv",
        "<",
        "${",
        "{{",
        "secrets.",
    ];
    let value = value.trim();
    let lower = value.to_ascii_lowercase();
    let bytes = value.as_bytes();
    WORDS.iter().any(|word| lower.contains(word))
        || is_ours(value)
        || matches!(bytes, [b'$', ..] if bytes.len() > 1 && bytes[1..].iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'_'))
        || value.starts_with("ENC[")
        || matches!(bytes, [b'%', .., b'%'])
        || matches!(bytes, [b'{', .., b'}'])
        || bytes.windows(2).all(|pair| pair[0] == pair[1])
        || bytes.iter().all(|byte| matches!(byte, b'*' | b'.' | b'-' | b'_' | b'x' | b'X' | b'#'))
        || is_sequence(bytes)
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

/// Whether the letters of a value are none of words: few vowels, and consonants that nobody could say.
pub(crate) fn is_scrambled(value: &[u8]) -> bool {
    let is_vowel = |byte: u8| matches!(byte.to_ascii_lowercase(), b'a' | b'e' | b'i' | b'o' | b'u' | b'y');
    let (mut letters, mut vowels, mut run, mut longest) = (0, 0, 0, 0);
    for byte in value {
        let (letter, vowel) = (byte.is_ascii_alphabetic(), is_vowel(*byte));
        letters += usize::from(letter);
        vowels += usize::from(vowel);
        run = if letter && !vowel { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    value.len() >= 16
        && longest >= 5
        && letters * 3 >= value.len() * 2
        && vowels * 10 <= letters * 3
        && entropy(value) >= 3.2
}

/// Whether a value goes from one kind of character to another so often that no name does, with a digit among letters of both
/// cases; in quotes, where no name of code stands, less is enough.
pub(crate) fn is_restless(value: &[u8], quoted: bool) -> bool {
    let count = |kind: fn(&u8) -> bool| value.iter().filter(|byte| kind(byte)).count();
    let kind = |byte: u8| (byte.is_ascii_digit(), byte.is_ascii_lowercase(), byte.is_ascii_uppercase());
    let turns = value.windows(2).filter(|pair| kind(pair[0]) != kind(pair[1])).count();
    let (enough, of) = if quoted { (5, 2) } else { (2, 1) };
    count(u8::is_ascii_digit) >= 1
        && count(u8::is_ascii_lowercase) >= 2
        && count(u8::is_ascii_uppercase) >= 2
        && turns * enough >= value.len() * of
}

/// A UUID, which is more often a name than a secret.
pub(crate) fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
