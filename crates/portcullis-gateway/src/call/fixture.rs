//! Calls for tests.

use std::sync::Arc;

use bytes::Bytes;
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::json::{Limits, Object};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Revision;
use portcullis_model::Principal;

use crate::record::Entry;

use super::{Call, Caller, Endpoint, Worker};

/// A call of a tool on the aggregate, by an anonymous caller.
pub(crate) fn call(revision: Revision, caps: ClientCaps, params: &str) -> Call {
    let caller = Caller {
        principal: Principal::Anonymous,
        subject: None,
        peer: None,
        revision,
        caps,
        client: None,
        conversation: "test".into(),
        under_way: Arc::default(),
        recognised: Arc::default(),
        connection: 0,
        held_to: None,
    };
    Call {
        endpoint: Endpoint::Aggregate,
        caller: caller.into(),
        worker: Worker(0),
        method: Method::ToolsCall,
        params: Some(Object::parse(Bytes::copy_from_slice(params.as_bytes()), Limits::default()).unwrap()),
        subject: Some("t".to_owned()),
        log_level: None,
        progress_token: None,
        trace: None,
        mirrored: None,
        let_through: false,
        request_id: "1".into(),
        record: Entry::default(),
    }
}
