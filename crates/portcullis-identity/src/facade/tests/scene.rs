//! A facade, an identity provider that can deviate in every way, browsers, and clients.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use portcullis_model::{Expected, Keeping, Put, Record, Records, Unavailable};
use portcullis_store::Memory;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::ended::Ended;
use crate::facade::settings::ConfiguredClient;
use crate::facade::wire::{Params, form};
use crate::facade::{
    DocumentSettings, Facade, FacadeAnswer, FacadeRequest, FacadeSettings, IdpSettings, Outsides, Profile,
    SealKey, now,
};
use crate::fetch::{Fetch, FetchError, Fetched, Fetching, Wanted};
use crate::fixture::{Signer, encode};
use crate::inbound::sha256;
use crate::proof::ClientProof;
use crate::watch::Watch;

pub(super) const BASE: &str = "https://gw.example.com";
pub(super) const ISSUER: &str = "https://gw.example.com/as";
pub(super) const IDP: &str = "https://idp.example.com";
pub(super) const WEB: &str = "https://app.example/cb";
pub(super) const VERIFIER: &str = "verifier-verifier-verifier-verifier-verifier-42";
/// The client that the operator registered.
pub(super) const CLIENT: &str = "editor";
pub(super) const SECRET: &str = "a secret of the editor";

/// How the provider of a test behaves. The defaults are those of a decent one.
pub(super) struct Idp {
    pub(super) issuer: String,
    pub(super) signer: Signer,
    /// Members of the metadata, over the usual ones.
    pub(super) metadata: Value,
    /// Claims of the next ID tokens, over the usual ones; `null` takes one away.
    pub(super) claims: Value,
    pub(super) header: Value,
    /// What the userinfo endpoint says.
    pub(super) userinfo: Option<Value>,
    /// Signs the next ID tokens instead.
    pub(super) forge: Option<fn(&Value, &Value) -> String>,
    /// The nonce of each code that it gave.
    codes: HashMap<String, String>,
    /// How long an answer to a form is under way.
    pub(super) delay: Duration,
    /// The forms that were posted.
    pub(super) posted: Vec<(String, String, String)>,
    /// Documents of clients, by URL.
    pub(super) documents: BTreeMap<String, Result<String, FetchError>>,
    /// Everything that was asked for.
    pub(super) asked: Vec<String>,
}

impl Idp {
    fn answer(&mut self, wanted: &Wanted) -> Result<String, FetchError> {
        self.asked.push(wanted.url.clone());
        if let Some(document) = self.documents.get(&wanted.url) {
            return document.clone().and_then(|text| {
                if text.len() > wanted.most { Err(FetchError::TooLarge) } else { Ok(text) }
            });
        }
        let metadata = self.metadata();
        let is = |name: &str| metadata[name].as_str() == Some(wanted.url.as_str());
        if wanted.url == format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/')) {
            return Ok(metadata.to_string());
        }
        if is("jwks_uri") {
            return Ok(json!({"keys": [self.signer.jwk("k1")]}).to_string());
        }
        if let Some(form) = &wanted.form {
            self.posted.push((wanted.url.clone(), form.body.clone(), form.authorization.clone()));
            if is("token_endpoint") {
                return self.redeem(&form.body.clone());
            }
            if is("userinfo_endpoint") {
                return self.userinfo.clone().map(|it| it.to_string()).ok_or(FetchError::Status(404));
            }
        }
        Err(FetchError::Status(404))
    }

    pub(super) fn metadata(&self) -> Value {
        let mut metadata = json!({
            "issuer": self.issuer, "authorization_endpoint": format!("{IDP}/auth"),
            "token_endpoint": format!("{IDP}/token"), "jwks_uri": format!("{IDP}/jwks"),
            "authorization_response_iss_parameter_supported": true,
        });
        over(&mut metadata, &self.metadata);
        metadata
    }

    /// What comes for the refresh token `rt~WHO`.
    fn renew(&self, refresh: &str) -> String {
        let claims = json!({
            "iss": self.issuer, "aud": "gateway", "sub": refresh.trim_start_matches("rt~"), "iat": now(),
            "exp": now() + 300,
        });
        let token = self.signer.sign(&json!({"alg": "ES256", "kid": "k1", "typ": "JWT"}), &claims);
        json!({"id_token": token, "access_token": "opaque", "token_type": "Bearer"}).to_string()
    }

    fn redeem(&mut self, body: &str) -> Result<String, FetchError> {
        let params = Params::read(body.as_bytes()).unwrap();
        if let Some(refresh) = params.get("refresh_token").unwrap() {
            return Ok(self.renew(refresh));
        }
        let code = params.get("code").unwrap().unwrap().to_owned();
        let nonce = self.codes.remove(&code).ok_or(FetchError::Status(400))?;
        assert!(params.get("code_verifier").unwrap().is_some_and(|it| it.len() >= 43));
        let mut claims = json!({
            "iss": self.issuer, "aud": "gateway", "sub": code.trim_start_matches("of-"), "nonce": nonce,
            "iat": now(), "exp": now() + 300, "groups": ["staff"], "email": "ada@example.com",
        });
        over(&mut claims, &self.claims);
        let mut header = json!({"alg": "ES256", "kid": "k1", "typ": "JWT"});
        over(&mut header, &self.header);
        let token = match self.forge {
            Some(forge) => forge(&header, &claims),
            None => self.signer.sign(&header, &claims),
        };
        Ok(json!({"id_token": token, "access_token": "opaque", "token_type": "Bearer"}).to_string())
    }
}

