//! `portcullis server rollout` and `rollback`: a version goes to some callers first, and is taken back from them.

use std::process::ExitCode;

use portcullis_hub::registry::{Entry, NotRolled, Registry, Share, Word};
use portcullis_oversight::visible_line;

use super::args::{Rollback, Rollout};
use super::{brief, by, import, now};
use crate::Usage;
use crate::args::Kept;
use crate::oversight::change;
use crate::stdout::{line, print};

pub(super) fn out(rollout: &Rollout) -> anyhow::Result<ExitCode> {
    let Rollout { server, version, to, decision } = rollout;
    let done = change(&decision.kept.config, async |records, settings| {
        configured(server, settings.servers.contains_key(server))?;
        let by = by(&decision.decider.by);
        let word = Word { by: &by, at: now(), note: decision.note.clone() };
        let hold = |entry: &Entry| import::hold(entry, settings).map_err(|why| why.to_string());
        Ok(Registry::new(records).roll_out(server.as_str(), version, *to, word, hold).await)
    })?;
    said(&decision.kept, done, |entry| match entry.share() {
        Some(share) => (format!("rolled out to {share}"), Some(share)),
        None => ("rolled out to all".to_owned(), Some(Share::ALL)),
    })
}

pub(super) fn back(rollback: &Rollback) -> anyhow::Result<ExitCode> {
    let Rollback { server, decision } = rollback;
    let done = change(&decision.kept.config, async |records, settings| {
        configured(server, settings.servers.contains_key(server))?;
        let by = by(&decision.decider.by);
        let word = Word { by: &by, at: now(), note: decision.note.clone() };
        Ok(Registry::new(records).roll_back(server.as_str(), word).await)
    })?;
    said(&decision.kept, done, |_| ("rolled back".to_owned(), None))
}

/// The file is the operator's word: no version of the registry counts beside it.
fn configured(server: &portcullis_model::ServerId, is_configured: bool) -> anyhow::Result<()> {
    if is_configured {
        let message = format!(
            "`{server}` stands in the configuration, which counts; only servers of the registry have versions"
        );
        return Err(Usage(message).into());
    }
    Ok(())
}

fn said(
    kept: &Kept,
    done: Result<Entry, NotRolled>,
    word: impl FnOnce(&Entry) -> (String, Option<Share>),
) -> anyhow::Result<ExitCode> {
    let entry = match done {
        Ok(entry) => entry,
        // What was asked for is not there, or not to be had as things are configured.
        Err(error @ (NotRolled::Unknown { .. } | NotRolled::KeptOut(_))) => {
            return Err(Usage(visible_line(&error.to_string())).into());
        }
        Err(error @ (NotRolled::Nothing(_) | NotRolled::Refused(_))) => {
            eprintln!("{}", visible_line(&error.to_string()));
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error.into()),
    };
    let (word, share) = word(&entry);
    if kept.json {
        print(format_args!("{:#}", brief(&entry, share)));
    } else {
        line(format_args!("{word}: {} {}", entry.slug, visible_line(entry.version())));
    }
    Ok(ExitCode::SUCCESS)
}
