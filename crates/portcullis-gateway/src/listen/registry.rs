//! The registry's API (version 0.1 of the MCP registry, OpenAPI of 2025-12-01), for clients that browse servers.
//!
//! Only servers that are in use are here, and of these what the caller may see; each is reached through this gateway, and
//! neither its packages nor where it comes from are told. What stands in the configuration is here like what was approved in
//! the registry. Reading is all: versions are added and approved by `portcullis server`, and whoever publishes or deletes is
//! answered with 501, as the API allows. Its document lets a registry say nothing more of a version's status than it names
//! itself, so what else there is to say is under a key of our own.
//!
//! Names have a slash in them. Clients send it encoded; proxies decode it on the way; both are understood.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use http::header::{ALLOW, CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, Method, Response, StatusCode};
use portcullis_audit::parse_time;
use portcullis_config::Settings;
use portcullis_hub::registry::{Document, Entry, Listed, Question, Stage, listed};
use portcullis_model::{ServerId, date_time};
use serde_json::{Map, Value, json};

use super::authentication::authenticate;
use super::body::Body;
use super::context::Context;
use super::request::Head;
use super::response;
use crate::call::Endpoint;
use crate::gateway::Gateway;
use crate::identity::{Form, base, identifier};

const SERVERS: &str = "/registry/v0.1/servers";
const PUBLISH: &str = "/registry/v0.1/publish";
const OFFICIAL: &str = "io.modelcontextprotocol.registry/official";
const OURS: &str = "io.portcullis/registry";
/// Versions on a page when nothing is said, and at the most.
const USUAL: usize = 30;
const MOST: usize = 100;
/// Before a server was asked, nobody knows its version.
const NO_VERSION: &str = "0.0.0";
/// For gateways that have no name on the network.
const NO_NAMESPACE: &str = "localhost";

/// What is in use of the registry, as it was last looked up.
#[derive(Default)]
pub(crate) struct Published {
    /// In the order of names, and the newest version of each first.
    entries: ArcSwap<Vec<Entry>>,
}

impl Gateway {
    /// Shows these versions to clients that browse; they are also in the settings by now, if they are reached.
    /// `entries` are in the order of names, with the newest version of each first.
    pub fn publish(&self, entries: Arc<Vec<Entry>>) {
        self.published.entries.store(entries);
    }
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    List,
    Versions(String),
    Version(String, String),
    Publish,
}

impl Asked {
    fn of(path: &str) -> Option<Self> {
        if path == PUBLISH {
            return Some(Self::Publish);
        }
        let rest = path.strip_prefix(SERVERS)?;
        if rest.is_empty() || rest == "/" {
            return Some(Self::List);
        }
        // A server may be called that, too.
        let (name, version) = rest.strip_prefix('/')?.rsplit_once("/versions")?;
        let name = decoded(name)?;
        match version {
            "" | "/" => Some(Self::Versions(name)),
            version => Some(Self::Version(name, decoded(version.strip_prefix('/')?)?)),
        }
    }
}

fn decoded(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// Answers what is asked here; `None` when it is something else.
pub(super) async fn answer(context: &Arc<Context>, head: &Head) -> Option<Response<Body>> {
    let asked = Asked::of(&head.path)?;
    let context = match authenticate(context, &Endpoint::Aggregate, Form::Streamable, head).await {
        Ok(context) => context,
        Err(answer) => return Some(*answer),
    };
    let mut answer = match (&asked, &head.method) {
        (Asked::Publish, &Method::POST) => {
            let message =
                "nothing is published over HTTP here; the operator adds servers with `portcullis server add`";
            error(StatusCode::NOT_IMPLEMENTED, message)
        }
        (Asked::Version(..), &Method::DELETE) => {
            let message = "nothing is deleted over HTTP here; the operator takes versions away with `portcullis server retire`";
            error(StatusCode::NOT_IMPLEMENTED, message)
        }
        (Asked::List | Asked::Versions(_) | Asked::Version(..), &Method::GET | &Method::HEAD) => {
            match read(&context, &asked, head.query.as_deref()) {
                Ok(body) => tagged(head, &body),
                Err((status, message)) => error(status, &message),
            }
        }
        (asked, _) => {
            let mut answer = error(StatusCode::METHOD_NOT_ALLOWED, "this is not done here");
            let allowed = match asked {
                Asked::Publish => "POST, OPTIONS",
                Asked::Version(..) => "GET, HEAD, DELETE, OPTIONS",
                Asked::List | Asked::Versions(_) => "GET, HEAD, OPTIONS",
            };
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            answer
        }
    };
    response::by(&mut answer, &context.principal);
    Some(answer)
}

/// The API has its own form of errors.
fn error(status: StatusCode, message: &str) -> Response<Body> {
    response::json(status, json!({ "error": message }).to_string().into_bytes())
}

/// The body with a tag by which a client knows that it has it already. It is each caller's own.
fn tagged(head: &Head, body: &Value) -> Response<Body> {
    let body = body.to_string().into_bytes();
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let tag = format!("\"{:016x}\"", hasher.finish());
    let known = head.fields.all(&IF_NONE_MATCH).any(|value| {
        let same = |one: &[u8]| one.strip_prefix(b"W/").unwrap_or(one) == tag.as_bytes() || one == b"*";
        value.split(|byte| *byte == b',').any(|one| same(one.trim_ascii()))
    });
    let mut answer =
        if known { response::empty(StatusCode::NOT_MODIFIED) } else { response::json(StatusCode::OK, body) };
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        answer.headers_mut().insert(ETAG, tag);
    }
    answer
}

