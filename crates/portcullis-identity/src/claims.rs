//! The list of what an access token must pass (RFC 9068, RFC 8725, MCP 2026-07-28), in its order.
//!
//! Checks 1 to 5 (size, algorithm, ignored header parameters, issuer and key, signature) are `jose/`'s and
//! `authenticate.rs`'s. Here are types, times, tenant, subject, and what is made of the claims. Audience, binding and
//! revocation depend on the request and are looked at each time (`authenticate.rs`).

use std::collections::BTreeMap;

use portcullis_model::{Claim, Principal, User};
use serde_json::Value;

use crate::jose::Object;
use crate::refused::Reason;
use crate::settings::IssuerSettings;
use crate::verified::{Binding, Kind, Verified};

/// How much the clocks of others may differ from ours, in seconds.
pub(crate) const LEEWAY: u64 = 30;

/// How long a verified token is remembered, in seconds: what its issuer takes back counts after so long at the latest.
const REMEMBERED: u64 = 60;

/// Claims that are a token's mechanics and say nothing of the user.
pub(crate) const MECHANICS: &[&str] = &[
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "cnf",
    "scope",
    "scp",
    "client_id",
    "azp",
    "cid",
    "nonce",
    "at_hash",
    "c_hash",
    "s_hash",
    "active",
    "token_type",
    "_claim_names",
    "_claim_sources",
];

/// Checks the claims of a token whose signature is the issuer's.
pub(crate) fn of_token(
    typ: Option<&str>,
    claims: &Object,
    issuer: &IssuerSettings,
    now: u64,
) -> Result<Verified, Reason> {
    check_type(typ, claims, issuer)?;
    let expires = check_times(claims, issuer, now)?;
    read(claims, issuer, expires, now)
}

/// Checks what an issuer answered when it was asked about a token (RFC 7662 section 2.2). `lasting` is how long an answer
/// without an end counts.
pub(crate) fn of_introspection(
    claims: &Object,
    issuer: &IssuerSettings,
    now: u64,
    lasting: u64,
) -> Result<Verified, Reason> {
    if claims.get("active") != Some(&Value::Bool(true)) {
        return Err(Reason::Inactive);
    }
    if claims.get("iss").is_some_and(|iss| iss != issuer.issuer.as_str()) {
        return Err(Reason::Issuer);
    }
    let expires = if claims.contains_key("exp") { check_times(claims, issuer, now)? } else { now + lasting };
    read(claims, issuer, expires, now)
}

/// Check 6. ID tokens of issuers that type nothing are told by what only they have (OpenID Connect Core section 2).
fn check_type(typ: Option<&str>, claims: &Object, issuer: &IssuerSettings) -> Result<(), Reason> {
    let typed = typ.is_some_and(|typ| {
        ["at+jwt", "application/at+jwt"].iter().any(|known| typ.eq_ignore_ascii_case(known))
    });
    if typed {
        return Ok(());
    }
    if ["nonce", "at_hash", "c_hash"].iter().any(|name| claims.contains_key(*name)) {
        return Err(Reason::IdToken);
    }
    let untyped = typ.is_none_or(|typ| typ.eq_ignore_ascii_case("JWT"));
    if !issuer.untyped || !untyped {
        return Err(Reason::Type);
    }
    let audiences = claims.get("aud").map(texts).unwrap_or_default();
    if client_id(claims).is_some_and(|client| audiences.contains(&client)) {
        return Err(Reason::IdToken);
    }
    Ok(())
}

/// Check 7: returns when the token expires. A time that is no number is not absent (CVE-2026-25537).
fn check_times(claims: &Object, issuer: &IssuerSettings, now: u64) -> Result<u64, Reason> {
    let expires = time(claims, "exp")?.ok_or(Reason::Time)?;
    if expires.saturating_add(LEEWAY) <= now {
        return Err(Reason::Expired);
    }
    if time(claims, "nbf")?.is_some_and(|time| time > now + LEEWAY) {
        return Err(Reason::NotYet);
    }
    let made = time(claims, "iat")?;
    if made.is_some_and(|time| time > now + LEEWAY) {
        return Err(Reason::NotYet);
    }
    let longest = issuer.max_lifetime.as_secs();
    if expires.saturating_sub(made.unwrap_or(now)) > longest || expires > now + longest + LEEWAY {
        return Err(Reason::Lifetime);
    }
    Ok(expires)
}

/// A NumericDate (RFC 7519 section 2), in whole seconds.
fn time(claims: &Object, name: &str) -> Result<Option<u64>, Reason> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    if let Some(seconds) = value.as_u64() {
        return Ok(Some(seconds));
    }
    // A fraction is allowed; so large a number that it has an exponent is no time.
    let whole = |seconds: f64| (0.0..9e15).contains(&seconds).then(|| format!("{seconds:.0}").parse().ok());
    let Value::Number(number) = value else { return Err(Reason::Time) };
    number.as_f64().map(f64::floor).and_then(whole).flatten().map(Some).ok_or(Reason::Time)
}

