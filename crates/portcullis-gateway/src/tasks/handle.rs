//! What a task id that left the gateway stands for.

use std::sync::Arc;
use std::time::Duration;

use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::json::Raw;
use portcullis_mcp::revision::Era;
use portcullis_mcp::translate::task;
use portcullis_model::{ErrorKind, Principal, ServerId, ToolsetId};
use portcullis_oversight::{scope, server_of, version_of};
use portcullis_policy::{Action, Annotations, Thing, ThingKind};

use crate::admit::Act;
use crate::call::{Call, Caller, Endpoint, Refusal};
use crate::gateway::Gateway;
use crate::route::{Catalogue, ListKind, Variant, in_id};
use crate::seal::{LONGEST_TASK, Purpose, ROTATION};

/// The longest id that a server may give a task: with our seal around it it has to fit into a header.
const LONGEST_ID: usize = 512;

/// A task, where it was made, and whose server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Handle {
    /// Nowhere else there is such a task.
    pub(super) endpoint: Endpoint,
    pub(super) server: ServerId,
    /// Which version of it, where there are several.
    pub(super) version: Option<Arc<str>>,
    /// The tool that was called, by the server's own name.
    pub(super) tool: String,
    pub(super) place: Place,
    /// How long a client may be told that the task is kept, in milliseconds: its id opens for that long.
    pub(super) most: u64,
}

