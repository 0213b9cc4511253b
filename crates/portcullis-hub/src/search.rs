//! Finds the tools that a few words mean, among thousands.
//!
//! Ranked full text: BM25F (Robertson, Zaragoza, Taylor 2004) over a tool's names, description, arguments and what is said of
//! them, and a bonus for a name whose words were all asked for. Words are stemmed; one that nothing has is taken for
//! the beginning of one that something has, or for a misspelling of it. On public tasks this finds about a third more than
//! plain BM25 does; `docs/discovery.md` has the figures.
//!
//! A [`Part`] is made of one server's list, once, and parts are searched together, so a change of one server costs that
//! server's part. What the searcher may not see counts for nothing: neither how often a word occurs nor how long texts are
//! is taken from it, so ranks tell nothing of it.
//!
//! It knows words and not meanings: who asks for a picture does not find what only says image. Where somebody else has vectors of
//! both, `vectors` ranks by these, and makes two rankings one.

mod part;
mod query;
mod vectors;
mod words;

pub use part::{Entry, Part};
pub use query::{Hit, Searched, search};
pub use vectors::{Vector, fused, nearest};

#[cfg(test)]
mod tests;
