//! Leave for one call: asked for with the exact arguments, given by somebody, used once.
//!
//! A call is known by its digest: who calls what with which arguments, in canonical form. So the same call finds the leave
//! that was given for it by itself, and another call finds none. A result that the guard holds back waits for leave in the
//! same way. Where more than one has to say yes, they are different ones; one no is enough. What was asked anew is
//! another question, with another nonce: whoever uses up or forgets one leaves the other as it is.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{Context, SHA256};
use portcullis_mcp::json::Raw;
use portcullis_model::{Expected, Put, Records, Unavailable};
use serde::{Deserialize, Serialize};

use crate::hex::hex;
use crate::{arguments, canonical, now_ms};

/// The kind of the records.
pub const APPROVAL: &str = "approval";
const PAGE: usize = 500;
const TRIES: usize = 8;

/// What leave is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Matter {
    /// That a call is made.
    #[default]
    Call,
    /// That its result, which is there already, is given to the caller.
    Result,
}

impl Matter {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Result => "result",
        }
    }
}

/// Which call: who, what, with which arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of a call.
    pub fn of(principal: &str, server: &str, method: &str, name: &str, arguments: Option<&Raw>) -> Self {
        let mut context = Context::new(&SHA256);
        for part in ["portcullis-approval-v1", principal, server, method, name] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        // No arguments and empty ones are the same call.
        let arguments = arguments.map_or_else(|| "{}".to_owned(), canonical);
        context.update(arguments.as_bytes());
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        Self(digest)
    }

    /// Of what leave is asked for about a call of this digest.
    #[must_use]
    pub fn about(self, matter: Matter) -> Self {
        match matter {
            Matter::Call => self,
            Matter::Result => {
                let mut context = Context::new(&SHA256);
                context.update(b"portcullis-approval-result-v1\0");
                context.update(&self.0);
                let mut digest = [0; 32];
                digest.copy_from_slice(context.finish().as_ref());
                Self(digest)
            }
        }
    }

    /// The name under which people speak of the call.
    pub fn id(&self) -> String {
        hex(&self.0)
    }
}

/// A call that needs leave.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which.
    pub digest: Digest,
    /// What about it.
    pub matter: Matter,
    /// How many have to say yes.
    pub needed: u8,
    /// Who calls.
    pub principal: String,
    /// Which server.
    pub server: String,
    /// What there.
    pub name: String,
    /// It is a tool or a prompt, whose name says nothing of anybody.
    pub named: bool,
    /// Why leave is needed.
    pub why: Vec<String>,
    /// The same, in words that never change.
    pub grounds: Vec<String>,
    /// With which arguments.
    pub arguments: Option<Raw>,
}

/// A call that waits for leave, or has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The digest of the call, in hexadecimal.
    pub id: String,
    /// Who calls.
    pub principal: String,
    /// Which server.
    pub server: String,
    /// What there.
    pub name: String,
    /// Why leave is needed.
    pub why: Vec<String>,
    /// The same, in words that never change.
    #[serde(default)]
    pub grounds: Vec<String>,
    /// It is a tool or a prompt, whose name says nothing of anybody.
    #[serde(default)]
    pub named: bool,
    /// What leave is asked for.
    #[serde(default)]
    pub matter: Matter,
    /// How many have to say yes.
    #[serde(default = "one")]
    pub needed: u8,
    /// Who has said yes, where that is not enough yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<Ruling>,
    /// Tells this question from an earlier one about the same call.
    pub nonce: u64,
    /// When it was asked for, in milliseconds since 1970.
    pub at: u64,
    /// Until when it waits, and can be used.
    pub until: u64,
    /// What was decided.
    #[serde(default)]
    pub ruling: Option<Ruling>,
}

/// What somebody decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    /// Whether the call may be made.
    pub approved: bool,
    /// Who says so.
    pub by: String,
    /// When, in milliseconds since 1970.
    pub at: u64,
}

fn one() -> u8 {
    1
}

/// What became of what somebody said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Voted {
    /// It counts. It is decided when there is a ruling; else somebody else has to say yes, too.
    Counted(Approval),
    /// The same one has said yes before, and somebody else has to.
    Again(Approval),
    /// Nothing waits for it, or not any more.
    Nothing,
}

/// How it stands with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has asked.
    Unknown,
    /// Nobody has decided.
    Waiting(Approval),
    /// It may be made, once; that is now.
    Granted(Approval),
    /// It may not be made.
    Denied(Approval),
}

