//! A connection exists for its owner only, and opens one session at most.

use std::time::Duration;

use super::*;

fn connection(id: &str) -> Arc<Connection> {
    let wire = Arc::new(Wire::new(Duration::from_secs(1)));
    Arc::new(Connection::new(id.into(), Principal::Anonymous, Endpoint::Aggregate, wire))
}

#[test]
fn a_connection_exists_for_its_owner_and_endpoint_only() {
    let connections = Connections::default();
    assert!(connections.add(connection("abc"), 1));
    assert!(!connections.add(connection("def"), 1), "the limit holds");
    assert!(connections.find("abc", &Principal::Anonymous, &Endpoint::Aggregate).is_some());
    let stranger = Principal::Certificate { fingerprint: "00".into() };
    assert!(connections.find("abc", &stranger, &Endpoint::Aggregate).is_none());
    let other = Endpoint::Server("x".parse().unwrap());
    assert!(connections.find("abc", &Principal::Anonymous, &other).is_none());
    assert!(connections.find("", &Principal::Anonymous, &Endpoint::Aggregate).is_none());
}

#[test]
fn one_session_is_opened_and_none_on_a_stream_that_has_gone() {
    let connection = connection("abc");
    assert!(connection.begin_opening());
    assert!(!connection.begin_opening(), "somebody is at it");
    connection.failed_opening();
    assert!(connection.is_fresh() && connection.begin_opening());
    *connection.stage() = Stage::Closed;
    connection.failed_opening();
    assert!(!connection.begin_opening() && connection.session().is_none());
}
