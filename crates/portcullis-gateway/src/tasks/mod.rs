//! Tasks: calls of tools that are answered later (2025-11-25, and the extension `io.modelcontextprotocol/tasks`).
//!
//! Where client and server have the same kind of task, it passes: only the id that leaves the gateway is the gateway's
//! own, sealed to its principal, with the server and the server's id inside. Where they have not, one is made into the
//! other (`portcullis_mcp::translate::task`), and what one side lacks is done here:
//!
//! - a client that wants a task of a server that answers at once gets one that the gateway hosts (`work`);
//! - a client without tasks that calls a tool which insists on one gets its answer when the task has ended (`drive`);
//! - a result that one era hands out by a request of its own, and the other inside the task, is fetched (`requests`).
//!
//! Sessions of 2025-11-25 are told how their tasks stand by `told`, listeners of 2026-07-28 by `watch`.
//!
//! `plan` says what a call is to become, `receive` makes it that. Records (`store`) are bounded, expire, and are never
//! credentials. Deliberately absent: tasks of the client's (sampling and elicitation as tasks), which the newer era
//! cannot express: they are never declared to a server.

mod clock;
mod drive;
mod handle;
mod hop;
mod list;
mod plan;
mod receive;
mod requests;
mod results;
mod store;
mod told;
pub(crate) mod watch;
mod work;

pub(crate) use plan::{Plan, plan};
pub(crate) use receive::{receive, recognise};
pub(crate) use requests::answer;
pub(crate) use store::Tasks;
pub(crate) use told::{Session, drive_and_tell, is_wish};
