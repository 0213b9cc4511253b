//! Being a witness of others' evidence logs on the wire (C2SP tlog-witness): `POST /witness/add-checkpoint`.
//!
//! What may be signed is `portcullis-audit`'s to say. Here is what it needs to be true of a witness that runs: what was signed
//! last of each log is in the store before the answer leaves, and of two requests at the same time one wins, on whichever of
//! the gateways that share a store. Who asks shows nothing but the log's own signature, as the specification has it; and
//! nothing else that is under a checkpoint is kept.
//!
//! That a log signs two histories of one length is on record here before anything is kept or answered of it; both checkpoints
//! are in the store then: those prove it to anybody.

use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use portcullis_audit::witness::{Refusal, Request, Witness, is_fork};
use portcullis_audit::{Checkpoint, Kind};
use portcullis_model::{Expected, Put, Unavailable};

use super::body::Body;
use super::context::Context;
use crate::gateway::Gateway;

/// Where checkpoints are posted.
pub(super) const PATH: &str = "/witness/add-checkpoint";
/// Largest body that is read, in bytes.
pub(super) const LARGEST: usize = 64 * 1024;
/// What was signed last, by origin.
const SIGNED: &str = "witnessed";
/// Two histories, by origin and size.
const FORKS: &str = "fork";
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const SIZE: HeaderValue = HeaderValue::from_static("text/x.tlog.size");
/// How often it is tried when others sign for the same log at the same time.
const TRIES: usize = 5;

/// Answers a request; `None` when this is no witness.
pub(super) async fn add_checkpoint(context: &Context, body: Bytes) -> Option<Response<Body>> {
    let gateway = &context.gateway;
    let witness = gateway.witness.as_ref()?;
    let request = std::str::from_utf8(&body).map_err(|_| Refusal::Malformed("it is no text"));
    let request = request.and_then(Request::parse);
    let answer = match request.and_then(|request| Ok((witness.check(&request)?, request))) {
        Ok((note, request)) => sign(gateway, witness, &request, &note).await,
        Err(refusal) => Ok(Err(refusal)),
    };
    Some(match answer {
        Ok(Ok(lines)) => written(StatusCode::OK, TEXT, lines),
        Ok(Err(Refusal::Conflict(size))) => written(StatusCode::CONFLICT, SIZE, format!("{size}\n")),
        Ok(Err(refusal)) => {
            let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
            written(status, TEXT, format!("{refusal}\n"))
        }
        Err(error) => {
            tracing::error!(%error, "a checkpoint of another log cannot be witnessed");
            let text = "what was signed before cannot be looked up now; try again later\n".to_owned();
            written(StatusCode::SERVICE_UNAVAILABLE, TEXT, text)
        }
    })
}

/// Signs what continues what was signed, after it is kept that it was, as this note. What was signed before is signed again.
async fn sign(
    gateway: &Gateway,
    witness: &Witness,
    request: &Request,
    note: &str,
) -> Result<Result<String, Refusal>, Unavailable> {
    let origin = &request.checkpoint.origin;
    let now = || UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    for _ in 0..TRIES {
        let kept = gateway.records.get(SIGNED, origin).await?;
        let expected = kept.as_ref().map_or(Expected::Absent, |kept| Expected::Version(kept.version));
        let last = match kept {
            Some(kept) => Some(read(&kept.value)?),
            None => None,
        };
        let lines = match witness.cosign(request, last.as_ref().map(|(last, _)| last), now()) {
            Ok(lines) => lines,
            Err(refusal) => {
                if let Some((last, before)) = last.filter(|(last, _)| is_fork(request, Some(last))) {
                    forked(gateway, (&last, &before), (&request.checkpoint, note)).await?;
                }
                return Ok(Err(refusal));
            }
        };
        if last.is_some_and(|(last, _)| last == request.checkpoint) {
            return Ok(Ok(lines));
        }
        let kept = gateway.records.put(SIGNED, origin, note.as_bytes().to_vec(), None, expected).await?;
        if let Put::Kept(_) = kept {
            return Ok(Ok(lines));
        }
    }
    Err(Unavailable("too many sign for one log at the same time".to_owned()))
}

fn read(note: &[u8]) -> Result<(Checkpoint, String), Unavailable> {
    let note = String::from_utf8_lossy(note).into_owned();
    // Nothing is signed before somebody has looked at it: it may have been any size.
    let checkpoint = Checkpoint::parse_unverified(&note)
        .map_err(|error| Unavailable(format!("what was signed last cannot be read: {error}")))?;
    Ok((checkpoint, note))
}

/// Puts on record that there are two histories, and keeps both, once.
async fn forked(
    gateway: &Gateway,
    (last, before): (&Checkpoint, &str),
    (other, note): (&Checkpoint, &str),
) -> Result<(), Unavailable> {
    let (size, origin) = (last.size, &last.origin);
    let name = format!("{origin} {size}");
    if gateway.records.get(FORKS, &name).await?.is_some() {
        return Ok(());
    }
    let (root, other) = (BASE64.encode(last.root), BASE64.encode(other.root));
    tracing::error!(
        log = origin,
        size,
        root,
        other,
        "a log that is witnessed here has signed two histories; both checkpoints are kept in the store"
    );
    if let Some(evidence) = &gateway.evidence {
        let detail = [
            ("what", "a log that is witnessed here has signed two histories".to_owned()),
            ("log", origin.clone()),
            ("events", size.to_string()),
            ("root", root),
            ("other_root", other),
        ];
        let recorded = evidence.changed(Kind::Incident, &detail).await;
        recorded.map_err(|refusal| {
            Unavailable(format!("two histories are not on record: {}", refusal.message))
        })?;
    }
    // Whoever saw it at the same time keeps the same.
    gateway
        .records
        .put(FORKS, &name, format!("{before}\n{note}").into_bytes(), None, Expected::Absent)
        .await?;
    Ok(())
}

fn written(status: StatusCode, media: HeaderValue, text: String) -> Response<Body> {
    let mut answer = Response::new(Body::whole(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, media);
    answer
}
