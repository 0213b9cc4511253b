//! Limits on calls, checked.

use std::fmt;
use std::time::Duration;

use portcullis_model::matches_pattern;

use crate::units::show_duration;

/// A limit on the calls that servers get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallLimit {
    /// What it is called; no other is called so.
    pub name: String,
    /// Only callers in one of these groups; of all when empty.
    pub groups: Vec<String>,
    /// Only these callers, by id; all when empty.
    pub principals: Vec<String>,
    /// Only these servers; all when empty.
    pub servers: Vec<String>,
    /// Only these tools, `SERVER/NAME` with `*`; everything when empty.
    pub tools: Vec<String>,
    /// What is counted apart.
    pub each: Each,
    /// How often.
    pub rate: Option<PerTime>,
    /// How many may come at once under `rate`; at least one where there is one.
    pub burst: u32,
    /// How many at once.
    pub concurrent: Option<u32>,
    /// How many in a window.
    pub budget: Option<PerTime>,
}

/// What is counted apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "they are a set")]
pub struct Each {
    /// Each caller.
    pub principal: bool,
    /// Each group of those that the limit names.
    pub group: bool,
    /// Each server.
    pub server: bool,
    /// Each tool of each server.
    pub tool: bool,
}

/// So many in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerTime {
    /// How many; at least one.
    pub count: u32,
    /// In how long; longer than nothing.
    pub per: Duration,
}

impl fmt::Display for PerTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = show_duration(self.per);
        // As most write it: `20/s`.
        let unit = per.strip_prefix('1').filter(|unit| !unit.starts_with(|c: char| c.is_ascii_digit()));
        write!(f, "{}/{}", self.count, unit.unwrap_or(&per))
    }
}

impl CallLimit {
    /// Whether it is about what a call is for; `tool` is the server's own name, when it is one.
    pub fn is_about(&self, server: &str, tool: Option<&str>) -> bool {
        let is_tool = |tool: &str| {
            let of = |pattern: &String| {
                pattern
                    .split_once('/')
                    .is_some_and(|(of, name)| matches_pattern(of, server) && matches_pattern(name, tool))
            };
            self.tools.iter().any(of)
        };
        (self.servers.is_empty() || self.servers.iter().any(|one| one == server))
            && (self.tools.is_empty() || tool.is_some_and(is_tool))
    }
}
