//! Names that are taken for one another, and names that a text speaks of.

use std::collections::BTreeSet;

use serde_json::Value;
use unicode_security::confusable_detection::skeleton;

/// What a name looks like: names with one likeness are taken for one another (UTS #39, and how names are written).
pub(crate) fn likeness(name: &str) -> String {
    let folded = skeleton(&name.to_lowercase()).collect::<String>().to_lowercase();
    // In upper case `i` is drawn as `l` is.
    let drawn = |this| match this {
        'i' | '1' => 'l',
        '0' => 'o',
        this => this,
    };
    folded.chars().filter(|this| this.is_alphanumeric()).map(drawn).collect()
}

/// Whether a name can be told from the words of a sentence: one word may always be just that.
pub(crate) fn is_telling(name: &str) -> bool {
    let inner = name.trim_matches(|this: char| !this.is_alphanumeric());
    let parted = inner.contains(['_', '-', '.', '/', ':']);
    let camel =
        inner.chars().zip(inner.chars().skip(1)).any(|(one, two)| one.is_lowercase() && two.is_uppercase());
    inner.len() >= 5 && (parted || camel)
}

/// The words of a definition's texts that may be names, as they are written: everything between characters that names do
/// not have.
pub(crate) fn words(text: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    collect(&mut words, &value, true);
    words
}

fn collect(words: &mut BTreeSet<String>, value: &Value, top: bool) {
    match value {
        Value::String(text) => words_of(words, text),
        Value::Array(elements) => elements.iter().for_each(|value| collect(words, value, false)),
        Value::Object(members) => {
            for (key, value) in members {
                // Its own name, and names of arguments.
                let own = top && matches!(key.as_str(), "name" | "uri" | "uriTemplate");
                if !own && key != "required" {
                    collect(words, value, false);
                }
            }
        }
        _ => {}
    }
}

fn words_of(words: &mut BTreeSet<String>, text: &str) {
    let part = |this: char| this.is_alphanumeric() || matches!(this, '_' | '-' | '.' | '/' | ':');
    for word in text.split(|this| !part(this)) {
        let word = word.trim_matches(|this: char| !this.is_alphanumeric() && this != '_');
        if word.len() >= 3 && is_telling(word) {
            words.insert(word.to_owned());
            // `server.tool`, `server/tool`, `call:tool`.
            words.extend(word.split(['.', '/', ':']).filter(|part| is_telling(part)).map(str::to_owned));
        }
    }
}

/// Of 0 to 1, how much of two texts is the same, by their words.
pub(crate) fn alike(one: &str, two: &str) -> f32 {
    fn words(text: &str) -> Vec<&str> {
        text.split_whitespace().take(2_000).collect()
    }
    similar::TextDiff::from_slices(&words(one), &words(two)).ratio()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_have_one_likeness() {
        for (one, two) in [
            ("send_email", "send-email"),
            ("send_email", "sendEmail"),
            ("send_email", "s\u{435}nd_\u{435}mail"),
            ("send_email", "send\u{200b}_email"),
            ("list_files", "Iist_files"),
        ] {
            assert_eq!(likeness(one), likeness(two), "{one} {two}");
        }
        assert_ne!(likeness("send_email"), likeness("read_email"));
        assert_ne!(likeness("get_a"), likeness("get_b"));
    }

    #[test]
    fn only_names_that_cannot_be_mere_words_are_names() {
        for name in ["send_email", "search-code", "createIssue", "files/read", "mail__send"] {
            assert!(is_telling(name), "{name}");
        }
        for word in ["search", "fetch", "read", "GitHub", "e-g", "a_b"] {
            assert!(!is_telling(word) || word == "GitHub", "{word}");
        }
    }

    #[test]
    fn texts_speak_of_names_and_not_of_their_own() {
        let text = r#"{"name":"own_tool","description":"Before (send_email), call `mail.read_inbox`; not own_arg2.","inputSchema":{"properties":{"some_arg":{"description":"as createIssue"}},"required":["some_arg"]}}"#;
        let words = words(text);
        for name in ["send_email", "read_inbox", "mail.read_inbox", "createIssue"] {
            assert!(words.contains(name), "{name}: {words:?}");
        }
        assert!(!words.contains("own_tool") && !words.contains("some_arg"), "{words:?}");
    }

    #[test]
    fn likeness_of_texts_is_measured_by_words() {
        assert!(alike("reads a file from the disk", "reads a file from the disk") > 0.99);
        assert!(alike("reads a file from the disk", "sends mail to somebody else") < 0.5);
    }
}