impl Approval {
    /// Asks for leave, unless that has been done. True when it is new.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn ask(
        records: &dyn Records,
        request: &Request,
        lifetime: Duration,
        key: Option<&[u8; 32]>,
    ) -> Result<(Self, bool), Unavailable> {
        let (id, now) = (request.digest.id(), now_ms());
        let approval = Self {
            id,
            matter: request.matter,
            needed: request.needed,
            votes: Vec::new(),
            nonce: nonce()?,
            principal: request.principal.clone(),
            server: request.server.clone(),
            name: request.name.clone(),
            why: request.why.clone(),
            grounds: request.grounds.clone(),
            named: request.named,
            at: now,
            until: now.saturating_add(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX)),
            ruling: None,
        };
        let (place, expires) = (approval.place(), approval.expires());
        arguments::keep(records, &place, request.arguments.as_ref(), key, expires).await?;
        match records.put(APPROVAL, &approval.id, approval.value(), expires, Expected::Absent).await? {
            Put::Kept(_) => Ok((approval, true)),
            Put::Conflict => {
                arguments::forget(records, &place).await;
                let there = Self::find(records, &approval.id).await?;
                Ok((there.map_or(approval, |(there, _)| there), false))
            }
        }
    }

    /// What was asked about a call, if anything was.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn of(records: &dyn Records, digest: Digest) -> Result<Option<Self>, Unavailable> {
        Ok(Self::find(records, &digest.id()).await?.map(|(approval, _)| approval))
    }

    /// How it stands with a call; with a nonce, with what was asked then. Leave that was given is used up by that.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn claim(
        records: &dyn Records,
        digest: Digest,
        nonce: Option<u64>,
    ) -> Result<Standing, Unavailable> {
        for _ in 0..TRIES {
            let Some((approval, version)) = Self::find(records, &digest.id()).await? else {
                return Ok(Standing::Unknown);
            };
            if nonce.is_some_and(|nonce| approval.nonce != nonce) {
                return Ok(Standing::Unknown);
            }
            match &approval.ruling {
                None => return Ok(Standing::Waiting(approval)),
                Some(ruling) if !ruling.approved => return Ok(Standing::Denied(approval)),
                Some(_) if approval.remove(records, version).await? => {
                    return Ok(Standing::Granted(approval));
                }
                Some(_) => {}
            }
        }
        Err(busy())
    }

    /// Somebody says yes or no; with a nonce, only to what was asked then.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn rule(
        records: &dyn Records,
        (id, nonce): (&str, Option<u64>),
        approved: bool,
        by: &str,
    ) -> Result<Voted, Unavailable> {
        for _ in 0..TRIES {
            let Some((mut approval, version)) = Self::find(records, id).await? else {
                return Ok(Voted::Nothing);
            };
            if approval.ruling.is_some() || nonce.is_some_and(|nonce| approval.nonce != nonce) {
                return Ok(Voted::Nothing);
            }
            if approved && approval.votes.iter().any(|vote| vote.by == by) {
                return Ok(Voted::Again(approval));
            }
            let vote = Ruling { approved, by: by.to_owned(), at: now_ms() };
            if approved && approval.votes.len() + 1 < usize::from(approval.needed) {
                approval.votes.push(vote);
            } else {
                approval.ruling = Some(vote);
            }
            let expected = Expected::Version(version);
            if records.put(APPROVAL, id, approval.value(), approval.expires(), expected).await?
                != Put::Conflict
            {
                return Ok(Voted::Counted(approval));
            }
        }
        Err(busy())
    }

    /// Who has said yes, or no, in their order.
    pub fn deciders(&self) -> Vec<&str> {
        let said = self.votes.iter().chain(&self.ruling).filter(|vote| match &self.ruling {
            Some(ruling) => vote.approved == ruling.approved,
            None => true,
        });
        said.map(|vote| vote.by.as_str()).collect()
    }

    /// Forgets what was asked, and decided, about a call, which may then be asked about again. What was asked anew stays.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn forget(&self, records: &dyn Records) -> Result<(), Unavailable> {
        for _ in 0..TRIES {
            match Self::find(records, &self.id).await? {
                Some((there, version)) if there.nonce == self.nonce => {
                    if self.remove(records, version).await? {
                        return Ok(());
                    }
                }
                _ => return Ok(()),
            }
        }
        Err(busy())
    }

    /// Removes the record if it is of this version: what ends at once is not there.
    async fn remove(&self, records: &dyn Records, version: u64) -> Result<bool, Unavailable> {
        let (ends, expected) = (Some(SystemTime::UNIX_EPOCH), Expected::Version(version));
        let put = records.put(APPROVAL, &self.id, Vec::new(), ends, expected).await?;
        if put != Put::Conflict {
            arguments::forget(records, &self.place()).await;
        }
        Ok(put != Put::Conflict)
    }

    /// Where what belongs to this question, and to no other about the same call, is kept.
    pub(crate) fn place(&self) -> String {
        format!("{}-{:016x}", self.id, self.nonce)
    }

    pub(crate) fn expires(&self) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(self.until))
    }

    /// All that wait or have been decided and not used, by when they were asked for.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn all(records: &dyn Records) -> Result<Vec<Self>, Unavailable> {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let page = records.list(APPROVAL, "", &after, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after.clone_from(last);
            found.extend(
                page.iter().filter_map(|(_, record)| serde_json::from_slice::<Self>(&record.value).ok()),
            );
        }
        found.sort_by_key(|approval| approval.at);
        Ok(found)
    }

    async fn find(records: &dyn Records, id: &str) -> Result<Option<(Self, u64)>, Unavailable> {
        let Some(record) = records.get(APPROVAL, id).await? else { return Ok(None) };
        Ok(serde_json::from_slice(&record.value).ok().map(|approval| (approval, record.version)))
    }

    /// The arguments, for whoever decides: whole where they can be opened, else their names and sizes.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn arguments(
        &self,
        records: &dyn Records,
        key: Option<&[u8; 32]>,
    ) -> Result<String, Unavailable> {
        arguments::read(records, &self.place(), key).await
    }

    fn value(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an approval prints")
    }
}

