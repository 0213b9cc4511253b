//! What `portcullis audit` is told.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::evidence::place::{Database, Place};

#[derive(Subcommand, Debug)]
pub(crate) enum AuditVerb {
    /// Check a log, or a file that `audit prove` wrote: exit 0 when it is whole and unaltered, 1 when not
    Verify(Verify),
    /// Find events
    Search(Search),
    /// Write events for another program
    Export(Export),
    /// Pack events with their proofs into one file that `audit verify` checks without the log
    Prove(Prove),
    /// Make the key that a log, or a witness, signs with; print what checks its signatures
    Key(Key),
}

#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// The folder of the log, its file where it is kept in SQLite, or the file that `audit prove` wrote
    #[arg(value_name = "PATH", required_unless_present = "url_env", conflicts_with = "url_env")]
    pub path: Option<PathBuf>,
    #[command(flatten)]
    pub database: Database,
    /// A key that is trusted, of the log or of a witness: as `audit key` prints it, or a file that holds such lines
    #[arg(long, value_name = "KEY")]
    pub trusted_key: Vec<String>,
    /// Demand that so many of the witnesses that are trusted have signed
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub require_witness: usize,
    /// A checkpoint that was kept elsewhere, or a folder of them: the log has to continue it
    #[arg(long, value_name = "PATH")]
    pub since_checkpoint: Vec<PathBuf>,
    /// Print what was found as JSON
    #[arg(long)]
    pub json: bool,
}

/// Which events.
#[derive(Args, Debug)]
pub(crate) struct Filter {
    /// Of this person: a pseudonym (`p-…`), or `ISSUER#SUBJECT`
    #[arg(long, value_name = "WHO")]
    pub person: Option<String>,
    /// The log's secret, which pseudonyms are made with; `secret` in the folder, if it is not given
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// Of this server
    #[arg(long, value_name = "SERVER")]
    pub server: Option<String>,
    /// Of this tool, as its server names it
    #[arg(long, value_name = "NAME")]
    pub tool: Option<String>,
    /// With this decision: allow, deny, refused
    #[arg(long, value_name = "DECISION")]
    pub decision: Option<String>,
    /// In which this rule found something
    #[arg(long, value_name = "RULE")]
    pub finding: Option<String>,
    /// Of this kind: exchange, denial, policy …
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// Not before this time, as 2026-11-28T20:00:00Z or 2026-11-28
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Search {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub filter: Filter,
    /// So many at most, the newest first
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: usize,
    /// Print the records as JSON Lines
    #[arg(long)]
    pub json: bool,
}

/// What an export is written in.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    Jsonl,
    Ocsf,
    Cef,
    Csv,
    Otlp,
}

#[derive(Args, Debug)]
pub(crate) struct Export {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub filter: Filter,
    /// In what
    #[arg(long, value_name = "FORMAT", default_value = "jsonl")]
    pub format: Format,
    /// From this number on: one more than the last that was exported before
    #[arg(long, value_name = "SEQ")]
    pub from: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct Prove {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub filter: Filter,
    /// So many at most, the oldest first
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub limit: usize,
    /// Where to write the file; to standard output, if it is not given
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Key {
    /// The name: of a log its origin, for example gw.example.com/audit/one
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Where to keep the private key; if it is there already, it stays
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    /// Print what checks it as a witness's key
    #[arg(long)]
    pub witness: bool,
}
