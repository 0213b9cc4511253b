//! The tree: hashing, growing and proofs of RFC 9162, section 2.1.
//!
//! A [`Frontier`] is all that growing takes: the roots of the full subtrees, one for each bit of the size. A [`Tree`] keeps
//! the hashes over 256 leaves each (tiles, as in C2SP tlog-tiles) and asks for leaves when a proof needs what is below them, so
//! that a log of ten million events takes some megabytes. Verification needs neither: it computes from what it was given.

mod proof;
mod tree;

use aws_lc_rs::digest::{Context, Digest, SHA256, digest};

pub use proof::{ProofError, verify_consistency, verify_inclusion};
use tree::TILE_LEVEL;
pub use tree::{Leaves, Missing, TILE, Tree};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// The hash of a leaf.
#[must_use]
pub fn leaf(record: &[u8]) -> Hash {
    let mut hash = Context::new(&SHA256);
    hash.update(&[0]);
    hash.update(record);
    written(&hash.finish())
}

/// The hash of a node.
#[must_use]
pub fn node(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    hash(&bytes)
}

/// The hash of bytes that are there in one piece, which is made without a context of its own.
pub(crate) fn hash(bytes: &[u8]) -> Hash {
    written(&digest(&SHA256, bytes))
}

/// The hash of the empty tree.
#[must_use]
pub fn empty() -> Hash {
    hash(&[])
}

fn written(digest: &Digest) -> Hash {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

/// The roots of the full subtrees that a tree consists of, the largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

impl Frontier {
    /// How many leaves there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf; the hash over the last [`TILE`] when it was their last.
    pub fn push(&mut self, leaf: Hash) -> Option<Hash> {
        self.push_subtree(leaf, 0)
    }

    /// Adds the root of a full subtree of 2^level leaves, which has to begin at a multiple of that; the hash over the last
    /// [`TILE`] when they end with it.
    pub(crate) fn push_subtree(&mut self, root: Hash, level: u32) -> Option<Hash> {
        let (mut root, mut grown, mut tile) = (root, level, None);
        loop {
            if grown == TILE_LEVEL {
                tile = Some(root);
            }
            if (self.size >> grown) & 1 == 0 {
                break;
            }
            let left = self.roots.pop().expect("a bit of the size that is set has a root");
            (root, grown) = (node(&left, &root), grown + 1);
        }
        self.roots.push(root);
        self.size += 1 << level;
        tile
    }

    /// The root of the whole tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        let Some(last) = roots.next() else { return empty() };
        roots.fold(*last, |right, left| node(left, &right))
    }

    /// The roots of the full subtrees, the largest first.
    #[must_use]
    pub fn roots(&self) -> &[Hash] {
        &self.roots
    }

    /// What was once a frontier: the size and its roots.
    #[must_use]
    pub fn from_roots(size: u64, roots: Vec<Hash>) -> Option<Self> {
        (roots.len() == size.count_ones() as usize).then_some(Self { size, roots })
    }
}

#[cfg(test)]
mod tests;
