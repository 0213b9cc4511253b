//! Being a witness of others' evidence logs on the wire (C2SP tlog-witness): `POST /witness/add-checkpoint`.
//!
//! What may be signed is `portcullis-audit`'s to say. Here is what it needs to be true of a witness that runs: what was signed
//! last of each log is in the store before the answer leaves, and of two requests at the same time one wins, on whichever of
//! the gateways that share a store. Who asks shows nothing but the log's own signature, as the specification has it.
//!
//! A log that signs two histories of one length is on record here, with both checkpoints: those prove it to anybody.

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
    let request = request.and_then(Request::parse).and_then(|it| witness.check(&it).map(|()| it));
    let answer = match request {
        Ok(request) => sign(gateway, witness, &request).await,
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

/// Signs what continues what was signed, after it is kept that it was.
async fn sign(
    gateway: &Gateway,
    witness: &Witness,
    request: &Request,
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
                if let Some((last, note)) = last.filter(|(last, _)| is_fork(request, Some(last))) {
                    forked(gateway, request, &last, &note).await?;
                }
                return Ok(Err(refusal));
            }
        };
        let note = request.note.clone().into_bytes();
        if let Put::Kept(_) = gateway.records.put(SIGNED, origin, note, None, expected).await? {
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

/// Keeps both histories and says so, once.
async fn forked(
    gateway: &Gateway,
    request: &Request,
    last: &Checkpoint,
    note: &str,
) -> Result<(), Unavailable> {
    let (size, origin) = (last.size, &last.origin);
    let both = format!("{note}\n{}", request.note).into_bytes();
    let name = format!("{origin} {size}");
    if gateway.records.put(FORKS, &name, both, None, Expected::Absent).await? == Put::Conflict {
        return Ok(());
    }
    let (root, other) = (BASE64.encode(last.root), BASE64.encode(request.checkpoint.root));
    tracing::error!(
        log = origin,
        size,
        root,
        other,
        "a log that is witnessed here has signed two histories; both checkpoints are in the store"
    );
    if let Some(evidence) = &gateway.evidence {
        let detail = [
            ("what", "a log that is witnessed here has signed two histories".to_owned()),
            ("log", origin.clone()),
            ("events", size.to_string()),
            ("root", root),
            ("other_root", other),
        ];
        // Nothing is answered with it that would have to wait.
        let _ = evidence.changed(Kind::Incident, &detail).await;
    }
    Ok(())
}

fn written(status: StatusCode, media: HeaderValue, text: String) -> Response<Body> {
    let mut answer = Response::new(Body::whole(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, media);
    answer
}
