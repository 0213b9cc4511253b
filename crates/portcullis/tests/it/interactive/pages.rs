//! Pages that users are sent to: that they are done with one is told to the client that was asked, and to no other.

use serde_json::{Value, json};

use super::{CALL, accepted, asked, call, everything, got, legacy_client, respond};
use crate::harness::http::Events;
use crate::harness::{Child, Gateway, Legacy, Process, within};

const DONE: &str = "notifications/elicitation/complete";

/// A child that sends each client to the page of its arguments and answers what became of that. Told to, it says that
/// users are done with pages.
const SENDING_CHILD: &str = r#"
waiting = {}
def say_done():
    while True:
        for id in order():
            send({"method": "notifications/elicitation/complete", "params": {"elicitationId": id}})
threading.Thread(target=say_done, daemon=True).start()
def call(request):
    page = dict(mode="url", message="m", url="https://example.com", elicitationId=request["params"]["arguments"]["page"])
    if request["params"]["arguments"].get("first"):
        return send({"id": request["id"], "error": {"code": -32042, "message": "open it", "data": {"elicitations": [page]}}})
    waiting[page["elicitationId"]] = request
    send({"id": page["elicitationId"], "method": "elicitation/create", "params": page})
def answered(message):
    text(waiting.pop(message["id"]), json.dumps(message["result"]))
handlers["tools/call"] = call
handlers[None] = answered
"#;

/// Sends a client to a page and back.
async fn visit(gateway: &Gateway, session: &Legacy, page: &str) {
    let (_, mut events) = session.stream(gateway, &call(1, &json!({"page": page}))).await;
    let question = asked(&mut events, "elicitation/create").await;
    assert_eq!(question["params"]["elicitationId"], page);
    respond(session, gateway, &question["id"], &json!({"action": "accept"})).await;
    assert_eq!(got(&events.message().await.unwrap()["result"]), json!({"action": "accept"}));
}

/// Has the server say which pages are done with. It runs twice, and nobody was sent anywhere by the one that serves what
/// all clients share.
async fn say_done(processes: &mut [Process; 2], pages: Value) {
    for process in processes {
        process.tell(pages.clone()).await;
    }
}

async fn processes(child: &Child) -> [Process; 2] {
    [child.started().await, child.started().await]
}

async fn listening(gateway: &Gateway, session: &Legacy) -> Events {
    let mut stream = session.listen(gateway, None).await;
    assert_eq!(stream.next().await.unwrap().comment.as_deref(), Some("open"));
    stream
}

/// What is heard next must be that this page is done with.
async fn done(stream: &mut Events, page: &str) {
    let message = within("the notification", stream.message()).await.unwrap();
    assert_eq!(message, json!({"jsonrpc": "2.0", "method": DONE, "params": {"elicitationId": page}}));
}

#[tokio::test]
async fn the_client_that_was_sent_to_a_page_is_told_and_nobody_else() {
    let child = Child::new(SENDING_CHILD).await;
    let gateway = Gateway::before(&child.config());
    let (ann, bob) = (legacy_client(&gateway).await, legacy_client(&gateway).await);
    let (mut to_ann, mut to_bob) = (listening(&gateway, &ann).await, listening(&gateway, &bob).await);
    visit(&gateway, &ann, "a-1").await;
    visit(&gateway, &bob, "b-1").await;
    visit(&gateway, &ann, "a-2").await;
    let mut processes = processes(&child).await;
    say_done(&mut processes, json!(["made up", "b-1", "b-1", "a-2", "a-1"])).await;
    done(&mut to_bob, "b-1").await;
    done(&mut to_ann, "a-2").await;
    done(&mut to_ann, "a-1").await;
    visit(&gateway, &bob, "b-2").await;
    say_done(&mut processes, json!(["a-1", "b-2"])).await;
    done(&mut to_bob, "b-2").await;
}

#[tokio::test]
async fn a_page_that_is_to_be_opened_first_is_told_of_as_well_and_waits_for_who_listens() {
    let child = Child::new(SENDING_CHILD).await;
    let gateway = Gateway::before(&child.config());
    let session = legacy_client(&gateway).await;
    let arguments = json!({"page": "p", "first": true});
    let answer = session.request(&gateway, CALL, json!({"name": "echo", "arguments": arguments})).await;
    let error = &answer.json()["error"];
    assert_eq!(
        (&error["code"], &error["data"]["elicitations"][0]["elicitationId"]),
        (&json!(-32042), &json!("p"))
    );
    say_done(&mut processes(&child).await, json!(["p"])).await;
    done(&mut session.listen(&gateway, None).await, "p").await;
}

#[tokio::test]
async fn while_nobody_listens_it_is_told_on_the_stream_of_a_call() {
    let child = Child::new(SENDING_CHILD).await;
    let gateway = Gateway::before(&child.config());
    let session = legacy_client(&gateway).await;
    let (_, mut events) = session.stream(&gateway, &call(1, &json!({"page": "p"}))).await;
    let question = asked(&mut events, "elicitation/create").await;
    say_done(&mut processes(&child).await, json!(["p"])).await;
    done(&mut events, "p").await;
    respond(&session, &gateway, &question["id"], &accepted("Ann")).await;
    assert!(events.message().await.unwrap()["result"].is_object());
}

#[tokio::test]
async fn on_the_aggregate_no_server_speaks_of_anothers_page() {
    let (one, other) = (Child::new(SENDING_CHILD).await, Child::new(SENDING_CHILD).await);
    let gateway = Gateway::start(&json!({"servers": {"x": one.config(), "y": other.config()}}));
    let session = Legacy::open_with(&gateway, "/mcp", "2025-11-25", everything()).await;
    let mut stream = listening(&gateway, &session).await;
    let ask = async |server: &str, arguments: Value| {
        let params = json!({"name": format!("{server}__echo"), "arguments": arguments});
        session.request(&gateway, CALL, params).await.json()["error"]["data"]["elicitations"][0].take()
    };
    for server in ["x", "y"] {
        let page = ask(server, json!({"page": "p", "first": true})).await;
        assert_eq!(page["elicitationId"], format!("{server}/p"));
    }
    // Each is told of by the server that sent the client there, whatever the other one says.
    for (child, page) in [(&other, "y/p"), (&one, "x/p")] {
        say_done(&mut processes(child).await, json!(["p"])).await;
        done(&mut stream, page).await;
    }
}
