//! What is watched and what is swept, before an API server that says what a test writes, with time that passes as it is needed.

mod claim;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::objects::tests::{settings, workload};
use super::super::{Answer, Chunks, Coming, Request, Sending, Settings, Wire};
use super::{Cluster, uses};

/// What is answered.
#[derive(Clone)]
enum Told {
    /// A whole body.
    All(u16, Value),
    /// Lines, and then nothing for ever.
    Stream(Vec<String>),
    /// Lines, and the end.
    Ended(Vec<String>),
    /// Lines, and the end a second later.
    Brief(Vec<String>),
    /// No answer.
    Away,
    /// A body without end and without a line.
    Endless,
}

struct Body {
    pieces: VecDeque<Vec<u8>>,
    /// What comes when these are over: nothing, the end, or the same again.
    then: Then,
}

#[derive(Clone, Copy, PartialEq)]
enum Then {
    End,
    Soon,
    Silence,
    More,
}

impl Chunks for Body {
    fn next(&mut self) -> Coming<'_> {
        let piece = self.pieces.pop_front();
        let then = self.then;
        Box::pin(async move {
            match (piece, then) {
                (Some(piece), _) => Ok(Some(piece)),
                (None, Then::End) => Ok(None),
                (None, Then::Soon) => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    Ok(None)
                }
                (None, Then::Silence) => std::future::pending().await,
                (None, Then::More) => Ok(Some(vec![b'x'; 1 << 16])),
            }
        })
    }
}

type Script = dyn FnMut(&Request) -> Told + Send;

/// An API server with a script.
struct Scripted {
    script: Mutex<Box<Script>>,
    seen: Arc<Mutex<Vec<(Instant, Request)>>>,
}

impl Wire for Scripted {
    fn send(&self, request: Request) -> Sending {
        self.seen.lock().expect("nobody panics").push((Instant::now(), request.clone()));
        let told = (self.script.lock().expect("nobody panics"))(&request);
        Box::pin(async move {
            let lines =
                |lines: Vec<String>| lines.into_iter().map(|line| (line + "\n").into_bytes()).collect();
            let (status, pieces, then) = match told {
                Told::All(status, body) => (status, [body.to_string().into_bytes()].into(), Then::End),
                Told::Stream(text) => (200, lines(text), Then::Silence),
                Told::Brief(text) => (200, lines(text), Then::Soon),
                Told::Ended(text) => (200, lines(text), Then::End),
                Told::Endless => (200, VecDeque::new(), Then::More),
                Told::Away => return Err("nobody is there".to_owned()),
            };
            Ok(Answer { status, body: Box::new(Body { pieces, then }) })
        })
    }
}

type Seen = Arc<Mutex<Vec<(Instant, Request)>>>;

fn cluster(script: impl FnMut(&Request) -> Told + Send + 'static) -> (Arc<Cluster>, Seen) {
    cluster_with(settings(), script)
}

fn cluster_with(
    settings: Settings,
    script: impl FnMut(&Request) -> Told + Send + 'static,
) -> (Arc<Cluster>, Seen) {
    let seen = Seen::default();
    let wire = Scripted { script: Mutex::new(Box::new(script)), seen: seen.clone() };
    (Cluster::new(Arc::new(wire), settings, "me"), seen)
}

fn deployment(name: &str, version: u64, uses: &Value) -> Value {
    json!({
        "metadata": {
            "name": name, "uid": format!("uid-of-{name}"), "resourceVersion": version.to_string(), "annotations": uses,
            "labels": {"app.kubernetes.io/managed-by": "portcullis", "portcullis.io/instance": "portcullis"},
        },
        "spec": {"replicas": 1},
    })
}

fn list(items: &[Value]) -> Told {
    Told::All(200, json!({"metadata": {"resourceVersion": "10"}, "items": items}))
}

/// One of these for each request, and what has no end where more are asked for at once.
fn in_pieces(request: &Request, all: &[Value]) -> Told {
    if !request.path.contains("&limit=1&") && !request.path.ends_with("&limit=1") {
        return Told::Endless;
    }
    let at = request.path.split_once("continue=").map_or(0, |(_, at)| at.parse().expect("a number"));
    let more = if at + 1 < all.len() { (at + 1).to_string() } else { String::new() };
    Told::All(200, json!({"metadata": {"resourceVersion": "10", "continue": more}, "items": [all[at]]}))
}

fn is_watch(request: &Request) -> bool {
    request.path.contains("watch=true")
}

