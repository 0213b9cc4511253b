//! OpenAPI documents as MCP tools: a document in; definitions, requests and results out.
//!
//! `document.rs` reads the text (JSON, or YAML by `yaml.rs`) and follows its references; `api.rs` walks its operations, of
//! which each becomes a tool (`operation.rs`), with what it takes (`parameter.rs`, `body.rs`) and gives as JSON Schema of
//! 2020-12 (`schema.rs`) and which request it is (`shape.rs`). A call becomes a request (`request.rs`, with `style.rs` for
//! how values are written), and the answer a result (`answer.rs`).
//!
//! Whoever wrote the document is a stranger. So nothing is fetched, everything has a bound, what it says of paths and
//! headers is checked before it is used, and where requests go is decided elsewhere. There is no I/O here, and no
//! credential: what the operator sets is left out of what callers may give ([`Set`]).

mod answer;
mod api;
mod base;
mod body;
mod document;
mod operation;
mod parameter;
mod request;
mod schema;
mod shape;
mod style;
mod yaml;

pub use answer::{Answer, failure, result};
pub use api::{Api, LeftOut, Set};
pub use base::Base;
pub use document::{Document, MAX_BYTES, Unfit, is_document};
pub use operation::Operation;
pub use request::{Request, Unsendable};
pub use shape::REQUEST;
