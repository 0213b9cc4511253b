//! A kubeconfig: where an API server is, and as whom it is asked.
//!
//! Programs that print credentials (`exec`, `auth-provider`) are not run: a file would decide what the gateway starts. Nor is a
//! proxy gone through.

use std::path::{Path as FilePath, PathBuf};

use super::Check;
use super::http::absolute_url;
use super::secret::read_bounded;
use crate::node::{Node, Path, Value};
use crate::report::Report;
use crate::{ClusterAccess, ClusterAuth, Format, Pem, Secret, SecretSource, UpstreamUrl, read};

/// Largest kubeconfig, in bytes.
const LARGEST: u64 = 1 << 20;

/// The way to the cluster of a context, and the namespace of that.
pub(super) fn read(
    check: &mut Check<'_>,
    top: &Path,
    text: &str,
    context: Option<&str>,
) -> Option<(ClusterAccess, Option<String>)> {
    let path = top.key("kubeconfig");
    let file = check.file(&path, text);
    if check.report.failed_under(&path) {
        return None;
    }
    let told = |what: &str| format!("{}: {what}", file.display());
    let text = match read_bounded(&file, LARGEST) {
        Ok(text) => text,
        Err(error) => {
            check.error(&path, told(&format!("cannot be read: {error}")));
            return None;
        }
    };
    let mut report = Report::new(&file.display().to_string());
    let Some(root) = read::read(&text, Format::Yaml, &mut report) else {
        check.report.include(report);
        check.error(&path, told("is no kubeconfig"));
        return None;
    };
    let folder = file.parent().unwrap_or(FilePath::new(".")).to_owned();
    let config = Config { root: &root, folder };
    match config.access(context) {
        Ok(found) => {
            for file in &found.files {
                check.file(&path, &file.display().to_string());
            }
            if !found.access.verify {
                let message = "the kubeconfig accepts any certificate: anybody on the way can read and change all that is asked";
                check.warn(&path, message);
            }
            Some((found.access, found.namespace))
        }
        Err(what) => {
            check.error(&path, told(&what));
            None
        }
    }
}

struct Config<'a> {
    root: &'a Node,
    /// Paths in it start there.
    folder: PathBuf,
}

struct Found {
    access: ClusterAccess,
    namespace: Option<String>,
    /// What has to be there beside it.
    files: Vec<PathBuf>,
}

fn text<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    node.child(key)?.node.as_text().filter(|text| !text.is_empty())
}

impl Config<'_> {
    fn access(&self, context: Option<&str>) -> Result<Found, String> {
        let context = context.or_else(|| text(self.root, "current-context"));
        let context = context.ok_or("it has no `current-context`; say which with `kubernetes.context`")?;
        let context = self.named("contexts", "context", context)?;
        let cluster = text(context, "cluster").ok_or("the context names no cluster")?;
        let cluster = self.named("clusters", "cluster", cluster)?;
        let server = text(cluster, "server").ok_or("the cluster has no `server`")?;
        let server = absolute_url(server.trim_end_matches('/')).map_err(|why| format!("`server`: {why}"))?;
        if cluster.child("proxy-url").is_some() {
            return Err("the cluster is behind `proxy-url`, which is not supported".to_owned());
        }
        let mut files = Vec::new();
        let ca = self.pem(cluster, "certificate-authority", &mut files);
        let auth = match text(context, "user") {
            Some(user) => self.auth(self.named("users", "user", user)?, &mut files)?,
            None => ClusterAuth::None,
        };
        if server.scheme_str() == Some("http")
            && auth != ClusterAuth::None
            && !super::http::is_loopback(&server)
        {
            return Err(
                "the cluster's `server` is plain `http`, over which no credentials are sent".to_owned()
            );
        }
        let access = ClusterAccess {
            server: UpstreamUrl(server),
            ca,
            server_name: text(cluster, "tls-server-name").map(str::to_owned),
            verify: text(cluster, "insecure-skip-tls-verify") != Some("true"),
            auth,
        };
        Ok(Found { access, namespace: text(context, "namespace").map(str::to_owned), files })
    }

    /// What is behind a name in one of its lists.
    fn named(&self, list: &str, key: &str, name: &str) -> Result<&Node, String> {
        let items = match self.root.child(list).map(|entry| &entry.node.value) {
            Some(Value::List(items)) => items.as_slice(),
            _ => &[],
        };
        let found = items.iter().find(|item| text(item, "name") == Some(name));
        found
            .and_then(|item| item.child(key))
            .map(|entry| &entry.node)
            .ok_or_else(|| format!("it has no `{name}` among its `{list}`"))
    }

    fn file(&self, path: &str, files: &mut Vec<PathBuf>) -> PathBuf {
        let file = self.folder.join(path);
        files.push(file.clone());
        file
    }

    /// A PEM, in the file itself or in another.
    fn pem(&self, node: &Node, key: &str, files: &mut Vec<PathBuf>) -> Option<Pem> {
        if let Some(data) = text(node, &format!("{key}-data")) {
            return Some(Pem::Base64(Secret::new(data, SecretSource::Literal)));
        }
        text(node, key).map(|path| Pem::File(self.file(path, files)))
    }

    fn auth(&self, user: &Node, files: &mut Vec<PathBuf>) -> Result<ClusterAuth, String> {
        for key in ["exec", "auth-provider"] {
            if user.child(key).is_some() {
                return Err(format!(
                    "the user is known by `{key}`, a program that is not run here; give the gateway a service account and \
                     put its token into `token` or `tokenFile`"
                ));
            }
        }
        if user.child("username").is_some() {
            return Err("the user has a password, which API servers no longer take; use a token".to_owned());
        }
        if user.child("as").is_some() {
            return Err("the user acts as another (`as`), which is not supported".to_owned());
        }
        let cert = self.pem(user, "client-certificate", files);
        let key = self.pem(user, "client-key", files);
        match (cert, key) {
            (Some(cert), Some(key)) => return Ok(ClusterAuth::Certificate { cert, key }),
            (None, None) => {}
            _ => {
                return Err(
                    "the user has a client certificate without its key, or a key without it".to_owned()
                );
            }
        }
        // A file is what somebody keeps fresh.
        if let Some(path) = text(user, "tokenFile") {
            return Ok(ClusterAuth::TokenFile(self.file(path, files)));
        }
        let token = text(user, "token").map(|token| Secret::new(token, SecretSource::Literal));
        Ok(token.map_or(ClusterAuth::None, ClusterAuth::Token))
    }
}
