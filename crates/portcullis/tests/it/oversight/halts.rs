//! The kill switch: by command and by configuration, for what comes and for what is under way.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{done, error, listed, run, said, start};
use crate::harness::client::text_of;
use crate::harness::fake::tool;
use crate::harness::{Fake, Gateway, Legacy, Modern, Upstream, signal, until, within};

/// A server whose tool `wait` never answers, and says on a stream that it has begun.
async fn waiting(modern: bool) -> Upstream {
    let fake = if modern { Fake::modern() } else { Fake::legacy() };
    fake.tools(vec![tool("echo"), tool("wait"), tool("wait_more")])
        .on("tools/call", |seen, mut answer| async move {
            if seen.rpc["params"]["name"] == "echo" {
                return answer.result(crate::harness::fake::text("echo")).await;
            }
            answer.open_stream().await;
            std::future::pending::<()>().await;
        })
        .start()
        .await
}

async fn call(gateway: &Gateway, name: &str) -> Value {
    let params = json!({"name": name, "arguments": {}});
    Modern::new().request(gateway, "tools/call", params).await.json()
}

async fn works(gateway: &Gateway, name: &str) -> bool {
    call(gateway, name).await.get("result").is_some()
}

#[tokio::test]
async fn what_is_halted_is_refused_until_it_is_lifted() {
    let (one, two) = (waiting(true).await, waiting(false).await);
    let gateway = start(json!({"servers": {"one": one.config(), "two": two.config()}}));
    let folder = gateway.folder();
    assert!(works(&gateway, "one__echo").await && works(&gateway, "two__echo").await);
    for (what, [first, second]) in [
        ("tool:one/ec*", [false, true]),
        ("server:two", [true, false]),
        ("principal:anonymous", [false, false]),
        ("all", [false, false]),
    ] {
        done(folder, &["halt", "set", what, "--reason", "an incident"]);
        until(what, async || {
            (works(&gateway, "one__echo").await, works(&gateway, "two__echo").await) == (first, second)
        })
        .await;
        let name = if first { "two__echo" } else { "one__echo" };
        let (reason, message) = error(&call(&gateway, name).await);
        assert_eq!(reason, "halted", "{what}");
        assert!(message.ends_with("was stopped by an operator: an incident"), "{message}");
        let list = run(folder, &["halt", "list"]);
        assert!(list.status.code() == Some(1) && said(&list).contains("by cli:ops"), "{}", said(&list));
        assert_eq!(done(folder, &["halt", "lift", what]), format!("lifted: {what}\n"));
        until("all of it again", async || {
            works(&gateway, "one__echo").await && works(&gateway, "two__echo").await
        })
        .await;
    }
    assert_eq!(done(folder, &["halt", "list"]), "nothing is halted\n");
    assert_eq!(run(folder, &["halt", "lift", "all"]).status.code(), Some(1));
    assert_eq!(run(folder, &["halt", "set", "everything"]).status.code(), Some(2));
}

#[tokio::test]
async fn halts_that_may_stop_nothing_are_set_and_doubted() {
    let server = waiting(true).await;
    let gateway = start(json!({"servers": {"crm": server.config()}}));
    let folder = gateway.folder();
    assert!(works(&gateway, "crm__echo").await);
    let doubt = |what: &str| {
        let output = run(folder, &["halt", "set", what]);
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("halted: {what}\n"));
        String::from_utf8(output.stderr).unwrap()
    };
    until("the pins of the tools", async || doubt("tool:crm/ec*").is_empty()).await;
    for fits in ["all", "server:crm", "server:hub", "principal:anonymous", "principal:user:https://idp#ada"] {
        assert_eq!(doubt(fits), "", "{fits}");
    }
    for (what, why) in [
        ("server:crn", "has a server `crn`, so this stops nothing; there are crm"),
        ("tool:crn/echo", "has a server `crn`"),
        (
            "tool:crm/ehco",
            "has listed nothing so far that `ehco` fits, so this may stop nothing; it has listed echo, wait",
        ),
        ("principal:ada", "no caller is called `ada`"),
        ("principal:key:ada", "no `identity.keys`"),
    ] {
        let doubt = doubt(what);
        assert!(doubt.starts_with("warning: ") && doubt.contains(why), "{what}: {doubt}");
    }
    let bare = run(folder, &["halt", "set", "crm"]);
    assert!(
        bare.status.code() == Some(2) && said(&bare).contains("did you mean `server:crm`?"),
        "{}",
        said(&bare)
    );
}

