//! What must not get through, one row for each attack that the gateway is held to: each is refused, and is on record when its
//! answer has left.
//!
//! Here every row is played once, over the wire, against one gateway; what else each attack can look like is in the tests that
//! the rows name.

mod outside;

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::outside::{Inside, Outside};
use super::facade::{self, FORM, REDIRECT, encoded, param};
use super::{bearer, open_session, ping};
use crate::evidence;
use crate::harness::fake::{text, tool};
use crate::harness::gateway::JSON;
use crate::harness::http::Response;
use crate::harness::idp::{PUBLIC, Signer, encode, now};
use crate::harness::pki::Authority;
use crate::harness::secure::Front;
use crate::harness::{Fake, Modern, Upstream};

/// Each attack, and the tests in which its other forms are.
const SUITE: &[(&str, &str)] = &[
    ("wrong audience", "every_bad_token_gets_the_same_answer_and_reaches_no_server"),
    ("wrong issuer", "every_bad_token_gets_the_same_answer_and_reaches_no_server"),
    ("`alg: none`", "every_bad_token_gets_the_same_answer_and_reaches_no_server"),
    ("HS/RS confusion", "a_public_key_is_no_hmac_secret_and_a_key_in_the_header_no_key"),
    ("expired", "every_bad_token_gets_the_same_answer_and_reaches_no_server"),
    ("not yet valid", "every_bad_token_gets_the_same_answer_and_reaches_no_server"),
    ("unknown `kid` storm", "a_storm_of_unknown_keys_is_one_question_to_the_issuer"),
    ("replayed DPoP", "a_bound_token_needs_a_proof_for_each_request"),
    ("replayed ID-JAG", "an_id_jag_is_taken_once_from_whom_the_operator_trusts_for_its_client_and_us"),
    ("token in the query", "credentials_in_the_wrong_place_or_twice_are_refused"),
    ("stolen session id", "a_session_of_one_user_does_not_exist_for_another"),
    ("another user's `requestState`", "a_request_state_is_worth_nothing_to_anybody_else"),
    ("another user's cursor", "a_cursor_is_worth_nothing_to_anybody_else"),
    ("another user's task id", "a_task_is_unknown_to_anybody_else"),
    ("mix-up `iss`", "a_login_comes_back_once_to_the_browser_that_began_it_and_from_whom_it_was_sent_to"),
    ("open redirect", "nobody_is_sent_where_the_client_is_not"),
    ("a private address: IPv4", "nothing_of_ours_is_global_in_whatever_form"),
    ("a private address: IPv6", "nothing_of_ours_is_global_in_whatever_form"),
    ("a private address: 6to4", "nothing_of_ours_is_global_in_whatever_form"),
    ("a private address: NAT64", "nothing_of_ours_is_global_in_whatever_form"),
    ("a private address: mapped", "nothing_of_ours_is_global_in_whatever_form"),
    ("a private address: a name", "what_was_looked_at_is_what_is_connected_to"),
    ("CIMD bomb: without an end", "many_ids_are_few_questions_to_the_outside"),
    ("CIMD bomb: deep", "a_document_without_an_end_is_given_up_and_a_good_one_of_an_internal_host_is_taken"),
    (
        "sent inside by a redirect: a client's document",
        "a_document_without_an_end_is_given_up_and_a_good_one_of_an_internal_host_is_taken",
    ),
    ("sent inside by a redirect: an issuer's metadata", "each_attack_is_refused_and_on_record"),
    ("sent inside by a redirect: a server", "statuses_of_a_server_stay_on_its_side"),
    ("sent inside by a redirect: a server's document", "nobody_is_posted_to_but_the_server_itself"),
    (
        "sent inside by a server's document",
        "no_document_sends_the_gateway_inside_unless_the_operator_lets_it",
    ),
    (
        "sent inside by an authorization server's metadata",
        "no_document_sends_the_gateway_inside_unless_the_operator_lets_it",
    ),
    (
        "mix-up `iss`: a server's account",
        "an_answer_of_another_issuer_connects_nobody_and_shows_nothing_of_what_came",
    ),
    ("header smuggling", "the_header_names_the_task"),
    ("a denied tool by guessing its name", "a_name_of_what_is_denied_is_a_name_of_nothing"),
];

