//! `portcullis doctor …`: what is wrong, and what to do.

use std::process::ExitCode;

use portcullis_identity::doctor::{Finding, Means, Verdict, examine};
use serde_json::json;

use crate::Usage;
use crate::args::{DoctorAuth, DoctorVerb};
use crate::connect::token;
use crate::stdout::print;

pub(crate) fn run(verb: &DoctorVerb) -> anyhow::Result<ExitCode> {
    match verb {
        DoctorVerb::Auth(asked) => auth(asked),
    }
}

/// Walks a login at an endpoint.
fn auth(asked: &DoctorAuth) -> anyhow::Result<ExitCode> {
    let means = Means {
        client_id: asked.client_id.clone(),
        redirect_uri: asked.redirect_uri.clone(),
        token: asked.token_env.as_deref().map(token).transpose()?,
    };
    let probe = portcullis_gateway::probe(asked.ca.as_deref()).map_err(|error| Usage(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let findings = runtime.block_on(examine(&asked.url, &means, probe.as_ref()));
    let has = |verdict| findings.iter().any(|finding| finding.verdict == verdict);
    let ok = !has(Verdict::Bad) && !has(Verdict::Away);
    if asked.json {
        let all: Vec<_> = findings.iter().map(Finding::describe).collect();
        print(format_args!("{:#}", json!({"ok": ok, "url": asked.url, "findings": all})));
    } else {
        for finding in &findings {
            print(line(finding));
        }
        let last = if ok { "a client can log in here" } else { "a client cannot log in here" };
        print(last);
    }
    // What is wrong wins over what is away: it stays wrong when that comes back.
    Ok(ExitCode::from(if has(Verdict::Bad) {
        1
    } else if ok {
        0
    } else {
        3
    }))
}

/// One finding for a person: what, where, which member, and what to do.
fn line(finding: &Finding) -> String {
    let Finding { step, verdict, document, field, said, advice } = finding;
    let field = field.map(|field| format!(" `{field}`:")).unwrap_or_default();
    let mut line = format!("{:<11} {step}: {document}:{field} {said}", verdict.as_str());
    if let Some(advice) = advice {
        line.push_str("\n            -> ");
        line.push_str(advice);
    }
    line
}
