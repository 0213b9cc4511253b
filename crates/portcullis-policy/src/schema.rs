//! What policies may speak of: the Cedar schema. Every policy is held against it when it is loaded, strictly.
//!
//! All kinds of callers have the same attributes, so that a policy need not ask which kind it has before it. What is not
//! fixed by the protocol (claims of tokens, arguments of tools) is declared in the configuration with a type: nothing that
//! was not declared can be read by a policy.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cedar_policy::Schema;

use crate::action::Action;

/// The kinds of callers.
pub(crate) const CALLERS: [&str; 5] = ["User", "Key", "Certificate", "Workload", "Anonymous"];

/// The type of something declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// A 64-bit integer.
    Integer,
    /// A number with up to four decimals.
    Decimal,
    /// True or false.
    Bool,
    /// A list of texts, without order.
    Texts,
}

impl Kind {
    fn cedar(self) -> &'static str {
        match self {
            Self::Text => "String",
            Self::Integer => "Long",
            Self::Decimal => "decimal",
            Self::Bool => "Bool",
            Self::Texts => "Set<String>",
        }
    }
}

/// The schema as text, for people and editors.
pub(crate) fn text(claims: &BTreeMap<String, Kind>, arguments: &BTreeMap<String, Kind>) -> String {
    let mut out = String::from(
        "// Groups come from tokens and from `policy.groups`, roles from `policy.roles`.\n\
         entity Role;\nentity Group in [Role];\nentity Label;\n",
    );
    let _ = writeln!(
        out,
        "entity {} in [Group, Role] {{\n  id: String,\n  issuer?: String,\n  subject?: String,\n  \
         client?: String,\n  claims: {},\n}};",
        CALLERS.join(", "),
        record(claims)
    );
    out.push_str(
        "entity Server in [Label] { name: String };\n\
         entity Tool in [Server, Label] {\n  server: String,\n  name: String,\n  annotations: {\n    \
         readOnlyHint: Bool,\n    destructiveHint: Bool,\n    idempotentHint: Bool,\n    openWorldHint: Bool,\n  },\n};\n\
         entity Prompt in [Server, Label] { server: String, name: String };\n\
         entity Resource in [Server, Label] { server: String, uri: String, scheme: String };\n\
         entity Toolset { name: String };\n\
         action \"use\";\naction \"read\" in [\"use\"];\naction \"list\" in [\"read\"];\n",
    );
    for action in Action::all() {
        let arguments = match action {
            Action::ToolsCall => format!(" args: {},", record(arguments)),
            _ => String::new(),
        };
        let _ = writeln!(
            out,
            "action \"{}\" in [\"{}\"] appliesTo {{\n  principal: [{}],\n  resource: [{}],\n  context: {{ now: \
             datetime, weekday: Long, ip?: ipaddr, scopes?: Set<String>,{arguments} }},\n}};",
            action.name(),
            action.group(),
            CALLERS.join(", "),
            action.resources().join(", "),
        );
    }
    out
}

fn record(members: &BTreeMap<String, Kind>) -> String {
    let members: Vec<_> =
        members.iter().map(|(name, kind)| format!("{}?: {}", quoted(name), kind.cedar())).collect();
    format!("{{ {} }}", members.join(", "))
}

fn quoted(name: &str) -> String {
    format!("{name:?}")
}

/// The schema.
///
/// # Errors
/// A declared name that Cedar does not take.
pub(crate) fn schema(
    claims: &BTreeMap<String, Kind>,
    arguments: &BTreeMap<String, Kind>,
) -> Result<Schema, String> {
    let text = text(claims, arguments);
    Schema::from_cedarschema_str(&text).map(|(schema, _)| schema).map_err(|error| error.to_string())
}
