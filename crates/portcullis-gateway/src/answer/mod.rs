//! What a refusal looks like outside: one table from kind and era to HTTP status and JSON-RPC code.
//!
//! The table is data, snapshot-tested, and the source of `docs/reference/errors.md`. Nothing else in the gateway
//! chooses a status or a code.

mod reply;

use http::StatusCode;
use portcullis_mcp::json::{Change, Raw};
use portcullis_mcp::message::{RpcError, code};
use portcullis_mcp::revision::Era;
use portcullis_model::ErrorKind;

use crate::call::Refusal;

pub(crate) use reply::{Reply, answer_of, reply};

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// HTTP status toward 2026-07-28 clients (streamable HTTP, "Errors").
    pub modern: u16,
    /// HTTP status toward older clients. 404 there means "start a new session" and nothing else.
    pub legacy: u16,
    /// JSON-RPC code.
    pub code: i64,
}

/// The table.
pub const fn row(kind: ErrorKind) -> Row {
    use ErrorKind as K;
    let (modern, legacy, code) = match kind {
        K::Unparsable => (400, 400, code::PARSE_ERROR),
        K::InvalidRequest | K::SessionRequired => (400, 400, code::INVALID_REQUEST),
        K::UnknownMethod => (404, 200, code::METHOD_NOT_FOUND),
        K::MissingMetadata => (400, 400, code::INVALID_PARAMS),
        K::InvalidParams | K::UnknownResource => (200, 200, code::INVALID_PARAMS),
        K::HeaderMismatch => (400, 400, code::HEADER_MISMATCH),
        K::MissingCapability => (400, 200, code::MISSING_CLIENT_CAPABILITY),
        K::UnsupportedVersion => (400, 400, code::UNSUPPORTED_VERSION),
        K::ForbiddenOrigin | K::InsufficientScope | K::Forbidden => (403, 403, code::INVALID_REQUEST),
        K::Unauthenticated | K::LoginRequired => (401, 401, code::INVALID_REQUEST),
        K::UnknownSession | K::UnknownPath => (404, 404, code::INVALID_REQUEST),
        K::MethodNotAllowed => (405, 405, code::INVALID_REQUEST),
        K::NotAcceptable => (406, 406, code::INVALID_REQUEST),
        K::UnsupportedMediaType => (415, 415, code::INVALID_REQUEST),
        K::BodyTooLarge => (413, 413, code::INVALID_REQUEST),
        K::BodyTimeout => (408, 408, code::INVALID_REQUEST),
        K::TooManyRequests | K::RateLimited | K::BudgetSpent => (429, 429, code::INTERNAL),
        K::Overloaded
        | K::IdentityUnavailable
        | K::Halted
        | K::OversightUnavailable
        | K::EvidenceUnavailable => (503, 503, code::INTERNAL),
        K::Cancelled
        | K::UpstreamUnavailable
        | K::UpstreamTimeout
        | K::UpstreamClosed
        | K::UpstreamProtocol
        | K::UpstreamDenied
        | K::ConnectionRequired
        | K::ContentBlocked
        | K::InputRefused
        | K::Quarantined
        | K::ApprovalRequired
        | K::ApprovalDenied
        | K::FlowDenied
        | K::Untranslatable
        | K::Internal => (200, 200, code::INTERNAL),
    };
    Row { modern, legacy, code }
}

/// The HTTP status of a refusal.
pub fn status(era: Era, kind: ErrorKind) -> StatusCode {
    let row = row(kind);
    let status = if era == Era::Modern { row.modern } else { row.legacy };
    StatusCode::from_u16(status).expect("the table holds valid statuses")
}

/// Whether the same request may well succeed later: such a refusal carries `Retry-After`.
pub const fn is_passing(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TooManyRequests
            | ErrorKind::RateLimited
            | ErrorKind::BudgetSpent
            | ErrorKind::Overloaded
            | ErrorKind::IdentityUnavailable
            | ErrorKind::OversightUnavailable
            | ErrorKind::EvidenceUnavailable
    )
}

/// In how many seconds it may: what the refusal says, else one where it passes by itself.
pub fn retry_after(refusal: &Refusal) -> Option<u64> {
    let said = refusal.retry_after.map(|after| after.as_secs() + u64::from(after.subsec_nanos() > 0));
    said.map(|seconds| seconds.max(1)).or(is_passing(refusal.kind).then_some(1))
}

/// The JSON-RPC error of a refusal. Where the code alone says little, `data.reason` names the kind.
pub fn error(era: Era, refusal: &Refusal) -> RpcError {
    let mut code = row(refusal.kind).code;
    if era == Era::Legacy {
        code = match code {
            code::MISSING_CLIENT_CAPABILITY => code::INTERNAL,
            // The older revisions' examples for a bad version and a bad header use "invalid params".
            code::UNSUPPORTED_VERSION | code::HEADER_MISMATCH => code::INVALID_PARAMS,
            _ if refusal.kind == ErrorKind::UnknownResource => code::RESOURCE_NOT_FOUND,
            code => code,
        };
    }
    let reason =
        matches!(code, code::INTERNAL | code::INVALID_REQUEST).then(|| Raw::from_text(refusal.kind.as_str()));
    let data = match (&refusal.data, &reason) {
        (Some(data), Some(reason)) => Some(data.with(&[("reason", Change::Set(reason.as_bytes()))])),
        (None, Some(reason)) => {
            Some(Raw::from_static("{}").with(&[("reason", Change::Set(reason.as_bytes()))]))
        }
        (data, None) => data.clone(),
    };
    RpcError::new(code, &refusal.message, data.as_ref())
}

#[cfg(test)]
mod tests;
