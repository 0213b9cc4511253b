//! MCP Apps through the gateway: views, the tools that they call, and what an operator takes away from them.

mod names;
mod policy;
mod views;

use serde_json::{Value, json};

use crate::harness::{Fake, Modern, Upstream};

const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// What a host of MCP Apps declares.
fn host() -> Value {
    json!({"extensions": {"io.modelcontextprotocol/ui": {"mimeTypes": ["text/html;profile=mcp-app"]}}})
}

/// A modern host.
fn modern(path: &str) -> Modern {
    Modern::at(path).with_meta(CAPABILITIES, host())
}

/// A tool with `_meta.ui`.
fn app_tool(name: &str, ui: &Value) -> Value {
    json!({"name": name, "inputSchema": {"type": "object"}, "_meta": {"ui": ui}})
}

/// The view as its server writes it: escapes that nobody needs, spaces that nobody wants.
const VIEW: &str = r#"{"uri":"ui://clock/view.html","mimeType":"text/html;profile=mcp-app", "text":"\u003c!doctype html\u003e<script>call('get-time', 1.0)<\/script>","_meta":{"ui":{"csp":{"connectDomains":["https://time.example"]},"permissions":{"camera":{}},"domain":"d.example","prefersBorder":true},"x":1.0}}"#;

/// A server with a view that no list names, in the manner of the extension's own examples.
async fn clock(fake: Fake, modern: bool) -> Upstream {
    let mut fake = fake
        .tools(vec![
            json!({
                "name": "get-time", "inputSchema": {"type": "object"},
                "_meta": {"ui": {"resourceUri": "ui://clock/view.html"}, "ui/resourceUri": "ui://clock/view.html"},
            }),
            app_tool("tick", &json!({"visibility": ["app"]})),
            app_tool("wind", &json!({"resourceUri": "ui://clock/view.html", "visibility": ["model"]})),
            json!({"name": "plain", "inputSchema": {"type": "object"}}),
        ])
        .list("resources", vec![])
        .on("resources/read", move |seen, answer| async move {
            if seen.rpc["params"]["uri"] != "ui://clock/view.html" {
                return answer.error(200, json!({"code": -32602, "message": "no such view"})).await;
            }
            let era = if modern { r#","resultType":"complete","ttlMs":5,"cacheScope":"public""# } else { "" };
            let id = &answer.id;
            let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"contents":[{VIEW}]{era}}}}}"#);
            answer.send(200, &[("content-type", "application/json")], body.as_bytes()).await;
        });
    fake.capabilities["extensions"] = json!({"io.modelcontextprotocol/ui": {}});
    fake.start().await
}
