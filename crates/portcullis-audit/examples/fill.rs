//! Writes a log for the verifiers to judge: `fill PLACE EVENTS [REMOVED]`. PLACE is a folder, a file of SQLite that ends with `.db`, or
//! the URL of a database; the first REMOVED events are removed again, in order. Prints the log's key and the key of the witness that
//! signed, then for each checkpoint how it continues the one before: both sizes, both roots and the proof, in base64.
//!
//! Calls of many persons, some denied, every tenth with a payload; a checkpoint now and then, each signed by a witness.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use portcullis_audit::payloads::{Keep, Side};
use portcullis_audit::witness::{Request, Witness, accept};
use portcullis_audit::{Checkpoint, Event, Keyring, Kind, Log, Mode, Segments, Settings, Signer};
use portcullis_model::Journal;
use portcullis_store::{Access, PostgresJournal, SqliteJournal};
use rustls::{ClientConfig, RootCertStore};

fn event(log: &Log, number: u64) -> Event {
    let denied = number % 11 == 3;
    let mut event = Event::new(if denied { Kind::Denial } else { Kind::Exchange });
    event.who.person =
        Some(log.keyring().pseudonym("https://idp.example", &format!("user-{}", number % 997)));
    event.who.client = Some("https://client.example/metadata.json".to_owned());
    event.who.groups = vec!["engineering".to_owned()];
    event.request.method = Some("tools/call".to_owned());
    event.request.protocol = Some("2025-11-25".to_owned());
    event.server.id = Some("files".to_owned());
    event.tool.name = Some(format!("tool-{}", number % 40));
    event.decision.verdict = Some(if denied { "deny" } else { "allow" }.to_owned());
    event.decision.policies = vec!["engineers-may-read".to_owned()];
    event.trace.trace_id = Some(format!("{number:032x}"));
    if number.is_multiple_of(5) {
        log.attach(&mut event, Side::Input, format!("{{\"path\":\"/data/{number}\"}}").as_bytes());
    } else {
        event.input = Some(log.keyring().digest(b"{}"));
    }
    event
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(place), Some(events)) = (arguments.next(), arguments.next()) else {
        return Err("fill PLACE EVENTS [REMOVED]".into());
    };
    let events: u64 = events.parse()?;
    let removed: u64 = arguments.next().map_or(Ok(0), |removed| removed.parse())?;
    let signer = Signer::generate("gw.example/audit/filled")?;
    let key = signer.log_key();
    let witness = Witness::new(Signer::generate("witness.example")?, vec![key.clone()]);
    let settings = Settings {
        mode: Mode::Strict,
        payloads: Keep::Encrypted,
        checkpoint_every: Duration::from_hours(1),
        checkpoint_events: u64::MAX,
        ..Settings::default()
    };
    let journal = journal(&place, signer.name())?;
    let log = Log::open(journal, signer, Keyring::derive(b"only for examples and tests"), settings)?;
    println!("{key}\n{}", witness.key());
    let mut last: Option<Checkpoint> = None;
    for number in 0..events {
        let receipt = log.append(event(&log, number));
        if (number + 1).is_multiple_of((events / 8).max(1)) || number + 1 == events {
            receipt.durable().await?;
            last = Some(sign(&log, &witness, last.as_ref()).await?);
        } else if number % 10_000 == 9999 {
            receipt.durable().await?;
        }
    }
    if removed > 0 {
        log.truncate(removed, Event::new(Kind::Truncation)).await?;
    }
    log.close();
    Ok(())
}

fn journal(place: &str, log: &str) -> Result<Arc<dyn Journal>, Box<dyn std::error::Error>> {
    if place.starts_with("postgres") {
        let tls =
            ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        return Ok(Arc::new(PostgresJournal::open(place, tls, Some(log), Access::Serve)?));
    }
    let path = Path::new(place);
    if path.extension().is_some_and(|extension| extension == "db") {
        return Ok(Arc::new(SqliteJournal::open(path, Access::Serve)?));
    }
    Ok(Arc::new(Segments::open(path)?))
}

async fn sign(
    log: &Log,
    witness: &Witness,
    last: Option<&Checkpoint>,
) -> Result<Checkpoint, Box<dyn std::error::Error>> {
    let checkpoint = log.checkpoint().await?;
    let note = log.checkpoints().borrow().clone().ok_or("there is no checkpoint")?;
    let old = last.map_or(0, |last| last.size);
    let proof = log.prove_consistency(old, checkpoint.size)?;
    if let Some(last) = last {
        let hashes = [last.root, checkpoint.root].into_iter().chain(proof.iter().copied());
        let hashes: Vec<_> = hashes.map(|hash| BASE64.encode(hash)).collect();
        println!("{old} {} {}", checkpoint.size, hashes.join(" "));
    }
    let request = Request { old, proof, note: note.to_string(), checkpoint: checkpoint.clone() };
    let answer = witness.cosign(&request, last, 1_800_000_000)?;
    log.cosigned(checkpoint.size, accept(&note, &answer, &[witness.key()])?);
    Ok(checkpoint)
}
