//! What the rules say to one kind of message, for one caller, at one server: a plan for the engine, and who wrote it.
//!
//! Rules are read in their order, and for each entity and each field the first that says something decides; where none
//! does, the profile does. Made once for each set of rules that fit, and kept.

use aws_lc_rs::hmac;
use portcullis_config::{Direction, Effect, GuardRule, Profile};
use portcullis_guard::{Action, Entity, EntitySet, FieldRule, Path, Plan};

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// Arguments or the result of a tool: it has data.
    Tool,
    /// Everything else that is said in a call.
    Message,
    /// What a server says of itself, to whoever asks.
    Definition,
}

/// What is done with a message.
pub(super) struct Decision {
    pub(super) plan: Plan,
    /// Pseudonyms of these are opened.
    pub(super) restore: EntitySet,
    /// Nothing is looked for.
    pub(super) idle: bool,
    /// What is done with what somebody has approved, where anything is held for that.
    pub(super) released: Option<Plan>,
    /// The rule that decides for each entity; the profile does where there is none.
    by: [Option<usize>; Entity::COUNT],
    /// The rules that are about fields.
    about_fields: Vec<usize>,
}

impl Decision {
    /// Of the rules that fit, by their places.
    pub(super) fn new(
        profile: Option<Profile>,
        rules: &[(usize, &GuardRule)],
        direction: Direction,
        form: Form,
        key: hmac::Key,
    ) -> Self {
        let mut plan = Plan::all(Action::Allow, key);
        let mut by = [None; Entity::COUNT];
        let mut decided = EntitySet::NONE;
        let mut restore = EntitySet::NONE;
        let mut about_fields = Vec::new();
        for (index, rule) in rules {
            match &rule.effect {
                Effect::Entities(entities, action) => {
                    let before = decided;
                    for entity in entities.iter().filter(|entity| !before.contains(*entity)) {
                        decided = decided.with(entity);
                        by[entity as usize] = Some(*index);
                        plan.actions[entity as usize] = *action;
                    }
                }
                Effect::Fields(paths, entities, action) if form != Form::Definition => {
                    about_fields.push(*index);
                    plan.fields.extend(paths.iter().map(|path| FieldRule {
                        path: path.clone(),
                        entities: *entities,
                        action: *action,
                    }));
                }
                Effect::Only(paths) if form == Form::Tool && plan.only.is_none() => {
                    about_fields.push(*index);
                    plan.only = Some(paths.clone());
                }
                Effect::Restore(entities) => restore = entities.iter().fold(restore, EntitySet::with),
                Effect::Fields(..) | Effect::Only(_) => {}
            }
        }
        // To the engine the last one counts.
        plan.fields.reverse();
        for entity in Entity::ALL.into_iter().filter(|entity| !decided.contains(*entity)) {
            plan.actions[entity as usize] = default_action(profile, direction, form, entity);
        }
        if form == Form::Tool {
            (plan.data, plan.texts) = places(direction);
        }
        let acts = plan.actions.iter().any(|action| *action != Action::Allow);
        let idle = !acts && plan.fields.is_empty() && plan.only.is_none() && decided == EntitySet::NONE;
        let released = released(&plan);
        Self { plan, restore, idle, released, by, about_fields }
    }

    /// Whether anything is done about one of these.
    pub(super) fn acts_on(&self, entities: EntitySet) -> bool {
        let in_fields = |entity: Entity| {
            let is_about = |rule: &FieldRule| rule.entities.is_some_and(|some| some.contains(entity));
            self.plan.fields.iter().any(|rule| rule.action != Action::Allow && is_about(rule))
        };
        !self.idle
            && entities.iter().any(|entity| self.plan.action(entity) != Action::Allow || in_fields(entity))
    }

    /// Which rule decides about an entity; `None` is the profile.
    pub(super) fn by(&self, entity: Entity) -> Option<usize> {
        self.by[entity as usize]
    }

    /// A rule that is about fields.
    pub(super) fn about_fields(&self) -> Option<usize> {
        self.about_fields.first().copied()
    }
}

/// The same plan for what somebody has approved: what is held passes.
fn released(plan: &Plan) -> Option<Plan> {
    let let_go = |action: &mut Action| {
        let held = *action == Action::Hold;
        if held {
            *action = Action::Allow;
        }
        held
    };
    let mut released = plan.clone();
    let actions = released.actions.iter_mut().map(let_go).filter(|held| *held).count();
    let fields = released.fields.iter_mut().map(|rule| let_go(&mut rule.action)).filter(|held| *held).count();
    (actions + fields > 0).then_some(released)
}

/// What a profile does, which is a promise: docs/concept/guard.md has the table. Without the section in the configuration
/// only definitions are looked at.
pub(super) fn default_action(
    profile: Option<Profile>,
    direction: Direction,
    form: Form,
    entity: Entity,
) -> Action {
    // Many tools log in somewhere.
    let login = direction == Direction::ToServer && entity == Entity::Password;
    let credential = EntitySet::CREDENTIALS.contains(entity) && !login;
    let personal = EntitySet::PERSONAL.contains(entity);
    let strict = profile == Some(Profile::Strict);
    match (profile, form, direction, entity) {
        (Some(Profile::None), ..) => Action::Allow,
        (_, Form::Definition, _, Entity::HiddenText) => Action::Redact,
        (_, Form::Definition, _, Entity::Injection) => Action::Block,
        (None, ..) => Action::Allow,
        (_, _, _, Entity::HiddenText) => Action::Redact,
        (_, _, Direction::ToServer, _) if credential || (strict && personal) => Action::Block,
        (_, _, Direction::ToClient, _) if credential || (strict && personal) => Action::Redact,
        (Some(Profile::Strict), _, Direction::ToClient, Entity::Injection) => Action::Block,
        _ => Action::Allow,
    }
}

/// Where the data is, and the texts that repeat it.
fn places(direction: Direction) -> (Vec<Path>, Vec<Path>) {
    let paths = |paths: &[&str]| {
        let parse = |path: &&str| Path::parse(path).expect("a path that is written well");
        paths.iter().map(parse).collect()
    };
    match direction {
        Direction::ToServer => (paths(&["$.arguments"]), Vec::new()),
        // Also inside a task, which has the result as a member.
        Direction::ToClient => (
            paths(&["$.structuredContent", "$.result.structuredContent"]),
            paths(&[
                "$.content[*].text",
                "$.content[*].resource.text",
                "$.result.content[*].text",
                "$.result.content[*].resource.text",
            ]),
        ),
    }
}
