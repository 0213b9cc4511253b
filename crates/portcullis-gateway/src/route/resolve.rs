//! Which server has what a call names, and under which name.

use std::sync::Arc;
use std::time::Duration;

use portcullis_mcp::apps;
use portcullis_mcp::json::{Change, Object, Raw};
use portcullis_mcp::method::Method;
use portcullis_mcp::mirror::Mirror;
use portcullis_mcp::translate::task::TaskSupport;
use portcullis_model::{ErrorKind, ServerId};
use portcullis_policy::{Action, Annotations, Thing, ThingKind};
use portcullis_telemetry::CallSeries;

use super::catalogue::{Catalogue, Need, Variant};
use super::connecting;
use super::listing::{Item, ListKind, Listed, Listing};
use super::owner::{server_of_uri, unknown_resource};
use super::servers::{Servers, unknown_endpoint};
use super::toolset::Toolset;
use crate::admit::{Act, Admitted, Pass};
use crate::call::{Call, Caller, Endpoint, Refusal};
use crate::gateway::Gateway;
use crate::oversight::Standing;
use crate::upstream::Server;

/// Where a call goes.
pub(crate) struct Route {
    pub(crate) catalogue: Arc<Catalogue>,
    /// The params in the server's own names.
    pub(crate) params: Option<Object>,
    /// The tool's or prompt's name or the resource's URI, as the server knows it.
    pub(crate) subject: Option<String>,
    /// The list in which the tool or prompt stands, and where.
    listed: Option<Listed>,
    /// The same in the toolset's list, which is what the client was shown.
    shown: Option<Listed>,
    /// Counts the call.
    pub(crate) series: Arc<CallSeries>,
    /// Whether names and URIs in the answer have to be mapped.
    pub(crate) aggregate: bool,
    /// What a completion is for, by the server's own name.
    reference: Option<Reference>,
    /// The server is not called: the user wants to connect an account.
    pub(crate) connecting: bool,
    /// The user comes back from a page on which an account is connected.
    pub(crate) connects: bool,
}

/// What a completion is for.
enum Reference {
    Prompt(String),
    Resource(String),
    /// One that the server lists: what only looks like one is a URI.
    Template(String),
}

impl Reference {
    fn name(&self) -> &str {
        match self {
            Self::Prompt(name) | Self::Resource(name) | Self::Template(name) => name,
        }
    }

    fn thing<'a>(&'a self, server: &'a str) -> Thing<'a> {
        match self {
            Self::Prompt(name) => Thing { server, kind: ThingKind::Prompt, name },
            Self::Template(name) => Thing { server, kind: ThingKind::Template, name },
            Self::Resource(name) => Thing { server, kind: ThingKind::Resource, name },
        }
    }
}

impl Route {
    fn item(&self) -> Option<&Item> {
        self.listed.as_ref().map(Listed::item)
    }

    /// The tool or prompt as its server lists it.
    pub(crate) fn listed(&self) -> Option<&Listed> {
        self.listed.as_ref()
    }

    /// The tool that is called, by the server's own name.
    pub(crate) fn tool(&self, call: &Call) -> Option<&str> {
        if call.method == Method::ToolsCall { self.subject.as_deref() } else { None }
    }

    /// The tool's or prompt's own name, if the server lists it: fit for labels.
    pub(crate) fn target(&self) -> Option<&str> {
        self.item().map(|item| item.key.as_str())
    }

    /// Whether the tool can or must be called as a task of 2025-11-25.
    pub(crate) fn task_support(&self) -> TaskSupport {
        self.item().map_or(TaskSupport::Forbidden, |item| item.task_support)
    }

    /// What the call is about, by the server's own name: what is called or read, or what something is completed of.
    pub(crate) fn about(&self) -> Option<&str> {
        self.subject.as_deref().or_else(|| self.reference.as_ref().map(Reference::name))
    }

    /// What the tool says that its structured results look like.
    pub(crate) fn output_schema(&self) -> Option<Raw> {
        self.item()?.output_schema.clone()
    }

