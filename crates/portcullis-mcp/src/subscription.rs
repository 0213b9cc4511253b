//! What a client can be told outside its requests, and the words for it in both eras.
//!
//! 2026-07-28 opens a stream by `subscriptions/listen` with a filter that holds for the stream's life; the server's first
//! message repeats the part that it accepts, and everything on the stream names the request that opened it. Older
//! revisions have a standing stream for each session and `resources/subscribe` for single URIs. Both tell the same four
//! things: three kinds of list have changed, or one resource has.
//!
//! Who may hear what, and how often, is not decided here.

use crate::json::{Change, Kind, Raw};
use crate::message::{Id, write_notification};
use crate::method::Method;
use crate::translate::key;

/// A set of the lists that can change. Resources and their templates are one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Lists(u8);

impl Lists {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// `tools/list`.
    pub const TOOLS: Self = Self(1);
    /// `prompts/list`.
    pub const PROMPTS: Self = Self(2);
    /// `resources/list` and `resources/templates/list`.
    pub const RESOURCES: Self = Self(4);
    /// All of them.
    pub const ALL: Self = Self(7);

    /// Each of them: itself, its notification, its member in a filter, its capability.
    const NAMES: [(Self, Method, &'static str, &'static str); 3] = [
        (Self::TOOLS, Method::ToolsListChanged, "toolsListChanged", "tools"),
        (Self::PROMPTS, Method::PromptsListChanged, "promptsListChanged", "prompts"),
        (Self::RESOURCES, Method::ResourcesListChanged, "resourcesListChanged", "resources"),
    ];

    /// The list that a list-changed notification is about.
    pub fn of(method: &Method) -> Option<Self> {
        Self::NAMES.iter().find(|(_, changed, ..)| changed == method).map(|(list, ..)| *list)
    }

    /// The lists whose changes are announced, by a server's capabilities.
    pub fn declared(capabilities: &Raw) -> Self {
        let declares = |capability| {
            capabilities.find_path(&[capability, "listChanged"]).and_then(|declared| declared.bool())
        };
        let these = Self::NAMES.iter().filter(|(.., capability)| declares(capability) == Some(true));
        these.fold(Self::NONE, |all, (list, ..)| all | *list)
    }

    /// Their list-changed notifications, in a fixed order.
    pub fn methods(self) -> impl Iterator<Item = Method> {
        Self::NAMES.into_iter().filter(move |(list, ..)| self.has(*list)).map(|(_, method, ..)| method)
    }

    /// Whether all of `other` is in this set.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether it is empty.
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }
}

