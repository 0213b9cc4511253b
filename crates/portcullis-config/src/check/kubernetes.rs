//! The cluster in which servers run, and what is run of their images.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use portcullis_model::ServerId;

use super::Check;
use super::http::absolute_url;
use super::kubeconfig;
use super::secret::read_bounded;
use super::server::misplaced;
use crate::node::Path;
use crate::{
    ClusterAccess, ClusterAuth, CredentialKind, Credentials, GatewayPlace, HttpTransport, HttpUpstream,
    Image, Kubernetes, Pem, SandboxNetwork, Secret, UpstreamTls, UpstreamUrl, raw,
};

/// Where a pod finds what it asks the API server with.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Labels of the gateway's pods, when the file says nothing.
const LABEL: (&str, &str) = ("app.kubernetes.io/name", "portcullis");

const START: Duration = Duration::from_mins(2);
const PORT: u16 = 8080;
const MEMORY: usize = 512 << 20;
const TMP: usize = 64 << 20;
/// No runtime starts in less.
const LEAST: usize = 1 << 20;

pub(super) fn kubernetes(check: &mut Check<'_>, file: &raw::File) -> Option<Kubernetes> {
    let Some(raw) = &file.kubernetes else {
        for (name, _) in file.servers.iter().filter(|(_, server)| server.image.is_some()) {
            let path = Path::top("servers").key(name).key("image");
            check.warn(&path, "cannot be started: `kubernetes` says in which cluster, and is not there");
        }
        return None;
    };
    let top = Path::top("kubernetes");
    let (access, found) = match &raw.kubeconfig {
        Some(text) => kubeconfig::read(check, &top, text, raw.context.as_deref())?,
        None => {
            if raw.context.is_some() {
                check.error(&top.key("context"), "needs `kubeconfig`, the file that has contexts");
            }
            in_cluster(check, &top)?
        }
    };
    let namespace = raw.namespace.clone().or(found).unwrap_or_else(|| "default".to_owned());
    if !is_label(&namespace) {
        check.error(&top.key("namespace"), format!("`{namespace}` is not the name of a namespace"));
    }
    let instance = raw.instance.clone().unwrap_or_else(|| "portcullis".to_owned());
    if !is_label(&instance) || instance.len() > 58 {
        let message =
            "expected at most 58 lower-case letters, digits and `-`, with none of these at either end";
        check.error(&top.key("instance"), message);
    }
    if instance.ends_with("-scan") {
        let message = "a name that ends in `-scan` is that of the scans of another instance, which removes what they leave";
        check.error(&top.key("instance"), message);
    }
    for (index, _) in raw.image_pull_secrets.iter().enumerate().filter(|(_, name)| name.is_empty()) {
        check.error(&top.key("image_pull_secrets").index(index), "expected the name of a Secret");
    }
    Some(Kubernetes {
        access,
        namespace,
        instance,
        image_pull_secrets: raw.image_pull_secrets.clone(),
        gateway: gateway(check, &top.key("gateway"), &raw.gateway),
        is_for_a_look: false,
        start_timeout: check.duration(&top.key("start_timeout"), raw.start_timeout.as_ref(), START),
    })
}

fn gateway(check: &mut Check<'_>, path: &Path, raw: &raw::KubernetesGateway) -> GatewayPlace {
    let mut labels = raw.labels.clone();
    if labels.is_empty() && raw.cidrs.is_empty() {
        labels = BTreeMap::from([(LABEL.0.to_owned(), LABEL.1.to_owned())]);
    }
    for (name, value) in &raw.labels {
        let is_value =
            value.len() <= 63 && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if name.is_empty() || name.contains(char::is_whitespace) || !is_value {
            check.error(&path.key("labels").key(name), "not a label of Kubernetes");
        }
    }
    if raw.namespace.as_deref().is_some_and(|namespace| !is_label(namespace)) {
        check.error(&path.key("namespace"), "not the name of a namespace");
    }
    if raw.namespace.is_some() && labels.is_empty() {
        check.error(&path.key("namespace"), "needs `labels` beside it: a whole namespace is nobody");
    }
    cidrs(check, &path.key("cidrs"), &raw.cidrs);
    GatewayPlace { labels, namespace: raw.namespace.clone(), cidrs: raw.cidrs.clone() }
}

