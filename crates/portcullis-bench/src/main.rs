//! `portcullis-bench`: measures Portcullis from outside.
//!
//! Three verbs: `upstream` is a minimal MCP server to stand behind whatever is measured, `load` sends calls at
//! one endpoint, and `run` starts everything, compares the direct way, nginx and the gateway side by side, measures
//! what an elicitation costs between clients and servers of both eras, and prints the figures of `docs/performance.md`. The crate knows none of the gateway's own crates and talks to
//! the released binary only, so that it measures what a user gets.

mod client;
mod echo;
mod load;
mod run;
mod upstream;
mod wire;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(version, about = "Measures Portcullis from outside")]
enum Command {
    /// Serve a minimal MCP server on loopback.
    Upstream(upstream::Options),
    /// Send load at one endpoint.
    Load(load::Options),
    /// Compare direct, nginx and Portcullis, and judge the targets.
    Run(run::Options),
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Upstream(options) => upstream::run(&options).map(|()| true),
        Command::Load(options) => load::run(&options).map(|()| true),
        Command::Run(options) => run::run(&options),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("portcullis-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
