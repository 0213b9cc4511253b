//! A parked call is claimed once, by nobody twice, and not for ever.

use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis_mcp::method::Method;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::call::Event;

const BOUNDS: Bounds = Bounds { all: 3, each: 2, patience: Duration::from_mins(1) };

/// Counts the questions that were answered as cancelled, and the calls that were dropped after that.
#[derive(Default)]
struct Server {
    cancelled: AtomicUsize,
    dropped: AtomicUsize,
}

struct Running(Arc<Server>);

impl Drop for Running {
    fn drop(&mut self) {
        let answered = self.0.cancelled.load(Ordering::SeqCst);
        let dropped = self.0.dropped.fetch_add(1, Ordering::SeqCst);
        assert!(answered > dropped, "its question is answered before the call is cancelled");
    }
}

fn parked(server: &Arc<Server>) -> Parked {
    let (running, counter) = (Running(server.clone()), server.clone());
    let events = futures_util::stream::unfold(running, |_running| async {
        std::future::pending::<Option<(Event, Running)>>().await
    });
    let question = Question::new(Method::CreateElicitation, None, CancellationToken::new(), move |answer| {
        assert_eq!(answer.unwrap().as_str(), r#"{"action":"cancel"}"#);
        counter.cancelled.fetch_add(1, Ordering::SeqCst);
    });
    Parked {
        asked: vec![("q1".to_owned(), question)],
        exchange: Exchange::live(events, false),
        keys: 1,
        alone: true,
        record: crate::record::Entry::default(),
    }
}

fn somebody() -> Principal {
    Principal::Certificate { fingerprint: "00".into() }
}

#[tokio::test]
async fn a_round_is_claimed_once() {
    let (lot, server, runtime) = (Arc::new(Lot::default()), Arc::default(), Handle::current());
    let place = Place::new();
    assert!(lot.claim(place).is_none());
    lot.park(place, &Principal::Anonymous, parked(&server), BOUNDS, &runtime).unwrap();
    assert!(lot.claim(place.next()).is_none(), "a later round is not there yet");
    let claimed = lot.claim(place).unwrap();
    assert!(lot.claim(place).is_none());
    lot.park(place.next(), &Principal::Anonymous, claimed, BOUNDS, &runtime).unwrap();
    assert!(lot.claim(place).is_none(), "the first round is over");
    assert!(lot.claim(place.next()).is_some());
    assert_eq!(server.dropped.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn there_is_room_for_so_many() {
    let (lot, server, runtime) = (Arc::new(Lot::default()), Arc::default(), Handle::current());
    let park = |owner: &Principal| {
        let place = Place::new();
        lot.park(place, owner, parked(&server), BOUNDS, &runtime).map(|()| place)
    };
    let first = park(&Principal::Anonymous).unwrap();
    park(&Principal::Anonymous).unwrap();
    assert_eq!(park(&Principal::Anonymous), Err(Full::Caller));
    park(&somebody()).unwrap();
    assert_eq!(park(&somebody()), Err(Full::All));
    assert_eq!(server.dropped.load(Ordering::SeqCst), 2, "what finds no room is cancelled");
    drop(lot.claim(first));
    park(&Principal::Anonymous).unwrap();
    lot.clear();
    assert_eq!(server.dropped.load(Ordering::SeqCst), 6);
    assert!(park(&somebody()).is_ok());
}

#[tokio::test]
async fn a_client_that_does_not_come_back_has_cancelled() {
    let (lot, server, runtime) = (Arc::new(Lot::default()), Arc::<Server>::default(), Handle::current());
    let (gone, back) = (Place::new(), Place::new());
    let soon = Bounds { patience: Duration::from_millis(20), ..BOUNDS };
    lot.park(gone, &Principal::Anonymous, parked(&server), soon, &runtime).unwrap();
    lot.park(back, &Principal::Anonymous, parked(&server), BOUNDS, &runtime).unwrap();
    while server.dropped.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(server.cancelled.load(Ordering::SeqCst), 1);
    assert_eq!(server.dropped.load(Ordering::SeqCst), 1);
    assert!(lot.claim(gone).is_none() && lot.claim(back).is_some());
}
