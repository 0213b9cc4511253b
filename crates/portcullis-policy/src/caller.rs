//! Who calls, as policies see them.

use std::collections::{BTreeMap, HashSet};
use std::hash::{Hash, Hasher};

use cedar_policy::{Entity, EntityUid, RestrictedExpression};
use portcullis_model::{Claim, Principal};

use crate::schema::Kind;
use crate::thing::{entity, record, uid};

/// A principal with all that was vouched for about it: two are the same only when all of that is.
#[derive(Clone, Debug)]
pub(crate) struct Vouched(pub(crate) Principal);

impl PartialEq for Vouched {
    fn eq(&self, other: &Self) -> bool {
        self.0.is_vouched_as(&other.0)
    }
}

impl Eq for Vouched {}

impl Hash for Vouched {
    /// Claims are compared, and not hashed: whoever has the same groups mostly has the same claims.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
        self.0.groups().hash(state);
        self.0.scopes().hash(state);
    }
}

/// A caller as Cedar sees it.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) uid: EntityUid,
    pub(crate) kind: &'static str,
    /// The caller, and its groups and roles.
    pub(crate) entities: Vec<Entity>,
    /// The caller, as if it were in nothing.
    pub(crate) alone: Entity,
    /// The caller itself and everything that it is in.
    pub(crate) around: HashSet<EntityUid>,
    pub(crate) scopes: Option<Vec<String>>,
    /// A declared claim that is not of the declared type. Nothing is decided on what cannot be read.
    pub(crate) unreadable: Option<String>,
}

/// What the operator says about groups.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    /// Groups by the id of a principal.
    pub(crate) groups: BTreeMap<String, Vec<String>>,
    /// Roles by group.
    pub(crate) roles: BTreeMap<String, Vec<String>>,
}

impl Membership {
    /// From roles with their groups, and groups with the ids of their principals.
    pub(crate) fn new(roles: &BTreeMap<String, Vec<String>>, groups: &BTreeMap<String, Vec<String>>) -> Self {
        Self { groups: turned(groups), roles: turned(roles) }
    }
}

fn turned(map: &BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    let mut turned: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, members) in map {
        for member in members {
            turned.entry(member.clone()).or_default().push(name.clone());
        }
    }
    turned
}

impl Caller {
    pub(crate) fn new(
        principal: &Principal,
        membership: &Membership,
        declared: &BTreeMap<String, Kind>,
    ) -> Self {
        let id = principal.id();
        let (kind, claims) = match principal {
            Principal::User(user) => ("User", Some(&user.claims)),
            Principal::Key(_) => ("Key", None),
            Principal::Certificate { .. } => ("Certificate", None),
            Principal::Workload { .. } => ("Workload", None),
            Principal::Anonymous => ("Anonymous", None),
        };
        let own = uid(kind, &id);
        let given = membership.groups.get(&id).into_iter().flatten();
        let names: HashSet<&String> = principal.groups().iter().chain(given).collect();
        let (mut entities, mut groups, mut roles) = (Vec::new(), Vec::new(), HashSet::new());
        for name in names {
            let group = uid("Group", name);
            let of: Vec<_> =
                membership.roles.get(name).into_iter().flatten().map(|role| uid("Role", role)).collect();
            roles.extend(of.iter().cloned());
            entities.push(entity(group.clone(), [], of));
            groups.push(group);
        }
        let (claims, unreadable) = match read_claims(claims, declared) {
            Ok(claims) => (claims, None),
            Err(claim) => (record([]), Some(claim)),
        };
        let mut attributes = vec![("id".to_owned(), text(&id)), ("claims".to_owned(), claims)];
        if let Principal::User(user) = principal {
            attributes.push(("issuer".to_owned(), text(&user.issuer)));
            attributes.push(("subject".to_owned(), text(&user.subject)));
            attributes.extend(user.client_id.as_deref().map(|client| ("client".to_owned(), text(client))));
        }
        let mut around: HashSet<_> = groups.iter().cloned().chain(roles).collect();
        around.insert(own.clone());
        let alone = entity(own.clone(), attributes.iter().cloned(), []);
        entities.push(entity(own.clone(), attributes, groups));
        let scopes = principal.scopes().map(<[String]>::to_vec);
        Self { uid: own, kind, entities, alone, around, scopes, unreadable }
    }
}

fn text(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

/// The declared claims that are there.
///
/// # Errors
/// The name of one that is there and not what was declared: to policies it would look as if it were absent.
fn read_claims(
    claims: Option<&BTreeMap<String, Claim>>,
    declared: &BTreeMap<String, Kind>,
) -> Result<RestrictedExpression, String> {
    let mut members = Vec::new();
    for (name, kind) in declared {
        let Some(claim) = claims.and_then(|claims| claims.get(name)) else { continue };
        let read = match (kind, claim) {
            (Kind::Text, Claim::Text(claim)) => text(claim),
            (Kind::Integer, Claim::Integer(claim)) => RestrictedExpression::new_long(*claim),
            (Kind::Bool, Claim::Bool(claim)) => RestrictedExpression::new_bool(*claim),
            (Kind::Decimal, Claim::Integer(claim)) => {
                decimal(&claim.to_string()).ok_or_else(|| name.clone())?
            }
            (Kind::Decimal, Claim::Text(claim)) => decimal(claim).ok_or_else(|| name.clone())?,
            (Kind::Texts, Claim::Text(claim)) => RestrictedExpression::new_set([text(claim)]),
            (Kind::Texts, Claim::List(claims)) => {
                let texts: Option<Vec<_>> = claims.iter().map(|claim| claim.as_text().map(text)).collect();
                RestrictedExpression::new_set(texts.ok_or_else(|| name.clone())?)
            }
            _ => return Err(name.clone()),
        };
        members.push((name.clone(), read));
    }
    Ok(record(members))
}

/// A number in the form that Cedar's decimals have, if it is one: sign, digits, one to four decimals.
pub(crate) fn decimal(number: &str) -> Option<RestrictedExpression> {
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let fits = all_digits(digits) && digits.len() <= 14 && all_digits(part) && part.len() <= 4;
    fits.then(|| RestrictedExpression::new_decimal(format!("{whole}.{part}")))
}