    /// What the call does, for policies; `None` when it is about nothing that they know.
    pub(crate) fn act(&self, call: &Call) -> Option<Act<'_>> {
        let server = self.catalogue.server.id().as_str();
        let named = |kind| Some(Thing { server, kind, name: self.subject.as_deref()? });
        let (action, thing) = match &call.method {
            Method::ToolsCall => {
                let kind = self.item().map_or(ThingKind::Tool(Annotations::default()), |item| item.thing);
                (Action::ToolsCall, named(kind)?)
            }
            Method::PromptsGet => (Action::PromptsGet, named(ThingKind::Prompt)?),
            Method::ResourcesRead => (Action::ResourcesRead, named(ThingKind::Resource)?),
            Method::Complete => (Action::Complete, self.reference.as_ref()?.thing(server)),
            // Who names nothing asks for nothing that policies know.
            Method::SkillsGet => (Action::SkillsGet, self.reference.as_ref()?.thing(server)),
            Method::DirectoryRead => (Action::DirectoryRead, self.reference.as_ref()?.thing(server)),
            other => (Action::named(other.as_str())?, Thing::server(server)),
        };
        let arguments = match action {
            Action::ToolsCall => call.params.as_ref().and_then(|params| params.find("arguments")),
            _ => None,
        };
        Some(Act { action, thing, arguments })
    }

    /// Does for a name that is denied what is done for one that is not there, so that the time that it takes tells nobody
    /// which of the two it is.
    pub(crate) async fn look_again(&self, call: &Call) {
        let kind = match (&call.method, &self.reference) {
            (Method::ToolsCall, _) => ListKind::Tools,
            (Method::PromptsGet, _) | (Method::Complete, Some(Reference::Prompt(_))) => ListKind::Prompts,
            _ => return,
        };
        // Whether it comes is nothing to whoever is denied.
        drop(self.catalogue.list(kind, Variant::of(&call.caller), UNKNOWN).await);
    }

    /// Why the call is not made although the caller may: what it is about is held back.
    pub(crate) fn held(&self, call: &Call) -> Option<Refusal> {
        if self.connecting {
            return None;
        }
        let (kind, name) = match (&call.method, &self.reference) {
            (Method::ToolsCall, _) => (ListKind::Tools, self.subject.as_deref()?),
            (Method::PromptsGet, _) => (ListKind::Prompts, self.subject.as_deref()?),
            (Method::ResourcesRead, _) => (ListKind::Resources, self.subject.as_deref()?),
            (_, Some(Reference::Prompt(name))) => (ListKind::Prompts, name.as_str()),
            (_, Some(Reference::Template(name) | Reference::Resource(name))) if name.contains('{') => {
                (ListKind::Templates, name.as_str())
            }
            (_, Some(Reference::Template(name) | Reference::Resource(name))) => {
                (ListKind::Resources, name.as_str())
            }
            _ => return None,
        };
        if let Some(Listed { listing, index }) = &self.listed {
            let oversight = &self.catalogue.server.env().oversight;
            let trusted =
                listing.trusted(oversight).is_none_or(|shown| shown.get(*index).copied().unwrap_or(false));
            return (!trusted).then(|| oversight.quarantined(&self.catalogue.server, kind, name));
        }
        held(&self.catalogue, Variant::of(&call.caller), kind, name)
    }

    /// Which arguments are mirrored into headers at the server.
    pub(crate) fn mirror(&self) -> Option<&Mirror> {
        self.item()?.mirror.as_ref()
    }

    /// The same by the schema that the client was shown.
    pub(crate) fn mirror_shown(&self) -> Option<&Mirror> {
        self.shown.as_ref().or(self.listed.as_ref())?.item().mirror.as_ref()
    }

    /// Puts what the toolset decides into the call. What a client gives that is not its to give does not count, and the call
    /// is refused once it is known that it is there for the caller.
    pub(crate) fn fix(&mut self, admitted: Admitted) -> (Admitted, Option<Refusal>) {
        let fixed = self.shown.as_ref().and_then(|shown| shown.item().fixed.clone());
        let Some(fixed) = fixed else { return (admitted, None) };
        admitted.record.sent(admitted.params.as_ref());
        let mut meddled = None;
        let apply = |params: &Object, meddled: &mut Option<Refusal>| {
            let (arguments, refusal) = fixed.apply(params.find("arguments"));
            *meddled = refusal;
            Object::from(params.with(&[("arguments", Change::Set(arguments.as_bytes()))]))
        };
        self.params = self.params.take().map(|params| apply(&params, &mut meddled));
        (admitted.with_params(|params| apply(params, &mut meddled)), meddled)
    }
}

