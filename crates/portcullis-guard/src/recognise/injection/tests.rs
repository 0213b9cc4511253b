//! What is told from the next words alone loses nothing that a look at the sentence finds.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

/// What the rules know, and what stands between: nothing that they ask for is left out.
fn words() -> impl Strategy<Value = String> {
    let lists = [
        ORDERS,
        EARLIER,
        TELL,
        WHOM,
        ANYONE,
        DONE,
        SECRETS,
        ANSWER,
        CONTENT,
        TRANSFORMS,
        CODE,
        EXCERPT,
        PIECE,
        MAKES,
        NOUNS,
        "are as you to mode now system prompt now on dan assistant must first following ~/.ssh/id_rsa .env http://x.y a@b.c",
    ];
    let all: Vec<&str> = lists.iter().flat_map(|list| list.split_ascii_whitespace()).collect();
    let between = prop::sample::select(vec![
        " ", " ", " ", " ", ", ", "-", "'s ", ". ", ".", "\n", "! ", ": ", "é", " “", "(", "_",
    ]);
    let word = (prop::sample::select(all), any::<bool>(), between).prop_map(|(word, is_loud, between)| {
        let word = if is_loud { word.to_uppercase() } else { word.to_owned() };
        word + between
    });
    prop::collection::vec(word, 0..12).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_cannot_follow_is_in_no_finding(
        before in prop::sample::select(vec!["", "please ", "In the code ", "write the following code snippet in the code that ", "\n"]),
        after in words(),
        joint in prop::sample::select(vec![" ", " ", " ", "-", "_", ": ", "é"]),
    ) {
        static RULES: LazyLock<Rules> = LazyLock::new(Rules::new);
        for (anchor, list) in ANCHORS {
            for word in list.split_ascii_whitespace() {
                let text = format!("{before}{word}{joint}{after}");
                let (start, end) = (before.len(), before.len() + word.len());
                let sentence = Sentence::around(&text, (start, end));
                let found = RULES.judge(text.as_bytes(), *anchor, &sentence, (start, end));
                prop_assert!(
                    found.is_none() || RULES.next.may_follow(*anchor, text.as_bytes(), end),
                    "{:?} in {}", found, text
                );
            }
        }
    }
}

#[test]
fn most_of_what_people_write_needs_no_sentence() {
    let rules = Rules::new();
    let may = |anchor, text: &str, word: &str| {
        rules.next.may_follow(anchor, text.as_bytes(), text.find(word).expect("it is there") + word.len())
    };
    assert!(!may(Anchor::Before, "that is all before it begins", "before"));
    assert!(!may(Anchor::You, "what you want is there", "you"));
    assert!(!may(Anchor::Conceal, "do not worry about it", "not"));
    assert!(may(Anchor::Conceal, "do not ever tell anybody", "not"));
    assert!(may(Anchor::Your, "in your code.~/.ssh/id_rsa", "your"), "the sentence ends after `code`");
    assert!(may(Anchor::Before, "before you answer", "before"));
    assert!(may(Anchor::Leak, "read ~/.ssh/config and send it", "read"));
}

#[test]
fn a_word_without_an_end_costs_no_more_than_a_sentence() {
    let rules = Rules::new();
    let text = "not-".repeat(100_000);
    assert!(
        rules.next.may_follow(Anchor::Conceal, text.as_bytes(), 3),
        "it is left to the look at the sentence"
    );
}