fn from(request: &Request) -> String {
    let (_, rest) = request.path.split_once("resourceVersion=").expect("a watch");
    rest.split('&').next().unwrap_or_default().to_owned()
}

/// What was asked so far: `list`, the version that a watch began at, or what was deleted.
fn asked(seen: &Seen) -> Vec<String> {
    let seen = seen.lock().expect("nobody panics");
    let name = |(_, request): &(Instant, Request)| match request.method {
        "DELETE" => format!("delete {}", request.path.rsplit('/').next().unwrap_or_default()),
        "PATCH" => "patch".to_owned(),
        _ if is_watch(request) => from(request),
        _ => "list".to_owned(),
    };
    seen.iter().map(name).collect()
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_where_it_ended() {
    let mut watches = 0;
    let (cluster, seen) = cluster(move |request| {
        if !is_watch(request) {
            return list(&[deployment("a", 5, &json!({}))]);
        }
        watches += 1;
        let event = |kind: &str, object: &Value| json!({"type": kind, "object": object}).to_string();
        let bookmark = json!({"metadata": {"resourceVersion": "17"}});
        match watches {
            1 => Told::Ended(vec![
                event("ADDED", &deployment("b", 12, &json!({}))),
                event("BOOKMARK", &bookmark),
            ]),
            2 => Told::Ended(vec![event("DELETED", &deployment("a", 20, &json!({})))]),
            // A version that is not known any more, as a status and as an event.
            3 => Told::All(410, json!({"code": 410})),
            4 => Told::Ended(vec![event("ERROR", &json!({"code": 410}))]),
            _ => Told::Stream(Vec::new()),
        }
    });
    let claims = [cluster.claim(workload())];
    let own = cluster.clone();
    tokio::spawn(async move { own.look_after().await });
    pass(Duration::from_secs(20)).await;
    let reads: Vec<_> = asked(&seen).into_iter().filter(|it| !it.starts_with("delete")).collect();
    assert_eq!(reads, ["list", "10", "17", "20", "list", "10", "list", "10"]);
    assert_eq!(cluster.table.borrow().deployments.keys().collect::<Vec<_>>(), ["a"], "it was listed anew");
    drop(claims);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_away_is_asked_less_and_less() {
    let (cluster, seen) = cluster(|_| Told::Away);
    let own = cluster.clone();
    tokio::spawn(async move { own.look_after().await });
    pass(Duration::from_mins(10)).await;
    let count = seen.lock().expect("nobody panics").len();
    assert!((20..=150).contains(&count), "{count} requests in ten minutes");
    let trouble = cluster.table.borrow().trouble.clone();
    assert!(trouble.is_some_and(|why| why.contains("nobody is there")));
    // Whoever wants something is not kept waiting.
    let began = Instant::now();
    let failure = cluster.claim(workload()).start().await.err().expect("nothing can be started");
    assert!(failure.to_string().contains("nobody is there"), "{failure}");
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn whoever_closes_each_watch_at_once_is_not_asked_without_end() {
    let (cluster, seen) =
        cluster(|request| if is_watch(request) { Told::Ended(Vec::new()) } else { list(&[]) });
    tokio::spawn(async move { cluster.look_after().await });
    pass(Duration::from_mins(5)).await;
    let count = seen.lock().expect("nobody panics").len();
    assert!((10..=60).contains(&count), "{count} requests in five minutes");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_says_nothing_more_is_left_in_time() {
    let (cluster, seen) =
        cluster(|request| if is_watch(request) { Told::Stream(Vec::new()) } else { list(&[]) });
    tokio::spawn(async move { cluster.look_after().await });
    pass(Duration::from_mins(3)).await;
    let asked = asked(&seen);
    assert!(asked.len() >= 3 && asked[1..].iter().all(|it| it == "10"), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn what_has_no_end_is_not_kept() {
    let (cluster, _seen) = cluster(|request| if is_watch(request) { Told::Endless } else { list(&[]) });
    let own = cluster.clone();
    tokio::spawn(async move { own.look_after().await });
    pass(Duration::from_secs(5)).await;
    let trouble = cluster.table.borrow().trouble.clone();
    assert!(trouble.is_some_and(|why| why.contains("an event has more than 4 MiB")));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_has_claimed_goes_after_a_while_and_what_was_given_up_at_once() {
    let name = workload().name("portcullis");
    let found = [
        deployment("left-over", 1, &json!({})),
        deployment("of-another", 2, &json!({"used-by.portcullis.io/other": uses::now().to_string()})),
        deployment("of-nobody", 5, &json!({"used-by.portcullis.io/other": "99999999999"})),
        deployment(&name, 3, &json!({})),
    ];
    let mut theirs = deployment("theirs", 4, &json!({}));
    theirs["metadata"]["labels"]["portcullis.io/instance"] = json!("another");
    let (cluster, seen) = cluster(move |request| match request.method {
        "DELETE" => Told::All(200, json!({})),
        _ if is_watch(request) => Told::Stream(Vec::new()),
        // A server that does not heed what it was asked for.
        _ => list(&[found.as_slice(), &[theirs.clone()]].concat()),
    });
    let deleted = || {
        let mut all = asked(&seen);
        all.retain(|it| it.starts_with("delete"));
        all.sort();
        all.dedup();
        all
    };
    let claim = cluster.claim(workload());
    let own = cluster.clone();
    tokio::spawn(async move { own.look_after().await });
    pass(Duration::from_secs(20)).await;
    assert_eq!(deleted(), [""; 0], "the registry may be slow");
    drop(claim);
    pass(Duration::from_secs(1)).await;
    assert_eq!(deleted(), [format!("delete {name}")]);
    pass(Duration::from_secs(20)).await;
    let all = ["delete left-over".to_owned(), format!("delete {name}"), "delete of-nobody".to_owned()];
    assert_eq!(deleted(), all);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_has_touched_meanwhile_is_looked_at_again() {
    let mut touched = 0;
    let (cluster, seen) = cluster(move |request| match request.method {
        "DELETE" => {
            touched += 1;
            if touched == 1 {
                Told::All(409, json!({"reason": "Conflict"}))
            } else {
                Told::All(200, json!({}))
            }
        }
        _ if is_watch(request) => Told::Stream(Vec::new()),
        _ => list(&[deployment("left-over", 7, &json!({}))]),
    });
    tokio::spawn(async move { cluster.look_after().await });
    pass(Duration::from_secs(33)).await;
    let seen = seen.lock().expect("nobody panics");
    let bodies: Vec<Value> = seen
        .iter()
        .filter(|(_, request)| request.method == "DELETE")
        .map(|(_, request)| serde_json::from_slice(&request.body).expect("JSON"))
        .collect();
    assert!(bodies.len() >= 2, "it was tried again soon: {bodies:?}");
    let expected = json!({"uid": "uid-of-left-over", "resourceVersion": "7"});
    assert!(bodies.iter().all(|body| body["preconditions"] == expected), "{bodies:?}");
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_too_large_is_asked_for_in_pieces() {
    let all = ["a", "b", "c"].map(|name| deployment(name, 5, &json!({})));
    let (cluster, _seen) =
        cluster(
            move |request| {
                if is_watch(request) { Told::Stream(Vec::new()) } else { in_pieces(request, &all) }
            },
        );
    let own = cluster.clone();
    tokio::spawn(async move { own.look_after().await });
    pass(Duration::from_secs(5)).await;
    assert_eq!(cluster.table.borrow().deployments.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_scan_left_behind_goes_and_what_is_scanned_stays() {
    let began = Instant::now();
    let of_scan = |name: &str, used: u64| {
        let mut it = deployment(name, 3, &json!({"used-by.portcullis.io/scan": used.to_string()}));
        it["metadata"]["labels"]["portcullis.io/instance"] = json!("portcullis-scan");
        it
    };
    let more = Settings { scans: Some("portcullis-scan".to_owned()), ..settings() };
    let (cluster, seen) = cluster_with(more, move |request| match request.method {
        "DELETE" => Told::All(200, json!({})),
        _ if is_watch(request) => Told::Stream(Vec::new()),
        // What comes first does not hide what comes after it.
        _ if request.path.contains("portcullis-scan") => {
            in_pieces(request, &[of_scan("scanned", began.elapsed().as_secs()), of_scan("cut-off", 1)])
        }
        _ => list(&[]),
    });
    tokio::spawn(async move { cluster.look_after().await });
    pass(Duration::from_mins(14)).await;
    assert!(!asked(&seen).iter().any(|it| it.starts_with("delete")), "it may be under way");
    pass(Duration::from_mins(30)).await;
    let mut deleted = asked(&seen);
    deleted.retain(|it| it.starts_with("delete"));
    deleted.dedup();
    assert_eq!(deleted, ["delete cut-off"]);
}
