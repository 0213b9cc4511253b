//! The command line of `portcullis server`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use crate::args::{Decider, Kept};

#[derive(Subcommand, Debug)]
pub(crate) enum ServerVerb {
    /// List the servers of the registry and of the configuration
    List(List),
    /// Show a version: how it is reached, what a scan found, who did what with it
    Inspect(Inspect),
    /// Propose a server; it is not reached before somebody has approved it
    #[command(disable_version_flag = true)]
    Add(Box<Add>),
    /// Propose what another registry has, or a dump of one, as far as the configuration lets it in
    Import(Import),
    /// Say how a version is reached: what it is given, and its sandbox; it is scanned again then
    Configure(Configure),
    /// Start a version once, walled in, and note what it offers and what somebody should look at
    Scan(Scan),
    /// Say that somebody looked at what the scan found
    Review(Step),
    /// Let a version be used, in place of the one that is; also to go back to an earlier one
    Approve(Step),
    /// Give a version to some callers, to more of them, or to all
    #[command(disable_version_flag = true)]
    Rollout(Rollout),
    /// Take back the version that is rolled out, or else the one that all have
    Rollback(Rollback),
    /// Tell those who use a version to go on to another
    Deprecate(Step),
    /// Take a version away, for good
    Retire(Step),
    /// Start a server of a running gateway anew
    Restart(Running),
    /// Print what the processes of a server wrote to stderr lately
    Logs(Running),
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Running {
    /// The server's name
    #[arg(value_name = "NAME")]
    pub server: portcullis_model::ServerId,
    /// The gateway, with or without /mcp
    #[arg(long, value_name = "URL", env = "PORTCULLIS_URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// Send the bearer token that this environment variable holds
    #[arg(long, value_name = "NAME")]
    pub token_env: Option<String>,
    /// Trust the certificates of this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Print what the gateway says as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct List {
    /// With those that were taken away
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub kept: Kept,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Inspect {
    /// `NAME` or `NAME@VERSION`
    #[arg(value_name = "WHAT")]
    pub what: String,
    #[command(flatten)]
    pub kept: Kept,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Scan {
    /// `NAME` or `NAME@VERSION`
    #[arg(value_name = "WHAT")]
    pub what: String,
    /// Do not lock its packages: what its command line fetches may be another program at each start
    #[arg(long)]
    pub unlocked: bool,
    #[command(flatten)]
    pub kept: Kept,
    #[command(flatten)]
    pub decider: Decider,
}

/// What every decision about a version says of itself.
#[derive(ClapArgs, Debug)]
pub(crate) struct Decision {
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    #[command(flatten)]
    pub kept: Kept,
    #[command(flatten)]
    pub decider: Decider,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Step {
    /// `NAME` or `NAME@VERSION`
    #[arg(value_name = "WHAT")]
    pub what: String,
    #[command(flatten)]
    pub decision: Decision,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Rollout {
    /// The server's name here, or `NAME@VERSION`
    #[arg(value_name = "NAME")]
    pub what: String,
    /// The version, which was reviewed, unless it stands behind the name
    #[arg(value_name = "VERSION")]
    pub version: Option<String>,
    /// How many callers have it from now on, 1% to 100%
    #[arg(long, value_name = "SHARE")]
    pub to: portcullis_hub::registry::Share,
    #[command(flatten)]
    pub decision: Decision,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Rollback {
    /// The server's name here
    #[arg(value_name = "NAME")]
    pub server: portcullis_model::ServerId,
    #[command(flatten)]
    pub decision: Decision,
}

/// How a version is reached, beside what it says itself.
#[derive(ClapArgs, Debug, Default)]
pub(crate) struct Way {
    /// An input of a `server.json`, a variable of its environment, or a header of a URL or an API (`?NAME` is a parameter of
    /// the query); may be given several times
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub inputs: Vec<String>,
    /// The same from a variable of the gateway's own environment, which is read when the server starts
    #[arg(long = "secret", value_name = "NAME=VARIABLE")]
    pub secrets: Vec<String>,
    /// A file or folder that it may read in its sandbox; may be given several times
    #[arg(long, value_name = "PATH")]
    pub read: Vec<PathBuf>,
    /// A file or folder that it may change as well
    #[arg(long, value_name = "PATH")]
    pub write: Vec<PathBuf>,
    /// A port that it may connect to; without any it may connect anywhere
    #[arg(long = "port", value_name = "PORT")]
    pub ports: Vec<u16>,
    /// An argument of a package, after those that its `server.json` gives it; may be given several times
    #[arg(long = "arg", value_name = "VALUE", allow_hyphen_values = true)]
    pub args: Vec<String>,
    /// Where an API is that an OpenAPI document describes; needed when it is given secrets, or is not on the internet
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,
    /// Start it with all rights of the gateway's user
    #[arg(long, conflicts_with_all = ["read", "write", "ports"])]
    pub no_sandbox: bool,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Configure {
    /// `NAME` or `NAME@VERSION`
    #[arg(value_name = "WHAT")]
    pub what: String,
    #[command(flatten)]
    pub way: Way,
    #[command(flatten)]
    pub kept: Kept,
    #[command(flatten)]
    pub decider: Decider,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Import {
    /// The URL of a registry, or a file: a dump of one, or `server.json` documents; `-` reads standard input
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// Only what has changed there since then, as 2026-01-31T12:00:00Z; only from a URL
    #[arg(long, value_name = "TIME")]
    pub updated_since: Option<String>,
    /// Send the bearer token that this environment variable holds
    #[arg(long, value_name = "NAME")]
    pub token_env: Option<String>,
    /// Trust the certificates of this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Most versions that are looked at
    #[arg(long, value_name = "COUNT", default_value_t = 20_000)]
    pub most: usize,
    /// Do it without asking
    #[arg(long, short)]
    pub yes: bool,
    #[command(flatten)]
    pub kept: Kept,
    #[command(flatten)]
    pub decider: Decider,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct Add {
    /// `npm:PACKAGE@VERSION`, `pypi:PACKAGE@VERSION`, `oci:IMAGE@sha256:DIGEST`, a URL, a command in quotes, or a file: a `server.json`, an OpenAPI
    /// document or the configuration of a client; `-` reads one from standard input. A URL that ends in `.json` or `.yaml`,
    /// or has `openapi:` before it, is that of an OpenAPI document
    #[arg(value_name = "WHAT")]
    pub what: String,
    /// What it is called here; made of what is added, if it is not given
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// What it is called in the registry, where no `server.json` says it, as com.example/files
    #[arg(long, value_name = "NAME")]
    pub registered_as: Option<String>,
    /// Which version it is, where neither a `server.json` nor a package says it
    #[arg(long, value_name = "VERSION")]
    pub version: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    #[command(flatten)]
    pub way: Way,
    /// Who answers for it; whoever adds it, if nobody is named
    #[arg(long = "owner", value_name = "NAME")]
    pub owners: Vec<String>,
    /// A label; may be given several times
    #[arg(long = "label", value_name = "LABEL")]
    pub labels: Vec<String>,
    /// A kind of data that it handles; may be given several times
    #[arg(long = "data", value_name = "KIND")]
    pub data: Vec<String>,
    /// Do it without asking
    #[arg(long, short)]
    pub yes: bool,
    #[command(flatten)]
    pub kept: Kept,
    #[command(flatten)]
    pub decider: Decider,
}
