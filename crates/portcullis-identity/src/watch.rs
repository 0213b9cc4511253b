//! Whoever counts what goes on with identity providers, and puts on record what is owed to it. The crate knows neither metrics nor
//! evidence.

/// Counts, and records.
pub trait Watch: Send + Sync {
    /// An issuer's keys were asked for, and came or did not.
    fn keys(&self, issuer: &str, came: bool);

    /// An issuer was asked about a token (`active`, `refused`, `failed`), or was not although somebody wanted to know
    /// (`held_back`).
    fn introspection(&self, issuer: &str, outcome: &'static str);

    /// A login at the gateway's own authorization server, `issuer`, is over before its time: whose it was, as the tokens of that
    /// issuer call them and where that is known, and why.
    fn ended(&self, issuer: &str, subject: Option<&str>, why: &'static str);
}

/// Nobody does.
pub(crate) struct Nobody;

impl Watch for Nobody {
    fn keys(&self, _: &str, _: bool) {}
    fn introspection(&self, _: &str, _: &'static str) {}
    fn ended(&self, _: &str, _: Option<&str>, _: &'static str) {}
}
