//! A signed head of the tree (C2SP tlog-checkpoint): whose log, how many events, and the root over them.
//!
//! No extension lines are written, and none is taken: nobody can check what they say. When a head was there is said by
//! the times of witnesses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::merkle::Hash;
use crate::note::{Checked, InvalidNote, Note, Signer, VerifierKey};

/// A head of a log's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose.
    pub origin: String,
    /// How many events.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

/// A checkpoint whose signatures were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) checkpoint: Checkpoint,
    /// The log's own key, as a place among those that were given.
    pub(crate) log: usize,
    /// The note with the log's own line under it, and none of others.
    pub(crate) own: String,
    /// Witnesses: places among the keys, and when they signed.
    pub(crate) witnesses: Vec<(usize, u64)>,
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(self.root))
    }

    /// The signed note.
    #[must_use]
    pub fn sign(&self, signer: &Signer) -> String {
        let text = self.text();
        format!("{text}\n{}", signer.sign(&text))
    }

    /// Reads the text of a note, without asking who signed it.
    ///
    /// # Errors
    /// It is no checkpoint.
    pub fn parse_unverified(note: &str) -> Result<Self, InvalidNote> {
        Self::parse_text(Note::parse(note)?.text)
    }

    fn parse_text(text: &str) -> Result<Self, InvalidNote> {
        let malformed = InvalidNote::Malformed;
        let mut lines = text.lines();
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(malformed("a checkpoint has three lines"));
        };
        let number: u64 = size.parse().map_err(|_| malformed("the size is no number"))?;
        let root = BASE64.decode(root).ok().and_then(|root| root.try_into().ok());
        let parsed = Self {
            origin: origin.to_owned(),
            size: number,
            root: root.ok_or(malformed("the root is no hash"))?,
        };
        // There is one way to write it.
        if origin.is_empty() || parsed.text() != text {
            return Err(malformed("it is not written as checkpoints are"));
        }
        Ok(parsed)
    }

    /// Reads a note and checks who signed it: the log has to be among them.
    ///
    /// # Errors
    /// It is none, its log did not sign it, or a signature is not by the key that it names.
    pub fn verify(note: &str, keys: &[VerifierKey]) -> Result<Self, InvalidNote> {
        Ok(Self::open(note, keys)?.checkpoint)
    }

    pub(crate) fn open(note: &str, keys: &[VerifierKey]) -> Result<Opened, InvalidNote> {
        let note = Note::parse(note)?;
        let checkpoint = Self::parse_text(note.text)?;
        let checked = note.check(keys)?;
        let by_log = |signed: &&Checked<'_>| {
            !keys[signed.key].is_witness() && keys[signed.key].name() == checkpoint.origin
        };
        let Some(log) = checked.iter().find(by_log) else {
            return Err(InvalidNote::Unsigned(checkpoint.origin));
        };
        let (log, own) = (log.key, format!("{}\n{}\n", note.text, log.line));
        let witnesses = checked
            .iter()
            .filter(|signed| keys[signed.key].is_witness())
            .map(|signed| (signed.key, signed.time))
            .collect();
        Ok(Opened { checkpoint, log, own, witnesses })
    }
}
