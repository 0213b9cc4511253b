//! Translation between the eras: what one side says, in the words of the other.
//!
//! Translation is lazy. A [`Payload`] remembers which era wrote it; nothing is touched when reader and writer share
//! it, so legacy to legacy and modern to modern pass the bytes. The tables are those of the specification's
//! revisions: fields that older revisions lack, error codes that one era reserves, metadata that only one era has.

mod error;
mod params;
mod question;
mod result;
pub mod task;

pub use error::{error_for, upstream_error};
pub use params::{Hop, key, legacy_params, modern_params};
pub use question::{Asked, answer_for, cancelled, input_requests, input_required, question_for, refused};
pub use result::{Payload, list_item_for, result_for};

#[cfg(test)]
mod tests;
