//! Tokens that are bound to a key (RFC 9449 section 5): whoever asks for one shows that they have it.
//!
//! An access token is bound to the key whose proof came with the request for it, and a refresh token of a public client to the
//! same one. A client with credentials may change its key, for it proves itself anyway (section 5); it may not go back to
//! tokens without one. What was used is kept in the records, so a proof is good once whichever replica it comes to, and
//! nonces are of the operator's key, so that each replica knows those of the others.

use portcullis_model::Expected;

use super::client::{Client, Proof};
use super::kept::digest;
use super::refusal::Refusal;
use super::wire::{FacadeAnswer, FacadeRequest};
use super::{Facade, now};
use crate::claims::LEEWAY;
use crate::dpop::{self, Possession, WINDOW};
use crate::refused::Refused;

/// Proofs that were used, for as long as they would be good.
const PROOFS: &str = "facade-proof";

const fn refuse(reason: &'static str) -> Refusal {
    Refusal::new(400, "invalid_dpop_proof", reason)
}

impl Facade {
    /// The key that a client shows at the token endpoint, if it shows one.
    pub(super) fn possession(
        &self,
        request: &FacadeRequest<'_>,
        client: &Client,
    ) -> Result<Option<Possession>, Refusal> {
        if request.proof.is_none() {
            if self.settings.dpop_required || client.bound {
                return Err(refuse("tokens are bound to a key here: send a proof in the header `DPoP`"));
            }
            return Ok(None);
        }
        let nonces = self.settings.dpop_nonce.then_some(&self.nonces);
        let read = dpop::read(request.proof, request.method, &self.at("/token"), nonces, now());
        read.map(Some).map_err(|refused| match refused {
            Refused::Nonce => {
                Refusal::new(400, "use_dpop_nonce", "put the value of DPoP-Nonce into the proof")
            }
            refused => {
                tracing::info!(reason = %refused, "refused a proof at the token endpoint");
                refuse("the DPoP proof is not accepted for this request")
            }
        })
    }

    /// Sees that a proof is used once. After everything else that may be wrong, for it is kept.
    pub(super) async fn use_proof(&self, possession: Option<&Possession>) -> Result<(), Refusal> {
        let Some(possession) = possession else { return Ok(()) };
        let (key, ends) = (digest(&possession.name()), now() + WINDOW + 2 * LEEWAY);
        if self.kept.put(PROOFS, &key, &true, ends, Expected::Absent).await? {
            return Ok(());
        }
        Err(refuse("a proof that was used before"))
    }

    /// With the nonce that the next proof must hold, where proofs need one.
    pub(super) fn with_nonce(&self, mut answer: FacadeAnswer) -> FacadeAnswer {
        if self.settings.dpop_nonce {
            answer.fields.push(("dpop-nonce", self.nonces.give(now())));
        }
        answer
    }
}

/// What the tokens of a code are bound to. `wanted` is the key that the client named when the login began (section 10).
pub(super) fn of_code(
    wanted: Option<&str>,
    possession: Option<&Possession>,
) -> Result<Option<String>, Refusal> {
    match (wanted, possession) {
        (Some(_), None) => Err(refuse("the login is bound to a key: send a proof in the header `DPoP`")),
        (Some(wanted), Some(shown)) if wanted != shown.thumbprint => {
            Err(Refusal::grant("the login is bound to another key"))
        }
        (_, shown) => Ok(shown.map(|it| it.thumbprint.clone())),
    }
}

/// What the tokens of a refresh are bound to, that of `before` having been bound to this.
pub(super) fn of_refresh(
    before: Option<&str>,
    client: &Client,
    possession: Option<&Possession>,
) -> Result<Option<String>, Refusal> {
    match (before, possession) {
        (Some(_), None) => {
            Err(refuse("the refresh token is bound to a key: send a proof in the header `DPoP`"))
        }
        (Some(before), Some(shown)) if client.proof == Proof::None && before != shown.thumbprint => {
            Err(Refusal::grant("the refresh token is bound to another key"))
        }
        (_, shown) => Ok(shown.map(|it| it.thumbprint.clone())),
    }
}
