//! Attribute names, as the OpenTelemetry semantic conventions for MCP spell them.
//!
//! Source: <https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/mcp.md>
//! (status *Development*, read in November 2026), with `error.*`, `network.*`, `client.*` and `server.*` from
//! the stable registry. When the conventions rename one, this file is all that changes.
//!
//! Names that start with `portcullis.` are ours, for what the conventions do not cover.

/// The MCP method. Set by [`Tracer::start`](super::Tracer::start).
pub const MCP_METHOD_NAME: &str = "mcp.method.name";
/// The MCP protocol revision in use, such as `2026-07-28`.
pub const MCP_PROTOCOL_VERSION: &str = "mcp.protocol.version";
/// The session that a legacy client is in. Never a credential here.
pub const MCP_SESSION_ID: &str = "mcp.session.id";
/// The resource of `resources/read` and its like.
pub const MCP_RESOURCE_URI: &str = "mcp.resource.uri";

/// `execute_tool` on a tool call, absent otherwise. Set by [`Tracer::start`](super::Tracer::start).
pub const GEN_AI_OPERATION_NAME: &str = "gen_ai.operation.name";
/// The tool of `tools/call`. Set by [`Tracer::start`](super::Tracer::start).
pub const GEN_AI_TOOL_NAME: &str = "gen_ai.tool.name";
/// The prompt of `prompts/get`. Set by [`Tracer::start`](super::Tracer::start).
pub const GEN_AI_PROMPT_NAME: &str = "gen_ai.prompt.name";

/// The JSON-RPC `id` as text; absent on notifications and when it is null.
pub const JSONRPC_REQUEST_ID: &str = "jsonrpc.request.id";
/// The JSON-RPC error code as text, when the answer was an error.
pub const RPC_RESPONSE_STATUS_CODE: &str = "rpc.response.status_code";

/// The class of failure: the JSON-RPC code, `tool_error`, `timeout`. Set by [`Span::fail`](super::Span::fail).
pub const ERROR_TYPE: &str = "error.type";
/// [`TOOL_ERROR`] is what [`ERROR_TYPE`] is when a tool result says `isError`.
pub const TOOL_ERROR: &str = "tool_error";

/// `tcp` for HTTP, WebSocket and gRPC, `pipe` for stdio, `unix` for a Unix socket.
pub const NETWORK_TRANSPORT: &str = "network.transport";
/// `http`, `websocket`; lower case.
pub const NETWORK_PROTOCOL_NAME: &str = "network.protocol.name";
/// `1.1`, `2`.
pub const NETWORK_PROTOCOL_VERSION: &str = "network.protocol.version";
/// The caller's address; server spans only.
pub const CLIENT_ADDRESS: &str = "client.address";
/// The caller's port; server spans only.
pub const CLIENT_PORT: &str = "client.port";
/// The upstream's address; client spans only.
pub const SERVER_ADDRESS: &str = "server.address";
/// The upstream's port; client spans only.
pub const SERVER_PORT: &str = "server.port";

/// The server of the catalogue that the call went to.
pub const PORTCULLIS_SERVER_ID: &str = "portcullis.server.id";
/// Who called.
pub const PORTCULLIS_PRINCIPAL_ID: &str = "portcullis.principal.id";
/// What the gateway decided: `allow`, `refuse`, `ask`.
pub const PORTCULLIS_DECISION: &str = "portcullis.decision";
