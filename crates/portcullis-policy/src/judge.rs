//! One decision, from Cedar.
//!
//! Three kinds of things are decided:
//!
//! - *Using* something (`tools/call`, `prompts/get`, `resources/read`): the policies as they are written.
//! - *What goes along with using it* (being listed, completions, subscriptions, tasks): whoever could be permitted some use
//!   is permitted that, unless it is forbidden; a policy may also permit it by itself, as the auditor's does.
//! - *The door*: a server is there for whoever could be permitted anything that it has, unless it is forbidden.
//!
//! A toolset is of no server: whether somebody may open it is decided by the policies as they are written.
//!
//! A policy that cannot be evaluated denies, whichever it is.

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, Request, RestrictedExpression,
};
use portcullis_mcp::json::Raw;

use crate::action::Action;
use crate::arguments;
use crate::circumstances::Circumstances;
use crate::policies::Policies;
use crate::remember::Subject;
use crate::rule::{Form, Rule};
use crate::shelf::Slice;
use crate::thing::{Thing, ThingKind, entity};
use crate::unknown::Reads;

/// What Cedar says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ruling {
    pub(crate) permitted: bool,
    pub(crate) forbidden: bool,
    /// The rules that made it so.
    pub(crate) reasons: Vec<usize>,
    /// What could not be evaluated.
    pub(crate) errors: Vec<String>,
    /// The rules that were asked.
    pub(crate) asked: Vec<usize>,
    /// What it depends on.
    pub(crate) reads: Reads,
}

impl Ruling {
    pub(crate) fn allows(&self) -> bool {
        self.permitted && !self.forbidden && self.errors.is_empty()
    }

    fn and(mut self, other: Self) -> Self {
        self.permitted |= other.permitted;
        self.forbidden |= other.forbidden;
        self.reasons.extend(other.reasons);
        self.errors.extend(other.errors);
        self.asked.extend(other.asked);
        self.reads = self.reads.or(other.reads);
        self
    }

    fn error(error: String) -> Self {
        Self { errors: vec![error], ..Self::default() }
    }
}

/// A thing with where it is.
pub(crate) struct Placed<'a> {
    pub(crate) thing: Thing<'a>,
    uid: EntityUid,
    /// Of the thing itself, beside its server's.
    pub(crate) labels: Vec<EntityUid>,
    /// The thing and all that it is in.
    around: Vec<EntityUid>,
}

/// The use that is behind what goes along with it.
fn use_of(kind: ThingKind) -> Option<Action> {
    match kind {
        ThingKind::Server | ThingKind::Toolset => None,
        ThingKind::Tool(_) => Some(Action::ToolsCall),
        ThingKind::Prompt => Some(Action::PromptsGet),
        ThingKind::Resource | ThingKind::Template => Some(Action::ResourcesRead),
    }
}

fn form_of(action: Action, kind: ThingKind) -> Form {
    match kind {
        ThingKind::Template => Form::Pattern,
        ThingKind::Toolset => Form::Whole,
        _ if use_of(kind) == Some(action) => Form::Whole,
        _ => Form::Sketch,
    }
}

