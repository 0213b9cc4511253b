//! Why: a decision with the policies that made it.

use std::fmt;

use portcullis_mcp::json::Raw;
use portcullis_model::Principal;

use crate::action::Action;
use crate::circumstances::Circumstances;
use crate::judge::Ruling;
use crate::policies::Policies;
use crate::thing::Thing;

/// A policy that had a part in a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Its `@id`, or where it stands.
    pub id: String,
    /// In which file it stands.
    pub file: String,
    /// In which line.
    pub line: usize,
    /// Whether it permits.
    pub permits: bool,
    /// How it is written.
    pub text: String,
}

/// Why a decision is as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    /// A policy permits it, and none forbids it.
    Permitted,
    /// A policy forbids it.
    Forbidden,
    /// No policy permits it.
    NothingPermits,
    /// Its server is not there for the caller.
    ServerHidden,
    /// The URI can be read as another.
    Ambiguous,
    /// Something could not be evaluated.
    Unreadable(String),
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Permitted => f.write_str("permitted"),
            Self::Forbidden => f.write_str("forbidden"),
            Self::NothingPermits => f.write_str("no policy permits it"),
            Self::ServerHidden => f.write_str("the server is not there for this caller"),
            Self::Ambiguous => f.write_str(
                "the URI can be read as another: it has segments of dots, escapes of what needs none, or a scheme in capitals",
            ),
            Self::Unreadable(what) => write!(f, "it could not be decided: {what}"),
        }
    }
}

/// A decision, with its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may be done.
    pub allowed: bool,
    /// Why.
    pub because: Because,
    /// The policies that made it so.
    pub reasons: Vec<Reason>,
    /// The policies whose scopes match and which were asked.
    pub asked: Vec<Reason>,
    /// The scopes that the caller's token lacks, where it lacks nothing else and can be asked for them.
    pub lacks: Vec<String>,
}

impl Verdict {
    /// A denial for which no policy had to be asked.
    fn unasked(because: Because) -> Self {
        Self { allowed: false, because, reasons: Vec::new(), asked: Vec::new(), lacks: Vec::new() }
    }
}

impl Policies {
    /// Decides, and says why. Remembers nothing.
    pub fn explain(
        &self,
        principal: &Principal,
        action: Action,
        thing: Thing<'_>,
        circumstances: &Circumstances,
        arguments: Option<&Raw>,
    ) -> Verdict {
        let subject = self.subject(principal);
        if let Some(claim) = &subject.caller.unreadable {
            let because = Because::Unreadable(format!("the claim `{claim}` is not of its declared type"));
            return Verdict::unasked(because);
        }
        if thing.is_ambiguous() {
            let because = Because::Ambiguous;
            return Verdict::unasked(because);
        }
        let lacks = || {
            let lacks = self.lacks(&subject, action, thing, circumstances, arguments);
            lacks.map_or_else(Vec::new, |lacks| lacks.to_vec())
        };
        let ruling = self.judge(&subject, action, &self.place(thing), circumstances, arguments);
        if let Some(server) = thing.its_server().filter(|_| action != Action::Discover && ruling.allows()) {
            let server = self.place(server);
            let door = self.judge(&subject, Action::Discover, &server, circumstances, None);
            if !door.allows() {
                return Verdict { because: Because::ServerHidden, lacks: lacks(), ..self.verdict(&door) };
            }
        }
        let verdict = self.verdict(&ruling);
        if verdict.allowed { verdict } else { Verdict { lacks: lacks(), ..verdict } }
    }

    fn verdict(&self, ruling: &Ruling) -> Verdict {
        let because = match (ruling.errors.first(), ruling) {
            (Some(error), _) => Because::Unreadable(error.clone()),
            (None, ruling) if ruling.forbidden => Because::Forbidden,
            (None, ruling) if ruling.permitted => Because::Permitted,
            (None, _) => Because::NothingPermits,
        };
        let allowed = ruling.allows();
        let all = |rules: &[usize]| {
            let mut rules = rules.to_vec();
            rules.sort_unstable();
            rules.dedup();
            rules.into_iter().map(|rule| self.reason(rule)).collect::<Vec<_>>()
        };
        let reasons = all(&self.deciding(ruling));
        Verdict { allowed, because, reasons, asked: all(&ruling.asked), lacks: Vec::new() }
    }

    fn reason(&self, rule: usize) -> Reason {
        let rule = &self.rules[rule];
        Reason {
            id: rule.id.to_string(),
            file: rule.file.to_string(),
            line: rule.line,
            permits: rule.permits,
            text: rule.text.clone(),
        }
    }
}
