//! Being a witness of another log, and asking one (C2SP tlog-witness and tlog-cosignature).
//!
//! A witness signs only what continues what it signed before, so that two histories of one log cannot both have its signature.
//! All here is computed from what is handed in. Whoever carries the requests also keeps, for each origin, the checkpoint that
//! was signed last, on the disk before the answer leaves, and lets no other request for that origin in between.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::checkpoint::Checkpoint;
use crate::merkle::{self, Hash, verify_consistency};
use crate::note::{InvalidNote, Note, Signer, VerifierKey, merged};

/// The most hashes that a proof has.
const HASHES: usize = 63;

/// Why a witness does not sign; the status of the answer is [`Refusal::status`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no request.
    #[error("not a request to a witness: {0}")]
    Malformed(&'static str),
    /// The log's key did not sign it.
    #[error("the checkpoint is not signed by its log: {0}")]
    Unsigned(InvalidNote),
    /// The log is not one of those that are witnessed.
    #[error("this log is not witnessed here")]
    UnknownLog,
    /// The last one that was signed has another size. The body of the answer is this number and a newline, its type
    /// `text/x.tlog.size`.
    #[error("the last checkpoint that was signed has {0} events")]
    Conflict(u64),
    /// It does not continue what was signed.
    #[error("the checkpoint does not continue the one that was signed before")]
    Inconsistent,
}

impl Refusal {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::Unsigned(_) => 403,
            Self::UnknownLog => 404,
            Self::Conflict(_) => 409,
            Self::Inconsistent => 422,
        }
    }
}

/// A request to sign a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The size that its sender believes was signed last.
    pub old: u64,
    /// That the checkpoint continues it.
    pub proof: Vec<Hash>,
    /// The checkpoint as a signed note.
    pub note: String,
    /// What it says; nobody has checked who signed it.
    pub checkpoint: Checkpoint,
}

impl Request {
    /// Reads the body of `add-checkpoint`.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(body: &str) -> Result<Self, Refusal> {
        let malformed = Refusal::Malformed;
        let (head, note) = body.split_once("\n\n").ok_or(malformed("it has no blank line"))?;
        let mut lines = head.lines();
        let old = lines
            .next()
            .and_then(|line| line.strip_prefix("old "))
            .ok_or(malformed("it does not begin with old"))?;
        let number: u64 = old.parse().map_err(|_| malformed("the old size is no number"))?;
        if number.to_string() != old {
            return Err(malformed("the old size is not written as numbers are"));
        }
        let hash = |line: &str| BASE64.decode(line).ok().and_then(|hash| Hash::try_from(hash).ok());
        let proof =
            lines.map(hash).collect::<Option<Vec<_>>>().ok_or(malformed("a line of the proof is no hash"))?;
        if proof.len() > HASHES {
            return Err(malformed("the proof is too long"));
        }
        let checkpoint = Checkpoint::parse_unverified(note).map_err(|_| malformed("it has no checkpoint"))?;
        Ok(Self { old: number, proof, note: note.to_owned(), checkpoint })
    }

    /// The body of a request.
    #[must_use]
    pub fn to_body(&self) -> String {
        let mut body = format!("old {}\n", self.old);
        for hash in &self.proof {
            body.push_str(&BASE64.encode(hash));
            body.push('\n');
        }
        body.push('\n');
        body.push_str(&self.note);
        body
    }
}

/// What came of asking a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It signed: the checkpoint with its line.
    Signed(String),
    /// It saw another size last: ask again with a proof from there.
    From(u64),
    /// It saw more events than there are: the log was rolled back, or another one bears its name.
    Ahead(u64),
    /// It saw another history, or says so.
    Forked,
    /// Its answer is none of a witness, or is not by its key.
    Nonsense(String),
}

