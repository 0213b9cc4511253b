//! Text as recognisers see it, and the way back to the bytes that it came from.
//!
//! A text may be an unescaped JSON string, decoded base64, or one without its invisible characters. Whatever it is made
//! of, [`offsets::Offsets`] says which bytes of the source a part of it stands for.

pub(crate) mod block;
pub(crate) mod class;
pub(crate) mod decode;
pub(crate) mod filter;
pub(crate) mod fold;
pub(crate) mod offsets;