type Wrong = (StatusCode, String);

fn read(context: &Context, asked: &Asked, query: Option<&str>) -> Result<Value, Wrong> {
    let settings = context.gateway.settings.load();
    let shown = shown(context, &settings);
    let at = base(&settings, context.gateway.address.get().copied());
    let not_found = || (StatusCode::NOT_FOUND, "Server not found".to_owned());
    match asked {
        Asked::List => {
            let question = question(query.unwrap_or_default())?;
            let page = question.of(&shown);
            let servers: Vec<_> = page.entries.into_iter().filter_map(|it| told(it, &at)).collect();
            let mut metadata = Map::from_iter([("count".to_owned(), servers.len().into())]);
            if let Some(next) = page.next {
                metadata.insert("nextCursor".to_owned(), next.into());
            }
            Ok(json!({ "servers": servers, "metadata": metadata }))
        }
        Asked::Versions(name) => {
            let servers: Vec<_> = of_name(&shown, name).filter_map(|it| told(it, &at)).collect();
            if servers.is_empty() {
                return Err(not_found());
            }
            let metadata = json!({ "count": servers.len() });
            Ok(json!({ "servers": servers, "metadata": metadata }))
        }
        Asked::Version(name, version) => {
            let mut of_name = of_name(&shown, name);
            let found = match version.as_str() {
                "latest" => of_name.find(|it| it.latest),
                version => of_name.find(|it| it.entry.version() == version),
            };
            found.and_then(|it| told(it, &at)).ok_or_else(not_found)
        }
        Asked::Publish => Err(not_found()),
    }
}

/// The versions of a name that may be used, the newest first.
fn of_name<'a>(shown: &'a [Entry], name: &'a str) -> impl Iterator<Item = Listed<'a>> {
    listed(shown).filter(move |it| it.entry.name() == name && it.entry.stage().is_in_use())
}

/// The versions that are there for the caller: by name, and the newest of each first. What was in use once and is no more is
/// among them, for those who follow what happens; what never was is nobody's.
fn shown(context: &Context, settings: &Settings) -> Vec<Entry> {
    let published = context.gateway.published.entries.load();
    let servers = context.gateway.servers.load();
    let mut asked: BTreeMap<&str, bool> = BTreeMap::new();
    let sees = |slug: &str| {
        let id = ServerId::parse(slug);
        let caller = (&context.principal, &*context.recognised);
        id.is_ok_and(|id| context.gateway.gate.shows(caller, context.peer, &Endpoint::Server(id)))
    };
    let is_there = |entry: &Entry| match entry.stage() {
        Stage::Approved | Stage::Deprecated => servers.find(&entry.slug).is_some(),
        Stage::Retired => entry.approved().is_some(),
        Stage::Submitted | Stage::Scanned | Stage::Reviewed => false,
    };
    let there = published.iter().filter(|entry| is_there(entry));
    let mut shown: Vec<Entry> = there
        .filter(|entry| *asked.entry(&entry.slug).or_insert_with(|| sees(&entry.slug)))
        .cloned()
        .collect();
    let namespace = namespace(settings.public_url.as_deref());
    for (id, server) in settings.servers.iter().filter(|(_, server)| server.enabled) {
        if published.iter().any(|entry| entry.slug == id.as_str() && entry.stage().is_in_use())
            || !sees(id.as_str())
        {
            continue;
        }
        let description = server.description.as_deref().filter(|text| !text.trim().is_empty());
        let made = Document::made(
            &format!("{namespace}/{id}"),
            None,
            description.unwrap_or("A server of this gateway."),
            NO_VERSION,
        );
        match made {
            Ok(document) => shown.push(Entry::configured(&document, id, began())),
            Err(flaws) => {
                let flaws: Vec<_> = flaws.iter().map(ToString::to_string).collect();
                tracing::warn!(server.id = %id, ?flaws, "a server cannot be shown in the registry");
            }
        }
    }
    // Stable: the versions of a name stay in their order.
    shown.sort_by(|one, other| one.name().cmp(other.name()));
    shown
}

