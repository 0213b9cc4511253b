//! Which AI system an event is a part of, by the settings: its server and its client say so.

use std::time::Duration;

use portcullis_audit::retention::Policy;
use portcullis_audit::{Event, System, Word};
use portcullis_config as config;

const DAY: Duration = Duration::from_hours(24);

/// The systems of the settings, in the order of their names.
pub(super) struct Systems(Vec<(String, config::System)>);

impl Systems {
    pub(super) fn of(audit: &config::Audit) -> Self {
        Self(audit.systems.clone().into_iter().collect())
    }

    /// Writes into an event of which system it is a part, if it is of one.
    pub(super) fn tag<'a, S: Word + From<&'a str>>(&'a self, event: &mut Event<S>) {
        let fits = |wanted: &[String], is: Option<&S>| {
            wanted.is_empty() || is.is_some_and(|is| wanted.iter().any(|wanted| wanted == is.as_ref()))
        };
        // What is of no server and no client is of no system: the gateway's own events.
        if self.0.is_empty() || event.server.id.is_none() && event.who.client.is_none() {
            return;
        }
        let found = self.0.iter().find(|(_, system)| {
            fits(&system.servers, event.server.id.as_ref())
                && fits(&system.clients, event.who.client.as_ref())
        });
        let Some((name, system)) = found else { return };
        let word = |word: &'a Option<String>| word.as_deref().map(S::from);
        event.system = System {
            deployer: word(&system.deployer),
            id: Some(name.as_str().into()),
            model: word(&system.model),
            purpose: word(&system.purpose),
            risk: word(&system.risk),
        };
        event.data.categories = system.data.iter().map(|category| category.as_str().into()).collect();
        event.data.legal_basis = word(&system.legal_basis);
        event.data.retention = system.retention_days.map(|_| name.as_str().into());
    }
}

/// How long events are kept, by the settings.
pub fn policy(audit: &config::Audit) -> Policy {
    let days = |days: u32| DAY * days;
    let classes = audit.systems.iter();
    Policy {
        default: days(audit.retention_days),
        classes: classes
            .filter_map(|(name, system)| Some((name.clone(), days(system.retention_days?))))
            .collect(),
    }
}
