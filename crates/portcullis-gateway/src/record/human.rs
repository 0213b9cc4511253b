//! What people decide, in the evidence log: leave for calls and results, definitions, the kill switch.
//!
//! Persons are pseudonyms there, also those who decide: `portcullis audit search --person 'cli#ada'` finds what Ada decided by
//! command, `webhook#ada` what she did elsewhere; a user who answers is the same person as the one who calls. What a call waited
//! for is in the event of the call, too.

use portcullis_audit::payloads::Side;
use portcullis_audit::{Event, EventId, Human, Kind, Tool};
use portcullis_oversight::{
    Approval, Decided, DefinitionKind, Entry as Definition, Halt, Ruling, Target, server_of, version_of,
};

use super::evidence::Evidence;
use super::written::shortened;

/// How it stands with what somebody was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Nobody has answered.
    Asked,
    Approved,
    Refused,
    /// Nobody has answered in time.
    Expired,
}

impl Said {
    fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::Expired => "expired",
        }
    }

    fn of(vote: &Ruling) -> Self {
        if vote.approved { Self::Approved } else { Self::Refused }
    }
}

/// What was decided about what waited.
pub(super) fn of_approval(evidence: &Evidence, approval: &Approval, said: Said) -> Human {
    let deciders = approval.deciders().into_iter().map(|by| decider(evidence, by)).collect::<Vec<_>>();
    let last = approval.ruling.as_ref().or_else(|| approval.votes.last());
    Human {
        approval: Some(approval.id.clone()),
        approver: (!deciders.is_empty()).then(|| deciders.join(" ")),
        decision: Some(said.as_str().to_owned()),
        reason: (!approval.grounds.is_empty()).then(|| approval.grounds.join(" ")),
        waited_ms: last.map_or(0, |last| last.at.saturating_sub(approval.at)),
    }
}

/// What somebody who decides is called: the kind of their name and the name, or the caller that they are.
fn decider(evidence: &Evidence, by: &str) -> String {
    match by.split_once(':') {
        Some(("user", id)) => person(evidence, id),
        Some((kind, name)) => evidence.pseudonym(kind, name),
        None => evidence.pseudonym("operator", by),
    }
}

/// What a caller is called, by its id.
fn person(evidence: &Evidence, id: &str) -> String {
    if id.starts_with("spiffe://") {
        return evidence.pseudonym("spiffe", id);
    }
    match id.split_once(':') {
        Some(("user", user)) => {
            let (issuer, subject) = user.split_once('#').unwrap_or((user, ""));
            evidence.pseudonym(issuer, subject)
        }
        Some((kind @ ("key" | "cert"), name)) => evidence.pseudonym(kind, name),
        _ => evidence.pseudonym(id, ""),
    }
}

impl Evidence {
    /// Somebody has said yes or no to what waits.
    pub(crate) fn voted(&self, approval: &Approval, vote: &Ruling, asked_in: Option<EventId>) {
        let mut event = self.of_what_waits(approval, Said::of(vote), asked_in);
        event.human.approver = Some(decider(self, &vote.by));
        event.human.waited_ms = vote.at.saturating_sub(approval.at);
        event.who.person.clone_from(&event.human.approver);
        event.who.proof = vote.by.split_once(':').map(|(kind, _)| kind.to_owned());
        self.append(event);
    }

    /// Nobody has said anything in time.
    pub(crate) fn expired(&self, approval: &Approval, asked_in: Option<EventId>) {
        let mut event = self.of_what_waits(approval, Said::Expired, asked_in);
        event.human.waited_ms = approval.until.saturating_sub(approval.at);
        self.append(event);
    }

    fn of_what_waits(&self, approval: &Approval, said: Said, asked_in: Option<EventId>) -> Event {
        let mut event = Event::new(Kind::Approval);
        event.parent = asked_in;
        event.human = of_approval(self, approval, said);
        event.server.id = Some(approval.server.clone());
        // A URI can name a person.
        event.tool.name = approval.named.then(|| shortened(&approval.name));
        event.detail.insert("what".to_owned(), approval.matter.as_str().to_owned());
        event.detail.insert("for".to_owned(), person(self, &approval.principal));
        if approval.needed > 1 {
            event.detail.insert("needed".to_owned(), approval.needed.to_string());
        }
        event
    }

