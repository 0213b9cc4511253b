//! API servers that refuse, are odd, or are away, and pods that do not come up: what callers are told, and that it passes.

use serde_json::{Value, json};

use super::api_server::{Fault, Pods};
use super::{ask, call, prepared};
use crate::harness::{Fake, Gateway, until};

fn fault(method: &'static str, path: &'static str, times: usize, status: u16, body: &Value) -> Fault {
    Fault { method, path, times, status, body: body.to_string() }
}

/// Calls until the answer says this: a failure is remembered for a moment.
async fn told(gateway: &Gateway, what: &str) {
    let mut last = String::new();
    let said = tokio::time::timeout(crate::harness::DEADLINE, async {
        loop {
            last = ask(gateway).await.text();
            if last.contains(what) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    let said = said.await.is_ok();
    assert!(said, "{what}: {last}");
}

async fn works(gateway: &Gateway) {
    until("the next call", async || ask(gateway).await.json()["result"].is_object()).await;
}

#[tokio::test]
async fn what_others_manage_is_theirs_and_the_error_says_whose() {
    let (_upstream, cluster, gateway) = prepared(Fake::modern(), &json!({"idle_stop": "300ms"})).await;
    call(&gateway).await;
    until("its rest", async || cluster.replicas() == Some(0)).await;
    cluster.update("an-autoscaler", &json!({"spec": {"replicas": 0, "paused": true}}));
    told(&gateway, ".spec.replicas is managed by \\\"an-autoscaler\\\"").await;
    assert_eq!(cluster.replicas(), Some(0), "nothing was taken");
    cluster.delete_all();
    works(&gateway).await;
}

#[tokio::test]
async fn what_somebody_changed_is_not_called_as_if_it_were_what_was_described() {
    let (_upstream, cluster, gateway) = prepared(Fake::modern(), &json!({})).await;
    call(&gateway).await;
    let other =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "server", "image": "evil:latest"}]}}}});
    cluster.update("kubectl-edit", &other);
    told(&gateway, r#"containers[{\"name\":\"server\"}].image"#).await;
    told(&gateway, r#"is managed by \"kubectl-edit\""#).await;
    cluster.delete_all();
    works(&gateway).await;
    // What is added to it is as little what was described, though it is in nobody's way.
    let spy =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "spy", "image": "evil:latest"}]}}}});
    cluster.update("kubectl-edit", &spy);
    told(&gateway, r#"containers[{\"name\":\"spy\"}].image"#).await;
    cluster.delete_all();
    works(&gateway).await;
    for field in ["hostNetwork", "hostPID"] {
        cluster.update("kubectl-edit", &json!({"spec": {"template": {"spec": { field: true }}}}));
        told(&gateway, &format!("spec.template.spec.{field} is managed by")).await;
        cluster.delete_all();
        works(&gateway).await;
    }
}

#[tokio::test]
async fn a_refusal_says_what_to_do_and_passes() {
    let (_upstream, cluster, gateway) = prepared(Fake::modern(), &json!({})).await;
    let message = |text: &str| json!({"kind": "Status", "message": text});
    for (status, body, says) in [
        (403, message("services is forbidden"), "services is forbidden. The gateway's Role lacks that"),
        (404, message("no such namespace"), "Does the namespace exist"),
        (422, message("spec.ports[0]: Invalid value"), "is not valid there: spec.ports[0]: Invalid value"),
        (401, json!({}), "it does not know who asks"),
    ] {
        cluster.fault(fault("PATCH", "/services/", 1, status, &body));
        told(&gateway, says).await;
    }
    works(&gateway).await;
}

#[tokio::test]
async fn what_passes_by_itself_is_asked_again() {
    let (_upstream, cluster, gateway) = prepared(Fake::modern(), &json!({})).await;
    for (path, status) in [("/networkpolicies/", 429), ("/services/", 503), ("/secrets/", 500)] {
        cluster.fault(fault("PATCH", path, 2, status, &json!("too much")));
    }
    call(&gateway).await;
}

