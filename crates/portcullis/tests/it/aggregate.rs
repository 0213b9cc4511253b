//! Many servers as one: complete lists, names and URIs that lead back, freshness, and bytes that nobody touches.

mod bytes;
mod freshness;
mod lists;
mod resting;
mod uris;
mod variants;

use serde_json::{Value, json};

/// Every page of a list, through one client's eyes.
async fn pages(list: impl AsyncFn(Value) -> Value, member: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut params = json!({});
    loop {
        let page = list(params).await;
        items.extend(page[member].as_array().unwrap().clone());
        match page.get("nextCursor") {
            Some(cursor) => params = json!({"cursor": cursor}),
            None => return items,
        }
    }
}

fn field(items: &[Value], key: &str) -> Vec<String> {
    items.iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}
