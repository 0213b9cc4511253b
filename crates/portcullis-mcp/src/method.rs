//! The methods of both eras, by name.

use std::fmt;

macro_rules! methods {
    ($($name:ident = $text:literal;)+) => {
        /// A JSON-RPC method. Unknown ones keep their text.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "each is the wire name in CamelCase")]
        pub enum Method { $($name,)+ Other(Box<str>) }

        impl Method {
            /// Every name on the wire that is known here.
            pub const NAMES: &[&str] = &[$($text),+];

            /// Reads a method name.
            pub fn parse(text: &str) -> Self {
                match text { $($text => Self::$name,)+ other => Self::Other(other.into()) }
            }

            /// The name on the wire.
            pub fn as_str(&self) -> &str {
                match self { $(Self::$name => $text,)+ Self::Other(text) => text }
            }
        }
    };
}

methods! {
    Discover = "server/discover";
    Initialize = "initialize";
    Ping = "ping";
    ToolsList = "tools/list";
    ToolsCall = "tools/call";
    ResourcesList = "resources/list";
    ResourcesTemplatesList = "resources/templates/list";
    ResourcesRead = "resources/read";
    ResourcesSubscribe = "resources/subscribe";
    ResourcesUnsubscribe = "resources/unsubscribe";
    PromptsList = "prompts/list";
    PromptsGet = "prompts/get";
    Complete = "completion/complete";
    SetLevel = "logging/setLevel";
    Listen = "subscriptions/listen";
    TasksGet = "tasks/get";
    TasksUpdate = "tasks/update";
    TasksCancel = "tasks/cancel";
    TasksResult = "tasks/result";
    TasksList = "tasks/list";
    SkillsList = "skills/list";
    SkillsGet = "skills/get";
    DirectoryRead = "resources/directory/read";
    CreateMessage = "sampling/createMessage";
    CreateElicitation = "elicitation/create";
    RootsList = "roots/list";
    Initialized = "notifications/initialized";
    Cancelled = "notifications/cancelled";
    Progress = "notifications/progress";
    LogMessage = "notifications/message";
    RootsListChanged = "notifications/roots/list_changed";
    ToolsListChanged = "notifications/tools/list_changed";
    PromptsListChanged = "notifications/prompts/list_changed";
    ResourcesListChanged = "notifications/resources/list_changed";
    ResourceUpdated = "notifications/resources/updated";
    ElicitationComplete = "notifications/elicitation/complete";
    TaskStatus = "notifications/tasks/status";
    TaskChanged = "notifications/tasks";
    SubscriptionsAcknowledged = "notifications/subscriptions/acknowledged";
}

impl Method {
    /// The member of `params` that `Mcp-Name` mirrors (2026-07-28, "Standard request headers").
    pub fn name_member(&self) -> Option<&'static str> {
        match self {
            Self::ToolsCall | Self::PromptsGet => Some("name"),
            Self::ResourcesRead => Some("uri"),
            Self::TasksGet | Self::TasksUpdate | Self::TasksCancel => Some("taskId"),
            _ => None,
        }
    }

    /// Whether a request may be answered with `input_required` (2026-07-28, multi round-trip requests).
    pub fn has_rounds(&self) -> bool {
        matches!(self, Self::ToolsCall | Self::PromptsGet | Self::ResourcesRead)
    }

    /// The member of `params` that says what a request is about, mirrored or not.
    pub fn subject_member(&self) -> Option<&'static str> {
        match self {
            Self::TasksResult => Some("taskId"),
            _ => self.name_member(),
        }
    }

    /// Whether it asks about a task, in either era.
    pub fn is_about_tasks(&self) -> bool {
        matches!(
            self,
            Self::TasksGet | Self::TasksResult | Self::TasksList | Self::TasksUpdate | Self::TasksCancel
        )
    }

    /// Whether a complete result carries `ttlMs` and `cacheScope` in 2026-07-28.
    pub fn is_cacheable(&self) -> bool {
        matches!(
            self,
            Self::Discover
                | Self::ToolsList
                | Self::PromptsList
                | Self::ResourcesList
                | Self::ResourcesTemplatesList
                | Self::ResourcesRead
        ) || self.is_of_skills()
    }

    /// Whether the skills extension has brought it (`io.modelcontextprotocol/skills`).
    pub fn is_of_skills(&self) -> bool {
        matches!(self, Self::SkillsList | Self::SkillsGet | Self::DirectoryRead)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
