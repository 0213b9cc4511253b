//! Runs a row between every client and every server that it concerns, all at once before one gateway.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::LocalSet;

use super::client::Client;
use super::ends::{self, End};
use super::player::Player;
use super::server::Server;
use super::setting::{Policies, Tokens};
use super::text::{Side, Transcript};
use super::wire::Scene;
use crate::harness::Gateway;

/// What no gateway can carry between the eras; a row that is not carried somewhere says by which of these.
pub(super) const LOSSES: [&str; 12] = [
    "sessionful legacy servers for modern clients",
    "what servers ask or log outside of any call",
    "durable resumption",
    "declined sampling and roots toward modern servers",
    "signals that an elicitation has ended",
    "long human pauses against the time-outs of legacy servers",
    "parked calls when a node is lost",
    "tasks of clients, lists of tasks, progress of tasks",
    "structured content that is no object, and schemas of it, toward legacy clients",
    "choices of several values and titled ones toward 2025-06-18",
    "freshness of legacy lists",
    "whose a message is on a channel that calls share",
];

/// Pairs before one gateway. Where policies hide something, each has a snapshot of its list, of which a gateway keeps 64.
const TOGETHER: usize = 48;

/// How a row went between two ends.
struct Outcome {
    client: End,
    server: End,
    /// What was different.
    failed: Option<String>,
}

/// The pairs that a row concerns.
pub(super) fn pairs(row: &Transcript) -> Vec<(End, End)> {
    ends::pairs().filter(|(client, server)| row.concerns(*client, *server)).collect()
}

/// What a pair's server is called in the configuration.
fn slug(client: End, server: End) -> String {
    format!("{}-{}", client.slug(), server.slug())
}

/// Between whom something is lost, the scripts say what happens instead: no pair that carries the row has the same ones.
pub(super) fn check_losses(row: &Transcript) {
    let scripts = |(client, server): &(End, End)| {
        let of = |side, end, other| format!("{:?}", row.script(side, end, other));
        (of(Side::Client, *client, *server), of(Side::Server, *server, *client))
    };
    let (lost, carried): (Vec<_>, Vec<_>) =
        pairs(row).into_iter().partition(|(client, server)| row.loss(*client, *server).is_some());
    let carried: HashSet<_> = carried.iter().map(scripts).collect();
    for pair in &lost {
        let (client, server) = pair;
        assert!(
            !carried.contains(&scripts(pair)),
            "{client} before {server} as if nothing were lost: {}",
            row.about
        );
    }
}

/// Plays a row; panics with what was different, pair by pair.
pub(super) async fn play(row: Transcript) {
    let row = Arc::new(row);
    for loss in &row.losses {
        assert!((1..=LOSSES.len()).contains(&loss.number), "4.6.{} is no loss", loss.number);
    }
    let only = std::env::var("PAIR").ok();
    let mut pairs = pairs(&row);
    pairs.retain(|(client, server)| only.as_ref().is_none_or(|only| *only == slug(*client, *server)));
    let together = if row.hidden.is_some() { TOGETHER } else { pairs.len() };
    let mut outcomes = Vec::new();
    for pairs in pairs.chunks(together.max(1)) {
        outcomes.extend(play_between(&row, pairs).await);
    }
    judge(&outcomes);
}

