//! Characters that a reader of a text does not see and a model does.
//!
//! Exact, not scored: in a definition none of these has business. Joiners and variation selectors are let be where they make
//! emoji and the letters of scripts that need them, between characters that are no ASCII; that is also where the guard, which
//! looks at results, is at home.

use std::fmt::Write as _;

/// Whether a text has characters that hide something.
pub fn has_hidden(text: &str) -> bool {
    let mut before = '\0';
    let mut run = 0;
    let mut chars = text.chars().peekable();
    while let Some(this) = chars.next() {
        run = if is_selector(this) { run + 1 } else { 0 };
        if is_hidden(this) || (joins(this) && before.is_ascii()) || run > 1 {
            return true;
        }
        if this == '\u{200d}' && chars.peek().is_none_or(char::is_ascii) {
            return true;
        }
        before = this;
    }
    false
}

/// The text with everything that is not seen, or changes how the rest is seen, written out as `<U+200B>`.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = '\0';
    let mut chars = text.chars().peekable();
    while let Some(this) = chars.next() {
        let overwrites = this == '\r' && chars.peek() != Some(&'\n');
        if overwrites || is_hidden(this) || joins(this) && (before.is_ascii() || joins(before)) {
            let _ = write!(out, "<U+{:04X}>", u32::from(this));
        } else {
            out.push(this);
        }
        before = this;
    }
    out
}

/// The same for a text that is shown in one line: what would begin another, or this one anew, is written out as well.
pub fn visible_line(text: &str) -> String {
    visible(text).replace('\r', "<U+000D>").replace('\n', "<U+000A>")
}

/// Ranges of what is never seen, or changes how the rest is.
const HIDDEN: &[std::ops::RangeInclusive<char>] = &[
    // Zero width, fillers, soft hyphens.
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{115f}'..='\u{1160}',
    '\u{180e}'..='\u{180e}',
    '\u{200b}'..='\u{200b}',
    '\u{2060}'..='\u{2064}',
    '\u{3164}'..='\u{3164}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    // Bidirectional controls.
    '\u{61c}'..='\u{61c}',
    '\u{200e}'..='\u{200f}',
    '\u{202a}'..='\u{202e}',
    '\u{2066}'..='\u{206f}',
    // Line and paragraph separators, interlinear notes.
    '\u{2028}'..='\u{2029}',
    '\u{fff9}'..='\u{fffb}',
    // Tags; those of flags are rare enough to be asked about.
    '\u{e0000}'..='\u{e007f}',
    // Private use.
    '\u{e000}'..='\u{f8ff}',
    '\u{f0000}'..='\u{ffffd}',
    '\u{100000}'..='\u{10fffd}',
];

fn is_hidden(this: char) -> bool {
    let plain = matches!(this, '\t' | '\n' | '\r' | ' '..='~');
    !plain && (this.is_control() || HIDDEN.iter().any(|range| range.contains(&this)))
}

/// What makes something of its neighbours.
fn joins(this: char) -> bool {
    matches!(this, '\u{200c}' | '\u{200d}') || is_selector(this)
}

fn is_selector(this: char) -> bool {
    // U+FE0F also follows digits, `#` and `*` to make keys of them.
    matches!(this, '\u{fe00}'..='\u{fe0e}' | '\u{e0100}'..='\u{e01ef}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_found_and_shown() {
        for (text, shown) in [
            ("a\u{200b}b", "a<U+200B>b"),
            ("\u{e0041}\u{e0042}", "<U+E0041><U+E0042>"),
            ("safe\u{202e}txt", "safe<U+202E>txt"),
            ("\u{1b}[8mhidden", "<U+001B>[8mhidden"),
            ("ab\u{200d}c", "ab<U+200D>c"),
            ("x\u{fe01}\u{fe02}\u{fe03}", "x<U+FE01><U+FE02><U+FE03>"),
            ("\u{feff}", "<U+FEFF>"),
            ("\u{e000}", "<U+E000>"),
        ] {
            assert!(has_hidden(text), "{text:?}");
            assert_eq!(visible(text), shown);
        }
    }

    #[test]
    fn what_is_shown_in_one_line_stays_there() {
        assert_eq!(visible_line("a\tb\r\nc\u{1b}[1A"), "a\tb<U+000D><U+000A>c<U+001B>[1A");
        // One that is alone takes its line from what stands there.
        assert_eq!(visible("a\rb\r\nc\r"), "a<U+000D>b\r\nc<U+000D>");
    }

    #[test]
    fn what_people_write_is_let_be() {
        for text in [
            "Reads a file.\n\tLines 1–10, „quoted“ — fine…",
            "👩\u{200d}💻 and ❤\u{fe0f} and 1\u{fe0f}\u{20e3}",
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "日本語の説明",
            "naïve ﬁle",
        ] {
            assert!(!has_hidden(text), "{text:?}");
            assert_eq!(visible(text), text);
        }
    }
}
