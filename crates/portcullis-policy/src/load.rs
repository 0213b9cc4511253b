//! Texts become policies, or a list of all that is wrong with them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use cedar_policy::{Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use miette::Diagnostic;

use crate::rule::Rule;
use crate::schema::{self, Kind};
use crate::source::{Piece, Problem, Source};
use crate::step_up::{self, StepUp};

/// What the operator says beside the policies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Roles, and the groups that have them. With any, the policies of the default roles are there too.
    pub roles: BTreeMap<String, Vec<String>>,
    /// Groups, and the ids of principals that are in them beside those that say so themselves.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Labels, and patterns of what has them: `SERVER` or `SERVER/NAME`, with `*`.
    pub labels: BTreeMap<String, Vec<String>>,
    /// The servers there are.
    pub servers: BTreeSet<String>,
    /// The toolsets there are.
    pub toolsets: BTreeSet<String>,
    /// The claims of tokens that policies may read.
    pub claims: BTreeMap<String, Kind>,
    /// The arguments of tools that policies may read.
    pub arguments: BTreeMap<String, Kind>,
    /// The scopes that clients can be told to ask for.
    pub step_up: StepUp,
    /// Whether what Cedar only warns of refuses the policies.
    pub strict: bool,
}

/// The policies of the default roles.
fn default_roles() -> Source {
    Source { file: "default roles".to_owned(), text: include_str!("roles.cedar").to_owned() }
}

/// What was loaded.
pub(crate) struct Loaded {
    pub(crate) rules: Vec<Rule>,
    pub(crate) warnings: Vec<Problem>,
}

/// Reads all policies.
///
/// # Errors
/// Everything that is wrong, warnings included, in the order of the sources.
pub(crate) fn load(sources: &[Source], options: &Options) -> Result<Loaded, Vec<Problem>> {
    let schema = schema::schema(&options.claims, &options.arguments).map_err(|error| {
        let message = format!("the declared claims and arguments cannot be used: {error}");
        vec![Problem { file: "policy".to_owned(), line: 1, column: 1, message, is_error: true }]
    })?;
    let roles = (!options.roles.is_empty()).then(default_roles);
    let mut load = Load { options, schema, rules: Vec::new(), problems: Vec::new(), ids: HashMap::new() };
    for source in roles.iter().chain(sources) {
        for piece in source.pieces() {
            load.take(source, &piece);
        }
    }
    if load.problems.iter().any(|problem| problem.is_error) {
        return Err(load.problems);
    }
    Ok(Loaded { rules: load.rules, warnings: load.problems })
}

struct Load<'a> {
    options: &'a Options,
    schema: Schema,
    rules: Vec<Rule>,
    problems: Vec<Problem>,
    /// Where each id stands.
    ids: HashMap<String, String>,
}