/// A list whose time is over is asked for again when a name is not in it, but not one that was fetched a moment ago:
/// unknown names must not make a server list without end.
pub(super) const UNKNOWN: Need =
    Need::Recent { age: Duration::from_secs(1), patience: Duration::from_secs(5) };

/// Where a list only lends labels and mirrored headers, any will do, and the call does not wait long for the first: a
/// server that wants headers it was not sent says so (-32020).
const LABELS: Need = Need::Recent { age: Duration::MAX, patience: Duration::from_secs(2) };

/// Finds the server of a call, among those that are there for the caller.
pub(crate) async fn resolve(gateway: &Gateway, call: &Call, pass: Option<&Pass>) -> Result<Route, Refusal> {
    match &call.method {
        Method::ToolsCall => by_name(gateway, call, ListKind::Tools, pass).await,
        Method::PromptsGet => by_name(gateway, call, ListKind::Prompts, pass).await,
        Method::ResourcesRead => by_uri(gateway, call, pass).await,
        Method::Complete => Box::pin(by_reference(gateway, call, pass)).await,
        method if method.is_of_skills() => of_one_server(gateway, call, pass),
        _ => Err(not_there(call)),
    }
}

/// What somebody is told who names what is not there, or not there for them: the one must not be told from the other.
pub(crate) fn not_there(call: &Call) -> Refusal {
    let unnamed = || unknown_method(&call.method);
    match &call.method {
        Method::ToolsCall => {
            call.subject.as_deref().map_or_else(unnamed, |name| unknown(ListKind::Tools, name))
        }
        Method::PromptsGet => {
            call.subject.as_deref().map_or_else(unnamed, |name| unknown(ListKind::Prompts, name))
        }
        Method::ResourcesRead => call.subject.as_deref().map_or_else(unnamed, unknown_resource),
        Method::Complete => {
            let reference = call.params.as_ref().and_then(|params| params.find("ref"));
            let member = |key| reference.as_ref().and_then(|reference: &Raw| reference.find_string(key));
            match (member("type").as_deref(), member("name"), member("uri")) {
                (Some("ref/prompt"), Some(name), _) => unknown(ListKind::Prompts, &name),
                (Some("ref/resource"), _, Some(uri)) => unknown_resource(&uri),
                _ => wrong_reference(),
            }
        }
        _ => unnamed(),
    }
}

fn unknown(kind: ListKind, name: &str) -> Refusal {
    let noun = if kind == ListKind::Tools { "tool" } else { "prompt" };
    Refusal::new(ErrorKind::InvalidParams, format!("there is no {noun} `{name:.128}` here"))
}

/// Why something of a server is not reached: its definition is held back.
pub(crate) fn held(catalogue: &Catalogue, variant: Variant, kind: ListKind, name: &str) -> Option<Refusal> {
    let (oversight, server) = (&catalogue.server.env().oversight, &catalogue.server);
    let in_list = |kind, name: &dyn Fn(&Listing) -> Option<usize>| {
        let listing = catalogue.last(kind, variant)?;
        let index = name(&listing)?;
        let shown = listing.trusted(oversight);
        Some(shown.is_none_or(|shown| shown.get(index).copied().unwrap_or(false)))
    };
    let trusted = match in_list(kind, &|listing| listing.position(name)) {
        Some(trusted) => trusted,
        None => match oversight.unlisted(server, kind, name) {
            Standing::Trusted => true,
            // A resource need not be listed: a template makes it, or a tool shows it.
            Standing::Unknown if kind == ListKind::Resources => {
                let makes = |listing: &Listing| listing.items.iter().position(|item| item.makes(name));
                let shows = |listing: &Listing| listing.items.iter().position(|item| item.shows(name));
                in_list(ListKind::Templates, &makes) == Some(true)
                    || in_list(ListKind::Tools, &shows) == Some(true)
            }
            Standing::Held | Standing::Unknown => false,
        },
    };
    (!trusted).then(|| oversight.quarantined(server, kind, name))
}

fn unknown_method(method: &Method) -> Refusal {
    Refusal::new(ErrorKind::UnknownMethod, format!("there is no method `{method}` here"))
}

fn wrong_reference() -> Refusal {
    let message = "`ref` must be a ref/prompt with `name` or a ref/resource with `uri`";
    Refusal::new(ErrorKind::InvalidParams, message)
}

