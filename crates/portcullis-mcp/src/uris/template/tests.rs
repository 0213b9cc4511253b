//! Which templates a URI may come from.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn matches(template: &str, uri: &str) -> bool {
    any_makes(std::iter::once(template), uri)
}

#[test]
fn expressions_stand_for_what_their_operator_makes() {
    let yes = [
        ("https://a/{id}", "https://a/7"),
        ("https://a/{id}", "https://a/x%2Fy,z"),
        ("https://a/{id}/rows", "https://a/7/rows"),
        ("https://a/{x}{y}", "https://a/xy"),
        ("https://a/{+path}", "https://a/b/c?d#e"),
        ("https://a{/path*}", "https://a/b/c"),
        ("https://a{/path*}", "https://a"),
        ("https://a/b{.format}", "https://a/b.json"),
        ("https://a/b{;v}", "https://a/b;v=1"),
        ("https://a/b{?q,lang}", "https://a/b?q=1&lang=de"),
        ("https://a/b{?q}", "https://a/b"),
        ("https://a/b?fixed=1{&q}", "https://a/b?fixed=1&q=2"),
        ("https://a/b{#part}", "https://a/b#x/y"),
        ("https://{host}/x-{id}-x", "https://h.example/x-x-x-x"),
        ("{+url}", "https://anything/at?all"),
        ("https://a/plain", "https://a/plain"),
    ];
    for (template, uri) in yes {
        assert!(matches(template, uri), "{template} makes {uri}");
    }
    let no = [
        ("https://a/{id}", "https://a/"),
        ("https://a/{id}", "https://a/7/rows"),
        ("https://a/{id}", "https://a/7?q"),
        ("https://a/{id}", "https://b/7"),
        ("https://a/{id}/rows", "https://a//rows"),
        ("https://a/{id}/rows", "https://a/7/row"),
        ("https://a{/path}", "https://ab"),
        ("https://a/b{?q}", "https://a/bq=1"),
        ("https://a/b{?q}", "https://a/b?q=1#x"),
        ("https://a/b{.format}", "https://a/b/json"),
        ("https://a/{id", "https://a/7"),
        ("https://a/{}", "https://a/7"),
        ("https://a/{=x}", "https://a/7"),
        ("https://a/plain", "https://a/plain/more"),
        ("", "https://a"),
    ];
    for (template, uri) in no {
        assert!(!matches(template, uri), "{template} does not make {uri}");
    }
}

#[test]
fn hostile_templates_and_uris_cost_little() {
    let begin = Instant::now();
    let template = "{+a}x".repeat(PIECES / 2 - 1);
    let uri = "x".repeat(LONGEST);
    let hostile = std::iter::repeat_n(template + "{.b}", 100_000).collect::<Vec<_>>();
    assert!(!any_makes(hostile.iter().map(String::as_str), &(uri[1..].to_owned() + "/")));
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert!(!matches(&"{+a}".repeat(PIECES + 1), "x") && !matches("{+a}", &(uri + "x")));
    // The first ones count, and those that cannot fit do not.
    let (other, mine) = (std::iter::repeat_n("https://b/{x}", 100_000), std::iter::once("https://a/{x}"));
    assert!(any_makes(other.chain(mine), "https://a/7"));
}

proptest! {
    #[test]
    fn what_was_put_in_is_found_again(
        before in "[a-z:/?-]{0,8}", value in "[A-Za-z0-9._~%,-]{1,8}", after in "[a-z/?=-]{0,8}", free in "\\PC{1,8}",
    ) {
        let simple = format!("{before}{{v}}{after}");
        prop_assert!(matches(&simple, &format!("{before}{value}{after}")), "{}", simple);
        let reserved = format!("{before}{{+v}}{after}");
        prop_assert!(matches(&reserved, &format!("{before}{free}{after}")), "{}", reserved);
    }

    #[test]
    fn no_text_is_too_odd(template in "\\PC{0,40}", uri in "\\PC{0,40}") {
        let _ = matches(&template, &uri);
    }
}
