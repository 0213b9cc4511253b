//! What a client certificate is good for after the handshake: as long as it lasts and its authority is trusted, and no longer.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::client::Modern;
use crate::harness::pki::{Authority, Identity};
use crate::harness::secure::{Client, Offer};
use crate::harness::{Fake, Gateway, Upstream, signal, until};

struct Scene {
    ca: Authority,
    gateway: Gateway,
    _upstream: Upstream,
}

async fn scene(clients: &Authority) -> Scene {
    let ca = Authority::new();
    let (folder, upstream) = (tempfile::tempdir().unwrap(), Fake::modern().start().await);
    let mut tls = ca.issue("localhost").write(folder.path(), "own");
    tls["client_ca"] = json!(clients.write(folder.path(), "clients.pem"));
    let config = json!({"tls": tls, "identity": {"anonymous": "deny"}, "servers": {"x": upstream.config()}});
    Scene { ca, gateway: Gateway::start_in(folder, &config, &[]), _upstream: upstream }
}

impl Scene {
    async fn connect(&self, identity: &Identity) -> Client {
        Client::tls(self.gateway.address, self.ca.client(Some(identity)), Offer::H2).await.unwrap()
    }
}

async fn list(client: &mut Client) -> u16 {
    client.modern("tools/list", json!({})).await.unwrap().status
}

/// A stream that tells of changes; ready when it has ended.
fn listen(mut client: Client) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let filter = json!({"notifications": {"toolsListChanged": true}});
        let body = Modern::new().body("subscriptions/listen", filter);
        let headers = Modern::headers(&body);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        // Reads the whole answer, which is there when the stream has ended.
        let _: Value =
            json!(client.send("POST", "/mcp", &headers, body.to_string()).await.map(|it| it.status).ok());
    })
}

#[tokio::test]
async fn a_certificate_that_ends_takes_its_connections_and_streams_with_it() {
    let clients = Authority::new();
    let scene = scene(&clients).await;
    let (short, long) = (clients.issue_for("short", Duration::from_secs(6)), clients.issue("long"));
    let (mut ending, mut staying) = (scene.connect(&short).await, scene.connect(&long).await);
    assert_eq!((list(&mut ending).await, list(&mut staying).await), (200, 200));
    let stream = listen(scene.connect(&short).await);
    until("the end of the certificate", async || list(&mut ending).await == 401).await;
    crate::harness::within("the end of the stream", stream).await.unwrap();
    assert_eq!(list(&mut staying).await, 200, "others go on");
}

#[tokio::test]
async fn an_authority_that_is_taken_away_takes_its_certificates_with_it() {
    let (old, new) = (Authority::new(), Authority::new());
    let scene = scene(&old).await;
    let of_old = old.issue("old");
    let mut client = scene.connect(&of_old).await;
    assert_eq!(list(&mut client).await, 200);
    let stream = listen(scene.connect(&of_old).await);
    new.write(scene.gateway.folder(), "clients.pem");
    signal(scene.gateway.pid(), Signal::HUP);
    until("the end of the old authority", async || list(&mut client).await == 401).await;
    crate::harness::within("the end of the stream", stream).await.unwrap();
    let mut other = scene.connect(&new.issue("new")).await;
    assert_eq!(list(&mut other).await, 200);
    // What is trusted again is good again, on connections from before, too.
    old.write(scene.gateway.folder(), "clients.pem");
    signal(scene.gateway.pid(), Signal::HUP);
    until("the old authority again", async || list(&mut client).await == 200).await;
    assert_eq!(list(&mut other).await, 401);
}
