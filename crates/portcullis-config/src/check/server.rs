//! The upstream servers.

use std::collections::BTreeMap;
use std::time::Duration;

use ::http::{HeaderName, HeaderValue};
use portcullis_model::ServerId;

use super::Check;
use super::http::{absolute_url, is_host, is_loopback};
use crate::node::Path;
use crate::{
    Apps, CredentialKind, Credentials, EraPin, HttpTransport, HttpUpstream, Limits, Secret, SecretSource,
    Server, Sharing, Stdio, Transport, UpstreamTls, UpstreamUrl, raw, slug,
};

/// How long lists are kept when neither the server nor the file says.
const LIST_TTL: Duration = Duration::from_mins(5);

/// Calls in flight to one server when the file does not say.
const MAX_CONCURRENT: usize = 64;
/// Processes of one server when the file does not say.
const MAX_INSTANCES: usize = 100;

/// Headers that the gateway or HTTP itself sets.
pub(super) const RESERVED: &[&str] = &[
    "accept",
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(super) fn servers(
    check: &mut Check<'_>,
    raw: &BTreeMap<String, raw::Server>,
    apps: &raw::Apps,
    limits: &Limits,
) -> BTreeMap<ServerId, Server> {
    let everywhere = super::apps::apps(check, &Path::top("apps"), apps, &Apps::default());
    let mut servers = BTreeMap::new();
    for (name, entry) in raw {
        let path = Path::top("servers").key(name);
        let id = ServerId::parse(name).unwrap_or_else(|_| {
            let id = slug::derive(name, |id| raw.contains_key(id));
            check.error(
                &path,
                format!(
                    "not a server name: lower-case letters and digits in groups joined by `-`, at most 20 characters; \
                     call it `{id}`"
                ),
            );
            id
        });
        if let Some(server) = server(check, &path, &id, entry, &everywhere, limits) {
            servers.insert(id, server);
        }
    }
    servers
}

fn server(
    check: &mut Check<'_>,
    path: &Path,
    id: &ServerId,
    raw: &raw::Server,
    apps: &Apps,
    limits: &Limits,
) -> Option<Server> {
    let call_timeout =
        check.duration(&path.key("call_timeout"), raw.call_timeout.as_ref(), limits.call_timeout);
    if raw.call_timeout.is_some() && call_timeout > limits.call_max {
        check.error(&path.key("call_timeout"), "longer than `limits.call_max`; shorten it or raise that");
    }
    if raw.image.is_none() {
        misplaced(check, path, "image", &[("container", raw.container.is_some())]);
    }
    let transport = match (&raw.command, &raw.url, &raw.openapi, &raw.image) {
        (Some(command), None, None, None) => stdio(check, path, raw, command).map(Transport::Stdio),
        (None, Some(url), None, None) => http(check, path, raw, url, &path.key("url")).map(Transport::Http),
        (None, None, Some(api), None) => super::openapi::openapi(check, path, raw, api).map(Transport::Http),
        (None, None, None, Some(image)) => {
            super::kubernetes::image(check, path, id, raw, image).map(Transport::Http)
        }
        (None, None, None, None) => {
            if !check.report.failed_under(path) {
                check.error(
                    path,
                    "has neither `command` (a program to start) nor `url` (an endpoint) nor `openapi` (a document) nor \
                     `image` (of a container); add one",
                );
            }
            None
        }
        (command, url, openapi, image) => {
            let all = [
                ("command", command.is_some()),
                ("url", url.is_some()),
                ("openapi", openapi.is_some()),
                ("image", image.is_some()),
            ];
            let given: Vec<_> =
                all.iter().filter(|(_, given)| *given).map(|(key, _)| format!("`{key}`")).collect();
            let (last, first) = given.split_last().expect("two of them, or more");
            let both = if first.len() == 1 { "both " } else { "" };
            check.error(
                path,
                format!(
                    "has {both}{} and {last}; keep the one that the server is reached by",
                    first.join(", ")
                ),
            );
            None
        }
    };
    Some(Server {
        transport: transport?,
        era: match raw.era {
            None | Some(raw::Era::Auto) => EraPin::Auto,
            Some(raw::Era::Legacy) => EraPin::Legacy,
            Some(raw::Era::Modern) => EraPin::Modern,
        },
        sharing: match raw.sharing {
            None | Some(raw::Sharing::Shared) => Sharing::Shared,
            Some(raw::Sharing::Session) => Sharing::Session,
        },
        enabled: raw.enabled.unwrap_or(true),
        call_timeout,
        list_ttl: check.duration_or_zero(&path.key("list_ttl"), raw.list_ttl.as_ref(), LIST_TTL),
        probe: raw.probe.as_ref().map(|raw| check.duration(&path.key("probe"), Some(raw), LIST_TTL)),
        max_concurrent: raw.max_concurrent.unwrap_or(MAX_CONCURRENT),
        apps: match &raw.apps {
            Some(own) => super::apps::apps(check, &path.key("apps"), own, apps),
            None => apps.clone(),
        },
        description: raw.description.clone(),
    })
}

fn stdio(check: &mut Check<'_>, path: &Path, raw: &raw::Server, command: &str) -> Option<Stdio> {
    let url_only = [
        ("transport", raw.transport.is_some()),
        ("headers", !raw.headers.is_empty()),
        ("credentials", raw.credentials.is_some()),
        ("tls", raw.tls.is_some()),
    ];
    misplaced(check, path, "url", &url_only);
    if command.trim().is_empty() || command.contains('\0') {
        check.error(&path.key("command"), "expected a program: a path, or a name that is looked up in PATH");
        return None;
    }
    let mut words = command.split_whitespace();
    if let (Some(first), Some(second)) = (words.next(), words.next())
        && !std::path::Path::new(&program(check, command)).exists()
    {
        let args: Vec<_> = std::iter::once(second).chain(words).collect();
        let message = format!(
            "is the name of one program, blanks and all; if it is not: `command: {first}, args: [{}]`",
            args.join(", ")
        );
        check.warn(&path.key("command"), message);
    }
    let mut told = BTreeMap::new();
    for (index, arg) in raw.args.iter().enumerate() {
        let path = path.key("args").index(index);
        if arg.contains('\0') {
            check.error(&path, "holds a NUL character, which no argument can");
        }
        for name in check.filled(&path).to_vec() {
            if let Some(value) = check.source.env.var(&name) {
                told.insert(name.clone(), Secret::new(value, SecretSource::Env(vec![name])));
            }
        }
    }
    let mut env = BTreeMap::new();
    for (name, secret) in &raw.env {
        let path = path.key("env").key(name);
        if !is_environment_name(name) {
            check.error(&path, "not the name of a variable: it is empty or holds `=` or NUL");
        }
        if let Some(secret) = check.secret(&path, name, secret) {
            if secret.expose().contains('\0') {
                check.error(&path, "holds a NUL character, which no variable can");
            }
            env.insert(name.clone(), secret);
        }
    }
    for (index, name) in raw.inherit_env.iter().enumerate() {
        if !is_environment_name(name) {
            let path = path.key("inherit_env").index(index);
            check.error(&path, "not the name of a variable: it is empty or holds `=` or NUL");
        }
    }
    let idle_stop = raw.idle_stop.as_ref();
    Some(Stdio {
        command: program(check, command),
        args: raw.args.clone(),
        told,
        env,
        cwd: raw.cwd.as_ref().map(|cwd| check.resolve(cwd)),
        inherit_env: raw.inherit_env.clone(),
        idle_stop: idle_stop.map(|raw| check.duration(&path.key("idle_stop"), Some(raw), LIST_TTL)),
        max_instances: raw.max_instances.unwrap_or(MAX_INSTANCES),
        spare: raw.spare.unwrap_or(true),
        sandbox: raw
            .sandbox
            .as_ref()
            .map(|raw| Box::new(super::sandbox::sandbox(check, &path.key("sandbox"), raw))),
        locked: None,
    })
}

/// A bare name stays as typed, for PATH; anything with a slash is a path like any other.
fn program(check: &Check<'_>, command: &str) -> String {
    if !command.contains('/') {
        return command.to_owned();
    }
    check.resolve(command).into_os_string().into_string().unwrap_or_else(|_| command.to_owned())
}

fn is_environment_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

/// A server behind a URL, which stands at `at`.
pub(super) fn http(
    check: &mut Check<'_>,
    path: &Path,
    raw: &raw::Server,
    url: &str,
    at: &Path,
) -> Option<HttpUpstream> {
    no_child(check, path, raw);
    let headers = headers(check, &path.key("headers"), &raw.headers);
    let tls =
        raw.tls.as_ref().map_or_else(UpstreamTls::default, |tls| upstream_tls(check, &path.key("tls"), tls));
    let url = match absolute_url(url) {
        Ok(url) => url,
        Err(message) => {
            check.error(at, message);
            return None;
        }
    };
    if url.scheme_str() == Some("http") {
        if raw.tls.is_some() {
            check.error(&path.key("tls"), "only works with an `https` URL");
        }
        if !is_loopback(&url) {
            check.warn(at, "plain `http` off this machine: anybody on the way can read it; use `https`");
        }
    }
    let transport = match raw.transport {
        None | Some(raw::HttpTransport::Auto) => HttpTransport::Auto,
        Some(raw::HttpTransport::StreamableHttp) => HttpTransport::Streamable,
        Some(raw::HttpTransport::Sse) => HttpTransport::Sse,
    };
    if transport == HttpTransport::Sse && matches!(raw.era, Some(raw::Era::Modern)) {
        check.error(
            &path.key("era"),
            "`modern` does not go with `transport: sse`, which only `legacy` servers speak",
        );
    }
    let credentials = credentials(check, path, raw, &headers);
    if let Some(credentials) = &credentials
        && matches!(credentials.kind, CredentialKind::Oauth { .. })
        && credentials.resource.as_ref().is_some_and(|resource| !is_part_of(&url.to_string(), resource))
    {
        check.error(
            &path.key("credentials").key("resource"),
            "is not the beginning of the server's URL, up to a `/`: nobody could tell that the server is part of it",
        );
    }
    Some(HttpUpstream {
        url: UpstreamUrl(url),
        transport,
        headers,
        credentials,
        tls,
        openapi: None,
        image: None,
    })
}

/// As whom a server is called.
pub(super) fn credentials(
    check: &mut Check<'_>,
    path: &Path,
    raw: &raw::Server,
    headers: &BTreeMap<String, Secret>,
) -> Option<Box<Credentials>> {
    let credentials = raw.credentials.as_ref();
    let credentials =
        credentials.and_then(|raw| super::credentials::credentials(check, &path.key("credentials"), raw));
    if credentials.is_some() && headers.contains_key("authorization") {
        check.error(
            &path.key("headers"),
            "holds `authorization`, which `credentials` set; keep one of the two",
        );
    }
    credentials.map(Box::new)
}

/// What only a program has that is started here.
pub(super) fn no_child(check: &mut Check<'_>, path: &Path, raw: &raw::Server) {
    let stdio_only = [
        ("args", !raw.args.is_empty()),
        ("env", !raw.env.is_empty()),
        ("cwd", raw.cwd.is_some()),
        ("inherit_env", !raw.inherit_env.is_empty()),
        ("idle_stop", raw.idle_stop.is_some()),
        ("max_instances", raw.max_instances.is_some()),
        ("spare", raw.spare.is_some()),
        ("sandbox", raw.sandbox.is_some()),
    ];
    misplaced(check, path, "command", &stdio_only);
}

/// Whether a URL is below a resource: the same scheme and authority, and a path of whole parts.
fn is_part_of(url: &str, resource: &str) -> bool {
    let resource = resource.strip_suffix('/').unwrap_or(resource);
    let authority = resource.split_once("://").map_or("", |(_, rest)| rest);
    let below = url.strip_prefix(resource).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    below && !authority.is_empty()
}

/// Headers with names and values that HTTP allows, names in lower case.
pub(super) fn headers(
    check: &mut Check<'_>,
    path: &Path,
    raw: &BTreeMap<String, raw::Secret>,
) -> BTreeMap<String, Secret> {
    let mut headers = BTreeMap::new();
    for (given, secret) in raw {
        let path = path.key(given);
        let Ok(name) = HeaderName::from_bytes(given.as_bytes()) else {
            check.error(&path, "not the name of an HTTP header");
            continue;
        };
        let name = name.as_str();
        if RESERVED.contains(&name) || name.starts_with("mcp-") {
            check.error(&path, "set by the gateway itself; remove it");
        }
        let Some(secret) = check.secret(&path, given, secret) else { continue };
        if HeaderValue::from_str(secret.expose()).is_err() {
            check.error(&path, "holds characters that no HTTP header can, such as a line break");
        }
        if headers.insert(name.to_owned(), secret).is_some() {
            check.error(&path, "given twice in different case; keep one of the two");
        }
    }
    headers
}

fn upstream_tls(check: &mut Check<'_>, path: &Path, raw: &raw::UpstreamTls) -> UpstreamTls {
    for (present, missing, lacks) in [
        ("cert", "key", raw.cert.is_some() && raw.key.is_none()),
        ("key", "cert", raw.key.is_some() && raw.cert.is_none()),
    ] {
        if lacks && !check.report.failed_under(&path.key(missing)) {
            check.error(&path.key(present), format!("needs `{missing}` beside it"));
        }
    }
    if raw.verify == Some(false) {
        check.warn(
            &path.key("verify"),
            "any certificate is accepted: anybody on the way can read and change calls",
        );
    }
    if raw.server_name.as_deref().is_some_and(|name| !is_host(name)) {
        check.error(&path.key("server_name"), "not a host name");
    }
    let mut file = |key: &str, file: Option<&String>| file.map(|file| check.file(&path.key(key), file));
    UpstreamTls {
        ca: file("ca", raw.ca.as_ref()),
        cert: file("cert", raw.cert.as_ref()),
        key: file("key", raw.key.as_ref()),
        server_name: raw.server_name.clone(),
        verify: raw.verify.unwrap_or(true),
    }
}

pub(super) fn misplaced(check: &mut Check<'_>, path: &Path, belongs_to: &str, keys: &[(&str, bool)]) {
    for (key, _) in keys.iter().filter(|(_, present)| *present) {
        check.error(&path.key(key), format!("only works with `{belongs_to}`; remove it"));
    }
}
