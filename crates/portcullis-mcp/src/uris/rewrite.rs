//! The places in results where resource URIs stand.
//!
//! Every function takes a value and a map from URI to new URI, and returns the value with its URIs mapped, or `None`
//! when nothing changed: what the map leaves alone keeps its bytes. A map returns `None` for a URI that stays.
//! A value of an unexpected shape is left alone; whether it is valid is for others to say.

use crate::json::{Kind, Raw};

/// From URI to new URI; `None` leaves it.
pub type UriMap<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// A result of `tools/call` (also inside a task): the blocks of its `content`.
pub fn tool_result(result: &Raw, map: &UriMap<'_>) -> Option<Raw> {
    edit(result, &[("content", &|content| content_blocks(content, map))])
}

/// A result of `prompts/get`: the content of its `messages`. Fits the messages of a sampling request as well.
pub fn prompt_result(result: &Raw, map: &UriMap<'_>) -> Option<Raw> {
    let message = |message: &Raw| edit(message, &[("content", &|content| content_blocks(content, map))]);
    edit(result, &[("messages", &|messages| each(messages, &message))])
}

/// A result of `resources/read`: the `uri` of its `contents`.
pub fn read_result(result: &Raw, map: &UriMap<'_>) -> Option<Raw> {
    let item = |item: &Raw| edit(item, &[("uri", &|uri| text(uri, map))]);
    edit(result, &[("contents", &|contents| each(contents, &item))])
}

/// One content block or an array of them: `uri` of a `resource_link`, `resource.uri` of a `resource`, and what a
/// `tool_result` holds.
pub fn content_blocks(content: &Raw, map: &UriMap<'_>) -> Option<Raw> {
    if content.kind() == Kind::Array {
        return each(content, &|block| content_block(block, map));
    }
    content_block(content, map)
}

fn content_block(block: &Raw, map: &UriMap<'_>) -> Option<Raw> {
    let uri = |object: &Raw| edit(object, &[("uri", &|uri| text(uri, map))]);
    match block.find("type")?.string()?.as_ref() {
        "resource_link" => uri(block),
        "resource" => edit(block, &[("resource", &uri)]),
        // Within bounds: a checked document is no deeper than its limits.
        "tool_result" => edit(block, &[("content", &|content| content_blocks(content, map))]),
        _ => None,
    }
}

/// One item of a list: `uri` of a resource, `uriTemplate` of a template, and the view that a tool names in
/// `_meta.ui.resourceUri` or, in the older spelling, `_meta["ui/resourceUri"]`.
pub fn list_item(item: &Raw, map: &UriMap<'_>) -> Option<Raw> {
    let here = |uri: &Raw| text(uri, map);
    let ui = |ui: &Raw| edit(ui, &[("resourceUri", &here)]);
    let meta = |meta: &Raw| edit(meta, &[("ui", &ui), ("ui/resourceUri", &here)]);
    edit(item, &[("uri", &here), ("uriTemplate", &here), ("_meta", &meta)])
}

/// A result of one of the list methods: its items, see [`list_item`].
pub fn list_result(result: &Raw, map: &UriMap<'_>) -> Option<Raw> {
    let items = |items: &Raw| each(items, &|item| list_item(item, map));
    edit(result, &[("resources", &items), ("resourceTemplates", &items), ("tools", &items)])
}

/// A string value.
pub fn text(value: &Raw, map: &UriMap<'_>) -> Option<Raw> {
    map(&value.string()?).map(|uri| Raw::from_text(&uri))
}

/// How a member's value changes; `None` leaves it.
pub(crate) type Edit<'a> = &'a dyn Fn(&Raw) -> Option<Raw>;

/// The object with some members edited, all bytes around them kept; `None` when nothing changes.
pub(crate) fn edit(object: &Raw, edits: &[(&str, Edit<'_>)]) -> Option<Raw> {
    let mut edited = None;
    for (key, edit) in edits {
        if let Some(value) = object.find(key).and_then(|value| edit(&value)) {
            edited = Some(edited.as_ref().unwrap_or(object).map_member(key, |_| value));
        }
    }
    edited
}

/// The array with each element edited; `None` when nothing changes.
pub(crate) fn each(array: &Raw, edit: Edit<'_>) -> Option<Raw> {
    let mut edited = array.elements().map(|element| edit(&element)).collect::<Vec<_>>().into_iter();
    if edited.as_slice().iter().all(Option::is_none) {
        return None;
    }
    Some(array.map_elements(|element| Some(edited.next().flatten().unwrap_or(element))))
}
