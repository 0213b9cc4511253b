//! What the gateway gives a modern client as `requestState`.
//!
//! It is sealed for the principal, says until when it may be used, and is bound to the request that it was given for:
//! endpoint, method, name or URI, and arguments. Of the arguments it holds a digest that is the same however a client
//! writes them down again.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use portcullis_mcp::json::{Kind, Raw, write_string};
use portcullis_model::ErrorKind;
use portcullis_oversight::{Matter, server_of};

use super::lot::Place;
use crate::call::{Call, Caller, Endpoint, Refusal};
use crate::seal::{Purpose, Sealer, Unsealable};

/// A request, as far as the next one with its state must be the same.
pub(crate) struct Identity(Arc<Call>);

/// Where a request stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its call is parked.
    Parked(Place),
    /// The server keeps it, or the one version of it (`server@version`): its own state, byte for byte.
    Relayed { whose: Arc<str>, inner: Raw },
    /// A legacy server, or the one version of it, has sent the user to a web page (-32042); the call is to be made again.
    Visited { whose: Arc<str> },
    /// The gateway itself has asked whether the call may be made, or its result given, in the question that has this nonce.
    Asked { nonce: u64, matter: Matter },
}

const DIGEST: usize = 32;

impl Identity {
    pub(crate) fn of(call: &Arc<Call>) -> Self {
        Self(call.clone())
    }

    pub(super) fn caller(&self) -> &Arc<Caller> {
        &self.0.caller
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    fn digest(&self) -> [u8; DIGEST] {
        let endpoint = self.0.endpoint.place();
        let member = self.0.method.name_member().unwrap_or_default();
        let find = |key: &str| self.0.params.as_ref().and_then(|params| params.find(key));
        let mut text = Vec::new();
        for part in [&*endpoint, self.0.method.as_str()] {
            write_string(&mut text, part);
        }
        for part in [find(member), find("arguments")] {
            match part {
                Some(part) => canonical(&mut text, &part),
                None => text.push(b'-'),
            }
        }
        let mut context = Context::new(&SHA256);
        context.update(&text);
        context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    /// Seals where this request stands.
    pub(super) fn seal(&self, sealer: &Sealer, lifetime: Duration, state: &State) -> String {
        let mut content = self.digest().to_vec();
        let server = |content: &mut Vec<u8>, kind: u8, server: &str| {
            // What finds no place is known by its server.
            let named = if server.len() > usize::from(u8::MAX) { server_of(server) } else { server };
            content.extend_from_slice(&[kind, u8::try_from(named.len()).unwrap_or(u8::MAX)]);
            content.extend_from_slice(named.as_bytes());
        };
        match state {
            State::Parked(place) => {
                content.push(b'p');
                content.extend_from_slice(&place.round.to_be_bytes());
                content.extend_from_slice(&place.id);
            }
            State::Relayed { whose, inner } => {
                server(&mut content, b'r', whose);
                content.extend_from_slice(inner.as_bytes());
            }
            State::Visited { whose } => server(&mut content, b'v', whose),
            State::Asked { nonce, matter } => {
                content.push(match matter {
                    Matter::Call => b'a',
                    Matter::Result => b'h',
                });
                content.extend_from_slice(&nonce.to_be_bytes());
            }
        }
        sealer.seal_for(lifetime, Purpose::RequestState, &self.0.caller.principal, &content)
    }

    /// Opens what this request brings back.
    ///
    /// # Errors
    /// It is not one of this gateway's for this caller, its time is over, or it belongs to another request.
    pub(super) fn open(&self, sealer: &Sealer, state: &Raw) -> Result<State, Refusal> {
        let text = state.string().ok_or_else(|| refuse("must be a string"))?;
        let content = sealer.open_in_time(Purpose::RequestState, &self.0.caller.principal, &text);
        let content = content.map_err(|error| match error {
            Unsealable::Foreign => refuse("was not given to this caller by this gateway, or is damaged"),
            Unsealable::Expired => refuse("has expired"),
        })?;
        let (digest, rest) = content.split_first_chunk::<DIGEST>().ok_or_else(|| refuse("is damaged"))?;
        if *digest != self.digest() {
            return Err(refuse("was given for another request: method, name and arguments must be the same"));
        }
        read(rest).ok_or_else(|| refuse("is damaged"))
    }
}

/// A state that is of no use.
pub(super) fn refuse(why: &str) -> Refusal {
    let message = format!("the `requestState` {why}; make the call again without it");
    Refusal::new(ErrorKind::InvalidParams, message)
}

fn read(content: &[u8]) -> Option<State> {
    let (kind, rest) = content.split_first()?;
    if *kind == b'p' {
        let (round, id) = rest.split_first_chunk::<4>()?;
        return Some(State::Parked(Place { round: u32::from_be_bytes(*round), id: id.try_into().ok()? }));
    }
    if let b'a' | b'h' = kind {
        let matter = if *kind == b'a' { Matter::Call } else { Matter::Result };
        return Some(State::Asked { nonce: u64::from_be_bytes(rest.try_into().ok()?), matter });
    }
    let (length, rest) = rest.split_first()?;
    let (server, inner) = rest.split_at_checked(usize::from(*length))?;
    let whose = std::str::from_utf8(server).ok()?;
    match kind {
        b'r' => Some(State::Relayed { whose: whose.into(), inner: Raw::trusted(inner.to_vec()) }),
        b'v' => Some(State::Visited { whose: whose.into() }),
        _ => None,
    }
}

/// Writes a value so that it does not matter in which order its members came, nor how its strings were escaped. Numbers
/// stay as they were written.
fn canonical(out: &mut Vec<u8>, value: &Raw) {
    match value.kind() {
        Kind::Object => {
            let mut members: Vec<_> = value.members().map(|member| (member.key(), member.value())).collect();
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            out.push(b'{');
            for (key, value) in members {
                write_string(out, &key);
                canonical(out, &value);
            }
            out.push(b'}');
        }
        Kind::Array => {
            out.push(b'[');
            for element in value.elements() {
                canonical(out, &element);
                out.push(b',');
            }
            out.push(b']');
        }
        Kind::String => write_string(out, &value.string().unwrap_or_default()),
        _ => out.extend_from_slice(value.as_bytes()),
    }
}

#[cfg(test)]
mod tests;