impl std::ops::BitOr for Lists {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitOrAssign for Lists {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl std::ops::BitAnd for Lists {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// What a `subscriptions/listen` stream is to tell, or tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Changes of these lists.
    pub lists: Lists,
    /// Updates of these resources, each once, in the order given.
    pub uris: Vec<String>,
    /// Changes of these tasks (`io.modelcontextprotocol/tasks`), each once, in the order given.
    pub tasks: Vec<String>,
}

/// `params` that hold no filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`params.notifications{0}")]
pub struct BadFilter(&'static str);

impl Filter {
    /// Reads the filter in the params of `subscriptions/listen` or of its acknowledgement. Kinds that are not known here
    /// are as good as absent.
    ///
    /// # Errors
    /// [`BadFilter`] when there is none, or a known member has the wrong type.
    pub fn read(params: Option<&Raw>) -> Result<Self, BadFilter> {
        let given = params.and_then(|params| params.find("notifications"));
        let given =
            given.filter(|given| given.kind() == Kind::Object).ok_or(BadFilter("` must be an object"))?;
        let mut filter = Self::default();
        for (list, _, member, _) in Lists::NAMES {
            match given.find(member).map(|value| value.bool()) {
                Some(Some(true)) => filter.lists |= list,
                Some(Some(false)) | None => {}
                Some(None) => return Err(BadFilter(".*ListChanged` must be true or false")),
            }
        }
        let wrong = BadFilter(".resourceSubscriptions` must be an array of strings");
        filter.uris = strings(&given, "resourceSubscriptions", wrong)?;
        let wrong = BadFilter(".taskIds` must be an array of strings");
        filter.tasks = strings(&given, "taskIds", wrong)?;
        Ok(filter)
    }

    /// Whether it lets nothing through.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.uris.is_empty() && self.tasks.is_empty()
    }

    /// As the member `notifications`.
    pub fn write(&self) -> Raw {
        let names = Lists::NAMES.iter().filter(|(list, ..)| self.lists.has(*list));
        let mut members: Vec<(&str, Raw)> =
            names.map(|(_, _, member, _)| (*member, Raw::from_static("true"))).collect();
        for (member, strings) in [("resourceSubscriptions", &self.uris), ("taskIds", &self.tasks)] {
            if !strings.is_empty() {
                let strings: Vec<_> = strings.iter().map(|text| Raw::from_text(text).to_string()).collect();
                members.push((member, Raw::trusted(format!("[{}]", strings.join(",")))));
            }
        }
        let changes: Vec<_> =
            members.iter().map(|(name, raw)| (*name, Change::Set(raw.as_bytes()))).collect();
        Raw::from_static("{}").with(&changes)
    }

    /// As the params of `subscriptions/listen`, without the metadata of the hop.
    pub fn params(&self) -> Raw {
        Raw::from_static("{}").with(&[("notifications", Change::Set(self.write().as_bytes()))])
    }
}

/// The strings in an array, each once; none when there is no such member.
fn strings(object: &Raw, member: &str, wrong: BadFilter) -> Result<Vec<String>, BadFilter> {
    let Some(array) = object.find(member) else { return Ok(Vec::new()) };
    if array.kind() != Kind::Array {
        return Err(wrong);
    }
    let (mut seen, mut found) = (std::collections::HashSet::new(), Vec::new());
    for element in array.elements() {
        let text = element.string().ok_or(wrong)?.into_owned();
        if seen.insert(text.clone()) {
            found.push(text);
        }
    }
    Ok(found)
}

/// The first message of a stream: the part of its filter that is accepted.
pub fn write_acknowledged(out: &mut Vec<u8>, id: &Id, accepted: &Filter) {
    let params = accepted.params().with(&[("_meta", Change::Set(stamp(id).as_bytes()))]);
    write_notification(out, &Method::SubscriptionsAcknowledged, Some(&params));
}

/// A list has changed; `id` is the request that opened the stream, where there was one.
pub fn write_list_changed(out: &mut Vec<u8>, list_changed: &Method, id: Option<&Id>) {
    let params = id.map(|id| Raw::from_static("{}").with(&[("_meta", Change::Set(stamp(id).as_bytes()))]));
    write_notification(out, list_changed, params.as_ref());
}

/// A resource has changed.
pub fn write_updated(out: &mut Vec<u8>, uri: &str, id: Option<&Id>) {
    let uri = Raw::from_text(uri);
    let stamp = id.map(stamp);
    let mut changes = vec![("uri", Change::Set(uri.as_bytes()))];
    changes.extend(stamp.as_ref().map(|stamp| ("_meta", Change::Set(stamp.as_bytes()))));
    write_notification(out, &Method::ResourceUpdated, Some(&Raw::from_static("{}").with(&changes)));
}

/// `notifications/tasks/status` of 2025-11-25: a task as it stands.
pub fn write_task_status(out: &mut Vec<u8>, task: &Raw) {
    write_notification(out, &Method::TaskStatus, Some(task));
}

/// A task stands otherwise: `task` is the whole of it.
pub fn write_task(out: &mut Vec<u8>, task: &Raw, id: &Id) {
    let params = task.with(&[("_meta", Change::Set(stamp(id).as_bytes()))]);
    write_notification(out, &Method::TaskChanged, Some(&params));
}

/// The result that ends a stream in order. `server_info` is the JSON of an `Implementation`.
pub fn closing_result(id: &Id, server_info: &Raw) -> Raw {
    let meta = stamp(id).with(&[(key::SERVER_INFO, Change::Set(server_info.as_bytes()))]);
    Raw::from_static("{\"resultType\":\"complete\"}").with(&[("_meta", Change::Set(meta.as_bytes()))])
}

fn stamp(id: &Id) -> Raw {
    Raw::from_static("{}").with(&[(key::SUBSCRIPTION_ID, Change::Set(id.raw().as_bytes()))])
}

/// The request that opened the stream that a message belongs to, as the message says.
pub fn subscription_id(params: Option<&Raw>) -> Option<Raw> {
    params?.find_path(&["_meta", key::SUBSCRIPTION_ID])
}

/// Most places at which a URI is cut to find what it may be part of.
const MOST_CUTS: usize = 64;

/// The URIs whose subscribers an update of `uri` is for: itself, and those that it may be a sub-resource of (2026-07-28,
/// subscriptions: the updated URI may be a sub-resource of the subscribed one), nearest first. A URI is part of what it
/// starts with, up to a `/`, `?` or `#`.
pub fn subscribable(uri: &str) -> impl Iterator<Item = &str> {
    let cuts = uri.bytes().enumerate().rev().filter(|(_, byte)| matches!(byte, b'/' | b'?' | b'#'));
    let parents = cuts.take(MOST_CUTS).flat_map(move |(at, byte)| {
        let with_slash = (byte == b'/' && at + 1 < uri.len()).then(|| &uri[..=at]);
        with_slash.into_iter().chain(std::iter::once(&uri[..at]))
    });
    std::iter::once(uri).chain(parents).filter(|uri| !uri.is_empty())
}

#[cfg(test)]
mod tests;
