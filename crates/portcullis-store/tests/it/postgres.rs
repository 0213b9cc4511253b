//! A real PostgreSQL, started for the test.

use std::sync::Arc;
use std::time::Duration;

use portcullis_model::{Expected, Records};
use portcullis_store::{Access, OpenError, Postgres};
use tokio::runtime::Handle;

use crate::server::Server;
use crate::suite;

async fn open(server: &Server, url: &str) -> Result<Postgres, OpenError> {
    Postgres::open(url, server.trusting(), Handle::current(), Access::Serve).await
}

/// One server for all of it: it takes longer to start than to ask.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_does_what_every_store_does_for_two_gateways() {
    let server = Server::start();
    who_only_looks_makes_nothing_ready(&server).await;
    two_that_come_first_make_it_ready_once(&server).await;
    let (one, other) =
        (open(&server, &server.url()).await.unwrap(), open(&server, &server.url()).await.unwrap());
    suite::run(Arc::new(one), Arc::new(other)).await;
    what_was_put_is_there_for_the_next_gateway(&server).await;
    a_lost_connection_is_opened_again(&server).await;
    the_certificate_is_verified_and_tls_demanded(&server).await;
    what_a_newer_version_made_is_left_alone(&server).await;
}

async fn who_only_looks_makes_nothing_ready(server: &Server) {
    for _ in 0..2 {
        let looking = Postgres::open(&server.url(), server.trusting(), Handle::current(), Access::Read).await;
        assert!(matches!(looking.err(), Some(OpenError::NotReady { found: 0, known: 1 })));
    }
}

async fn two_that_come_first_make_it_ready_once(server: &Server) {
    let url = server.url();
    let opened = futures(8, || open(server, &url)).await;
    for store in opened {
        store.unwrap();
    }
}

async fn futures<T, F: Future<Output = T>>(count: usize, make: impl Fn() -> F) -> Vec<T> {
    let mut running: Vec<_> = (0..count).map(|_| Box::pin(make())).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        running.retain_mut(|run| match run.as_mut().poll(context) {
            std::task::Poll::Ready(value) => {
                done.push(value);
                false
            }
            std::task::Poll::Pending => true,
        });
        if running.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

async fn what_was_put_is_there_for_the_next_gateway(server: &Server) {
    let store = open(server, &server.url()).await.unwrap();
    store.put("stays", "key", b"value".to_vec(), None, Expected::Any).await.unwrap();
    drop(store);
    let store = open(server, &server.url()).await.unwrap();
    assert_eq!(store.get("stays", "key").await.unwrap().unwrap().value, b"value");
}

async fn a_lost_connection_is_opened_again(server: &Server) {
    let store = open(server, &server.url()).await.unwrap();
    let (admin, connection) =
        server.url().parse::<tokio_postgres::Config>().unwrap().connect(tokio_postgres::NoTls).await.unwrap();
    let driven = tokio::spawn(connection);
    let ended =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'portcullis'";
    assert!(!admin.query(ended, &[]).await.unwrap().is_empty());
    // The first may still meet the old connection; nothing that changes anything is sent twice.
    let mut found = store.get("stays", "key").await;
    while found.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
        found = store.get("stays", "key").await;
    }
    assert_eq!(found.unwrap().unwrap().value, b"value");
    driven.abort();
}

async fn the_certificate_is_verified_and_tls_demanded(server: &Server) {
    let store = open(server, &server.url_over_tls("localhost")).await.unwrap();
    assert_eq!(store.get("stays", "key").await.unwrap().unwrap().value, b"value");
    let stranger = Postgres::open(
        &server.url_over_tls("localhost"),
        Server::trusting_nobody(),
        Handle::current(),
        Access::Serve,
    )
    .await;
    assert!(matches!(stranger, Err(OpenError::Database(_))), "an unknown authority");
    let misnamed = open(server, &server.url_over_tls("127.0.0.1")).await;
    assert!(matches!(misnamed, Err(OpenError::Database(_))), "a name that is not in the certificate");
    let none = open(server, "postgres://portcullis@127.0.0.1:1/portcullis?sslmode=disable").await;
    assert!(matches!(none, Err(OpenError::Database(_))), "nobody listens there");
    let Err(error) = open(server, "https://user:geheim@example.com").await else {
        panic!("that is no URL of ours")
    };
    assert!(matches!(error, OpenError::Url(_)) && !error.to_string().contains("geheim"), "{error}");
}

async fn what_a_newer_version_made_is_left_alone(server: &Server) {
    let (admin, connection) =
        server.url().parse::<tokio_postgres::Config>().unwrap().connect(tokio_postgres::NoTls).await.unwrap();
    let driven = tokio::spawn(connection);
    admin.execute("INSERT INTO portcullis_schema VALUES (99)", &[]).await.unwrap();
    assert!(matches!(open(server, &server.url()).await, Err(OpenError::Newer { found: 99, .. })));
    driven.abort();
}
