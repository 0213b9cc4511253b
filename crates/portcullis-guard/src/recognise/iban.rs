//! Bank account numbers (ISO 13616): country, length, form of the national part, and MOD 97-10.
//!
//! Lengths and forms are those of the IBAN registry, national check digits are not looked at: the two digits of the IBAN
//! leave one of 97.

use crate::text::class;

/// Country and form of the national part: `n` digits, `a` capitals, `c` either.
const FORMS: &[(&str, &str)] = &[
    ("AD", "8n12c"),
    ("AE", "19n"),
    ("AL", "8n16c"),
    ("AT", "16n"),
    ("AZ", "4a20c"),
    ("BA", "16n"),
    ("BE", "12n"),
    ("BG", "4a6n8c"),
    ("BH", "4a14c"),
    ("BI", "23n"),
    ("BR", "23n1a1c"),
    ("BY", "4c4n16c"),
    ("CH", "5n12c"),
    ("CR", "18n"),
    ("CY", "8n16c"),
    ("CZ", "20n"),
    ("DE", "18n"),
    ("DJ", "23n"),
    ("DK", "14n"),
    ("DO", "4c20n"),
    ("EE", "16n"),
    ("EG", "25n"),
    ("ES", "20n"),
    ("FI", "14n"),
    ("FK", "2a12n"),
    ("FO", "14n"),
    ("FR", "10n11c2n"),
    ("GB", "4a14n"),
    ("GE", "2a16n"),
    ("GI", "4a15c"),
    ("GL", "14n"),
    ("GR", "7n16c"),
    ("GT", "24c"),
    ("HR", "17n"),
    ("HU", "24n"),
    ("IE", "4a14n"),
    ("IL", "19n"),
    ("IQ", "4a15n"),
    ("IS", "22n"),
    ("IT", "1a10n12c"),
    ("JO", "4a4n18c"),
    ("KW", "4a22c"),
    ("KZ", "3n13c"),
    ("LB", "4n20c"),
    ("LC", "4a24c"),
    ("LI", "5n12c"),
    ("LT", "16n"),
    ("LU", "3n13c"),
    ("LV", "4a13c"),
    ("LY", "21n"),
    ("MC", "10n11c2n"),
    ("MD", "20c"),
    ("ME", "18n"),
    ("MK", "3n10c2n"),
    ("MN", "16n"),
    ("MR", "23n"),
    ("MT", "4a5n18c"),
    ("MU", "4a19n3a"),
    ("NI", "4a20n"),
    ("NL", "4a10n"),
    ("NO", "11n"),
    ("OM", "3n16c"),
    ("PK", "4a16c"),
    ("PL", "24n"),
    ("PS", "4a21c"),
    ("PT", "21n"),
    ("QA", "4a21c"),
    ("RO", "4a16c"),
    ("RS", "18n"),
    ("RU", "14n15c"),
    ("SA", "2n18c"),
    ("SC", "4a20n3a"),
    ("SD", "14n"),
    ("SE", "20n"),
    ("SI", "15n"),
    ("SK", "20n"),
    ("SM", "1a10n12c"),
    ("SO", "19n"),
    ("ST", "21n"),
    ("SV", "4a20n"),
    ("TL", "19n"),
    ("TN", "20n"),
    ("TR", "6n16c"),
    ("UA", "6n19c"),
    ("VA", "18n"),
    ("VG", "4a16n"),
    ("XK", "16n"),
    ("YE", "4a4n18c"),
];

/// Longest IBAN.
const LONGEST: usize = 34;

/// The IBAN that begins at `start`, if there is one: its country and its end. Groups may be apart by one space or hyphen.
pub(crate) fn find(text: &[u8], start: usize) -> Option<(&'static str, usize)> {
    let head = text.get(start..start + 4)?;
    if !(head[0].is_ascii_alphabetic() && head[1].is_ascii_alphabetic() && head[2].is_ascii_digit()) {
        return None;
    }
    let country = [head[0].to_ascii_uppercase(), head[1].to_ascii_uppercase()];
    let (name, form) = FORMS.iter().find(|(name, _)| name.as_bytes() == country)?;
    let mut compact = [0; LONGEST];
    let wanted = 4 + parts(form).map(|(count, _)| count).sum::<usize>();
    let mut length = 0;
    let mut at = start;
    while length < wanted {
        let byte = *text.get(at)?;
        if class::is_word(byte) {
            compact[length] = byte.to_ascii_uppercase();
            length += 1;
        } else if !(matches!(byte, b' ' | b'-') && class::is_word(class::at(text, at + 1)) && length >= 4) {
            return None;
        }
        at += 1;
    }
    let ends = !class::is_word(class::at(text, at));
    (ends && has_form(&compact[4..wanted], form) && is_valid(&compact[..wanted])).then_some((*name, at))
}

fn parts(form: &str) -> impl Iterator<Item = (usize, u8)> {
    form.split_inclusive(|c: char| c.is_ascii_lowercase()).filter_map(|part| {
        let (count, kind) = part.split_at(part.len() - 1);
        Some((count.parse().ok()?, kind.as_bytes()[0]))
    })
}

fn has_form(national: &[u8], form: &str) -> bool {
    let mut rest = national;
    parts(form).all(|(count, kind)| {
        let Some((part, after)) = rest.split_at_checked(count) else { return false };
        rest = after;
        part.iter().all(|byte| match kind {
            b'n' => byte.is_ascii_digit(),
            b'a' => byte.is_ascii_uppercase(),
            _ => byte.is_ascii_alphanumeric(),
        })
    })
}

/// MOD 97-10 over the IBAN with its first four characters last.
fn is_valid(iban: &[u8]) -> bool {
    let (head, tail) = iban.split_at(4);
    let rest = tail.iter().chain(head).fold(0u32, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
    });
    rest == 1
}
