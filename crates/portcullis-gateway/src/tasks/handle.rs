//! What a task id that left the gateway stands for.

use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::revision::Era;
use portcullis_model::{ErrorKind, Principal, ServerId};

use crate::call::{Call, Endpoint, Refusal};
use crate::gateway::Gateway;
use crate::seal::Purpose;

/// The longest id that a server may give a task: with our seal around it it has to fit into a header.
const LONGEST_ID: usize = 512;

/// A task, and whose server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Handle {
    pub(super) server: ServerId,
    pub(super) place: Place,
}

/// Where a task is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At the server.
    There {
        /// The era in which it was made: a server of both eras may keep them apart.
        era: Era,
        /// What was declared for the client: an older server may know a task in that conversation alone.
        caps: ClientCaps,
        /// The server's own id.
        id: String,
    },
    /// In this process.
    Here(u64),
}

impl Handle {
    /// Whether a server's id for a task is one that a client can bring back.
    pub(super) fn is_fit(id: &str) -> bool {
        !id.is_empty() && id.len() <= LONGEST_ID
    }

    /// The id that the client gets.
    pub(super) fn seal(&self, gateway: &Gateway, principal: &Principal) -> String {
        gateway.sealer.seal(Purpose::Task, principal, &self.write())
    }

    /// What the id in a request stands for, on an endpoint that shows its server.
    ///
    /// # Errors
    /// Whatever is wrong with it, to the client the task does not exist.
    pub(super) fn open(gateway: &Gateway, call: &Call) -> Result<Self, Refusal> {
        let id = call.subject.as_deref().ok_or_else(unknown)?;
        let opened = gateway.sealer.open(Purpose::Task, &call.caller.principal, id).map_err(|_| unknown())?;
        let handle = Self::read(&opened).ok_or_else(unknown)?;
        match &call.endpoint {
            Endpoint::Server(server) if *server != handle.server => Err(unknown()),
            _ => Ok(handle),
        }
    }

    fn write(&self) -> Vec<u8> {
        let server = self.server.as_str();
        match &self.place {
            Place::There { era, caps, id } => {
                let era = if *era == Era::Legacy { 'l' } else { 'm' };
                format!("{server} {era}{} {id}", caps.bits())
            }
            Place::Here(number) => format!("{server} h {number}"),
        }
        .into_bytes()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(bytes).ok()?.splitn(3, ' ');
        let server = ServerId::parse(words.next()?).ok()?;
        let (kind, rest) = (words.next()?, words.next()?);
        let there = |era, bits: &str| {
            let caps = ClientCaps::from_bits(bits.parse().ok()?);
            Some(Place::There { era, caps, id: rest.to_owned() })
        };
        let place = match kind.split_at_checked(1)? {
            ("l", bits) => there(Era::Legacy, bits)?,
            ("m", bits) => there(Era::Modern, bits)?,
            ("h", "") => Place::Here(rest.parse().ok()?),
            _ => return None,
        };
        Some(Self { server, place })
    }
}

/// `-32602`, whether it never was, is over, or is somebody else's.
pub(super) fn unknown() -> Refusal {
    Refusal::new(ErrorKind::InvalidParams, "there is no such task; it may have expired")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let server = ServerId::parse("a-b").unwrap();
        for place in [
            Place::There { era: Era::Legacy, caps: ClientCaps::NONE, id: "x y\0z ü".to_owned() },
            Place::There {
                era: Era::Modern,
                caps: ClientCaps::TASKS | ClientCaps::UI,
                id: "786512e2".to_owned(),
            },
            Place::Here(u64::MAX),
        ] {
            let handle = Handle { server: server.clone(), place };
            assert_eq!(Handle::read(&handle.write()), Some(handle));
        }
        for bad in ["", "a", "a x 1", "a h x", "A l 1", "a l"] {
            assert_eq!(Handle::read(bad.as_bytes()), None, "{bad}");
        }
    }
}
