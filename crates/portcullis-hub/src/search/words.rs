//! Text into the words that are compared.
//!
//! Identifiers are taken apart (`listPullRequests`, `list_pull_requests`), endings are dropped by the Snowball stemmer for
//! English, and words that say nothing are left out. Scripts that put no spaces between words give pairs of their
//! characters, which finds words of any length without a dictionary.

use std::cell::LazyCell;

use rust_stemmers::{Algorithm, Stemmer};

/// The longest word, in bytes; what is longer is no word but data.
const LONGEST: usize = 40;

thread_local! {
    static STEMMER: LazyCell<Stemmer> = LazyCell::new(|| Stemmer::create(Algorithm::English));
}

/// In order of the alphabet.
const SILENT: [&str; 60] = [
    "a", "about", "an", "and", "are", "as", "at", "be", "but", "by", "can", "could", "do", "does", "for",
    "from", "had", "has", "have", "here", "how", "i", "if", "in", "into", "is", "it", "its", "me", "my",
    "not", "of", "on", "or", "our", "please", "should", "so", "than", "that", "the", "their", "them", "then",
    "there", "they", "this", "to", "tool", "tools", "us", "was", "we", "were", "what", "which", "will",
    "with", "would", "you",
];

/// The words of a text, as they are compared, in order and as often as they occur.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find(char::is_alphanumeric) {
        let run = &rest[begin..];
        let end = run.find(|c: char| !c.is_alphanumeric()).unwrap_or(run.len());
        take_apart(&run[..end], &mut found);
        rest = &run[end..];
    }
    found
}

/// One run of letters and digits: `HTTPServer2` is `http`, `server` and `2`.
fn take_apart(run: &str, found: &mut Vec<String>) {
    let chars: Vec<(usize, char)> = run.char_indices().collect();
    let mut start = 0;
    for index in 1..=chars.len() {
        let ends = index == chars.len() || {
            let (before, here) = (chars[index - 1].1, chars[index].1);
            let next = chars.get(index + 1).map(|(_, next)| *next);
            is_unspaced(before) != is_unspaced(here)
                || before.is_numeric() != here.is_numeric()
                || (before.is_lowercase() && here.is_uppercase())
                || (before.is_uppercase() && here.is_uppercase() && next.is_some_and(char::is_lowercase))
        };
        if ends {
            let until = chars.get(index).map_or(run.len(), |(at, _)| *at);
            let from = chars[start].0;
            push(&run[from..until], found);
            start = index;
        }
    }
}

fn push(word: &str, found: &mut Vec<String>) {
    if word.chars().next().is_some_and(is_unspaced) {
        let chars: Vec<char> = word.chars().collect();
        match chars.as_slice() {
            [only] => found.push(only.to_string()),
            many => found.extend(many.windows(2).map(|pair| pair.iter().collect::<String>())),
        }
        return;
    }
    let word = word.to_lowercase();
    if word.len() <= LONGEST && SILENT.binary_search(&word.as_str()).is_err() {
        found.push(STEMMER.with(|stemmer| stemmer.stem(&word).into_owned()));
    }
}

/// Whether a character is of a script that puts no spaces between words: Han, Hiragana, Katakana, Thai.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{0e00}'..='\u{0e7f}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}')
}

#[cfg(test)]
mod tests {
    use super::{SILENT, words};

    #[test]
    fn identifiers_are_taken_apart() {
        for name in ["listPullRequests", "list_pull_requests", "list-pull-requests", "ListPullRequest"] {
            assert_eq!(words(name), ["list", "pull", "request"], "{name}");
        }
        assert_eq!(words("HTTPServer2"), ["http", "server", "2"]);
    }

    #[test]
    fn endings_and_what_says_nothing_are_dropped() {
        assert_eq!(words("Searching the searches, please"), ["search", "search"]);
        assert!(SILENT.is_sorted());
    }

    #[test]
    fn scripts_without_spaces_give_pairs() {
        assert_eq!(words("搜索网页 PDF"), ["搜索", "索网", "网页", "pdf"]);
        assert_eq!(words("pdf文件"), ["pdf", "文件"]);
    }

    #[test]
    fn data_is_no_word() {
        assert!(words(&"x".repeat(41)).is_empty());
        assert!(words("—!? \u{0}").is_empty());
    }
}
