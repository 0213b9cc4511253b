//! What `portcullis audit` is told.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use portcullis_audit::Kind;

use crate::args::Decider;
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
    /// Pack what supports an assessment of AI systems (EU AI Act): a report, the same as JSON, and proofs
    Pack(Pack),
    /// Make unreadable what was kept of a person's arguments and results; proofs verify as before
    Erase(Erase),
    /// Put legal holds on, lift and list them: what they cover is neither removed nor erased
    #[command(subcommand)]
    Hold(HoldVerb),
    /// Remove what was kept long enough, now
    Prune(Prune),
    /// Hand the log over to another key, which the old one signs for
    Rotate(Rotate),
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
    #[command(flatten)]
    pub trust: Trust,
    /// Print what was found as JSON
    #[arg(long)]
    pub json: bool,
}

/// What is trusted and demanded.
#[derive(Args, Debug)]
pub(crate) struct Trust {
    /// A key that is trusted, of the log or of a witness: as `audit key` prints it, or a file that holds such lines
    #[arg(long, value_name = "KEY")]
    pub trusted_key: Vec<String>,
    /// Demand that so many of the witnesses that are trusted have signed
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub require_witness: usize,
    /// Demand a time stamp by an authority of this PEM file
    #[arg(long, value_name = "FILE")]
    pub tsa_ca: Option<PathBuf>,
    /// A checkpoint that was kept elsewhere, or a folder of them: the log has to continue it
    #[arg(long, value_name = "PATH")]
    pub since_checkpoint: Vec<PathBuf>,
}

/// A kind of event; what is none is told with all that there are.
fn kind(text: &str) -> Result<String, String> {
    let kind: Result<Kind, _> = serde_json::from_value(text.into());
    kind.map(|kind| kind.as_str().to_owned()).map_err(|error| error.to_string())
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
    /// Of this tool: SERVER/NAME, or NAME as its server has it
    #[arg(long, value_name = "NAME")]
    pub tool: Option<String>,
    /// With this decision
    #[arg(long, value_name = "DECISION", value_parser = ["allow", "deny", "refused"])]
    pub decision: Option<String>,
    /// In which the guard found this, for example EMAIL
    #[arg(long, value_name = "ENTITY")]
    pub finding: Option<String>,
    /// Of this kind: exchange, denial, policy …
    #[arg(long, value_name = "KIND", value_parser = kind)]
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
    /// The name, which a new key takes: of a log its origin, for example gw.example.com/audit/one
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Where to keep the private key; if it is there already, it stays
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    /// Print what checks it as a witness's key
    #[arg(long)]
    pub witness: bool,
}

/// The log of a gateway that does not run: nobody else may be writing to it.
#[derive(Args, Debug)]
pub(crate) struct Changed {
    /// The configuration of the gateway, which must not run; one that runs is asked over HTTP (`/api/v1/audit/…`)
    #[arg(long, short, value_name = "FILE", env = "PORTCULLIS_CONFIG")]
    pub config: PathBuf,
    #[command(flatten)]
    pub decider: Decider,
}

#[derive(Args, Debug)]
pub(crate) struct Erase {
    /// Who: a pseudonym (`p-…`), or `ISSUER#SUBJECT`
    #[arg(value_name = "PERSON")]
    pub person: String,
    /// Why, for the record: a reference to the request
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub basis: String,
    #[command(flatten)]
    pub changed: Changed,
}

#[derive(Subcommand, Debug)]
pub(crate) enum HoldVerb {
    /// Put one on
    Add {
        /// Its name: letters, digits and `-`
        #[arg(value_name = "NAME")]
        name: String,
        /// Why, for the record
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// What is of this person: a pseudonym (`p-…`), or `ISSUER#SUBJECT`; of everybody when not given
        #[arg(long, value_name = "PERSON")]
        person: Option<String>,
        /// What is not before this time, as 2026-11-28T20:00:00Z or 2026-11-28
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// What is before this time
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        #[command(flatten)]
        changed: Changed,
    },
    /// Lift one
    Remove {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        changed: Changed,
    },
    /// List them
    List {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Prune {
    #[command(flatten)]
    pub changed: Changed,
}

#[derive(Args, Debug)]
pub(crate) struct Rotate {
    #[command(flatten)]
    pub place: Place,
    /// The file of the new key, as `audit key` makes it, under the log's name
    #[arg(long, value_name = "FILE")]
    pub new: PathBuf,
    /// The file of the old key; `signing-key` in the folder of PATH, if it is not given, which the new one then takes the place of
    #[arg(long, value_name = "FILE")]
    pub old: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Pack {
    #[command(flatten)]
    pub place: Place,
    /// Not before this time, as 2026-11-28T20:00:00Z or 2026-11-28; from the beginning when not given
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Before this time; to the end when not given
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// The folder to write to: `report.md`, `pack.json` and `proof.txt`; made when missing
    #[arg(long, short, value_name = "FOLDER")]
    pub out: PathBuf,
    #[command(flatten)]
    pub trust: Trust,
}
