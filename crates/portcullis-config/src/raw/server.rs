//! An entry of `servers`, and one of the clients' `mcpServers`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::credentials::Credentials;
use super::{Container, Duration, OpenApi, Sandbox, Secret};

/// An upstream MCP server: a child process (`command`), a URL (`url`), an HTTP API (`openapi`), or an image that a cluster runs
/// (`image`).
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Server {
    /// The program to start as a child, without a shell: a path, or a name that is looked up in PATH.
    pub(crate) command: Option<String>,
    /// Its arguments. Other users of the machine can see them: secrets belong into `env`. Only with `command` or
    /// `image`.
    pub(crate) args: Vec<String>,
    /// Environment variables set for it. A child gets no others but PATH, HOME and a few harmless ones. Only
    /// with `command` or `image`.
    pub(crate) env: BTreeMap<String, Secret>,
    /// Its working directory; when not given, that of the gateway, or, with a `sandbox`, a folder of its own. Only with `command`.
    pub(crate) cwd: Option<String>,
    /// Names of variables handed on to it from the gateway's own environment. Only with `command`.
    pub(crate) inherit_env: Vec<String>,
    /// Stops it after so long without a call; the next call starts it again. Never stopped when not given. Only
    /// with `command` or `image`.
    pub(crate) idle_stop: Option<Duration>,
    /// Most processes of it at once, a spare one aside. The one that was idle longest makes room for another; while all
    /// are in use, whoever needs one more is refused. Only with `command`.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 100))]
    pub(crate) max_instances: Option<usize>,
    /// `false` starts no process of it before one is needed. Otherwise one may be started ahead for a client that opens
    /// the server's own endpoint: a legacy server learns once what its client can be asked, so other clients need other
    /// processes. Only with `command`.
    #[schemars(extend("default" = true))]
    pub(crate) spare: Option<bool>,
    /// What it may reach of the machine; all that the gateway may itself when not given. Only with `command`.
    pub(crate) sandbox: Option<Sandbox>,
    /// Its endpoint: of Streamable HTTP, or of HTTP+SSE the stream.
    pub(crate) url: Option<String>,
    /// What is spoken with it: `streamable-http`, `sse` (the HTTP+SSE transport of 2024-11-05), or `auto` to find out.
    /// Only with `url`.
    #[schemars(extend("default" = "auto"))]
    pub(crate) transport: Option<HttpTransport>,
    /// An HTTP API whose operations become tools, as its OpenAPI document (3.0 or 3.1) describes them.
    pub(crate) openapi: Option<OpenApi>,
    /// The image of a container that serves Streamable HTTP, by its digest: `ghcr.io/acme/server@sha256:…`. The cluster of
    /// `kubernetes` runs it when it is needed.
    pub(crate) image: Option<String>,
    /// How the image is run. Only with `image`.
    pub(crate) container: Option<Container>,
    /// Headers sent with each request. Only with `url`, `openapi` or `image`.
    pub(crate) headers: BTreeMap<String, Secret>,
    /// As whom it is called. Only with `url`, `openapi` or `image`.
    pub(crate) credentials: Option<Credentials>,
    /// How its certificate is checked. Only with an `https` URL.
    pub(crate) tls: Option<UpstreamTls>,
    /// The protocol era it speaks: `legacy` (2025-11-25 and before), `modern` (2026-07-28 and after), or `auto` to
    /// find out.
    #[schemars(extend("default" = "auto"))]
    pub(crate) era: Option<Era>,
    /// `shared`: one instance serves every client. `session`: an own instance for each client session, or for each
    /// principal where clients are stateless.
    #[schemars(extend("default" = "shared"))]
    pub(crate) sharing: Option<Sharing>,
    /// `false` keeps the entry but neither starts nor lists the server.
    #[schemars(extend("default" = true))]
    pub(crate) enabled: Option<bool>,
    /// How long a call may stay without an answer or a sign of progress; `limits.call_timeout` when not given.
    pub(crate) call_timeout: Option<Duration>,
    /// How long its lists of tools, prompts and resources are kept when it gives no hint of its own. `0s` asks
    /// every time.
    #[schemars(extend("default" = "5m"))]
    pub(crate) list_ttl: Option<Duration>,
    /// How often it is asked whether it still answers, while a conversation with it is open: by `ping`, or by
    /// `server/discover` in the modern era. One that gives no answer twice, each time for so long and at most ten seconds, is
    /// taken for down: a child is ended, and the next call starts another. Not asked when not given.
    pub(crate) probe: Option<Duration>,
    /// Calls in flight to it at once; more wait.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 64))]
    pub(crate) max_concurrent: Option<usize>,
    /// What views of its MCP Apps may ask for; a key given here counts instead of the same key of the top-level `apps`.
    pub(crate) apps: Option<Apps>,
    /// What it is for, shown to people.
    pub(crate) description: Option<String>,
}

/// What views of MCP Apps may ask for. Each list tightens what servers ask for and never adds to it; one that is not
/// given restricts nothing, an empty one takes everything away.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Apps {
    /// Where views may send requests: `https://api.example.com`, or `https://*.example.com` for all that is below.
    pub(crate) connect_domains: Option<Vec<String>>,
    /// Where views may load images, scripts, styles, fonts and media from.
    pub(crate) resource_domains: Option<Vec<String>>,
    /// What views may embed in frames.
    pub(crate) frame_domains: Option<Vec<String>>,
    /// What views may set as the base of their document.
    pub(crate) base_uri_domains: Option<Vec<String>>,
    /// What views may use of the device: `camera`, `microphone`, `geolocation`, `clipboardWrite`.
    pub(crate) permissions: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Era {
    Auto,
    Legacy,
    Modern,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HttpTransport {
    Auto,
    StreamableHttp,
    Sse,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sharing {
    Shared,
    Session,
}

/// How the certificate of a server is checked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct UpstreamTls {
    /// PEM file with the authorities to trust instead of those of the system.
    pub(crate) ca: Option<String>,
    /// PEM file with the client certificate chain to present; needs `key`.
    pub(crate) cert: Option<String>,
    /// PEM file with the key of the client certificate; needs `cert`.
    pub(crate) key: Option<String>,
    /// The name to expect in the certificate instead of the host of the URL.
    pub(crate) server_name: Option<String>,
    /// `false` accepts any certificate, which lets anybody on the way read and change everything.
    #[schemars(extend("default" = true))]
    pub(crate) verify: Option<bool>,
}

// Only for the schema: entries are brought into the form of `Server` before anything else reads them.
/// A server in the form of an MCP client's own file. Keys that only steer the client (`autoApprove`, `alwaysAllow`, …) are ignored; others warn.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes a form, never holds a value")]
pub(crate) struct ClientServer {
    /// The program to start as a child.
    command: Option<String>,
    /// Its arguments.
    args: Option<Vec<String>>,
    /// Environment variables set for it.
    env: Option<BTreeMap<String, Secret>>,
    /// Its working directory.
    cwd: Option<String>,
    /// `stdio`, `http` (also `streamable-http`), or `sse`.
    r#type: Option<String>,
    /// Its endpoint; also spelt `serverUrl` and `httpUrl`.
    url: Option<String>,
    /// Headers sent with each request.
    headers: Option<BTreeMap<String, Secret>>,
    /// `true` keeps the entry but neither starts nor lists the server.
    disabled: Option<bool>,
    /// What it is for, shown to people.
    description: Option<String>,
}
