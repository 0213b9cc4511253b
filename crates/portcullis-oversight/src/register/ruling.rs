//! For the command line, which looks at what is kept and decides, and lists nothing itself.

use portcullis_model::{Expected, Put, Records, Unavailable};

use super::{ALL, DEFINITION, MARK, Register, Ruled, all, key, value};
use crate::definition::{DefinitionKind, Pin};
use crate::entry::Entry;
use crate::now_ms;

/// Tries to write what others write at the same time.
const TRIES: usize = 8;

impl Register {
    /// All that is kept, by server, kind and name.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn entries(records: &dyn Records) -> Result<Vec<Entry>, Unavailable> {
        let mut entries: Vec<_> = all(records).await?.into_iter().map(|(entry, _)| entry).collect();
        entries
            .sort_by(|one, two| (&one.server, one.kind, &one.name).cmp(&(&two.server, two.kind, &two.name)));
        Ok(entries)
    }

    /// Trusts what is held back, or sets it aside. `pin` is what was looked at.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn rule(
        records: &dyn Records,
        (server, kind, name): (&str, DefinitionKind, &str),
        pin: Pin,
        approve: bool,
        by: &str,
    ) -> Result<Ruled, Unavailable> {
        let key = key(&Entry::new(server, kind, name));
        for _ in 0..TRIES {
            let Some(record) = records.get(DEFINITION, &key).await? else { return Ok(Ruled::Nothing) };
            let Ok(mut entry) = serde_json::from_slice::<Entry>(&record.value) else {
                return Ok(Ruled::Nothing);
            };
            let Some(held) = entry.held.clone() else { return Ok(Ruled::Nothing) };
            if held.pin != pin {
                return Ok(Ruled::Another);
            }
            if approve {
                entry.trust(pin, &held.text, by, now_ms());
            } else if let Some(held) = &mut entry.held {
                held.rejected_by = Some(by.to_owned());
            }
            let expected = Expected::Version(record.version);
            if records.put(DEFINITION, &key, value(&entry), None, expected).await? != Put::Conflict {
                records.put(MARK, ALL, Vec::new(), None, Expected::Any).await?;
                return Ok(Ruled::Done);
            }
        }
        Err(Unavailable("others decide about the same definition all the time".to_owned()))
    }
}
