//! A user connects an account: by the link of a call, in the browser of that user.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::evidence;
use crate::harness::idp::{PUBLIC, encode, sha256};

const CALL: &str = "tools/call";

/// A server whose users connect accounts, and its authorization server.
struct Account {
    authority: Authority,
    server: Upstream,
}

impl Account {
    async fn start() -> Self {
        let authority = Authority::start().await;
        let issuer = authority.issuer.clone();
        let fake = guarded(Fake::modern()).on("document", move |seen, answer| {
            let issuer = issuer.clone();
            async move {
                let resource = format!("http://{}/mcp", seen.header("host").unwrap());
                answer.json(200, &json!({"resource": resource, "authorization_servers": [issuer]})).await;
            }
        });
        Self { authority, server: fake.start().await }
    }

    fn entry(&self) -> Value {
        let mut entry = self.server.config();
        entry["credentials"] = json!({"kind": "oauth", "private_network": true});
        entry
    }
}

/// A browser: it has what it was given, and nothing else.
#[derive(Default)]
struct Browser {
    cookies: Vec<(String, String)>,
    authorization: Option<String>,
}

impl Browser {
    fn of(idp: &Idp, subject: &str) -> Self {
        Self { cookies: Vec::new(), authorization: Some(format!("Bearer {}", idp.token(subject))) }
    }

    async fn open(&mut self, gateway: &Gateway, url: &str) -> Response {
        let path = url.splitn(4, '/').nth(3).unwrap();
        let host = url.split('/').nth(2).unwrap().to_owned();
        let mut headers = vec![("host", host.as_str())];
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        headers.extend((!cookies.is_empty()).then_some(("cookie", cookies.as_str())));
        headers.extend(self.authorization.as_deref().map(|value| ("authorization", value)));
        let answer = gateway.send("GET", &format!("/{path}"), &headers, b"").await;
        for (_, set) in answer.head.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.retain(|(known, _)| known != name);
            self.cookies.extend((!value.is_empty()).then(|| (name.to_owned(), value.to_owned())));
        }
        answer
    }
}

/// What the authorization server sends the browser back with, when it is sent there.
fn agreed(sent: &Response, issuer: &str, code: &str) -> String {
    let location = sent.header("location").expect("a browser is sent on");
    assert!(location.starts_with(&format!("{issuer}/authorize?")), "{location}");
    let field =
        |name: &str| crate::harness::authority::field(location.split_once('?').unwrap().1, name).unwrap();
    let back = field("redirect_uri").replace("%3A", ":").replace("%2F", "/");
    let issuer = issuer.replace(':', "%3A").replace('/', "%2F");
    format!("{back}?code={code}&state={}&iss={issuer}", field("state"))
}