const TASKS: &str = "io.modelcontextprotocol/tasks";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// A gateway that takes tokens of a provider and gives its own, before a server with something of everything; nothing is answered
/// before it is on record.
struct Suite {
    scene: facade::Scene,
    server: Upstream,
    /// Where documents of clients are, on a host that the operator trusts.
    documents: String,
    /// Where nobody is to be sent, and those who try.
    inside: Inside,
    outside: Outside,
    shown: Vec<&'static str>,
    /// Rows that are not on record, with what is.
    unseen: Vec<String>,
    _host: (Upstream, Front),
    _folder: TempDir,
}

async fn server() -> Upstream {
    let mut tools: Vec<_> = (0..1200).map(|number| tool(&format!("t{number:04}"))).collect();
    tools.extend(["ask", "slow", "hidden"].map(tool));
    let mut fake = Fake::modern().tools(tools);
    fake.capabilities["extensions"] = json!({TASKS: {}});
    fake.on("tools/call", |seen, answer| async move {
        let question = json!({"method": "elicitation/create", "params": {
            "message": "who?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}},
        }});
        let result = match seen.rpc["params"]["name"].as_str() {
            Some("ask") => {
                json!({"resultType": "input_required", "requestState": "kept", "inputRequests": {"q": question}})
            }
            Some("slow") => json!({
                "resultType": "task", "taskId": "own", "status": "working", "ttlMs": 60_000,
                "createdAt": "2026-11-28T10:00:00Z", "lastUpdatedAt": "2026-11-28T10:00:00Z",
            }),
            _ => text("done"),
        };
        answer.result(result).await;
    })
    .start()
    .await
}

impl Suite {
    async fn new() -> Self {
        let (ca, folder, server) = (Authority::new(), tempfile::tempdir().unwrap(), server().await);
        let inside = Inside::new().await;
        let host = facade::documents_moved_to(&inside.origin).await;
        let front = Front::before(&host, ca.issue("localhost").server()).await;
        let documents = front.url("localhost").trim_end_matches("/mcp").to_owned();
        let policy = folder.path().join("all.cedar");
        let rules = "permit (principal, action, resource);\nforbid (principal, action, resource == Tool::\"x/hidden\");";
        std::fs::write(&policy, rules).unwrap();
        let mut more = json!({"servers": {}, "identity": {"issuers": []}});
        let outside = Outside::start(&inside, &mut more).await;
        let scene = facade::Scene::with(|config| {
            let liars = more["servers"].as_object().unwrap().clone();
            config["servers"].as_object_mut().unwrap().extend(liars);
            config["audit"] = json!({"mode": "strict", "node": "gw"});
            config["policy"] = json!({"files": [policy]});
            config["servers"]["x"] = server.config();
            let identity = &mut config["identity"];
            let issuer = identity["facade"]["idp"]["issuer"].clone();
            identity["issuers"] =
                json!([{"issuer": issuer, "groups_prefix": "idp:"}, more["identity"]["issuers"][0]]);
            identity["facade"]["id_jag"] = json!([issuer]);
            identity["facade"]["clients"]["service"] =
                json!({"redirect_uris": [REDIRECT], "secret": {"env": "A_SECRET"}});
            identity["facade"]["documents"] =
                json!({"internal": [documents], "ca": ca.write(folder.path(), "ca.pem")});
        })
        .await;
        Self {
            scene,
            server,
            documents,
            inside,
            outside,
            shown: Vec::new(),
            unseen: Vec::new(),
            _host: (host, front),
            _folder: folder,
        }
    }

    /// An attack that was refused, and what is on record of it by now.
    fn row(&mut self, row: &'static str, before: usize, is: impl Fn(&Value) -> bool) {
        let events = evidence::events(&self.scene.gateway).split_off(before);
        if events.iter().any(is) {
            self.shown.push(row);
        } else {
            self.unseen.push(format!("{row}: {}", json!(events)));
        }
    }

    fn events(&self) -> usize {
        evidence::events(&self.scene.gateway).len()
    }

