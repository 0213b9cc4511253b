//! Records are found by their owners, expire, and are bounded.

use portcullis_model::ServerId;

use super::*;

fn owner(name: &str) -> Owner {
    Owner(Principal::Anonymous, Some(name.into()))
}

fn new(owner: &Owner, id: &str, work: Option<Arc<Work>>) -> New {
    New {
        id: id.into(),
        owner: owner.clone(),
        handle: Handle::new(
            &Endpoint::Aggregate,
            (&ServerId::parse("x").unwrap(), None),
            "t",
            Place::There {
                era: portcullis_mcp::revision::Era::Modern,
                caps: portcullis_mcp::caps::ClientCaps::NONE,
                id: id.to_owned(),
            },
            None,
        ),
        task: Raw::from_static(r#"{"status":"working"}"#),
        ttl: None,
        work,
    }
}

fn listed(tasks: &Tasks, owner: &Owner) -> Vec<String> {
    let of = tasks.of(owner, &Endpoint::Aggregate, None, usize::MAX);
    of.iter().map(|record| record.id.to_string()).collect()
}

#[test]
fn an_owner_sees_its_own_in_order() {
    let tasks = Tasks::default();
    let (a, b) = (owner("a"), owner("b"));
    for id in ["3", "1", "2"] {
        tasks.add(new(&a, id, None)).unwrap();
    }
    tasks.add(new(&b, "4", None)).unwrap();
    assert_eq!(listed(&tasks, &a), ["3", "1", "2"]);
    assert_eq!(listed(&tasks, &b), ["4"]);
    let other = Endpoint::Server(ServerId::parse("x").unwrap());
    assert!(tasks.of(&a, &other, None, 9).is_empty());
    let after = tasks.find("3").unwrap().number;
    assert_eq!(tasks.of(&a, &Endpoint::Aggregate, Some(after), 1)[0].id.as_ref(), "1");
}

#[test]
fn what_was_cancelled_stays_so() {
    let tasks = Tasks::default();
    let record = tasks.add(new(&owner("a"), "1", None)).unwrap();
    record.note(&Raw::from_static("1"));
    record.cancel(&Raw::from_static("2"));
    record.note(&Raw::from_static("3"));
    assert_eq!((record.task().as_str(), record.is_cancelled()), ("2", true));
}

#[test]
fn the_oldest_that_is_idle_makes_room() {
    let tasks = Tasks::default();
    let a = owner("a");
    let running = Work::new();
    tasks.add(new(&a, "running", Some(running))).unwrap();
    for id in 0..MOST_OF_ONE + 5 {
        tasks.add(new(&a, &id.to_string(), None)).unwrap();
    }
    assert_eq!(tasks.len(), MOST_OF_ONE);
    assert!(tasks.find("running").is_some() && tasks.find("0").is_none() && tasks.find("6").is_some());
    tasks.add(new(&owner("b"), "b", None)).unwrap();
    assert_eq!(tasks.len(), MOST_OF_ONE + 1, "each owner has its own room");
    let busy = owner("busy");
    for id in 0..MOST_OF_ONE {
        tasks.add(new(&busy, &format!("busy-{id}"), Some(Work::new()))).unwrap();
    }
    assert!(tasks.add(new(&busy, "one too many", Some(Work::new()))).is_none());
}

#[test]
fn heavy_results_of_one_push_out_its_older_ones() {
    let tasks = Tasks::default();
    let heavy = || {
        let work = Work::new();
        work.end(Ok(Raw::from_text(&"x".repeat(BYTES_OF_ONE / 3))));
        Some(work)
    };
    let (a, b) = (owner("a"), owner("b"));
    tasks.add(new(&b, "b", heavy())).unwrap();
    for id in ["1", "2", "3", "4"] {
        tasks.add(new(&a, id, heavy())).unwrap();
    }
    assert_eq!(listed(&tasks, &a), ["3", "4"]);
    assert_eq!(listed(&tasks, &b), ["b"]);
    tasks.sweep();
    assert_eq!(listed(&tasks, &a), ["3", "4"]);
}

#[test]
fn what_has_expired_is_forgotten_and_stopped() {
    let tasks = Tasks::default();
    let work = Work::new();
    tasks.add(new(&owner("a"), "1", None)).unwrap();
    tasks.add_until(new(&owner("a"), "2", Some(work.clone())), Instant::now()).unwrap();
    assert!(tasks.find("2").is_none() && tasks.find("1").is_some());
    tasks.sweep();
    assert_eq!(tasks.len(), 1);
    assert!(work.is_over());
}

#[test]
fn many_tasks_of_one_push_out_nobodys_few() {
    let tasks = Tasks::default();
    let few = owner("few");
    tasks.add(new(&few, "few", None)).unwrap();
    for id in 0..MOST + 100 {
        let many = owner(&format!("many {}", id / MOST_OF_ONE));
        tasks.add(new(&many, &id.to_string(), None)).unwrap();
    }
    assert_eq!((tasks.len(), listed(&tasks, &few)), (MOST, vec!["few".to_owned()]));
}

#[test]
fn what_a_server_says_of_a_task_is_remembered_in_brief() {
    let tasks = Tasks::default();
    let record = tasks.add(new(&owner("a"), "1", None)).unwrap();
    record.note(&Raw::trusted(format!(r#"{{"status":"working","x":"{}"}}"#, "x".repeat(100_000))));
    assert_eq!(record.task().as_str(), r#"{"status":"working"}"#);
    tasks.forget(record.number);
    assert!(tasks.find("1").is_none() && listed(&tasks, &owner("a")).is_empty());
}