/// Reads what a witness answered to a request for this checkpoint, sent as from `old`.
#[must_use]
pub fn answered(note: &str, old: u64, status: u16, answer: &[u8], witness: &VerifierKey) -> Answered {
    let nonsense = |why: &str| Answered::Nonsense(why.to_owned());
    let Ok(text) = std::str::from_utf8(answer) else { return nonsense("its answer is no text") };
    let Ok(checkpoint) = Checkpoint::parse_unverified(note) else {
        return nonsense("there is no checkpoint");
    };
    match status {
        200 => match accept(note, text, std::slice::from_ref(witness)) {
            Ok(signed) => Answered::Signed(signed),
            Err(error) => Answered::Nonsense(error.to_string()),
        },
        409 => match text.trim_end_matches('\n').parse::<u64>() {
            Ok(seen) if seen > checkpoint.size => Answered::Ahead(seen),
            // It saw just that, and does not sign: its root is another.
            Ok(seen) if seen == old => Answered::Forked,
            Ok(seen) => Answered::From(seen),
            Err(_) => nonsense("it answered 409 without a size"),
        },
        422 => Answered::Forked,
        status => Answered::Nonsense(format!("it answered {status}")),
    }
}

/// A witness: what it signs with, and whose logs it knows.
#[derive(Debug)]
pub struct Witness {
    signer: Signer,
    logs: Vec<VerifierKey>,
}

impl Witness {
    /// A witness with a key of its own, which signs nothing else, for the logs with these keys.
    #[must_use]
    pub fn new(signer: Signer, logs: Vec<VerifierKey>) -> Self {
        Self { signer, logs }
    }

    /// What checks its signatures.
    #[must_use]
    pub fn key(&self) -> VerifierKey {
        self.signer.witness_key()
    }

    /// What has to be so whatever was signed before: the log is known, and it signed the checkpoint. Gives the note that is worth
    /// keeping: the checkpoint with the log's own line under it, and nothing that anybody else wrote there.
    ///
    /// # Errors
    /// It is not so.
    pub fn check(&self, request: &Request) -> Result<String, Refusal> {
        if !self.logs.iter().any(|key| key.name() == request.checkpoint.origin) {
            return Err(Refusal::UnknownLog);
        }
        let opened = Checkpoint::open(&request.note, &self.logs).map_err(Refusal::Unsigned)?;
        if request.old > request.checkpoint.size {
            return Err(Refusal::Malformed("the old size is larger than that of the checkpoint"));
        }
        Ok(opened.own)
    }

    /// Signs a checkpoint at a time (seconds since 1970), if it continues the last one that was signed of its origin. The lines are
    /// the answer; the request's checkpoint becomes the last one.
    ///
    /// # Errors
    /// It does not.
    pub fn cosign(&self, request: &Request, last: Option<&Checkpoint>, now: u64) -> Result<String, Refusal> {
        self.check(request)?;
        let new = &request.checkpoint;
        let (size, root) = last.map_or((0, merkle::empty()), |last| (last.size, last.root));
        // A fork is answered like this, too, says the specification.
        if request.old != size || is_fork(request, last) {
            return Err(Refusal::Conflict(size));
        }
        verify_consistency((size, &root), (new.size, &new.root), &request.proof)
            .map_err(|_| Refusal::Inconsistent)?;
        Ok(self.signer.cosign(&new.text(), now))
    }
}

/// Whether a log has signed two histories of the same length: who asks `cosign` first knows that it was the log.
#[must_use]
pub fn is_fork(request: &Request, last: Option<&Checkpoint>) -> bool {
    last.is_some_and(|last| {
        let new = &request.checkpoint;
        new.origin == last.origin && new.size == last.size && new.root != last.root
    })
}

/// Adds what a witness answered to a checkpoint: of each of these witnesses the line that it signed with, and nothing else that
/// the answer says.
///
/// # Errors
/// None of them signed it.
pub fn accept(note: &str, answer: &str, witnesses: &[VerifierKey]) -> Result<String, InvalidNote> {
    let asked = Note::parse(note)?;
    let answered = format!("{}\n{answer}", asked.text);
    let answered = Note::parse(&answered)?;
    if answered.text != asked.text {
        return Err(InvalidNote::Malformed("it is over another text"));
    }
    let signed = answered.check(witnesses)?;
    if signed.is_empty() {
        return Err(InvalidNote::Unsigned("a witness that is trusted".to_owned()));
    }
    let lines: String = signed.iter().flat_map(|signed| [signed.line, "\n"]).collect();
    let whole = merged(note, &format!("{}\n{lines}", asked.text));
    whole.ok_or(InvalidNote::Malformed("it has too many signatures"))
}
