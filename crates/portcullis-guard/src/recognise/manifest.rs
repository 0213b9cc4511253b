//! Secrets of Kubernetes in YAML: what stands under `data` and `stringData` of a document whose `kind` is `Secret`.
//!
//! Its names say nothing of what they hold, and its values are base64 of anything. What it leaves out: the same in JSON, and
//! what is further than [`REACH`] from `kind`.

use super::Subject;
use super::secret::is_placeholder;
use crate::Entity;

/// How far the document is looked at to either side, in bytes. Another `kind` or `---` ends it before that.
const REACH: usize = 4096;

/// Looks around a `kind` that ends at `end`. Says no end: what comes between is looked at as well.
pub(crate) fn look(subject: &mut Subject<'_>, end: usize) -> Option<usize> {
    let text = subject.text;
    let value =
        text[end..].trim_start_matches(['"', '\'']).strip_prefix(':')?.trim_start_matches([' ', '"', '\'']);
    let is_secret = value.get(..6).is_some_and(|kind| kind.eq_ignore_ascii_case("secret"));
    if !is_secret || value[6..].starts_with(|next: char| next.is_alphanumeric()) {
        return None;
    }
    let before = &text[crate::context::ceil(text, end.saturating_sub(REACH)).min(end)..end];
    let own = before.rfind('\n').map_or(0, |line| line + 1);
    let from = end - before.len() + last_end(&before[..own]).unwrap_or(0);
    let after = &text[end..crate::context::floor(text, end + REACH)];
    let until = end + first_end(after).unwrap_or(after.len());
    let mut within = None;
    let mut at = from;
    for line in text[from..until].split_inclusive('\n') {
        let (start, content) = (at, line.trim());
        at += line.len();
        if content.is_empty() {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        if within.is_some_and(|outer| indent > outer) {
            entry(subject, start + indent, content);
        } else {
            let key = content.trim_end_matches(':').trim_matches(['"', '\'']);
            let begins = content.ends_with(':') && matches!(key, "data" | "stringData");
            within = begins.then_some(indent);
        }
    }
    None
}

/// Where the last document before this one ends, and where the first after it begins. No further than the next `kind`, so that
/// many of them cost no more than the text between.
fn last_end(text: &str) -> Option<usize> {
    let kind = text.rfind("kind:");
    let from = kind.unwrap_or(0);
    text[from..].rfind("\n---").map(|at| from + at).or(kind)
}

fn first_end(text: &str) -> Option<usize> {
    let kind = text.find("kind:");
    text[..kind.unwrap_or(text.len())].find("\n---").or(kind)
}

/// `name: value`, or a line of a value that has several.
fn entry(subject: &mut Subject<'_>, start: usize, content: &str) {
    let value = &content[content.find(": ").map_or(0, |colon| colon + 2)..];
    let value = value.trim_start().trim_start_matches(['"', '\'']);
    let start = start + content.len() - value.len();
    let value = value.trim_end_matches(['"', '\'']);
    let is_text = value.starts_with('#') || value.ends_with(':') || value.contains([' ', '\t']);
    if value.len() >= 8 && !is_text && !is_placeholder(value) {
        subject.hit(Entity::Secret, "kubernetes", start, start + value.len(), 0.85);
    }
}
