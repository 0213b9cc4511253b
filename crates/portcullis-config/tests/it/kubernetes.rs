//! Servers whose images a cluster runs, and the way to that.

use std::path::Path;

use portcullis_config::{
    ClusterAuth, Kubernetes, Loaded, Pem, Problems, SandboxNetwork, SecretSource, Transport, effective,
};
use serde_json::{Value, json};

use crate::{Env, refuses, server, warns, yaml};

fn digest() -> String {
    format!("sha256:{}", "0a".repeat(32))
}

/// A configuration with this `kubernetes`, and this kubeconfig beside it.
fn with(kubeconfig: &Value, more: &str) -> (Result<Loaded, Problems>, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config");
    std::fs::write(&file, kubeconfig.to_string()).expect("written");
    let text = format!("kubernetes: {{ kubeconfig: '{}'{more} }}\n", file.display());
    (yaml(&text, &Env::new()), folder)
}

fn read(kubeconfig: &Value, more: &str) -> (Kubernetes, tempfile::TempDir) {
    let (loaded, folder) = with(kubeconfig, more);
    let loaded = loaded.unwrap_or_else(|problems| panic!("{problems}"));
    (loaded.settings.kubernetes.expect("a cluster"), folder)
}

fn kubeconfig(user: &Value) -> Value {
    json!({
        "current-context": "a",
        "contexts": [
            {"name": "a", "context": {"cluster": "c", "user": "u", "namespace": "one"}},
            {"name": "b", "context": {"cluster": "d"}},
        ],
        "clusters": [
            {"name": "c", "cluster": {"server": "https://c.example.com:6443/base/", "certificate-authority-data": "Q0E="}},
            {"name": "d", "cluster": {"server": "http://127.0.0.1:8001"}},
        ],
        "users": [{"name": "u", "user": user}],
    })
}

#[test]
fn an_image_is_a_server_that_the_cluster_places() {
    let text = format!(
        "\
servers:
  a:
    image: ghcr.io/acme/a@{0}
    args: [--all]
    env: {{ KEY: '${{TOKEN}}' }}
    idle_stop: 5m
    container: {{ port: 9000, path: /, cpu: 250m, memory: 1GiB, ports: [53, 443], cidrs: [203.0.113.0/24], user: 1000 }}
  b: {{ image: 'localhost:5000/b:v1@{0}' }}
",
        digest()
    );
    let settings = warns(
        &text,
        "
p.yaml:3:5: warning: servers.a.image: cannot be started: `kubernetes` says in which cluster, and is not there
p.yaml:8:8: warning: servers.b.image: cannot be started: `kubernetes` says in which cluster, and is not there",
    );
    let Transport::Http(a) = &server(&settings, "a").transport else { panic!("{settings:?}") };
    let image = a.image.as_ref().expect("an image");
    assert_eq!((image.port, image.path.as_str(), image.cpu.as_str()), (9000, "/", "250m"));
    assert_eq!((image.memory, image.tmp, image.user), (1 << 30, 64 << 20, Some(1000)));
    assert_eq!(image.network, SandboxNetwork::Ports(vec![53, 443]));
    assert_eq!(image.env["KEY"].expose(), "t0k3n");
    assert!(!format!("{settings:?}").contains("t0k3n"));
    let Transport::Http(b) = &server(&settings, "b").transport else { panic!("{settings:?}") };
    let image = b.image.as_ref().expect("an image");
    assert_eq!((image.port, image.path.as_str(), &image.network), (8080, "/mcp", &SandboxNetwork::None));
    let shown = effective(&settings);
    assert_eq!(shown["servers"]["a"]["container"]["ports"], json!([53, 443]));
    assert_eq!(shown["servers"]["a"]["env"]["KEY"]["value"], "***");
    for key in ["url", "transport", "tls"] {
        assert_eq!(shown["servers"]["a"].get(key), None, "{key}");
    }
}

