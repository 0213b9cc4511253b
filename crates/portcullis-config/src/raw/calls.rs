//! Limits on calls, as they are written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::PerTime;

/// A limit on the calls that servers get: how often, how many at once, how many in all. It is about the calls that fit all
/// of `groups`, `principals`, `servers` and `tools`; a call must find something left under every limit that is about it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallLimit {
    /// What it is called in refusals and logs.
    pub(crate) name: String,
    /// Only callers in one of these groups.
    #[serde(default)]
    pub(crate) groups: Vec<String>,
    /// Only these callers, by id: `user:<issuer>#<subject>`, `key:<name>`, `cert:<fingerprint>`, `spiffe://…` or `anonymous`.
    #[serde(default)]
    pub(crate) principals: Vec<String>,
    /// Only these servers.
    #[serde(default)]
    pub(crate) servers: Vec<String>,
    /// Only these tools: `SERVER/NAME` by the server's own name, with `*` for any characters.
    #[serde(default)]
    pub(crate) tools: Vec<String>,
    /// What is counted apart: each `principal`, `group` (of those in `groups`), `server` or `tool`, or several of them.
    /// Without it, all calls that the limit is about are counted together.
    #[serde(default)]
    pub(crate) each: Vec<Each>,
    /// How often: tokens that come back evenly, such as `20/s`.
    #[serde(default)]
    pub(crate) rate: Option<PerTime>,
    /// How many may come at once under `rate`; as many as its number when not given.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) burst: Option<u32>,
    /// How many at once.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) concurrent: Option<u32>,
    /// How many in a window, such as `1000/24h`. Windows begin on the clock (UTC).
    #[serde(default)]
    pub(crate) budget: Option<PerTime>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Each {
    Principal,
    Group,
    Server,
    Tool,
}
