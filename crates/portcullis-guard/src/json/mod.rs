//! Documents: walked as the bytes they are, findings as places in these bytes.
//!
//! Strings are looked at as what they say, and what is found is mapped back to the bytes between the quotes; a document
//! inside a string is walked in the same way, whatever the depth of its escapes. Everything that is written is ASCII without
//! quotes and backslashes, so a change is one piece of text for another at the outermost level, and what was valid stays
//! valid. Nothing is parsed into a tree.

mod children;
mod edit;
pub(crate) mod keys;
pub(crate) mod replace;
pub(crate) mod restore;
pub(crate) mod text;
pub(crate) mod transform;
pub(crate) mod walk;
