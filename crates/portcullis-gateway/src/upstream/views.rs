//! What views of a server's apps may ask for, from its settings.

use portcullis_config as config;
use portcullis_mcp::apps::{Policy, Source};

/// The policy that the settings mean.
pub(super) fn policy(apps: &config::Apps) -> Policy {
    // What is no source covers nothing: leaving it out only tightens.
    let sources = |texts: &Option<Vec<String>>| {
        texts.as_ref().map(|texts| texts.iter().filter_map(|text| Source::parse(text)).collect())
    };
    Policy {
        connect: sources(&apps.connect_domains),
        resource: sources(&apps.resource_domains),
        frame: sources(&apps.frame_domains),
        base_uri: sources(&apps.base_uri_domains),
        permissions: apps.permissions.clone(),
    }
}
