//! What is kept between calls: records, in memory or in a database.
//!
//! Every kind of store does the same ([`portcullis_model::Records`]); one suite of tests asks all of them.

mod memory;

pub use memory::Memory;