/// Checks 9 to 12, and what is made of the rest.
fn read(claims: &Object, issuer: &IssuerSettings, expires: u64, now: u64) -> Result<Verified, Reason> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if issuer.tenants.as_ref().is_some_and(|tenants| !tenants.let_in(claims)) {
        return Err(Reason::Tenant);
    }
    let subject = text("sub").filter(|subject| !subject.is_empty()).ok_or(Reason::Subject)?;
    let binding = binding(claims)?;
    let user = User {
        issuer: issuer.issuer.clone(),
        subject: subject.to_owned(),
        client_id: client_id(claims),
        scopes: claims.get("scope").or_else(|| claims.get("scp")).map(words).unwrap_or_default(),
        groups: groups(claims, issuer)?,
        claims: told(claims),
    };
    let principal = Principal::user(user);
    Ok(Verified {
        id: principal.id().into(),
        principal,
        expires,
        // It was looked at with the other times.
        issued: time(claims, "iat").ok().flatten(),
        fresh_until: expires.min(now + REMEMBERED),
        audiences: claims.get("aud").map(texts).unwrap_or_default(),
        binding,
        token_id: text("jti").map(str::to_owned),
        session: text("sid").map(str::to_owned),
        kind: Kind::Token,
    })
}

fn client_id(claims: &Object) -> Option<String> {
    ["client_id", "azp", "cid"].iter().find_map(|name| Some(claims.get(*name)?.as_str()?.to_owned()))
}

/// A confirmation that is not known binds to something that nobody checks: it must not count as none.
fn binding(claims: &Object) -> Result<Binding, Reason> {
    let Some(cnf) = claims.get("cnf") else { return Ok(Binding::None) };
    let cnf = cnf.as_object().ok_or(Reason::UnknownBinding)?;
    let mut members = cnf.iter();
    match (members.next(), members.next()) {
        (Some((name, Value::String(value))), None) if name == "jkt" => Ok(Binding::Key(value.clone())),
        (Some((name, Value::String(value))), None) if name == "x5t#S256" => {
            Ok(Binding::Certificate(value.clone()))
        }
        _ => Err(Reason::UnknownBinding),
    }
}

/// The groups that the issuer vouches for. Groups that cannot be read are no absence of groups: whoever is forbidden
/// something for a group of theirs would be let through.
fn groups(claims: &Object, issuer: &IssuerSettings) -> Result<Vec<String>, Reason> {
    let path = issuer.groups_claim.as_str();
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let names = groups_at(claims, path)?.unwrap_or_default();
    Ok(names.into_iter().map(|name| format!("{}{name}", issuer.groups_prefix)).collect())
}

/// Whether the groups that a claim should list are there, and somewhere else (OpenID Connect Core section 5.6.2).
fn are_elsewhere(claims: &Object, path: &str) -> bool {
    let elsewhere = |names: &Object| {
        names.contains_key(path) || path.split('.').next().is_some_and(|first| names.contains_key(first))
    };
    let named = claims.get("_claim_names").is_some_and(|names| names.as_object().is_none_or(elsewhere));
    // The same of Entra where a token is to stay short.
    named || path == "groups" && claims.get("hasgroups").is_some_and(|has| *has != Value::Bool(false))
}

/// The groups that a claim lists; `None` when there is no such claim.
///
/// # Errors
/// It is there and lists no names, or its groups are told somewhere else.
pub(crate) fn groups_at(claims: &Object, path: &str) -> Result<Option<Vec<String>>, Reason> {
    match find(claims, path)? {
        None if are_elsewhere(claims, path) => Err(Reason::GroupsElsewhere),
        None => Ok(None),
        Some(Value::String(name)) => Ok(Some(vec![name.clone()])),
        Some(Value::Array(names)) => {
            let names = names.iter().map(|name| name.as_str().map(str::to_owned));
            names.collect::<Option<_>>().map(Some).ok_or(Reason::Groups)
        }
        Some(_) => Err(Reason::Groups),
    }
}

/// The claim with this name, or at the end of this path; one that is `null` is not there.
///
/// # Errors
/// The path leads through what holds nothing.
fn find<'a>(claims: &'a Object, path: &str) -> Result<Option<&'a Value>, Reason> {
    let there = |value: &'a Value| (!value.is_null()).then_some(value);
    if let Some(value) = claims.get(path) {
        return Ok(there(value));
    }
    let mut names = path.split('.');
    let mut found = names.next().and_then(|first| claims.get(first)).and_then(there);
    // A name without a dot was looked for above.
    for name in names {
        found = match found {
            Some(Value::Object(members)) => members.get(name).and_then(there),
            Some(_) => return Err(Reason::Groups),
            None => None,
        };
    }
    Ok(found)
}

/// A text, or the texts of a list.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// The same, with a text taken for a list of words.
fn words(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => text.split_ascii_whitespace().map(str::to_owned).collect(),
        other => texts(other),
    }
}

/// What the token tells of the user.
fn told(claims: &Object) -> BTreeMap<String, Claim> {
    let told = claims.iter().filter(|(name, _)| !MECHANICS.contains(&name.as_str()));
    told.filter_map(|(name, value)| Some((name.clone(), claim(value)?))).collect()
}

fn claim(value: &Value) -> Option<Claim> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(bool) => Claim::Bool(*bool),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => Claim::Integer(integer),
            None => Claim::Text(number.to_string()),
        },
        Value::String(text) => Claim::Text(text.clone()),
        Value::Array(items) => Claim::List(items.iter().filter_map(claim).collect()),
        Value::Object(members) => Claim::Object(
            members.iter().filter_map(|(name, value)| Some((name.clone(), claim(value)?))).collect(),
        ),
    })
}
