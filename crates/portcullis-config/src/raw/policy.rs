//! Who may do what, as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// Who may do what. Without this section everybody who is let in may use everything; with it, everything is denied that
/// no policy permits. The language is Cedar; see docs/concept/policy.md for what policies can speak of.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Policy {
    /// Files of policies, and folders whose `*.cedar` files are. Changes are taken up without a restart; a file with an
    /// error changes nothing.
    pub(crate) files: Vec<String>,
    /// `enforce`, or `shadow`: what would be denied is logged, and nothing is denied.
    #[schemars(extend("default" = "enforce"))]
    pub(crate) mode: Option<PolicyMode>,
    /// Roles, each with the groups that have it. The roles `reader`, `user`, `operator`, `auditor` and `admin` come with
    /// policies; others are for policies of your own.
    pub(crate) roles: BTreeMap<String, Vec<String>>,
    /// Groups, each with the ids of principals that are in it beside those whose tokens or keys say so: `anonymous`,
    /// `cert:<SHA-256 in hex>`, `key:<name>`, `user:<issuer>#<subject>`, or a SPIFFE id.
    pub(crate) groups: BTreeMap<String, Vec<String>>,
    /// Labels, each with patterns of what has it: `SERVER` for a server with all that it has, or `SERVER/NAME` for tools,
    /// prompts and resources by the server's own name or URI; `*` stands for any characters.
    pub(crate) labels: BTreeMap<String, Vec<String>>,
    /// The claims of tokens that policies may read, as `principal.claims.<name>`, with their types.
    pub(crate) claims: BTreeMap<String, FactKind>,
    /// The arguments of tools that policies may read, as `context.args.<name>`, with their types. A call with an argument
    /// of this name and another type is denied where a policy reads it.
    pub(crate) arguments: BTreeMap<String, FactKind>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PolicyMode {
    Enforce,
    Shadow,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FactKind {
    String,
    Integer,
    Decimal,
    Boolean,
    Strings,
}
