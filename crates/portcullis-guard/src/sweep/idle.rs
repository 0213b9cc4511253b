//! What needs no closer look: short texts and words that are nothing, told by the masks of their block.
//!
//! Each of these says no more than what the closer look would find, which is nothing; what is not sure is left to that.

use super::Sweep;
use crate::recognise::{behind, parts};
use crate::text::block::{self, Block};
use crate::text::class::{self, CLASS, DIGIT, JOINT, LINK, SIGN, WORD};

/// Words with letters and digits that are shorter are no credential, neither by their parts nor by a name behind them, and no
/// base64.
const IDLE: usize = if parts::SHORTEST < behind::WORD { parts::SHORTEST } else { behind::WORD };
/// The same where numbers are wanted: shorter ones are no identifier.
const IDLE_IF_NUMBERS: usize = 6;

impl Sweep {
    /// Whether nothing is to be found in a text of less than a block, nor in what it can be decoded to: it is printed ASCII
    /// without escapes, and nothing of it would get a closer look.
    pub(crate) fn is_idle(&self, text: &[u8]) -> bool {
        if text.len() >= block::SIZE {
            return false;
        }
        let mut window = [b' '; block::SIZE + 8];
        window[..text.len()].copy_from_slice(text);
        let Some(block) = Block::of_plain(&window, text.len()) else { return false };
        let mut open = self.candidates(&window, &block, block.starts());
        self.next(&window, &block, b' ', &mut open).is_none()
    }

    /// Passes over the blocks from `base` on in which nothing needs a closer look; says where one is that may.
    ///
    /// Most blocks of prose are such. Few things are looked at here, so that they cost little; a block with a digit, or with
    /// anything that is not nothing at once, is left to those who look at everything.
    pub(super) fn pass(&self, text: &[u8], mut base: usize) -> usize {
        while let Some(window) = text.get(base..).and_then(<[u8]>::first_chunk) {
            let mut block = Block::roughly_of(window);
            // Where all are letters, the first word is a long one.
            let last = (!block.letter | 1).ilog2();
            let mut words = block.starts() & u64::MAX >> (block::SIZE - 1 - last as usize);
            let Some(mark) = idle_marks(window, block.mark) else { break };
            if words & block.long() != 0 {
                break;
            }
            block.mark = mark;
            let ends = block.ends();
            // What stands behind the last mark is not in the block.
            let beyond = || CLASS[usize::from(window[block::SIZE])] & (WORD | SIGN | LINK | JOINT) != 0;
            if ends != 0 && (ends != 1 << (block::SIZE - 1) || beyond()) {
                break;
            }
            if self.next_beginning(window, &mut words).is_some() {
                break;
            }
            base += last as usize + 1;
        }
        base
    }

    /// Whether the word that begins with the digit at `bit` is nothing, by itself and by what stands beside it.
    #[inline(never)]
    pub(super) fn is_idle_number(
        &self,
        window: &block::Window,
        block: &Block,
        bit: usize,
        before: u8,
    ) -> bool {
        let after = block.digit.wrapping_add(1 << bit) & !block.digit;
        if after == 0 {
            return false;
        }
        if after & block.letter != 0 {
            return self.is_idle_mixed(window, block, bit, before);
        }
        // With a full stop goes on what begins with four digits.
        let end = after.trailing_zeros() as usize;
        !self.numbers && !matches!(window[end], b'|' | b'/') && (window[end] != b'.' || end - bit != 4)
    }

    /// The same for letters from `bit` to `end` that digits or links follow.
    #[inline(never)]
    pub(super) fn is_idle_word(
        &self,
        window: &block::Window,
        block: &Block,
        (bit, end): (usize, usize),
        before: u8,
    ) -> bool {
        if block.digit >> end & 1 != 0 {
            return self.is_idle_mixed(window, block, bit, before);
        }
        // What a bot's token goes on with behind its number; base64 has letters of both cases.
        let letters = &window[bit..end];
        let is_mixed = match letters.len() {
            length @ ..=8 => {
                let case = 0x2020_2020_2020_2020 & u64::MAX >> (64 - 8 * length);
                let found = super::eight(window, bit) & case;
                found != 0 && found != case
            }
            _ => letters.iter().any(|letter| (letter ^ letters[0]) & 0x20 != 0),
        };
        !is_mixed && !matches!(before, b'~' | b':') && !self.heads.may_be(super::eight(window, bit))
    }

