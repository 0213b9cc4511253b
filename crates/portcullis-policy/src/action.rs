//! The actions that policies speak of: the methods of MCP, by their names on the wire, one of the gateway's own, and groups of
//! them.

/// What somebody wants to do. Named like the method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs, reason = "each is the method's name in CamelCase")]
pub enum Action {
    Discover,
    ToolsList,
    PromptsList,
    ResourcesList,
    TemplatesList,
    ToolsCall,
    PromptsGet,
    ResourcesRead,
    Complete,
    Subscribe,
    SkillsList,
    SkillsGet,
    DirectoryRead,
    TasksGet,
    TasksResult,
    TasksUpdate,
    TasksCancel,
    TasksList,
    ToolsetsUse,
}

const SERVER: &[&str] = &["Server"];
const TOOL: &[&str] = &["Tool"];
const PROMPT: &[&str] = &["Prompt"];
const RESOURCE: &[&str] = &["Resource"];
const TOOLSET: &[&str] = &["Toolset"];

impl Action {
    /// All of them, with the name, the group that each is in, and what it is done to.
    const TABLE: [(Self, &'static str, &'static str, &'static [&'static str]); 19] = [
        (Self::Discover, "server/discover", "list", SERVER),
        (Self::ToolsList, "tools/list", "list", &["Server", "Tool"]),
        (Self::PromptsList, "prompts/list", "list", &["Server", "Prompt"]),
        (Self::ResourcesList, "resources/list", "list", &["Server", "Resource"]),
        (Self::TemplatesList, "resources/templates/list", "list", &["Server", "Resource"]),
        (Self::ToolsCall, "tools/call", "use", TOOL),
        (Self::PromptsGet, "prompts/get", "read", PROMPT),
        (Self::ResourcesRead, "resources/read", "read", RESOURCE),
        (Self::Complete, "completion/complete", "read", &["Prompt", "Resource"]),
        (Self::Subscribe, "resources/subscribe", "read", RESOURCE),
        (Self::SkillsList, "skills/list", "read", SERVER),
        (Self::SkillsGet, "skills/get", "read", &["Server", "Resource"]),
        (Self::DirectoryRead, "resources/directory/read", "read", &["Server", "Resource"]),
        (Self::TasksGet, "tasks/get", "use", TOOL),
        (Self::TasksResult, "tasks/result", "use", TOOL),
        (Self::TasksUpdate, "tasks/update", "use", TOOL),
        (Self::TasksCancel, "tasks/cancel", "use", TOOL),
        (Self::TasksList, "tasks/list", "use", TOOL),
        // No method of MCP: whoever may open a toolset is shown what is in it and there for them.
        (Self::ToolsetsUse, "toolsets/use", "list", TOOLSET),
    ];

    /// Every action.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::TABLE.iter().map(|row| row.0)
    }

    fn row(self) -> &'static (Self, &'static str, &'static str, &'static [&'static str]) {
        &Self::TABLE[self as usize]
    }

    /// Its name: the method's.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The types of what it is done to.
    pub(crate) fn resources(self) -> &'static [&'static str] {
        self.row().3
    }

    /// The group that it is directly in. `list` is in `read`, and that in `use`.
    pub(crate) fn group(self) -> &'static str {
        self.row().2
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::TABLE.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// Whether it lists.
    pub(crate) fn lists(self) -> bool {
        self.group() == "list"
    }
}

/// A set of actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Actions(u32);

impl Actions {
    pub(crate) fn all() -> Self {
        Action::all().fold(Self::default(), Self::with)
    }

    fn with(self, action: Action) -> Self {
        Self(self.0 | 1 << action as u8)
    }

    /// The action of this name. A group of actions is none itself: nobody ever does `Action::"read"`.
    pub(crate) fn only(name: &str) -> Self {
        Action::named(name).map_or_else(Self::default, |action| Self::default().with(action))
    }

    /// The action, or those in the group, of this name.
    pub(crate) fn within(name: &str) -> Self {
        let within = |action: &Action| match name {
            "use" => true,
            "read" => action.group() != "use",
            _ => action.group() == name || action.name() == name,
        };
        Action::all().filter(within).fold(Self::default(), Self::with)
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn has(self, action: Action) -> bool {
        self.0 & 1 << action as u8 != 0
    }

    /// Whether one of them is done to a server or to something that it has.
    pub(crate) fn any_at_servers(self) -> bool {
        Action::all().any(|action| action.resources() != TOOLSET && self.has(action))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_actions() {
        for (index, action) in Action::all().enumerate() {
            assert_eq!(action as usize, index);
            assert_eq!(Action::named(action.name()), Some(action));
        }
    }

    #[test]
    fn groups_hold_what_they_say() {
        assert_eq!(Actions::within("use"), Actions::all());
        assert!(Actions::within("read").has(Action::ToolsList));
        assert!(Actions::within("read").has(Action::Complete));
        assert!(!Actions::within("read").has(Action::ToolsCall));
        assert!(!Actions::within("list").has(Action::ResourcesRead));
        assert_eq!(Actions::within("tools/calls"), Actions::default());
        assert_eq!(Actions::only("read"), Actions::default());
        assert_eq!(Actions::only("tools/call"), Actions::within("tools/call"));
    }
}
