//! Limits hold to the call and to the second, for whom they are about and nobody else, and cost bounded memory.

use std::collections::BTreeMap;
use std::time::Duration;

use portcullis_config::{Each, PerTime};
use portcullis_model::{Key, Principal};

use super::count::Now;
use super::*;

fn limit(name: &str) -> CallLimit {
    CallLimit { name: name.to_owned(), ..CallLimit::default() }
}

fn per(count: u32, seconds: u64) -> PerTime {
    PerTime { count, per: Duration::from_secs(seconds) }
}

fn quotas(calls: Vec<CallLimit>) -> Quotas {
    let quotas = Quotas::default();
    quotas.reload(&settings(calls));
    quotas
}

fn settings(calls: Vec<CallLimit>) -> Settings {
    let loaded = portcullis_config::defaults(&BTreeMap::new(), &portcullis_config::Overrides::default());
    let mut settings = loaded.expect("the defaults are valid").settings;
    settings.limits.calls = calls;
    settings
}

fn somebody(name: &str, groups: &[&str]) -> Principal {
    let groups = groups.iter().map(|&group| group.to_owned()).collect();
    Principal::key(Key { id: name.to_owned(), groups, scopes: Vec::new() })
}

fn call<'a>(principal: &'a Principal, server: &'a str, tool: &'a str) -> Target<'a> {
    Target { principal, server, tool: Some(tool) }
}

fn kind(refused: Result<Option<Taken>, Refusal>) -> Option<(ErrorKind, u64)> {
    let refusal = refused.err()?;
    Some((refusal.kind, refusal.retry_after.map_or(0, |after| after.as_secs())))
}

fn at(millis: u64) -> Now {
    Now {
        steady: Duration::from_millis(millis),
        wall: Duration::from_hours(7) + Duration::from_millis(millis),
    }
}

#[test]
fn a_bucket_lets_a_burst_through_and_then_the_rate_and_says_when() {
    let limit = CallLimit { rate: Some(per(10, 1)), burst: 3, ..limit("r") };
    let table = Table::new();
    for _ in 0..3 {
        assert!(table.take_at(1, &limit, at(0)).is_ok());
    }
    assert_eq!(table.take_at(1, &limit, at(0)), Err(Short::Rate(Duration::from_millis(100))));
    assert_eq!(table.take_at(1, &limit, at(60)), Err(Short::Rate(Duration::from_millis(40))));
    assert!(table.take_at(1, &limit, at(100)).is_ok(), "what was refused has used nothing");
    assert!(table.take_at(1, &limit, at(100)).is_err());
    assert!(table.take_at(2, &limit, at(100)).is_ok(), "others have their own");
    // Over a long time it is the rate, however often somebody tries.
    let through = (0..10_000).filter(|milli| table.take_at(3, &limit, at(1000 + milli)).is_ok()).count();
    assert_eq!(through, 3 + 99);
}

#[test]
fn a_budget_lasts_for_its_window_and_says_when_the_next_begins() {
    let limit = CallLimit { budget: Some(per(2, 3600)), ..limit("b") };
    let table = Table::new();
    assert!(table.take_at(1, &limit, at(1_000)).is_ok());
    assert!(table.take_at(1, &limit, at(1_000)).is_ok());
    assert_eq!(table.take_at(1, &limit, at(600_000)), Err(Short::Budget(Duration::from_mins(50))));
    assert!(table.take_at(1, &limit, at(3_600_000)).is_ok());
}

#[test]
fn places_are_given_back_and_each_is_counted_apart() {
    let quotas = quotas(vec![CallLimit {
        concurrent: Some(1),
        each: Each { principal: true, server: true, ..Each::default() },
        ..limit("places")
    }]);
    let (ann, ben) = (somebody("ann", &[]), somebody("ben", &[]));
    let first = quotas.take(&call(&ann, "crm", "a")).ok().flatten();
    assert!(first.is_some());
    assert_eq!(kind(quotas.take(&call(&ann, "crm", "b"))), Some((ErrorKind::TooManyRequests, 1)));
    let others = [quotas.take(&call(&ann, "hr", "a")), quotas.take(&call(&ben, "crm", "a"))];
    assert!(others.iter().all(Result::is_ok));
    drop(first);
    assert!(quotas.take(&call(&ann, "crm", "b")).is_ok());
}