    /// The same for a word with letters and digits.
    #[inline(never)]
    pub(super) fn is_idle_mixed(
        &self,
        window: &block::Window,
        block: &Block,
        bit: usize,
        before: u8,
    ) -> bool {
        let after = block.word().wrapping_add(1 << bit) & !block.word();
        if after == 0 {
            return false;
        }
        let end = after.trailing_zeros() as usize;
        let is_short = end - bit < if self.numbers { IDLE_IF_NUMBERS } else { IDLE };
        // Accounts and bots, the lines of passports, and what the engine wrote, have a sign of their own beside them.
        let is_apart = CLASS[usize::from(window[end])] & LINK == 0
            && !matches!(window[end], b'~' | b'<')
            && !matches!(before, b'~' | b':');
        is_short
            && is_apart
            && !self.heads.may_be(super::eight(window, bit))
            && !may_be_account(window[bit..].first_chunk())
            && !is_ordinal(&window[bit..end])
    }
}

/// Which of the marks of a rough block are marks, where all are nothing at once: neither digits nor signs, but for the commas
/// that stand between no quotes.
#[inline]
fn idle_marks(window: &block::Window, mut marks: u64) -> Option<u64> {
    let mut open = marks;
    while open != 0 {
        let bit = open.trailing_zeros() as usize;
        open &= open - 1;
        let [before, mark, next, after] = *window[bit.checked_sub(1)?..].first_chunk()?;
        let class = CLASS[usize::from(mark)];
        if mark == b',' {
            if matches!(before, b'"' | b'\'') && before == if next == b' ' { after } else { next } {
                return None;
            }
        } else if class & (SIGN | DIGIT) != 0 {
            return None;
        } else if class == 0 && mark > b'@' {
            marks ^= 1 << bit;
        }
    }
    Some(marks)
}

/// Whether a sign is nothing by what stands beside it. Most are the commas of sentences, and the colons of times and addresses.
#[inline]
pub(super) fn is_idle_sign(window: &block::Window, bit: usize, before: u8) -> bool {
    let next = window[bit + 1];
    match window[bit] {
        b',' => {
            let next = if next == b' ' { window[bit + 2] } else { next };
            !matches!(before, b'"' | b'\'') || next != before
        }
        b':' => next == b'/' || before.is_ascii_digit() && is_idle_colon(window, bit),
        b'=' => next == b'=',
        b'~' => !next.is_ascii_uppercase(),
        b'>' => !(class::is_word(before) || matches!(before, b'_' | b'-' | b'.' | b'<' | b'=')),
        _ => false,
    }
}

/// The same for a colon behind a digit: one of a time, and of no address of a machine, which has five or two together.
fn is_idle_colon(window: &block::Window, colon: usize) -> bool {
    match window[colon + 1] {
        b' ' | b'"' | b'\'' | b':' => return false,
        next if !next.is_ascii_hexdigit() => return true,
        _ => {}
    }
    let rest = &window[colon + 1..];
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let Some(length) = rest.iter().position(|byte| !is_part(byte)) else { return false };
    let parts = rest[..length].split(|byte| *byte == b':').count();
    parts <= 4 && !rest[..length].array_windows().any(|pair| pair == b"::")
}

/// Whether a word may begin an account's number: two letters and a digit.
fn may_be_account(head: Option<&[u8; 3]>) -> bool {
    head.is_none_or(|[first, second, third]| {
        class::is_letter(*first) && class::is_letter(*second) && third.is_ascii_digit()
    })
}

/// Whether a word may begin a date: `1st`, `22nd`.
pub(super) fn is_ordinal(word: &[u8]) -> bool {
    word[0].is_ascii_digit()
        && word.len() <= 4
        && matches!(word.last_chunk(), Some(b"st" | b"nd" | b"rd" | b"th"))
}
