//! Names of tools and prompts when many servers look like one.
//!
//! An exposed name is `slug__name`. Model APIs accept less than MCP does, so the result has at most 64 characters of
//! `[A-Za-z0-9_-]`; a name that does not fit becomes what can be kept of it, `_`, and 8 characters of a hash. A slug
//! has no underscore and no upper case, so the text before the first underscore tells servers apart: names of different
//! servers cannot collide, in any case folding, and adding a server renames nothing. Within a server they can (`Run`
//! and `run`), which [`expose_all`] resolves.
//!
//! Exposed names are looked up, never split: the way back is the table that the caller keeps. Nothing here reads names
//! inside descriptions or texts.

use std::collections::{BTreeSet, HashMap, HashSet};

use portcullis_model::ServerId;

/// Longest exposed name, in characters.
pub const MAX_LEN: usize = 64;

/// What stands between slug and name.
const SEPARATOR: &str = "__";

/// Characters of hash in a name that did not fit, without the underscore before them.
const HASH_LEN: usize = 8;

/// The exposed form of one name, as long as no other name of that server claims it (see [`expose_all`]). Depends on
/// nothing but its arguments: the same after every restart, on every machine.
pub fn expose(server: &ServerId, name: &str) -> String {
    let plain = plain(server, name);
    if fits(name, &plain) { plain } else { hashed(server, name, 0) }
}

/// The exposed forms of all names of one server: original to exposed.
///
/// Exposed names differ from each other even when case is folded. Where two would not, the name that comes first in
/// byte order keeps its plain form and the others get the hashed one. The outcome depends on the set of names alone,
/// not on their order, so a server that shuffles its list renames nothing.
pub fn expose_all<'a>(
    server: &ServerId,
    names: impl IntoIterator<Item = &'a str>,
) -> HashMap<&'a str, String> {
    let names: BTreeSet<&str> = names.into_iter().collect();
    let mut taken: HashSet<String> = HashSet::with_capacity(names.len());
    let mut exposed = HashMap::with_capacity(names.len());
    // All plain forms first: a hashed form must never take the place of a name that just looks like one.
    for name in &names {
        let plain = plain(server, name);
        if fits(name, &plain) && taken.insert(plain.to_ascii_lowercase()) {
            exposed.insert(*name, plain);
        }
    }
    for name in &names {
        if exposed.contains_key(name) {
            continue;
        }
        let form = (0..=u64::MAX)
            .map(|round| hashed(server, name, round))
            .find(|form| taken.insert(form.to_ascii_lowercase()))
            .expect("there are more hashes than names");
        exposed.insert(*name, form);
    }
    exposed
}

fn plain(server: &ServerId, name: &str) -> String {
    [server.as_str(), SEPARATOR, name].concat()
}

fn fits(name: &str, plain: &str) -> bool {
    !name.is_empty() && plain.len() <= MAX_LEN && name.chars().all(is_safe)
}

fn is_safe(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-')
}

/// The head of the plain form, made safe, and a hash. A second `round` is only needed when the first is taken.
fn hashed(server: &ServerId, name: &str, round: u64) -> String {
    let head: String = plain(server, name)
        .chars()
        .map(|character| if is_safe(character) { character } else { '_' })
        .take(MAX_LEN - HASH_LEN - 1)
        .collect();
    format!("{head}_{}", hash(server, name, round))
}

/// FNV-1a over round, slug and name, finished with MurmurHash3's mixer, as 40 bits of base32.
///
/// It spreads names, it does not withstand an attacker, and need not: a server can make only its own names collide, and
/// then they get other rounds. The round goes first, so that names which collide in one do not in the next.
fn hash(server: &ServerId, name: &str, round: u64) -> String {
    const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let round = round.to_le_bytes();
    let bytes = round.iter().chain(server.as_str().as_bytes()).chain(&[0]).chain(name.as_bytes());
    let mut state = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        state = (state ^ state >> 33).wrapping_mul(factor);
    }
    state ^= state >> 33;
    (0..HASH_LEN).map(|at| char::from(BASE32[(state >> (5 * at) & 31) as usize])).collect()
}

#[cfg(test)]
mod tests;
