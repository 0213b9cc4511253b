//! A journal in files.

/// A journal in files.
pub struct Segments;
