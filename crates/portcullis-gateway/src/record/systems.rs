//! Which AI system an event is a part of, by the settings: its server and its client say so.

use std::time::Duration;

use portcullis_audit::retention::Policy;
use portcullis_audit::{Event, System};
use portcullis_config as config;

const DAY: Duration = Duration::from_hours(24);

/// The systems of the settings, in the order of their names.
pub(super) struct Systems(Vec<(String, config::System)>);

impl Systems {
    pub(super) fn of(audit: &config::Audit) -> Self {
        Self(audit.systems.clone().into_iter().collect())
    }

    /// Writes into an event of which system it is a part, if it is of one.
    pub(super) fn tag(&self, event: &mut Event) {
        let fits = |wanted: &[String], is: Option<&String>| {
            wanted.is_empty() || is.is_some_and(|is| wanted.contains(is))
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
        event.system = System {
            deployer: system.deployer.clone(),
            id: Some(name.clone()),
            model: system.model.clone(),
            purpose: system.purpose.clone(),
            risk: system.risk.clone(),
        };
        event.data.categories.clone_from(&system.data);
        event.data.legal_basis.clone_from(&system.legal_basis);
        event.data.retention = system.retention_days.map(|_| name.clone());
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
