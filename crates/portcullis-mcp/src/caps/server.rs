//! What servers offer, and how several offers become one.

use std::fmt::Write as _;

use crate::caps::{SKILLS_EXTENSION, TASKS_EXTENSION, UI_EXTENSION};
use crate::json::{Change, Kind, Raw};
use crate::revision::Revision;
use crate::subscription::Lists;

/// The capabilities of one server or of a merge, reduced to what the gateway carries today. Tasks are not yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a capability of the protocol")]
pub struct ServerCaps {
    /// `tools/list` and `tools/call`.
    pub tools: bool,
    /// `resources/list`, `resources/templates/list` and `resources/read`.
    pub resources: bool,
    /// Updates of single resources can be subscribed to.
    pub subscribe: bool,
    /// `prompts/list` and `prompts/get`.
    pub prompts: bool,
    /// `completion/complete`.
    pub completions: bool,
    /// Log messages on the stream of a request.
    pub logging: bool,
    /// Calls of tools as tasks, by the core of 2025-11-25 or by the extension.
    pub tasks: bool,
    /// Settings of the MCP Apps extension, as the server wrote them.
    pub ui: Option<Raw>,
    /// `experimental`, as the server wrote it.
    pub experimental: Option<Raw>,
    /// Settings of the skills extension, as the server wrote them.
    pub skills: Option<Raw>,
}

impl ServerCaps {
    /// Reads `ServerCapabilities` of any revision.
    pub fn read(capabilities: &Raw) -> Self {
        let has = |key: &str| capabilities.find(key).is_some_and(|raw| raw.kind() == Kind::Object);
        Self {
            tools: has("tools"),
            resources: has("resources"),
            subscribe: capabilities.find_path(&["resources", "subscribe"]).and_then(|raw| raw.bool())
                == Some(true),
            prompts: has("prompts"),
            completions: has("completions"),
            logging: has("logging"),
            tasks: has_tasks(capabilities),
            ui: capabilities.find_path(&["extensions", UI_EXTENSION]),
            experimental: capabilities.find("experimental").filter(|raw| raw.kind() == Kind::Object),
            skills: capabilities.find_path(&["extensions", SKILLS_EXTENSION]),
        }
    }

    /// The union with another server's capabilities. Settings cannot be merged without understanding them: the aggregate
    /// withholds skills (their files name each other by URIs that it would have to map) and `experimental`, and of MCP Apps
    /// it says what all servers that have them say, or only that it has them.
    pub fn absorb(&mut self, other: &Self) {
        self.tools |= other.tools;
        self.resources |= other.resources;
        self.subscribe |= other.subscribe;
        self.prompts |= other.prompts;
        self.completions |= other.completions;
        self.logging |= other.logging;
        self.tasks |= other.tasks;
        self.ui = match (self.ui.take(), other.ui.clone()) {
            (Some(one), Some(other)) if one != other => Some(Raw::from_static("{}")),
            (one, other) => one.or(other),
        };
    }

    /// The lists that there are, and whose changes are therefore told: the gateway changes lists itself, whatever the
    /// servers announce.
    pub fn lists(&self) -> Lists {
        let all =
            [(self.tools, Lists::TOOLS), (self.prompts, Lists::PROMPTS), (self.resources, Lists::RESOURCES)];
        all.iter().filter(|(present, _)| *present).fold(Lists::NONE, |lists, (_, list)| lists | *list)
    }

    /// As `ServerCapabilities`.
    pub fn write(&self) -> Raw {
        let changes = "{\"listChanged\":true}";
        let resources = if self.subscribe { "{\"subscribe\":true,\"listChanged\":true}" } else { changes };
        let mut out = String::from("{");
        let mut member = |key: &str, value: &str| {
            let comma = if out.len() > 1 { "," } else { "" };
            let _ = write!(out, "{comma}\"{key}\":{value}");
        };
        for (present, key, value) in [
            (self.tools, "tools", changes),
            (self.resources, "resources", resources),
            (self.prompts, "prompts", changes),
            (self.completions, "completions", "{}"),
            (self.logging, "logging", "{}"),
        ] {
            if present {
                member(key, value);
            }
        }
        if let Some(experimental) = &self.experimental {
            member("experimental", experimental.as_str());
        }
        let extensions = [(UI_EXTENSION, &self.ui), (SKILLS_EXTENSION, &self.skills)];
        let extensions: Vec<_> = extensions
            .iter()
            .filter_map(|(id, settings)| Some(format!("\"{id}\":{}", settings.as_ref()?)))
            .collect();
        if !extensions.is_empty() {
            member("extensions", &format!("{{{}}}", extensions.join(",")));
        }
        out.push('}');
        Raw::trusted(out)
    }
}

impl ServerCaps {
    /// Capabilities that [`ServerCaps::write`] wrote, with what clients of `revision` are to know of tasks. What the
    /// gateway says of tasks is its own: it lists and cancels those of any server.
    pub fn declare_tasks(&self, written: Raw, revision: Revision) -> Raw {
        if !self.tasks || revision < Revision::V2025_11_25 {
            return written;
        }
        if revision == Revision::V2025_11_25 {
            let tasks = br#"{"list":{},"cancel":{},"requests":{"tools":{"call":{}}}}"#;
            return written.with(&[("tasks", Change::Set(tasks))]);
        }
        let extensions = written.find("extensions").unwrap_or_else(|| Raw::from_static("{}"));
        let extensions = extensions.with(&[(TASKS_EXTENSION, Change::Set(b"{}"))]);
        written.with(&[("extensions", Change::Set(extensions.as_bytes()))])
    }
}

/// Whether a server of either era makes tasks of tool calls.
fn has_tasks(capabilities: &Raw) -> bool {
    let paths: [&[&str]; 2] = [&["tasks", "requests", "tools", "call"], &["extensions", TASKS_EXTENSION]];
    paths.iter().any(|path| capabilities.find_path(path).is_some_and(|raw| raw.kind() == Kind::Object))
}

/// Longest text kept of one server's instructions and of all together, in bytes.
const INSTRUCTIONS_PER_SERVER: usize = 4 * 1024;
pub(super) const INSTRUCTIONS_TOTAL: usize = 32 * 1024;

/// Several servers' instructions under headings with the servers' names, in the order given, each cut to 4 KiB and all
/// to 32 KiB. `None` when nobody says anything.
pub fn merge_instructions<'a>(servers: impl Iterator<Item = (&'a str, &'a str)>) -> Option<String> {
    let mut out = String::new();
    for (name, text) in servers {
        let text = text.trim();
        if text.is_empty() || out.len() >= INSTRUCTIONS_TOTAL {
            continue;
        }
        let room = INSTRUCTIONS_PER_SERVER.min(INSTRUCTIONS_TOTAL - out.len());
        let cut = text.floor_char_boundary(room);
        let separator = if out.is_empty() { "" } else { "\n\n" };
        let ellipsis = if cut < text.len() { " […]" } else { "" };
        let _ = write!(out, "{separator}## {name}\n\n{}{ellipsis}", &text[..cut]);
    }
    (!out.is_empty()).then_some(out)
}