#[test]
fn what_is_no_image_or_fits_none_is_refused() {
    let text = format!(
        "\
kubernetes: {{ context: a }}
servers:
  a: {{ image: 'ghcr.io/acme/a:latest' }}
  b: {{ image: 'a@{0}', command: b }}
  c: {{ image: 'a@{0}', cwd: /, sandbox: {{}}, tls: {{ verify: false }} }}
  d: {{ command: d, container: {{ port: 1 }} }}
  e:
    image: a@{0}
    env: {{ 'A B': x, 1A: x }}
    container: {{ cpu: 1.5, path: mcp, network: any, ports: [443], cidrs: [1.2.3.4] }}
",
        digest()
    );
    refuses(
        &text,
        "
p.yaml:1:1: error: kubernetes: the gateway is no pod of a cluster (KUBERNETES_SERVICE_HOST is not set); name a `kubeconfig`
p.yaml:1:15: error: kubernetes.context: needs `kubeconfig`, the file that has contexts
p.yaml:3:8: error: servers.a.image: expected an image by its digest, `ghcr.io/acme/server@sha256:…` with 64 hexadecimal digits: a tag could be another program tomorrow
p.yaml:4:3: error: servers.b: has both `command` and `image`; keep the one that the server is reached by
p.yaml:5:92: error: servers.c.cwd: only works with `command`; remove it
p.yaml:5:100: error: servers.c.sandbox: only works with `command`; remove it
p.yaml:5:113: error: servers.c.tls: only works with `url`; remove it
p.yaml:6:20: error: servers.d.container: only works with `image`; remove it
p.yaml:9:12: error: servers.e.env.A B: no variable of a container: expected letters, digits, `_`, `.` and `-`
p.yaml:9:22: error: servers.e.env.1A: no variable of a container: expected letters, digits, `_`, `.` and `-`
p.yaml:10:18: error: servers.e.container.cpu: expected a number of cores, such as `2`, or of thousandths, such as `500m`
p.yaml:10:28: error: servers.e.container.path: expected the path of a URL, such as `/mcp`
p.yaml:10:53: error: servers.e.container.ports: `network: any` opens every port already; keep one of the two
p.yaml:10:75: error: servers.e.container.cidrs[0]: expected addresses as `203.0.113.0/24` or `2001:db8::/32`",
    );
}

#[test]
fn a_kubeconfig_says_where_and_as_whom() {
    let (cluster, _folder) = read(&kubeconfig(&json!({"token": "t0k3n"})), "");
    assert_eq!(cluster.access.server.to_string(), "https://c.example.com:6443/base");
    assert_eq!((cluster.namespace.as_str(), cluster.instance.as_str()), ("one", "portcullis"));
    assert!(matches!(&cluster.access.ca, Some(Pem::Base64(data)) if data.expose() == "Q0E="));
    assert!(matches!(&cluster.access.auth, ClusterAuth::Token(token) if token.expose() == "t0k3n"));
    assert_eq!(cluster.gateway.labels, [("app.kubernetes.io/name".into(), "portcullis".into())].into());
    assert!(!format!("{cluster:?}").contains("t0k3n"));
    let more = ", context: b, namespace: two, gateway: { cidrs: [192.0.2.0/24] }";
    let (cluster, _folder) = read(&kubeconfig(&json!({"token": "t0k3n"})), more);
    assert_eq!(cluster.access.server.to_string(), "http://127.0.0.1:8001/");
    assert_eq!((cluster.namespace.as_str(), &cluster.access.auth), ("two", &ClusterAuth::None));
    assert!(cluster.gateway.labels.is_empty());

    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "t0k3n").expect("written");
    let (cluster, _folder) = read(&kubeconfig(&json!({"token": "old", "tokenFile": token})), "");
    assert_eq!(cluster.access.auth, ClusterAuth::TokenFile(token.clone()));
    let certificate = json!({"client-certificate": token, "client-key-data": "S0VZ"});
    let (cluster, _folder) = read(&kubeconfig(&certificate), "");
    let ClusterAuth::Certificate { cert, key } = &cluster.access.auth else { panic!("{cluster:?}") };
    assert_eq!(*cert, Pem::File(token));
    assert!(matches!(key, Pem::Base64(data) if *data.source() == SecretSource::Literal));
}

#[test]
fn a_kubeconfig_that_cannot_be_used_says_why() {
    for (user, why) in [
        (
            json!({"exec": {"command": "aws"}}),
            "`exec`, a program that is not run here; give the gateway a service account",
        ),
        (json!({"auth-provider": {"name": "gcp"}}), "`auth-provider`, a program"),
        (json!({"username": "u", "password": "p"}), "a password, which API servers no longer take"),
        (json!({"client-certificate-data": "eA=="}), "a client certificate without its key"),
        (json!({"token": "x", "as": "admin"}), "acts as another"),
        (json!({"tokenFile": "/nowhere/token"}), "cannot read /nowhere/token"),
    ] {
        let (refused, _folder) = with(&kubeconfig(&user), "");
        let problems = refused.map(|_| ()).expect_err(why).to_string();
        assert!(problems.contains(why), "{problems}");
    }
    let mut plain = kubeconfig(&json!({"token": "x"}));
    plain["clusters"][0]["cluster"]["server"] = json!("http://c.example.com");
    let mut proxied = kubeconfig(&json!({}));
    proxied["clusters"][0]["cluster"]["proxy-url"] = json!("http://p");
    let mut lost = kubeconfig(&json!({}));
    lost["contexts"][0]["context"]["cluster"] = json!("gone");
    for (config, why) in [
        (plain, "over which no credentials are sent"),
        (proxied, "`proxy-url`"),
        (lost, "it has no `gone` among its `clusters`"),
        (json!({}), "it has no `current-context`"),
    ] {
        let (refused, _folder) = with(&config, "");
        let problems = refused.map(|_| ()).expect_err(why).to_string();
        assert!(problems.contains(why), "{problems}");
    }
    let (refused, _folder) = with(&kubeconfig(&json!({})), ", context: c");
    assert!(
        refused.map(|_| ()).expect_err("no such context").to_string().contains("no `c` among its `contexts`")
    );
}

