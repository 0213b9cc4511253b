//! What counts, and when.

use std::convert::Infallible;

use futures_util::StreamExt as _;
use http_body_util::{Full, StreamBody};
use tokio::sync::mpsc;

use super::*;

/// A body that a test feeds.
fn frames(
    from: mpsc::UnboundedReceiver<Bytes>,
) -> impl http_body::Body<Data = Bytes, Error = Infallible> + Unpin + Send {
    let frames = futures_util::stream::unfold(from, |mut from| async move {
        Some((Ok(Frame::data(from.recv().await?)), from))
    });
    StreamBody::new(frames.boxed())
}

fn limits() -> Limits {
    Limits { body_bytes: 1000, bodies_bytes: 100, ..Limits::default() }
}

#[tokio::test]
async fn a_body_that_is_there_does_not_count() {
    let budget = Arc::new(Budget::default());
    let body = read(Full::new(Bytes::from(vec![b'x'; 500])), &limits(), &budget).await;
    assert_eq!((body.ok().map(|body| body.len()), budget.used()), (Some(500), 0));
}

#[tokio::test]
async fn a_large_body_counts_however_it_comes() {
    let budget = Arc::new(Budget::default());
    let limits = Limits { body_bytes: 1 << 20, bodies_bytes: 150_000, ..Limits::default() };
    let large = || Full::new(Bytes::from(vec![b'x'; 100_000]));
    let first = read(large(), &limits, &budget).await;
    assert_eq!((first.is_ok(), budget.used()), (true, 100_000));
    let second = read(large(), &limits, &budget).await;
    assert_eq!(second.err().map(|refusal| refusal.kind), Some(ErrorKind::Overloaded));
    drop(first);
    assert_eq!(budget.used(), 0);
}

#[tokio::test]
async fn a_body_that_is_waited_for_counts_with_all_that_came_and_until_it_is_gone() {
    let budget = Arc::new(Budget::default());
    let (feed, from) = mpsc::unbounded_channel();
    feed.send(Bytes::from(vec![b'a'; 30])).unwrap();
    let reading = tokio::spawn({
        let budget = budget.clone();
        async move { read(frames(from), &limits(), &budget).await }
    });
    while budget.used() != 30 {
        tokio::task::yield_now().await;
    }
    feed.send(Bytes::from(vec![b'b'; 20])).unwrap();
    drop(feed);
    let Ok(body) = reading.await.unwrap() else { panic!("there was room") };
    assert_eq!((body.len(), budget.used()), (50, 50));
    drop(body);
    assert_eq!(budget.used(), 0);
}

#[tokio::test]
async fn a_body_beyond_the_budget_is_refused_and_leaves_nothing() {
    let budget = Arc::new(Budget::default());
    let mut others = Share::of(&budget);
    assert!(others.grow(60, 100));
    let (feed, from) = mpsc::unbounded_channel();
    let reading = tokio::spawn({
        let budget = budget.clone();
        async move { read(frames(from), &limits(), &budget).await.err().map(|refusal| refusal.kind) }
    });
    tokio::task::yield_now().await;
    feed.send(Bytes::from(vec![b'a'; 41])).unwrap();
    assert_eq!(reading.await.unwrap(), Some(ErrorKind::Overloaded));
    assert_eq!(budget.used(), 60);
}