    async fn call(&self, headers: &[(&str, &str)]) -> Response {
        let params = json!({"name": "x__t0001", "arguments": {}});
        Modern::new().request_with(&self.scene.gateway, "tools/call", params, headers).await
    }

    /// A request of a client that can be asked and knows tasks.
    async fn ask(&self, who: &str, method: &str, params: Value) -> Value {
        let authorization = bearer(&self.scene.idp.token(who));
        let declared = json!({"elicitation": {"form": {}}, "extensions": {TASKS: {}}});
        let client = Modern::new().with_meta(CAPABILITIES, declared);
        let headers = [("authorization", authorization.as_str())];
        client.request_with(&self.scene.gateway, method, params, &headers).await.json()
    }

    /// A token that is refused for this reason.
    async fn token(&mut self, row: &'static str, token: &str, reason: &str) {
        let before = self.events();
        assert_eq!(self.call(&[("authorization", &bearer(token))]).await.status(), 401, "{row}");
        self.row(row, before, |event| event["kind"] == "denial" && event["detail"]["credential"] == reason);
    }

    /// A request of one user with what is another's, and what that is told: what it would be told of something made up.
    async fn foreign(&mut self, row: &'static str, method: &str, params: Value, told: &str) {
        let before = self.events();
        let answer = self.ask("eve", method, params).await;
        let error = &answer["error"];
        assert_eq!((&error["code"], &error["message"]), (&json!(-32602), &json!(told)), "{row}: {answer}");
        self.row(row, before, |event| {
            event["kind"] == "denial"
                && event["request"]["method"] == method
                && event["decision"]["reasons"] == json!(["invalid_params"])
        });
    }

    /// A login that begins with something that must not be, and ends with a page.
    async fn login(&mut self, row: &'static str, params: &[(&str, &str)], reason: &str) {
        let before = self.events();
        let answer = self.scene.gateway.get(&format!("/as/authorize?{}", encoded(params))).await;
        assert_eq!((answer.status(), answer.header("location")), (400, None), "{row}: {answer:?}");
        self.row(row, before, |event| is_step(event, "/authorize", reason));
    }
}

fn is_step(event: &Value, step: &str, reason: &str) -> bool {
    event["kind"] == "login" && event["detail"]["step"] == step && event["detail"]["reason"] == reason
}

#[tokio::test]
async fn each_attack_is_refused_and_on_record() {
    let mut suite = Suite::new().await;
    suite.tokens().await;
    suite.replays().await;
    suite.handles().await;
    suite.logins().await;
    suite.outside().await;
    suite.names().await;
    assert_eq!(suite.unseen, Vec::<String>::new());
    let rows: Vec<_> = SUITE.iter().map(|(row, _)| *row).collect();
    assert_eq!(suite.shown, rows);
    let others = suite.server.seen().iter().filter(|seen| seen.rpc["params"]["name"] == "hidden").count();
    assert_eq!(others, 0);
}

impl Suite {
    async fn tokens(&mut self) {
        let changed = |suite: &Self, change: Value| suite.scene.idp.token_with("eve", &change);
        let audience = changed(self, json!({"aud": "https://elsewhere/mcp"}));
        self.token("wrong audience", &audience, "made for another audience").await;
        let issuer = changed(self, json!({"iss": "https://evil.example"}));
        self.token("wrong issuer", &issuer, "an issuer that is not configured").await;
        let not_allowed = "an algorithm that is not allowed";
        let claims = json!({
            "iss": self.scene.idp.issuer, "aud": format!("{PUBLIC}/mcp"), "sub": "eve", "exp": now() + 300,
        });
        let parts = |algorithm: &str| {
            let header = json!({"alg": algorithm, "typ": "at+jwt", "kid": "k1"});
            format!("{}.{}", encode(header.to_string()), encode(claims.to_string()))
        };
        self.token("`alg: none`", &format!("{}.", parts("none")), not_allowed).await;
        // A signature by whoever has read the public key, for those who take that for a shared one.
        let public = self.scene.idp.public_key().to_string();
        let signed = parts("HS256");
        let key = hmac::Key::new(hmac::HMAC_SHA256, public.as_bytes());
        let token = format!("{signed}.{}", encode(hmac::sign(&key, signed.as_bytes())));
        self.token("HS/RS confusion", &token, not_allowed).await;
        let expired = changed(self, json!({"exp": now() - 60}));
        self.token("expired", &expired, "expired").await;
        let early = changed(self, json!({"nbf": now() + 600}));
        self.token("not yet valid", &early, "not valid yet").await;
        let (before, asked) = (self.events(), self.scene.idp.asked("/jwks"));
        for number in 0..20 {
            let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": format!("made-up-{number}")});
            let token = self.scene.idp.sign(&header, &claims);
            assert_eq!(self.call(&[("authorization", &bearer(&token))]).await.status(), 401, "{number}");
        }
        assert!(self.scene.idp.asked("/jwks") <= asked + 1, "a storm is one question at the most");
        let reason = "no key of the issuer fits";
        assert_eq!(self.refused_since(before, reason), 20, "each is on record");
        self.row("unknown `kid` storm", before, |event| event["detail"]["credential"] == reason);
    }

