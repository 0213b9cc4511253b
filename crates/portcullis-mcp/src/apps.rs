//! MCP Apps (`io.modelcontextprotocol/ui`): which tools have views, and what an operator takes away from views.
//!
//! A view is HTML behind a `ui://` resource; its `_meta.ui` asks the host for domains and permissions. Hosts may
//! tighten what it asks for and never loosen it, and so may a gateway: [`Policy`] only ever removes. HTML is never
//! looked at, and `_meta` objects are passed whole but for what a policy removes. Where URIs of views are rewritten
//! for an aggregate is [`crate::uris::rewrite`]'s business.

mod source;

use crate::json::{Change, Kind, Raw};
use crate::uris::rewrite::{each, edit};

pub use source::Source;

/// The spelling of `_meta.ui.resourceUri` before 2026-01-26.
pub const FLAT_RESOURCE_URI: &str = "ui/resourceUri";

/// What views may ask for; what is `None` is not restricted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// `csp.connectDomains`: where a view may send requests.
    pub connect: Option<Vec<Source>>,
    /// `csp.resourceDomains`: where it may load images, scripts, styles and the like from.
    pub resource: Option<Vec<Source>>,
    /// `csp.frameDomains`: what it may embed.
    pub frame: Option<Vec<Source>>,
    /// `csp.baseUriDomains`: what it may set as the base of its document.
    pub base_uri: Option<Vec<Source>>,
    /// `permissions`: the names of those that it may ask for.
    pub permissions: Option<Vec<String>>,
}

impl Policy {
    /// Whether nothing is restricted.
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// An item of a list, or one of the `contents` of `resources/read`: its `_meta.ui`, tightened. `None` when nothing
    /// changes.
    pub fn tighten_item(&self, item: &Raw) -> Option<Raw> {
        edit(item, &[("_meta", &|meta| edit(meta, &[("ui", &|ui| self.tighten(ui))]))])
    }

    /// A result of `resources/read`.
    pub fn tighten_read_result(&self, result: &Raw) -> Option<Raw> {
        edit(result, &[("contents", &|contents| each(contents, &|item| self.tighten_item(item)))])
    }

    /// A result of `tools/call`: the resources embedded in its `content`.
    pub fn tighten_tool_result(&self, result: &Raw) -> Option<Raw> {
        edit(result, &[("content", &|content| self.tighten_content(content))])
    }

    /// A result of `prompts/get`: the resources embedded in its `messages`.
    pub fn tighten_prompt_result(&self, result: &Raw) -> Option<Raw> {
        let message = |message: &Raw| edit(message, &[("content", &|content| self.tighten_content(content))]);
        edit(result, &[("messages", &|messages| each(messages, &message))])
    }

    fn tighten_content(&self, content: &Raw) -> Option<Raw> {
        let block = |block: &Raw| {
            edit(
                block,
                &[
                    ("_meta", &|meta| edit(meta, &[("ui", &|ui| self.tighten(ui))])),
                    ("resource", &|resource| self.tighten_item(resource)),
                ],
            )
        };
        if content.kind() == Kind::Array { each(content, &block) } else { block(content) }
    }

    fn tighten(&self, ui: &Raw) -> Option<Raw> {
        let lists = [
            ("connectDomains", &self.connect),
            ("resourceDomains", &self.resource),
            ("frameDomains", &self.frame),
            ("baseUriDomains", &self.base_uri),
        ];
        let csp = |csp: &Raw| {
            let allowed = lists.iter().filter_map(|(key, allowed)| Some((*key, allowed.as_ref()?)));
            let kept: Vec<(&str, Raw)> = allowed
                .filter_map(|(key, allowed)| Some((key, intersect(&csp.find(key)?, allowed)?)))
                .collect();
            let changes: Vec<_> =
                kept.iter().map(|(key, value)| (*key, Change::Set(value.as_bytes()))).collect();
            (!changes.is_empty()).then(|| csp.with(&changes))
        };
        let permissions = |asked: &Raw| {
            let allowed = self.permissions.as_ref()?;
            let asked_for: Vec<_> = asked.members().map(|member| member.key().into_owned()).collect();
            let refused = asked_for.iter().filter(|name| !allowed.contains(name));
            let changes: Vec<_> = refused.map(|name| (name.as_str(), Change::Remove)).collect();
            match changes.as_slice() {
                [] if asked.kind() == Kind::Object => None,
                // At most 64 changes at once; whoever asks for more gets nothing.
                few if few.len() <= 64 && asked.kind() == Kind::Object => Some(asked.with(few)),
                _ => Some(Raw::from_static("{}")),
            }
        };
        edit(ui, &[("csp", &csp), ("permissions", &permissions)])
    }
}

/// The entries of `asked` that something in `allowed` covers; `None` when that is all of them.
fn intersect(asked: &Raw, allowed: &[Source]) -> Option<Raw> {
    if asked.kind() != Kind::Array {
        return Some(Raw::from_static("[]"));
    }
    let fits = |entry: &Raw| {
        let text = entry.string();
        let source = text.as_deref().and_then(Source::parse);
        source.is_some_and(|source| allowed.iter().any(|allowed| allowed.covers(&source)))
    };
    if asked.elements().all(|entry| fits(&entry)) {
        return None;
    }
    Some(asked.map_elements(|entry| fits(&entry).then_some(entry)))
}

/// The views that a tool names, in either spelling: one, unless the two differ.
pub fn views_of(tool: &Raw) -> impl Iterator<Item = String> + use<> {
    let meta = tool.find("_meta");
    let nested =
        meta.as_ref().and_then(|meta| Some(meta.find_path(&["ui", "resourceUri"])?.string()?.into_owned()));
    let flat = meta.and_then(|meta| meta.find_string(FLAT_RESOURCE_URI));
    let flat = flat.filter(|flat| nested.as_ref() != Some(flat));
    nested.into_iter().chain(flat)
}

/// The tool, naming no view. All else that it says of its app stays.
pub fn without_view(tool: &Raw) -> Raw {
    let Some(meta) = tool.find("_meta") else { return tool.clone() };
    let ui = meta.find("ui").filter(|ui| ui.kind() == Kind::Object);
    let ui = ui.map(|ui| ui.with(&[("resourceUri", Change::Remove)]));
    let mut changes = vec![(FLAT_RESOURCE_URI, Change::Remove)];
    changes.extend(ui.as_ref().map(|ui| ("ui", Change::Set(ui.as_bytes()))));
    let meta = meta.with(&changes);
    tool.with(&[("_meta", Change::Set(meta.as_bytes()))])
}

/// Whether a tool takes part in an app, so that a view may call it: it names a view or says who sees it, and does not
/// say that views do not.
pub fn is_linked(tool: &Raw) -> bool {
    let Some(meta) = tool.find("_meta") else { return false };
    let Some(ui) = meta.find("ui").filter(|ui| ui.kind() == Kind::Object) else {
        return meta.find(FLAT_RESOURCE_URI).is_some();
    };
    // Absent means everybody.
    ui.find("visibility").is_none_or(|visibility| visibility.elements().any(|who| who.is_text("app")))
}

#[cfg(test)]
mod tests;
