//! What the parts of the guard's place in a call do each by itself; the surfaces are walked end to end.

use std::sync::Arc;

use bytes::Bytes;
use portcullis_config::{Direction, Effect, GuardRule, GuardScope, Profile, PseudonymScope};
use portcullis_guard::{Action, Entity, EntitySet, Path, Pseudonyms as _};
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::json::{Limits, Raw};
use portcullis_mcp::revision::Revision;
use portcullis_model::{Key, Principal};

use super::aside::{self, Aside};
use super::decision::{Decision, Form, default_action};
use super::pseudonyms::Vault;
use super::schema::Schemas;
use crate::call::{Caller, fixture};

fn raw(text: &str) -> Raw {
    Raw::parse(Bytes::copy_from_slice(text.as_bytes()), Limits::default()).unwrap()
}

fn key() -> aws_lc_rs::hmac::Key {
    aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[7; 32])
}

fn rule(name: &str, effect: Effect) -> GuardRule {
    GuardRule { name: name.to_owned(), scope: GuardScope::default(), direction: None, unless: None, effect }
}

/// The table of docs/concept/guard.md, row by row.
#[test]
fn profiles_do_what_is_promised() {
    use {Action as A, Direction as D, Entity as E, Form as F};
    let table = [
        (
            "hidden text of itself",
            D::ToClient,
            F::Definition,
            E::HiddenText,
            [A::Redact, A::Redact, A::Redact],
        ),
        ("orders of itself", D::ToClient, F::Definition, E::Injection, [A::Block, A::Block, A::Block]),
        ("credentials of itself", D::ToClient, F::Definition, E::Secret, [A::Allow, A::Redact, A::Redact]),
        ("credentials to the client", D::ToClient, F::Tool, E::Jwt, [A::Allow, A::Redact, A::Redact]),
        ("passwords to the client", D::ToClient, F::Message, E::Password, [A::Allow, A::Redact, A::Redact]),
        ("credentials to the server", D::ToServer, F::Tool, E::PrivateKey, [A::Allow, A::Block, A::Block]),
        ("passwords to the server", D::ToServer, F::Message, E::Password, [A::Allow, A::Allow, A::Allow]),
        (
            "hidden text to the client",
            D::ToClient,
            F::Message,
            E::HiddenText,
            [A::Allow, A::Redact, A::Redact],
        ),
        ("hidden text to the server", D::ToServer, F::Tool, E::HiddenText, [A::Allow, A::Redact, A::Redact]),
        ("personal data to the client", D::ToClient, F::Tool, E::Iban, [A::Allow, A::Allow, A::Redact]),
        ("personal data to the server", D::ToServer, F::Message, E::Email, [A::Allow, A::Allow, A::Block]),
        ("orders to the client", D::ToClient, F::Tool, E::Injection, [A::Allow, A::Allow, A::Block]),
        ("orders to the server", D::ToServer, F::Tool, E::Injection, [A::Allow, A::Allow, A::Allow]),
    ];
    for (what, direction, form, entity, expected) in table {
        let profiles = [None, Some(Profile::Baseline), Some(Profile::Strict)];
        let found = profiles.map(|profile| default_action(profile, direction, form, entity));
        assert_eq!(found, expected, "{what}");
        assert_eq!(default_action(Some(Profile::None), direction, form, entity), A::Allow, "{what}");
    }
}

#[test]
fn the_first_rule_that_says_something_decides() {
    let mail = EntitySet::NONE.with(Entity::Email);
    let path = |text: &str| vec![Path::parse(text).unwrap()];
    let rules = [
        rule("a", Effect::Entities(mail, Action::Mask)),
        rule("b", Effect::Entities(EntitySet::ALL, Action::Block)),
        rule("c", Effect::Fields(path("$.a"), None, Action::Drop)),
        rule("d", Effect::Fields(path("$.a"), None, Action::Allow)),
        rule("e", Effect::Only(path("$.a"))),
        rule("f", Effect::Only(path("$.b"))),
    ];
    let fitting: Vec<_> = rules.iter().enumerate().collect();
    let profile = Some(Profile::Baseline);
    let decision = Decision::new(profile, &fitting, Direction::ToClient, Form::Tool, key());
    assert_eq!(decision.plan.action(Entity::Email), Action::Mask);
    assert_eq!(decision.plan.action(Entity::Iban), Action::Block);
    assert_eq!((decision.by(Entity::Email), decision.by(Entity::Iban)), (Some(0), Some(1)));
    // To the engine the last one counts.
    let fields: Vec<_> = decision.plan.fields.iter().map(|field| field.action).collect();
    assert_eq!(fields, [Action::Allow, Action::Drop]);
    assert_eq!(decision.plan.only, Some(path("$.a")));
    // Definitions have no columns, and messages of no tool are not narrowed.
    let definition = Decision::new(profile, &fitting, Direction::ToClient, Form::Definition, key());
    assert!(definition.plan.fields.is_empty() && definition.plan.only.is_none());
    let message = Decision::new(profile, &fitting, Direction::ToClient, Form::Message, key());
    assert!(message.plan.only.is_none() && message.plan.data.is_empty());
}

#[test]
fn nothing_is_looked_for_where_nothing_is_asked_for() {
    let decide = |profile, form| Decision::new(profile, &[], Direction::ToClient, form, key()).idle;
    assert!(decide(None, Form::Tool) && decide(None, Form::Message) && !decide(None, Form::Definition));
    assert!(decide(Some(Profile::None), Form::Definition) && !decide(Some(Profile::Baseline), Form::Tool));
}

