//! Framings under any chunking, and what is refused.

use std::future::poll_fn;

use proptest::prelude::*;
use tokio::io::duplex;

use super::*;

/// Answers one request with `answer`, cut into pieces of `step` bytes, then closes; what the client made of it.
fn exchange(answer: &[u8], step: usize) -> Result<(u16, Vec<u8>, bool), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let answer = answer.to_vec();
    runtime.block_on(async move {
        let (ours, mut theirs) = duplex(64);
        let server = tokio::spawn(async move {
            let mut request = [0; 4];
            theirs.read_exact(&mut request).await.unwrap();
            for piece in answer.chunks(step.max(1)) {
                if theirs.write_all(piece).await.is_err() {
                    return;
                }
            }
        });
        let read = async {
            let mut response = Line::new(ours).exchange(b"GET ".to_vec(), &Bytes::new()).await?;
            let mut body = Vec::new();
            loop {
                match poll_fn(|context| response.body_mut().poll_more(context)).await? {
                    More::Data(data) => body.extend_from_slice(&data),
                    More::End(line) => return Ok((response.status().as_u16(), body, line.is_some())),
                }
            }
        };
        let read = read.await.map_err(|failure: Failure| failure.to_string());
        server.await.unwrap();
        read
    })
}

#[test]
fn reads_the_three_framings() {
    let cases: [(&str, u16, &str, bool); 8] = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, "abc", true),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nContent-Length: 3\r\nConnection: x, Close\r\n\r\nabc",
            200,
            "abc",
            false,
        ),
        ("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, "abc", false),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n02\r\nde\r\n0\r\nT: 1\r\n\r\n",
            200,
            "abcde",
            true,
        ),
        ("HTTP/1.1 200 OK\r\n\r\nabc", 200, "abc", false),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", 202, "", true),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc", 200, "a", false),
    ];
    for (answer, status, body, reusable) in cases {
        for step in [1, 2, 7, 1000] {
            let expected = Ok((status, body.as_bytes().to_vec(), reusable));
            assert_eq!(exchange(answer.as_bytes(), step), expected, "{answer:?} in steps of {step}");
        }
    }
}

#[test]
fn refuses_what_could_be_read_two_ways() {
    for answer in [
        "",
        "HTTP/1.1 200",
        "SSH-2.0-x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ] {
        assert!(exchange(answer.as_bytes(), 1000).is_err(), "{answer:?}");
    }
}

#[test]
fn bounds_what_it_holds() {
    let endless_head = format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(HEAD + READ));
    assert!(exchange(endless_head.as_bytes(), 1000).is_err());
    let endless_size =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;{}", "a".repeat(HEAD + READ));
    assert!(exchange(endless_size.as_bytes(), 1000).is_err());
}

/// RFC 9112 section 6.3: whatever its head says of a length.
#[tokio::test]
async fn an_answer_to_head_has_no_body() {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    theirs.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n").await.expect("room");
    let head = b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec();
    let mut response = Line::new(ours).exchange(head, &Bytes::new()).await.expect("an answer");
    assert!(response.body_mut().is_at_end());
    assert!(response.body_mut().take_line().is_some(), "the connection is of use for the next");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn chunks_are_joined_however_they_were_cut(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..60), 0..6),
        step in 1usize..80,
    ) {
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in &chunks {
            answer.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
            answer.extend_from_slice(chunk);
            answer.extend_from_slice(b"\r\n");
        }
        answer.extend_from_slice(b"0\r\n\r\n");
        prop_assert_eq!(exchange(&answer, step), Ok((200, chunks.concat(), true)));
    }

    #[test]
    fn nothing_makes_it_panic(answer in prop::collection::vec(any::<u8>(), 0..200), step in 1usize..50) {
        let _ = exchange(&answer, step);
        let _ = exchange(&[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", answer.as_slice()].concat(), step);
    }
}
