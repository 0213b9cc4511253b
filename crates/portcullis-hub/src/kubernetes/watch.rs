//! The Deployments of an instance, as they are: listed once, and watched from there on.
//!
//! A watch goes on from the version that it had come to. Where the API server does not know that any more (410), all is listed
//! anew; where it does not answer, what was known last stays so, and it is asked again with growing pauses. A watch lasts a minute,
//! so that a connection that died without a word is noticed soon.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch::Sender;
use tokio::time::Instant;

use super::api::{Api, Chunks, Kind};
use super::deployment::State;
use super::failure::Failure;
use super::objects::{INSTANCE, MANAGER};

/// Deployments on one page of a list, and in all.
const PAGE: usize = 250;
const MOST: usize = 10_000;
/// Largest event, in bytes.
const EVENT: usize = 4 << 20;
/// How long a watch lasts, and how long it may be silent for longer than that.
const LASTS: Duration = Duration::from_mins(1);
const LATE: Duration = Duration::from_secs(15);
/// Pauses between attempts.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) deployments: BTreeMap<String, State>,
    /// All of them have been listed once.
    pub(super) is_whole: bool,
    /// Why nothing new is heard, and since when.
    pub(super) trouble: Option<String>,
    since: Option<Instant>,
}

impl Table {
    /// How long nothing has been heard.
    pub(super) fn silence(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// The labels of what an instance has.
fn selector(instance: &str) -> String {
    format!("app.kubernetes.io/managed-by={MANAGER},{INSTANCE}={instance}")
}

/// All Deployments of an instance, page by page, and the version in which they were that.
///
/// # Errors
/// [`Failure`]; also where there are more than anybody has.
pub(super) async fn list(api: &Api, instance: &str) -> Result<(BTreeMap<String, State>, String), Failure> {
    let selector = selector(instance);
    let (mut found, mut more) = (BTreeMap::new(), None::<String>);
    let (mut limit, mut count) = (PAGE, 0);
    while count < MOST {
        let page = match api.list(Kind::Deployment, &selector, limit, more.as_deref()).await {
            // One alone is never too large.
            Err(Failure::Large(..)) if limit > 1 => {
                limit /= 2;
                continue;
            }
            page => page?,
        };
        let items = page["items"].as_array().ok_or_else(|| odd("it has no `items`"))?;
        count += items.len().max(1);
        found.extend(items.iter().filter(|it| is_of(it, instance)).filter_map(State::read));
        let text = |key: &str| page["metadata"][key].as_str().filter(|text| !text.is_empty());
        more = text("continue").map(str::to_owned);
        if more.is_none() {
            let version = text("resourceVersion").ok_or_else(|| odd("it has no `resourceVersion`"))?;
            return Ok((found, version.to_owned()));
        }
    }
    Err(odd(&format!("it has more than {MOST} Deployments")))
}

/// Keeps a table as things are; runs until nobody has it any more.
pub(super) struct Watch<'a> {
    pub(super) api: &'a Api,
    pub(super) instance: &'a str,
    pub(super) table: &'a Sender<Table>,
}

/// Why a watch is over.
enum Over {
    /// It goes on where it ended.
    Resume,
    /// That is too long ago.
    Expired,
}

impl Watch<'_> {
    pub(super) async fn run(&self) {
        let mut pause = PAUSE;
        // Listed anew while there is nothing to go on from.
        let mut from: Option<String> = None;
        loop {
            let (began, follows) = (Instant::now(), from.is_some());
            let heard = match &mut from {
                None => self.list().await.map(|version| from = Some(version)),
                Some(version) => self.follow(version).await.map(|over| match over {
                    Over::Resume => {}
                    Over::Expired => {
                        tracing::info!("the watch of the Deployments has expired: they are listed anew");
                        from = None;
                    }
                }),
            };
            let failed = heard.is_err();
            if let Err(failure) = heard {
                // What cannot be read is not gone on from.
                if matches!(failure, Failure::Unreadable(..) | Failure::Large(..) | Failure::Refused(_)) {
                    from = None;
                }
                self.trouble(&failure);
            }
            if began.elapsed() > LATE {
                pause = PAUSE;
            }
            // Nor is whoever answers at once, and with nothing, asked without end.
            if failed || (follows && began.elapsed() < PAUSE) {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    fn settle(&self) {
        self.table.send_if_modified(|table| {
            let was = table.trouble.take();
            table.since = None;
            if was.is_some() {
                tracing::info!("the API server of the cluster answers again");
            }
            was.is_some()
        });
    }

    fn trouble(&self, failure: &Failure) {
        let why = failure.to_string();
        self.table.send_if_modified(|table| {
            let is_news = table.trouble.as_ref() != Some(&why);
            if is_news {
                tracing::warn!(why, "the Deployments of the cluster cannot be watched");
                table.trouble = Some(why);
                table.since.get_or_insert_with(Instant::now);
            }
            is_news
        });
    }

    /// Lists all; returns the version from which on they are to be watched.
    async fn list(&self) -> Result<String, Failure> {
        let (found, version) = list(self.api, self.instance).await?;
        self.table.send_modify(|table| {
            table.deployments = found;
            table.is_whole = true;
        });
        Ok(version)
    }

    /// Watches until the watch is over.
    async fn follow(&self, version: &mut String) -> Result<Over, Failure> {
        let selector = selector(self.instance);
        let watched = self.api.watch(Kind::Deployment, &selector, version, LASTS).await;
        let mut body = match watched {
            Err(Failure::Refused(refused)) if refused.status == 410 => return Ok(Over::Expired),
            watched => watched?,
        };
        self.settle();
        let mut lines = Lines::default();
        let end = Instant::now() + LASTS + LATE;
        loop {
            match tokio::time::timeout_at(end, lines.next(&mut *body)).await {
                Err(_) => return Err(Failure::Away("a watch did not end when it had to".to_owned())),
                Ok(line) => match line? {
                    None => return Ok(Over::Resume),
                    Some(line) => {
                        if let Some(over) = self.take(&line, version)? {
                            return Ok(over);
                        }
                    }
                },
            }
        }
    }

    /// Takes an event.
    fn take(&self, line: &[u8], version: &mut String) -> Result<Option<Over>, Failure> {
        let event: Value = serde_json::from_slice(line).map_err(|error| odd(&error.to_string()))?;
        let object = &event["object"];
        if event["type"] == "ERROR" {
            if object["code"] == 410 {
                return Ok(Some(Over::Expired));
            }
            let why = super::failure::plain(object["message"].as_str().unwrap_or("it does not say why"));
            return Err(odd(&format!("the watch failed: {why}")));
        }
        if let Some(seen) = object["metadata"]["resourceVersion"].as_str() {
            seen.clone_into(version);
        }
        // A bookmark has nothing but that.
        if !is_of(object, self.instance) {
            return Ok(None);
        }
        let Some((name, state)) = State::read(object) else { return Ok(None) };
        self.table.send_if_modified(|table| {
            if event["type"] == "DELETED" {
                return table.deployments.remove(&name).is_some();
            }
            table.deployments.insert(name, state.clone()) != Some(state)
        });
        Ok(None)
    }
}

/// Whatever was asked for, what is not of an instance is nothing to it.
fn is_of(object: &Value, instance: &str) -> bool {
    let labels = &object["metadata"]["labels"];
    labels["app.kubernetes.io/managed-by"] == MANAGER && labels[INSTANCE] == instance
}

fn odd(why: &str) -> Failure {
    Failure::Unreadable("list or watch Deployments".to_owned(), why.to_owned())
}

/// Cuts a body into lines of bounded length.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
    searched: usize,
}

impl Lines {
    async fn next(&mut self, body: &mut dyn Chunks) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.begun[self.searched..]) {
                let rest = self.begun.split_off(self.searched + at + 1);
                let line = std::mem::replace(&mut self.begun, rest);
                self.searched = 0;
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return Ok(Some(line));
            }
            self.searched = self.begun.len();
            if self.begun.len() > EVENT {
                return Err(odd(&format!("an event has more than {} MiB", EVENT >> 20)));
            }
            match body.next().await.map_err(Failure::Away)? {
                Some(piece) => self.begun.extend(piece),
                // What has begun and does not end was cut off.
                None => return Ok(None),
            }
        }
    }
}
