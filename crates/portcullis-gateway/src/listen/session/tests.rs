//! Sessions belong to their owners; streams are read on from where they were left.

use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::revision::Revision;
use portcullis_model::Principal;

use tokio::time::Instant;

use super::*;
use crate::listen::reading::{Leave, Pace, Reading};

fn session(id: &str) -> Arc<Session> {
    session_in(id, Arc::default())
}

fn session_in(id: &str, replay: Arc<Replay>) -> Arc<Session> {
    let caller = Caller {
        subject: None,
        peer: None,
        principal: Principal::Anonymous,
        revision: Revision::NEWEST_LEGACY,
        caps: ClientCaps::NONE,
        conversation: id.into(),
        under_way: Arc::default(),
        client: None,
        recognised: Arc::default(),
        connection: 0,
        held_to: None,
    };
    Arc::new(Session::new(id.into(), Endpoint::Aggregate, Arc::new(caller), replay))
}

async fn text(reader: &mut Reader) -> Option<String> {
    match reader.read().await {
        Read::Events(bytes) => Some(String::from_utf8(bytes.to_vec()).unwrap()),
        Read::Pause(_) => panic!("sent away"),
        Read::End => None,
    }
}

#[test]
fn a_session_exists_for_its_owner_and_endpoint_only() {
    let sessions = Sessions::default();
    let session = session("abc");
    assert!(sessions.add(session.clone(), 1).is_ok());
    assert!(sessions.add(self::session("def"), 1).is_err(), "the limit holds");
    let stranger = Principal::Certificate { fingerprint: "00".into() };
    assert!(sessions.find("abc", &Principal::Anonymous, &Endpoint::Aggregate).is_some());
    assert!(sessions.find("abc", &stranger, &Endpoint::Aggregate).is_none());
    let other = Endpoint::Server("x".parse().unwrap());
    assert!(sessions.find("abc", &Principal::Anonymous, &other).is_none());
    sessions.end(&session);
    assert!(session.ended.is_cancelled());
    assert!(sessions.find("abc", &Principal::Anonymous, &Endpoint::Aggregate).is_none());
    assert_eq!(sessions.len(), 0);
}

#[test]
fn an_id_under_way_is_not_taken_twice_and_can_be_cancelled() {
    let session = session("abc");
    let id = Id::number(1);
    let running = session.begin(&id).unwrap();
    assert!(session.begin(&id).is_none());
    assert_eq!(session.idle(), None);
    session.cancel(&id);
    assert!(running.cancelled.is_aborted());
    drop(running);
    assert!(session.begin(&id).is_some());
}

#[test]
fn an_id_that_was_answered_is_free_and_its_next_call_stands_alone() {
    let session = session("abc");
    let id = Id::number(1);
    let mut first = session.begin(&id).unwrap();
    first.end();
    let second = session.begin(&id).expect("the client has its answer");
    drop(first);
    assert!(session.begin(&id).is_none(), "the second call is under way");
    session.cancel(&id);
    assert!(second.cancelled.is_aborted());
}

#[test]
fn only_idle_sessions_are_swept() {
    let sessions = Sessions::default();
    let (busy, idle) = (session("busy"), session("idle"));
    assert!(sessions.add(busy.clone(), 9).is_ok() && sessions.add(idle, 9).is_ok());
    let _running = busy.begin(&Id::number(1)).unwrap();
    let ended: Vec<_> = sessions.sweep(Duration::ZERO).iter().map(|session| session.id.to_string()).collect();
    assert_eq!(ended, ["idle"]);
    assert_eq!(sessions.len(), 1);
}

#[tokio::test]
async fn a_stream_is_read_on_from_where_it_was_left() {
    let stream = session("abc").open_stream();
    stream.prime();
    stream.push(b"{\"a\":1}");
    let mut first = stream.reader(None);
    assert_eq!(
        text(&mut first).await.unwrap(),
        "id: 1-0\nretry: 500\ndata: \n\nid: 1-1\ndata: {\"a\":1}\n\n"
    );
    stream.push(b"2");
    stream.push(b"3");
    stream.finish();
    let mut second = stream.reader(Some(1));
    assert_eq!(text(&mut first).await, None, "a second reader sends the first away");
    assert_eq!(text(&mut second).await.unwrap(), "id: 1-2\ndata: 2\n\nid: 1-3\ndata: 3\n\n");
    assert_eq!(text(&mut second).await, None);
    let mut again = stream.reader(Some(2));
    assert_eq!(text(&mut again).await.unwrap(), "id: 1-3\ndata: 3\n\n");
}