impl Load<'_> {
    fn take(&mut self, source: &Source, piece: &Piece<'_>) {
        let number = self.rules.len();
        let policy = match Policy::parse(Some(PolicyId::new(number.to_string())), piece.text) {
            Ok(policy) => policy,
            Err(errors) => {
                for error in errors.iter() {
                    let message = with_help(error.to_string(), error);
                    self.problems.push(source.problem(piece.start + offset(error), message));
                }
                return;
            }
        };
        let (line, column) = source.place(piece.start);
        let place = format!("{}:{line}:{column}", source.file);
        let id = match policy.annotation("id").filter(|id| !id.is_empty()) {
            Some(id) => id.to_owned(),
            None => self.id_of_place(&source.file, line, &place),
        };
        if let Some(other) = self.ids.insert(id.clone(), place) {
            let message = format!("the id `{id}` is taken already, at {other}");
            self.problems.push(source.problem(piece.start, message));
        }
        self.validate(source, piece, &policy);
        self.look_up_servers(source, piece, &policy);
        self.look_up_scopes(source, piece, &policy);
        let place = (source.file.as_str().into(), line, piece.text.to_owned());
        match Rule::new(number, &policy, Arc::from(id), place) {
            Ok(rule) => self.rules.push(rule),
            Err(error) => self.problems.push(source.problem(piece.start, error)),
        }
    }

    /// What a policy without an id is called: as shortly as tells it from the others.
    fn id_of_place(&self, file: &str, line: usize, place: &str) -> String {
        let short = format!("{}:{line}", file.rsplit('/').next().unwrap_or(file));
        if self.ids.contains_key(&short) { place.to_owned() } else { short }
    }

    /// Against the schema. A misspelt attribute would otherwise make a `forbid` fail, and so permit.
    fn validate(&mut self, source: &Source, piece: &Piece<'_>, policy: &Policy) {
        let set = PolicySet::from_policies([policy.clone()]).expect("one policy has one id");
        let result = Validator::new(self.schema.clone()).validate(&set, ValidationMode::Strict);
        let clean = |text: String| {
            // Cedar calls the policy by the number that it has here.
            let prefix = format!("for policy `{}`, ", policy.id());
            text.strip_prefix(&prefix).map_or(text.clone(), str::to_owned)
        };
        let at = |finding: &dyn Diagnostic| piece.start + offset(finding);
        let errors = result
            .validation_errors()
            .map(|error| (at(error), true, with_help(clean(error.to_string()), error)));
        let warnings = result.validation_warnings().map(|warning| {
            (at(warning), self.options.strict, with_help(clean(warning.to_string()), warning))
        });
        let mut found: Vec<_> = errors.chain(warnings).collect();
        found.sort_unstable();
        // One slip is found again for each action and kind of caller that the policy is about.
        found.dedup_by_key(|(at, is_error, _)| (*at, *is_error));
        for (at, is_error, message) in found {
            self.problems.push(Problem { is_error, ..source.problem(at, message) });
        }
    }

    /// A policy about a server or a toolset that is not there is one with a misspelt name.
    fn look_up_servers(&mut self, source: &Source, piece: &Piece<'_>, policy: &Policy) {
        for entity in policy.entity_literals() {
            let id = entity.id().unescaped();
            let (names, name, message) = match entity.type_name().to_string().as_str() {
                "Server" => (&self.options.servers, id, "is of no configured server"),
                "Tool" | "Prompt" | "Resource" => {
                    let server = id.split('/').next().unwrap_or_default();
                    (&self.options.servers, server, "is of no configured server")
                }
                "Toolset" => (&self.options.toolsets, id, "is no configured toolset"),
                _ => continue,
            };
            if !names.contains(name) {
                let at = piece.text.find(&format!("\"{id}\"")).unwrap_or(0);
                let message = format!("`{entity}` {message}");
                let problem = source.problem(piece.start + at, message);
                self.problems.push(Problem { is_error: false, ..problem });
            }
        }
    }

    /// Where clients are told which scopes to ask for, a policy about another one is most likely misspelt.
    fn look_up_scopes(&mut self, source: &Source, piece: &Piece<'_>, policy: &Policy) {
        let mut named = BTreeSet::new();
        if !self.options.step_up.scopes.is_empty()
            && let Ok(est) = policy.to_json()
        {
            step_up::named(&est["conditions"], &mut named);
        }
        for scope in named.iter().filter(|scope| !self.options.step_up.knows(scope)) {
            let at = piece.text.find(&format!("\"{scope}\"")).unwrap_or(0);
            let message = format!(
                "no client is told to ask for the scope `{scope}`: it is neither in `identity.scopes` nor in `identity.step_up`"
            );
            let problem = source.problem(piece.start + at, message);
            self.problems.push(Problem { is_error: false, ..problem });
        }
    }
}

/// Where in its piece an error is.
fn offset(error: &dyn Diagnostic) -> usize {
    let mut labels = error.labels().into_iter().flatten();
    labels.next().map_or(0, |label| label.offset())
}

fn with_help(message: String, error: &dyn Diagnostic) -> String {
    match error.help() {
        Some(help) => format!("{message} ({help})"),
        None => message,
    }
}
