//! Passing over values: strings, whatever is to go, and what is nothing at once, as most are: a short text, a number, a date.
//!
//! Where a plan has no rules for places and nobody else is asked, such a value is passed over without a step to it, which is
//! half the cost of a member. Each is judged as the walk would; what is not sure is left to that.

use super::super::text::{Quoted, plain, short};
use super::{Document, NUMBER, TEXT};
use crate::engine::Field;
use crate::text::class::{CLASS, JOINT, LINK, WORD};

impl<'d> Document<'d, '_, '_> {
    /// Passes over the value at hand if there is nothing in it.
    pub(super) fn pass(&mut self, field: Field<'_>) -> bool {
        if !self.only_finds {
            return false;
        }
        let bytes = self.text.as_bytes();
        let (value, length) = match self.peek() {
            b'"' => {
                let Some(text) = short(&bytes[self.at + 1..]) else { return false };
                if text.first().is_some_and(|first| may_begin_document(*first)) {
                    return false;
                }
                (text, text.len() + 2)
            }
            b'-' | b'0'..=b'9' => {
                let number = scalar(&bytes[self.at..]);
                if number.len() >= NUMBER && number.contains(&b'.') {
                    return false;
                }
                (if number.len() < NUMBER { &[] } else { number }, number.len())
            }
            _ => return false,
        };
        let is_nothing = value.len() < TEXT || self.walk.engine.is_idle(value, field);
        if is_nothing {
            self.at += length;
        } else {
            self.busy = self.at;
        }
        is_nothing
    }

    /// Passes over a value, whatever is in it.
    pub(super) fn skip(&mut self) {
        let bytes = self.text.as_bytes();
        let mut depth = 0usize;
        loop {
            match self.peek() {
                b'"' => {
                    self.take_string();
                    if depth == 0 {
                        return;
                    }
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                    if depth == 0 {
                        return;
                    }
                }
                _ if depth == 0 => {
                    self.at += scalar(&bytes[self.at..]).len();
                    return;
                }
                _ => self.at += 1,
            }
        }
    }

    /// Passes over a string that is rather short, as keys are.
    #[inline]
    pub(super) fn take_short(&mut self) -> Quoted<'d> {
        let start = self.at + 1;
        match short(&self.text.as_bytes()[start..]) {
            Some(text) => {
                let end = start + text.len();
                self.at = end + 1;
                Quoted { inner: &self.text[start..end], escaped: false }
            }
            None => self.take_string(),
        }
    }

    /// Passes over a string; returns what stands between the quotes.
    pub(super) fn take_string(&mut self) -> Quoted<'d> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            // It was checked: it ends, and there are no control characters to look for.
            at += plain(&bytes[at..]);
            if bytes.get(at) != Some(&b'\\') {
                break;
            }
            escaped = true;
            at += 2;
        }
        self.at = at + 1;
        Quoted { inner: &self.text[start..at], escaped }
    }
}

/// The number or name that begins a text: what these are made of is nothing that may follow them.
pub(super) fn scalar(text: &[u8]) -> &[u8] {
    let goes_on = |byte: &&u8| CLASS[usize::from(**byte)] & (WORD | LINK | JOINT) != 0;
    &text[..text.iter().take_while(goes_on).count()]
}

/// Whether a document in a string may begin so, white space before it.
pub(super) fn may_begin_document(first: u8) -> bool {
    matches!(first, b'{' | b'[' | ..=b' ' | 0x80..)
}