/// Plays a row between these pairs, all at once before one gateway.
async fn play_between(row: &Arc<Transcript>, pairs: &[(End, End)]) -> Vec<Outcome> {
    let mut servers = Vec::new();
    let mut config = row.config.clone();
    // What went wrong is in the report; a log of all pairs would bury it.
    config["telemetry"] = json!({"log": {"filter": "warn"}});
    for (client, server) in pairs.iter().copied() {
        let slug = slug(client, server);
        let steps = row.script(Side::Server, server, client);
        let started = Server::start(server, row, &steps).await;
        config["servers"][&slug] = started.config.clone();
        merge(&mut config["servers"][&slug], &row.entry(server));
        servers.push((client, server, slug, started, steps));
    }
    let tokens = match row.tokens {
        Some(seconds) => Some(Arc::new(Tokens::lasting(seconds).await)),
        None => None,
    };
    if let Some(tokens) = &tokens {
        tokens.configure(&mut config);
    }
    let folder = tempfile::tempdir().unwrap();
    if let Some(hidden) = &row.hidden {
        let slugs = servers.iter().map(|(_, _, slug, ..)| slug);
        Policies::write(folder.path(), slugs, hidden);
        config["policy"] = json!({"files": ["policies"]});
        config["telemetry"]["log"]["filter"] = json!("info");
    }
    let gateway = Arc::new(Gateway::start_in(folder, &config, &[]));
    let policies = row.hidden.as_ref().map(|_| {
        let slugs = servers.iter().map(|(_, _, slug, ..)| slug.clone());
        Arc::new(Policies::new(&gateway, slugs.collect()))
    });
    let stage = LocalSet::new();
    let playing: Vec<_> = servers
        .into_iter()
        .map(|(client, server, slug, started, steps)| {
            let (row, gateway, tokens) = (row.clone(), gateway.clone(), tokens.clone());
            let policies = policies.clone();
            stage.spawn_local(async move {
                let scene = Arc::new(Scene::new(policies));
                let open = async |side, user| {
                    let pass = tokens.as_ref().map(|tokens| tokens.of(user, client, &slug));
                    let wire = Client::open(&gateway, client, &slug, &row.declares, pass.as_ref()).await;
                    let mut player = Player::new(side, client, &row.declares, wire, &scene);
                    player.pass = pass;
                    player
                };
                let mut here = open(Side::Client, "ann").await;
                let mut other = if row.has_other() { Some(open(Side::Other, "bob").await) } else { None };
                let mut there = Player::new(Side::Server, server, &Value::Null, started, &scene);
                let script = row.script(Side::Client, client, server);
                let other_script = row.script(Side::Other, client, server);
                let beside = async {
                    match &mut other {
                        Some(other) => {
                            other.play(&other_script).await?;
                            other.surplus()
                        }
                        None => Ok(()),
                    }
                };
                let played = async { tokio::try_join!(here.play(&script), there.play(&steps), beside) };
                let played = played.await.and_then(|_| here.surplus().and(there.surplus()));
                let failed = played.err().map(|why| format!("{why}\n{}", scene.trail()));
                Outcome { client, server, failed }
            })
        })
        .collect();
    let outcomes = stage.run_until(async {
        let mut outcomes = Vec::new();
        for cell in playing {
            outcomes.push(cell.await.unwrap());
        }
        outcomes
    });
    outcomes.await
}

/// What the entry of a server says besides how it is reached.
fn merge(entry: &mut Value, more: &Value) {
    for (key, value) in more.as_object().into_iter().flatten() {
        entry[key] = value.clone();
    }
}

fn judge(outcomes: &[Outcome]) {
    let mut report = String::new();
    let mut wrong = 0;
    for Outcome { client, server, failed } in outcomes {
        let Some(why) = failed else { continue };
        wrong += 1;
        // The first ones are told whole; the others are likely the same.
        if wrong <= 4 {
            let _ = writeln!(report, "{client} before {server}:\n{why}\n");
        } else {
            let first: String = why.lines().take(2).collect::<Vec<_>>().join(" ").chars().take(200).collect();
            let _ = writeln!(report, "{client} before {server}: {first}");
        }
    }
    assert!(wrong == 0, "{wrong} of {} pairs differ from the transcript\n\n{report}", outcomes.len());
}

/// Whether a client's or a server's kind takes part in a row at all.
pub(super) fn count(row: &Transcript) -> (usize, usize) {
    let all = pairs(row);
    let lost = all.iter().filter(|(client, server)| row.loss(*client, *server).is_some()).count();
    (all.len() - lost, lost)
}
