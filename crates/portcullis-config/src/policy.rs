//! Who may do what, checked as far as it can be without understanding policies.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Who may do what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether what is denied is denied.
    pub mode: PolicyMode,
    /// The files of policies, as they were read.
    pub texts: Vec<PolicyText>,
    /// Roles, each with the groups that have it.
    pub roles: BTreeMap<String, Vec<String>>,
    /// Groups, each with the ids of principals that are in it.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Labels, each with patterns of what has it.
    pub labels: BTreeMap<String, Vec<String>>,
    /// The claims that policies may read.
    pub claims: BTreeMap<String, FactKind>,
    /// The arguments that policies may read.
    pub arguments: BTreeMap<String, FactKind>,
}

/// Whether what is denied is denied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PolicyMode {
    /// It is.
    #[default]
    Enforce,
    /// It is only logged.
    Shadow,
}

/// A file of policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyText {
    /// Where it is.
    pub file: PathBuf,
    /// What is in it.
    pub text: String,
}

/// The type of a claim or an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactKind {
    /// A text.
    String,
    /// A 64-bit integer.
    Integer,
    /// A number with up to four decimals.
    Decimal,
    /// True or false.
    Boolean,
    /// A list of texts.
    Strings,
}
