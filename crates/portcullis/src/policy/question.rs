//! One question to policies, as it is typed: who, what, to which thing.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::SystemTime;

use portcullis_config::{Case, Settings, Who};
use portcullis_mcp::json::{Kind, Limits, Raw};
use portcullis_model::{Claim, Key, Principal, User};
use portcullis_policy::{Action, Annotations, Circumstances, Policies, Thing, ThingKind, Verdict};

use crate::args::{Explain, ThingArgs};

/// A question.
pub(super) struct Question {
    principal: Principal,
    action: Action,
    server: String,
    kind: ThingKind,
    name: String,
    arguments: Option<Raw>,
    circumstances: Circumstances,
    /// What the file of the keys says of the caller, where it is one.
    pub(super) key: Option<String>,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.principal, self.action.name())?;
        match self.kind {
            ThingKind::Server => f.write_str(&self.server),
            ThingKind::Toolset => f.write_str(&self.name),
            _ => write!(f, "{}/{}", self.server, self.name),
        }
    }
}

impl Question {
    /// That of a case.
    ///
    /// # Errors
    /// What cannot be understood.
    pub(super) fn of_case(case: &Case, settings: &Settings) -> Result<Self, String> {
        let things = [&case.tool, &case.prompt, &case.resource, &case.template, &case.server, &case.toolset];
        if things.iter().filter(|thing| thing.is_some()).count() != 1 {
            return Err(
                "name one of `tool`, `prompt`, `resource`, `template`, `server` and `toolset`".to_owned()
            );
        }
        let thing = ThingArgs {
            tool: case.tool.clone(),
            prompt: case.prompt.clone(),
            resource: case.resource.clone(),
            template: case.template.clone(),
            server: case.server.clone(),
            toolset: case.toolset.clone(),
        };
        let (principal, key) = principal(&case.who, settings)?;
        Self {
            principal,
            key,
            arguments: case.args.as_deref().map(object).transpose()?,
            circumstances: circumstances(case.from.as_deref(), case.at.as_deref())?,
            ..Self::about(&thing, &case.annotations, settings)?
        }
        .with(case.method.as_deref())
    }

    /// That of a command line.
    ///
    /// # Errors
    /// What cannot be understood.
    pub(super) fn of_args(asked: &Explain, settings: &Settings) -> Result<Self, String> {
        let who = Who {
            id: asked.who.clone(),
            groups: asked.groups.clone(),
            scopes: asked.scopes.clone(),
            client: asked.client.clone(),
            claims: asked.claims.clone(),
        };
        let (principal, key) = principal(&who, settings)?;
        Self {
            principal,
            key,
            arguments: asked.args.as_deref().map(object).transpose()?,
            circumstances: circumstances(asked.from.as_deref(), asked.at.as_deref())?,
            ..Self::about(&asked.thing, &asked.annotations, settings)?
        }
        .with(asked.method.as_deref())
    }

    fn about(thing: &ThingArgs, hints: &[String], settings: &Settings) -> Result<Self, String> {
        let tool = ThingKind::Tool(annotations(hints)?);
        let (kind, action, text) = match thing {
            ThingArgs { tool: Some(text), .. } => (tool, Action::ToolsCall, text),
            ThingArgs { prompt: Some(text), .. } => (ThingKind::Prompt, Action::PromptsGet, text),
            ThingArgs { resource: Some(text), .. } => (ThingKind::Resource, Action::ResourcesRead, text),
            ThingArgs { template: Some(text), .. } => (ThingKind::Template, Action::TemplatesList, text),
            ThingArgs { server: Some(text), .. } => (ThingKind::Server, Action::Discover, text),
            ThingArgs { toolset: Some(text), .. } => (ThingKind::Toolset, Action::ToolsetsUse, text),
            _ => return Err("name a thing".to_owned()),
        };
        let (server, name) = match kind {
            ThingKind::Server => (text.as_str(), ""),
            ThingKind::Toolset => ("", text.as_str()),
            // A slug has no underscore, so the aggregate's names part at the first two.
            _ => text.split_once('/').or_else(|| text.split_once("__")).ok_or_else(|| {
                format!("`{text}` names no server; write SERVER/NAME, or the name that the aggregate lists")
            })?,
        };
        let (noun, sought, known): (_, _, Vec<_>) = match kind {
            ThingKind::Toolset => {
                ("toolset", name, settings.toolsets.keys().map(ToString::to_string).collect())
            }
            _ => ("server", server, settings.servers.keys().map(ToString::to_string).collect()),
        };
        if !known.iter().any(|id| id == sought) {
            return Err(format!("there is no {noun} `{sought}`; there are {}", known.join(", ")));
        }
        Ok(Self {
            principal: Principal::Anonymous,
            action,
            server: server.to_owned(),
            kind,
            name: name.to_owned(),
            arguments: None,
            circumstances: Circumstances { now: SystemTime::now(), ip: None },
            key: None,
        })
    }

    fn with(mut self, method: Option<&str>) -> Result<Self, String> {
        if let Some(method) = method {
            let known = || Action::all().map(Action::name).collect::<Vec<_>>().join(", ");
            self.action = Action::named(method)
                .ok_or_else(|| format!("no method `{method}`; there are {}", known()))?;
        } else if self.action == Action::ToolsCall && self.arguments.is_none() {
            // Nothing is known of a call yet but its tool.
            self.action = Action::ToolsList;
        }
        Ok(self)
    }

    /// Asks.
    pub(super) fn put(&self, policies: &Policies) -> Verdict {
        let thing = Thing { server: &self.server, kind: self.kind, name: &self.name };
        let arguments = self.arguments.as_ref();
        policies.explain(&self.principal, self.action, thing, &self.circumstances, arguments)
    }
}