async fn by_name(
    gateway: &Gateway,
    call: &Call,
    kind: ListKind,
    pass: Option<&Pass>,
) -> Result<Route, Refusal> {
    let name = subject(call, "name")?;
    let variant = Variant::of(&call.caller);
    if let Endpoint::Server(id) = &call.endpoint {
        let catalogue = find_server(gateway, id, pass, &call.caller)?;
        if connecting::is_tool(&catalogue.server, kind, name) {
            return Ok(connect(&catalogue, call));
        }
        if pass.is_some() || catalogue.server.is_openapi() {
            let (listing, index) = Box::pin(listed(&catalogue, kind, variant, name, pass)).await?;
            return Ok(route(&catalogue, call, name.to_owned(), Some((listing, index))));
        }
        // The server itself is the judge of its names; the list is only for labels and mirrored headers.
        let found = match catalogue.peek(kind, variant, LABELS) {
            Some(listing) => Some(listing),
            None => Box::pin(catalogue.list(kind, variant, LABELS)).await.ok().map(|found| found.listing),
        };
        let listed = found.and_then(|listing| Some((listing.position(name)?, listing)));
        return Ok(route(&catalogue, call, name.to_owned(), listed.map(|(index, listing)| (listing, index))));
    }
    Box::pin(by_exposed_name(gateway, call, kind, name, pass)).await
}

/// What a call of something is decided by has to be known. What a server has taken back is nothing that policies decide by;
/// and an operation of an API is called as it is listed, which takes as long as reading the document does.
fn need(server: &Server, pass: Option<&Pass>) -> Need {
    match pass {
        _ if server.is_openapi() => {
            Need::Recent { age: Duration::MAX, patience: server.settings().call_timeout }
        }
        Some(_) => LABELS,
        None => Need::Known,
    }
}

/// Where policies decide by what a server says of a thing, and where it is an operation of an API, what is not listed is not
/// there.
async fn listed(
    catalogue: &Arc<Catalogue>,
    kind: ListKind,
    variant: Variant,
    name: &str,
    pass: Option<&Pass>,
) -> Result<(Arc<Listing>, usize), Refusal> {
    let known = catalogue.list(kind, variant, need(&catalogue.server, pass)).await?.listing;
    let listing = match known.position(name) {
        Some(_) => known,
        None => catalogue.list(kind, variant, UNKNOWN).await?.listing,
    };
    let index = listing.position(name).ok_or_else(|| unknown(kind, name))?;
    Ok((listing, index))
}

/// On the aggregate: names carry their server's slug.
async fn by_exposed_name(
    gateway: &Gateway,
    call: &Call,
    kind: ListKind,
    name: &str,
    pass: Option<&Pass>,
) -> Result<Route, Refusal> {
    let variant = Variant::of(&call.caller);
    let unknown = || unknown(kind, name);
    let servers = gateway.servers.load_full();
    let toolset = servers.toolset(&call.endpoint, pass)?;
    // The slug has no underscore, so it ends at the first one. It only says in whose table to look.
    let slug = match toolset {
        Some(toolset) => toolset.server_of(kind, name),
        None => name.split_once("__").map(|(slug, _)| slug),
    };
    let Some(catalogue) = slug.and_then(|slug| servers.find(slug).map(|it| it.of(&call.caller))) else {
        let (catalogue, listing, index) = by_view(&servers, call, kind, name, pass).ok_or_else(unknown)?;
        return Ok(route_as_shown(&catalogue, call, toolset, &listing, index));
    };
    // Before it is asked anything: how it is, is nothing that others may know.
    if pass.is_some_and(|pass| !pass.sees(catalogue.server.id().as_str())) {
        return Err(unknown());
    }
    if connecting::is_exposed_tool(&catalogue.server, kind, name) {
        return Ok(connect(&catalogue, call));
    }
    let known = catalogue.list(kind, variant, need(&catalogue.server, pass)).await?.listing;
    let place = |listing: &Arc<Listing>| as_shown(&catalogue, toolset, listing).position_exposed(name);
    let (listing, index) = match place(&known) {
        Some(index) => (known, index),
        None => {
            let listing = catalogue.list(kind, variant, UNKNOWN).await?.listing;
            let index = place(&listing).ok_or_else(unknown)?;
            (listing, index)
        }
    };
    Ok(route_as_shown(&catalogue, call, toolset, &listing, index))
}

/// A server's list as the endpoint shows it.
fn as_shown(catalogue: &Catalogue, toolset: Option<&Arc<Toolset>>, listing: &Arc<Listing>) -> Arc<Listing> {
    toolset.map_or_else(|| listing.clone(), |toolset| listing.selected(toolset, &catalogue.server))
}

