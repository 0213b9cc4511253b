//! What plans make of documents.

use portcullis_guard::{
    Action, Engine, Entity, EntitySet, FieldRule, Limit, Limits, Outcome, Path, Plan, Settings, Span, Told,
};
use portcullis_mcp::json::{self, Raw};

use crate::{Names, engine, plan};

fn changed(document: &str, plan: &Plan) -> String {
    match engine().transform_json(document.as_bytes(), plan, &mut Names::default()) {
        Outcome::Changed { bytes, .. } => String::from_utf8(bytes).expect("it is UTF-8"),
        other => panic!("{other:?}"),
    }
}

fn path(text: &str) -> Path {
    Path::parse(text).expect("a good path")
}

#[test]
fn changes_what_was_found_and_no_other_byte() {
    let document = r#"{ "a" : 1.0, "mail":"to jane@example.org \u00e9" ,"b":[1e3 , null]}"#;
    assert_eq!(
        changed(document, &plan(Action::Redact)),
        r#"{ "a" : 1.0, "mail":"to [EMAIL] \u00e9" ,"b":[1e3 , null]}"#
    );
    let clean = r#"{ "a" : [ 1, "plain" ] }"#;
    assert!(matches!(
        engine().transform_json(clean.as_bytes(), &plan(Action::Block), &mut ()),
        Outcome::Unchanged { .. }
    ));
}