#[tokio::test]
async fn a_pause_sends_the_connection_away_that_reads_and_no_other() {
    let stream = session("abc").open_stream();
    stream.prime();
    let mut first = stream.reader(None);
    stream.pause(Duration::from_secs(5));
    assert_eq!(text(&mut first).await.unwrap(), "id: 1-0\nretry: 500\ndata: \n\n");
    assert!(matches!(first.read().await, Read::Pause(retry) if retry == Duration::from_secs(5)));
    drop(first);
    // What comes meanwhile waits, and whoever is away is not sent away again.
    stream.push(b"1");
    stream.pause(Duration::from_secs(5));
    let mut second = stream.reader(Some(0));
    assert_eq!(text(&mut second).await.unwrap(), "id: 1-1\ndata: 1\n\n");
    stream.pause(Duration::from_secs(5));
    stream.finish();
    assert_eq!(text(&mut second).await, None, "with the answer there is no reason to come back");
}

/// A connection whose client leaves after so long, unless the gateway drains.
fn leaving(
    stream: &Arc<Stream>,
    after: Option<u64>,
    leave: Duration,
    draining: &CancellationToken,
) -> Reading {
    let leave = Some(Leave { at: Instant::now() + leave, draining: draining.clone() });
    Reading::new(stream.reader(after), Pace { pause: Duration::from_mins(1), leave })
}

/// The same before the gateway drains.
fn polled(stream: &Arc<Stream>, after: Option<u64>, leave: Duration) -> Reading {
    leaving(stream, after, leave, &CancellationToken::new())
}