/// Who asks, and what is known of the key with which they do.
fn principal(who: &Who, settings: &Settings) -> Result<(Principal, Option<String>), String> {
    match who.id.strip_prefix("key:") {
        Some(name) => Ok(machine(name, who, settings)),
        None => Ok((person(who)?, None)),
    }
}

/// A machine with the groups and scopes that its key has, or those that were given instead.
fn machine(name: &str, who: &Who, settings: &Settings) -> (Principal, Option<String>) {
    let (mut groups, mut scopes) = (who.groups.clone(), who.scopes.clone());
    let said = settings.identity.keys.as_ref().map(|keys| {
        let file = keys.file.display();
        let Some(key) = keys.keys.get(name) else {
            let known: Vec<_> = keys.keys.keys().map(String::as_str).collect();
            return format!("there is no key `{name}` in {file}, which has {}", list(&known));
        };
        let told = |what: &str, given: &mut Vec<String>, kept: &[String]| {
            if !given.is_empty() {
                return format!("{what} as given, in place of {}", list(kept));
            }
            given.extend_from_slice(kept);
            format!("{what} {}", list(kept))
        };
        let groups = told("groups", &mut groups, &key.groups);
        let scopes = told("scopes", &mut scopes, &key.scopes);
        format!("the key `{name}` of {file}: {groups}; {scopes}")
    });
    let said = said
        .unwrap_or_else(|| format!("the configuration has no `identity.keys`, so nobody is `key:{name}`"));
    (Principal::key(Key { id: name.to_owned(), groups, scopes }), Some(said))
}

fn list<T: AsRef<str>>(names: &[T]) -> String {
    let names: Vec<_> = names.iter().map(AsRef::as_ref).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn person(who: &Who) -> Result<Principal, String> {
    let Who { id, groups, scopes, client, claims } = who;
    if let Some(user) = id.strip_prefix("user:") {
        let (issuer, subject) =
            user.split_once('#').ok_or("expected `user:ISSUER#SUBJECT`, as `portcullis` names users")?;
        return Ok(Principal::user(User {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            client_id: client.clone(),
            scopes: scopes.clone(),
            groups: groups.clone(),
            claims: read_claims(claims.as_deref())?,
        }));
    }
    if !groups.is_empty() || !scopes.is_empty() || client.is_some() || claims.is_some() {
        return Err(format!("`{id}` brings no groups, scopes and claims; `policy.groups` names its groups"));
    }
    match id.strip_prefix("cert:") {
        Some(fingerprint) => Ok(Principal::Certificate { fingerprint: fingerprint.into() }),
        None if id == "anonymous" => Ok(Principal::Anonymous),
        None if id.starts_with("spiffe://") => Ok(Principal::Workload { spiffe_id: id.as_str().into() }),
        None => Err(format!("`{id}` is no principal: anonymous, user:…#…, key:…, cert:… or spiffe://…")),
    }
}

fn object(text: &str) -> Result<Raw, String> {
    let raw = Raw::parse(text.to_owned().into(), Limits::default());
    let raw = raw.map_err(|error| format!("`{text}` is not JSON: {error}"))?;
    if raw.kind() == Kind::Object { Ok(raw) } else { Err(format!("`{text}` is no JSON object")) }
}

fn read_claims(text: Option<&str>) -> Result<BTreeMap<String, Claim>, String> {
    let Some(text) = text else { return Ok(BTreeMap::new()) };
    let object = object(text)?;
    Ok(object
        .members()
        .filter_map(|member| Some((member.key().into_owned(), claim(&member.value())?)))
        .collect())
}

/// A claim, as the tokens of issuers bring it; `null` is absent.
fn claim(value: &Raw) -> Option<Claim> {
    Some(match value.kind() {
        Kind::Null => return None,
        Kind::Bool => Claim::Bool(value.bool()?),
        Kind::String => Claim::Text(value.string()?.into_owned()),
        Kind::Number => {
            let text = value.as_str();
            text.parse().map_or_else(|_| Claim::Text(text.to_owned()), Claim::Integer)
        }
        Kind::Array => Claim::List(value.elements().filter_map(|one| claim(&one)).collect()),
        Kind::Object => {
            let members = value.members();
            let claims = members.filter_map(|one| Some((one.key().into_owned(), claim(&one.value())?)));
            Claim::Object(claims.collect())
        }
    })
}

fn annotations(hints: &[String]) -> Result<Annotations, String> {
    let mut annotations = Annotations::default();
    for hint in hints {
        let (name, said) = hint.strip_prefix('!').map_or((hint.as_str(), true), |name| (name, false));
        match name {
            "readOnlyHint" => annotations.read_only = said,
            "destructiveHint" => annotations.destructive = said,
            "idempotentHint" => annotations.idempotent = said,
            "openWorldHint" => annotations.open_world = said,
            _ => return Err(format!("no hint `{name}`; see --help")),
        }
    }
    Ok(annotations)
}

fn circumstances(from: Option<&str>, at: Option<&str>) -> Result<Circumstances, String> {
    let ip = from.map(|from| from.parse::<IpAddr>().map_err(|_| format!("`{from}` is no address")));
    let now = at.map(|at| {
        Circumstances::moment(at).ok_or_else(|| format!("`{at}` is no time; write 2026-11-28T20:00:00Z"))
    });
    Ok(Circumstances { now: now.transpose()?.unwrap_or_else(SystemTime::now), ip: ip.transpose()? })
}
