//! Writes the reference files that are made from the code into the folder named on the command line.
//!
//! `config.schema.json` and `configuration.md`; a test of `portcullis-config` fails while they are stale. `cli.md` and
//! `errors.md` hold prose, so they are edited by hand, and tests of `portcullis` and `portcullis-gateway` say what in
//! them has to be as it is in the code.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: portcullis-generate FOLDER");
        return ExitCode::from(2);
    };
    let files = [
        ("config.schema.json", format!("{:#}\n", portcullis_config::schema())),
        ("configuration.md", portcullis_config::reference()),
    ];
    for (name, text) in files {
        let path = folder.join(name);
        if let Err(error) = std::fs::write(&path, text) {
            eprintln!("cannot write {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
        println!("{}", path.display());
    }
    ExitCode::SUCCESS
}