#[tokio::test(start_paused = true)]
async fn nobody_is_sent_away_once_the_gateway_drains() {
    let stream = session("abc").open_stream();
    let draining = CancellationToken::new();
    let mut soon = leaving(&stream, None, Duration::from_secs(5), &draining);
    draining.cancel();
    for _ in 0..2 {
        assert_eq!(soon.next().await.unwrap(), ": keep-alive\n\n");
    }
    stream.push(b"1");
    stream.finish();
    assert_eq!(soon.next().await.unwrap(), "id: 1-0\ndata: 1\n\n");
    assert_eq!(soon.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_away_is_expected_for_a_while_and_for_what_it_has_not_had() {
    let sessions = Sessions::default();
    let session = session("abc");
    assert!(sessions.add(session.clone(), 1).is_ok());
    let stream = session.open_stream();
    stream.prime();
    let mut reader = stream.reader(None);
    assert!(text(&mut reader).await.is_some() && sessions.are_awaited(), "it reads");
    drop(reader);
    tokio::time::advance(Duration::from_secs(5)).await;
    assert!(sessions.are_awaited(), "it may be a little late");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(!sessions.are_awaited());

    // For as long as it was told to stay away, it is not late.
    let mut reader = stream.reader(Some(0));
    stream.pause(Duration::from_mins(1));
    assert!(matches!(reader.read().await, Read::Pause(_)));
    drop(reader);
    stream.push(b"1");
    stream.finish();
    tokio::time::advance(Duration::from_secs(64)).await;
    assert!(sessions.are_awaited());

    let mut reader = stream.reader(Some(0));
    assert!(text(&mut reader).await.is_some() && sessions.are_awaited(), "it may still be on its way");
    drop(reader);
    assert!(!sessions.are_awaited(), "it has everything");
}

#[tokio::test(start_paused = true)]
async fn who_polls_leaves_in_time_with_what_is_there() {
    let stream = session("abc").open_stream();
    stream.prime();
    let mut first = polled(&stream, None, Duration::from_millis(50));
    assert_eq!(first.next().await.unwrap(), "id: 1-0\nretry: 500\ndata: \n\n");
    assert_eq!(first.next().await.unwrap(), "retry: 500\n\n");
    assert_eq!(first.next().await, None);

    // One that is never silent is left all the same, and nothing of it is lost.
    let mut busy = polled(&stream, Some(0), Duration::ZERO);
    stream.push(b"1");
    stream.push(b"2");
    let last = "id: 1-1\ndata: 1\n\nid: 1-2\ndata: 2\n\nretry: 500\n\n";
    assert_eq!(busy.next().await.unwrap(), last);
    stream.push(b"3");
    assert_eq!(busy.next().await, None);
    stream.finish();
    let mut rest = polled(&stream, Some(2), Duration::from_mins(1));
    assert_eq!(rest.next().await.unwrap(), "id: 1-3\ndata: 3\n\n");
    assert_eq!(rest.next().await, None, "with the answer there is no reason to come back");
}

#[tokio::test]
async fn who_comes_back_to_a_call_is_told_what_nobody_heard() {
    let session = session("abc");
    let stream = session.open_stream();
    stream.prime();
    session.say(b"1".to_vec());
    for _ in 0..2 {
        let mut reader = stream.reader(Some(0));
        session.client_is_back(&stream);
        assert_eq!(text(&mut reader).await.unwrap(), "id: 1-1\ndata: 1\n\n", "and once only");
    }
}

#[tokio::test]
async fn an_answer_waits_for_its_client_while_others_come_and_go() {
    let replay = Arc::new(Replay::default());
    replay.set_limits(usize::MAX, 20);
    let session = session_in("abc", replay);
    let finished = || {
        let stream = session.open_stream();
        stream.push(b"1");
        stream.finish();
        stream
    };
    let away = finished().number();
    let mut read = Vec::new();
    for _ in 0..100 {
        let stream = finished();
        assert!(text(&mut stream.reader(None)).await.is_some());
        read.push(stream.number());
    }
    assert!(session.find_stream(away).is_some(), "nobody has read it yet");
    let kept =
        |numbers: &[u64]| numbers.iter().filter(|number| session.find_stream(**number).is_some()).count();
    assert_eq!(kept(&read[read.len() - KEPT_STREAMS..]), KEPT_STREAMS, "of the others the newest are kept");
    assert!(kept(&read) <= 3 * KEPT_STREAMS, "and not many more");
    let unread: Vec<_> = (0..200).map(|_| finished().number()).collect();
    assert_eq!((session.find_stream(away).is_some(), kept(&unread[180..])), (false, 20));
    assert!(kept(&unread) <= 3 * 20);
}

#[tokio::test]
async fn what_a_stream_keeps_is_bounded_but_the_last_event_stays() {
    let stream = session("abc").open_stream();
    let big = vec![b'1'; 600_000];
    for _ in 0..5 {
        stream.push(&big);
    }
    let huge = vec![b'2'; 3_000_000];
    stream.push(&huge);
    stream.finish();
    let mut reader = stream.reader(None);
    let read = text(&mut reader).await.unwrap();
    assert!(read.starts_with("id: 1-5\ndata: 2") && read.len() > 3_000_000 && read.len() < 3_000_100);
}

/// A stream with an answer of a thousand bytes.
fn finished(session: &Arc<Session>) -> u64 {
    let stream = session.open_stream();
    stream.push(&[b'1'; 1000]);
    stream.finish();
    stream.number()
}

#[tokio::test]
async fn what_was_had_goes_before_what_nobody_had() {
    let replay = Arc::new(Replay::default());
    replay.set_limits(2500, usize::MAX);
    let (ann, bob) = (session_in("ann", replay.clone()), session_in("bob", replay.clone()));
    let unread = finished(&ann);
    let read = finished(&bob);
    let mut reader = bob.find_stream(read).unwrap().reader(None);
    assert!(text(&mut reader).await.is_some() && text(&mut reader).await.is_none());
    drop(reader);
    let third = finished(&bob);
    assert!(ann.find_stream(unread).is_some(), "although it is the oldest");
    assert!(bob.find_stream(read).is_none() && bob.find_stream(third).is_some());

    // Of a stream that was left in the middle, only the rest is kept.
    let replay = Arc::new(Replay::default());
    replay.set_limits(2500, usize::MAX);
    let (ann, bob) = (session_in("ann", replay.clone()), session_in("bob", replay.clone()));
    let half = ann.open_stream();
    half.push(&[b'1'; 1000]);
    assert!(text(&mut half.reader(None)).await.is_some());
    half.push(b"2");
    half.finish();
    let unread = [finished(&bob), finished(&bob)];
    assert!(unread.iter().all(|number| bob.find_stream(*number).is_some()) && replay.held() <= 2500);
    let mut rest = ann.find_stream(half.number()).unwrap().reader(Some(0));
    assert_eq!(text(&mut rest).await.unwrap(), "id: 1-1\ndata: 2\n\n");
}

#[tokio::test]
async fn finished_streams_share_a_budget_and_the_oldest_goes_first() {
    let replay = Arc::new(Replay::default());
    replay.set_limits(2500, usize::MAX);
    let (ann, bob) = (session_in("ann", replay.clone()), session_in("bob", replay.clone()));
    let (one, two) = (finished(&ann), finished(&bob));
    assert!(ann.find_stream(one).is_some() && bob.find_stream(two).is_some());
    let three = finished(&bob);
    assert!(ann.find_stream(one).is_none(), "another session's went for it");
    assert!(bob.find_stream(two).is_some() && bob.find_stream(three).is_some());

    // What is being read stays as long as something else can go.
    let mut reader = bob.find_stream(two).unwrap().reader(None);
    let four = finished(&ann);
    assert!(bob.find_stream(two).is_some() && bob.find_stream(three).is_none());
    assert!(text(&mut reader).await.unwrap().len() > 1000);
    assert_eq!(text(&mut reader).await, None);
    drop(reader);

    // Whoever takes all the room with streams that he does not read loses them, but for the newest.
    let unread = |number| ann.find_stream(number).unwrap().reader(None);
    let mut readers: Vec<_> = (0..5).map(|_| unread(finished(&ann))).collect();
    assert!(ann.find_stream(four).is_none() && bob.find_stream(two).is_none() && replay.held() <= 2500);
    assert_eq!(text(&mut readers[0]).await, None, "forgotten before it was read");
    assert!(text(&mut readers[4]).await.is_some());

    // One that is larger than everything has the room to itself; all is given back with the sessions.
    let huge = bob.open_stream();
    huge.push(&[b'1'; 5000]);
    huge.finish();
    assert!(bob.find_stream(huge.number()).is_some() && replay.held() < 5100);
    drop((ann, bob, huge, readers));
    assert_eq!(replay.held(), 0);
}

#[tokio::test]
async fn what_has_to_stay_is_not_walked_for_what_can_go() {
    let replay = Arc::new(Replay::default());
    replay.set_limits(100_000, usize::MAX);
    let session = session_in("abc", replay.clone());
    // What was had of each goes first, and then each in its turn: no stream is asked more than twice.
    let mut streams = Vec::new();
    for _ in 0..1000 {
        let stream = session.open_stream();
        stream.push(b"1");
        assert!(text(&mut stream.reader(None)).await.is_some());
        stream.push(&[b'1'; 1000]);
        stream.finish();
        streams.push(stream.number());
    }
    assert!(replay.held() <= 100_000 && session.find_stream(streams[998]).is_some());
    assert!((900..=2000).contains(&replay.asked()), "{}", replay.asked());

    // Who is left alone although it is the oldest, is so however often others come and go.
    let mut reader = session.find_stream(streams[950]).unwrap().reader(Some(0));
    let before = replay.asked();
    for _ in 0..200 {
        finished(&session);
    }
    assert!(replay.asked() - before <= 400);
    assert!(text(&mut reader).await.is_some() && session.find_stream(streams[951]).is_none());
    // Once it was read, it is the first to go.
    drop(reader);
    finished(&session);
    assert!(session.find_stream(streams[950]).is_none());
}

#[test]
fn event_ids_are_read_strictly() {
    assert_eq!(Place::parse("7-12"), Some(Place { stream: 7, event: 12 }));
    for bad in ["", "7", "-", "7-", "-1", "a-b", "7-12-3", "99999999999999999999-1"] {
        assert_eq!(Place::parse(bad), None, "{bad}");
    }
}

// ---- the one stream of HTTP+SSE ----

#[tokio::test]
async fn on_one_stream_everything_comes_in_order_and_nothing_is_kept() {
    let wire = Arc::new(Wire::new(Duration::from_secs(5)));
    let session =
        Session::new("abc".into(), Endpoint::Aggregate, session("abc").caller.clone(), Arc::default());
    let session = session.on(wire.clone());
    assert_eq!(session.idle(), None, "whoever reads is there");
    let call = session.open_stream();
    call.prime();
    call.send(b"1").await;
    session.tell(b"2");
    call.send(b"3").await;
    call.finish();
    let taken = wire.take().await;
    assert_eq!(taken, "event: message\ndata: 1\n\nevent: message\ndata: 2\n\nevent: message\ndata: 3\n\n");
    assert!(wire.is_empty() && call.is_over() && !call.is_resumable());
    assert!(session.find_stream(call.number()).is_none());
    wire.closed.cancel();
    assert!(session.ended.is_cancelled() && session.open_stream().is_over());
}

#[tokio::test]
async fn who_does_not_read_makes_answers_wait_and_is_then_left() {
    let wire = Arc::new(Wire::new(Duration::from_secs(5)));
    let big = vec![b'1'; 3 << 20];
    wire.send(&big).await;
    assert!(wire.is_behind(), "one message of any size has the room to itself");
    let waiting = tokio::spawn({
        let wire = wire.clone();
        async move { wire.send(b"2").await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished() && !wire.closed.is_cancelled());
    assert!(wire.take().await.len() > 3 << 20);
    waiting.await.unwrap();
    assert_eq!(wire.take().await, "event: message\ndata: 2\n\n");

    let wire = Wire::new(Duration::from_millis(20));
    wire.send(&big).await;
    wire.send(b"3").await;
    assert!(wire.closed.is_cancelled(), "nothing was taken for as long as it may take");
}

#[test]
fn what_nobody_waits_for_piles_up_to_a_bound() {
    let wire = Wire::new(Duration::from_secs(5));
    for _ in 0..1024 {
        wire.push(b"1");
    }
    assert!(wire.is_behind() && !wire.closed.is_cancelled());
    wire.push(b"1");
    assert!(wire.closed.is_cancelled());
}