#[test]
fn a_limit_is_for_those_it_names_and_a_groups_is_shared_by_the_group() {
    let shared = Each { group: true, ..Each::default() };
    let quotas = quotas(vec![
        CallLimit {
            budget: Some(per(2, 3600)),
            groups: vec!["interns".into(), "guests".into()],
            each: shared,
            ..limit("g")
        },
        CallLimit { budget: Some(per(1, 3600)), tools: vec!["crm/export*".into()], ..limit("exports") },
        CallLimit { budget: Some(per(1, 3600)), principals: vec!["key:robot".into()], ..limit("robot") },
    ]);
    let (one, two) = (somebody("one", &["interns"]), somebody("two", &["interns"]));
    let (guest, staff) = (somebody("g", &["guests"]), somebody("s", &["staff"]));
    assert!(quotas.take(&call(&one, "crm", "a")).is_ok());
    assert!(quotas.take(&call(&two, "crm", "a")).is_ok());
    assert_eq!(kind(quotas.take(&call(&one, "hr", "a"))).map(|it| it.0), Some(ErrorKind::BudgetSpent));
    assert!(quotas.take(&call(&guest, "crm", "a")).is_ok(), "another group has its own");
    for _ in 0..9 {
        assert!(quotas.take(&call(&staff, "crm", "a")).is_ok());
    }
    // One that is refused by one limit has used nothing of the others.
    assert!(quotas.take(&call(&staff, "crm", "export_all")).is_ok());
    assert!(quotas.take(&call(&guest, "crm", "export_all")).is_err());
    assert!(quotas.take(&call(&guest, "crm", "a")).is_ok(), "the guests' second call");
    assert!(quotas.take(&call(&guest, "crm", "a")).is_err());
    let robot = somebody("robot", &[]);
    assert!(
        quotas.take(&call(&robot, "crm", "a")).is_ok() && quotas.take(&call(&robot, "crm", "a")).is_err()
    );
}

#[test]
fn the_operators_groups_count_as_well() {
    let mut settings =
        settings(vec![CallLimit { budget: Some(per(1, 3600)), groups: vec!["ops".into()], ..limit("g") }]);
    let groups = [("ops".to_owned(), vec!["key:ann".to_owned()])].into();
    settings.policy = Some(portcullis_config::Policy {
        mode: portcullis_config::PolicyMode::Enforce,
        texts: Vec::new(),
        roles: BTreeMap::new(),
        groups,
        labels: BTreeMap::new(),
        claims: BTreeMap::new(),
        arguments: BTreeMap::new(),
    });
    let quotas = Quotas::default();
    quotas.reload(&settings);
    let ann = somebody("ann", &[]);
    assert!(quotas.take(&call(&ann, "crm", "a")).is_ok() && quotas.take(&call(&ann, "crm", "a")).is_err());
    assert!(quotas.take(&call(&somebody("ben", &[]), "crm", "a")).is_ok());
}

#[test]
fn a_reload_goes_on_counting_and_what_is_gone_limits_nobody() {
    let one = CallLimit { budget: Some(per(1, 3600)), ..limit("b") };
    let quotas = quotas(vec![one.clone()]);
    let ann = somebody("ann", &[]);
    assert!(quotas.take(&call(&ann, "crm", "a")).is_ok());
    quotas.reload(&settings(vec![CallLimit { budget: Some(per(2, 3600)), ..one.clone() }]));
    assert!(quotas.take(&call(&ann, "crm", "a")).is_ok());
    assert!(quotas.take(&call(&ann, "crm", "a")).is_err(), "the first counts still");
    quotas.reload(&settings(Vec::new()));
    assert!(matches!(quotas.take(&call(&ann, "crm", "a")), Ok(None)), "and costs nothing");
}

#[test]
fn however_many_come_memory_is_bounded_and_the_limit_holds() {
    let limit = CallLimit { budget: Some(per(1, 3600)), ..limit("b") };
    let table = Table::new();
    let key = |number: u64| table.key([Some(&format!("user {number}")), None, None, None]);
    let come = |number: &u64| {
        let part = key(*number);
        let taken = table.take_at(part, &limit, at(1));
        taken.map(|key| table.end(part, key)).is_ok()
    };
    let through = (0..200_000).filter(come).count();
    assert!(table.len() <= 16 * 4096 + 16, "{}", table.len());
    assert!(through <= 16 * 4096 + 16, "newcomers share one budget, and {through} came through");
    // With the next window, what was counted makes room.
    let mut newcomers = 1_000_000..1_010_000;
    assert!(newcomers.all(|number| table.take_at(key(number), &limit, at(3_600_000)).is_ok()));
    assert!(table.len() <= 10_000, "{}", table.len());
}
