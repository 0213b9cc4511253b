//! A log gets another key: the old one signs over the new one, and the new one that it takes over.
//!
//! What both sign is a note of its own (`ORIGIN/handover`, the number of events, both keys), which lies beside the log under that
//! number. Whoever trusts the first key follows from one to the next; a key counts for checkpoints up to where it was handed over,
//! and the next one from there on. Two keys that one was handed over to at different places are two histories, of which the first
//! to be found counts and the other is told of. What this does not help against is a key that was stolen before it was handed over.

use portcullis_model::{Journal, Unavailable};

use crate::note::{InvalidNote, Note, Signer, VerifierKey};

/// Where handovers lie, by the number of events.
pub(crate) const KIND: &str = "handover";

/// A key that was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// How many events there were.
    pub size: u64,
    /// Up to there.
    pub old: VerifierKey,
    /// From there on.
    pub new: VerifierKey,
}

/// A key that is not handed over.
#[derive(Debug, thiserror::Error)]
pub enum NotHandedOver {
    /// The two are keys of different logs, or one key.
    #[error("{0}")]
    Wrong(String),
    /// The journal cannot be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Handover {
    fn text(&self) -> String {
        format!("{}/handover\n{}\n{}\n{}\n", self.old.name(), self.size, self.old, self.new)
    }

    /// Reads one, and checks that both keys signed it.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn open(note: &str) -> Result<Self, InvalidNote> {
        let malformed = InvalidNote::Malformed;
        let note = Note::parse(note)?;
        let mut lines = note.text.lines();
        let (Some(_), Some(size), Some(old), Some(new), None) =
            (lines.next(), lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(malformed("a handover has four lines"));
        };
        let key = |text| VerifierKey::parse(text).map_err(|error| malformed(error.0));
        let size = size.parse().map_err(|_| malformed("the number of events is none"))?;
        let parsed = Self { size, old: key(old)?, new: key(new)? };
        if parsed.text() != note.text || parsed.old.name() != parsed.new.name() {
            return Err(malformed("it is not written as handovers are"));
        }
        let keys = [parsed.old.clone(), parsed.new.clone()];
        if keys.iter().any(VerifierKey::is_witness) || note.check(&keys)?.len() < keys.len() {
            return Err(malformed("not both keys signed it"));
        }
        Ok(parsed)
    }
}

/// Hands a log over from one key to another, at its end. Nobody may be writing to it.
///
/// # Errors
/// It is not handed over.
pub fn hand_over(journal: &dyn Journal, old: &Signer, new: &Signer) -> Result<Handover, NotHandedOver> {
    if old.name() != new.name() || old.log_key() == new.log_key() {
        let text = format!("the new key has to be another one, and of the same log: {}", old.name());
        return Err(NotHandedOver::Wrong(text));
    }
    if let Some(current) = journal.get(crate::log::STATE, crate::verify::KEY)?
        && current != old.log_key().to_string().as_bytes()
    {
        return Err(NotHandedOver::Wrong(
            "the old key is not the one that the log is signed with".to_owned(),
        ));
    }
    let size = journal.extent()?.next;
    let handover = Handover { size, old: old.log_key(), new: new.log_key() };
    let text = handover.text();
    let note = format!("{text}\n{}{}", old.sign(&text), new.sign(&text));
    journal.put(KIND, &crate::log::checkpoint_name(size), note.as_bytes())?;
    Ok(handover)
}

/// What lies beside a log, in order; what is none is told of in words.
pub(crate) fn read(journal: &dyn Journal) -> Result<(Vec<Handover>, Vec<String>), Unavailable> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (name, note) in journal.list(KIND, "")? {
        match Handover::open(&String::from_utf8_lossy(&note)) {
            Ok(handover) if crate::log::checkpoint_name(handover.size) == name => good.push(handover),
            Ok(_) => bad.push(format!("the handover {name} is one at another place")),
            Err(error) => bad.push(format!("the handover {name}: {error}")),
        }
    }
    Ok((good, bad))
}

/// Up to how many events, and from how many on, a key counts.
pub(crate) type Reign = (VerifierKey, u64, u64);

/// The keys of a log, from those that are trusted both ways: each with where it begins and ends to count. Backwards it may be
/// followed because the newer key signed that the older one was there, and its checkpoints are over all that was before.
pub(crate) fn follow(trusted: &[VerifierKey], handovers: &[Handover]) -> Vec<Reign> {
    let mut reigns: Vec<Reign> =
        trusted.iter().filter(|key| !key.is_witness()).map(|key| (key.clone(), 0, u64::MAX)).collect();
    for handover in handovers.iter().rev() {
        let knows = |wanted: &VerifierKey| reigns.iter().any(|(key, _, _)| key == wanted);
        if knows(&handover.new) && !knows(&handover.old) {
            reigns.push((handover.old.clone(), 0, u64::MAX));
        }
    }
    for handover in handovers {
        let Some(old) = reigns.iter_mut().find(|(key, _, end)| *key == handover.old && *end == u64::MAX)
        else {
            continue;
        };
        old.2 = handover.size;
        match reigns.iter_mut().find(|(key, _, _)| *key == handover.new) {
            // It was trusted by itself.
            Some(new) => new.1 = handover.size,
            None => reigns.push((handover.new.clone(), handover.size, u64::MAX)),
        }
    }
    reigns
}

/// The keys that a log was signed with before it came to this one.
pub(crate) fn former(journal: &dyn Journal, current: &VerifierKey) -> Result<Vec<VerifierKey>, Unavailable> {
    let (handovers, _) = read(journal)?;
    let mut keys = vec![current.clone()];
    for handover in handovers.iter().rev() {
        if keys.last() == Some(&handover.new) {
            keys.push(handover.old.clone());
        }
    }
    Ok(keys)
}