fn nonce() -> Result<u64, Unavailable> {
    let mut nonce = [0; 8];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| Unavailable("no random numbers".to_owned()))?;
    Ok(u64::from_be_bytes(nonce))
}

fn busy() -> Unavailable {
    Unavailable("others decide about the same call all the time".to_owned())
}

#[cfg(test)]
mod tests {
    use portcullis_store::Memory;
    use serde_json::{Value, json};

    use super::*;

    fn request(arguments: &Value) -> Request {
        let raw = Raw::from_value(arguments);
        Request {
            digest: Digest::of("key:a", "mail", "tools/call", "send", Some(&raw)),
            matter: Matter::Call,
            needed: 1,
            principal: "key:a".into(),
            server: "mail".into(),
            name: "send".into(),
            why: vec!["it acts on the outside".into()],
            grounds: vec!["flow".into()],
            named: true,
            arguments: Some(raw),
        }
    }

    const MINUTE: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn leave_is_for_one_call_and_used_once() {
        let records = Memory::default();
        let (this, other) = (request(&json!({"to": "a", "n": 1})), request(&json!({"to": "b", "n": 1})));
        assert_eq!(Approval::claim(&records, this.digest, None).await.unwrap(), Standing::Unknown);
        let (asked, new) = Approval::ask(&records, &this, MINUTE, None).await.unwrap();
        assert!(new && !Approval::ask(&records, &this, MINUTE, None).await.unwrap().1);
        assert!(matches!(Approval::claim(&records, this.digest, None).await.unwrap(), Standing::Waiting(_)));
        let earlier = Some(asked.nonce.wrapping_add(1));
        let rule = async |nonce, approved| {
            Approval::rule(&records, (&asked.id, nonce), approved, "ops").await.unwrap()
        };
        assert_eq!(rule(earlier, true).await, Voted::Nothing);
        let Voted::Counted(ruled) = rule(Some(asked.nonce), true).await else { panic!("it waits") };
        assert_eq!((ruled.ruling.as_ref().unwrap().by.as_str(), ruled.deciders()), ("ops", vec!["ops"]));
        assert_eq!(rule(None, false).await, Voted::Nothing, "it is decided");
        assert_eq!(Approval::claim(&records, other.digest, None).await.unwrap(), Standing::Unknown);
        let same = Raw::from_static("{ \"n\": 1.0, \"to\": \"\\u0061\" }");
        let same = Digest::of("key:a", "mail", "tools/call", "send", Some(&same));
        assert!(
            matches!(Approval::claim(&records, same, None).await.unwrap(), Standing::Granted(_)),
            "however it is written"
        );
        assert_eq!(Approval::claim(&records, same, None).await.unwrap(), Standing::Unknown, "it is used up");
    }

