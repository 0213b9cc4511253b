//! Errors across the eras (the reference's table 4.5).
//!
//! A code means different things on the two sides: what a 2025 server calls -32001 is meaningless to a 2026 client,
//! and -32022 would start a version negotiation that nobody asked for.

use crate::json::{Change, Raw};
use crate::message::{RpcError, code};
use crate::method::Method;
use crate::revision::Era;

/// The member of `data` under which the original error of a server is kept when its code had to change.
const ORIGINAL: &str = "upstreamError";

/// An error that a server of era `from` gave to `method`, for a client of era `to`. `uri` is the URI that the client
/// asked for, on `resources/read`.
pub fn error_for(to: Era, from: Era, method: &Method, uri: Option<&str>, error: &RpcError) -> RpcError {
    match (from, to) {
        (Era::Legacy, Era::Modern) => legacy_to_modern(uri, error),
        (Era::Modern, Era::Legacy) => modern_to_legacy(method, error),
        _ => error.clone(),
    }
}

fn legacy_to_modern(uri: Option<&str>, error: &RpcError) -> RpcError {
    match error.code() {
        code::RESOURCE_NOT_FOUND => {
            let data = error.data().filter(|data| data.find("uri").is_some());
            let data = data.or_else(|| {
                let uri = Raw::from_text(uri?);
                Some(Raw::from_static("{}").with(&[("uri", Change::Set(uri.as_bytes()))]))
            });
            RpcError::new(code::INVALID_PARAMS, &error.message(), data.as_ref())
        }
        -32099..=-32000 => upstream_error(error),
        _ => error.clone(),
    }
}

fn modern_to_legacy(method: &Method, error: &RpcError) -> RpcError {
    match error.code() {
        code::INVALID_PARAMS
            if *method == Method::ResourcesRead
                && error.data().is_some_and(|data| data.find("uri").is_some()) =>
        {
            RpcError::new(code::RESOURCE_NOT_FOUND, &error.message(), error.data().as_ref())
        }
        -32099..=-32020 => upstream_error(error),
        _ => error.clone(),
    }
}

/// `-32603` that keeps the original in `data.upstreamError`.
pub fn upstream_error(error: &RpcError) -> RpcError {
    let data = Raw::from_static("{}").with(&[(ORIGINAL, Change::Set(error.raw().as_bytes()))]);
    RpcError::new(code::INTERNAL, &error.message(), Some(&data))
}
