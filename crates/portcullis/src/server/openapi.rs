//! An OpenAPI document that somebody adds: what will be a server, and what is said of it before.
//!
//! The document stays where it is. What is kept is where that is and its digest, so that what was approved is what is used:
//! a document that has changed is another version.

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use portcullis_config::DocumentAt;
use portcullis_hub::registry::is_exact;
use portcullis_openapi::{Api, Base, Document, Set};
use portcullis_oversight::visible_line;
use serde_json::{Value, json};

use super::what::Named;
use crate::Usage;
use crate::hex::hex;

/// So many operations are shown, and so many that are left out.
const SHOWN: usize = 20;

/// The server that a document behind a URL makes.
pub(super) fn at_url(url: &str, base_url: Option<&str>) -> anyhow::Result<Named> {
    let at = DocumentAt::Url(url.to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let text = runtime.block_on(portcullis_gateway::openapi_document(&at));
    let text = text.map_err(|why| Usage(format!("the OpenAPI document {at} {why}")))?;
    named(&at, text.to_vec(), base_url)
}

/// The server that a document in a file makes.
pub(super) fn in_file(path: &Path, text: Vec<u8>, base_url: Option<&str>) -> anyhow::Result<Named> {
    named(&DocumentAt::File(std::path::absolute(path)?), text, base_url)
}

fn named(at: &DocumentAt, text: Vec<u8>, base_url: Option<&str>) -> anyhow::Result<Named> {
    let hex = hex(digest(&SHA256, &text).as_ref());
    let api = Document::parse(text.into()).and_then(|document| Api::read(&document, &Set::default()));
    // Whoever wrote the document wrote part of that, too.
    let api = api.map_err(|error| Usage(visible_line(&format!("{at}: {error}"))))?;
    let from = match at {
        DocumentAt::Url(url) => Some(url.as_str()),
        DocumentAt::File(_) => None,
    };
    let place = match base_url {
        Some(url) => url.to_owned(),
        None => {
            let base = Base::of(api.server.as_deref(), from);
            let base = base.map_err(|error| Usage(visible_line(&format!("{error}: --base-url URL"))))?;
            format!("{}, as the document says", base.url)
        }
    };
    let document = match at {
        DocumentAt::Url(url) => url.clone(),
        DocumentAt::File(path) => path.display().to_string(),
    };
    let mut launch = json!({ "openapi": { "document": document, "digest": format!("sha256:{hex}") } });
    if let Some(base_url) = base_url {
        launch["openapi"]["base_url"] = Value::from(base_url);
    }
    let title = api.title.clone().unwrap_or_else(|| "api".to_owned());
    let version = api.version.clone().filter(|version| is_exact("npm", version));
    Ok(Named { name: title, launch, version, about: about(&api, &place) })
}

/// What there is, in lines for people.
fn about(api: &Api, place: &str) -> Vec<String> {
    let title = api.title.as_deref().unwrap_or("an API without a name");
    let version = api.version.as_deref().unwrap_or_default();
    let mut lines = vec![format!("{title} {version}: {} operations become tools", api.operations.len())];
    lines.push(format!("  requests go to {place}"));
    for operation in api.operations.iter().take(SHOWN) {
        lines.push(format!("  tool        {:<40}  {}", operation.name(), operation.place()));
    }
    if let Some(more @ 1..) = api.operations.len().checked_sub(SHOWN) {
        lines.push(format!("  and {more} more"));
    }
    for left_out in api.left_out.iter().take(SHOWN) {
        lines.push(format!("  left out    {}: {}", left_out.operation, left_out.why));
    }
    if let Some(more @ 1..) = api.left_out.len().checked_sub(SHOWN) {
        lines.push(format!("  and {more} more are left out"));
    }
    for key in &api.keys {
        let give = match key.split_once(' ') {
            Some(("query", name)) => format!("--secret '?{name}=VARIABLE'"),
            Some(("header", name)) => {
                format!("--secret {}=VARIABLE", name.split(' ').next().unwrap_or_default())
            }
            _ => "credentials that the configuration gives".to_owned(),
        };
        lines.push(format!("  it wants a key by {key}: {give}, and --base-url"));
    }
    lines
}

/// Adds what the operator gives to an API: headers, and with a `?` before the name parameters of the query.
pub(super) fn give(launch: &mut Value, name: &str, value: Value) {
    let (place, name) = match name.strip_prefix('?') {
        Some(name) => (&mut launch["openapi"]["query"], name),
        None => (&mut launch["headers"], name),
    };
    if !place.is_object() {
        *place = json!({});
    }
    place[name] = value;
}

/// How an API is reached, in a line.
pub(super) fn reached_by(api: &Value) -> String {
    let text = |key: &str| api.get(key).and_then(Value::as_str);
    let document = text("document").unwrap_or("?");
    let place = text("base_url").unwrap_or("where its document says");
    let pinned = if text("digest").is_some() { "" } else { ", WHATEVER THAT IS THEN" };
    format!("requests to {place}, as {document} describes them{pinned}")
}
