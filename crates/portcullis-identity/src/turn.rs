//! One at a time among all processes that share a store: for what must not be done twice at once, such as using a refresh token
//! that is good once.
//!
//! A turn is a record that is there while somebody has it. Whoever does not get it waits, and looks at what was done meanwhile.
//! It ends by itself after a while, so a process that dies in the middle keeps nobody out for long; what is done in a turn has to
//! be over by then, or stand being done twice.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_model::{Expected, Put, Records, Unavailable};

const KIND: &str = "turn";
/// For so long it is somebody's at the most.
const LONGEST: Duration = Duration::from_secs(30);
/// How long is waited between two looks, at first and at the most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Somebody's turn at something. Given back, the next may have it; dropped, it ends by itself.
pub(crate) struct Turn {
    records: Arc<dyn Records>,
    key: String,
    version: u64,
}

impl Turn {
    /// The turn at something of a kind, if it is nobody's.
    pub(crate) async fn take(
        records: &Arc<dyn Records>,
        (kind, key): (&str, &str),
    ) -> Result<Option<Self>, Unavailable> {
        let (key, ends) = (format!("{kind}/{key}"), SystemTime::now() + LONGEST);
        let put = records.put(KIND, &key, Vec::new(), Some(ends), Expected::Absent).await?;
        Ok(match put {
            Put::Kept(version) => Some(Self { records: records.clone(), key, version }),
            Put::Conflict => None,
        })
    }

    /// Lets the next one have it. Where it has ended by itself, and is somebody else's by now, it stays theirs.
    pub(crate) async fn give_back(self) {
        let expected = Expected::Version(self.version);
        let given = self.records.put(KIND, &self.key, Vec::new(), Some(UNIX_EPOCH), expected).await;
        if let Err(error) = given {
            tracing::debug!(%error, "a turn is not given back; it ends by itself");
        }
    }
}

/// The waits of whoever has to wait for a turn: short ones first.
pub(crate) struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(PAUSES.0)
    }
}

impl Pauses {
    pub(crate) async fn pass(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(PAUSES.1);
    }
}
