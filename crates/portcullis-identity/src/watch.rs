//! Whoever counts what goes on with identity providers. The crate knows no metrics.

/// Counts.
pub trait Watch: Send + Sync {
    /// An issuer's keys were asked for, and came or did not.
    fn keys(&self, issuer: &str, came: bool);

    /// An issuer was asked about a token (`active`, `refused`, `failed`), or was not although somebody wanted to know
    /// (`held_back`).
    fn introspection(&self, issuer: &str, outcome: &'static str);
}

/// Nobody counts.
pub(crate) struct Nobody;

impl Watch for Nobody {
    fn keys(&self, _: &str, _: bool) {}
    fn introspection(&self, _: &str, _: &'static str) {}
}