/// The way to what stands at a place of a server's list as the endpoint shows it.
fn route_as_shown(
    catalogue: &Arc<Catalogue>,
    call: &Call,
    toolset: Option<&Arc<Toolset>>,
    listing: &Arc<Listing>,
    index: usize,
) -> Route {
    let shown = Listed { listing: as_shown(catalogue, toolset, listing), index };
    let index = shown.listing.origin(index);
    let original = listing.items[index].key.clone();
    let own = Raw::from_text(&original);
    let mut route = route(catalogue, call, original, Some((listing.clone(), index)));
    route.params = route.params.map(|params| params.map_member("name", |_| own).into());
    route.shown = Some(shown);
    route
}

/// A tool by its server's own name: views hard-code the names that they were written with, and the aggregate cannot see
/// which view calls. So a name goes through when only one server has it among the tools that views may call. Only what
/// is known already is looked at: a made-up name costs no listing.
fn by_view(
    servers: &Servers,
    call: &Call,
    kind: ListKind,
    name: &str,
    pass: Option<&Pass>,
) -> Option<(Arc<Catalogue>, Arc<Listing>, usize)> {
    if kind != ListKind::Tools {
        return None;
    }
    let variant = Variant::of(&call.caller);
    let toolset = servers.toolset(&call.endpoint, pass).ok()?;
    let mut found = servers.iter().filter_map(|catalogue| {
        let catalogue = catalogue.of(&call.caller);
        let listing = catalogue.last(kind, variant)?;
        let shown = as_shown(&catalogue, toolset, &listing);
        let index = shown.position(name)?;
        let item = &shown.items[index];
        let thing = Thing { server: listing.server.as_str(), kind: item.thing, name };
        let is_there = pass.is_none_or(|pass| pass.could(Action::ToolsList, thing));
        (is_there && apps::is_linked(&item.raw)).then(|| (catalogue.clone(), listing, index))
    });
    let only = found.next()?;
    found.next().is_none().then_some(only)
}

fn route(
    catalogue: &Arc<Catalogue>,
    call: &Call,
    subject: String,
    listed: Option<(Arc<Listing>, usize)>,
) -> Route {
    let listed = listed.map(|(listing, index)| Listed { listing, index });
    let series = match &listed {
        Some(listed) => listed.item().series.clone(),
        None => unlisted(catalogue, call),
    };
    Route {
        catalogue: catalogue.clone(),
        params: call.params.clone(),
        subject: Some(subject),
        listed,
        series,
        shown: None,
        aggregate: call.endpoint.is_merged(),
        reference: None,
        connecting: false,
        connects: false,
    }
}

/// The way to connect an account, which is no call of the server.
fn connect(catalogue: &Arc<Catalogue>, call: &Call) -> Route {
    let mut route = route(catalogue, call, connecting::TOOL.to_owned(), None);
    route.connecting = true;
    route
}

/// The series of calls for things that no list has: one per server and method.
fn unlisted(catalogue: &Catalogue, call: &Call) -> Arc<CallSeries> {
    let server = &catalogue.server;
    server.env().metrics.call_series(server.id().as_str(), call.method.as_str(), "")
}

async fn by_uri(gateway: &Gateway, call: &Call, pass: Option<&Pass>) -> Result<Route, Refusal> {
    let uri = subject(call, "uri")?;
    let found = server_of_uri(gateway, &call.endpoint, &call.caller, uri, (pass, Action::ResourcesRead));
    let (catalogue, own) = Box::pin(found).await?;
    let mut route = route(&catalogue, call, own, None);
    if let (true, Some(own)) = (route.aggregate, &route.subject) {
        let own = Raw::from_text(own);
        route.params = route.params.map(|params| params.map_member("uri", |_| own).into());
    }
    Ok(route)
}