/// How much longer an id opens than its task is kept, lest clocks make it a lie.
const AFTER: Duration = Duration::from_mins(1);

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

    /// For a task that is to be kept for so many milliseconds; `None` is without end.
    pub(super) fn new(
        endpoint: &Endpoint,
        (server, version): (&ServerId, Option<&Arc<str>>),
        tool: &str,
        place: Place,
        ttl: Option<u64>,
    ) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let longest = millis(LONGEST_TASK);
        // A server may find later that it keeps the task for longer.
        let most = ttl.unwrap_or(longest).clamp(millis(ROTATION), longest);
        let version = version.map(in_id);
        let (endpoint, server) = (endpoint.clone(), server.clone());
        Self { endpoint, server, version, tool: tool.to_owned(), place, most }
    }

    /// The server as the caller knows it, in the version that has the task.
    pub(super) fn catalogue(&self, gateway: &Gateway, caller: &Caller) -> Option<Arc<Catalogue>> {
        let servers = gateway.servers.load();
        servers.find(self.server.as_str()).map(|it| it.of_version(self.version.as_ref(), caller))
    }

    /// The id that the client gets.
    pub(super) fn seal(&self, gateway: &Gateway, principal: &Principal) -> String {
        let lifetime = Duration::from_millis(self.most) + AFTER;
        gateway.sealer.seal_for(lifetime, Purpose::Task, principal, &self.write())
    }

    /// A task in the words of `era`, which is promised for no longer than its id opens.
    pub(super) fn promise(&self, era: Era, task: &Raw) -> Raw {
        task::kept_at_most(era, task, self.most)
    }

    /// What the id in a request stands for, on the endpoint where it was given.
    ///
    /// # Errors
    /// Whatever is wrong with it, to the client the task does not exist.
    pub(super) fn open(gateway: &Gateway, call: &Call) -> Result<Self, Refusal> {
        let id = call.subject.as_deref().ok_or_else(unknown)?;
        let opened =
            gateway.sealer.open_in_time(Purpose::Task, &call.caller.principal, id).map_err(|_| unknown())?;
        let handle = Self::read(&opened).ok_or_else(unknown)?;
        match &handle.endpoint {
            endpoint if *endpoint != call.endpoint => Err(unknown()),
            Endpoint::Toolset(id) if !handle.is_in(gateway, id) => Err(unknown()),
            _ => handle.denied(gateway, call).map_or(Ok(handle), Err),
        }
    }

    /// Whether its tool is still in a toolset.
    fn is_in(&self, gateway: &Gateway, toolset: &ToolsetId) -> bool {
        let servers = gateway.servers.load();
        let toolset = servers.toolsets().get(toolset);
        toolset.is_some_and(|toolset| toolset.has_tool(self.server.as_str(), &self.tool))
    }

    /// Whether policies let the caller know of it.
    pub(super) fn is_there(&self, gateway: &Gateway, call: &Call) -> bool {
        self.denied(gateway, call).is_none()
    }

    /// What the caller is told who may not call its tool any more, and has no task of it either.
    fn denied(&self, gateway: &Gateway, call: &Call) -> Option<Refusal> {
        let pass = gateway.gate.pass(&call.caller)?;
        let hints = self.catalogue(gateway, &call.caller).and_then(|catalogue| {
            let listing = catalogue.last(ListKind::Tools, Variant::of(&call.caller))?;
            listing.find(&self.tool).map(|item| item.thing)
        });
        let kind = hints.unwrap_or(ThingKind::Tool(Annotations::default()));
        let thing = Thing { server: self.server.as_str(), kind, name: &self.tool };
        let act = Action::named(call.method.as_str()).map(|action| Act { action, thing, arguments: None });
        let ruled = pass.rule(&call.caller, act.as_ref());
        let denied = (!ruled.allowed()).then(|| ruled.step_up().unwrap_or_else(unknown));
        call.record.ruled(ruled);
        denied
    }

    fn write(&self) -> Vec<u8> {
        let (endpoint, server) =
            (self.endpoint.place(), scope(self.server.as_str(), self.version.as_deref()));
        let (most, tool, length) = (self.most, &self.tool, self.tool.len());
        match &self.place {
            Place::There { era, caps, id } => {
                let era = if *era == Era::Legacy { 'l' } else { 'm' };
                format!("{endpoint} {server} {era}{} {most} {length} {tool}{id}", caps.bits())
            }
            Place::Here(number) => format!("{endpoint} {server} h {most} {length} {tool}{number}"),
        }
        .into_bytes()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(bytes).ok()?.splitn(6, ' ');
        let endpoint = Endpoint::at(words.next()?)?;
        let whose = words.next()?;
        let server = ServerId::parse(server_of(whose)).ok()?;
        let version = version_of(whose).map(Arc::from);
        let (kind, most, length) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let (tool, rest) = words.next()?.split_at_checked(length)?;
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
        Some(Self { endpoint, server, version, tool: tool.to_owned(), place, most })
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
            for endpoint in ["", "/s/a-b", "/v/desk"] {
                let endpoint = Endpoint::at(endpoint).unwrap();
                let handle = Handle::new(&endpoint, (&server, None), "t 1ü", place.clone(), Some(90_000_000));
                assert_eq!(Handle::read(&handle.write()), Some(handle));
                let version = Arc::from("2.0.0@x");
                let handle =
                    Handle::new(&endpoint, (&server, Some(&version)), "t", place.clone(), Some(90_000_000));
                assert_eq!(handle.version, Some(version));
                assert_eq!(Handle::read(&handle.write()), Some(handle));
            }
        }
        // Whatever a version is called, it is a short word, and stays so.
        for odd in ["2.0.0 beta", &"9".repeat(200)] {
            let odd = Arc::from(odd);
            let new =
                |version| Handle::new(&Endpoint::Aggregate, (&server, version), "t", Place::Here(1), None);
            let handle = new(Some(&odd));
            assert_eq!(handle.version, Some(in_id(&odd)));
            assert_eq!(new(handle.version.as_ref()), handle);
            assert_eq!(Handle::read(&handle.write()), Some(handle));
        }
        assert!(Handle::read(b" a h 1 1 t1").is_some());
        for bad in [
            "",
            " a",
            " a x 1 1 t1",
            " a h 1 1 tx",
            " A l 1 1 t1",
            " a l",
            " a h x 1 t1",
            " a h 1 9 t1",
            " a l1 1 1",
            "a h 1 1 t1",
            "/x/a a h 1 1 t1",
            "/s/ a h 1 1 t1",
        ] {
            assert_eq!(Handle::read(bad.as_bytes()), None, "{bad}");
        }
    }
}
