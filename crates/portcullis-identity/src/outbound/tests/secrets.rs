//! Secrets that are kept in Vault, against one that answers as its HTTP API is documented.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::grants::grant;
use super::world::*;
use crate::outbound::{
    Client, ClientAuth, Hidden, Kind, Needed, Office, SecretRef, Secrets, SigningKey, Source, VaultAuth,
    VaultSettings,
};

const VAULT: &str = "https://vault.example.com:8200";

/// A Vault with one secret, `secret/crm` of version 2 and `old/crm` of version 1, for whoever has its token.
struct Vault {
    world: Arc<World>,
    state: Arc<Mutex<State>>,
    logins: Arc<AtomicUsize>,
}

struct State {
    /// The tokens that count.
    tokens: Vec<String>,
    value: Value,
    /// Of what is given from now on, in seconds.
    lease: u64,
    lasts: u64,
    renewable: bool,
    /// What everything is answered with instead.
    broken: Option<u16>,
}

impl Vault {
    fn start() -> Self {
        let state = State {
            tokens: vec!["root".into()],
            value: json!("s3cret"),
            lease: 0,
            lasts: 3600,
            renewable: true,
            broken: None,
        };
        let vault = Self { world: World::new(), state: Arc::new(Mutex::new(state)), logins: Arc::default() };
        vault.serve("secret/data/crm", |state, _| {
            let metadata = json!({"version": 3, "destroyed": false, "deletion_time": ""});
            let data = json!({"data": {"token": state.value}, "metadata": metadata});
            (200, json!({"lease_id": "", "lease_duration": 0, "renewable": false, "data": data}))
        });
        vault.serve("old/crm", |state, _| {
            (200, json!({"lease_duration": state.lease, "renewable": false, "data": {"token": state.value}}))
        });
        vault.serve("auth/token/lookup-self", |state, _| {
            (200, json!({"data": {"ttl": state.lasts, "renewable": state.renewable}}))
        });
        vault.serve("auth/token/renew-self", |state, asked| {
            let token = asked.authorization.strip_prefix("Bearer ").unwrap();
            (200, auth(token, state))
        });
        for (path, expected) in [
            ("auth/approle/login", json!({"role_id": "r", "secret_id": "id"})),
            ("auth/kubernetes/login", json!({"role": "gw", "jwt": "e30.e30.x"})),
        ] {
            let (state, logins) = (vault.state.clone(), vault.logins.clone());
            vault.world.on(&format!("{VAULT}/v1/{path}"), move |asked| {
                let mut state = state.lock().unwrap();
                if let Some(status) = state.broken {
                    return (status, json!({"errors": ["sealed"]}));
                }
                if serde_json::from_str::<Value>(&asked.body).unwrap() != expected {
                    return (400, json!({"errors": ["invalid role or secret ID"]}));
                }
                let token = format!("login-{}", logins.fetch_add(1, Ordering::Relaxed));
                state.tokens.push(token.clone());
                (200, auth(&token, &state))
            });
        }
        vault
    }

    fn serve(&self, path: &str, answer: impl Fn(&State, &Asked) -> (u16, Value) + Send + 'static) {
        let state = self.state.clone();
        self.world.on(&format!("{VAULT}/v1/{path}"), move |asked| {
            let state = state.lock().unwrap();
            if let Some(status) = state.broken {
                return (status, json!({"errors": ["Vault is sealed"]}));
            }
            let token = asked.authorization.strip_prefix("Bearer ").unwrap_or_default();
            if state.tokens.iter().any(|known| known == token) {
                answer(&state, asked)
            } else {
                (403, json!({"errors": ["permission denied"]}))
            }
        });
    }