/// When this gateway began, in milliseconds since 1970: since then what is configured is in use.
fn began() -> u64 {
    static BEGAN: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    *BEGAN.get_or_init(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or_default()
    })
}

/// The gateway's own host, backwards: `com.example.mcp`.
fn namespace(public_url: Option<&str>) -> String {
    let host = public_url.and_then(|url| url.split("://").nth(1)).unwrap_or_default();
    let host = host.split(['/', ':']).next().unwrap_or_default();
    let named = !host.is_empty()
        && host.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-')
        && !host.split('.').all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    if !named {
        return NO_NAMESPACE.to_owned();
    }
    host.split('.').rev().collect::<Vec<_>>().join(".")
}

/// A version as clients are told of it.
fn told(Listed { entry, latest }: Listed<'_>, at: &str) -> Option<Value> {
    let document = entry.document()?;
    let id = ServerId::parse(&entry.slug).ok()?;
    let server = document.at(&identifier(at, &Endpoint::Server(id), Form::Streamable));
    let status = match entry.stage() {
        Stage::Approved => "active",
        Stage::Deprecated => "deprecated",
        Stage::Submitted | Stage::Scanned | Stage::Reviewed | Stage::Retired => "deleted",
    };
    let turn = entry.turn();
    let official = json!({
        "status": status,
        "publishedAt": moment(entry.published()),
        "updatedAt": moment(entry.changed()),
        "isLatest": latest,
    });
    let mut ours = json!({
        "statusChangedAt": moment(turn.map_or(entry.changed(), |turn| turn.at)),
        "server": entry.slug,
        "stage": entry.stage().as_str(),
        "owners": entry.owners,
        "labels": entry.labels,
        "data": entry.data,
    });
    // Why somebody should go on to another is theirs to know.
    if let Some(note) = turn.filter(|turn| turn.to == Stage::Deprecated).and_then(|turn| turn.note.clone()) {
        ours["statusMessage"] = note.into();
    }
    Some(json!({ "server": server, "_meta": { OFFICIAL: official, OURS: ours } }))
}

fn moment(at: u64) -> String {
    format!("{}Z", date_time(Duration::from_millis(at)))
}

/// A time as RFC 3339 has it, in any zone, in milliseconds since 1970.
fn millis(text: &str) -> Option<i64> {
    let text = text.to_ascii_uppercase();
    let (local, ahead) = if let Some(local) = text.strip_suffix('Z') {
        (local, 0)
    } else {
        let (local, zone) = text.split_at_checked(text.len().checked_sub(6)?)?;
        let (hours, minutes) = zone.get(1..)?.split_once(':')?;
        let number = |text: &str| text.parse::<u8>().ok().map(i64::from).filter(|_| text.len() == 2);
        let minutes = number(hours)? * 60 + number(minutes)?;
        match zone.get(..1)? {
            "+" => (local, minutes),
            "-" => (local, -minutes),
            _ => return None,
        }
    };
    // What is finer than a microsecond makes no difference.
    let (whole, fraction) = local.split_once('.').unwrap_or((local, "0"));
    let fraction = fraction.get(..6).unwrap_or(fraction);
    let micros = parse_time(&format!("{whole}.{fraction}Z")).filter(|_| whole.contains('T'))?;
    Some(micros / 1000 - ahead * 60_000)
}

