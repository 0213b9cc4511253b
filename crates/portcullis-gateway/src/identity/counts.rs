//! What is counted of who is let in: credentials by outcome, questions to identity providers.
//!
//! Labels are words of ours and identifiers of the configuration; nothing of what a caller presents is one.

use portcullis_identity::{Refused, Watch};
use portcullis_telemetry::Metrics;
use portcullis_telemetry::metrics::Counter;

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

/// Counts what goes on with identity providers.
pub(crate) struct Counts(Metrics);

impl Counts {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self(metrics)
    }
}

impl Watch for Counts {
    fn keys(&self, issuer: &str, came: bool) {
        let outcome = if came { "ok" } else { "failed" };
        let help = "Fetches of the keys of an identity provider.";
        self.0
            .counter(
                "portcullis_issuer_keys_fetches_total",
                help,
                &[("issuer", issuer), ("outcome", outcome)],
            )
            .add(1);
    }

    fn introspection(&self, issuer: &str, outcome: &'static str) {
        let help = "Questions to an identity provider about tokens that only it can read.";
        self.0
            .counter("portcullis_introspections_total", help, &[("issuer", issuer), ("outcome", outcome)])
            .add(1);
    }
}
