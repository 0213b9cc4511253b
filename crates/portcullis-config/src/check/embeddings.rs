//! Who gives vectors of texts.

use std::time::Duration;

use super::Check;
use super::http::guarded_url;
use crate::node::Path;
use crate::{Embeddings, raw};

/// How long a search waits, and how long it may at the most.
const PATIENCE: Duration = Duration::from_millis(300);
const MOST_PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn embeddings(check: &mut Check<'_>, raw: &raw::Embeddings) -> Option<Embeddings> {
    let path = Path::top("discovery").key("embeddings");
    guarded_url(check, &path.key("url"), &raw.url, "what is searched for goes there");
    if raw.model.trim().is_empty() {
        check.error(&path.key("model"), "is empty; name a model of the service");
    }
    let key = match &raw.key {
        Some(key) => Some(check.secret(&path.key("key"), "key", key)?),
        None => None,
    };
    let timeout = check.duration(&path.key("timeout"), raw.timeout.as_ref(), PATIENCE);
    if timeout > MOST_PATIENCE {
        check.error(&path.key("timeout"), "must be at most `5s`: who searches waits for it");
    }
    let ca = raw.ca.as_ref().map(|file| check.file(&path.key("ca"), file));
    Some(Embeddings { url: raw.url.clone(), model: raw.model.clone(), key, ca, timeout })
}
