//! The executable: verbs, wiring, signals, exit codes. No logic.

mod approved;
mod args;
mod audit;
mod banner;
mod chronicle;
mod config;
mod connect;
mod doctor;
mod evidence;
mod files;
mod guard;
mod hex;
mod oversight;
mod policy;
mod reload;
mod secrets;
mod serve;
mod server;
mod servers;
mod stdout;
mod store;
mod tool;
mod vault_key;

use std::process::ExitCode;

/// A call makes many small allocations: under load, the system's allocator took 7 % of the processor.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use args::Verb;

/// Usage or configuration is wrong (exit code 2); everything else that fails is a dependency (3).
#[derive(Debug)]
struct Usage(String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

fn main() -> ExitCode {
    // The keeper and the sandboxes are this program again; the one has to be small, the other has to have one thread. They
    // come before everything else.
    match std::env::args_os().nth(1).as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("__keeper") => return portcullis_hub::keeper_main(),
        Some("__sandbox") => return portcullis_hub::sandbox_main(),
        _ => {}
    }
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing else has chosen a provider");
    let done = match args::parse().verb {
        Verb::Up(up) => serve::up(&up),
        Verb::Serve(serve) => serve::serve(&serve),
        Verb::Connect(connect) => connect::run(&connect),
        Verb::Config(verb) => config::run(&verb),
        Verb::Policy(verb) => policy::run(&verb),
        Verb::Server(verb) => server::run(&verb),
        Verb::Tool(verb) => tool::run(&verb),
        Verb::Guard(verb) => guard::run(&verb),
        Verb::Explain(explain) => policy::explain(&explain),
        Verb::Definitions(verb) => oversight::definitions(&verb),
        Verb::Halt(verb) => oversight::halt(&verb),
        Verb::Approval(verb) => oversight::approval(&verb),
        Verb::Audit(verb) => audit::run(&verb),
        Verb::Doctor(verb) => doctor::run(&verb),
    };
    match done {
        Ok(code) => code,
        Err(error) if error.is::<Usage>() => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("portcullis: {error:#}");
            ExitCode::from(3)
        }
    }
}
