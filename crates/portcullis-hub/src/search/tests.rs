//! What is found, in which order, and what is not.

use super::{Entry, Part, Searched, search};

fn tool<'a>(name: &'a str, description: &'a str) -> Entry<'a> {
    Entry { name, description, ..Entry::default() }
}

fn forge() -> Part {
    Part::new([
        tool("create_issue", "Opens an issue in a repository"),
        tool("list_pull_requests", "Lists the pull requests of a repository"),
        tool("merge_pull_request", "Merges a pull request"),
        Entry { details: "the branch to compare with", ..tool("diff", "Shows what changed") },
    ])
}

fn mail() -> Part {
    Part::new([
        tool("send_message", "Sends an e-mail to somebody"),
        tool("search_messages", "Finds e-mails, and tells which issue they mention"),
    ])
}

/// The names of what is found, in order.
fn names(parts: &[Searched<'_>], question: &str) -> Vec<(usize, usize)> {
    search(parts, question, 10).iter().map(|hit| (hit.part, hit.item)).collect()
}

fn all(parts: &[Part]) -> Vec<Searched<'_>> {
    parts.iter().map(|part| Searched { part, shown: None }).collect()
}

#[test]
fn what_is_named_like_the_question_comes_first() {
    let parts = [forge(), mail()];
    assert_eq!(names(&all(&parts), "create an issue"), [(0, 0), (1, 1)]);
    assert_eq!(names(&all(&parts), "merging pull requests")[..2], [(0, 2), (0, 1)]);
    assert_eq!(names(&all(&parts), "compareBranch"), [(0, 3)]);
}

#[test]
fn beginnings_and_misspellings_are_understood() {
    let parts = [forge(), mail()];
    assert_eq!(names(&all(&parts), "repo")[..], [(0, 0), (0, 1)]);
    assert_eq!(names(&all(&parts), "mesage")[0].0, 1);
    assert_eq!(names(&all(&parts), "repostiory").len(), 2);
    assert!(names(&all(&parts), "xylophone").is_empty());
    assert!(names(&all(&parts), "dif").contains(&(0, 3)));
}

#[test]
fn what_is_not_shown_is_not_found_and_changes_no_rank() {
    let (forge, mail) = (forge(), mail());
    let hidden = [false, true, true, false];
    let with = [Searched { part: &forge, shown: Some(&hidden) }, Searched { part: &mail, shown: None }];
    let less = Part::new([
        tool("list_pull_requests", "Lists the pull requests of a repository"),
        tool("merge_pull_request", "Merges a pull request"),
    ]);
    let without = [Searched { part: &less, shown: None }, Searched { part: &mail, shown: None }];
    for question in ["issue", "pull request", "repository issue", "isue", "creat", "branch", "a"] {
        let scores = |parts: &[Searched<'_>]| {
            search(parts, question, 10).iter().map(|hit| hit.score).collect::<Vec<_>>()
        };
        assert_eq!(scores(&with), scores(&without), "{question}");
        assert!(!names(&with, question).contains(&(0, 0)), "{question}");
    }
}

#[test]
fn nothing_asked_is_nothing_found() {
    let parts = [forge()];
    for question in ["", "   ", "the of and", "?!", "\u{0}"] {
        assert!(names(&all(&parts), question).is_empty(), "{question:?}");
    }
    assert!(search(&[], "issue", 10).is_empty());
    assert_eq!(search(&all(&parts), "request", 1).len(), 1);
}

/// However long the question and whatever it is made of, it is answered.
#[test]
fn long_questions_are_bounded() {
    let parts = [forge(), mail()];
    let words: Vec<_> = (0..100_000).map(|n| format!("w{n}x")).collect();
    let question = words.join(" ");
    assert!(names(&all(&parts), &question).is_empty());
}
