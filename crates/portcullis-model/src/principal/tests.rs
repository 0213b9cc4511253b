//! Identity is stable, unambiguous, and not what is vouched for.

use std::collections::HashSet;

use super::{Key, Principal, User};

fn user(issuer: &str, subject: &str) -> User {
    User { issuer: issuer.into(), subject: subject.into(), ..User::default() }
}

#[test]
fn a_user_is_the_pair_of_issuer_and_subject_whatever_the_token_says_else() {
    let then = Principal::user(user("https://idp", "ada"));
    let now = Principal::user(User {
        groups: vec!["admins".into()],
        scopes: vec!["mcp:call".into()],
        client_id: Some("other".into()),
        ..user("https://idp", "ada")
    });
    assert_eq!(then, now);
    assert_eq!(then.id(), now.id());
    assert!(HashSet::from([then.clone()]).contains(&now));
    for stranger in [user("https://other", "ada"), user("https://idp", "eve")] {
        assert_ne!(then, Principal::user(stranger));
    }
}

#[test]
fn no_two_principals_have_one_id() {
    let key = |id: &str| Principal::key(Key { id: id.into(), ..Key::default() });
    let all = [
        Principal::Anonymous,
        Principal::Certificate { fingerprint: "00".into() },
        Principal::Workload { spiffe_id: "spiffe://domain/00".into() },
        Principal::user(user("https://idp", "00")),
        Principal::user(user("https://idp", "#00")),
        Principal::user(user("https://idp/a", "b")),
        Principal::user(user("https://idp", "/a#b")),
        key("00"),
        key("anonymous"),
    ];
    let ids: HashSet<_> = all.iter().map(Principal::id).collect();
    assert_eq!(ids.len(), all.len());
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
}

#[test]
fn only_credentials_that_know_scopes_are_restricted_by_them() {
    assert_eq!(Principal::Anonymous.scopes(), None);
    assert_eq!(Principal::user(user("https://idp", "ada")).scopes(), Some(&[][..]));
}
