//! How long it takes to find a person's events among many in PostgreSQL.
//!
//! The short form is an ordinary test; the long one (`make evidence-long`) is the same with `EVENTS=10000000`, prints what it
//! measured, and fails when a search takes more than it may.

use std::time::{Duration, Instant};

use portcullis_model::{Journal as _, Search};
use portcullis_store::{Access, PostgresJournal};

use crate::server::Server;

/// The most that a search by person may take.
const LONGEST: Duration = Duration::from_millis(200);
/// How many events a person has, spread over all of the log.
const EACH: u64 = 500;
/// So many searches are measured, each for another person.
const SEARCHES: u64 = 50;

/// Events like those of a gateway, made where they are kept. Persons come in no order; one event in eleven is a denial.
fn filled(from: u64, to: u64, persons: u64) -> String {
    format!(
        "INSERT INTO portcullis_events (log, seq, record, ended, kind, person, server, tool, verdict, findings)
         SELECT (SELECT log FROM portcullis_logs WHERE name = 'many'), seq,
           convert_to('{{\"chain\":{{\"log\":\"many\",\"prev\":\"' || repeat('0', 64) || '\",\"seq\":' || seq
             || '}},\"data\":{{}},\"decision\":{{\"policies\":[\"engineers-may-read\"],\"verdict\":\"' || verdict
             || '\"}},\"id\":\"' || repeat('1', 36) || '\",\"input\":{{\"digest\":\"' || repeat('2', 50)
             || '\",\"size\":120}},\"kind\":\"' || kind || '\",\"node\":{{\"build\":\"0.1.0\",\"name\":\"gw\"}},\"output\":{{\"digest\":\"'
             || repeat('3', 50) || '\",\"size\":900}},\"request\":{{\"method\":\"tools/call\",\"protocol\":\"2025-11-25\"}},\"server\":{{\"id\":\"files\"}},\"time\":{{\"end_us\":'
             || ended || ',\"start_us\":' || ended || '}},\"tool\":{{\"name\":\"' || tool || '\"}},\"trace\":{{\"trace_id\":\"'
             || repeat('4', 32) || '\"}},\"v\":1,\"who\":{{\"client\":\"https://client.example/metadata.json\",\"person\":\"' || person || '\"}}}}', 'UTF8'),
           ended, convert_to(kind, 'UTF8'), convert_to(person, 'UTF8'), 'files', convert_to(tool, 'UTF8'),
           convert_to(verdict, 'UTF8'), CASE WHEN seq % 1000 = 0 THEN '\\xff4942414eff'::bytea END
         FROM (SELECT seq, 1700000000000000 + seq * 1000 AS ended, 'tool-' || seq % 40 AS tool,
                 CASE WHEN seq % 11 = 3 THEN 'denial' ELSE 'exchange' END AS kind,
                 CASE WHEN seq % 11 = 3 THEN 'deny' ELSE 'allow' END AS verdict,
                 'p-' || lpad((hashint8(seq)::bigint + 2147483648) % {persons} || '', 20, '0') AS person
               FROM generate_series({from}::bigint, {to}::bigint - 1) AS seq) AS made"
    )
}

#[test]
fn a_person_is_found_among_many() {
    let events: u64 = std::env::var("EVENTS").ok().and_then(|events| events.parse().ok()).unwrap_or(20_000);
    let persons = (events / EACH).max(1);
    let server = Server::start();
    let open =
        |access| PostgresJournal::open(&server.url(), server.trusting(), Some("many"), access).unwrap();
    drop(open(Access::Serve));
    let began = Instant::now();
    for from in (0..events).step_by(500_000) {
        server.psql("portcullis", &filled(from, events.min(from + 500_000), persons)).unwrap();
    }
    server.psql("portcullis", "ANALYZE portcullis_events").unwrap();
    let (filling, size) = (
        began.elapsed(),
        server.psql("portcullis", "SELECT pg_size_pretty(pg_total_relation_size('portcullis_events'))"),
    );
    let journal = open(Access::Read);
    assert_eq!(journal.extent().unwrap().next, events);
    println!(
        "searching: {events} events of {persons} persons, {} with indexes, filled in {} s",
        size.unwrap().trim(),
        filling.as_secs()
    );
    let measure = |what: &str, most: Option<Duration>, search: &dyn Fn(u64) -> Search| {
        let mut took = Vec::new();
        for number in 0..SEARCHES {
            let began = Instant::now();
            let found = journal.find(&search(number), 100).unwrap();
            took.push(began.elapsed());
            assert!(found.iter().all(|entry| search(number).matches(&entry.marks)));
            let enough = most.is_none() || events < 1_000_000 || found.len() == 100;
            assert!(!found.is_empty() && enough, "{what}: {}", found.len());
        }
        let first = took[0];
        took.sort_unstable();
        let (middle, longest) = (took[took.len() / 2], took[took.len() - 1]);
        println!(
            "searching: {what}: the first {first:.1?}, half of them within {middle:.1?}, the longest {longest:.1?}"
        );
        assert!(most.is_none_or(|most| longest < most), "{what} took {longest:?}");
    };
    let person = |number: u64| Some(format!("p-{:020}", number * 7919 % persons));
    let newest = Search { newest_first: true, ..Search::default() };
    measure("by person", Some(LONGEST), &|number| Search { person: person(number), ..newest.clone() });
    measure("by person and decision", None, &|number| Search {
        person: person(number),
        decision: Some("deny".to_owned()),
        ..newest.clone()
    });
    measure("by tool", None, &|number| Search {
        tool: Some(format!("tool-{}", number % 40)),
        ..newest.clone()
    });
    measure("by finding", None, &|_| Search { finding: Some("IBAN".to_owned()), ..newest.clone() });
    measure("by decision", None, &|_| Search { decision: Some("deny".to_owned()), ..newest.clone() });
    let step = i64::try_from(events / SEARCHES * 1000).unwrap();
    measure("by time", None, &|number| {
        let since = 1_700_000_000_000_000 + i64::try_from(number).unwrap() * step;
        Search { since: Some(since), until: Some(since + step.min(60_000_000)), ..newest.clone() }
    });
}
