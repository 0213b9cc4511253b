//! One identity provider: its settings, its keys, and how it is asked about tokens.

pub(crate) mod discovery;
mod introspection;
mod keys;

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::fetch::Fetch;
use crate::settings::IssuerSettings;

pub(crate) use introspection::Introspector;
#[cfg(test)]
pub(crate) use keys::BETWEEN_MISSES;
pub(crate) use keys::{Keys, origin};

/// An identity provider.
pub(crate) struct Issuer {
    pub(crate) settings: IssuerSettings,
    pub(crate) keys: Arc<Keys>,
    pub(crate) introspector: Option<Introspector>,
}

impl Issuer {
    /// One that is asked through `client`. Of one from before, the keys are still good.
    pub(crate) fn new(
        settings: &IssuerSettings,
        client: &Arc<dyn Fetch>,
        runtime: &Handle,
        before: Option<&Self>,
    ) -> Self {
        let keys = Keys::new(settings, client.clone(), runtime.clone());
        if let Some(before) = before.filter(|before| before.settings.jwks_url == settings.jwks_url) {
            keys.take_over(&before.keys);
        }
        let introspection = settings.introspection.clone();
        Self {
            settings: settings.clone(),
            keys: Arc::new(keys),
            introspector: introspection.map(|settings| Introspector::new(settings, client.clone())),
        }
    }
}
