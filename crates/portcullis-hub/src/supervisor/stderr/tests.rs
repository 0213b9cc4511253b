//! Lines out of chunks, what is escaped in them, and how many may be logged.

use std::time::{Duration, Instant};

use super::{Allowance, BURST, KEPT, KEPT_BYTES, LAST, LINE, Lines, PER_LINE, Secrets, Tail, escape, read};

fn cut(text: &[u8], chunk: usize) -> Vec<String> {
    let (mut lines, mut found) = (Lines::default(), Vec::new());
    for chunk in text.chunks(chunk) {
        lines.add(chunk, &mut |line| found.push(line));
    }
    lines.end(&mut |line| found.push(line));
    found
}

#[test]
fn lines_are_the_same_however_the_bytes_arrive() {
    let text = "one\r\n\ntwo\tü\nthree".as_bytes();
    for chunk in 1..=text.len() {
        assert_eq!(cut(text, chunk), ["one", "two\tü", "three"], "chunks of {chunk}");
    }
}

#[test]
fn a_line_is_kept_up_to_its_bound() {
    let text = [b"a".repeat(LINE + 5).as_slice(), b"\nnext\n"].concat();
    for chunk in [1, 1_000, LINE, LINE + 1, text.len()] {
        let lines = cut(&text, chunk);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], "a".repeat(LINE) + " … (5 bytes more)");
        assert_eq!(lines[1], "next");
    }
}

#[test]
fn nothing_in_a_line_acts() {
    let escaped = escape("\u{1b}[31mred\r\u{7}\0\u{9b}2J\u{202e}txt\u{2028}é".as_bytes(), 0);
    assert_eq!(escaped, r"\u{1b}[31mred\r\u{7}\u{0}\u{9b}2J\u{202e}txt\u{2028}é");
    assert_eq!(escape(b"\xff ok", 0), "\u{fffd} ok");
}

#[test]
fn escaping_does_not_pass_the_bound_either() {
    let escaped = escape(&[0x1b; LINE], 0);
    assert!(escaped.len() < LINE + 64, "{} bytes", escaped.len());
    assert!(escaped.ends_with("bytes more)"));
}

#[test]
fn the_log_gets_a_burst_and_then_what_time_allows() {
    let start = Instant::now();
    let mut allowance = Allowance::full(start);
    let logged =
        |allowance: &mut Allowance, now, count| (0..count).filter_map(|_| allowance.take(now)).count();
    assert_eq!(logged(&mut allowance, start, 1_000), BURST as usize);
    assert_eq!(allowance.take(start + PER_LINE), Some(1_000 - u64::from(BURST)));
    assert_eq!(allowance.take(start + PER_LINE + PER_LINE / 2), None);
    assert_eq!(allowance.take(start + PER_LINE * 2), Some(1));
    assert_eq!(logged(&mut allowance, start + Duration::from_hours(1), 1_000), BURST as usize);
}

#[tokio::test]
async fn the_tail_keeps_the_last_lines() {
    let tail = Tail::default();
    let text = (1..=LAST + 7).fold(String::new(), |text, number| text + &format!("line {number}\n"));
    read(text.as_bytes(), "files".parse().expect("a slug"), 1, tail.clone(), Secrets::of(&[])).await;
    let lines = tail.lines();
    assert_eq!(lines.len(), LAST);
    assert_eq!(lines.first().map(String::as_str), Some("line 8"));
    assert_eq!(lines.last(), Some(&format!("line {}", LAST + 7)));
}

#[tokio::test]
async fn what_a_child_was_given_in_confidence_is_not_in_its_lines() {
    let secrets = Secrets::of(&["s3cret-value".to_owned(), "s3cret-value-2".to_owned(), "short".to_owned()]);
    let tail = Tail::default();
    let text = "key=s3cret-value-2, s3cret-value; short\n";
    read(text.as_bytes(), "files".parse().expect("a slug"), 1, tail.clone(), secrets).await;
    assert_eq!(tail.lines(), ["key=***, ***; short"]);
}

#[tokio::test]
async fn a_secret_of_several_lines_is_blotted_line_by_line_and_before_lines_are_cut() {
    let key = "-----BEGIN KEY-----\r\n  MIIEvQIBADANBg\u{7}é\nAgEA\n".to_owned();
    let secrets = Secrets::of(&[key.clone(), "s3cret-value".to_owned(), "value-of-more".to_owned()]);
    let tail = Tail::default();
    let filler = "x".repeat(LINE - 4);
    let text = format!("{key}a s3cret-value-of-more b\n{filler}s3cret-value and more\n{filler}s3cret-value");
    read(text.as_bytes(), "files".parse().expect("a slug"), 1, tail.clone(), secrets).await;
    let cut = format!("{filler}*** … (9 bytes more)");
    let whole = format!("{filler}***");
    assert_eq!(tail.lines(), ["***", "  ***", "AgEA", "a *** b", cut.as_str(), whole.as_str()]);
}

#[test]
fn what_is_kept_is_bounded_in_lines_and_in_bytes() {
    let tail = Tail::default();
    for number in 0..1000 {
        tail.push(format!("line {number}"));
    }
    assert_eq!((tail.timed().len(), tail.timed()[0].1.as_str()), (KEPT, "line 800"));
    tail.push("x".repeat(KEPT_BYTES * 2));
    assert_eq!(tail.timed().len(), 1, "the newest is kept whatever its length");
}
