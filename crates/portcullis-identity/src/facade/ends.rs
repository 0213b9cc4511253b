//! Logins that ended, told from one process to the others: by records in the order of time, which each looks through.
//!
//! A process hears of an end at its next look, two seconds later at the most; while the store cannot be asked, an access
//! token counts for as long as it lives, which is minutes. After a start everything is looked through that could still matter.

use std::sync::atomic::Ordering;
use std::time::Duration;

use portcullis_model::Expected;

use super::refusal::Refusal;
use super::{Facade, now};
use crate::ended::LONGEST_TOKEN;

/// Logins that ended, by the time and their session.
const ENDS: &str = "facade-end";
/// How long is looked back, in seconds: clocks differ, and what was begun earlier may be written later.
const BACK: u64 = 120;

/// What is said of the end of a login on record.
#[derive(Clone, Copy)]
pub(super) struct End<'a> {
    /// Whose it was, where that is known.
    pub(super) whose: Option<&'a str>,
    /// Why, in words of ours.
    pub(super) why: &'static str,
}

impl Facade {
    /// How often [`Facade::hear_of_ends`] is to be called.
    pub const BETWEEN_LOOKS: Duration = Duration::from_secs(2);

    /// Ends the access tokens of a session, here at once and elsewhere soon. What cannot be written down does not end here
    /// either: processes stay of one mind, and whoever comes again finds it undone.
    pub(super) async fn end_tokens(&self, session: &str, end: End<'_>) -> Result<(), Refusal> {
        if self.ended.has(session) {
            return Ok(());
        }
        let now = now();
        let key = format!("{now:012}.{session}");
        self.kept.put(ENDS, &key, &true, now + LONGEST_TOKEN + BACK, Expected::Any).await?;
        if self.ended.end(session, now) {
            self.watch.ended(&self.settings.issuer, end.whose, end.why);
        }
        Ok(())
    }

    /// Takes up what ended in other processes with the same store.
    ///
    /// # Errors
    /// The store cannot be asked, with words for the log.
    pub async fn hear_of_ends(&self) -> Result<(), &'static str> {
        let now = now();
        let since = self.heard.load(Ordering::Relaxed).saturating_sub(BACK);
        let mut after = Some(format!("{since:012}"));
        while let Some(key) = after {
            let found = self.kept.page::<bool>(ENDS, "", &key).await;
            let (found, last) = found.map_err(|refusal| refusal.reason)?;
            for (key, _) in found {
                if let Some((_, session)) = key.split_once('.') {
                    self.ended.end(session, now);
                }
            }
            after = last;
        }
        self.heard.store(now, Ordering::Relaxed);
        Ok(())
    }
}
