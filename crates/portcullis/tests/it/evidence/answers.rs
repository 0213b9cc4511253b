//! One event for each exchange and each denial.

use serde_json::json;

use super::{of, start, until};
use crate::harness::{Fake, Legacy, Modern};

#[tokio::test]
async fn a_call_has_one_event_that_says_who_what_and_how_it_ended() {
    let upstream = Fake::modern().start().await;
    let gateway = start("normal", &json!({"servers": {"x": upstream.config()}}));
    Modern::new().call(&gateway, "x__echo", json!({"card": "4111-1111-1111-1111"})).await;
    let event = of(&gateway, "tools/call").await;
    println!("{event:#}");
    assert_eq!(event["kind"], "exchange");
    let _ = (Legacy::open(&gateway).await, until(&gateway, "x", 1, |_| true).await);
}