#[tokio::test]
async fn an_api_server_that_is_odd_is_no_danger() {
    let (_upstream, cluster, gateway) = prepared(Fake::modern(), &json!({})).await;
    for body in [json!("no JSON"), json!({"metadata": {}}), json!([1]), json!("x".repeat(17 << 20))] {
        cluster.fault(fault("PATCH", "/deployments/", 1, 200, &body));
        told(&gateway, "cannot be read").await;
    }
    works(&gateway).await;
}

#[tokio::test]
async fn one_that_cannot_be_listed_says_why_and_is_asked_again() {
    let upstream = Fake::modern().start().await;
    let cluster = super::ApiServer::start(super::port(&upstream)).await;
    cluster.fault(fault("GET", "/deployments?labelSelector", 2, 403, &json!({"message": "cannot list"})));
    let gateway = Gateway::start(&super::config(&cluster, &super::image(super::port(&upstream))));
    told(&gateway, "cannot list. The gateway's Role lacks that").await;
    works(&gateway).await;
    // A token that is not good any more is told as such, and the next one counts without a restart.
    cluster.rotate_token("stale");
    cluster.update("kubectl", &json!({"metadata": {"annotations": {"a": "b"}}}));
    cluster.delete_all();
    until("that it is not known", async || ask(&gateway).await.text().contains("does not know who asks"))
        .await;
    cluster.kubeconfig();
    works(&gateway).await;
}

#[tokio::test]
async fn a_watch_goes_on_where_it_ended_and_anew_where_that_is_too_long_ago() {
    let (_upstream, cluster, gateway) = prepared(Fake::modern(), &json!({})).await;
    call(&gateway).await;
    for _ in 0..2 {
        let lists = lists(&cluster.record());
        cluster.expire();
        gateway.logged("the watch of the Deployments has expired").await;
        until("another list", async || self::lists(&cluster.record()) > lists).await;
        // What happens from then on is seen.
        let made = cluster.deployment().unwrap()["metadata"]["uid"].clone();
        cluster.delete_all();
        until("another one", async || {
            ask(&gateway).await;
            cluster.deployment().is_some_and(|it| it["metadata"]["uid"] != made)
        })
        .await;
        works(&gateway).await;
    }
}

fn lists(record: &[super::api_server::Exchange]) -> usize {
    record
        .iter()
        .filter(|it| it.needs.iter().any(|need| *need == ("apps/deployments".to_owned(), "list")))
        .count()
}

#[tokio::test]
async fn a_pod_that_does_not_become_ready_says_why() {
    let upstream = Fake::modern().start().await;
    let cluster = super::ApiServer::start(super::port(&upstream)).await;
    let mut config = super::config(&cluster, &super::image(super::port(&upstream)));
    config["kubernetes"]["start_timeout"] = json!("1s");
    let gateway = Gateway::start(&config);
    cluster.pods_are(Pods::Crash);
    told(&gateway, "CrashLoopBackOff, back-off 10s (it ended before: Completed, exit code 0)").await;
    assert!(!ask(&gateway).await.text().contains("hunter2"), "callers are told what a container wrote");
    told(&gateway, "one that speaks over stdio only cannot be run here").await;
    cluster.pods_are(Pods::Forbidden);
    told(&gateway, "violates PodSecurity").await;
    cluster.pods_are(Pods::Ready);
    works(&gateway).await;
}

#[tokio::test]
async fn a_pod_that_goes_away_is_waited_for() {
    let (_upstream, cluster, gateway) = prepared(Fake::modern(), &json!({})).await;
    call(&gateway).await;
    cluster.pods_are(Pods::Crash);
    let client = crate::harness::Modern::new();
    let calling = client.request(&gateway, "tools/call", json!({"name": "x__echo", "arguments": {}}));
    let (answer, ()) = tokio::join!(calling, async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        cluster.pods_are(Pods::Ready);
    });
    assert!(answer.json()["result"].is_object(), "{}", answer.text());
}
