//! What changes a log: erasing a person, legal holds, removing what was kept long enough, another key.
//!
//! A log has one writer. While a gateway runs, that is the gateway, and it does the same over HTTP; here the log is opened for writing
//! as the gateway would open it, which fails while one runs. Each act is an event of its own that says who did it.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;
use portcullis_audit::handover::{NotHandedOver, hand_over};
use portcullis_audit::retention::{self, Hold, Undone};
use portcullis_audit::{Event, Kind, Log, Signer};
use portcullis_config::Overrides;

use super::args::{Changed, Erase, HoldVerb, Rotate};
use super::{no_person, time};
use crate::Usage;
use crate::config::load;
use crate::evidence;
use crate::stdout::print;

/// Does something to the log of a configuration, with an event of whoever does it.
fn change<T>(
    changed: &Changed,
    act: impl AsyncFnOnce(&Log, Event) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let settings = load(&changed.config, &Overrides::default())?.settings;
    let Some(audit) = &settings.audit else {
        return Err(Usage(format!("{} has no `audit`: nothing is kept", changed.config.display())).into());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let log = evidence::open_log(audit).context(
            "a log has one writer: while its gateway runs, ask that one (POST /api/v1/audit/…), or stop it",
        )?;
        let mut by = Event::new(Kind::Audit);
        by.detail.insert("by".to_owned(), format!("cli:{}", changed.decider.by));
        let done = act(&log, by).await;
        let closing = log.clone();
        tokio::task::spawn_blocking(move || closing.close()).await?;
        done
    })
}

/// What was not done because it may not be is no failure of ours.
fn told<T>(done: Result<T, Undone>, tell: impl FnOnce(T)) -> anyhow::Result<ExitCode> {
    match done {
        Ok(done) => {
            tell(done);
            Ok(ExitCode::SUCCESS)
        }
        Err(undone @ (Undone::Held(_) | Undone::NoSuchHold(_))) => {
            eprintln!("{undone}");
            Ok(ExitCode::from(1))
        }
        Err(error) => Err(error.into()),
    }
}

fn person(log: &Log, who: &str) -> anyhow::Result<String> {
    Ok(log.keyring().person(who).ok_or_else(|| no_person(who))?)
}

pub(super) fn erase(asked: &Erase) -> anyhow::Result<ExitCode> {
    let done = change(&asked.changed, async |log, by| {
        let person = person(log, &asked.person)?;
        Ok(retention::erase(log, &person, &asked.basis, by).await.map(|keys| (person, keys)))
    })?;
    told(done, |(person, keys)| print(format_args!("erased: {person}, {keys} keys destroyed")))
}

pub(super) fn hold(verb: &HoldVerb) -> anyhow::Result<ExitCode> {
    match verb {
        HoldVerb::Add { name, reason, person: who, since, until, changed } => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            if name.is_empty() || !name.bytes().all(plain) {
                return Err(Usage(format!("{name} is no name of letters, digits and -")).into());
            }
            let (since, until) = (time(since.as_ref())?, time(until.as_ref())?);
            let done = change(changed, async |log, by| {
                let person = who.as_ref().map(|who| person(log, who)).transpose()?;
                let hold = Hold { person, since, until, reason: reason.clone() };
                Ok(retention::hold(log, name, &hold, by).await)
            })?;
            told(done, |()| print(format_args!("held: {name}")))
        }
        HoldVerb::Remove { name, changed } => {
            let done = change(changed, async |log, by| Ok(retention::release(log, name, by).await))?;
            told(done, |()| print(format_args!("lifted: {name}")))
        }
        HoldVerb::List { place } => {
            for (name, hold) in retention::holds(&*super::journal(place)?)? {
                let hold = serde_json::to_string(&hold)?;
                print(format_args!("{name}  {hold}"));
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

pub(super) fn prune(changed: &Changed) -> anyhow::Result<ExitCode> {
    let settings = load(&changed.config, &Overrides::default())?.settings;
    let policy = settings.audit.as_ref().map(portcullis_gateway::retention).unwrap_or_default();
    let done =
        change(changed, async |log, by| Ok(retention::apply(log, &policy, SystemTime::now(), by).await))?;
    told(done, |(events, keys)| print(format_args!("removed: {events} events and {keys} keys of payloads")))
}

pub(super) fn rotate(asked: &Rotate) -> anyhow::Result<ExitCode> {
    let own = asked.place.folder().map(|folder| folder.join(evidence::SIGNING_KEY));
    let old = asked.old.as_deref().or(own.as_deref());
    let old = old.ok_or_else(|| Usage("the old key is wanted; see --old".to_owned()))?;
    let signer = |file: &Path| -> anyhow::Result<Signer> {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        Signer::parse(text.trim()).map_err(|error| Usage(format!("{}: {error}", file.display())).into())
    };
    let (old, new) = (signer(old)?, signer(&asked.new)?);
    let journal = evidence::place::open_to_write(&asked.place, old.name())?;
    let handover = hand_over(&*journal, &old, &new).map_err(|error| match error {
        NotHandedOver::Wrong(why) => Usage(why).into(),
        error @ NotHandedOver::Unavailable(_) => anyhow::Error::new(error),
    })?;
    if let Some(own) = own.filter(|_| asked.old.is_none()) {
        evidence::put(&own, new.to_secret().trim()).with_context(|| own.display().to_string())?;
    }
    print(format_args!("handed over at {} events; from now on it is signed by", handover.size));
    print(new.log_key());
    std::io::stdout().flush()?;
    Ok(ExitCode::SUCCESS)
}