#[test]
fn every_action_does_what_it_says() {
    let document = r#"{"card":"4111111111111111","n":4111111111111111}"#;
    let with = |action| changed(document, &plan(action));
    assert_eq!(with(Action::Mask), r#"{"card":"****************","n":"****************"}"#);
    assert_eq!(with(Action::Partial), r#"{"card":"************1111","n":"************1111"}"#);
    assert_eq!(with(Action::Redact), r#"{"card":"[CREDIT_CARD]","n":"[CREDIT_CARD]"}"#);
    assert_eq!(with(Action::Drop), "{}");
    assert_eq!(
        with(Action::Pseudonym),
        r#"{"card":"~CREDIT_CARD.name-0000~","n":"~CREDIT_CARD.name-0000~"}"#
    );
    let hashed = with(Action::Hash);
    assert!(hashed.starts_with(r#"{"card":"h:CREDIT_CARD:"#), "{hashed}");
    let run = |action| engine().transform_json(document.as_bytes(), &plan(action), &mut ());
    assert!(matches!(run(Action::Block), Outcome::Blocked { .. }));
    assert!(matches!(run(Action::Hold), Outcome::Held { .. }));
    let Outcome::Unchanged { report } = run(Action::Allow) else { panic!("allowed is unchanged") };
    assert_eq!(report.counts()[&(Entity::CreditCard, Action::Allow)], 2);
}

#[test]
fn dropped_members_take_one_comma_with_them() {
    let drop = plan(Action::Allow).with(EntitySet::ALL, Action::Drop);
    for (document, expected) in [
        (r#"{"a":"x@b.example","b":1,"c":2}"#, r#"{"b":1,"c":2}"#),
        (r#"{"a":1,"b":"x@b.example","c":2}"#, r#"{"a":1,"c":2}"#),
        (r#"{"a":1,"b":"x@b.example" , "c":"y@b.example"}"#, r#"{"a":1}"#),
        (r#"["x@b.example","y@b.example"]"#, "[]"),
        (r#""x@b.example""#, r#""[REDACTED]""#),
        (r#"{"t":"[1,\"x@b.example\",2]"}"#, r#"{"t":"[1,2]"}"#),
    ] {
        assert_eq!(changed(document, &drop), expected);
    }
}

#[test]
fn field_rules_hold_for_places_and_later_ones_win() {
    let mut plan = plan(Action::Allow);
    let rule = |to: &str, entities, action| FieldRule { path: path(to), entities, action };
    plan.fields = vec![
        rule("$..salary", None, Action::Redact),
        rule("$.people[*]", Some(EntitySet::NONE.with(Entity::Email)), Action::Mask),
        rule("$.people[1]", Some(EntitySet::ALL), Action::Allow),
    ];
    let document =
        r#"{"people":[{"mail":"a@b.example","salary":10},{"mail":"c@d.example","salary":{"x":2}}]}"#;
    assert_eq!(
        changed(document, &plan),
        r#"{"people":[{"mail":"*@*.*******","salary":"[REDACTED]"},{"mail":"c@d.example","salary":"[REDACTED]"}]}"#
    );
}

#[test]
fn only_the_named_columns_pass_in_the_data_and_in_its_copies() {
    let mut plan = plan(Action::Allow);
    plan.only = Some(vec![path("$.rows[*].id")]);
    plan.data = vec![path("$.structuredContent")];
    plan.texts = vec![path("$.content[*].text")];
    let document = r#"{"content":[{"type":"text","text":"{\"rows\":[{\"id\":1,\"pay\":9}]}"},{"type":"text","text":"1 earns 9"}],"structuredContent":{"rows":[{"id":1,"pay":9}],"total":3}}"#;
    assert_eq!(
        changed(document, &plan),
        r#"{"content":[{"type":"text","text":"{\"rows\":[{\"id\":1}]}"},{"type":"text","text":"[REDACTED]"}],"structuredContent":{"rows":[{"id":1}]}}"#
    );
}

#[test]
fn what_a_key_gives_away_goes_from_the_prose_beside_it_too() {
    let document = r#"{"content":[{"text":"The password of the day is swordfish-blue, said Jane Doe."}],"structuredContent":{"password":"swordfish-blue","full_name":"Jane Doe"}}"#;
    let out = changed(document, &plan(Action::Redact));
    assert!(!out.contains("swordfish") && !out.contains("Jane Doe"), "{out}");
}

#[test]
fn keys_that_are_findings_are_replaced_and_stay_apart() {
    let document = r#"{"jane@b.example":1,"joan@b.example":2}"#;
    assert_eq!(changed(document, &plan(Action::Redact)), r#"{"[EMAIL]#0":1,"[EMAIL]#1":2}"#);
}

#[test]
fn pseudonyms_come_back_at_every_depth_of_escapes() {
    let engine = engine();
    let mut names = Names::default();
    let document = r#"{"to":"jane@example.org","body":"{\"cc\":\"jane@example.org\",\"n\":[\"é\"]}"}"#;
    let sealed = match engine.transform_json(document.as_bytes(), &plan(Action::Pseudonym), &mut names) {
        Outcome::Changed { bytes, .. } => bytes,
        other => panic!("{other:?}"),
    };
    let emails = EntitySet::NONE.with(Entity::Email);
    let Outcome::Changed { bytes, report } = engine.restore_json(&sealed, emails, &mut names) else {
        panic!("it has names")
    };
    assert_eq!(String::from_utf8(bytes).expect("UTF-8"), document);
    assert_eq!(report.applied.len(), 2);
    let others = EntitySet::ALL.without(Entity::Email);
    assert!(matches!(engine.restore_json(&sealed, others, &mut names), Outcome::Unchanged { .. }));
    let made_up = br#"{"to":"~EMAIL.no-such-name~"}"#;
    assert!(matches!(engine.restore_json(made_up, emails, &mut names), Outcome::Unchanged { .. }));
}

#[test]
fn what_cannot_be_looked_at_in_full_does_not_pass() {
    let deep = format!("{}1{}", "[".repeat(70), "]".repeat(70));
    for (document, limit) in [
        (deep.as_str(), Limit::Depth(64)),
        ("{\"a\":1,\"a\":2}", Limit::NotJson),
        ("nonsense", Limit::NotJson),
    ] {
        let outcome = engine().transform_json(document.as_bytes(), &plan(Action::Allow), &mut ());
        assert!(
            matches!(&outcome, Outcome::Blocked { report } if report.exceeded == Some(limit)),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_value_that_was_read_before_is_changed_like_its_bytes() {
    let plan = plan(Action::Redact);
    let deep = format!("{}1{}", "[".repeat(70), "]".repeat(70));
    for document in [r#"{"a":"jane@example.org","b":["x",4111111111111111]}"#, r#"{"a":"plain"}"#, "7", &deep]
    {
        let value = Raw::parse(document.to_owned().into(), json::Limits { depth: 100 }).expect("it is JSON");
        let expected = engine().transform_json(document.as_bytes(), &plan, &mut ());
        assert_eq!(engine().transform(&value, &plan, &mut (), None), expected, "{document}");
    }
    let limits = Limits { bytes: 10, ..Limits::default() };
    let engine = Engine::new(&Settings { limits, ..Settings::default() }).expect("good settings");
    let long = Raw::from_static("\"longer than ten bytes\"");
    let Outcome::Blocked { report } = engine.transform(&long, &plan, &mut (), None) else {
        panic!("it is too long")
    };
    assert_eq!(report.exceeded, Some(Limit::Bytes(10)));
}

#[test]
fn bare_text_is_changed_like_a_string() {
    let Outcome::Changed { bytes, .. } =
        engine().transform_text("to jane@example.org, now", &plan(Action::Partial), &mut ())
    else {
        panic!("it has an address")
    };
    assert_eq!(bytes, b"to j***@e***.org, now");
}

/// What somebody else has found is treated like what the engine finds, wherever the text stands; what that one was not asked
/// about does not pass.
#[test]
fn what_others_find_is_found_and_what_they_did_not_read_does_not_pass() {
    let engine = engine();
    let plan = plan(Action::Redact);
    let raw = |text: &str| Raw::from_value(&serde_json::from_str(text).expect("JSON"));
    let document = raw(
        r#"{"a": ["Gr\u00fc\u00dfe von Ada", 12345678], "b": "{\"c\": \"von Ada, ada@b.example\"}", "d": "--12--"}"#,
    );
    let mut texts = engine.texts(&document);
    texts.sort();
    assert_eq!(texts, ["Grüße von Ada", "von Ada, ada@b.example"]);
    let told: Told = texts
        .iter()
        .map(|text| {
            let start = text.find("Ada").expect("she is in each");
            let span = Span { entity: Entity::Person, start, end: start + 3, score: 0.1 };
            (text.clone(), [span].into())
        })
        .collect();
    let Outcome::Changed { bytes, report } = engine.transform(&document, &plan, &mut (), Some(&told)) else {
        panic!("it has persons")
    };
    let changed = String::from_utf8(bytes).expect("UTF-8");
    assert_eq!(changed.matches("von [PERSON]").count(), 2, "{changed}");
    assert!(changed.contains("[EMAIL]") && !changed.contains("Ada"), "{changed}");
    assert_eq!(report.applied.len(), 3);
    let other = raw(r#"{"a": "nobody was asked about this"}"#);
    let Outcome::Blocked { report } = engine.transform(&other, &plan, &mut (), Some(&told)) else {
        panic!("it was not read")
    };
    assert_eq!(report.exceeded, Some(Limit::Unread));
}
