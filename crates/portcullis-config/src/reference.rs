//! The reference page of the configuration, made from the schema so that it cannot fall behind.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// What stands before the keys: the rules that hold for all of them.
const INTRODUCTION: &str = include_str!("reference.md");

/// The reference page in Markdown, with a table of every key and its default.
pub fn reference() -> String {
    let schema = crate::schema();
    let mut page = INTRODUCTION.to_owned();
    section(&mut page, "Top level", &schema, &schema);
    // In the order in which a reader meets them.
    for (title, definition) in [
        ("`tls`", "Tls"),
        ("`servers.<name>`", "Server"),
        ("`servers.<name>.openapi`", "OpenApi"),
        ("`servers.<name>.sandbox`", "Sandbox"),
        ("`servers.<name>.credentials`", "Credentials"),
        ("`servers.<name>.credentials.idp`", "IdentityProvider"),
        ("`servers.<name>.tls`", "UpstreamTls"),
        ("`mcpServers.<name>`", "ClientServer"),
        ("`apps` and `servers.<name>.apps`", "Apps"),
        ("`identity`", "Identity"),
        ("`identity.issuers`", "Issuer"),
        ("`identity.issuers.introspection`", "Introspection"),
        ("`identity.facade`", "Facade"),
        ("`identity.facade.idp`", "FacadeIdp"),
        ("`identity.facade.clients.<id>`", "FacadeClient"),
        ("`identity.facade.documents`", "FacadeDocuments"),
        ("`identity.keys`", "Keys"),
        ("`identity.dpop`", "Dpop"),
        ("`identity.login`", "Login"),
        ("`identity.revoked`", "RevokedList"),
        ("`vault`", "Vault"),
        ("`secrets`", "Secrets"),
        ("`secrets.vault`", "SecretVault"),
        ("`policy`", "Policy"),
        ("`audit`", "Audit"),
        ("`audit.witnesses`", "AskedWitness"),
        ("`audit.timestamps`", "TimeStamps"),
        ("`audit.systems.<name>`", "System"),
        ("`witness`", "Witness"),
        ("`toolsets.<name>`", "Toolset"),
        ("`toolsets.<name>.tools`", "ToolPick"),
        ("`toolsets.<name>.prompts`", "PromptPick"),
        ("`registry`", "Registry"),
        ("`registry.import`", "RegistryImport"),
        ("`registry.packages`", "RegistryPackages"),
        ("`discovery`", "Discovery"),
        ("`discovery.clients`", "DiscoveryRule"),
        ("`discovery.embeddings`", "Embeddings"),
        ("`definitions`", "Definitions"),
        ("`flow`", "Flow"),
        ("`flow.regions.<name>`", "Region"),
        ("`approvals`", "Approvals"),
        ("`approvals.webhook`", "Webhook"),
        ("`halt`", "Halt"),
        ("`guard`", "Guard"),
        ("`guard.rules`", "GuardRule"),
        ("`guard.rules.unless`", "GuardException"),
        ("`guard.recogniser`", "Recogniser"),
        ("`http`", "Http"),
        ("`limits`", "Limits"),
        ("`limits.calls`", "CallLimit"),
        ("`telemetry`", "Telemetry"),
        ("`telemetry.allow`, `audit.allow` and `audit.admins`", "Readers"),
        ("`telemetry.log`", "Log"),
        ("`telemetry.otlp`", "Otlp"),
    ] {
        section(&mut page, title, &schema["$defs"][definition], &schema);
    }
    for (title, definition) in [
        ("`secrets.vault.auth`", "VaultAuth"),
        ("`store`", "Store"),
        ("`audit.log`", "AuditLog"),
        ("`shared`", "Shared"),
    ] {
        for form in schema["$defs"][definition]["oneOf"].as_array().into_iter().flatten() {
            section(&mut page, title, form, &schema);
        }
    }
    page
}

fn section(page: &mut String, title: &str, schema: &Value, root: &Value) {
    let description = schema["description"].as_str().unwrap_or_default();
    let _ = write!(
        page,
        "\n## {title}\n\n{}\n\n| key | value | default | meaning |\n|---|---|---|---|\n",
        flat(description)
    );
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (key, property) in schema["properties"].as_object().unwrap_or(&Map::new()) {
        let default = match &property["default"] {
            _ if required.contains(&key.as_str()) => "required".to_owned(),
            Value::Null => String::new(),
            Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        };
        let meaning = flat(property["description"].as_str().unwrap_or_default());
        let _ = writeln!(page, "| `{key}` | {} | {default} | {meaning} |", kind(property, root));
    }
}

/// What kind of value a key takes, in a few words.
fn kind(property: &Value, root: &Value) -> String {
    if let Some(name) = property["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        return match name {
            "Secret" => "secret".to_owned(),
            "Duration" => "duration".to_owned(),
            "Size" => "size".to_owned(),
            "PerTime" => "number per time".to_owned(),
            "Listen" => "address".to_owned(),
            "Any" => "any value".to_owned(),
            _ => match root["$defs"][name]["enum"].as_array() {
                Some(words) => words
                    .iter()
                    .filter_map(Value::as_str)
                    .map(|word| format!("`{word}`"))
                    .collect::<Vec<_>>()
                    .join(", "),
                None => "mapping, see below".to_owned(),
            },
        };
    }
    if let Some(word) = property["const"].as_str() {
        return format!("`{word}`");
    }
    let bounds = match (property["minimum"].as_f64(), property["maximum"].as_f64()) {
        (Some(minimum), Some(maximum)) => format!(", {minimum} to {maximum}"),
        (Some(minimum), None) => format!(", at least {minimum}"),
        _ => String::new(),
    };
    match property["type"].as_str() {
        Some("array") => format!("list of {}", kind(&property["items"], root)),
        Some("object") => format!("names to {}", kind(&property["additionalProperties"], root)),
        Some("string") => "text".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        Some("integer") => format!("whole number{bounds}"),
        Some(other) => format!("{other}{bounds}"),
        None => "mapping, see below".to_owned(),
    }
}

/// Markdown for one cell of a table.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
