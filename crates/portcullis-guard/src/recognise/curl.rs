//! Passwords in command lines of `curl`: `-u name:password`, in any quotes, over lines that go on.
//!
//! What it leaves out: names without a password, variables, and the words that stand in manuals (`user:pass`).

use super::Subject;
use super::secret::is_placeholder;
use crate::Entity;

/// How long a command is.
const REACH: usize = 1024;

/// What manuals write for a password.
const MANUAL: [&str; 8] = ["password", "passwd", "pass", "pwd", "test", "token", "secret", "changeit"];

/// Looks at the rest of a command, whose `curl` ends at `end`. Says no end: what comes between is looked at as well.
pub(crate) fn look(subject: &mut Subject<'_>, end: usize) -> Option<usize> {
    let text = subject.text;
    let reach = crate::context::floor(text, end + REACH);
    let command = command(&text[end..reach]);
    let flag = ["-u", "--user"].iter().filter_map(|flag| argument(command, flag)).min()?;
    let (start, value_end) = password(command, flag)?;
    let value = &command[start..value_end];
    let is_none = command[flag..].starts_with('<')
        || value.len() < 4
        || MANUAL.iter().any(|word| value.eq_ignore_ascii_case(word))
        || value.starts_with(['$', '[', '<', '%'])
        || is_placeholder(value);
    if !is_none {
        subject.hit(Entity::Password, "", end + start, end + value_end, 0.85);
    }
    None
}

/// Up to the end of the line that does not go on.
fn command(rest: &str) -> &str {
    let bytes = rest.as_bytes();
    let ends = memchr::memchr_iter(b'\n', bytes)
        .find(|at| !bytes[..*at].strip_suffix(b"\r").unwrap_or(&bytes[..*at]).ends_with(b"\\"));
    &rest[..ends.unwrap_or(rest.len())]
}

/// Where the argument of a flag begins. A short flag may have it behind it at once; a long one is the whole word.
fn argument(command: &str, flag: &str) -> Option<usize> {
    let flags = command.match_indices(flag).filter(|(at, _)| command[..*at].ends_with([' ', '\t', '\n']));
    let mut after = flags.map(|(at, _)| &command[at + flag.len()..]);
    let rest = after.find(|rest| !flag.starts_with("--") || rest.starts_with(['=', ' ', '\t']))?;
    let rest = rest.strip_prefix('=').unwrap_or_else(|| rest.trim_start_matches([' ', '\t']));
    Some(command.len() - rest.len())
}

/// The part after the first colon of the argument that begins at `at`, or before it when nothing follows; without quotes.
fn password(command: &str, at: usize) -> Option<(usize, usize)> {
    let bytes = command.as_bytes();
    let mut quote = None;
    let (mut colon, mut end) = (None, at);
    while let Some(byte) = bytes.get(end) {
        match (quote, byte) {
            (Some(open), close) if open == *close => quote = None,
            (None, b'"' | b'\'') => quote = Some(*byte),
            (None, b' ' | b'\t' | b'\n') => break,
            (_, b'\n') => return None,
            (_, b':') => colon = colon.or(Some(end)),
            _ => {}
        }
        end += 1;
    }
    let colon = colon?;
    let bare = |start: usize, end: usize| {
        let value = &command[start..end];
        let head = value.len() - value.trim_start_matches(['"', '\'']).len();
        (start + head, start + value.trim_end_matches(['"', '\'', '\\']).len().max(head))
    };
    let (start, stop) = bare(colon + 1, end);
    if start < stop {
        Some((start, stop))
    } else {
        Some(bare(at, colon)).filter(|(start, stop)| start < stop)
    }
}
