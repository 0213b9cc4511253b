//! What may reach a model and what may leave: each rule has a name of its own and does one thing.

use std::time::Duration;

use portcullis_guard::{Action, Entity, EntitySet, Path as DataPath};

use super::Check;
use super::http::guarded_url;
use crate::node::Path;
use crate::{Direction, Effect, Guard, GuardRule, GuardScope, Profile, PseudonymScope, Recogniser, raw};

/// Rules that a message may have to be held against.
const MOST: usize = 200;
/// Smallest bound on what is inspected: nothing that is asked and answered in earnest is shorter.
const LEAST_BYTES: usize = 64 << 10;
/// Smallest bound on what another recogniser is asked about.
const LEAST_ASKED: usize = 1 << 10;
/// How long one message waits for it, and how long it may at the most.
const PATIENCE: Duration = Duration::from_secs(2);
const MOST_PATIENCE: Duration = Duration::from_secs(8);

pub(super) fn guard(check: &mut Check<'_>, raw: &raw::Guard, roles: &raw::Roles) -> Guard {
    let top = Path::top("guard");
    let default = Guard::default();
    if raw.rules.len() > MOST {
        check.error(&top.key("rules"), format!("more than {MOST} rules"));
    }
    let mut checked: Vec<GuardRule> = Vec::with_capacity(raw.rules.len());
    for (index, one) in raw.rules.iter().enumerate() {
        let path = top.key("rules").index(index);
        let before = &raw.rules[..index];
        if one.name.is_empty() || one.name.len() > 64 || one.name.chars().any(char::is_control) {
            check.error(&path.key("name"), "not a name for a rule: use 1 to 64 characters");
        } else if before.iter().any(|other| other.name == one.name) {
            check.error(&path.key("name"), format!("another rule is called `{}`", one.name));
        }
        checked.extend(rule(check, &path, one, roles));
    }
    if let Some(index) = raw.allow.iter().position(|text| text.trim().is_empty()) {
        check.error(&top.key("allow").index(index), "an empty text is everywhere");
    }
    let key = raw.key.as_ref().and_then(|key| super::credentials::key_of(check, &top.key("key"), key));
    Guard {
        profile: match raw.profile {
            Some(raw::Profile::Baseline) | None => Profile::Baseline,
            Some(raw::Profile::Strict) => Profile::Strict,
            Some(raw::Profile::None) => Profile::None,
        },
        shadow: matches!(raw.mode, Some(raw::GuardMode::Shadow)),
        rules: checked,
        allow: raw.allow.clone(),
        threshold: raw.threshold.unwrap_or(default.threshold),
        max_bytes: check.size(&top.key("max_bytes"), raw.max_bytes.as_ref(), LEAST_BYTES, default.max_bytes),
        pseudonyms: match raw.pseudonyms {
            Some(raw::PseudonymScope::Session) => PseudonymScope::Session,
            Some(raw::PseudonymScope::Principal) | None => PseudonymScope::Principal,
            Some(raw::PseudonymScope::Tenant) => PseudonymScope::Tenant,
        },
        key,
        recogniser: raw.recogniser.as_ref().and_then(|raw| recogniser(check, &top.key("recogniser"), raw)),
    }
}

