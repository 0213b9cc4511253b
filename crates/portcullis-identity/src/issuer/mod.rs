//! One identity provider: its settings, its keys, and how it is asked about tokens.

pub(crate) mod discovery;
mod introspection;
mod keys;
mod lane;

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::fetch::Fetch;
use crate::settings::IssuerSettings;
use crate::watch::Watch;

pub(crate) use discovery::places;
pub(crate) use introspection::Introspector;
pub(crate) use introspection::form_encode;
#[cfg(test)]
pub(crate) use keys::BETWEEN_MISSES;
pub(crate) use keys::{Keys, origin, trust_in};

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
        watch: &Arc<dyn Watch>,
        before: Option<&Self>,
    ) -> Self {
        let keys = Keys::new(settings, client.clone(), runtime.clone(), watch.clone());
        if let Some(before) = before.filter(|before| before.settings.jwks_url == settings.jwks_url) {
            keys.take_over(&before.keys);
        }
        let introspector = settings.introspection.clone().map(|introspection| {
            let new = Introspector::new(introspection, client.clone(), watch.clone());
            match before.and_then(|before| before.introspector.as_ref()) {
                Some(before) => new.take_over(before),
                None => new,
            }
        });
        Self { settings: settings.clone(), keys: Arc::new(keys), introspector }
    }

    /// How old its keys are; `None` while there are none.
    pub(crate) fn age_of_keys(&self) -> Option<std::time::Duration> {
        self.keys.age()
    }
}
