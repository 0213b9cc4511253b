//! What is counted of who is let in: credentials by outcome, questions to identity providers. And what is put on record of
//! it: logins that end before their time.
//!
//! Labels are words of ours and identifiers of the configuration; nothing of what a caller presents is one.

use std::sync::Arc;

use portcullis_identity::{Refused, Watch};
use portcullis_telemetry::Metrics;
use portcullis_telemetry::metrics::Counter;

use crate::record::Evidence;

const CREDENTIALS: (&str, &str) =
    ("portcullis_credentials_total", "Credentials that were presented, by what came of them.");

/// Counts credentials that let somebody in.
pub(crate) fn accepted(metrics: &Metrics) -> Counter {
    metrics.counter(CREDENTIALS.0, CREDENTIALS.1, &[("outcome", "accepted"), ("reason", "")])
}

/// Counts one that did not. Its absence is no credential.
pub(crate) fn refused(metrics: &Metrics, refused: &Refused) {
    let (outcome, reason) = match refused {
        Refused::Missing => return,
        Refused::Unavailable => ("unavailable", String::new()),
        Refused::Invalid(reason) | Refused::Proof(reason) => ("refused", format!("{reason:?}")),
        Refused::Malformed(_) | Refused::Nonce | Refused::Scope => {
            ("refused", refused.code().unwrap_or_default().to_owned())
        }
    };
    metrics.counter(CREDENTIALS.0, CREDENTIALS.1, &[("outcome", outcome), ("reason", &reason)]).add(1);
}

/// Counts what goes on with identity providers, and puts on record what is kept of it.
pub(crate) struct Counts {
    metrics: Metrics,
    evidence: Option<Arc<Evidence>>,
}

impl Counts {
    pub(crate) fn new(metrics: Metrics, evidence: Option<Arc<Evidence>>) -> Self {
        Self { metrics, evidence }
    }
}

impl Watch for Counts {
    fn keys(&self, issuer: &str, came: bool) {
        let outcome = if came { "ok" } else { "failed" };
        let help = "Fetches of the keys of an identity provider.";
        self.metrics
            .counter(
                "portcullis_issuer_keys_fetches_total",
                help,
                &[("issuer", issuer), ("outcome", outcome)],
            )
            .add(1);
    }

    fn introspection(&self, issuer: &str, outcome: &'static str) {
        let help = "Questions to an identity provider about tokens that only it can read.";
        self.metrics
            .counter("portcullis_introspections_total", help, &[("issuer", issuer), ("outcome", outcome)])
            .add(1);
    }

    fn ended(&self, issuer: &str, subject: Option<&str>, why: &'static str) {
        if let Some(evidence) = &self.evidence {
            evidence.login_ended(issuer, subject, why);
        }
    }
}