    fn with(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    fn read(&self, path: &str) -> usize {
        self.world.asked(&format!("{VAULT}/v1/{path}")).len()
    }

    /// What keeps its secrets there, as this somebody.
    fn office(&self, auth: VaultAuth) -> Arc<Office> {
        let office = office(&Arc::default());
        let settings = VaultSettings {
            url: VAULT.into(),
            namespace: None,
            ca: None,
            auth,
            max_age: Duration::from_mins(5),
        };
        office.set_secrets(Some(Secrets::new(settings, self.world.clone(), &Handle::current())));
        office
    }

    /// A server that wants the secret as it is.
    fn server(&self, office: &Arc<Office>, at: SecretRef) -> Arc<Source> {
        let kind = Kind::Static { header: "authorization".into(), start: "Bearer ", value: Hidden::kept(at) };
        source(office, &self.world, credentials(kind), None)
    }
}

fn auth(token: &str, state: &State) -> Value {
    json!({"auth": {"client_token": token, "lease_duration": state.lasts, "renewable": state.renewable}})
}

fn root() -> VaultAuth {
    VaultAuth::Token(Hidden::new("root"))
}

fn approle() -> VaultAuth {
    VaultAuth::AppRole { mount: "approle".into(), role_id: "r".into(), secret_id: Hidden::new("id\n") }
}

fn versioned() -> SecretRef {
    SecretRef { path: "secret/data/crm".into(), versioned: true, field: "token".into() }
}

fn plain() -> SecretRef {
    SecretRef { path: "old/crm".into(), versioned: false, field: "token".into() }
}

async fn shown(source: &Arc<Source>) -> Result<String, Needed> {
    let credential = source.credential().await?.expect("a credential");
    let shown = credential.headers("POST", SERVER).credential.1.into_owned();
    Ok(shown)
}

#[tokio::test]
async fn a_secret_is_read_from_either_version_as_whom_the_operator_says() {
    let folder = std::env::temp_dir().join(format!("portcullis-vault-{}", std::process::id()));
    std::fs::write(&folder, "e30.e30.x\n").unwrap();
    let kubernetes = VaultAuth::Jwt { mount: "kubernetes".into(), role: "gw".into(), file: folder.clone() };
    for auth in [root(), approle(), kubernetes] {
        for at in [versioned(), plain()] {
            let vault = Vault::start();
            let office = vault.office(auth.clone());
            let server = vault.server(&office, at.clone());
            for _ in 0..3 {
                assert_eq!(shown(&server).await.unwrap(), "Bearer s3cret", "{auth:?} {at:?}");
            }
            assert_eq!(vault.read(&at.path), 1, "read once");
        }
    }
    std::fs::remove_file(folder).unwrap();
}

#[tokio::test]
async fn whoever_has_a_namespace_is_asked_in_it() {
    let vault = Vault::start();
    vault.serve("team/a/secret/data/crm", |_, _| (200, json!({"data": {"data": {"token": "theirs"}}})));
    let office = office(&Arc::default());
    let settings = VaultSettings {
        url: VAULT.into(),
        namespace: Some("team/a".into()),
        ca: None,
        auth: root(),
        max_age: Duration::from_mins(5),
    };
    office.set_secrets(Some(Secrets::new(settings, vault.world.clone(), &Handle::current())));
    vault.world.on(&format!("{VAULT}/v1/team/a/auth/token/lookup-self"), |_| (403, Value::Null));
    assert_eq!(shown(&vault.server(&office, versioned())).await.unwrap(), "Bearer theirs");
}

#[tokio::test]
async fn many_who_need_a_secret_ask_once() {
    let vault = Vault::start();
    let office = vault.office(approle());
    let all: Vec<_> = (0..20)
        .map(|_| {
            let server = vault.server(&office, versioned());
            tokio::spawn(async move { shown(&server).await })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap().unwrap(), "Bearer s3cret");
    }
    assert_eq!((vault.read("secret/data/crm"), vault.logins.load(Ordering::Relaxed)), (1, 1));
}

/// What is read of Vault when it is asked for: the age of credentials is another clock's.
async fn reads(office: &Office, at: &SecretRef) -> Result<String, Needed> {
    Ok(office.reveal(&Hidden::kept(at.clone())).await?.text)
}

#[tokio::test(start_paused = true)]
async fn what_was_read_counts_for_its_lease_and_not_after() {
    for (lease, lasts) in [(60, 60), (0, 300), (40_000_000, 300)] {
        let vault = Vault::start();
        vault.with(|state| state.lease = lease);
        let office = vault.office(approle());
        assert_eq!(reads(&office, &plain()).await.unwrap(), "s3cret");
        vault.with(|state| state.value = json!("newer"));
        tokio::time::advance(Duration::from_secs(lasts / 2)).await;
        assert_eq!(reads(&office, &plain()).await.unwrap(), "s3cret", "{lease}");
        tokio::time::advance(Duration::from_secs(lasts * 2 / 5)).await;
        assert_eq!(reads(&office, &plain()).await.unwrap(), "newer", "{lease}: read again before its end");
        // Vault is sealed: what there is counts until its end.
        vault.with(|state| state.broken = Some(503));
        tokio::time::advance(Duration::from_secs(lasts * 9 / 10)).await;
        assert_eq!(reads(&office, &plain()).await.unwrap(), "newer", "{lease}");
        tokio::time::advance(Duration::from_secs(lasts / 10 + 1)).await;
        let over = reads(&office, &plain()).await;
        assert!(matches!(over, Err(Needed::Unavailable(_))), "{lease}: {over:?}");
        vault.with(|state| state.broken = None);
        assert_eq!(reads(&office, &plain()).await.unwrap(), "newer", "{lease}: and is read again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_in_its_time_and_got_anew_when_it_cannot_be() {
    let vault = Vault::start();
    vault.with(|state| state.lasts = 60);
    let office = vault.office(approle());
    reads(&office, &versioned()).await.unwrap();
    // Nobody needs a secret for an hour, and the token is there all the same.
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
    assert!(vault.read("auth/token/renew-self") >= 60);
    reads(&office, &versioned()).await.unwrap();
    assert_eq!(vault.logins.load(Ordering::Relaxed), 1);
    // It is revoked.
    vault.with(|state| state.tokens.clear());
    office.doubt(&Hidden::kept(versioned()));
    assert_eq!(reads(&office, &versioned()).await.unwrap(), "s3cret");
    assert_eq!(vault.logins.load(Ordering::Relaxed), 2);
    // Whoever has nothing but a token has no other.
    let other = Vault::start();
    let office = other.office(root());
    reads(&office, &versioned()).await.unwrap();
    other.with(|state| state.tokens.clear());
    office.doubt(&Hidden::kept(versioned()));
    assert!(matches!(reads(&office, &versioned()).await, Err(Needed::Denied(_))));
}

#[tokio::test]
async fn what_is_not_there_is_nothing_and_says_no_secret() {
    let vault = Vault::start();
    vault.serve("secret/data/deleted", |_, _| {
        (404, json!({"data": {"data": null, "metadata": {"deletion_time": "2026-01-01T00:00:00Z"}}}))
    });
    vault.serve("secret/data/odd", |_, _| (200, json!({"data": {"data": {"token": 7}}})));
    vault.serve("secret/data/empty", |_, _| (200, json!({"data": {"data": {"token": "", "blank": " \n"}}})));
    vault.serve("secret/data/lines", |_, _| (200, json!({"data": {"data": {"token": "a\r\nx: y"}}})));
    vault.serve("secret/data/list", |_, _| (200, json!([])));
    let at = |path: &str, field: &str| SecretRef {
        path: format!("secret/data/{path}"),
        versioned: true,
        field: field.into(),
    };
    for (path, field) in [
        ("nothing", "token"),
        ("deleted", "token"),
        ("crm", "other"),
        ("odd", "token"),
        ("empty", "token"),
        ("empty", "blank"),
        ("lines", "token"),
        ("list", "x"),
    ] {
        let server = vault.server(&vault.office(approle()), at(path, field));
        let needed = shown(&server).await;
        assert!(matches!(&needed, Err(Needed::Denied(_))), "{path}: {needed:?}");
        assert!(!format!("{needed:?}").contains("s3cret"));
    }
    let wrong =
        VaultAuth::AppRole { mount: "approle".into(), role_id: "r".into(), secret_id: Hidden::new("canary") };
    let needed = shown(&vault.server(&vault.office(wrong), versioned())).await;
    assert!(matches!(&needed, Err(Needed::Denied(_))), "{needed:?}");
    assert!(!format!("{needed:?}").contains("canary"));
}

#[tokio::test]
async fn a_clients_secret_and_key_are_shown_as_they_are_now() {
    let vault = Vault::start();
    let office = vault.office(approle());
    let basic = |secret: &str| format!("Basic {}", STANDARD.encode(format!("gw:{secret}")));
    let (old, new) = (basic("s3cret"), basic("newer"));
    let expected = Arc::new(Mutex::new(old.clone()));
    let takes = expected.clone();
    vault.world.on(TOKEN, move |asked| {
        if asked.authorization != *takes.lock().unwrap() {
            return (401, json!({"error": "invalid_client"}));
        }
        let mut answer = bearer("t");
        answer["expires_in"] = 0.into();
        (200, answer)
    });
    let secret = grant(ClientAuth::Basic(Hidden::kept(versioned())));
    let server = source(&office, &vault.world, credentials(Kind::ClientCredentials(secret)), None);
    assert_eq!(shown(&server).await.unwrap(), "Bearer t");
    // It was changed at both ends, before its lease is over.
    vault.with(|state| state.value = json!("newer"));
    expected.lock().unwrap().clone_from(&new);
    assert_eq!(shown(&server).await.unwrap(), "Bearer t");
    let brought: Vec<_> = vault.world.asked(TOKEN).into_iter().map(|asked| asked.authorization).collect();
    assert_eq!(brought, [old.clone(), old, new]);
    // A key.
    let key = SigningKey::generate();
    let der = STANDARD.encode(key.to_pkcs8().unwrap());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
    vault.serve("secret/data/key", move |_, _| (200, json!({"data": {"data": {"pem": pem}}})));
    let at = SecretRef { path: "secret/data/key".into(), versioned: true, field: "pem".into() };
    let client = Client { id: "gw".into(), auth: ClientAuth::KeptKey(Hidden::kept(at)) };
    let shown = office.client(&client).await.unwrap();
    assert_eq!(shown.auth, ClientAuth::PrivateKey(Arc::new(key)));
}

#[tokio::test]
async fn a_secret_that_the_server_refuses_is_read_anew_once() {
    let vault = Vault::start();
    let office = vault.office(approle());
    let server = vault.server(&office, versioned());
    let refusal = crate::outbound::Refusal { status: 401, challenge: Some("Bearer"), nonce: None, again: 0 };
    let used = server.credential().await.unwrap();
    server.state().obtained = Some(tokio::time::Instant::now() - Duration::from_mins(1));
    vault.with(|state| state.value = json!("newer"));
    assert_eq!(server.challenged(used.as_ref(), refusal).await, Ok(()));
    assert_eq!(shown(&server).await.unwrap(), "Bearer newer");
    let used = server.credential().await.unwrap();
    let again = crate::outbound::Refusal { again: 1, ..refusal };
    assert!(matches!(server.challenged(used.as_ref(), again).await, Err(Needed::Denied(_))));
    assert_eq!(vault.read("secret/data/crm"), 2);
}
