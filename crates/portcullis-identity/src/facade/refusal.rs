//! What is refused: the code of OAuth, the status, and the reason in words of ours.
//!
//! A reason is a constant. What a peer wrote is never repeated to anybody, neither on a page nor in a log.

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The error code (RFC 6749 sections 4.1.2.1 and 5.2, RFC 7591 section 3.2.2, RFC 8707 section 2).
    pub(super) code: &'static str,
    pub(super) status: u16,
    /// What is wrong.
    pub(super) reason: &'static str,
}

impl Refusal {
    pub(super) const fn new(status: u16, code: &'static str, reason: &'static str) -> Self {
        Self { code, status, reason }
    }

    pub(super) const fn bad(reason: &'static str) -> Self {
        Self::new(400, "invalid_request", reason)
    }

    /// A grant, code or refresh token that is not good.
    pub(super) const fn grant(reason: &'static str) -> Self {
        Self::new(400, "invalid_grant", reason)
    }

    /// A client that is not known, or does not prove that it is the one it says.
    pub(super) const fn client(reason: &'static str) -> Self {
        Self::new(401, "invalid_client", reason)
    }

    /// Somebody else cannot be asked now.
    pub(super) const fn unavailable(reason: &'static str) -> Self {
        Self::new(503, "temporarily_unavailable", reason)
    }

    pub(super) const fn too_often() -> Self {
        Self::new(429, "temporarily_unavailable", "too many requests; wait a minute")
    }

    pub(super) const fn forbidden(reason: &'static str) -> Self {
        Self::new(403, "access_denied", reason)
    }

    /// The same for a browser, which would ask for a password at a 401.
    pub(super) const fn for_person(self) -> Self {
        let status = if self.status == 401 { 400 } else { self.status };
        Self { status, ..self }
    }
}