#[test]
fn no_instance_has_the_name_of_the_scans_of_another() {
    let named = |instance: &str| {
        let (loaded, _folder) = with(&kubeconfig(&json!({})), &format!(", instance: {instance}"));
        loaded.map(|_| ()).map_err(|problems| problems.to_string())
    };
    let refused = named("prod-scan").expect_err("scans of `prod` have it");
    assert!(refused.contains("kubernetes.instance: a name that ends in `-scan`"), "{refused}");
    assert_eq!((named("prod"), named("scan"), named("prod-scans")), (Ok(()), Ok(()), Ok(())));
}

#[test]
fn a_pod_without_an_account_is_told_what_is_missing() {
    let account = Path::new("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt");
    let env: Env = [("KUBERNETES_SERVICE_HOST".to_owned(), "10.0.0.1".to_owned())].into();
    let read = yaml("kubernetes: {}\n", &env);
    if account.exists() {
        return;
    }
    let problems = read.map(|_| ()).expect_err("no account").to_string();
    assert!(problems.contains(&format!("cannot read {}", account.display())), "{problems}");
}

#[test]
fn no_two_images_are_one_server_to_those_who_give_tokens() {
    let digests = [digest(), format!("sha256:{}", "0b".repeat(32))];
    let url = |name: &str, image: &str| {
        let text = format!("servers:\n  {name}: {{ image: {image} }}\n");
        let loaded = yaml(&text, &Env::new()).unwrap_or_else(|problems| panic!("{problems}"));
        let Transport::Http(http) = &server(&loaded.settings, name).transport else { panic!("an image") };
        http.url.expose().to_string()
    };
    let one = url("a", &format!("ghcr.io/acme/a@{}", digests[0]));
    assert_eq!(one, "http://a.image.invalid./ghcr.io/acme/a");
    assert_eq!(
        url("a", &format!("ghcr.io/acme/a:v2@{}", digests[1])),
        one,
        "another version is the same server"
    );
    assert_ne!(url("b", &format!("ghcr.io/acme/a@{}", digests[0])), one);
    assert_ne!(url("a", &format!("ghcr.io/acme/b@{}", digests[0])), one);
    assert_eq!(
        url("a", &format!("localhost:5000/b@{}", digests[0])),
        "http://a.image.invalid./localhost:5000/b"
    );
}

#[test]
fn for_whom_the_tokens_of_an_image_are_is_configured() {
    let client = "client_id: g, client_secret: { env: TOKEN }";
    let issuer = "issuer: 'https://as.example.com'";
    let text = |credentials: &str| {
        format!("servers:\n  a: {{ image: 'a@{}', credentials: {{ {credentials} }} }}\n", digest())
    };
    let (asks, names) = ("which nobody can ask who gives its tokens", "needs `resource` beside an `image`");
    for (credentials, why) in [
        ("kind: assertion".to_owned(), "needs `audience` beside an `image`"),
        ("kind: oauth".to_owned(), asks),
        ("kind: oauth".to_owned(), names),
        (format!("kind: oauth, {issuer}"), names),
        (format!("kind: client-credentials, {issuer}, {client}"), names),
        (format!("kind: client-credentials, {issuer}, {client}, audience: a"), names),
        (format!("kind: token-exchange, {issuer}, {client}"), names),
        ("kind: workload-identity, token_file: t, resource: ''".to_owned(), asks),
    ] {
        let problems = yaml(&text(&credentials), &Env::from([("TOKEN".to_owned(), "x".to_owned())]));
        let problems = problems.map(|_| ()).expect_err(&credentials).to_string();
        assert!(problems.contains(why), "{credentials}: {problems}");
    }
    for credentials in [
        "kind: assertion, audience: a".to_owned(),
        "kind: static, token: { env: TOKEN }".to_owned(),
        format!("kind: oauth, {issuer}, resource: 'https://mcp.example.com'"),
        format!("kind: client-credentials, {issuer}, {client}, resource: ''"),
        format!("kind: token-exchange, flavor: entra-obo, {issuer}, {client}"),
    ] {
        let loaded = yaml(&text(&credentials), &Env::from([("TOKEN".to_owned(), "x".to_owned())]));
        assert!(loaded.is_ok(), "{credentials}: {}", loaded.map(|_| ()).unwrap_err());
    }
}
