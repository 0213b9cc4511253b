//! What is handed to a gateway that outlives it: it keeps none of that itself.

use std::sync::Arc;

use portcullis_audit::witness::Witness;
use portcullis_model::Records;

use crate::record::Evidence;

/// What a gateway keeps, and where.
pub struct Kept {
    /// What outlives a call.
    pub records: Arc<dyn Records>,
    /// What happens; `None` where nothing of it is kept.
    pub evidence: Option<Arc<Evidence>>,
    /// What signs others' checkpoints; `None` where nobody's are.
    pub witness: Option<Witness>,
}
