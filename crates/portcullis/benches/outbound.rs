//! What the credential of a server costs a call that finds it there: `cargo bench -p portcullis --bench outbound`.
//!
//! Everything up to the headers of the request, for a token that was got before and for the gateway's own word, which is signed
//! anew for each call. Getting a token asks somebody else, which is not measured here.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use divan::{Bencher, black_box};
use portcullis_identity::outbound::{
    Assertion, Client, ClientAuth, Grant, Hidden, Kind, Office, Place, ServerCredentials, Source,
};
use portcullis_identity::{Fetch, Fetched, Fetching, Wanted};
use portcullis_model::{Principal, User};
use portcullis_store::Memory;
use tokio::runtime::Runtime;

const URL: &str = "https://crm.example.com/mcp";
const TOKEN: &str = "https://idp.example.com/token";

fn main() {
    divan::main();
}

/// Gives a token to whoever asks.
struct Gives;

impl Fetch for Gives {
    fn fetch(&self, _: Wanted) -> Fetching {
        let token = "t".repeat(800);
        let body = format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":86400}}"#);
        Box::pin(async move { Ok(Fetched { body: body.into_bytes(), status: 200, ..Fetched::default() }) })
    }
}

/// The source of a server's credentials, which has one.
fn source(runtime: &Runtime, kind: Kind) -> Arc<Source> {
    let office = Office::new(Arc::new(Memory::default()), Some([7; 32]), runtime.handle().clone());
    office.set_base("https://gw.example.com".into());
    let settings = ServerCredentials {
        server: "crm".into(),
        url: URL.into(),
        nowhere: false,
        kind,
        dpop: false,
        private_network: false,
    };
    let fetch: Arc<dyn Fetch> = Arc::new(Gives);
    let ada = User { issuer: "https://idp.example.com".into(), subject: "ada".into(), ..User::default() };
    let source = Source::new(&office, &Arc::new(settings), &fetch, Some(Principal::user(ada)));
    assert!(runtime.block_on(source.credential()).is_ok_and(|it| it.is_some()));
    source
}

fn token() -> Kind {
    Kind::ClientCredentials(Grant {
        place: Place { issuer: None, token_url: Some(TOKEN.into()) },
        client: Client { id: "portcullis".into(), auth: ClientAuth::Basic(Hidden::new("secret")) },
        scopes: vec!["crm".into()],
        resource: None,
        audience: None,
    })
}

/// What a call sends, where it has to wait for nobody.
fn shown(source: &Arc<Source>) -> usize {
    let mut credential = pin!(source.credential());
    let Poll::Ready(Ok(Some(credential))) = credential.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    else {
        panic!("there is a credential")
    };
    credential.headers("POST", URL).credential.1.len()
}

/// A token that is there.
#[divan::bench]
fn credential_cached(bencher: Bencher<'_, '_>) {
    let runtime = Runtime::new().expect("a runtime");
    let source = source(&runtime, token());
    bencher.bench(|| shown(black_box(&source)));
}

/// The gateway's own word, for a minute.
#[divan::bench]
fn assertion_cached(bencher: Bencher<'_, '_>) {
    let runtime = Runtime::new().expect("a runtime");
    let assertion = Assertion { audience: None, lifetime: Duration::from_mins(1), key: None, header: None };
    let source = source(&runtime, Kind::Assertion(assertion));
    bencher.bench(|| shown(black_box(&source)));
}
