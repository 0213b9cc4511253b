//! What is started, before an API server that keeps one Deployment, and others who meddle with that.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::super::objects::tests::{settings, workload};
use super::super::super::{Failure, Request, Running, Settings};
use super::super::claim::is_of_a_service;
use super::super::{Claim, Cluster, uses};
use super::{Seen, Told, asked, cluster_with, is_watch, list, pass};

/// What is there.
struct World {
    deployment: Option<Value>,
    /// Of the Service.
    address: &'static str,
    pods: Vec<Value>,
    /// What is refused, by a part of the path, with which status.
    refused: Option<(&'static str, u16)>,
    /// Nobody answers.
    is_away: bool,
    /// What is never answered in full, by a part of the path.
    slow: Option<&'static str>,
    /// Pods become ready.
    is_ready: bool,
    /// What is there is seen by whoever watches.
    is_seen: bool,
}

type Shared = Arc<Mutex<World>>;

fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().expect("nobody panics")
}

impl World {
    fn answer(&mut self, request: &Request) -> Told {
        if self.is_away {
            return Told::Away;
        }
        if let Some((_, status)) = self.refused.filter(|(path, _)| request.path.contains(path)) {
            return Told::All(status, json!({"message": "no"}));
        }
        if self.slow.is_some_and(|path| request.path.contains(path)) {
            return Told::Stream(Vec::new());
        }
        let there = || self.deployment.iter().filter(|_| self.is_seen).cloned().collect::<Vec<_>>();
        match request.method {
            "DELETE" => {
                self.deployment = None;
                Told::All(200, json!({}))
            }
            "PATCH" if request.path.contains("/deployments/") => self.patch(request),
            "PATCH" if request.path.contains("/services/") => {
                Told::All(200, json!({"spec": {"clusterIP": self.address}}))
            }
            "PATCH" => Told::All(200, json!({"metadata": {"resourceVersion": "1"}})),
            _ if request.path.contains("/pods?") => self.pods(request),
            _ if is_watch(request) => {
                let event = |it: Value| json!({"type": "MODIFIED", "object": it}).to_string();
                Told::Brief(there().into_iter().map(event).collect())
            }
            _ => list(&there()),
        }
    }

