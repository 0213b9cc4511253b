//! The lines of a script, and the JSON in them.

use std::fmt::Write as _;

use serde_json::Value;

/// A line of a script.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Say {
        line: Line,
        notes: Vec<(String, String)>,
    },
    Hear {
        line: Line,
        status: Option<u16>,
        notes: Vec<(String, String)>,
    },
    Signal(String),
    Await(String),
    /// From now on a method is answered with this, however often it is asked.
    Always(String, Value),
    Leave,
    /// Waits until the client's token is over.
    Expire,
    /// Nothing comes for a while.
    Silence,
    /// From now on the policies hide this tool, once all pairs of the row have come to here.
    Hide(String),
}

/// What is said or heard.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// As it is written.
    pub(super) text: String,
    /// The name by which a request is meant later.
    pub(super) label: Option<String>,
    /// The request on whose stream it goes; `aside` is outside of all.
    pub(super) on: Option<String>,
    pub(super) what: What,
    pub(super) body: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A request, or a notification where the method begins so.
    Method(String),
    /// Of the request with this label, or of the last one.
    Result(Option<String>),
    Error(Option<String>),
    /// The end of a request, in the words of the transport and era.
    Cancel(Option<String>),
    /// Several messages in one, of 2025-03-26.
    Batch,
    /// The end of the stream for what belongs to no request.
    End,
}

/// Stands for a member that must not be there.
pub(super) const ABSENT: &str = "\u{0}absent";
/// Stands for anything.
pub(super) const ANY: &str = "...";

/// Reads the indented lines of a script; what is indented more goes on with the line before.
pub(super) fn steps(lines: &[String]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut pending: Option<String> = None;
    for line in lines {
        let text = line.trim();
        if let Some(note) = text.strip_prefix('|') {
            steps.extend(pending.take().map(|line| step(&line)));
            let (name, value) = note.split_once(':').expect("`| name: value`");
            let Some(Step::Say { notes, .. } | Step::Hear { notes, .. }) = steps.last_mut() else {
                panic!("{line} belongs to nothing")
            };
            notes.push((name.trim().to_owned(), value.trim().to_owned()));
        } else if text.starts_with(['>', '<']) || !line.starts_with("    ") {
            steps.extend(pending.replace(text.to_owned()).map(|line| step(&line)));
        } else {
            let so_far = pending.as_mut().expect("a line to go on with");
            so_far.push(' ');
            so_far.push_str(text);
        }
    }
    steps.extend(pending.map(|line| step(&line)));
    steps
}

fn step(text: &str) -> Step {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match word {
        ">" => Step::Say { line: line(text, rest), notes: Vec::new() },
        "<" => {
            let (first, after) = rest.split_once(' ').unwrap_or((rest, ""));
            let (status, rest) = first.parse().map_or((None, rest), |status| (Some(status), after));
            Step::Hear { line: line(text, rest), status, notes: Vec::new() }
        }
        "signal" => Step::Signal(rest.to_owned()),
        "await" => Step::Await(rest.to_owned()),
        "always" => {
            let (method, result) = rest.split_once(' ').expect("a method and a result");
            Step::Always(method.to_owned(), json(result))
        }
        "leave" => Step::Leave,
        "expire" => Step::Expire,
        "silence" => Step::Silence,
        "hide" => Step::Hide(rest.to_owned()),
        _ => panic!("what is `{text}`?"),
    }
}

fn line(text: &str, mut rest: &str) -> Line {
    let (mut label, mut on) = (None, None);
    let next = |rest: &mut &str| {
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        *rest = after.trim_start();
        word.to_owned()
    };
    let mut word = next(&mut rest);
    if let Some(name) = word.strip_suffix(':') {
        label = Some(name.to_owned());
        word = next(&mut rest);
    }
    if let Some(name) = word.strip_prefix('@') {
        on = Some(name.to_owned());
        word = next(&mut rest);
    }
    let of = |rest: &mut &str| {
        rest.starts_with("of ").then(|| {
            next(rest);
            next(rest)
        })
    };
    let what = match word.as_str() {
        "result" => What::Result(of(&mut rest)),
        "error" => What::Error(of(&mut rest)),
        "cancel" => What::Cancel(Some(next(&mut rest)).filter(|label| !label.is_empty())),
        "batch" => What::Batch,
        "end" => What::End,
        _ => What::Method(word),
    };
    let body = if rest.is_empty() { Value::Null } else { json(rest) };
    Line { text: text.to_owned(), label, on, what, body }
}

/// JSON with `...`, `$name` and `absent` in it.
pub(super) fn json(text: &str) -> Value {
    let strict = strict(text);
    serde_json::from_str(&strict).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn strict(text: &str) -> String {
    let mut out = String::new();
    let (mut rest, mut before) = (text, ' ');
    while let Some(c) = rest.chars().next() {
        let taken = if c == '"' {
            let end = string_end(rest);
            out.push_str(&rest[..end]);
            end
        } else if let Some(after) = rest.strip_prefix(ANY) {
            let is_rest = after.trim_start().starts_with('}') && matches!(before, '{' | ',');
            out.push_str(if is_rest { "\"...\": null" } else { "\"...\"" });
            ANY.len()
        } else if rest.starts_with("absent") {
            out.push_str("\"\\u0000absent\"");
            "absent".len()
        } else if c == '$' {
            let end = rest[1..].find(|c: char| !c.is_alphanumeric()).map_or(rest.len(), |at| at + 1);
            let _ = write!(out, "\"{}\"", &rest[..end]);
            end
        } else {
            out.push(c);
            c.len_utf8()
        };
        if !c.is_whitespace() {
            before = c;
        }
        rest = &rest[taken..];
    }
    out
}

fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    panic!("a string without an end: {text}")
}
