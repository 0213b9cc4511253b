//! What the policies said of one call, for the evidence log: whether it may be made, by which policies, of which revision.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use portcullis_config::{FactKind, Policy, PolicyMode};
use portcullis_policy::Decision;
use serde_json::{Value, json};

use super::{InForce, step_up};
use crate::call::Refusal;

/// What was decided.
#[derive(Clone)]
pub(crate) struct Ruled {
    pub(super) in_force: Arc<InForce>,
    /// `None` where the caller was not shown what it named, whether it is there or not.
    pub(super) decision: Option<Decision>,
    /// Where only scopes are lacking: all that the caller's next token has to be for.
    pub(super) scope: Option<Arc<str>>,
}

impl Ruled {
    /// Whether it may be done; what is only noted that it would be denied is done all the same.
    pub(crate) fn allowed(&self) -> bool {
        self.in_force.casts_shadows() || self.decision.as_ref().is_some_and(|decision| decision.allowed)
    }

    /// The policies that decided.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &str> {
        let rules = self.decision.iter().flat_map(|decision| decision.reasons.iter());
        rules.map(move |rule| self.in_force.policies.id(*rule))
    }

    /// Whether one of these policies permits it.
    pub(crate) fn is_by(&self, ids: &[String]) -> bool {
        let permits = self.decision.as_ref().filter(|decision| decision.allowed);
        let mut by = permits.into_iter().flat_map(|decision| decision.reasons.iter());
        by.any(|rule| ids.iter().any(|id| id == self.in_force.policies.id(*rule)))
    }

    /// Why not, in words of ours.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        Some(match &self.decision {
            None => "not_shown",
            Some(decision) if decision.allowed => return None,
            Some(_) if self.in_force.casts_shadows() => "would_be_denied",
            Some(_) if self.scope.is_some() => "insufficient_scope",
            Some(decision) if decision.reasons.is_empty() => "nothing_permits",
            Some(_) => "forbidden",
        })
    }

    /// What the caller is told whose token only lacks scopes for what is denied.
    pub(crate) fn step_up(&self) -> Option<Refusal> {
        self.scope.as_deref().filter(|_| !self.allowed()).map(step_up::refusal)
    }

    /// The revision of the policies.
    pub(crate) fn revision(&self) -> &str {
        &self.in_force.revision
    }
}

/// What policies are made of beside their texts.
pub fn beside_policies(policy: &Policy) -> Value {
    let facts = |facts: &std::collections::BTreeMap<String, FactKind>| -> Value {
        facts.iter().map(|(name, kind)| (name.clone(), format!("{kind:?}").to_lowercase())).collect()
    };
    json!({
        "mode": match policy.mode { PolicyMode::Enforce => "enforce", PolicyMode::Shadow => "shadow" },
        "roles": policy.roles,
        "groups": policy.groups,
        "labels": policy.labels,
        "claims": facts(&policy.claims),
        "arguments": facts(&policy.arguments),
    })
}

/// The revision of a whole set of policies: a digest over its texts and what is beside them. Where its files are is nothing of
/// it: two gateways have them in different places.
pub fn policy_revision(policy: &Policy) -> String {
    let name = |file: &std::path::Path| file.file_name().map(|name| name.to_string_lossy().into_owned());
    let texts: Vec<_> = policy.texts.iter().map(|text| json!([name(&text.file), text.text])).collect();
    let bytes = json!([beside_policies(policy), texts]).to_string();
    crate::record::hex(digest(&SHA256, bytes.as_bytes()).as_ref())
}
