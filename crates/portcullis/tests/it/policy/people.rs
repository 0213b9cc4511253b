//! Callers with certificates: what one is shown, another is not.

use serde_json::{Value, json};

use super::{names, something};
use crate::harness::pki::Authority;
use crate::harness::secure::{Client, Offer};
use crate::harness::{Gateway, signal, until};
use rustix::process::Signal;

#[tokio::test]
async fn certificates_are_principals_and_are_shown_their_own_lists() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let mut tls = ca.issue("localhost").write(folder.path(), "own");
    tls["client_ca"] = json!(clients.write(folder.path(), "clients.pem"));
    let server = something(true).start().await;
    let config = |policy: Value| {
        json!({
            "tls": tls, "identity": {"anonymous": "deny"}, "servers": {"x": server.config()}, "policy": policy,
            "telemetry": {"log": {"filter": "info,portcullis_gateway=debug", "format": "json"}},
        })
    };
    let closed = json!({"roles": {"reader": ["nobody"]}});
    let gateway = Gateway::start_in(folder, &config(closed), &[]);
    let connect =
        async |identity| Client::tls(gateway.address, ca.client(Some(identity)), Offer::H1).await.unwrap();
    let (ann, bob) = (clients.issue("ann"), clients.issue("bob"));
    let (mut of_ann, mut of_bob) = (connect(&ann).await, connect(&bob).await);
    // Nobody has a role yet. The log says who asked.
    let mut ids = Vec::new();
    for client in [&mut of_ann, &mut of_bob] {
        let list = client.modern("tools/list", json!({})).await.unwrap();
        assert_eq!(names(&list.body["result"]), [""; 0]);
        let told = |log: &str| {
            let ids = log.lines().filter_map(|line| Some(line.split("cert:").nth(1)?.get(..64)?.to_owned()));
            ids.collect::<Vec<_>>()
        };
        until("who asked", async || told(&gateway.log()).iter().any(|id| !ids.contains(id))).await;
        let id = told(&gateway.log()).into_iter().find(|id| !ids.contains(id)).unwrap();
        ids.push(id);
    }
    let groups = json!({"readers": [format!("cert:{}", ids[0])], "users": [format!("cert:{}", ids[1])]});
    let roles = json!({"reader": ["readers"], "user": ["users"]});
    gateway.rewrite_config(&config(json!({"groups": groups, "roles": roles})));
    signal(gateway.pid(), Signal::HUP);
    gateway.logged("took up the policies").await;
    // On connections and in sessions that were open before, too, and one after the other, whatever is remembered.
    for _ in 0..2 {
        let list = of_ann.modern("tools/list", json!({})).await.unwrap();
        assert_eq!(names(&list.body["result"]), ["x__look"]);
        assert_eq!(list.body["result"]["cacheScope"], "private");
        let list = of_bob.modern("tools/list", json!({})).await.unwrap();
        assert_eq!(names(&list.body["result"]), ["x__look", "x__change"]);
        let call = json!({"name": "x__change", "arguments": {}});
        let denied = of_ann.modern("tools/call", call.clone()).await.unwrap();
        assert_eq!(denied.body["error"]["code"], -32602);
        let done = of_bob.modern("tools/call", call).await.unwrap();
        assert!(done.body["result"].is_object(), "{done:?}");
    }
}