    #[tokio::test]
    async fn where_two_have_to_say_yes_they_are_two_and_one_no_is_enough() {
        for last in [true, false] {
            let records = Memory::default();
            let this = Request { needed: 2, ..request(&json!({})) };
            let (asked, _) = Approval::ask(&records, &this, MINUTE, None).await.unwrap();
            let rule =
                async |approved, by| Approval::rule(&records, (&asked.id, None), approved, by).await.unwrap();
            let Voted::Counted(first) = rule(true, "ada").await else { panic!("it waits") };
            assert_eq!((first.ruling.clone(), first.deciders()), (None, vec!["ada"]));
            assert!(matches!(rule(true, "ada").await, Voted::Again(_)));
            assert!(matches!(
                Approval::claim(&records, this.digest, None).await.unwrap(),
                Standing::Waiting(_)
            ));
            let Voted::Counted(second) = rule(last, "bob").await else { panic!("it waits") };
            assert_eq!(second.deciders(), if last { vec!["ada", "bob"] } else { vec!["bob"] });
            match Approval::claim(&records, this.digest, None).await.unwrap() {
                Standing::Granted(_) => assert!(last),
                Standing::Denied(_) => assert!(!last),
                standing => panic!("{standing:?}"),
            }
        }
    }

    #[tokio::test]
    async fn leave_for_a_call_is_none_for_its_result() {
        let records = Memory::default();
        let call = request(&json!({}));
        let (asked, _) = Approval::ask(&records, &call, MINUTE, None).await.unwrap();
        Approval::rule(&records, (&asked.id, None), true, "ops").await.unwrap();
        let result = call.digest.about(Matter::Result);
        assert_eq!(Approval::claim(&records, result, None).await.unwrap(), Standing::Unknown);
        assert!(matches!(Approval::claim(&records, call.digest, None).await.unwrap(), Standing::Granted(_)));
    }

    #[tokio::test]
    async fn what_is_denied_stays_so_and_what_ends_is_gone() {
        let records = Memory::default();
        let this = request(&json!({}));
        let (asked, _) = Approval::ask(&records, &this, MINUTE, None).await.unwrap();
        Approval::rule(&records, (&asked.id, None), false, "ops").await.unwrap();
        for _ in 0..2 {
            assert!(matches!(
                Approval::claim(&records, this.digest, None).await.unwrap(),
                Standing::Denied(_)
            ));
        }
        assert_eq!(Approval::all(&records).await.unwrap().len(), 1);
        let late = request(&json!({"late": true}));
        Approval::ask(&records, &late, Duration::ZERO, None).await.unwrap();
        assert_eq!(Approval::claim(&records, late.digest, None).await.unwrap(), Standing::Unknown);
    }

    #[tokio::test]
    async fn whoever_looks_how_things_stand_reads_no_arguments() {
        let records = Memory::default();
        let this = request(&json!({"to": "a@b.c", "text": "x".repeat(9_000)}));
        let (asked, _) = Approval::ask(&records, &this, MINUTE, Some(&[7; 32])).await.unwrap();
        let kept = records.get(APPROVAL, &asked.id).await.unwrap().unwrap();
        assert!(kept.value.len() < 1_000, "{}", String::from_utf8_lossy(&kept.value));
        let shown = asked.arguments(&records, Some(&[7; 32])).await.unwrap();
        assert!(shown.contains("a@b.c"), "{shown}");
        asked.forget(&records).await.unwrap();
        let shown = asked.arguments(&records, Some(&[7; 32])).await.unwrap();
        assert!(!shown.contains("a@b.c"), "they go with it: {shown}");
    }

    #[tokio::test]
    async fn what_was_asked_anew_is_nobody_elses() {
        let records = Memory::default();
        let this = request(&json!({}));
        let (first, _) = Approval::ask(&records, &this, MINUTE, None).await.unwrap();
        first.forget(&records).await.unwrap();
        let (second, new) = Approval::ask(&records, &this, MINUTE, None).await.unwrap();
        assert!(new && first.nonce != second.nonce);
        Approval::rule(&records, (&second.id, None), true, "ops").await.unwrap();
        first.forget(&records).await.unwrap();
        let claim = async |nonce| Approval::claim(&records, this.digest, nonce).await.unwrap();
        assert_eq!(claim(Some(first.nonce)).await, Standing::Unknown);
        let Standing::Granted(granted) = claim(Some(second.nonce)).await else { panic!("it was granted") };
        assert_eq!(granted.nonce, second.nonce);
        assert_eq!(claim(None).await, Standing::Unknown, "it is used up");
    }

    #[test]
    fn every_part_of_a_call_counts() {
        let of = |parts: [&str; 4]| Digest::of(parts[0], parts[1], parts[2], parts[3], None);
        let one = of(["a", "b", "c", "d"]);
        for parts in [
            ["x", "b", "c", "d"],
            ["a", "x", "c", "d"],
            ["a", "b", "x", "d"],
            ["a", "b", "c", "x"],
            ["ab", "", "c", "d"],
        ] {
            assert_ne!(of(parts), one, "{parts:?}");
        }
    }
}
