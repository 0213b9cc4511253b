//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use portcullis_config::Overrides;

use crate::audit::args::AuditVerb;

/// A gateway for the Model Context Protocol: any client to any server, through one endpoint.
#[derive(Parser, Debug)]
#[command(name = "portcullis", version, about, propagate_version = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    /// Start without a configuration: on loopback, with the servers named here or in a client's file
    Up(Up),
    /// Start from a configuration file
    Serve(Serve),
    /// Bridge a host that speaks only stdio to an MCP endpoint
    Connect(Connect),
    /// Look at a configuration
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Try policies
    #[command(subcommand)]
    Policy(PolicyVerb),
    /// Say why somebody may, or may not, use something
    Explain(Explain),
    /// Read and check the evidence log
    #[command(subcommand)]
    Audit(AuditVerb),
    /// Find out what is wrong, and what to do
    #[command(subcommand)]
    Doctor(DoctorVerb),
}

#[derive(Subcommand, Debug)]
pub(crate) enum DoctorVerb {
    /// Walk a login at an endpoint step by step: exit 0 when a client could log in, 1 when not, 3 when nobody answers
    Auth(DoctorAuth),
}

#[derive(ClapArgs, Debug)]
pub(crate) struct DoctorAuth {
    /// The endpoint, for example `https://mcp.example.com/mcp`
    #[arg(value_name = "URL")]
    pub url: String,
    /// A client that is registered at the authorization server
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// Where that client has people sent back to; with --client-id, a login is asked for
    #[arg(long, value_name = "URL", requires = "client_id")]
    pub redirect_uri: Option<String>,
    /// Try the access token that this environment variable holds
    #[arg(long, value_name = "NAME")]
    pub token_env: Option<String>,
    /// Trust the certificates of this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Print what was found as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Subcommand, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one, and it is read once")]
pub(crate) enum PolicyVerb {
    /// Try policies on the cases of a file: exit 0 when all are as expected, 1 when not
    Test {
        /// The cases
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The configuration whose policies are tried, instead of the one that the file names
        #[arg(long, short, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print what was found as JSON
        #[arg(long)]
        json: bool,
    },
    /// Say why somebody may, or may not, use something: exit 0 when they may, 1 when not
    Explain(Explain),
    /// List the policies that were in force: when, since what, and their digests
    History {
        /// The configuration
        #[arg(long, short, value_name = "FILE", env = "PORTCULLIS_CONFIG")]
        config: PathBuf,
        /// Print them as JSON, with their files
        #[arg(long)]
        json: bool,
    },
    /// Write the files of policies as they were in a version; a running gateway takes them up
    Rollback {
        /// The version, as `policy history` numbers it
        #[arg(value_name = "VERSION")]
        number: u64,
        /// The configuration
        #[arg(long, short, value_name = "FILE", env = "PORTCULLIS_CONFIG")]
        config: PathBuf,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Print the Cedar schema that the policies of a configuration are held against
    Schema {
        /// The configuration
        #[arg(value_name = "FILE", env = "PORTCULLIS_CONFIG")]
        file: PathBuf,
    },
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Explain {
    /// The configuration
    #[arg(long, short, value_name = "FILE", env = "PORTCULLIS_CONFIG")]
    pub config: PathBuf,
    /// Who: `anonymous`, `user:ISSUER#SUBJECT`, `key:NAME`, `cert:SHA256` or a SPIFFE id
    #[arg(long = "as", value_name = "WHO")]
    pub who: String,
    /// A group that they are in; may be given several times
    #[arg(long = "group", value_name = "GROUP")]
    pub groups: Vec<String>,
    /// A scope of their token; may be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// The client that their token was issued to
    #[arg(long, value_name = "CLIENT")]
    pub client: Option<String>,
    /// Claims of their token
    #[arg(long, value_name = "JSON")]
    pub claims: Option<String>,
    #[command(flatten)]
    pub thing: ThingArgs,
    /// The method, if it is not the one that uses the thing (tools/call, prompts/get, resources/read)
    #[arg(long = "do", value_name = "METHOD")]
    pub method: Option<String>,
    /// What its server says of the tool: readOnlyHint, destructiveHint, idempotentHint, openWorldHint, with `!` before one
    /// that it denies; may be given several times
    #[arg(long = "annotation", value_name = "HINT")]
    pub annotations: Vec<String>,
    /// Arguments of the call; without them it is said whether some call could be permitted
    #[arg(long, value_name = "JSON")]
    pub args: Option<String>,
    /// The address that they connect from
    #[arg(long, value_name = "ADDRESS")]
    pub from: Option<String>,
    /// When, as 2026-11-28T20:00:00Z; now, if it is not given
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Print the verdict as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(ClapArgs, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct ThingArgs {
    /// A tool, as `SERVER/NAME` or as the aggregate names it (`SERVER__NAME`)
    #[arg(long, value_name = "NAME")]
    pub tool: Option<String>,
    /// A prompt, in the same way
    #[arg(long, value_name = "NAME")]
    pub prompt: Option<String>,
    /// A resource, as `SERVER/URI`
    #[arg(long, value_name = "URI")]
    pub resource: Option<String>,
    /// A template of resources, as `SERVER/TEMPLATE`
    #[arg(long, value_name = "TEMPLATE")]
    pub template: Option<String>,
    /// A server
    #[arg(long, value_name = "SERVER")]
    pub server: Option<String>,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Up {
    /// Servers, each a URL or a command in quotes, optionally as NAME=…
    ///
    /// For example: `time="uvx mcp-server-time"` or `https://mcp.example.com/mcp`
    #[arg(value_name = "SERVER")]
    pub servers: Vec<String>,
    /// Take the servers of a client's configuration file (`mcpServers`, VS Code's `servers`, Codex' TOML …)
    #[arg(long, value_name = "FILE")]
    pub import: Option<PathBuf>,
    #[command(flatten)]
    pub overrides: OverrideArgs,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Serve {
    /// The configuration: YAML, JSON or TOML
    #[arg(long, short, value_name = "FILE", env = "PORTCULLIS_CONFIG")]
    pub config: PathBuf,
    /// Only check it: exit 0 when it can be served, 2 when not
    #[arg(long)]
    pub check: bool,
    #[command(flatten)]
    pub overrides: OverrideArgs,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct OverrideArgs {
    /// Where to listen, for example 8080 (loopback), 127.0.0.1:0 (any free port)
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// What to log, for example `info` or `warn,portcullis_gateway=debug`
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// How to log: auto, json or pretty
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

impl OverrideArgs {
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides {
            listen: self.listen.clone(),
            log_filter: self.log.clone(),
            log_format: self.log_format.clone(),
        }
    }
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Connect {
    /// The endpoint, for example http://127.0.0.1:8080/mcp
    #[arg(value_name = "URL")]
    pub url: String,
    /// Send the bearer token that this environment variable holds
    #[arg(long, value_name = "NAME")]
    pub token_env: Option<String>,
    /// Trust the certificates of this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// A client certificate, PEM, for an endpoint that wants one; needs --key
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// The key of the client certificate, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
pub(crate) enum ConfigVerb {
    /// Report every problem of a configuration, with file and line
    Check {
        /// The configuration
        #[arg(value_name = "FILE", env = "PORTCULLIS_CONFIG")]
        file: PathBuf,
        /// Print the problems as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a configuration as it is understood
    Show {
        /// The configuration
        #[arg(value_name = "FILE", env = "PORTCULLIS_CONFIG")]
        file: PathBuf,
        /// With every default filled in (there is no other form; accepted for clarity)
        #[arg(long)]
        effective: bool,
        /// JSON; the only form there is
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of the configuration
    Schema,
}
