//! Groups that cannot be read, and keys that are taken back.

use super::*;

#[tokio::test]
async fn groups_that_cannot_be_read_are_no_absence_of_groups() {
    let scene = Scene::new(|settings| settings.issuers[0].groups_prefix = "idp/".into());
    let table: [(Value, Result<&[&str], Reason>); 12] = [
        (json!({"groups": ["a", "b"]}), Ok(&["idp/a", "idp/b"])),
        (json!({"groups": "a"}), Ok(&["idp/a"])),
        (json!({"groups": []}), Ok(&[])),
        (json!({"groups": null}), Ok(&[])),
        (json!({}), Ok(&[])),
        (json!({"groups": ["a", 7]}), Err(Reason::Groups)),
        (json!({"groups": {"a": true}}), Err(Reason::Groups)),
        (json!({"groups": 7}), Err(Reason::Groups)),
        (json!({"_claim_names": {"groups": "src1"}}), Err(Reason::GroupsElsewhere)),
        (json!({"_claim_names": {"address": "src1"}}), Ok(&[])),
        (json!({"_claim_names": "groups"}), Err(Reason::GroupsElsewhere)),
        (json!({"hasgroups": true}), Err(Reason::GroupsElsewhere)),
    ];
    for (given, expected) in table {
        let token = scene.token(|_, claims| {
            claims.remove("groups");
            claims.extend(given.as_object().unwrap().clone());
        });
        let found = scene.bearer(&token).await;
        match expected {
            Ok(groups) => assert_eq!(found.unwrap().principal.groups(), groups, "{given}"),
            Err(reason) => assert_eq!(refused(found), reason, "{given}"),
        }
    }
    let within = Scene::new(|settings| settings.issuers[0].groups_claim = "realm_access.roles".into());
    let of = async |given: Value| {
        let token = within.token(|_, claims| drop(claims.insert("realm_access".into(), given)));
        within.bearer(&token).await
    };
    assert_eq!(of(json!({"roles": ["a"]})).await.unwrap().principal.groups(), ["a"]);
    assert!(of(json!({"other": 1})).await.unwrap().principal.groups().is_empty());
    assert_eq!(refused(of(json!("roles")).await), Reason::Groups);
    let unread = Scene::new(|settings| settings.issuers[0].groups_claim = String::new());
    let token = unread.token(|_, claims| drop(claims.insert("_claim_names".into(), json!({"groups": "s"}))));
    assert!(unread.bearer(&token).await.unwrap().principal.groups().is_empty());
}

#[tokio::test]
async fn an_issuer_that_takes_all_its_keys_back_has_none() {
    let scene = Scene::new(|_| {});
    scene.bearer(&scene.token(|_, _| {})).await.unwrap();
    scene.outside.answer(KEYS, &json!({"keys": []}));
    tokio::time::pause();
    tokio::time::advance(Duration::from_hours(25)).await;
    // The set is due: it is renewed while the old one still serves, and then there is none.
    let another =
        |number: u32| scene.token(|_, claims| drop(claims.insert("jti".into(), json!(number.to_string()))));
    let _ = scene.bearer(&another(0)).await;
    let mut number = 0;
    let reason = loop {
        number += 1;
        tokio::task::yield_now().await;
        if let Err(Refused::Invalid(reason)) = scene.bearer(&another(number)).await {
            break reason;
        }
        assert!(number < 100, "the old keys stay in use");
    };
    assert_eq!(reason, Reason::UnknownKey);
    // One that is away, or says nothing of the kind, has taken nothing back.
    scene.outside.answer(KEYS, &json!({"keys": [scene.signer.jwk("k1")]}));
    tokio::time::advance(Duration::from_hours(25)).await;
    let _ = scene.bearer(&another(200)).await;
    while scene.bearer(&another(201)).await.is_err() {
        tokio::time::advance(Duration::from_secs(31)).await;
        tokio::task::yield_now().await;
    }
    scene.outside.answer(KEYS, &json!({"error": "maintenance"}));
    tokio::time::advance(Duration::from_hours(25)).await;
    for number in 300..350 {
        tokio::task::yield_now().await;
        assert!(scene.bearer(&another(number)).await.is_ok());
    }
}
