//! Checkpoints that an authority stamps with the time: OpenSSL's, behind a small server.

use std::path::Path;
use std::process::{Command, Output};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use portcullis_audit::timestamp::{self, Authorities};
use portcullis_audit::{Checkpoint, Segments};
use portcullis_model::Journal as _;
use rustix::process::Signal;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::harness::{Fake, Gateway, Modern, signal, within};

const CONFIG: &str = "
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
[stamper]
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[tsa]
default_tsa = one
[one]
serial = serial
crypto_device = builtin
signer_cert = tsa.pem
signer_key = tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
ess_cert_id_chain = no
ess_cert_id_alg = sha256
accuracy = secs:1, millisecs:500, microsecs:100
clock_precision_digits = 3
ordering = yes
tsa_name = yes
";

fn openssl(folder: &Path, words: &str) {
    let output = Command::new("openssl").current_dir(folder).args(words.split(' ')).output().unwrap();
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority with keys of this kind.
struct Authority(TempDir);

impl Authority {
    fn new(key: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path();
        std::fs::write(place.join("c"), CONFIG).unwrap();
        std::fs::write(place.join("serial"), "01\n").unwrap();
        openssl(
            place,
            &format!(
                "req -x509 -config c -extensions ca -newkey {key} -nodes -keyout ca.key -out ca.pem -subj /CN=Time -days 9"
            ),
        );
        openssl(
            place,
            &format!("req -new -config c -newkey {key} -nodes -keyout tsa.key -out tsa.csr -subj /CN=Stamps"),
        );
        let of = "x509 -req -in tsa.csr -CA ca.pem -CAkey ca.key -days 9 -extfile c";
        openssl(place, &format!("{of} -extensions stamper -set_serial 7 -out tsa.pem"));
        Self(folder)
    }

    /// Answers questions with OpenSSL, until the test ends.
    async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/stamp", listener.local_addr().unwrap());
        let folder = self.0.path().to_owned();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let folder = folder.clone();
                let answer = service_fn(move |request: Request<Incoming>| {
                    let folder = folder.clone();
                    async move {
                        assert_eq!(request.headers()["content-type"], "application/timestamp-query");
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        std::fs::write(folder.join("query"), &body).unwrap();
                        openssl(&folder, "ts -reply -config c -queryfile query -out reply");
                        let reply = std::fs::read(folder.join("reply")).unwrap();
                        Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(reply))))
                    }
                });
                let served =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                let _ = served.await;
            }
        });
        url
    }
}

fn verify(path: &Path, authority: &Authority) -> (Output, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(["audit", "verify", "--json", "--tsa-ca"]).arg(authority.0.path().join("ca.pem"));
    let output = command.arg(path).output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output, report)
}

fn kinds(report: &Value) -> Vec<&str> {
    report["problems"].as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect()
}