/// Puts members over others; `null` takes one away.
pub(super) fn over(value: &mut Value, changes: &Value) {
    for (name, change) in changes.as_object().into_iter().flatten() {
        value[name] = change.clone();
    }
    value.as_object_mut().unwrap().retain(|_, value| !value.is_null());
}

pub(super) struct Outside(pub(super) Mutex<Idp>);

impl Fetch for Outside {
    fn fetch(&self, wanted: Wanted) -> Fetching {
        let (answer, delay) = {
            let mut idp = self.0.lock().unwrap();
            (idp.answer(&wanted), wanted.form.as_ref().map(|_| idp.delay))
        };
        Box::pin(async move {
            if let Some(delay) = delay.filter(|delay| !delay.is_zero()) {
                tokio::time::sleep(delay).await;
            }
            answer.map(|body| Fetched { body: body.into_bytes(), ..Fetched::default() })
        })
    }
}

/// A store that takes nothing of one kind while it is told so.
#[derive(Default)]
pub(super) struct Store {
    memory: Memory,
    full: Mutex<Option<&'static str>>,
}

impl Records for Store {
    fn get<'a>(&'a self, kind: &'static str, key: &'a str) -> Keeping<'a, Option<Record>> {
        // As with a store that is elsewhere: others go on while one has read and not yet written.
        Box::pin(async move {
            let found = self.memory.get(kind, key).await;
            tokio::task::yield_now().await;
            found
        })
    }

    fn put<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        value: Vec<u8>,
        expires: Option<SystemTime>,
        expected: Expected,
    ) -> Keeping<'a, Put> {
        if *self.full.lock().unwrap() == Some(kind) {
            return Box::pin(std::future::ready(Err(Unavailable("full".into()))));
        }
        self.memory.put(kind, key, value, expires, expected)
    }

    fn take<'a>(&'a self, kind: &'static str, key: &'a str) -> Keeping<'a, Option<Record>> {
        self.memory.take(kind, key)
    }

    fn list<'a>(
        &'a self,
        kind: &'static str,
        prefix: &'a str,
        after: &'a str,
        most: usize,
    ) -> Keeping<'a, Vec<(String, Record)>> {
        self.memory.list(kind, prefix, after, most)
    }

    fn sweep(&self) -> Keeping<'_, usize> {
        self.memory.sweep()
    }
}

