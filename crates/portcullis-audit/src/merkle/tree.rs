//! The tree as it is kept by whoever makes proofs.
//!
//! Hashes of full subtrees from 256 leaves upwards are kept in memory; what lies below is computed from leaves, which
//! are asked for 256 at a time. Of a log whose beginning was removed, the subtrees that its first entries were in are
//! known by their roots alone, and a proof that would need what is below them cannot be made.

use std::collections::HashMap;

use super::{Frontier, Hash, node};

/// How many leaves one hash stands for that is kept.
pub const TILE: u64 = 256;
pub(super) const TILE_LEVEL: u32 = TILE.trailing_zeros();

/// Hashes that a proof needs, and that were removed with old entries.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// Removed.
    #[error("the entries from {0} on that the proof needs were removed")]
    Removed(u64),
    /// The leaves could not be read.
    #[error("{0}")]
    Unreadable(String),
}

/// Gives the hashes of the leaves from one number up to another.
pub type Leaves<'a> = dyn FnMut(u64, u64) -> Result<Vec<Hash>, Missing> + 'a;

/// A tree that proofs can be made from.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    frontier: Frontier,
    /// By level, counted from that of tiles; then by place.
    levels: Vec<HashMap<u64, Hash>>,
}

impl Tree {
    /// A tree that begins with entries of which only the roots are left.
    #[must_use]
    pub fn from_base(base: Frontier) -> Self {
        let mut tree = Self::default();
        let mut start = 0;
        for level in (0..u64::BITS).rev() {
            if base.size() & (1 << level) == 0 {
                continue;
            }
            let root = base.roots()[(base.size() >> level).count_ones() as usize - 1];
            if level >= TILE_LEVEL {
                tree.keep(level - TILE_LEVEL, start >> level, root);
            }
            start += 1 << level;
        }
        tree.frontier = base;
        tree
    }

    /// How many leaves there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// What growing takes.
    #[must_use]
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Adds a leaf; the hash over the last 256 when it was their last.
    pub fn push(&mut self, leaf: Hash) -> Option<Hash> {
        let tile = self.frontier.push(leaf)?;
        self.keep_tile(self.size() / TILE - 1, tile);
        Some(tile)
    }

    /// Takes over what the frontier has become, and the hashes over 256 leaves that were found on the way.
    pub(crate) fn grow(&mut self, frontier: Frontier, tiles: impl Iterator<Item = Hash>) {
        let place = self.size() / TILE;
        self.frontier = frontier;
        for (place, tile) in (place..).zip(tiles) {
            self.keep_tile(place, tile);
        }
    }

    /// Adds 256 leaves by their hash. The size has to be a multiple of that.
    pub fn push_tile(&mut self, root: Hash) {
        let place = self.size() / TILE;
        self.frontier.push_subtree(root, TILE_LEVEL);
        self.keep_tile(place, root);
    }

    fn keep_tile(&mut self, place: u64, root: Hash) {
        let (mut level, mut place, mut root) = (0, place, root);
        self.keep(level, place, root);
        while place & 1 == 1 {
            let Some(left) = self.kept(level, place - 1) else { break };
            root = node(&left, &root);
            (level, place) = (level + 1, place >> 1);
            self.keep(level, place, root);
        }
    }

    fn keep(&mut self, level: u32, place: u64, root: Hash) {
        let level = level as usize;
        if self.levels.len() <= level {
            self.levels.resize_with(level + 1, HashMap::new);
        }
        self.levels[level].insert(place, root);
    }

    fn kept(&self, level: u32, place: u64) -> Option<Hash> {
        self.levels.get(level as usize)?.get(&place).copied()
    }

    /// The root when the tree had this size (RFC 9162, section 2.1.1).
    ///
    /// # Errors
    /// What it takes was removed.
    pub fn root_at(&self, size: u64, leaves: &mut Leaves<'_>) -> Result<Hash, Missing> {
        if size == 0 { Ok(super::empty()) } else { self.subtree(0, size, leaves) }
    }

    /// Proves that a leaf is in the tree of a size (RFC 9162, section 2.1.3.1).
    ///
    /// # Errors
    /// What it takes was removed.
    pub fn inclusion(&self, index: u64, size: u64, leaves: &mut Leaves<'_>) -> Result<Vec<Hash>, Missing> {
        let (mut from, mut to, mut path) = (0, size, Vec::new());
        while to - from > 1 {
            let middle = from + split(to - from);
            if index < middle {
                path.push(self.subtree(middle, to, leaves)?);
                to = middle;
            } else {
                path.push(self.subtree(from, middle, leaves)?);
                from = middle;
            }
        }
        path.reverse();
        Ok(path)
    }

    /// Proves that the tree of one size continues that of a smaller one (RFC 9162, section 2.1.4.1).
    ///
    /// # Errors
    /// What it takes was removed.
    pub fn consistency(&self, old: u64, new: u64, leaves: &mut Leaves<'_>) -> Result<Vec<Hash>, Missing> {
        if old == 0 || old >= new {
            return Ok(Vec::new());
        }
        let (mut from, mut to, mut path, mut whole) = (0, new, Vec::new(), true);
        while to != old {
            let middle = from + split(to - from);
            if old <= middle {
                path.push(self.subtree(middle, to, leaves)?);
                to = middle;
            } else {
                path.push(self.subtree(from, middle, leaves)?);
                (from, whole) = (middle, false);
            }
        }
        if !whole {
            path.push(self.subtree(from, to, leaves)?);
        }
        path.reverse();
        Ok(path)
    }

    /// What growing took when the tree had this size.
    ///
    /// # Errors
    /// What it takes was removed.
    pub fn frontier_at(&self, size: u64, leaves: &mut Leaves<'_>) -> Result<Frontier, Missing> {
        let (mut from, mut roots) = (0, Vec::new());
        for level in (0..u64::BITS).rev().filter(|level| size & (1 << level) != 0) {
            roots.push(self.subtree(from, from + (1 << level), leaves)?);
            from += 1 << level;
        }
        Ok(Frontier::from_roots(size, roots).expect("a root for each bit that is set"))
    }

    /// The root over the leaves from one number up to another. It begins where a full subtree of its size would.
    fn subtree(&self, from: u64, to: u64, leaves: &mut Leaves<'_>) -> Result<Hash, Missing> {
        let count = to - from;
        if count >= TILE && count.is_power_of_two() {
            let level = count.trailing_zeros();
            if let Some(root) = self.kept(level - TILE_LEVEL, from >> level) {
                return Ok(root);
            }
        }
        if count <= TILE {
            let mut tree = Frontier::default();
            for leaf in leaves(from, to)? {
                tree.push(leaf);
            }
            return if tree.size() == count { Ok(tree.root()) } else { Err(Missing::Removed(from)) };
        }
        let middle = from + split(count);
        Ok(node(&self.subtree(from, middle, leaves)?, &self.subtree(middle, to, leaves)?))
    }
}

/// The largest power of two that is smaller.
fn split(count: u64) -> u64 {
    1 << (u64::BITS - 1 - (count - 1).leading_zeros())
}