    /// One page of them, of those that are in the state that is asked for.
    fn pods(&self, request: &Request) -> Told {
        let (_, query) = request.path.split_once('?').expect("a query");
        let value = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        let without = value("fieldSelector").unwrap_or_default();
        let is_meant = |pod: &&Value| !without.contains(pod["status"]["phase"].as_str().expect("a phase"));
        let all: Vec<_> = self.pods.iter().filter(is_meant).cloned().collect();
        let limit = value("limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
        let more = if all.len() > limit { "more" } else { "" };
        let page: Vec<_> = all.into_iter().take(limit).collect();
        Told::All(200, json!({"items": page, "metadata": {"continue": more}}))
    }

    fn patch(&mut self, request: &Request) -> Told {
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        let mut it = self.deployment.take().unwrap_or_else(
            || json!({"metadata": {"uid": "u1", "generation": 1, "resourceVersion": "5", "annotations": {}}}),
        );
        if request.media == Some("application/merge-patch+json") {
            for (key, value) in body["metadata"]["annotations"].as_object().expect("annotations") {
                let all = it["metadata"]["annotations"].as_object_mut().expect("annotations");
                match value {
                    Value::Null => drop(all.remove(key)),
                    value => drop(all.insert(key.clone(), value.clone())),
                }
            }
        } else {
            it["metadata"]["name"] = body["metadata"]["name"].clone();
            it["metadata"]["labels"] = body["metadata"]["labels"].clone();
            it["spec"] = body["spec"].clone();
            let ready = if self.is_ready { it["spec"]["replicas"].clone() } else { json!(0) };
            it["status"] = json!({
                "observedGeneration": 1, "replicas": ready, "updatedReplicas": ready, "readyReplicas": ready,
            });
        }
        self.deployment = Some(it.clone());
        Told::All(200, it)
    }
}

/// A cluster in which nothing is yet, somebody who looks after it, and a claim.
fn prepared(settings: Settings) -> (Shared, Arc<Cluster>, Claim, Seen) {
    let world = Arc::new(Mutex::new(World {
        deployment: None,
        address: "10.0.0.7",
        pods: Vec::new(),
        refused: None,
        is_away: false,
        slow: None,
        is_ready: true,
        is_seen: true,
    }));
    let own = world.clone();
    let (cluster, seen) = cluster_with(settings, move |request| lock(&own).answer(request));
    let looking = cluster.clone();
    tokio::spawn(async move { looking.look_after().await });
    let claim = cluster.claim(workload());
    (world, cluster, claim, seen)
}

async fn started(claim: &Claim) -> Arc<Running> {
    claim.start().await.unwrap_or_else(|failure| panic!("{failure}"))
}

async fn fails(claim: &Claim) -> Failure {
    claim.start().await.err().expect("it cannot be started")
}

#[tokio::test(start_paused = true)]
async fn a_use_is_noted_before_anything_else_and_what_is_long_gone_is_forgotten() {
    let (world, _cluster, claim, seen) = prepared(settings());
    started(&claim).await;
    let medias: Vec<_> = {
        let seen = seen.lock().expect("nobody panics");
        let writes = seen.iter().filter(|(_, request)| request.method == "PATCH");
        writes.map(|(_, request)| request.media.unwrap_or_default()).take(2).collect()
    };
    assert_eq!(medias, ["application/apply-patch+yaml", "application/merge-patch+json"]);
    let note = |by: &str| format!("used-by.portcullis.io/{by}");
    {
        let mut world = lock(&world);
        let notes = &mut world.deployment.as_mut().expect("it is there")["metadata"]["annotations"];
        notes[note("gone")] = json!("5");
        notes[note("ahead")] = json!("99999999999");
        notes[note("near")] = json!(uses::now().to_string());
    }
    pass(Duration::from_secs(70)).await;
    claim.note_use().await;
    let world = lock(&world);
    let notes = world.deployment.as_ref().expect("it is there")["metadata"]["annotations"].clone();
    let notes: Vec<_> = notes.as_object().expect("notes").keys().cloned().collect();
    assert_eq!(notes, [note("me"), note("near")]);
}

#[tokio::test(start_paused = true)]
async fn a_use_is_noted_while_it_is_waited_for() {
    let long = Settings { start_timeout: Duration::from_mins(10), ..settings() };
    let (world, _cluster, claim, seen) = prepared(long);
    lock(&world).is_ready = false;
    fails(&claim).await;
    let seen = seen.lock().expect("nobody panics");
    let notes = seen.iter().filter(|(_, it)| it.media == Some("application/merge-patch+json")).count();
    assert!((8..=11).contains(&notes), "{notes} in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn a_use_is_noted_again_where_that_failed_or_the_deployment_is_another() {
    let (world, _cluster, claim, _seen) = prepared(settings());
    started(&claim).await;
    // Whether it has been noted since that was asked last.
    let noted = || {
        let mut world = lock(&world);
        let notes = &mut world.deployment.as_mut().expect("it is there")["metadata"]["annotations"];
        let found = std::mem::replace(notes, json!({}));
        found.as_object().is_some_and(|notes| !notes.is_empty())
    };
    assert!(noted());
    pass(Duration::from_secs(61)).await;
    lock(&world).refused = Some(("/deployments/", 403));
    claim.note_use().await;
    assert!(!noted());
    lock(&world).refused = None;
    claim.note_use().await;
    assert!(noted(), "that failed");
    claim.note_use().await;
    assert!(!noted(), "it was a moment ago");
    // Somebody deletes it, and another gateway makes it again.
    lock(&world).deployment.as_mut().expect("it is there")["metadata"]["uid"] = json!("u2");
    pass(Duration::from_secs(5)).await;
    started(&claim).await;
    assert!(noted(), "it was in the one before");
}

#[tokio::test(start_paused = true)]
async fn calls_end_where_its_service_moves_or_is_somebody_elses() {
    let (world, _cluster, claim, _seen) = prepared(settings());
    let confirmed = async |running: &Running| {
        pass(Duration::from_secs(61)).await;
        claim.confirm(running).await;
        running.ended().map(str::to_owned)
    };
    let running = started(&claim).await;
    assert_eq!(confirmed(&running).await, None);
    lock(&world).address = "10.0.0.8";
    claim.confirm(&running).await;
    assert_eq!(running.ended(), None, "it is asked once a minute");
    assert_eq!(confirmed(&running).await.as_deref(), Some("its Service has another address"));
    let running = started(&claim).await;
    assert_eq!(running.address, "10.0.0.8");
    lock(&world).refused = Some(("/networkpolicies/", 503));
    assert_eq!(confirmed(&running).await, None, "that passes");
    lock(&world).refused = Some(("/networkpolicies/", 409));
    let why = confirmed(&running).await;
    assert!(why.as_ref().is_some_and(|why| why.contains("apply NetworkPolicy")), "{why:?}");
}

#[tokio::test(start_paused = true)]
async fn what_has_not_been_heard_of_for_long_is_not_called() {
    let (world, _cluster, claim, _seen) = prepared(settings());
    let running = started(&claim).await;
    lock(&world).is_away = true;
    pass(Duration::from_mins(10)).await;
    assert_eq!(running.ended(), None, "an API server may be away for some time");
    pass(Duration::from_mins(10)).await;
    assert_eq!(running.ended(), Some("the API server has not been heard of for long"));
}

#[tokio::test(start_paused = true)]
async fn calls_are_led_to_nobody_who_passes_for_a_pod_of_it() {
    let (world, _cluster, claim, _seen) = prepared(settings());
    let pod = |name: &str, set: &str| {
        let owner = json!({"kind": "ReplicaSet", "name": set, "controller": true});
        json!({"metadata": {"name": name, "ownerReferences": [owner]}, "status": {"phase": "Running"}})
    };
    let own = format!("{}-7d9f8", claim.name());
    let bare = json!({"metadata": {"name": "spy"}, "status": {"phase": "Running"}});
    for stranger in [bare.clone(), pod("spy", "another-7d9f8"), pod("spy", &format!("{own}-7d9f8"))] {
        lock(&world).pods = vec![pod("own", &own), stranger];
        let failure = fails(&claim).await;
        assert!(failure.to_string().contains("the Pod `spy` has the label"), "{failure}");
    }
    // Those that are over are no pods that calls reach, and hide nobody.
    let over = |number: usize| {
        let mut over = pod(&format!("a-{number:02}"), &own);
        over["status"]["phase"] = json!(if number.is_multiple_of(2) { "Failed" } else { "Succeeded" });
        over
    };
    lock(&world).pods = (0..60).map(over).chain([bare.clone()]).collect();
    let failure = fails(&claim).await;
    assert!(failure.to_string().contains("the Pod `spy` has the label"), "{failure}");
    lock(&world).pods =
        (0..60).map(|number| pod(&format!("own-{number:02}"), &own)).chain([bare.clone()]).collect();
    let failure = fails(&claim).await;
    assert!(failure.to_string().contains("the Pod `own-49` has the label"), "{failure}");
    lock(&world).pods = vec![pod("own", &own)];
    let running = started(&claim).await;
    pass(Duration::from_secs(61)).await;
    claim.confirm(&running).await;
    assert_eq!(running.ended(), None, "it is alone");
    // Nor to one that came when it ran, once that is known.
    lock(&world).pods.push(bare);
    lock(&world).refused = Some(("/pods?", 503));
    pass(Duration::from_secs(61)).await;
    claim.confirm(&running).await;
    assert_eq!(running.ended(), None, "that passes");
    lock(&world).refused = None;
    pass(Duration::from_secs(61)).await;
    claim.confirm(&running).await;
    assert!(
        running.ended().is_some_and(|why| why.contains("the Pod `spy` has the label")),
        "{:?}",
        running.ended()
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_has_its_turn_for_longer_than_others_wait() {
    let (world, _cluster, claim, _seen) = prepared(settings());
    let running = started(&claim).await;
    pass(Duration::from_secs(61)).await;
    lock(&world).slow = Some("/services/");
    let began = Instant::now();
    claim.confirm(&running).await;
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(running.ended(), None, "what comes late is no news");
    // Whoever waits for a turn waits for as long as for a start.
    let _turn = claim.place.turn.lock().await;
    let began = Instant::now();
    let failure = fails(&claim).await;
    assert!(failure.to_string().contains("was not ready within"), "{failure}");
    let patience = settings().start_timeout;
    assert!(began.elapsed() >= patience && began.elapsed() < patience * 2, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_api_server_does_not_lead_the_gateway_to_itself() {
    let (world, _cluster, claim, _seen) = prepared(settings());
    for address in
        ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1", "None"]
    {
        lock(&world).address = address;
        let failure = fails(&claim).await;
        assert!(failure.to_string().contains("has no address in the cluster"), "{address}: {failure}");
    }
    assert!(is_of_a_service("127.0.0.1".parse().expect("one"), true), "the API server is here as well");
    for address in ["10.96.0.10", "fd00::10", "203.0.113.7"] {
        assert!(is_of_a_service(address.parse().expect("one"), false), "{address}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_nobody_wants_any_more_ends_with_what_it_made() {
    let (world, _cluster, claim, seen) = prepared(settings());
    {
        let mut world = lock(&world);
        (world.is_ready, world.is_seen) = (false, false);
    }
    let began = Instant::now();
    let (failure, ()) = tokio::join!(fails(&claim), async {
        pass(Duration::from_secs(3)).await;
        claim.delete().await.expect("deleted");
    });
    assert_eq!(failure, Failure::GivenUp);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(asked(&seen).contains(&format!("delete {}", claim.name())), "no list had it");
    assert!(lock(&world).deployment.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_last_word_on_a_restart_counts_whoever_said_it() {
    let (world, _cluster, claim, _seen) = prepared(settings());
    started(&claim).await;
    let restarted = || {
        let template = lock(&world).deployment.as_ref().expect("it is there")["spec"]["template"].clone();
        template["metadata"]["annotations"]["portcullis.io/restarted-at"].clone()
    };
    claim.restart();
    started(&claim).await;
    let own = restarted();
    assert!(own.is_string());
    let of_another = |at: &str| {
        let mut world = lock(&world);
        let template = &mut world.deployment.as_mut().expect("it is there")["spec"]["template"];
        template["metadata"]["annotations"]["portcullis.io/restarted-at"] = json!(at);
    };
    // A clock that is ahead, and then ours again.
    of_another("9999999999");
    pass(Duration::from_mins(2)).await;
    started(&claim).await;
    assert_eq!(restarted(), "9999999999", "it is not taken back");
    claim.restart();
    started(&claim).await;
    assert_eq!(restarted(), "10000000000");
}

#[tokio::test(start_paused = true)]
async fn the_pod_of_another_gateway_is_not_replaced_under_its_calls() {
    let (world, _cluster, claim, _seen) = prepared(settings());
    started(&claim).await;
    let takes = async || {
        claim.restart();
        pass(Duration::from_secs(40)).await;
        let began = Instant::now();
        started(&claim).await;
        began.elapsed()
    };
    assert!(takes().await < Duration::from_secs(5));
    let at = uses::now().to_string();
    lock(&world).deployment.as_mut().expect("it is there")["metadata"]["annotations"]["used-by.portcullis.io/b"] =
        json!(at);
    let time = takes().await;
    assert!(time >= settings().drain && time < settings().drain * 2, "{time:?}");
}
