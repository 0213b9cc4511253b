//! The command line.

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Args as ClapArgs, Parser, Subcommand};
use portcullis_config::Overrides;

use crate::audit::args::AuditVerb;
use crate::server::args::ServerVerb;

/// The arguments of this process, which ends here when they are none.
pub(crate) fn parse() -> Args {
    Args::try_parse().unwrap_or_else(|error| {
        let told = error.to_string();
        if error.kind() == ErrorKind::MissingRequiredArgument && told.contains("--config <FILE>") {
            eprintln!("{}\n\nThe configuration may also be named by PORTCULLIS_CONFIG.", told.trim_end());
            std::process::exit(error.exit_code());
        }
        error.exit()
    })
}

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
    /// Add servers to the registry, and let them be used
    #[command(subcommand)]
    Server(ServerVerb),
    /// List the tools of an endpoint as a caller sees them, and call one
    #[command(subcommand)]
    Tool(ToolVerb),
    /// Look at what servers say of their tools, and approve it
    #[command(subcommand)]
    Definitions(DefinitionsVerb),
    /// Stop a tool, a server, a caller or everything, at once
    #[command(subcommand)]
    Halt(HaltVerb),
    /// Approve calls that wait for it
    #[command(subcommand)]
    Approval(ApprovalVerb),
    /// Run the content filter
    #[command(subcommand)]
    Guard(GuardVerb),
    /// Read and check the evidence log
    #[command(subcommand)]
    Audit(AuditVerb),
    /// Find out what is wrong, and what to do
    #[command(subcommand)]
    Doctor(DoctorVerb),
}

/// The gateway whose store is asked, and who asks.
#[derive(ClapArgs, Debug)]
pub(crate) struct Kept {
    /// The configuration
    #[arg(long, short, value_name = "FILE", env = "PORTCULLIS_CONFIG")]
    pub config: PathBuf,
    /// Print what there is as JSON
    #[arg(long)]
    pub json: bool,
}

/// Who decides.
#[derive(ClapArgs, Debug)]
pub(crate) struct Decider {
    /// Who decides, for the record
    #[arg(long, value_name = "NAME", env = "USER", default_value = "operator")]
    pub by: String,
}

#[derive(Subcommand, Debug)]
pub(crate) enum DefinitionsVerb {
    /// List them: exit 1 when some are held back
    List {
        /// Only those that are held back
        #[arg(long)]
        held: bool,
        #[command(flatten)]
        kept: Kept,
    },
    /// Show what is held back, as what differs from what was approved, with hidden characters written out
    Show {
        /// `SERVER`, or `SERVER/NAME`
        #[arg(value_name = "WHAT")]
        what: String,
        #[command(flatten)]
        kept: Kept,
    },
    /// Approve what is held back; a running gateway takes that up at once
    Approve(Ruling),
    /// Set aside what is held back; it stays so
    Reject(Ruling),
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Ruling {
    /// `SERVER`, or `SERVER/NAME`
    #[arg(value_name = "WHAT")]
    pub what: String,
    /// Only the definition with this pin, as `show` prints it
    #[arg(long, value_name = "PIN")]
    pub pin: Option<String>,
    #[command(flatten)]
    pub kept: Kept,
    #[command(flatten)]
    pub decider: Decider,
}

#[derive(Subcommand, Debug)]
pub(crate) enum HaltVerb {
    /// Stop something, calls under way included
    Set {
        /// `all`, `server:NAME`, `tool:SERVER/NAME` or `principal:ID`
        #[arg(value_name = "WHAT")]
        what: String,
        /// Why, for whoever meets it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// It is stopped to see whether that works: on record as a test
        #[arg(long)]
        test: bool,
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        decider: Decider,
    },
    /// Let it go on
    Lift {
        /// What was stopped
        #[arg(value_name = "WHAT")]
        what: String,
        #[command(flatten)]
        kept: Kept,
        #[command(flatten)]
        decider: Decider,
    },
    /// List what is stopped: exit 1 when something is
    List {
        #[command(flatten)]
        kept: Kept,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum ApprovalVerb {
    /// List the calls that wait
    List {
        #[command(flatten)]
        kept: Kept,
    },
    /// Approve a call, once and with the arguments that it has
    Grant(ApprovalRuling),
    /// Refuse a call
    Deny(ApprovalRuling),
}

#[derive(ClapArgs, Debug)]
pub(crate) struct ApprovalRuling {
    /// The call, as `list` prints it; its first 8 characters or more will do
    #[arg(value_name = "ID")]
    pub id: String,
    #[command(flatten)]
    pub kept: Kept,
    #[command(flatten)]
    pub decider: Decider,
}

#[derive(Subcommand, Debug)]
pub(crate) enum GuardVerb {
    /// Print what is in each line, or in the `text` of each line of JSON, as JSON lines
    Scan {
        /// The text; without it, what comes in on stdin
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Compare what is found with what is marked in JSON lines: precision, recall and F1 of each entity
    Report {
        /// The marked texts; without it, what comes in on stdin
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Exit 1 when the F1 of an entity is below this
        #[arg(long, value_name = "F1")]
        floor: Option<f64>,
        /// Print the figures as JSON
        #[arg(long)]
        json: bool,
    },
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
    /// A toolset
    #[arg(long, value_name = "TOOLSET")]
    pub toolset: Option<String>,
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
    #[command(flatten)]
    pub access: Access,
}

/// As whom an endpoint is asked, and how it is trusted.
#[derive(ClapArgs, Debug)]
pub(crate) struct Access {
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
pub(crate) enum ToolVerb {
    /// List them
    List {
        #[command(flatten)]
        at: At,
    },
    /// Call one: exit 1 when it fails, or is refused
    Call {
        /// Its name, as it is listed
        #[arg(value_name = "NAME")]
        name: String,
        /// Its arguments, a JSON object
        #[arg(value_name = "JSON", default_value = "{}")]
        arguments: String,
        #[command(flatten)]
        at: At,
    },
}

/// The endpoint that is asked, and as whom.
#[derive(ClapArgs, Debug)]
pub(crate) struct At {
    /// The endpoint; without a path it is /mcp
    #[arg(long, value_name = "URL", env = "PORTCULLIS_URL", default_value = "http://127.0.0.1:8080/mcp")]
    pub url: String,
    #[command(flatten)]
    pub access: Access,
    /// Print what there is as JSON
    #[arg(long)]
    pub json: bool,
}

/// A configuration, in either way to name one.
#[derive(ClapArgs, Debug)]
pub(crate) struct Named {
    /// The configuration
    #[arg(value_name = "FILE", env = "PORTCULLIS_CONFIG", required_unless_present = "config")]
    file: Option<PathBuf>,
    /// The same, as other commands take it
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Named {
    /// What was typed wins over the environment.
    pub(crate) fn file(&self) -> &Path {
        self.config.as_deref().or(self.file.as_deref()).expect("one is required")
    }
}

#[derive(Subcommand, Debug)]
pub(crate) enum ConfigVerb {
    /// Report every problem of a configuration, with file and line
    Check {
        #[command(flatten)]
        config: Named,
        /// Print the problems as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a configuration as it is understood
    Show {
        #[command(flatten)]
        config: Named,
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
