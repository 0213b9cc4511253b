//! The Model Context Protocol on the wire: frames, both eras, and their translation.
//!
//! No I/O and no async: bytes in, values out. `json` keeps documents as the bytes they were, `message` reads the
//! JSON-RPC envelope, `sse`, `line`, `header` and `endpoint` are the framings, `translate` turns one era's words into the
//! other's, `subscription` is what is told outside of requests, `names`, `uris` and `caps` make one server out of many,
//! `apps` knows what views may ask for. What it deliberately does not do: validate `params` or `result` against the schema
//! (they belong to the two ends), or know who may call what.

pub mod apps;
pub mod caps;
pub mod endpoint;
pub mod header;
pub mod json;
pub mod line;
pub mod message;
pub mod method;
pub mod mirror;
pub mod names;
pub mod revision;
pub mod sse;
pub mod subscription;
pub mod translate;
pub mod uris;
