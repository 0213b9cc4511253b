//! Proofs as they are checked: RFC 9162, sections 2.1.3.2 and 2.1.4.2, step by step.

use super::{Hash, node};

/// A proof that proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// There is no such leaf, or the older tree is larger than the newer.
    #[error("it is about leaves that the tree does not have")]
    OutOfRange,
    /// There are too many or too few hashes.
    #[error("it has the wrong number of hashes")]
    WrongLength,
    /// The hashes lead to another root.
    #[error("it leads to another root")]
    WrongRoot,
}

/// Checks that a leaf is in a tree.
///
/// # Errors
/// It was not proved.
pub fn verify_inclusion(
    index: u64,
    leaf: &Hash,
    size: u64,
    root: &Hash,
    path: &[Hash],
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange);
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in path {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if at & 1 == 1 || at == last {
            hash = node(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    if hash == *root { Ok(()) } else { Err(ProofError::WrongRoot) }
}

/// Checks that a newer tree continues an older one.
///
/// # Errors
/// It was not proved.
pub fn verify_consistency(
    (old_size, old_root): (u64, &Hash),
    (new_size, new_root): (u64, &Hash),
    path: &[Hash],
) -> Result<(), ProofError> {
    if old_size > new_size {
        return Err(ProofError::OutOfRange);
    }
    if old_size == new_size || old_size == 0 {
        // Anything continues the empty tree; the same tree has the same root.
        let same = old_size == 0 && *old_root == super::empty() || old_root == new_root;
        return if path.is_empty() {
            if same { Ok(()) } else { Err(ProofError::WrongRoot) }
        } else {
            Err(ProofError::WrongLength)
        };
    }
    let mut hashes = path.iter().copied();
    let first = if old_size.is_power_of_two() { Some(*old_root) } else { hashes.next() };
    let first = first.ok_or(ProofError::WrongLength)?;
    let (mut at, mut last) = (old_size - 1, new_size - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut old, mut new) = (first, first);
    for hash in hashes {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if at & 1 == 1 || at == last {
            (old, new) = (node(&hash, &old), node(&hash, &new));
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new = node(&new, &hash);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::WrongLength);
    }
    if old == *old_root && new == *new_root { Ok(()) } else { Err(ProofError::WrongRoot) }
}
