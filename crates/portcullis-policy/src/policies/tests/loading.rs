//! What is refused, and where it is said to be; and reasons.

use super::*;
use crate::explain::Because;

fn problems(text: &str) -> Vec<String> {
    let source = Source { file: "a.cedar".into(), text: text.into() };
    match Policies::load(&[source], &options()) {
        Ok(policies) => policies.warnings().iter().map(ToString::to_string).collect(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn every_problem_is_found_with_its_line_and_column() {
    let found = problems(
        "permit (principal, action, resource);\n\
         permit (principal, action == Action::\"tools/call\", resource)\n  when { resource.nam == \"x\" };\n\
         // fine\n\
         forbid (principal, action, resource) when { context.ag.x };\n\
         permit (principal in Group::\"a\", acton, resource);\n\
         permit (principal, action == Action::\"tools/cal\", resource);\n\
         permit (principal == ?principal, action, resource);",
    );
    let places: Vec<_> = found.iter().map(|problem| problem.split(' ').next().unwrap()).collect();
    assert!(found.len() >= 5, "{found:#?}");
    for line in [3, 5, 6, 7, 8] {
        let place = format!("a.cedar:{line}:");
        assert!(places.iter().any(|at| at.starts_with(&place)), "nothing at {place} in {found:#?}");
    }
    assert!(found.iter().all(|problem| problem.contains(": error: ")), "{found:#?}");
    assert!(found.iter().any(|problem| problem.contains("nam")), "{found:#?}");
}

#[test]
fn what_no_schema_has_is_refused_before_it_can_be_skipped() {
    for body in [
        "principal.claims.undeclared == \"x\"",
        "context.args.undeclared == 1",
        "context.args.amount == \"1\"",
        "context.args.amount < 5",
        "resource.name == \"x\"",
        "principal.department == \"x\"",
    ] {
        let policy = format!("forbid (principal, action, resource) when {{ {body} }};");
        assert!(!problems(&policy).is_empty(), "{body}");
    }
}

#[test]
fn ids_are_there_once_and_misspelt_servers_are_warned_of() {
    let twice = problems(
        "@id(\"a\") permit (principal, action, resource);\n@id(\"a\") forbid (principal, action, resource);",
    );
    assert_eq!(twice, ["a.cedar:2:1: error: the id `a` is taken already, at a.cedar:1:1"]);
    let misspelt = problems("permit (principal, action, resource in Server::\"fils\");");
    assert_eq!(misspelt, ["a.cedar:1:48: warning: `Server::\"fils\"` is of no configured server"]);
}

#[test]
fn a_verdict_names_its_policies() {
    let policies = loaded(
        "@id(\"staff\")\npermit (principal in Group::\"staff\", action, resource);\n\n\
         forbid (principal, action == Action::\"tools/call\", resource == Tool::\"files/rm\");",
    );
    let explain = |name, thing| policies.explain(&who(name), Action::ToolsCall, what(thing), &at(0), None);
    let names = |verdict: &crate::explain::Verdict| {
        verdict.reasons.iter().map(|reason| format!("{} {}", reason.id, reason.line)).collect::<Vec<_>>()
    };
    let allowed = explain("ada", "tool files/read");
    assert!(allowed.allowed && allowed.because == Because::Permitted);
    assert_eq!(names(&allowed), ["staff 1"]);
    let forbidden = explain("ada", "tool files/rm");
    assert!(!forbidden.allowed && forbidden.because == Because::Forbidden);
    assert_eq!(names(&forbidden), ["test.cedar:4 4"]);
    let none = explain("bob", "tool files/read");
    assert_eq!((none.because, none.reasons), (Because::NothingPermits, vec![]));
}

#[test]
fn the_schema_is_one_that_cedar_reads() {
    let text = Policies::schema(&options());
    assert!(text.contains("\"amount\"?: Long"), "{text}");
    assert!(cedar_policy::Schema::from_cedarschema_str(&text).is_ok());
}