#[test]
fn what_is_laid_aside_comes_back_where_it_was() {
    let message = raw(
        r#"{ "requestState":"s","a":1,"inputRequests":{"q":{"params":{"mode":"url","url":"u","elicitationId":"e","message":"m"}},"r":{"params":{"url":"v"}}}}"#,
    );
    let (rest, aside) = Aside::take(&message.clone().into(), aside::INPUT_REQUIRED);
    let text = rest.as_str();
    for gone in ["\"s\"", "\"u\"", "\"e\""] {
        assert!(!text.contains(gone), "{text}");
    }
    assert!(text.contains("\"m\"") && text.contains("\"v\""), "a URL of no page is read: {text}");
    let changed = raw(&text.replace("\"m\"", "\"n\""));
    let whole = aside.put_back(changed);
    assert_eq!(whole.find_string("requestState").as_deref(), Some("s"));
    let params = whole.find_path(&["inputRequests", "q", "params"]).unwrap();
    assert_eq!(params.find_string("url").as_deref(), Some("u"));
    assert_eq!(params.find_string("elicitationId").as_deref(), Some("e"));
    assert_eq!(params.find_string("message").as_deref(), Some("n"));
    let error = raw(
        r#"{"code":-32042,"message":"m","data":{"elicitations":[{"mode":"url","url":"u"},{"mode":"url","url":"w"}]}}"#,
    );
    let (rest, aside) = Aside::take(&error.clone().into(), aside::ERROR);
    assert!(!rest.as_str().contains("\"w\""), "{rest:?}");
    assert_eq!(aside.put_back(rest), error);
    // What is not a word of the gateway's is no hiding place.
    let odd = raw(r#"{"requestState":{"deep":"secret"}}"#);
    assert_eq!(Aside::take(&odd.clone().into(), aside::PARAMS).0, odd);
}

fn caller(id: &str, conversation: &str) -> Caller {
    let call = fixture::call(Revision::NEWEST, ClientCaps::NONE, "{}");
    let principal = Principal::key(Key { id: id.to_owned(), ..Key::default() });
    Caller { principal, conversation: conversation.into(), ..Caller::clone(&call.caller) }
}

#[test]
fn a_pseudonym_opens_for_its_holder_and_for_what_it_was_made_of() {
    let vault = |scope| Vault::new(&[1; 32], scope);
    let (ada, bob) = (caller("ada", "1"), caller("bob", "1"));
    let principal = vault(PseudonymScope::Principal);
    let name = principal.of(&ada).seal(Entity::Email, "ada@example.org").unwrap();
    assert_eq!(principal.of(&ada).seal(Entity::Email, "ada@example.org"), Some(name.clone()));
    assert_ne!(principal.of(&bob).seal(Entity::Email, "ada@example.org"), Some(name.clone()));
    let open = |vault: &Vault, who: &Caller, entity| vault.of(who).open(entity, &name);
    assert_eq!(open(&principal, &ada, Entity::Email).as_deref(), Some("ada@example.org"));
    assert_eq!(open(&principal, &bob, Entity::Email), None);
    assert_eq!(open(&principal, &ada, Entity::Iban), None, "it is no IBAN");
    assert_eq!(open(&Vault::new(&[2; 32], PseudonymScope::Principal), &ada, Entity::Email), None);
    assert_eq!(open(&principal, &caller("ada", "2"), Entity::Email).as_deref(), Some("ada@example.org"));
    let session = vault(PseudonymScope::Session);
    let name = session.of(&ada).seal(Entity::Email, "a@example.org").unwrap();
    assert_eq!(session.of(&caller("ada", "2")).open(Entity::Email, &name), None);
    assert_eq!(principal.of(&ada).seal(Entity::Address, &"long ".repeat(100)), None);
    for length in [1, 22, 360] {
        let name = principal.of(&ada).seal(Entity::Iban, &"x".repeat(length)).unwrap();
        assert!((8..=512).contains(&name.len()), "{length}: {}", name.len());
    }
}

#[test]
fn what_does_not_fit_a_schema_is_named_by_its_place() {
    let schemas = Schemas::default();
    let text = r#"{"type":"object","properties":{"a/b":{"type":"array","items":{"type":"integer"}}},"required":["a/b"]}"#;
    let schema = schemas.of(&raw(text)).unwrap();
    assert!(Arc::ptr_eq(&schema, &schemas.of(&raw(text)).unwrap()), "it is read once");
    assert!(schema.misfits(&raw(r#"{"a/b":[1,2]}"#)).is_none());
    let misfits = schema.misfits(&raw(r#"{"a/b":[1,"x"]}"#)).unwrap();
    let places: Vec<_> = misfits.iter().map(|rule| rule.path.to_string()).collect();
    assert_eq!(places, ["$.a/b[1]"]);
    assert!(misfits.iter().all(|rule| rule.action == Action::Drop && rule.entities.is_none()));
    // Nothing is fetched, and a pattern that no linear automaton can run is no schema.
    for broken in [r#"{"$ref":"https://example.org/schema"}"#, r#"{"type":"string","pattern":"(?=a)b"}"#, "7"]
    {
        assert!(schemas.of(&raw(broken)).is_none(), "{broken}");
    }
}
