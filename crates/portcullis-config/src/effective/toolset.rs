//! Virtual servers, in the shape of the file.

use serde_json::{Map, Value, json};

use super::{secret, without_nulls};
use crate::units::show_duration;
use crate::{Discovery, DiscoveryRule, Embeddings, Pick, Settings, Toolset};

fn discovery(discovery: Discovery) -> &'static str {
    match discovery {
        Discovery::Off => "off",
        Discovery::Beside => "beside",
        Discovery::Instead => "instead",
    }
}

/// How tools are found.
pub(super) fn finding(settings: &Settings) -> Value {
    let rule = |rule: &DiscoveryRule| {
        json!({
            "names": rule.names,
            "groups": rule.groups,
            "principals": rule.principals,
            "tools": discovery(rule.tools),
        })
    };
    let rules: Vec<_> = settings.discovery_rules.iter().map(rule).collect();
    without_nulls(json!({
        "tools": discovery(settings.discovery),
        "clients": (!rules.is_empty()).then_some(rules),
        "embeddings": settings.embeddings.as_ref().map(embeddings),
    }))
}

fn embeddings(embeddings: &Embeddings) -> Value {
    without_nulls(json!({
        "url": embeddings.url,
        "model": embeddings.model,
        "key": embeddings.key.as_ref().map(secret),
        "ca": embeddings.ca.as_ref().map(|path| path.display().to_string()),
        "timeout": show_duration(embeddings.timeout),
    }))
}

pub(super) fn toolset(toolset: &Toolset) -> Value {
    without_nulls(json!({
        "title": toolset.title,
        "instructions": toolset.instructions,
        "discovery": discovery(toolset.discovery),
        "tools": toolset.tools.iter().map(pick).collect::<Vec<_>>(),
        "prompts": toolset.prompts.iter().map(pick).collect::<Vec<_>>(),
        "resources": toolset.resources.iter().map(ToString::to_string).collect::<Vec<_>>(),
    }))
}

fn pick(pick: &Pick) -> Value {
    let preset = pick.preset.iter().map(|(name, text)| {
        let value = serde_json::from_str(text).expect("it was written from a value");
        (name.clone(), value)
    });
    let preset: Map<String, Value> = preset.collect();
    without_nulls(json!({
        "from": pick.from.to_string(),
        "name": pick.name,
        "title": pick.title,
        "description": pick.description,
        "preset": (!preset.is_empty()).then_some(preset),
        "hide": (!pick.hide.is_empty()).then_some(&pick.hide),
    }))
}