fn recogniser(check: &mut Check<'_>, path: &Path, raw: &raw::Recogniser) -> Option<Recogniser> {
    guarded_url(check, &path.key("url"), &raw.url, "what is said in calls goes there");
    let token = match &raw.token {
        Some(token) => Some(check.secret(&path.key("token"), "token", token)?),
        None => None,
    };
    let ca = raw.ca.as_ref().map(|file| check.file(&path.key("ca"), file));
    let mut asked = Vec::with_capacity(raw.entities.len());
    for (theirs, ours) in &raw.entities {
        let mut set = entities(&[*ours]).iter();
        match (set.next(), set.next()) {
            (Some(one), None) => asked.push((theirs.clone(), one)),
            _ => check.error(&path.key("entities").key(theirs), "is several; name one, such as `PERSON`"),
        }
    }
    if asked.is_empty() {
        asked = [("LOCATION", Entity::Address), ("PERSON", Entity::Person)]
            .map(|(theirs, ours)| (theirs.to_owned(), ours))
            .into();
    }
    let threshold = raw.threshold.unwrap_or(0.6);
    if !(0.0..=1.0).contains(&threshold) {
        check.error(&path.key("threshold"), "must be from 0 to 1");
    }
    let timeout = check.duration(&path.key("timeout"), raw.timeout.as_ref(), PATIENCE);
    if timeout > MOST_PATIENCE {
        check.error(&path.key("timeout"), "must be at most `8s`");
    }
    let concurrency = raw.concurrency.unwrap_or(8);
    if !(1..=256).contains(&concurrency) {
        check.error(&path.key("concurrency"), "must be from 1 to 256");
    }
    Some(Recogniser {
        url: raw.url.clone(),
        token,
        ca,
        language: raw.language.clone().unwrap_or_else(|| "en".to_owned()),
        entities: asked,
        threshold,
        timeout,
        max_bytes: check.size(&path.key("max_bytes"), raw.max_bytes.as_ref(), LEAST_ASKED, 256 << 10),
        concurrency: usize::from(concurrency),
        lenient: matches!(raw.on_failure, Some(raw::OnFailure::Pass)),
    })
}

fn rule(check: &mut Check<'_>, path: &Path, raw: &raw::GuardRule, roles: &raw::Roles) -> Option<GuardRule> {
    let direction = raw.direction.map(|direction| match direction {
        raw::Direction::ToClient => Direction::ToClient,
        raw::Direction::ToServer => Direction::ToServer,
    });
    let effect = effect(check, path, raw, direction);
    let given = Given {
        groups: &raw.groups,
        roles: &raw.roles,
        principals: &raw.principals,
        policies: &raw.policies,
        servers: &raw.servers,
        tools: &raw.tools,
    };
    let scope = scope_of(check, path, &given, roles);
    let unless = raw.unless.as_ref().map(|raw| {
        let path = path.key("unless");
        let given = Given {
            groups: &raw.groups,
            roles: &raw.roles,
            principals: &raw.principals,
            policies: &raw.policies,
            servers: &raw.servers,
            tools: &raw.tools,
        };
        let unless = scope_of(check, &path, &given, roles);
        if unless == GuardScope::default() {
            check.error(&path, "excepts everything; say what the rule does not hold for");
        }
        unless
    });
    Some(GuardRule { name: raw.name.clone(), scope, direction, unless, effect: effect? })
}

/// What a rule does: one thing.
fn effect(
    check: &mut Check<'_>,
    path: &Path,
    raw: &raw::GuardRule,
    direction: Option<Direction>,
) -> Option<Effect> {
    let entities = (!raw.entities.is_empty()).then(|| entities(&raw.entities));
    let fields = paths(check, &path.key("fields"), &raw.fields);
    if !raw.only.is_empty() {
        if raw.action.is_some() || !raw.fields.is_empty() || entities.is_some() {
            check.error(&path.key("only"), "stands alone: no `action`, `entities` or `fields` beside it");
        }
        return Some(Effect::Only(paths(check, &path.key("only"), &raw.only)));
    }
    let Some(action) = raw.action else {
        check.error(path, "does nothing; set `action`, or `only`");
        return None;
    };
    let action = match action {
        raw::Action::Restore => {
            if direction != Some(Direction::ToServer) {
                check.error(&path.key("action"), "`restore` needs `direction: to-server`");
            }
            if !fields.is_empty() {
                check.error(&path.key("fields"), "does not go with `restore`");
            }
            return Some(Effect::Restore(entities.unwrap_or(EntitySet::ALL)));
        }
        raw::Action::Pseudonym if direction == Some(Direction::ToServer) => {
            check.error(&path.key("action"), "`pseudonym` is for what goes `to-client`");
            return None;
        }
        raw::Action::Allow => Action::Allow,
        raw::Action::Pseudonym => Action::Pseudonym,
        raw::Action::Partial => Action::Partial,
        raw::Action::Mask => Action::Mask,
        raw::Action::Hash => Action::Hash,
        raw::Action::Redact => Action::Redact,
        raw::Action::Drop => Action::Drop,
        raw::Action::Hold => Action::Hold,
        raw::Action::Block => Action::Block,
    };
    match (raw.fields.is_empty(), entities) {
        (true, None) => {
            check.error(path, "is about nothing; set `entities` or `fields`");
            None
        }
        (true, Some(entities)) => Some(Effect::Entities(entities, action)),
        (false, entities) => Some(Effect::Fields(fields, entities, action)),
    }
}