    async fn replays(&mut self) {
        let key = Signer::new();
        let token = self.scene.idp.token_with("ada", &json!({"cnf": {"jkt": key.thumbprint()}}));
        let (dpop, proof) =
            (format!("DPoP {token}"), key.proof(&token, &format!("{PUBLIC}/mcp"), &json!({})));
        let headers = [("authorization", dpop.as_str()), ("dpop", proof.as_str())];
        assert_eq!(self.call(&headers).await.status(), 200);
        let before = self.events();
        assert_eq!(self.call(&headers).await.status(), 401);
        self.row("replayed DPoP", before, |event| event["detail"]["credential"] == "DPoP proof: used before");
        let assertion = self.scene.idp.sign(
            &json!({"alg": "ES256", "typ": "oauth-id-jag+jwt", "kid": "k1"}),
            &json!({
                "iss": self.scene.idp.issuer, "sub": "ada", "aud": format!("{PUBLIC}/as"), "client_id": "service",
                "resource": format!("{PUBLIC}/mcp"), "iat": now(), "exp": now() + 120, "jti": "one", "scope": "mcp",
            }),
        );
        let secret = "that+every+gateway+of+these+tests+has+in+its+environment";
        let basic = format!("Basic {}", STANDARD.encode(format!("service:{secret}")));
        let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        let body = encoded(&[("grant_type", grant), ("assertion", &assertion)]);
        let headers = [FORM, ("authorization", basic.as_str())];
        for (status, reason) in [(200, None), (400, Some("an assertion that was used before"))] {
            let before = self.events();
            let answer = self.scene.gateway.send("POST", "/as/token", &headers, body.as_bytes()).await;
            assert_eq!(answer.status(), status, "{answer:?}");
            if let Some(reason) = reason {
                self.row("replayed ID-JAG", before, |event| is_step(event, "/token", reason));
            }
        }
        let (before, path) = (self.events(), format!("/mcp?access_token={}", self.scene.idp.token("ada")));
        assert_eq!(self.scene.gateway.send("POST", &path, &JSON, b"{}").await.status(), 400);
        self.row("token in the query", before, |event| {
            event["kind"] == "denial" && event["detail"]["credential"].is_string()
        });
    }

    async fn handles(&mut self) {
        let (gateway, idp) = (&self.scene.gateway, &self.scene.idp);
        let session = open_session(gateway, &idp.token("ada")).await;
        let before = self.events();
        assert_eq!(ping(gateway, &session, Some(&idp.token("eve"))).await.status(), 404);
        self.row("stolen session id", before, |event| {
            event["kind"] == "denial" && event["decision"]["reasons"] == json!(["unknown_session"])
        });
        let asked = self.ask("ada", "tools/call", json!({"name": "x__ask", "arguments": {}})).await;
        let answers = json!({"q": {"action": "accept", "content": {"name": "Mallory"}}});
        let params = json!({
            "name": "x__ask", "arguments": {}, "requestState": asked["result"]["requestState"], "inputResponses": answers,
        });
        self.foreign("another user's `requestState`", "tools/call", params, "the `requestState` was not given to this caller by this gateway, or is damaged; make the call again without it").await;
        let first = self.ask("ada", "tools/list", json!({})).await;
        let params = json!({"cursor": first["result"]["nextCursor"]});
        self.foreign(
            "another user's cursor",
            "tools/list",
            params,
            "the cursor is not one of this gateway's; ask for the list from its beginning",
        )
        .await;
        let task = self.ask("ada", "tools/call", json!({"name": "x__slow", "arguments": {}})).await;
        let params = json!({"taskId": task["result"]["taskId"]});
        assert!(params["taskId"].is_string(), "{task}");
        self.foreign(
            "another user's task id",
            "tasks/get",
            params,
            "there is no such task; it may have expired",
        )
        .await;
    }

