//! A connection on its own: what comes, however it is cut; what is kept, and for how long.

use std::fmt::Write as _;
use std::future::pending;
use std::pin::pin;

use http::{Response, StatusCode};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;
use crate::listen::body::Body;

fn limits() -> Limits {
    Limits { body_bytes: 1 << 20, ..Limits::default() }
}

fn connection(room: usize, limits: &Limits) -> (Connection<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(room);
    (Connection::new(ours, limits), theirs)
}

async fn next(connection: &mut Connection<DuplexStream>, limits: &Limits) -> Next {
    connection.next(limits, pin!(pending())).await
}

fn answer(size: usize) -> Response<Body> {
    response::json(StatusCode::OK, vec![b'1'; size])
}

/// What a connection is asked when `text` comes in pieces of at most `step` bytes, one line for each request.
fn requests(text: &[u8], step: usize) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let limits = Limits { body_bytes: 16, ..limits() };
        let (mut connection, theirs) = connection(step, &limits);
        let (mut reads, mut writes) = tokio::io::split(theirs);
        let text = text.to_vec();
        tokio::spawn(async move { tokio::io::copy(&mut reads, &mut tokio::io::sink()).await });
        tokio::spawn(async move {
            let _ = writes.write_all(&text).await;
            let _ = writes.shutdown().await;
        });
        let mut told = String::new();
        while let Next::Request(parsed) = next(&mut connection, &limits).await {
            let Parsed { head, mut framing, expects, .. } = *parsed;
            let body = connection.read_body(&mut framing, expects, &limits, &Arc::default()).await.ok();
            let fields: Vec<_> = head.fields.all(&http::header::ACCEPT).collect();
            let _ = writeln!(told, "{} {} {:?} {fields:?} {body:?}", head.method, head.path, head.query);
            connection.answered = true;
            if body.is_none() {
                break;
            }
        }
        told
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn requests_are_the_same_however_they_are_cut(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "GET / HTTP/1.1\r\n", "POST /a?b HTTP/1.1\r\n", "POST http://h/x HTTP/1.0\r\n", "Accept: a\r\n", "Accept:\r\n",
                "Content-Length: 3\r\n", "Content-Length: 17\r\n", "Transfer-Encoding: chunked\r\n", "Expect: 100-continue\r\n",
                "\r\n", "\r\n", "\r\n", "abc", "3\r\nabc\r\n", "0\r\n\r\n", "0\r\n", "T: 1\r\n", "\n", "\r", " ", "\0", "\u{fc}",
                "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            ]),
            0..24,
        ),
        step in 1usize..40,
    ) {
        let text = parts.concat();
        prop_assert_eq!(requests(text.as_bytes(), step), requests(text.as_bytes(), 1 << 20));
    }

    #[test]
    fn nothing_makes_it_panic(text in prop::collection::vec(any::<u8>(), 0..200), step in 1usize..50) {
        requests(&text, step);
    }
}

#[test]
fn the_requests_of_the_property_are_real_ones() {
    let text = "\r\nPOST /a?b HTTP/1.1\r\nAccept: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: 1\r\n\r\n\
                GET / HTTP/1.1\r\nAccept:\r\n\r\n";
    let told = "POST /a Some(\"b\") [[97]] Some(b\"abc\")\nGET / None [[]] Some(b\"\")\n";
    assert_eq!(requests(text.as_bytes(), 1), told);
}

#[tokio::test]
async fn http2_is_told_from_http1_however_its_first_words_are_cut() {
    let (mut connection, mut theirs) = connection(1, &limits());
    let client = tokio::spawn(async move { theirs.write_all(PREFACE).await.map(|()| theirs) });
    assert!(matches!(next(&mut connection, &limits()).await, Next::Http2));
    assert_eq!(connection.buffer, PREFACE);
    client.await.unwrap().unwrap();
}

#[tokio::test]
async fn line_ends_without_end_are_no_way_to_stay() {
    let (mut connection, mut theirs) = connection(64, &limits());
    tokio::spawn(async move { while theirs.write_all(b"\r\n").await.is_ok() {} });
    assert!(matches!(next(&mut connection, &limits()).await, Next::Rejected(BLANK)));
}

#[tokio::test]
async fn a_head_that_began_while_the_last_request_was_answered_has_its_time() {
    let limits = Limits { header_read: Duration::from_millis(20), ..limits() };
    let (mut connection, mut theirs) = connection(1024, &limits);
    theirs.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    assert!(connection.attend(pin!(tokio::task::yield_now())).await.is_some());
    assert!(!connection.buffer.is_empty());
    connection.answered = true;
    connection.rest(&limits);
    let patience = Duration::from_secs(20);
    let next = tokio::time::timeout(patience, next(&mut connection, &limits)).await;
    assert!(matches!(next, Ok(Next::Rejected(TOO_SLOW))));
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_is_left() {
    let limits = Limits { keep_alive_interval: Duration::from_millis(20), ..limits() };
    for size in [1000, 200_000] {
        let (mut connection, theirs) = connection(64, &limits);
        let sent = connection.send(answer(size), Manner { close: false, silent: false, old: false }).await;
        assert_eq!(sent.unwrap_err().kind(), std::io::ErrorKind::TimedOut, "{size} bytes");
        let stream = futures_util::stream::repeat(Bytes::from_static(b"data: 1\n\n"));
        let sent = connection
            .send(response::stream(Body::stream(stream)), Manner { close: false, silent: false, old: false })
            .await;
        assert_eq!(sent.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
        drop(theirs);
    }
}

#[tokio::test]
async fn who_takes_it_in_small_pieces_gets_all_of_it() {
    for size in [1000, 200_000] {
        let (mut connection, mut theirs) = connection(64, &limits());
        let client = tokio::spawn(async move {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).await.map(|_| all)
        });
        connection.send(answer(size), Manner { close: true, silent: false, old: false }).await.unwrap();
        connection.close(false).await;
        let all = client.await.unwrap().unwrap();
        let head = format!("content-length: {size}\r\n");
        assert!(all.ends_with(&vec![b'1'; size]) && String::from_utf8_lossy(&all).contains(&head));
    }
}

#[tokio::test]
async fn what_is_read_ahead_is_bounded_and_given_back() {
    let (mut connection, mut theirs) = connection(1 << 20, &limits());
    theirs.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
    assert!(connection.attend(pin!(tokio::task::yield_now())).await.is_some());
    assert!((AHEAD..3 * AHEAD).contains(&connection.buffer.len()), "{}", connection.buffer.len());
    // All of it was the next request.
    connection.buffer.advance(connection.buffer.len());
    connection.rest(&limits());
    assert_eq!(connection.buffer.capacity(), 0);
    tokio::spawn(async move { tokio::io::copy(&mut theirs, &mut tokio::io::sink()).await });
    connection.send(answer(60_000), Manner { close: false, silent: false, old: false }).await.unwrap();
    assert!(connection.writer.out.capacity() <= 16 * 1024);
}
