//! The Role of `examples/kubernetes/`, read as far as its own form needs.

use std::path::Path;

/// One rule: a resource with its group (`apps/deployments`), and what may be done with it.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) resource: String,
    pub(super) verbs: Vec<String>,
}

impl Rule {
    pub(super) fn allows(&self, resource: &str, verb: &str) -> bool {
        self.resource == resource && self.verbs.iter().any(|it| it == verb)
    }
}

/// The rules of the published manifest.
pub(super) fn published() -> Vec<Rule> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/kubernetes/rbac.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let mut rules = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| line.starts_with("- { apiGroups:")) {
        let list = |key: &str| -> Vec<String> {
            let (_, rest) = line.split_once(&format!("{key}: [")).unwrap_or_else(|| panic!("{key}: {line}"));
            let (items, _) = rest.split_once(']').unwrap();
            items.split(',').map(|item| item.trim().trim_matches('"').to_owned()).collect()
        };
        let (groups, verbs) = (list("apiGroups"), list("verbs"));
        for resource in list("resources") {
            let resource = format!("{}/{resource}", groups[0]);
            rules.push(Rule { resource, verbs: verbs.clone() });
        }
    }
    assert!(!rules.is_empty(), "the manifest has another form than this reads");
    rules
}
