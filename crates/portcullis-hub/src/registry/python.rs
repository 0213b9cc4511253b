//! Versions of packages of PyPI in their order (PEP 440). What is local to somebody's build (`+…`) is left out of it.

use std::cmp::Ordering;

/// A version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Python {
    epoch: u64,
    /// Without zeros at the end: `1.0` is `1`.
    release: Vec<u64>,
    /// `a`, `b` and `rc` as 0, 1 and 2.
    pre: Option<(u8, u64)>,
    post: Option<u64>,
    dev: Option<u64>,
}

impl Python {
    /// Reads one; `None` where it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let text = text.split('+').next()?;
        let text = text.strip_prefix('v').unwrap_or(text);
        let (epoch, text) = match text.split_once('!') {
            Some((epoch, rest)) => (epoch.parse().ok()?, rest),
            None => (0, text),
        };
        let (mut release, mut rest) = (Vec::new(), text);
        loop {
            let (number, after) = digits(rest);
            release.push(number?);
            rest = after;
            match after.strip_prefix('.') {
                Some(more) if more.starts_with(|c: char| c.is_ascii_digit()) => rest = more,
                _ => break,
            }
        }
        while release.last() == Some(&0) {
            release.pop();
        }
        let mut version = Self { epoch, release, pre: None, post: None, dev: None };
        while !rest.is_empty() {
            rest = version.part(rest)?;
        }
        Some(version)
    }

    /// Reads one part of what is behind the release: `rc1`, `.post2`, `-3`, `.dev4`.
    fn part<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let bare = unseparated(text);
        let letters = bare.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(bare.len());
        let (word, after) = bare.split_at(letters);
        let (number, after) = match digits(unseparated(after)) {
            (Some(number), rest) => (number, rest),
            (None, _) => (0, after),
        };
        match word {
            "a" | "alpha" => self.pre = Some((0, number)),
            "b" | "beta" => self.pre = Some((1, number)),
            "c" | "rc" | "pre" | "preview" => self.pre = Some((2, number)),
            "post" | "rev" | "r" => self.post = Some(number),
            "" if text.starts_with('-') && after.len() < bare.len() => self.post = Some(number),
            "dev" => self.dev = Some(number),
            _ => return None,
        }
        Some(after)
    }

    /// In the order of PEP 440: a development release alone is before all pre-releases, and one of something before that.
    fn place(&self) -> (u8, u64, Option<u64>, u64) {
        let (kind, number) = match (self.pre, self.post, self.dev) {
            (Some((kind, number)), _, _) => (kind + 1, number),
            (None, None, Some(_)) => (0, 0),
            (None, _, _) => (u8::MAX, 0),
        };
        (kind, number, self.post, self.dev.unwrap_or(u64::MAX))
    }
}

impl Ord for Python {
    fn cmp(&self, other: &Self) -> Ordering {
        let whole = |it: &Self| (it.epoch, it.release.clone(), it.place());
        whole(self).cmp(&whole(other))
    }
}

impl PartialOrd for Python {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn unseparated(text: &str) -> &str {
    text.strip_prefix(['.', '-', '_']).unwrap_or(text)
}

/// The number at the beginning, and what is behind it.
fn digits(text: &str) -> (Option<u64>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (text[..end].parse().ok(), &text[end..])
}