#[tokio::test]
async fn calls_under_way_and_streams_end_at_once() {
    for (what, ends) in [("tool:x/wait", [true, false]), ("server:x", [true, true]), ("all", [true, true])] {
        for modern in [true, false] {
            let server = waiting(modern).await;
            let gateway = start(json!({"servers": {"x": server.config()}}));
            let (client, session) = (Modern::new(), Legacy::open(&gateway).await);
            let params = |name: &str| json!({"name": name, "arguments": {}});
            let waits = client.request(&gateway, "tools/call", params("x__wait"));
            let waits_legacy = session.request(&gateway, "tools/call", params("x__wait"));
            let waits_more = client.request(&gateway, "tools/call", params("x__wait_more"));
            let halting = async {
                server.nth("tools/call", 3).await;
                done(gateway.folder(), &["halt", "set", what]);
            };
            tokio::pin!(waits_more);
            let (one, two, ()) = tokio::join!(
                within("the end of the call", waits),
                within("the end of the session's call", waits_legacy),
                async {
                    tokio::select! {
                        more = &mut waits_more => panic!("it came too early: {more:?}"),
                        () = halting => {}
                    }
                }
            );
            for answer in [one, two] {
                assert_eq!(error(&answer.json()).0, "halted", "{what} {answer:?}");
            }
            if ends[1] {
                let more = within("the end of the other call", waits_more).await;
                assert_eq!(error(&more.json()).0, "halted", "{what}");
            } else {
                assert!(works(&gateway, "x__echo").await, "others go on");
            }
        }
    }
}

#[tokio::test]
async fn streams_of_whoever_is_halted_end() {
    let server = waiting(true).await;
    let gateway = start(json!({"servers": {"x": server.config()}}));
    let session = Legacy::open(&gateway).await;
    let mut standalone = session.listen(&gateway, None).await;
    assert!(standalone.next().await.unwrap().comment.is_some(), "it is open");
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let (_, mut listening) = Modern::new().stream(&gateway, "subscriptions/listen", filter).await;
    assert!(listening.message().await.is_some(), "it is open");
    done(gateway.folder(), &["halt", "set", "principal:anonymous"]);
    within("the end of both streams", async {
        while standalone.next().await.is_some() {}
        while listening.next().await.is_some() {}
    })
    .await;
    let (reason, _) = error(&call(&gateway, "x__echo").await);
    assert_eq!(reason, "halted");
    let again = session.request(&gateway, "tools/list", json!({})).await;
    assert_eq!((again.status(), error(&again.json()).0.as_str()), (503, "halted"));
}

#[tokio::test]
async fn the_configuration_halts_as_well_and_lets_go_again() {
    let server = waiting(true).await;
    let config = |halt: Value| json!({"servers": {"x": server.config()}, "halt": halt});
    let gateway = Gateway::start(&config(json!({"tools": ["x/echo"]})));
    assert_eq!(error(&call(&gateway, "x__echo").await).0, "halted");
    gateway.rewrite_config(&config(json!({})));
    signal(gateway.pid(), Signal::HUP);
    until("the tool", async || works(&gateway, "x__echo").await).await;
    assert_eq!(text_of(&Modern::new().call(&gateway, "x__echo", json!({})).await), "echo");
    gateway.rewrite_config(&config(json!({"servers": ["x"]})));
    signal(gateway.pid(), Signal::HUP);
    until("nothing", async || !works(&gateway, "x__echo").await).await;
    let own = Modern::at("/mcp/s/x").request(&gateway, "tools/list", json!({})).await;
    assert_eq!((own.status(), error(&own.json()).0.as_str()), (503, "halted"));
}

#[tokio::test]
async fn what_is_halted_is_not_listed_and_whoever_listens_is_told() {
    let (one, two) = (waiting(true).await, waiting(false).await);
    let gateway = start(json!({"servers": {"one": one.config(), "two": two.config()}}));
    let all = listed(&gateway).await;
    let session = Legacy::open(&gateway).await;
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let (_, mut listening) = Modern::new().stream(&gateway, "subscriptions/listen", filter).await;
    assert!(listening.message().await.is_some(), "it is open");
    for (what, left) in [
        ("tool:one/wait*", "one__echo two__echo two__wait two__wait_more"),
        ("server:two", "one__echo one__wait one__wait_more"),
    ] {
        for (verb, expected) in [("set", left), ("lift", all.as_str())] {
            done(gateway.folder(), &["halt", verb, what]);
            let told = within("the news", listening.message()).await.unwrap();
            assert_eq!(told["method"], "notifications/tools/list_changed", "{told}");
            assert_eq!(listed(&gateway).await, expected, "{verb} {what}");
            let legacy = session.result(&gateway, "tools/list", json!({})).await;
            assert_eq!(super::names(&legacy, "tools", "name"), expected, "{verb} {what}");
        }
    }
    done(gateway.folder(), &["halt", "set", "tool:one/echo"]);
    within("the news", listening.message()).await;
    let (reason, _) = error(&call(&gateway, "one__echo").await);
    assert_eq!(reason, "halted", "whoever knows its name is told why");
}