async fn by_reference(gateway: &Gateway, call: &Call, pass: Option<&Pass>) -> Result<Route, Refusal> {
    let wrong = wrong_reference;
    let params = call.params.clone().ok_or_else(wrong)?;
    let reference = params.find("ref").ok_or_else(wrong)?;
    if let Endpoint::Server(id) = &call.endpoint {
        let catalogue = find_server(gateway, id, pass, &call.caller)?;
        let of = match reference.find_string("type").as_deref() {
            Some("ref/prompt") => reference.find_string("name").map(Reference::Prompt),
            Some("ref/resource") => match reference.find_string("uri") {
                Some(uri) => Some(resource(&catalogue, call, uri, pass).await),
                None => None,
            },
            _ => None,
        };
        if let (Some(_), Some(Reference::Prompt(name))) = (pass, &of) {
            Box::pin(listed(&catalogue, ListKind::Prompts, Variant::of(&call.caller), name, pass)).await?;
        }
        return Ok(reference_route(&catalogue, call, params, of));
    }
    let (catalogue, reference, of) = match reference.find_string("type").as_deref() {
        Some("ref/prompt") => {
            let name = reference.find_string("name").ok_or_else(wrong)?;
            let route = by_exposed_name(gateway, call, ListKind::Prompts, &name, pass).await?;
            let own = route.subject.ok_or_else(wrong)?;
            (route.catalogue, set(&reference, "name", &own), Reference::Prompt(own))
        }
        Some("ref/resource") => {
            let uri = reference.find_string("uri").ok_or_else(wrong)?;
            let by = (pass, Action::Complete);
            let (catalogue, own) = server_of_uri(gateway, &call.endpoint, &call.caller, &uri, by).await?;
            let set = set(&reference, "uri", &own);
            let of = resource(&catalogue, call, own, pass).await;
            (catalogue, set, of)
        }
        _ => return Err(wrong()),
    };
    let params = params.with(&[("ref", Change::Set(reference.as_bytes()))]);
    Ok(reference_route(&catalogue, call, params.into(), Some(of)))
}

/// What a completion is for: a template where the server lists it as one, else a resource. Policies alone ask.
async fn resource(catalogue: &Arc<Catalogue>, call: &Call, own: String, pass: Option<&Pass>) -> Reference {
    if pass.is_none() || !own.contains('{') {
        return Reference::Resource(own);
    }
    let listed = catalogue.list(ListKind::Templates, Variant::of(&call.caller), LABELS).await;
    let is_listed = listed.is_ok_and(|found| found.listing.find(&own).is_some());
    if is_listed { Reference::Template(own) } else { Reference::Resource(own) }
}

/// What only a server's own endpoint has. The server itself is the judge of whether it has it.
fn of_one_server(gateway: &Gateway, call: &Call, pass: Option<&Pass>) -> Result<Route, Refusal> {
    let Endpoint::Server(id) = &call.endpoint else {
        let message = format!("`{}` is asked of one server, at its own endpoint", call.method);
        return Err(Refusal::new(ErrorKind::UnknownMethod, message));
    };
    let catalogue = find_server(gateway, id, pass, &call.caller)?;
    Ok(Route {
        catalogue: catalogue.clone(),
        params: call.params.clone(),
        subject: None,
        listed: None,
        series: unlisted(&catalogue, call),
        shown: None,
        aggregate: false,
        reference: call.params.as_ref().and_then(|params| params.find_string("uri")).map(Reference::Resource),
        connecting: false,
        connects: false,
    })
}

fn reference_route(
    catalogue: &Arc<Catalogue>,
    call: &Call,
    params: Object,
    reference: Option<Reference>,
) -> Route {
    Route {
        catalogue: catalogue.clone(),
        params: Some(params),
        subject: None,
        listed: None,
        series: unlisted(catalogue, call),
        shown: None,
        aggregate: call.endpoint.is_merged(),
        reference,
        connecting: false,
        connects: false,
    }
}

pub(super) fn find_server(
    gateway: &Gateway,
    id: &ServerId,
    pass: Option<&Pass>,
    caller: &Caller,
) -> Result<Arc<Catalogue>, Refusal> {
    let servers = gateway.servers.load();
    let found = servers.find(id.as_str()).filter(|_| pass.is_none_or(|pass| pass.sees(id.as_str())));
    found.map(|catalogue| catalogue.of(caller)).ok_or_else(|| unknown_endpoint(&Endpoint::Server(id.clone())))
}

fn subject<'a>(call: &'a Call, member: &str) -> Result<&'a str, Refusal> {
    let missing = || Refusal::new(ErrorKind::InvalidParams, format!("`params.{member}` must be a string"));
    call.subject.as_deref().ok_or_else(missing)
}

fn set(object: &Raw, key: &str, text: &str) -> Raw {
    object.with(&[(key, Change::Set(Raw::from_text(text).as_bytes()))])
}