/// What a pod knows of its cluster.
fn in_cluster(check: &mut Check<'_>, path: &Path) -> Option<(ClusterAccess, Option<String>)> {
    let host = check.source.env.var("KUBERNETES_SERVICE_HOST").filter(|host| !host.is_empty());
    let Some(host) = host else {
        let message =
            "the gateway is no pod of a cluster (KUBERNETES_SERVICE_HOST is not set); name a `kubeconfig`";
        check.error(path, message);
        return None;
    };
    let port = check.source.env.var("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".to_owned());
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let url = absolute_url(&format!("https://{host}:{port}"));
    let url = url.map_err(|message| check.error(path, message)).ok()?;
    let account = PathBuf::from(ACCOUNT);
    let mut file = |name: &str| {
        let file = account.join(name);
        check.file(path, &file.display().to_string())
    };
    let (token, ca) = (account.join("token"), file("ca.crt"));
    // It is there for every pod that has a token.
    let namespace = read_bounded(&account.join("namespace"), 1024).ok();
    let access = ClusterAccess {
        server: UpstreamUrl(url),
        ca: Some(Pem::File(ca)),
        server_name: None,
        verify: true,
        auth: ClusterAuth::TokenFile(token),
    };
    Some((access, namespace.map(|text| text.trim().to_owned())))
}

/// A server whose image the cluster runs.
pub(super) fn image(
    check: &mut Check<'_>,
    path: &Path,
    id: &ServerId,
    raw: &raw::Server,
    reference: &str,
) -> Option<HttpUpstream> {
    let elsewhere = [
        ("cwd", raw.cwd.is_some()),
        ("inherit_env", !raw.inherit_env.is_empty()),
        ("max_instances", raw.max_instances.is_some()),
        ("spare", raw.spare.is_some()),
        ("sandbox", raw.sandbox.is_some()),
    ];
    misplaced(check, path, "command", &elsewhere);
    misplaced(check, path, "url", &[("transport", raw.transport.is_some()), ("tls", raw.tls.is_some())]);
    if !is_pinned(reference) {
        let message = "expected an image by its digest, `ghcr.io/acme/server@sha256:…` with 64 hexadecimal digits: a tag \
                       could be another program tomorrow";
        check.error(&path.key("image"), message);
        return None;
    }
    let url = nowhere(id, reference)?;
    let image = container(check, path, raw, reference);
    let headers = super::server::headers(check, &path.key("headers"), &raw.headers);
    let credentials = super::server::credentials(check, path, raw, &headers);
    if let Some(credentials) = &credentials {
        tell_all(check, &path.key("credentials"), credentials);
    }
    Some(HttpUpstream {
        url: UpstreamUrl(url),
        transport: HttpTransport::Streamable,
        headers,
        credentials,
        tls: UpstreamTls::default(),
        openapi: None,
        image: Some(Box::new(image)),
    })
}

/// What stands for a URL, since only the cluster says where a Deployment is. Users' accounts are kept by it, so it is that of this
/// server and of this image, whatever its version. Nothing is asked there, and no domain that a resolver adds makes it a place.
fn nowhere(id: &ServerId, reference: &str) -> Option<::http::Uri> {
    let (name, _) = reference.split_once('@')?;
    let tag = name.rfind('/').map_or(0, |at| at + 1);
    let repository = name[tag..].find(':').map_or(name, |at| &name[..tag + at]);
    format!("http://{id}.image.invalid./{repository}").parse().ok()
}

/// A server behind a URL is asked who gives tokens for it, and they are for that URL. Here all of that is configured.
fn tell_all(check: &mut Check<'_>, path: &Path, credentials: &Credentials) {
    use CredentialKind as Kind;
    let (asks, names) = match &credentials.kind {
        Kind::Static { .. } => return,
        Kind::Assertion { .. } => {
            if credentials.audience.is_none() {
                check.error(path, "needs `audience` beside an `image`, which has no URL that it could be");
            }
            return;
        }
        Kind::Oauth { .. } => (credentials.issuer.is_none(), "`issuer`"),
        _ => (credentials.issuer.is_none() && credentials.token_url.is_none(), "`issuer` or `token_url`"),
    };
    if asks {
        let message = format!("needs {names} beside an `image`, which nobody can ask who gives its tokens");
        check.error(path, message);
    }
    let is_named =
        credentials.resource.is_some() || matches!(credentials.kind, Kind::TokenExchange { entra: true, .. });
    if !is_named {
        let message = "needs `resource` beside an `image`, which has no URL that its tokens could be for; an empty text leaves it out";
        check.error(path, message);
    }
}