/// Whose logins are said to have ended, and why.
#[derive(Default)]
pub(super) struct Told(Mutex<Vec<(Option<String>, &'static str)>>);

impl Watch for Told {
    fn keys(&self, _: &str, _: bool) {}
    fn introspection(&self, _: &str, _: &'static str) {}
    fn ended(&self, issuer: &str, subject: Option<&str>, why: &'static str) {
        assert_eq!(issuer, ISSUER);
        self.0.lock().unwrap().push((subject.map(str::to_owned), why));
    }
}

pub(super) fn settings() -> FacadeSettings {
    let secret = Some(sha256(SECRET.as_bytes()));
    let client = |id: &str, uris: &[&str], secret| ConfiguredClient {
        id: id.into(),
        name: "The Editor".into(),
        redirect_uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
        secret,
        jwks: None,
        machine: None,
    };
    let machine = ConfiguredClient { machine: Some(vec!["ci".into()]), ..client("robot", &[], secret) };
    FacadeSettings {
        issuer: ISSUER.into(),
        base: BASE.into(),
        key: Some(SealKey("a key for tests that is long enough".into())),
        idp: IdpSettings {
            issuer: IDP.into(),
            client_id: "gateway".into(),
            proof: ClientProof::Secret("of the gateway".into()),
            profile: Profile::Generic,
            scopes: Vec::new(),
            groups_claim: None,
            tenants: None,
        },
        scopes: vec!["mcp".into(), "mcp:write".into()],
        step_up: vec!["mcp:admin".into()],
        clients: vec![client(CLIENT, &[WEB], None), client("server", &[WEB], secret), machine],
        documents: DocumentSettings { enabled: true, ..DocumentSettings::default() },
        registration: true,
        id_jag: vec![IDP.into()],
        dpop_required: false,
        dpop_nonce: false,
        access_ttl: Duration::from_mins(10),
        authorities: [None, None],
        keeps_id_tokens: false,
        session_ttl: Duration::from_hours(12),
    }
}

/// Everything that a login needs.
pub(super) struct Scene {
    pub(super) facade: Arc<Facade>,
    pub(super) idp: Arc<Outside>,
    pub(super) ended: Arc<Ended>,
    records: Arc<Store>,
    told: Arc<Told>,
}

impl Scene {
    pub(super) fn new() -> Self {
        Self::with(settings(), |_| {})
    }

    pub(super) fn with(settings: FacadeSettings, change: impl FnOnce(&mut Idp)) -> Self {
        let mut idp = Idp {
            issuer: settings.idp.issuer.clone(),
            signer: Signer::p256(),
            metadata: json!({}),
            claims: json!({}),
            header: json!({}),
            userinfo: None,
            forge: None,
            codes: HashMap::new(),
            delay: Duration::ZERO,
            posted: Vec::new(),
            documents: BTreeMap::new(),
            asked: Vec::new(),
        };
        change(&mut idp);
        let idp = Arc::new(Outside(Mutex::new(idp)));
        Self::over(settings, idp, Arc::default())
    }

    fn over(settings: FacadeSettings, idp: Arc<Outside>, records: Arc<Store>) -> Self {
        let ended = Arc::new(Ended::new(Arc::default()));
        let told = Arc::<Told>::default();
        let outsides = Outsides { idp: idp.clone(), documents: idp.clone(), watch: told.clone() };
        let runtime = Handle::current();
        let facade = Facade::new(settings, records.clone(), &outsides, &runtime, ended.clone(), None);
        Self { facade: Arc::new(facade), idp, ended, records, told }
    }

    /// The store takes nothing more of a kind, or all again.
    pub(super) fn refuse(&self, kind: Option<&'static str>) {
        *self.records.full.lock().unwrap() = kind;
    }

    /// The ends of logins that were told since the last time.
    pub(super) fn told(&self) -> Vec<(Option<String>, &'static str)> {
        std::mem::take(&mut *self.told.0.lock().unwrap())
    }

    /// Another process with the same settings and the same store.
    pub(super) fn replica(&self) -> Self {
        self.replica_with(self.facade.settings().clone())
    }

    pub(super) fn replica_with(&self, settings: FacadeSettings) -> Self {
        Self::over(settings, self.idp.clone(), self.records.clone())
    }

    pub(super) fn idp<T>(&self, act: impl FnOnce(&mut Idp) -> T) -> T {
        act(&mut self.idp.0.lock().unwrap())
    }

    pub(super) async fn answer(&self, request: FacadeRequest<'_>) -> FacadeAnswer {
        self.facade.answer(&request).await.expect("there is something at this path")
    }

    /// A form posted by a program.
    pub(super) async fn post(&self, path: &str, params: &[(&str, &str)]) -> FacadeAnswer {
        self.post_as(path, params, None).await
    }

    pub(super) async fn post_as(
        &self,
        path: &str,
        params: &[(&str, &str)],
        authorization: Option<&str>,
    ) -> FacadeAnswer {
        self.post_with(path, params, FacadeRequest { authorization, ..FacadeRequest::default() }).await
    }

    /// A form, and what else is in the request.
    pub(super) async fn post_with(
        &self,
        path: &str,
        params: &[(&str, &str)],
        request: FacadeRequest<'_>,
    ) -> FacadeAnswer {
        let body = form(params);
        let content_type = Some("application/x-www-form-urlencoded");
        self.answer(FacadeRequest { method: "POST", path, content_type, body: body.as_bytes(), ..request })
            .await
    }

    pub(super) async fn register(&self, metadata: &Value) -> FacadeAnswer {
        let body = metadata.to_string();
        let request = FacadeRequest {
            method: "POST",
            path: "/register",
            body: body.as_bytes(),
            ..FacadeRequest::default()
        };
        self.answer(request).await
    }

    /// A whole login; the code that the client gets.
    pub(super) async fn login(
        &self,
        browser: &mut Browser,
        client: &str,
        redirect: &str,
        who: &str,
    ) -> String {
        let back = browser.login(self, &wish(client, redirect), who).await;
        assert_eq!(back.refused, None, "{back:?}");
        let params = params_of(&location(&back));
        assert_eq!(params.get("iss").unwrap(), Some(ISSUER));
        assert_eq!(params.get("state").unwrap(), Some("the client's"));
        params.get("code").unwrap().expect("a code").to_owned()
    }

    /// What a code gives.
    pub(super) async fn redeem(&self, client: &str, code: &str, verifier: &str) -> FacadeAnswer {
        let params = [
            ("grant_type", "authorization_code"),
            ("client_id", client),
            ("code", code),
            ("code_verifier", verifier),
        ];
        self.post("/token", &params).await
    }

    /// A login up to its tokens.
    pub(super) async fn tokens(&self, client: &str, redirect: &str, who: &str) -> Value {
        let code = self.login(&mut Browser::default(), client, redirect, who).await;
        let answer = self.redeem(client, &code, VERIFIER).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_str(&answer.body).unwrap()
    }

    pub(super) async fn refresh(&self, client: &str, token: &str) -> FacadeAnswer {
        let params = [("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)];
        self.post("/token", &params).await
    }
}

/// What a client asks for.
pub(super) fn wish(client: &str, redirect: &str) -> Vec<(String, String)> {
    [
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", redirect),
        ("state", "the client's"),
        ("code_challenge", &encode(sha256(VERIFIER.as_bytes()))),
        ("code_challenge_method", "S256"),
        ("resource", &format!("{BASE}/mcp")),
        ("scope", "mcp"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// The same with another value; an empty one takes a parameter away.
pub(super) fn with(mut wish: Vec<(String, String)>, name: &str, value: &str) -> Vec<(String, String)> {
    wish.retain(|(known, _)| known != name);
    if !value.is_empty() {
        wish.push((name.to_owned(), value.to_owned()));
    }
    wish
}

pub(super) fn location(answer: &FacadeAnswer) -> String {
    field(answer, "location").unwrap_or_else(|| panic!("no redirect: {answer:?}"))
}

pub(super) fn field(answer: &FacadeAnswer, name: &str) -> Option<String> {
    answer.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
}

pub(super) fn params_of(url: &str) -> Params {
    Params::read(url.split_once('?').expect("a query").1.as_bytes()).unwrap()
}

/// A browser: it has cookies, and follows forms and redirects as it is told.
#[derive(Default)]
pub(super) struct Browser {
    pub(super) cookies: BTreeMap<String, String>,
    pub(super) peer: Option<IpAddr>,
}

impl Browser {
    pub(super) fn at(peer: &str) -> Self {
        Self { peer: Some(peer.parse().unwrap()), ..Self::default() }
    }

    fn field(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn keep(&mut self, answer: &FacadeAnswer) {
        for (_, cookie) in answer.fields.iter().filter(|(name, _)| *name == "set-cookie") {
            assert!(cookie.starts_with("__Host-") && cookie.contains("; Secure"), "{cookie}");
            assert!(
                cookie.contains("; HttpOnly")
                    && cookie.contains("; SameSite=Lax")
                    && cookie.contains("; Path=/;")
            );
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    pub(super) async fn get(&mut self, scene: &Scene, path: &str, query: &str) -> FacadeAnswer {
        let cookie = self.field();
        let request = FacadeRequest {
            method: "GET",
            path,
            query: Some(query),
            cookie: Some(&cookie),
            peer: self.peer,
            ..FacadeRequest::default()
        };
        let answer = scene.answer(request).await;
        self.keep(&answer);
        answer
    }

    /// Goes where a client sends it.
    pub(super) async fn authorize(&mut self, scene: &Scene, wish: &[(String, String)]) -> FacadeAnswer {
        let params: Vec<_> = wish.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.get(scene, "/authorize", &form(&params)).await
    }

    /// Sends a form.
    pub(super) async fn submit(&mut self, scene: &Scene, request: &str, answer: &str) -> FacadeAnswer {
        let (cookie, body) = (self.field(), form(&[("request", request), ("answer", answer)]));
        let request = FacadeRequest {
            method: "POST",
            path: "/consent",
            cookie: Some(&cookie),
            content_type: Some("application/x-www-form-urlencoded"),
            body: body.as_bytes(),
            peer: self.peer,
            ..FacadeRequest::default()
        };
        let answer = scene.answer(request).await;
        self.keep(&answer);
        answer
    }

    /// Comes back from the provider, where somebody logged in.
    pub(super) async fn back(&mut self, scene: &Scene, to_provider: &str, who: &str) -> FacadeAnswer {
        let params = params_of(to_provider);
        let get = |name: &str| params.get(name).unwrap().unwrap().to_owned();
        assert_eq!(get("redirect_uri"), format!("{ISSUER}/callback"));
        assert_eq!(get("code_challenge_method"), "S256");
        let code = format!("of-{who}");
        let issuer = scene.idp(|idp| {
            idp.codes.insert(code.clone(), get("nonce"));
            idp.metadata()["authorization_response_iss_parameter_supported"]
                .as_bool()
                .map(|_| idp.issuer.clone())
        });
        let state = get("state");
        let mut back = vec![("code", code.as_str()), ("state", state.as_str())];
        back.extend(issuer.as_deref().map(|issuer| ("iss", issuer)));
        self.get(scene, "/callback", &form(&back)).await
    }

    /// A whole login with its consent; what sends the browser back to the client.
    pub(super) async fn login(
        &mut self,
        scene: &Scene,
        wish: &[(String, String)],
        who: &str,
    ) -> FacadeAnswer {
        let page = self.authorize(scene, wish).await;
        let to_provider = if page.status == 303 {
            page
        } else {
            assert_eq!((page.status, page.refused), (200, None), "{page:?}");
            self.submit(scene, &sealed(&page), "allow").await
        };
        assert_eq!(to_provider.refused, None, "{to_provider:?}");
        self.back(scene, &location(&to_provider), who).await
    }
}

/// What the form of a consent page brings back.
pub(super) fn sealed(page: &FacadeAnswer) -> String {
    let (_, rest) = page.body.split_once("name=\"request\" value=\"").expect("a form");
    rest.split_once('"').unwrap().0.to_owned()
}

/// The claims of a token, whoever signed it.
pub(super) fn claims(token: &str) -> Value {
    let compact = crate::jose::Compact::parse(token).ok().unwrap();
    Value::Object(compact.claims)
}