    async fn logins(&mut self) {
        let (cookies, to) = self.scene.away("editor", REDIRECT).await;
        let before = self.events();
        let (state, evil) = (param(&to, "state"), "https%3A%2F%2Fevil.example");
        let back = self.scene.get(&format!("/as/callback?state={state}&code=x&iss={evil}"), &cookies).await;
        assert_eq!((back.status(), back.header("location")), (400, None), "{back:?}");
        self.row("mix-up `iss`", before, |event| {
            is_step(event, "/callback", "the answer is of another identity provider")
        });
        let elsewhere = [("client_id", "editor"), ("redirect_uri", "https://evil.example/cb")];
        self.login("open redirect", &elsewhere, "the redirect URI is none of this client's").await;
        let nowhere = "the client id leads where no document may be";
        for (row, host) in [
            ("a private address: IPv4", "169.254.169.254"),
            ("a private address: IPv6", "[fd00:ec2::254]"),
            ("a private address: 6to4", "[2002:7f00:1::]"),
            ("a private address: NAT64", "[64:ff9b::7f00:1]"),
            ("a private address: mapped", "[::ffff:127.0.0.1]"),
            ("a private address: a name", "localhost"),
        ] {
            let id = format!("https://{host}/client.json");
            self.login(row, &[("client_id", &id), ("redirect_uri", REDIRECT)], nowhere).await;
        }
        for (row, path, reason) in [
            ("CIMD bomb: without an end", "huge", "the metadata document of the client is too large"),
            ("CIMD bomb: deep", "deep", "the metadata document of the client is no JSON that can be read"),
        ] {
            let id = format!("{}/{path}", self.documents);
            self.login(row, &[("client_id", &id), ("redirect_uri", REDIRECT)], reason).await;
        }
    }

    async fn names(&mut self) {
        let client = Modern::new();
        let body = client.body("tools/call", json!({"name": "x__hidden", "arguments": {}}));
        let authorization = bearer(&self.scene.idp.token("eve"));
        let mut headers: BTreeMap<_, _> = Modern::headers(&body).into_iter().collect();
        headers.insert("mcp-name".to_owned(), "x__t0001".to_owned());
        headers.insert("authorization".to_owned(), authorization.clone());
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let before = self.events();
        let answer = self.scene.gateway.send("POST", "/mcp", &headers, body.to_string().as_bytes()).await;
        assert_eq!((answer.status(), answer.error_code()), (400, -32020), "{answer:?}");
        self.row("header smuggling", before, |event| {
            event["kind"] == "denial" && event["decision"]["reasons"] == json!(["header_mismatch"])
        });
        let before = self.events();
        let answer = self.ask("eve", "tools/call", json!({"name": "x__hidden", "arguments": {}})).await;
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
        self.row("a denied tool by guessing its name", before, |event| {
            event["kind"] == "denial" && event["decision"]["verdict"] == "deny"
        });
    }
}

/// The rows would lead nowhere if a test were renamed.
#[test]
fn the_tests_that_the_rows_name_are_there() {
    let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let (mut folders, mut all) = (vec![crates.to_owned()], String::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|end| end == "rs") {
                all += &std::fs::read_to_string(entry).unwrap();
            }
        }
    }
    for (row, test) in SUITE {
        assert!(all.contains(&format!("fn {test}()")), "{row}: {test}");
    }
}
