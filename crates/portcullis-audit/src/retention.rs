//! Removing what has been kept long enough, so that the tree stays provable.

use portcullis_model::{Journal, Unavailable};

use crate::merkle::Frontier;

/// The subtrees that the removed entries were, or `None` if none were removed.
///
/// # Errors
/// The journal cannot be asked, or what it keeps is none.
pub fn base(_journal: &dyn Journal) -> Result<Option<Frontier>, Unavailable> {
    Ok(None)
}