    /// A definition is held back.
    pub(crate) fn definition_held(&self, entry: &Definition) {
        let Some(held) = &entry.held else { return };
        let mut event = of_definition(Kind::Catalogue, entry, held.pin.to_string());
        event.detail.insert("what".to_owned(), "held back".to_owned());
        event.decision.verdict = Some("refused".to_owned());
        event.decision.reasons = held.reasons.iter().map(|reason| reason.as_str().to_owned()).collect();
        self.append(event);
    }

    /// So many definitions of a server are trusted unasked.
    pub(crate) fn definitions_trusted(&self, scope: &str, kind: DefinitionKind, count: usize) {
        let mut event = Event::new(Kind::Catalogue);
        whose(&mut event, scope);
        let detail = [
            ("what", "trusted at first use".to_owned()),
            ("kind", kind.to_string()),
            ("count", count.to_string()),
        ];
        event.detail.extend(detail.map(|(key, value)| (key.to_owned(), value)));
        self.append(event);
    }

    /// Somebody has decided about a definition.
    pub(crate) fn definition_decided(&self, decided: &Decided) {
        let mut event = of_definition(Kind::Approval, &decided.entry, decided.pin.to_string());
        let said = if decided.approved { Said::Approved } else { Said::Refused };
        event.human = Human {
            approver: Some(decider(self, &decided.by)),
            decision: Some(said.as_str().to_owned()),
            waited_ms: decided.waited.unwrap_or_default(),
            ..Human::default()
        };
        event.who.person.clone_from(&event.human.approver);
        event.who.proof = decided.by.split_once(':').map(|(kind, _)| kind.to_owned());
        event.detail.insert("what".to_owned(), "definition".to_owned());
        self.append(event);
    }

    /// Something was stopped, or goes on. Why is in the words of whoever did it.
    pub(crate) fn halted(&self, halt: &Halt, stopped: bool, by: &str) {
        let mut event = Event::new(Kind::Gateway);
        let what = if stopped { "halted" } else { "no longer halted" };
        event.detail.insert("what".to_owned(), what.to_owned());
        let target = match &halt.target {
            Target::Principal(id) => format!("principal:{}", person(self, id)),
            other => other.to_string(),
        };
        event.detail.insert("target".to_owned(), target);
        if halt.test {
            event.detail.insert("test".to_owned(), "true".to_owned());
        }
        match &halt.target {
            Target::Server(server) => event.server.id = Some(server.clone()),
            Target::Tool(server, name) => {
                event.server.id = Some(server.clone());
                event.tool.name = Some(shortened(name));
            }
            Target::All | Target::Principal(_) => {}
        }
        event.human.approver = Some(decider(self, by));
        event.human.decision = Some(if stopped { "halted" } else { "lifted" }.to_owned());
        event.who.person.clone_from(&event.human.approver);
        event.who.proof = by.split_once(':').map(|(kind, _)| kind.to_owned());
        if let Some(reason) = halt.reason.as_ref().filter(|_| stopped) {
            self.attach(&mut event, Side::Input, reason.as_bytes());
        }
        self.append(event);
    }
}

/// Definitions are a server's, or one version's of it.
fn whose(event: &mut Event, scope: &str) {
    event.server.id = Some(server_of(scope).to_owned());
    event.server.version = version_of(scope).map(shortened);
}

fn of_definition(kind: Kind, entry: &Definition, pin: String) -> Event {
    let mut event = Event::new(kind);
    whose(&mut event, &entry.server);
    let named = matches!(entry.kind, DefinitionKind::Tool | DefinitionKind::Prompt);
    event.tool =
        Tool { definition: Some(pin), name: named.then(|| shortened(&entry.name)), ..Tool::default() };
    event.detail.insert("kind".to_owned(), entry.kind.to_string());
    event
}
