//! `portcullis connect URL`

use std::process::ExitCode;

use crate::args::Connect;

pub fn run(_connect: &Connect) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not yet")
}
