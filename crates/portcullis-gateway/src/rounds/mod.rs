//! Requests that need input from the client before they can be answered (2026-07-28, multi round-trip requests), for
//! clients and servers of both eras.
//!
//! A modern server says `input_required` and is asked again; a legacy one asks in the middle of the call. A modern client
//! comes back with the answers; a legacy one is asked by requests. Two adapters at the edges toward clients meet the two
//! forms: `drive` turns the rounds of a modern server into questions, `park` turns questions into rounds and keeps the
//! call in the `lot` meanwhile (`habits` says for how long questions are collected). Where both sides have rounds, `relay` only seals the server's state. What a client brings
//! back is in `state`. What the gateway itself asks before a call is made is in `leave`.

mod drive;
mod habits;
mod leave;
mod lot;
mod park;
mod relay;
mod state;

use portcullis_mcp::json::{Kind, Raw};
use portcullis_mcp::method::Method;

pub(crate) use drive::{drive, resume};
pub(crate) use leave::{Came, ask_for_leave, came, without_answers};
pub(crate) use lot::Lot;
pub(crate) use park::run;
pub(crate) use relay::{Wrapping, ask_to_visit, reopen, visited, wrap, wrap_url_elicitation};
pub(crate) use state::Identity;

/// Members of the params and of results in which rounds are spoken of.
const STATE: &str = "requestState";
const RESPONSES: &str = "inputResponses";
const REQUESTS: &str = "inputRequests";

/// Things that are asked in one round.
const MOST_ASKED: usize = 32;

/// What an `input_required` result asks.
struct Wanted {
    requests: Vec<Entry>,
    /// As the server wrote it.
    state: Option<Raw>,
}

/// One entry of `inputRequests`.
struct Entry {
    key: String,
    method: Method,
    params: Option<Raw>,
}

impl Wanted {
    /// # Errors
    /// What is wrong with the result.
    fn read(result: &Raw) -> Result<Self, &'static str> {
        let state = result.find(STATE);
        let Some(requests) = result.find(REQUESTS) else {
            return match state {
                Some(_) => Ok(Self { requests: Vec::new(), state }),
                None => Err("asks for input without saying what it wants"),
            };
        };
        let mut entries = Vec::new();
        for member in requests.members() {
            let request = member.value();
            let method = request.find_string("method").ok_or("asks for input without a method")?;
            let params = request.find("params");
            if params.as_ref().is_some_and(|params| params.kind() != Kind::Object) {
                return Err("asks for input with params that are no object");
            }
            entries.push(Entry { key: member.key().into_owned(), method: Method::parse(&method), params });
            if entries.len() > MOST_ASKED {
                return Err("asks for too much at once");
            }
        }
        Ok(Self { requests: entries, state })
    }
}