fn url_of(answer: &Response) -> String {
    let answer = answer.json();
    let data = &answer["error"]["data"];
    assert_eq!(data["reason"], "connection_required", "{answer}");
    data["url"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_user_connects_an_account_uses_it_and_gives_it_up() {
    let account = Account::start().await;
    let gateway = Gateway::start(&json!({"servers": {"x": account.entry()}, "audit": {"node": "gw"}}));
    let client = Modern::new();
    let listed = client.request(&gateway, "tools/list", json!({})).await;
    assert_eq!(names(&listed), ["x__portcullis_connect_account"], "there is a way");
    let params = json!({"name": "x__portcullis_connect_account", "arguments": {}});
    let url = url_of(&client.request(&gateway, CALL, params.clone()).await);
    let mut browser = Browser::default();
    let sent = browser.open(&gateway, &url).await;
    assert_eq!(sent.status(), 303, "{sent:?}");
    let done = browser.open(&gateway, &agreed(&sent, &account.authority.issuer, "ada")).await;
    assert_eq!(done.status(), 200, "{done:?}");
    assert_eq!(done.header("x-frame-options"), Some("DENY"));
    let listed = client.request(&gateway, "tools/list", json!({})).await;
    assert_eq!(names(&listed), ["x__echo", "x__of-at-ada"]);
    assert!(result_of(&client.request(&gateway, CALL, params).await)["content"].is_array());
    let echo = json!({"name": "x__echo", "arguments": {}});
    result_of(&client.request(&gateway, CALL, echo.clone()).await);
    // The link and what came back by it are over.
    assert_eq!(browser.open(&gateway, &url).await.status(), 404);
    let connections = gateway.get("/connections").await.json();
    assert_eq!(connections, json!({"connections": [{"server": "x", "connected": true}]}));
    assert_eq!(gateway.send("DELETE", "/connections/x", &[], b"").await.status(), 204);
    assert_eq!(gateway.send("DELETE", "/connections/x", &[], b"").await.status(), 404);
    url_of(&client.request(&gateway, CALL, echo).await);
    let told = evidence::until(&gateway, "both changes", 2, |event| event["kind"] == "credential").await;
    let details: Vec<_> = told.iter().map(|event| &event["detail"]).collect();
    let detail = |what: &str| json!({"server": "x", "what": what});
    assert_eq!(details, [&detail("connected"), &detail("disconnected")]);
}

#[tokio::test]
async fn a_client_that_can_show_pages_is_asked_to_and_its_call_goes_on() {
    let account = Account::start().await;
    let gateway = Gateway::before(&account.entry());
    let client = Modern::at("/mcp/s/x")
        .with_meta("io.modelcontextprotocol/clientCapabilities", json!({"elicitation": {"url": {}}}));
    let mut params = json!({"name": "echo", "arguments": {"n": 1}});
    let asked = client.result(&gateway, CALL, params.clone()).await;
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let request = &asked["inputRequests"]["portcullis-connect"];
    assert_eq!(
        (&request["method"], &request["params"]["mode"]),
        (&json!("elicitation/create"), &json!("url"))
    );
    let mut browser = Browser::default();
    let sent = browser.open(&gateway, request["params"]["url"].as_str().unwrap()).await;
    // The user agrees to go there; the call comes back while they are at it, and waits.
    params["requestState"] = asked["requestState"].clone();
    params["inputResponses"] = json!({"portcullis-connect": {"action": "accept"}});
    let back = agreed(&sent, &account.authority.issuer, "ada");
    let (result, done) =
        tokio::join!(client.result(&gateway, CALL, params.clone()), browser.open(&gateway, &back));
    assert_eq!(done.status(), 200, "{done:?}");
    assert_eq!(result["content"][0]["text"], "{\"n\":1}", "{result}");
    let call = account.server.nth(CALL, 1).await;
    assert!(
        call.rpc["params"].get("inputResponses").is_none()
            && call.rpc["params"].get("requestState").is_none()
    );
    params["inputResponses"] = json!({"portcullis-connect": {"action": "decline"}});
    let refused = client.result(&gateway, CALL, params).await;
    assert!(refused["isError"] == true && refused.to_string().contains("did not agree"), "{refused}");
}

#[tokio::test]
async fn a_link_is_of_use_to_nobody_but_the_user_whose_call_it_came_from() {
    let (idp, account) = (Idp::start().await, Account::start().await);
    let mut config = idp.config(&account.entry());
    config["audit"] = json!({"node": "gw"});
    let gateway = Gateway::start(&config);
    let ada = format!("Bearer {}", idp.token("ada"));
    let call = async || {
        let params = json!({"name": "x__portcullis_connect_account", "arguments": {}});
        Modern::new().request_with(&gateway, CALL, params, &[("authorization", &ada)]).await
    };
    let url = url_of(&call().await);
    assert!(url.starts_with(&format!("{PUBLIC}/connect/")) && !url.contains("ada"), "{url}");
    assert_eq!(Browser::default().open(&gateway, &url).await.status(), 401, "nobody");
    assert_eq!(Browser::of(&idp, "eve").open(&gateway, &url).await.status(), 403, "somebody else");
    assert_eq!(account.authority.server.seen().len(), 0, "and nobody is asked for them");
    let mut browser = Browser::of(&idp, "ada");
    let sent = browser.open(&gateway, &url).await;
    assert_eq!(sent.status(), 303, "{sent:?}");
    assert!(sent.header("set-cookie").unwrap().starts_with("__Host-"));
    // Eve gets hold of the way back, and even of the cookie.
    let back = agreed(&sent, &account.authority.issuer, "eve");
    let mut eve = Browser { cookies: browser.cookies.clone(), ..Browser::of(&idp, "eve") };
    assert_eq!(eve.open(&gateway, &back).await.status(), 403);
    // It was taken with that; Ada begins again, and another browser of hers cannot finish.
    assert_eq!(browser.open(&gateway, &back).await.status(), 404);
    let sent = browser.open(&gateway, &url).await;
    let back = agreed(&sent, &account.authority.issuer, "ada");
    assert_eq!(Browser::of(&idp, "ada").open(&gateway, &back).await.status(), 400);
    assert_eq!(account.authority.grants("authorization_code").len(), 0, "no code was ever used");
    let sent = browser.open(&gateway, &url).await;
    let back = agreed(&sent, &account.authority.issuer, "ada");
    assert_eq!(browser.open(&gateway, &back).await.status(), 200);
    assert!(result_of(&call().await)["content"].is_array());
    let whys = ["somebody else opened the link", "somebody else came back", "another browser came back"];
    assert_eq!(not_connected(&gateway, whys.len()).await, whys);
}

/// Why no account was connected, as it is on record.
async fn not_connected(gateway: &Gateway, count: usize) -> Vec<String> {
    let is = |event: &Value| event["kind"] == "credential" && event["detail"]["what"] == "not connected";
    let told = evidence::until(gateway, "why nothing was connected", count, is).await;
    told.iter().map(|event| event["detail"]["why"].as_str().unwrap().to_owned()).collect()
}

/// A gateway on loopback that lets in whoever shows nothing, knows users of `idp`, and logs browsers in there.
fn open_to_all(idp: &Idp, account: &Account) -> Value {
    let login = json!({"issuer": idp.issuer, "client_id": "gateway"});
    json!({
        "servers": {"x": account.entry()},
        "identity": {"anonymous": "allow", "issuers": [{"issuer": idp.issuer}], "login": login},
    })
}

#[tokio::test]
async fn where_anybody_may_call_a_browser_still_logs_in_for_what_is_a_users() {
    let (idp, account) = (Idp::start().await, Account::start().await);
    let mut config = open_to_all(&idp, &account);
    config["audit"] = json!({"node": "gw"});
    let gateway = Gateway::start(&config);
    let base = format!("http://{}", gateway.address);
    let ada = format!("Bearer {}", idp.token_with("ada", &json!({"aud": format!("{base}/mcp")})));
    let params = json!({"name": "x__portcullis_connect_account", "arguments": {}});
    let call =
        async |more: &[(&str, &str)]| Modern::new().request_with(&gateway, CALL, params.clone(), more).await;
    let url = url_of(&call(&[("authorization", &ada)]).await);
    let mut browser = Browser::default();
    let sent = browser.open(&gateway, &url).await;
    let there = sent.header("location").unwrap_or_else(|| panic!("{sent:?}")).to_owned();
    assert!(there.starts_with(&format!("{}/auth?", idp.issuer)), "to log in: {there}");
    let query = there.split_once('?').unwrap().1;
    let state = crate::harness::authority::field(query, "state").unwrap();
    let strange =
        Browser::default().open(&gateway, &format!("{base}/oauth/login?code=ada~&state=made-up")).await;
    assert_eq!(strange.status(), 400, "{strange:?}");
    let is = |event: &Value| event["detail"]["what"] == "a browser was not logged in";
    assert_eq!(evidence::until(&gateway, "the strange login", 1, is).await[0]["kind"], "login");
    let back = browser.open(&gateway, &format!("{base}/oauth/login?code=ada~&state={state}")).await;
    assert_eq!(back.header("location"), Some(url.as_str()), "{back:?}");
    let sent = browser.open(&gateway, &url).await;
    let done = browser.open(&gateway, &agreed(&sent, &account.authority.issuer, "ada")).await;
    assert_eq!(done.status(), 200, "{done:?}");
    assert!(result_of(&call(&[("authorization", &ada)]).await)["content"].is_array());
    // It is on record, and by the name that her calls have.
    let told = |event: &Value| {
        event["detail"]["what"] == "a browser was logged in" || event["detail"]["what"] == "connected"
    };
    let told = evidence::until(&gateway, "the login and what it was for", 2, told).await;
    assert_eq!([&told[0]["kind"], &told[1]["kind"]], ["login", "credential"], "{told:?}");
    let calls = evidence::until(&gateway, "her calls", 2, |event| event["request"]["method"] == CALL).await;
    let ada = &calls[0]["who"]["person"];
    assert!(ada.is_string() && told.iter().all(|event| event["who"]["person"] == *ada), "{told:?}");
    // What is nobody's in particular, takes no login.
    let url = url_of(&call(&[]).await);
    let sent = Browser::default().open(&gateway, &url).await;
    assert!(sent.header("location").unwrap().starts_with(&account.authority.issuer), "{sent:?}");
}

#[tokio::test]
async fn nobody_logs_in_for_a_link_that_is_over_or_that_no_login_makes_theirs() {
    let (idp, account) = (Idp::start().await, Account::start().await);
    let mut config = idp.config(&account.entry());
    config["identity"]["login"] = json!({"issuer": idp.issuer, "client_id": "gateway"});
    let gateway = Gateway::start(&config);
    let made_up = Browser::default().open(&gateway, &format!("{PUBLIC}/connect/made-up")).await;
    assert_eq!((made_up.status(), made_up.header("location")), (404, None));
    let ada = format!("Bearer {}", idp.token("ada"));
    let call = async || {
        let params = json!({"name": "x__portcullis_connect_account", "arguments": {}});
        Modern::new().request_with(&gateway, CALL, params, &[("authorization", &ada)]).await
    };
    let url = url_of(&call().await);
    let sent = Browser::default().open(&gateway, &url).await;
    assert!(sent.header("location").unwrap().starts_with(&idp.issuer), "a link of a user's: {sent:?}");
    let mut browser = Browser::of(&idp, "ada");
    let sent = browser.open(&gateway, &url).await;
    let done = browser.open(&gateway, &agreed(&sent, &account.authority.issuer, "ada")).await;
    assert_eq!(done.status(), 200, "{done:?}");
    let used = Browser::default().open(&gateway, &url).await;
    assert_eq!(used.status(), 404, "one that was used: {used:?}");
}

#[tokio::test]
async fn an_account_outlives_a_restart_where_the_store_is_a_file() {
    let account = Account::start().await;
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("kept.db");
    let config = json!({"servers": {"x": account.entry()}, "store": {"kind": "sqlite", "path": store}});
    let gateway = Gateway::start(&config);
    let params = json!({"name": "x__portcullis_connect_account", "arguments": {}});
    let url = url_of(&Modern::new().request(&gateway, CALL, params).await);
    let mut browser = Browser::default();
    let sent = browser.open(&gateway, &url).await;
    let done = browser.open(&gateway, &agreed(&sent, &account.authority.issuer, "ada")).await;
    assert_eq!(done.status(), 200, "{done:?}");
    drop(gateway);
    let mode = std::fs::metadata(folder.path().join("kept.db.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let gateway = Gateway::start(&config);
    let params = json!({"name": "x__echo", "arguments": {}});
    result_of(&Modern::new().request(&gateway, CALL, params).await);
    assert_eq!(shown(&account.server), ["Bearer at-ada"]);
    assert_eq!(account.authority.grants("authorization_code").len(), 1);
}

#[tokio::test]
async fn an_answer_of_another_issuer_connects_nobody_and_shows_nothing_of_what_came() {
    let account = Account::start().await;
    let gateway = Gateway::start(&json!({"servers": {"x": account.entry()}, "audit": {"node": "gw"}}));
    let params = json!({"name": "x__portcullis_connect_account", "arguments": {}});
    let url = url_of(&Modern::new().request(&gateway, CALL, params).await);
    let mut browser = Browser::default();
    let sent = browser.open(&gateway, &url).await;
    let back = agreed(&sent, &account.authority.issuer, "ada");
    let (start, _) = back.rsplit_once("&iss=").unwrap();
    let refused = browser.open(&gateway, &format!("{start}&iss=http%3A%2F%2Fevil&error=%3Cscript%3E")).await;
    assert_eq!(refused.status(), 400);
    assert!(!refused.text().contains("script") && !refused.text().contains("evil"), "{}", refused.text());
    assert_eq!(account.authority.grants("authorization_code").len(), 0);
    assert_eq!(not_connected(&gateway, 1).await, ["another authorization server answered"]);
}

#[tokio::test]
async fn no_document_sends_the_gateway_inside_unless_the_operator_lets_it() {
    let account = Account::start().await;
    let mut entry = account.entry();
    entry["credentials"] = json!({"kind": "oauth"});
    let gateway = Gateway::start(&json!({"servers": {"x": entry}, "audit": {"node": "gw"}}));
    let params = json!({"name": "x__portcullis_connect_account", "arguments": {}});
    let url = url_of(&Modern::new().request(&gateway, CALL, params).await);
    let page = Browser::default().open(&gateway, &url).await;
    assert_eq!(page.status(), 502, "{page:?}");
    // What to do is for whoever runs the gateway, who finds it by a word of the page; addresses are nothing for it.
    let text = page.text();
    let word = text.split("under ").nth(1).and_then(|rest| rest.get(..8)).expect("a word to look for");
    let line = gateway.logged(word).await;
    assert!(line.contains("private_network") && line.contains(&account.authority.issuer), "{line}");
    for inside in ["private_network", "127.0.0.1", "well-known"] {
        assert!(!text.contains(inside), "{text}");
    }
    assert_eq!(account.authority.server.seen().len(), 0, "it was not asked");
    assert_eq!(not_connected(&gateway, 1).await, ["its authorization server cannot be used"]);
}

#[tokio::test]
async fn which_address_answered_what_is_in_the_log_and_on_no_page() {
    // The server's document names an authorization server of which there is nothing.
    let nobody = Upstream::start(|_, answer: crate::harness::Answer| async move {
        answer.json(503, &json!({"error": "<secret of the inside>"})).await;
    })
    .await;
    let issuer = nobody.url.trim_end_matches("/mcp").to_owned();
    let named = issuer.clone();
    let server = guarded(Fake::modern()).on("document", move |seen, answer| {
        let resource = format!("http://{}/mcp", seen.header("host").unwrap());
        let document = json!({"resource": resource, "authorization_servers": [named]});
        async move { answer.json(200, &document).await }
    });
    let server = server.start().await;
    let mut entry = server.config();
    entry["credentials"] = json!({"kind": "oauth", "private_network": true});
    let gateway = Gateway::before(&entry);
    let params = json!({"name": "x__portcullis_connect_account", "arguments": {}});
    let url = url_of(&Modern::new().request(&gateway, CALL, params).await);
    let page = Browser::default().open(&gateway, &url).await;
    assert_eq!(page.status(), 503, "{page:?}");
    let text = page.text();
    let word = text.split("under ").nth(1).and_then(|rest| rest.get(..8)).expect("a word to look for");
    let line = gateway.logged(word).await;
    assert!(line.contains(&issuer) && line.contains("503"), "{line}");
    for inside in ["127.0.0.1", "503", "well-known", "secret"] {
        assert!(!text.contains(inside), "{text}");
    }
}

#[tokio::test]
async fn the_gateway_says_who_it_is_as_a_client() {
    let account = Account::start().await;
    let mut config = json!({"servers": {"x": account.entry()}, "public_url": PUBLIC});
    config["http"] = json!({"allowed_hosts": []});
    let gateway = Gateway::start(&config);
    let digest = |issuer: &str| encode(sha256(issuer.as_bytes()));
    let (one, other) = (digest(&account.authority.issuer), digest("https://other.example.com"));
    for issuer in [&one, &other] {
        let document = gateway.get(&format!("/oauth/client/{issuer}.json")).await.json();
        assert_eq!(document["client_id"], json!(format!("{PUBLIC}/oauth/client/{issuer}.json")));
        assert_eq!(document["redirect_uris"], json!([format!("{PUBLIC}/oauth/callback/{issuer}")]));
    }
    let params = json!({"name": "x__portcullis_connect_account", "arguments": {}});
    let asked = Modern::new().request(&gateway, CALL, params).await;
    let sent = Browser::default().open(&gateway, &url_of(&asked)).await;
    let back = agreed(&sent, &account.authority.issuer, "ada");
    assert!(back.starts_with(&format!("{PUBLIC}/oauth/callback/{one}?")), "{back}");
}
