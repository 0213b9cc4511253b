//! `portcullis server rollout` and `rollback`: a version goes to some callers first, and is taken back from them.

use std::process::ExitCode;

use portcullis_hub::registry::{Entry, NotRolled, Registry, Share, Word, in_use};
use portcullis_model::ServerId;
use portcullis_oversight::visible_line;

use super::args::{Rollback, Rollout};
use super::{brief, by, import, now};
use crate::Usage;
use crate::args::Kept;
use crate::oversight::change;
use crate::stdout::{line, print};

pub(super) fn out(rollout: &Rollout) -> anyhow::Result<ExitCode> {
    let Rollout { what, version, to, decision } = rollout;
    let (server, version) = &named(what, version.as_deref())?;
    let done = change(&decision.kept.config, async |records, settings| {
        configured(server, settings.servers.contains_key(server))?;
        let by = by(&decision.decider.by);
        let word = Word { by: &by, at: now(), note: decision.note.clone() };
        let hold = |entry: &Entry| import::hold(entry, settings).map_err(|why| why.to_string());
        Ok(Registry::new(records).roll_out(server.as_str(), version, *to, word, hold).await)
    })?;
    said(&decision.kept, done, |entry| match entry.share() {
        Some(share) => (format!("rolled out to {share}: {}", named_in(entry)), Some(share)),
        None => (format!("rolled out to all: {}", named_in(entry)), Some(Share::ALL)),
    })
}

pub(super) fn back(rollback: &Rollback) -> anyhow::Result<ExitCode> {
    let Rollback { server, decision } = rollback;
    let (done, now) = change(&decision.kept.config, async |records, settings| {
        configured(server, settings.servers.contains_key(server))?;
        let by = by(&decision.decider.by);
        let word = Word { by: &by, at: now(), note: decision.note.clone() };
        let registry = Registry::new(records);
        let done = registry.roll_back(server.as_str(), word).await;
        // What it comes to is for people: that it cannot be looked up takes nothing back.
        let all = registry.all().await.unwrap_or_default();
        let now =
            in_use(all.iter().map(|it| &it.entry)).into_iter().find(|it| it.entry.slug == server.as_str());
        let now = now.map(|it| it.entry.version().to_owned());
        Ok((done, now))
    })?;
    said(&decision.kept, done, |entry| {
        let now = now.map(|version| format!("; {} is in use", visible_line(&version))).unwrap_or_default();
        (format!("rolled back: {} is taken from all callers{now}", named_in(entry)), None)
    })
}

fn named_in(entry: &Entry) -> String {
    format!("{} {}", entry.slug, visible_line(entry.version()))
}

/// `NAME VERSION`, or `NAME@VERSION` as the other commands take it.
fn named(what: &str, version: Option<&str>) -> anyhow::Result<(ServerId, String)> {
    let (name, version) = match (what.split_once('@'), version) {
        (Some((name, version)), None) if !version.is_empty() => (name, version),
        (None, Some(version)) => (what, version),
        (None, None) => return Err(Usage(format!("say which version: `{what}@VERSION`")).into()),
        (Some(_), _) => return Err(Usage(format!("`{what}`: name one version, once")).into()),
    };
    let server = ServerId::parse(name).map_err(|error| Usage(format!("`{name}`: {error}")))?;
    Ok((server, version.to_owned()))
}

/// The file is the operator's word: no version of the registry counts beside it.
fn configured(server: &ServerId, is_configured: bool) -> anyhow::Result<()> {
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
        line(word);
    }
    Ok(ExitCode::SUCCESS)
}