impl Policies {
    pub(crate) fn place<'a>(&self, thing: Thing<'a>) -> Placed<'a> {
        let uid = thing.uid();
        let (mut around, mut labels) = (Vec::new(), Vec::new());
        if let Some(server) = thing.its_server() {
            around = self.labels.of_server(thing.server);
            if thing.kind != ThingKind::Server {
                labels = self.labels.of_thing(&thing);
                around.extend(labels.iter().cloned());
                around.push(server.uid());
            }
        }
        around.push(uid.clone());
        Placed { thing, uid, labels, around }
    }

    /// What the policies say, without asking whether the server is there for the caller.
    pub(crate) fn judge(
        &self,
        subject: &Subject,
        action: Action,
        placed: &Placed<'_>,
        circumstances: &Circumstances,
        arguments: Option<&Raw>,
    ) -> Ruling {
        let kind = placed.thing.kind;
        let form = form_of(action, kind);
        let ask = |action, form, slice: &Slice| {
            self.ask(subject, (action, form), placed, slice, circumstances, arguments)
        };
        let own = self.slice(subject, action, form, placed);
        match use_of(kind) {
            Some(of) if of == action => ask(action, form, &own),
            Some(of) => {
                let used = self.slice(subject, of, form, placed);
                let ruling = ask(of, form, &used);
                // Mostly policies are about both, and one answer is the other.
                let same = own.rules.iter().all(|rule| used.rules.contains(rule));
                if same && !own.reads.any(Reads::ACTION) {
                    return ruling;
                }
                ruling.and(ask(action, form, &own))
            }
            None if kind == ThingKind::Server && action.lists() => {
                let door = self.door(subject, placed);
                let opened =
                    self.ask(subject, (Action::Discover, Form::Door), placed, &door, circumstances, None);
                opened.and(ask(action, form, &own))
            }
            None => ask(action, form, &own),
        }
    }

    fn slice(
        &self,
        subject: &Subject,
        action: Action,
        form: Form,
        placed: &Placed<'_>,
    ) -> std::sync::Arc<Slice> {
        let rules = &self.rules;
        let of_action = subject.shelves.shelf(rules, subject.place(), action, form);
        of_action.slice(rules, placed.thing.type_name(), &placed.around)
    }

    /// The policies that a thing's being shown depends on; `None` when one of them can tell it from others of the same labels
    /// and hints.
    pub(crate) fn candidates(
        &self,
        subject: &Subject,
        action: Action,
        placed: &Placed<'_>,
    ) -> Option<Vec<usize>> {
        let form = form_of(action, placed.thing.kind);
        let used = self.slice(subject, use_of(placed.thing.kind)?, form, placed);
        let own = self.slice(subject, action, form, placed);
        let one_of_many = !used.reads.or(own.reads).any(Reads::IDENTITY);
        one_of_many.then(|| used.rules.iter().chain(&own.rules).copied().collect())
    }

    fn door(&self, subject: &Subject, placed: &Placed<'_>) -> std::sync::Arc<Slice> {
        let mut around = self.labels.within(placed.thing.server);
        around.push(placed.uid.clone());
        let rules = &self.rules;
        let doors = subject.shelves.shelf(rules, subject.place(), Action::Discover, Form::Door);
        doors.slice(rules, placed.thing.type_name(), &around)
    }

    fn ask(
        &self,
        subject: &Subject,
        (action, form): (Action, Form),
        placed: &Placed<'_>,
        slice: &Slice,
        circumstances: &Circumstances,
        arguments: Option<&Raw>,
    ) -> Ruling {
        let reads = slice.reads;
        if slice.rules.is_empty() {
            return Ruling::default();
        }
        let context = match self.context(subject, action, form, reads, circumstances, arguments) {
            Ok(context) => context,
            Err(error) => return Ruling { reads, ..Ruling::error(error) },
        };
        let asked = Request::new(
            subject.caller.uid.clone(),
            self.actions[action as usize].clone(),
            placed.uid.clone(),
            context,
            None,
        );
        let (Ok(request), Ok(entities)) = (asked, self.entities(subject, placed, reads)) else {
            return Ruling { reads, ..Ruling::error("the request cannot be expressed".to_owned()) };
        };
        let response = Authorizer::new().is_authorized(&request, &slice.set, &entities);
        let diagnostics = response.diagnostics();
        let reasons: Vec<_> = diagnostics.reason().filter_map(Rule::number).collect();
        let permitted = response.decision() == Decision::Allow;
        Ruling {
            permitted,
            forbidden: !permitted && !reasons.is_empty(),
            reasons,
            errors: diagnostics.errors().map(ToString::to_string).collect(),
            asked: slice.rules.clone(),
            reads,
        }
    }

    /// Only what is read goes in.
    fn context(
        &self,
        subject: &Subject,
        action: Action,
        form: Form,
        reads: Reads,
        circumstances: &Circumstances,
        arguments: Option<&Raw>,
    ) -> Result<Context, String> {
        let mut members = Vec::with_capacity(5);
        if reads.any(Reads::SCOPES)
            && let Some(scopes) = &subject.caller.scopes
        {
            let scopes = scopes.iter().map(|scope| RestrictedExpression::new_string(scope.clone()));
            members.push(("scopes".to_owned(), RestrictedExpression::new_set(scopes)));
        }
        if reads.any(Reads::TIME) {
            members.push(("now".to_owned(), circumstances.datetime()));
            members.push(("weekday".to_owned(), RestrictedExpression::new_long(circumstances.weekday())));
        }
        if reads.any(Reads::NETWORK)
            && let Some(address) = circumstances.address()
        {
            members.push(("ip".to_owned(), address));
        }
        if form == Form::Whole && action == Action::ToolsCall && reads.any(Reads::ARGUMENTS) {
            let read = arguments::read(arguments, &self.arguments);
            let read = read.map_err(|name| format!("the argument `{name}` is not of its declared type"))?;
            members.push(("args".to_owned(), read));
        }
        Context::from_pairs(members).map_err(|error| error.to_string())
    }

    /// The same. What is in what Cedar works out anew for each decision, and that is most of what one costs.
    fn entities(&self, subject: &Subject, placed: &Placed<'_>, reads: Reads) -> Result<Entities, String> {
        let mut all = Vec::new();
        if reads.any(Reads::GROUPS.or(Reads::NAMED)) {
            all.extend(subject.caller.entities.iter().cloned());
        } else if reads.any(Reads::PRINCIPAL) {
            all.push(subject.caller.alone.clone());
        }
        let above = reads.any(Reads::ABOVE.or(Reads::NAMED));
        if above {
            self.place_in(&mut all, placed, reads);
        } else if reads.any(Reads::RESOURCE) {
            all.push(placed.thing.entity(placed.uid.clone(), [], reads.any(Reads::HINTS)));
        }
        if reads.any(Reads::ACTION.or(Reads::NAMED)) {
            all.extend(self.hierarchy.iter().cloned());
        }
        Entities::from_entities(all, None).map_err(|error| error.to_string())
    }

    /// A thing with its server and their labels; a toolset has neither.
    fn place_in(&self, all: &mut Vec<Entity>, placed: &Placed<'_>, reads: Reads) {
        let Some(server) = placed.thing.its_server() else {
            all.push(placed.thing.entity(placed.uid.clone(), [], reads.any(Reads::HINTS.or(Reads::NAMED))));
            return;
        };
        let of_server = self.labels.of_server(placed.thing.server);
        let mut labels: Vec<_> = of_server.iter().chain(&placed.labels).cloned().collect();
        labels.sort_unstable();
        labels.dedup();
        all.extend(labels.into_iter().map(|label| entity(label, [], [])));
        if placed.thing.kind != ThingKind::Server {
            let parents = placed.labels.iter().cloned().chain([server.uid()]);
            let hints = reads.any(Reads::HINTS.or(Reads::NAMED));
            all.push(placed.thing.entity(placed.uid.clone(), parents, hints));
        }
        all.push(server.entity(server.uid(), of_server, false));
    }
}