fn question(query: &str) -> Result<Question, Wrong> {
    let wrong = |message: String| (StatusCode::BAD_REQUEST, message);
    let mut question = Question { limit: USUAL, ..Question::default() };
    let mut deleted = None;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let value = value.into_owned();
        match &*name {
            "limit" => {
                // The API's document lets it be any whole number.
                let digits = value.strip_prefix('-').unwrap_or(&value);
                if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(wrong(format!(
                        "`limit` must be a whole number; {MOST} is the most that comes"
                    )));
                }
                let most = if digits == value { value.parse().unwrap_or(MOST) } else { 1 };
                question.limit = most.clamp(1, MOST);
            }
            "cursor" => question.cursor = Some(value).filter(|cursor| !cursor.is_empty()),
            "search" => question.search = Some(value).filter(|words| !words.is_empty()),
            "version" => question.version = Some(value),
            "updated_since" => {
                // Before 1970 there was nothing.
                let expected = "`updated_since` must be a time as RFC 3339 has it: 2026-01-31T12:00:00Z";
                let since = millis(&value).ok_or_else(|| wrong(expected.to_owned()))?;
                // Before 1970 there was nothing.
                question.updated_since = Some(u64::try_from(since).unwrap_or(0));
            }
            "include_deleted" => {
                deleted = Some(match value.as_str() {
                    "true" => true,
                    "false" => false,
                    _ => return Err(wrong("`include_deleted` must be true or false".to_owned())),
                });
            }
            // Of a later version of the API, or a cache's.
            _ => {}
        }
    }
    question.deleted = deleted.unwrap_or(question.updated_since.is_some());
    Ok(question)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_in_a_name_is_understood_encoded_and_decoded() {
        for path in ["com.example%2Ffiles", "com.example%2ffiles", "com.example/files"] {
            let name = "com.example/files".to_owned();
            let versions = format!("/registry/v0.1/servers/{path}/versions");
            assert_eq!(Asked::of(&versions), Some(Asked::Versions(name.clone())), "{path}");
            let one = format!("{versions}/1.0.0%2Bbuild");
            assert_eq!(Asked::of(&one), Some(Asked::Version(name, "1.0.0+build".to_owned())), "{path}");
        }
        let called_so = Asked::of("/registry/v0.1/servers/com.example%2Fversions/versions/1.0.0");
        let of_it = Asked::Version("com.example/versions".to_owned(), "1.0.0".to_owned());
        assert_eq!(called_so, Some(of_it));
        assert_eq!(Asked::of("/registry/v0.1/servers"), Some(Asked::List));
        assert_eq!(Asked::of("/registry/v0.1/servers/com.example%2Ffiles"), None);
        assert_eq!(Asked::of("/registry/v0.1/servers-of-others"), None);
    }

    #[test]
    fn a_question_that_cannot_be_is_refused_with_what_would_be_right() {
        for query in ["limit=", "limit=-", "limit=x", "updated_since=yesterday", "include_deleted=maybe"] {
            let (status, message) = question(query).expect_err(query);
            assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
            assert!(message.contains("must be"), "{query}: {message}");
        }
        let asked =
            question("search=git%20hub&limit=5&updated_since=2026-01-01T00%3A00%3A00Z").expect("well-formed");
        assert_eq!((asked.search.as_deref(), asked.limit), (Some("git hub"), 5));
        assert_eq!((asked.updated_since, asked.deleted), (Some(1_767_225_600_000), true));
        for (limit, most) in [("0", 1), ("-7", 1), ("7", 7), ("101", MOST), ("99999999999999999999999", MOST)]
        {
            assert_eq!(question(&format!("limit={limit}")).expect(limit).limit, most, "{limit}");
        }
        for same in
            ["2026-01-01T02:30:00%2B02:30", "2025-12-31t19:00:00.000000000-05:00", "2026-01-01T00:00:00.0z"]
        {
            let asked = question(&format!("updated_since={same}")).expect(same);
            assert_eq!(asked.updated_since, Some(1_767_225_600_000), "{same}");
        }
        for wrong in [
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00+2:30",
            "2026-01-01T00:00:00.xZ",
            "Z",
            "é",
        ] {
            question(&format!("updated_since={wrong}")).expect_err(wrong);
        }
        let early = question("updated_since=0001-01-01T00%3A00%3A00Z").expect("a time");
        assert_eq!(early.updated_since, Some(0));
    }

    #[test]
    fn a_namespace_is_the_host_backwards() {
        assert_eq!(namespace(Some("https://mcp.example.com/gateway")), "com.example.mcp");
        assert_eq!(namespace(Some("https://10.0.0.1:8443")), "localhost");
        assert_eq!(namespace(None), "localhost");
    }
}
