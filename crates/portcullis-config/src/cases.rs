//! Cases to try policies on: `portcullis policy test FILE`.
//!
//! A case says who does what to which thing, and what is expected. The file is read like a configuration: in any format,
//! and with every problem told at its line.

use std::path::{Path as FilePath, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::node::{Node, Path, Value};
use crate::report::Report;
use crate::{Environment, Problems, conform, fill, load, read, schema};

/// A file of cases.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cases {
    /// The configuration whose policies are tried, from the folder of this file. `--config` wins over it.
    pub config: Option<PathBuf>,
    /// The cases.
    pub cases: Vec<Case>,
}

/// One case.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it is called in the report.
    pub name: Option<String>,
    /// Who calls.
    #[serde(rename = "as")]
    pub who: Who,
    /// The method: `tools/call`, `prompts/get`, `resources/read`, or any other; by default the one that uses the thing.
    #[serde(rename = "do")]
    pub method: Option<String>,
    /// `SERVER/NAME` of a tool, by the server's own name, or as the aggregate names it.
    pub tool: Option<String>,
    /// `SERVER/NAME` of a prompt.
    pub prompt: Option<String>,
    /// `SERVER/URI` of a resource.
    pub resource: Option<String>,
    /// `SERVER/TEMPLATE` of a template of resources.
    pub template: Option<String>,
    /// A server.
    pub server: Option<String>,
    /// A toolset.
    pub toolset: Option<String>,
    /// What the server says of its tool: any of `readOnlyHint`, `destructiveHint`, `idempotentHint`, `openWorldHint`, with
    /// `!` before it for one that it denies.
    #[serde(default)]
    pub annotations: Vec<String>,
    /// The arguments of the call, as JSON text.
    pub args: Option<String>,
    /// The address that the caller connects from.
    pub from: Option<String>,
    /// When, as `2026-11-28T20:00:00Z`; now, if it does not say.
    pub at: Option<String>,
    /// What is expected.
    pub expect: Expected,
    /// The id of a policy that has to be among the reasons.
    pub by: Option<String>,
    /// Where it stands in the file.
    #[serde(skip)]
    pub line: usize,
}

/// Who calls.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Who {
    /// The id: `anonymous`, `user:<issuer>#<subject>`, `key:<name>`, `cert:<SHA-256 in hex>`, or a SPIFFE id.
    pub id: String,
    /// Its groups.
    pub groups: Vec<String>,
    /// Its scopes; a user or a key has none if it does not say.
    pub scopes: Vec<String>,
    /// The client that its token was issued to.
    pub client: Option<String>,
    /// Claims of its token, as JSON text.
    pub claims: Option<String>,
}

impl Default for Who {
    fn default() -> Self {
        Self {
            id: "anonymous".to_owned(),
            groups: Vec::new(),
            scopes: Vec::new(),
            client: None,
            claims: None,
        }
    }
}

/// What is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "documented words would each be a form of their own in the schema")]
pub enum Expected {
    Allow,
    Deny,
}

/// Reads a file of cases.
///
/// # Errors
/// Every problem of the file in one run.
pub fn cases(file: &FilePath, env: &dyn Environment) -> Result<Cases, Problems> {
    let mut report = Report::new(&file.display().to_string());
    let (format, text) = match load::read_file(file) {
        Ok(read) => read,
        Err(message) => {
            report.error(crate::node::Mark::default(), &Path::default(), message, None);
            return report.refused();
        }
    };
    let Some(mut root) = read::read(&text, format, &mut report) else { return report.refused() };
    fill::fill(&mut root, &Path::default(), env, &mut report);
    let conformed = conform::conform(&schema::of::<Cases>(), &root, &mut report);
    let cases = serde_json::from_value::<Cases>(conformed);
    report.finish()?;
    let mut cases = match cases {
        Ok(cases) => cases,
        Err(error) => {
            let mut report = Report::new(&file.display().to_string());
            report.error(root.at, &Path::default(), error.to_string(), None);
            return report.refused();
        }
    };
    if let Some(Node { value: Value::List(items), .. }) = root.locate(&Path::top("cases")).1 {
        for (case, item) in cases.cases.iter_mut().zip(items) {
            case.line = item.at.line;
        }
    }
    if let Some(config) = &mut cases.config {
        let folder = file.parent().unwrap_or(FilePath::new("."));
        *config = folder.join(&*config);
    }
    Ok(cases)
}