fn paths(check: &mut Check<'_>, path: &Path, raw: &[String]) -> Vec<DataPath> {
    let mut paths = Vec::with_capacity(raw.len());
    for (index, text) in raw.iter().enumerate() {
        match DataPath::parse(text) {
            Ok(parsed) => paths.push(parsed),
            Err(error) => check.error(&path.index(index), format!("`{text}` is no JSON path: {error}")),
        }
    }
    paths
}

/// Whose and what, as it is written.
struct Given<'a> {
    groups: &'a [String],
    roles: &'a [String],
    principals: &'a [String],
    policies: &'a [String],
    servers: &'a [String],
    tools: &'a [String],
}

fn scope_of(check: &mut Check<'_>, path: &Path, given: &Given<'_>, roles: &raw::Roles) -> GuardScope {
    for (index, tool) in given.tools.iter().enumerate() {
        let fits = tool.split_once('/').is_some_and(|(server, name)| !server.is_empty() && !name.is_empty());
        if !fits {
            let message = format!("`{tool}` is not `SERVER/NAME`; `*` stands for any characters");
            check.error(&path.key("tools").index(index), message);
        }
    }
    for (index, id) in given.principals.iter().enumerate() {
        if !super::policy::is_principal(id) {
            let message = format!("`{id}` is no principal; {}", super::policy::PRINCIPALS);
            check.error(&path.key("principals").index(index), message);
        }
    }
    for (index, server) in given.servers.iter().enumerate() {
        if !check.has_server(server) {
            check.warn(&path.key("servers").index(index), format!("`{server}` is no configured server"));
        }
    }
    let mut groups = given.groups.to_vec();
    for (index, role) in given.roles.iter().enumerate() {
        match roles.get(role) {
            Some(having) => groups.extend(having.iter().cloned()),
            None => {
                let message = format!("no group has the role `{role}` in `policy.roles`");
                check.error(&path.key("roles").index(index), message);
            }
        }
    }
    groups.sort();
    groups.dedup();
    GuardScope {
        groups: (!given.groups.is_empty() || !given.roles.is_empty()).then_some(groups),
        principals: given.principals.to_vec(),
        policies: given.policies.to_vec(),
        servers: given.servers.to_vec(),
        tools: given.tools.to_vec(),
    }
}

fn entities(raw: &[raw::Entity]) -> EntitySet {
    use portcullis_guard::Entity as E;
    raw.iter().fold(EntitySet::NONE, |set, one| {
        let entity = match one {
            raw::Entity::Credentials => return EntitySet::CREDENTIALS.iter().fold(set, EntitySet::with),
            raw::Entity::Personal => return EntitySet::PERSONAL.iter().fold(set, EntitySet::with),
            raw::Entity::All => return EntitySet::ALL,
            raw::Entity::Email => E::Email,
            raw::Entity::Phone => E::Phone,
            raw::Entity::Iban => E::Iban,
            raw::Entity::CreditCard => E::CreditCard,
            raw::Entity::IpAddress => E::IpAddress,
            raw::Entity::NationalId => E::NationalId,
            raw::Entity::Passport => E::Passport,
            raw::Entity::DateOfBirth => E::DateOfBirth,
            raw::Entity::Secret => E::Secret,
            raw::Entity::PrivateKey => E::PrivateKey,
            raw::Entity::Jwt => E::Jwt,
            raw::Entity::UrlPassword => E::UrlPassword,
            raw::Entity::Password => E::Password,
            raw::Entity::Person => E::Person,
            raw::Entity::Address => E::Address,
            raw::Entity::Injection => E::Injection,
            raw::Entity::HiddenText => E::HiddenText,
        };
        set.with(entity)
    })
}
