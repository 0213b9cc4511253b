//! The one classification of everything that can go wrong with a call.
//!
//! Modules have their own small errors; each knows its `ErrorKind`, and one table (`gateway/answer`) turns a kind
//! into what each transport and era shows. Whoever logs or counts uses the kind's name.

/// Who has to change something for the next attempt to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The client sent something that it should not have.
    Caller,
    /// The server behind the gateway failed.
    Upstream,
    /// The gateway failed, or is too busy.
    Us,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $fault:ident;)+) => {
        /// What went wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorKind { $($(#[$doc])* $name,)+ }

        impl ErrorKind {
            /// Every kind, in the order of the reference page.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The stable name for logs, metrics and `data.reason`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// Who is at fault.
            pub fn fault(self) -> Fault {
                match self { $(Self::$name => Fault::$fault,)+ }
            }
        }
    };
}

kinds! {
    /// The body is not JSON, or breaks a JSON limit.
    Unparsable = "unparsable", Caller;
    /// The body is JSON but no JSON-RPC message that may stand here.
    InvalidRequest = "invalid_request", Caller;
    /// Nobody offers this method.
    UnknownMethod = "unknown_method", Caller;
    /// A required `_meta` key is missing or malformed (2026-07-28).
    MissingMetadata = "missing_metadata", Caller;
    /// The method is known, its parameters are not acceptable; unknown names and cursors too.
    InvalidParams = "invalid_params", Caller;
    /// A resource that no server has.
    UnknownResource = "unknown_resource", Caller;
    /// A mirrored header is absent, malformed or differs from the body.
    HeaderMismatch = "header_mismatch", Caller;
    /// The request needs a client capability that it did not declare.
    MissingCapability = "missing_capability", Caller;
    /// The protocol revision is not served.
    UnsupportedVersion = "unsupported_version", Caller;
    /// The session does not exist, has ended, or belongs to somebody else.
    UnknownSession = "unknown_session", Caller;
    /// The request needs a session and names none.
    SessionRequired = "session_required", Caller;
    /// `Origin` or `Host` is not allowed.
    ForbiddenOrigin = "forbidden_origin", Caller;
    /// The caller has not said who it is, and has to.
    Unauthenticated = "unauthenticated", Caller;
    /// The caller's token is good, and lacks a scope that is needed here.
    InsufficientScope = "insufficient_scope", Caller;
    /// The caller may not read this.
    Forbidden = "forbidden", Caller;
    /// No such path.
    UnknownPath = "unknown_path", Caller;
    /// The HTTP method does not exist here.
    MethodNotAllowed = "method_not_allowed", Caller;
    /// The client accepts neither of the answer's media types.
    NotAcceptable = "not_acceptable", Caller;
    /// The body is not `application/json`.
    UnsupportedMediaType = "unsupported_media_type", Caller;
    /// The body is larger than allowed.
    BodyTooLarge = "body_too_large", Caller;
    /// The body did not arrive in time.
    BodyTimeout = "body_timeout", Caller;
    /// The caller cancelled.
    Cancelled = "cancelled", Caller;
    /// The caller did not give what the server asked it for.
    InputRefused = "input_refused", Caller;
    /// The caller has too much under way.
    TooManyRequests = "too_many_requests", Caller;
    /// The caller comes too often.
    RateLimited = "rate_limited", Caller;
    /// What the caller may use until a certain time is used up.
    BudgetSpent = "budget_spent", Caller;
    /// The gateway has too much under way, or is about to stop.
    Overloaded = "overloaded", Us;
    /// Whoever could tell who the caller is cannot be asked.
    IdentityUnavailable = "identity_unavailable", Us;
    /// What happens cannot be put on record, and without that nothing may happen.
    EvidenceUnavailable = "evidence_unavailable", Us;
    /// The server cannot be reached or started.
    UpstreamUnavailable = "upstream_unavailable", Upstream;
    /// The server did not answer in time.
    UpstreamTimeout = "upstream_timeout", Upstream;
    /// The server broke off before it answered.
    UpstreamClosed = "upstream_closed", Upstream;
    /// The server answered something that is not MCP, or more than allowed.
    UpstreamProtocol = "upstream_protocol", Upstream;
    /// The server refused the gateway's own credentials.
    UpstreamDenied = "upstream_denied", Upstream;
    /// The user has to connect an account before the server can be called for them.
    ConnectionRequired = "connection_required", Caller;
    /// The user has to log in again, for the identity provider wants more of them before the server can be called for them.
    LoginRequired = "login_required", Caller;
    /// What the server says of it is not what was approved.
    Quarantined = "quarantined", Us;
    /// Somebody has to approve this call first.
    ApprovalRequired = "approval_required", Caller;
    /// Whoever was asked does not approve of this call.
    ApprovalDenied = "approval_denied", Caller;
    /// Data may not go that way.
    FlowDenied = "flow_denied", Caller;
    /// It was stopped by an operator.
    Halted = "halted", Us;
    /// What was decided about the call cannot be read or kept.
    OversightUnavailable = "oversight_unavailable", Us;
    /// The guard does not let it pass.
    ContentBlocked = "content_blocked", Caller;
    /// The server asked for something that cannot be carried to this client.
    Untranslatable = "untranslatable", Upstream;
    /// A bug.
    Internal = "internal", Us;
}
