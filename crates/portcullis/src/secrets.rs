//! Secrets of a configuration that a Vault keeps: read before its settings count, and again while they do.
//!
//! A configuration is read twice: first to learn what it wants of the Vault, then with that. What cannot be read keeps a program
//! from starting; of a program that runs, the last value stays. A Vault that cannot be asked is left alone for a while, for longer
//! each time. Secrets of servers' credentials are none of this: they are read when they are needed, and not used when they are
//! over.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use portcullis_config::{
    Environment, Loaded, Overrides, Problems, ProcessEnvironment, SecretVault, VaultSecret,
};
use portcullis_gateway::{NotRead, Vault};
use tokio::runtime::Handle;

use crate::config::settle;

/// What was read of the Vault.
#[derive(Default)]
pub(crate) struct Secrets {
    values: BTreeMap<VaultSecret, String>,
    /// Where it is, while something is wanted of it.
    settings: Option<SecretVault>,
    vault: Option<Vault>,
    /// The last look failed, and the log says so.
    is_failing: bool,
    pause: Pause,
}

/// For how long a Vault is left alone that could not be asked.
#[derive(Default)]
struct Pause {
    length: Duration,
    until: Option<Instant>,
}

impl Pause {
    const SHORTEST: Duration = Duration::from_secs(5);
    const LONGEST: Duration = Duration::from_mins(1);

    fn is_on(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// It could not be asked again.
    fn begin(&mut self, now: Instant) {
        self.length = (2 * self.length).clamp(Self::SHORTEST, Self::LONGEST);
        self.until = Some(now + self.length);
    }
}

/// A configuration cannot be read.
pub(crate) enum NotLoaded {
    /// For what stands there.
    Problems(Problems),
    /// For what the Vault keeps of it.
    Vault(String),
}

impl Environment for Secrets {
    fn var(&self, name: &str) -> Option<String> {
        ProcessEnvironment.var(name)
    }

    fn vault(&self, at: &VaultSecret) -> Option<String> {
        self.values.get(at).cloned()
    }
}

impl Secrets {
    /// Reads a configuration before there is a runtime; its warnings go to standard error.
    pub(crate) fn load(path: &Path, overrides: &Overrides) -> anyhow::Result<(Loaded, Self)> {
        let mut secrets = Self::default();
        let loaded = portcullis_config::load(path, &secrets, overrides);
        if loaded.as_ref().is_ok_and(|loaded| loaded.vault.is_empty()) {
            return Ok((settle(loaded)?, secrets));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let loaded = match runtime.block_on(secrets.read(path, overrides)) {
            Ok(loaded) => settle(Ok(loaded))?,
            Err(NotLoaded::Problems(problems)) => settle(Err(problems))?,
            Err(NotLoaded::Vault(why)) => return Err(anyhow::Error::msg(why)).context("`secrets.vault`"),
        };
        // It renews its token on the runtime that ends here.
        secrets.vault = None;
        Ok((loaded, secrets))
    }

    /// Reads a configuration with what the Vault keeps of it.
    pub(crate) async fn read(&mut self, path: &Path, overrides: &Overrides) -> Result<Loaded, NotLoaded> {
        let loaded = portcullis_config::load(path, self, overrides).map_err(NotLoaded::Problems)?;
        self.settings = loaded.settings.secrets.clone().filter(|_| !loaded.vault.is_empty());
        let (values, lost) = self.ask(&loaded.vault).await;
        if let Some((at, why)) = lost.into_iter().find(|(at, _)| !self.values.contains_key(at)) {
            let VaultSecret { path, field, .. } = at;
            return Err(NotLoaded::Vault(format!("{path}#{field}: {why}")));
        }
        let before = std::mem::take(&mut self.values);
        for at in &loaded.vault {
            let value = values.get(at).or(before.get(at)).expect("what was not read now was read before");
            self.values.insert(at.clone(), value.clone());
        }
        if self.values == before {
            return Ok(loaded);
        }
        portcullis_config::load(path, self, overrides).map_err(NotLoaded::Problems)
    }

    /// Whether the Vault keeps another value of something by now. It is asked no more often than what it gave lasts.
    pub(crate) async fn have_changed(&mut self) -> bool {
        if self.pause.is_on(Instant::now()) {
            return false;
        }
        let wanted: Vec<_> = self.values.keys().cloned().collect();
        let (values, lost) = self.ask(&wanted).await;
        if let Some((_, why)) = lost.first().filter(|_| !self.is_failing) {
            tracing::warn!(why, "a secret of the configuration was not read again; the last one stays");
        }
        self.is_failing = !lost.is_empty();
        values.iter().any(|(at, value)| self.values.get(at) != Some(value))
    }

    /// What the Vault keeps of these, and what it does not give. When it cannot be asked about one it is not asked about those
    /// that are left, which would take as long for each.
    async fn ask(
        &mut self,
        wanted: &[VaultSecret],
    ) -> (BTreeMap<VaultSecret, String>, Vec<(VaultSecret, String)>) {
        let (mut values, mut lost) = (BTreeMap::new(), Vec::new());
        let Some(settings) = &self.settings else {
            self.vault = None;
            return (values, lost);
        };
        let known = self.vault.take().filter(|vault| vault.is_of(settings));
        let vault = match known.map_or_else(|| Vault::new(settings, &Handle::current()), Ok) {
            Ok(vault) => self.vault.insert(vault),
            Err(error) => {
                lost.extend(wanted.iter().map(|at| (at.clone(), error.to_string())));
                return (values, lost);
            }
        };
        let mut left = wanted.iter();
        let mut away = None;
        for at in left.by_ref() {
            match vault.read(at).await {
                Ok(value) => drop(values.insert(at.clone(), value)),
                Err(NotRead::Refused(why)) => lost.push((at.clone(), why)),
                Err(NotRead::Away(why)) => {
                    lost.push((at.clone(), why.clone()));
                    away = Some(why);
                    break;
                }
            }
        }
        match away {
            Some(why) => {
                self.pause.begin(Instant::now());
                lost.extend(left.map(|at| (at.clone(), why.clone())));
            }
            None => self.pause = Pause::default(),
        }
        (values, lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vault_that_cannot_be_asked_is_left_alone_for_longer_each_time() {
        let (mut pause, mut now) = (Pause::default(), Instant::now());
        assert!(!pause.is_on(now));
        for seconds in [5, 10, 20, 40, 60, 60] {
            pause.begin(now);
            assert!(pause.is_on(now + Duration::from_secs(seconds - 1)), "{seconds}");
            now += Duration::from_secs(seconds);
            assert!(!pause.is_on(now), "{seconds}");
        }
    }
}
