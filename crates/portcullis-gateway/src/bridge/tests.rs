//! The bridge against the real thing is tested end to end (`crates/portcullis/tests`); here is what needs no endpoint.

use portcullis_config::{HttpUpstream, Overrides, Transport, import};

use super::*;

fn nowhere() -> HttpUpstream {
    let text = r#"{"mcpServers":{"endpoint":{"url":"http://127.0.0.1:1/mcp"}}}"#;
    let env = std::collections::BTreeMap::<String, String>::new();
    let loaded = import("test", text, &env, &Overrides::default()).unwrap();
    match loaded.settings.servers.into_values().next().unwrap().transport {
        Transport::Http(http) => http,
        Transport::Stdio(_) => panic!("a URL is not stdio"),
    }
}

#[tokio::test]
async fn every_request_is_answered_even_when_nothing_is_there() {
    let input = concat!(
        "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"initialize\",\"params\":{}}\n",
        "not json\n",
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":1}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"tools/list\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}",
    );
    let (output, mut read) = tokio::io::duplex(1 << 16);
    run(&nowhere(), input.as_bytes(), output).await.unwrap();
    let mut text = String::new();
    read.read_to_string(&mut text).await.unwrap();
    let mut answers: Vec<(String, String)> = text
        .lines()
        .map(|line| {
            let raw = Raw::parse(Bytes::copy_from_slice(line.as_bytes()), DEPTH).unwrap();
            let id = raw.find("id").unwrap().to_string();
            (id, raw.find_path(&["error", "code"]).unwrap().to_string())
        })
        .collect();
    answers.sort();
    let expected = [("\"a\"", "-32603"), ("7", "-32600"), ("8", "-32603"), ("null", "-32700")];
    assert_eq!(answers, expected.map(|(id, code)| (id.to_owned(), code.to_owned())));
}

#[tokio::test]
async fn what_ends_late_takes_nothing_from_what_has_its_id_now() {
    let (host, _messages) = mpsc::channel(QUEUE);
    let (link, session) = (HttpLink::new(&nowhere(), 1).unwrap(), Session::default());
    let (running, mirrors) = (Mutex::default(), Mutex::default());
    let bridge = Bridge { url: String::new(), link, host, session, running, mirrors };
    let id = Id::number(7);
    let begin = || {
        let (task, mark) = (tokio::spawn(std::future::pending::<()>()), Arc::<Mark>::default());
        let running =
            Running { task: task.abort_handle(), is_modern: true, listens: false, mark: mark.clone() };
        bridge.running().insert(id.clone(), running);
        (task, mark)
    };
    let (_answered, first) = begin();
    let (again, _) = begin();
    bridge.forget(&id, &first);
    let cancel = br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
    match Message::parse(Bytes::from_static(cancel), DEPTH).unwrap() {
        Message::Notification(cancel) => assert!(bridge.cancels_modern(&cancel)),
        _ => panic!("a notification"),
    }
    assert!(again.await.unwrap_err().is_cancelled(), "the one that has the id now");
}