fn container(check: &mut Check<'_>, path: &Path, raw: &raw::Server, reference: &str) -> Image {
    let own = raw::Container::default();
    let (at, given) = (path.key("container"), raw.container.as_ref().unwrap_or(&own));
    if given.port == Some(0) {
        check.error(&at.key("port"), "no port has the number 0");
    }
    let endpoint = given.path.clone().unwrap_or_else(|| "/mcp".to_owned());
    if !endpoint.starts_with('/') || endpoint.parse::<::http::uri::PathAndQuery>().is_err() {
        check.error(&at.key("path"), "expected the path of a URL, such as `/mcp`");
    }
    let cpu = given.cpu.clone().unwrap_or_else(|| "1".to_owned());
    let digits = cpu.strip_suffix('m').unwrap_or(&cpu);
    if !digits.parse::<u32>().is_ok_and(|number| number > 0) {
        check.error(
            &at.key("cpu"),
            "expected a number of cores, such as `2`, or of thousandths, such as `500m`",
        );
    }
    let any = matches!(given.network, Some(raw::Network::Any));
    if any && !given.ports.is_empty() {
        check.error(&at.key("ports"), "`network: any` opens every port already; keep one of the two");
    }
    if let Some(index) = given.ports.iter().position(|&port| port == 0) {
        check.error(&at.key("ports").index(index), "no port has the number 0");
    }
    cidrs(check, &at.key("cidrs"), &given.cidrs);
    if !given.cidrs.is_empty() && given.ports.is_empty() {
        check.error(&at.key("cidrs"), "says where `ports` may be, and none are given");
    }
    let mut size = |key: &str, raw: &Option<raw::Size>, default: usize| {
        u64::try_from(check.size(&at.key(key), raw.as_ref(), LEAST, default)).unwrap_or(u64::MAX)
    };
    let (memory, tmp) = (size("memory", &given.memory, MEMORY), size("tmp", &given.tmp, TMP));
    for (key, texts) in [(path.key("args"), &raw.args), (at.key("command"), &given.command)] {
        for (index, _) in texts.iter().enumerate().filter(|(_, text)| text.contains('\0')) {
            check.error(&key.index(index), "holds a NUL character, which no argument can");
        }
    }
    Image {
        reference: reference.to_owned(),
        command: given.command.clone(),
        args: raw.args.clone(),
        env: env(check, &path.key("env"), &raw.env),
        idle_stop: raw.idle_stop.as_ref().map(|it| check.duration(&path.key("idle_stop"), Some(it), START)),
        port: given.port.unwrap_or(PORT),
        path: endpoint,
        cpu,
        memory,
        tmp,
        user: given.user,
        network: match given.ports.as_slice() {
            _ if any => SandboxNetwork::Any,
            [] => SandboxNetwork::None,
            ports => SandboxNetwork::Ports(ports.to_vec()),
        },
        cidrs: given.cidrs.clone(),
    }
}

fn env(check: &mut Check<'_>, path: &Path, raw: &BTreeMap<String, raw::Secret>) -> BTreeMap<String, Secret> {
    let mut env = BTreeMap::new();
    for (name, secret) in raw {
        let path = path.key(name);
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let begins = name.starts_with(|c: char| !c.is_ascii_digit());
        // The name of a variable is a key of a Secret as well.
        if !begins || name.len() > 253 || !name.bytes().all(fits) || name.starts_with("..") {
            check.error(&path, "no variable of a container: expected letters, digits, `_`, `.` and `-`");
        }
        if let Some(secret) = check.secret(&path, name, secret) {
            if secret.expose().contains('\0') {
                check.error(&path, "holds a NUL character, which no variable can");
            }
            env.insert(name.clone(), secret);
        }
    }
    env
}

/// `[registry/]path[:tag]@sha256:…`.
fn is_pinned(reference: &str) -> bool {
    let Some((name, digest)) = reference.split_once("@sha256:") else { return false };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:".contains(&byte);
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(plain)
        && digest.len() == 64
        && digest.bytes().all(is_hex)
}

/// A label of DNS (RFC 1123), which names of namespaces and values of labels can be.
fn is_label(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(fits)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn cidrs(check: &mut Check<'_>, path: &Path, given: &[String]) {
    for (index, text) in given.iter().enumerate() {
        let parsed = text.split_once('/').and_then(|(address, length)| {
            let (address, length) = (address.parse::<IpAddr>().ok()?, length.parse::<u8>().ok()?);
            (length <= if address.is_ipv4() { 32 } else { 128 }).then_some(())
        });
        if parsed.is_none() {
            check.error(&path.index(index), "expected addresses as `203.0.113.0/24` or `2001:db8::/32`");
        }
    }
}