/// A log that was stamped, and closed.
async fn stamped(authority: &Authority) -> TempDir {
    let (upstream, url) = (Fake::modern().start().await, authority.serve().await);
    let config = json!({
        "servers": {"x": upstream.config()},
        "audit": {"node": "gw", "checkpoint_interval": "50ms", "timestamps": {"url": url, "every": "50ms"}},
    });
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start_in(folder, &config, &[]);
    for _ in 0..2 {
        Modern::new().call(&gateway, "x__echo", json!({})).await;
    }
    let stamps = gateway.folder().join("audit/timestamp");
    let last = |count: usize| stamps.join(format!("{count:020}"));
    within("a stamp over the calls", async {
        while !(3..40).any(|count| last(count).exists()) {
            assert!(gateway.process().try_wait().unwrap().is_none(), "it runs");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(
        gateway.get("/metrics").await.text().contains("portcullis_audit_anchored{anchor=\"timestamps\"}")
    );
    signal(gateway.pid(), Signal::TERM);
    assert!(gateway.process().wait().unwrap().success());
    let copy = tempfile::tempdir().unwrap();
    std::fs::rename(gateway.folder().join("audit"), copy.path().join("audit")).unwrap();
    copy
}

/// Each byte of a token changed: what says something all the same says the same. (Not all of a token is signed, and nothing
/// that is not says anything.)
fn no_altered_one_says_another_time(audit: &Path, stamp: &Path, authority: &Authority) {
    let name = stamp.file_name().unwrap().to_str().unwrap();
    let note = Segments::read_only(audit).unwrap().get("checkpoint", name).unwrap().unwrap();
    let checkpoint = Checkpoint::parse_unverified(&String::from_utf8(note).unwrap()).unwrap();
    let pem = CertificateDer::from_pem_file(authority.0.path().join("ca.pem")).unwrap();
    let authorities = Authorities::new(&[pem]).unwrap();
    let token = std::fs::read(stamp).unwrap();
    let time = timestamp::verify(&checkpoint, &token, Some(&authorities)).unwrap();
    let mut refused = 0;
    for place in 0..token.len() {
        let mut bad = token.clone();
        bad[place] ^= 1;
        match timestamp::verify(&checkpoint, &bad, Some(&authorities)) {
            Ok(said) => assert_eq!(said, time, "byte {place}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused * 10 > token.len() * 9, "{refused} of {}", token.len());
    let other = Checkpoint { size: checkpoint.size + 1, ..checkpoint };
    assert!(timestamp::verify(&other, &token, Some(&authorities)).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stamped_log_shows_when_it_was_there_and_to_whom() {
    let [rsa, other] = ["rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-256"].map(Authority::new);
    for (authority, stranger) in [(&rsa, &other), (&other, &rsa)] {
        let folder = stamped(authority).await;
        let audit = folder.path().join("audit");
        let (output, report) = verify(&audit, authority);
        assert!(output.status.success(), "{report}");
        let (size, time) = (report["stamped"][0].as_u64().unwrap(), report["stamped"][1].as_u64().unwrap());
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        assert!(size >= 3 && now - 600 < time && time <= now + 1, "{report}");
        let (output, report) = verify(&audit, stranger);
        assert!(!output.status.success());
        assert_eq!(kinds(&report), ["unstamped"]);

        // One file shows it as well.
        let file = folder.path().join("proof");
        let mut prove = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        prove.args(["audit", "prove", "--tool", "echo", "--out"]).arg(&file).arg(&audit);
        assert!(prove.status().unwrap().success());
        let (output, report) = verify(&file, authority);
        assert!(output.status.success(), "{report}");
        assert_eq!(kinds(&verify(&file, stranger).1), ["unstamped"]);

        // A stamp of another checkpoint is told of, and none that was altered says another time.
        let stamps = audit.join("timestamp");
        let mut names: Vec<_> = std::fs::read_dir(&stamps).unwrap().map(|it| it.unwrap().path()).collect();
        names.sort();
        let newest = names.last().unwrap();
        no_altered_one_says_another_time(&audit, newest, authority);
        std::fs::rename(newest, stamps.join(format!("{:020}", 1))).unwrap();
        assert!(kinds(&verify(&audit, authority).1).contains(&"time-stamp"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_signs_a_stamp_is_no_authority_and_no_authority_is_none() {
    let authority = Authority::new("ec -pkeyopt ec_paramgen_curve:P-256");
    let folder = stamped(&authority).await;
    let place = authority.0.path();
    let audit = folder.path().join("audit");
    let wrong = tempfile::tempdir().unwrap();
    std::fs::copy(place.join("tsa.pem"), wrong.path().join("ca.pem")).unwrap();
    let (output, report) = verify(&audit, &Authority(wrong));
    // The signer's own certificate is no authority.
    assert!(!output.status.success(), "{report}");
    for not in ["", "no certificate"] {
        let empty = tempfile::tempdir().unwrap();
        std::fs::write(empty.path().join("ca.pem"), not).unwrap();
        assert_eq!(verify(&audit, &Authority(empty)).0.status.code(), Some(2));
    }
}
