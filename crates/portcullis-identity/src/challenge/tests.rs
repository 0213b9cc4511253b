//! One challenge says all that a client has to know, and nothing of why.

use super::*;
use crate::fixture::issuer;
use crate::refused::Reason;

const MCP: &str = "https://mcp.example.com/mcp";

fn settings() -> Settings {
    Settings {
        issuers: vec![issuer()],
        scopes: vec!["mcp:list".into(), "mcp:call".into()],
        ..Settings::default()
    }
}

#[test]
fn a_caller_without_a_token_is_told_where_to_log_in_and_no_error() {
    assert_eq!(
        challenge(&settings(), MCP, None, &Refused::Missing),
        "Bearer scope=\"mcp:list mcp:call\",\
         resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource/mcp\""
    );
}

#[test]
fn every_bad_token_gets_one_answer() {
    let all = [Reason::Expired, Reason::Audience, Reason::Signature, Reason::Revoked, Reason::UnknownKey];
    let answers =
        all.map(|reason| challenge(&settings(), MCP, Some(Scheme::Bearer), &Refused::Invalid(reason)));
    assert!(answers[0].starts_with("Bearer error=\"invalid_token\""));
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

#[test]
fn a_step_up_names_all_scopes_at_once() {
    let value = challenge(&settings(), MCP, Some(Scheme::Bearer), &Refused::Scope);
    assert!(value.starts_with("Bearer error=\"insufficient_scope\""), "{value}");
    assert!(value.contains("scope=\"mcp:list mcp:call\""), "{value}");
    let one = step_up_challenge(&settings(), MCP, Some(Scheme::Bearer), "mcp:list mcp:call write");
    assert_eq!(one, value.replace("mcp:list mcp:call", "mcp:list mcp:call write"));
    assert!(step_up_challenge(&settings(), MCP, Some(Scheme::Dpop), "write").starts_with("DPoP error="));
}

#[test]
fn what_the_provider_wants_of_the_next_login_goes_along() {
    let told = |claims| login_challenge(&settings(), MCP, Some(Scheme::Bearer), claims);
    let with = told(Some(r#"{"access_token":{}}"#));
    assert!(with.starts_with("Bearer error=\"insufficient_claims\",error_description="), "{with}");
    assert!(with.contains(",claims=\"eyJhY2Nlc3NfdG9rZW4iOnt9fQ==\",scope=\"mcp:list mcp:call\","), "{with}");
    let without = told(None);
    assert!(without.starts_with("Bearer error=\"insufficient_user_authentication\""), "{without}");
    assert!(!without.contains("claims="), "{without}");
}

#[test]
fn a_gateway_with_keys_alone_sends_nobody_to_log_in() {
    assert_eq!(challenge(&Settings::default(), MCP, None, &Refused::Missing), "Bearer realm=\"portcullis\"");
}

#[test]
fn where_proofs_are_used_the_scheme_is_dpop() {
    let required = Settings { dpop_required: true, ..settings() };
    assert!(challenge(&required, MCP, None, &Refused::Missing).starts_with("DPoP "));
    let nonce = challenge(&settings(), MCP, Some(Scheme::Dpop), &Refused::Nonce);
    assert!(nonce.starts_with("DPoP error=\"use_dpop_nonce\""), "{nonce}");
    assert!(nonce.contains("algs=\"RS256"), "{nonce}");
}
