//! Which of two versions is newer, as the registry says: versions of Semantic Versioning by its rules, and before all others;
//! others by when they were published.

use std::cmp::Ordering;

use semver::Version;

/// Orders two versions, each with the time when it was published.
pub(super) fn compare(one: (&str, u64), other: (&str, u64)) -> Ordering {
    match (parse(one.0), parse(other.0)) {
        // What Semantic Versioning calls equal differs in the build only.
        (Some(a), Some(b)) => a.cmp_precedence(&b).then(one.1.cmp(&other.1)),
        (Some(_), None) => Ordering::Greater,
        (None, Some(_)) => Ordering::Less,
        (None, None) => one.1.cmp(&other.1),
    }
}

/// The newest of some versions.
pub fn newest<'a>(versions: impl IntoIterator<Item = (&'a str, u64)>) -> Option<&'a str> {
    versions.into_iter().max_by(|one, other| compare(*one, *other)).map(|(version, _)| version)
}

fn parse(text: &str) -> Option<Version> {
    Version::parse(text.strip_prefix('v').unwrap_or(text)).ok()
}

/// Whether a text stands for several versions (`^1.2`, `1.x`, `>=1`, `latest`), which no published version may be called.
pub(super) fn is_range(text: &str) -> bool {
    let text = text.trim();
    text.eq_ignore_ascii_case("latest")
        || text.starts_with(['^', '~', '>', '<', '='])
        || text.contains(" - ")
        || text.contains("||")
        || text.split('.').any(|part| matches!(part, "x" | "X" | "*"))
}
