//! The section `guard`.

use portcullis_config::{Direction, Effect, Guard, Profile, PseudonymScope, effective};
use portcullis_guard::{Action, Entity, EntitySet};

use crate::{refuses, settings, warns};

#[test]
fn without_the_section_there_is_none_and_an_empty_one_is_the_baseline() {
    assert_eq!(settings("").guard, None);
    let guard = settings("guard: {}").guard.unwrap();
    assert_eq!(guard, Guard::default());
    assert_eq!((guard.profile, guard.shadow, guard.max_bytes), (Profile::Baseline, false, 16 << 20));
    assert_eq!(guard.pseudonyms, PseudonymScope::Principal);
}

#[test]
fn rules_are_read_in_their_order() {
    let text = "\
servers: { crm: { command: cat } }
policy: { roles: { support: [desk, night] } }
guard:
  profile: strict
  mode: shadow
  pseudonyms: tenant
  allow: [help@example.org]
  threshold: 0.7
  max_bytes: 1MiB
  rules:
    - { name: a, entities: [EMAIL, credentials], roles: [support], groups: [boss], action: pseudonym, direction: to-client }
    - { name: b, fields: ['$.people[*].mail', '$..iban'], tools: ['crm/find_*'], action: drop }
    - { name: c, only: ['$.id'], servers: [crm], unless: { principals: [anonymous] } }
    - { name: d, entities: [all], action: restore, direction: to-server }
";
    let guard = settings(text).guard.unwrap();
    assert_eq!((guard.profile, guard.shadow, guard.max_bytes), (Profile::Strict, true, 1 << 20));
    assert_eq!(guard.rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    let [a, b, c, d] = guard.rules.as_slice() else { panic!("four rules") };
    assert_eq!(a.effect, Effect::Entities(EntitySet::CREDENTIALS.with(Entity::Email), Action::Pseudonym));
    assert_eq!(a.direction, Some(Direction::ToClient));
    assert_eq!(a.scope.groups.as_deref(), Some(&["boss", "desk", "night"].map(str::to_owned)[..]));
    assert!(matches!(&b.effect, Effect::Fields(paths, None, Action::Drop) if paths.len() == 2));
    assert!(b.scope.is_about("crm", Some("find_people")) && !b.scope.is_about("crm", Some("list")));
    assert!(!b.scope.is_about("crm", None) && !b.scope.is_about("erp", Some("find_people")));
    assert!(matches!(&c.effect, Effect::Only(paths) if paths.len() == 1));
    assert_eq!(c.unless.as_ref().unwrap().principals, ["anonymous"]);
    assert_eq!(d.effect, Effect::Restore(EntitySet::ALL));
}

#[test]
fn every_entity_has_its_public_name() {
    for entity in Entity::ALL {
        let text = format!("guard: {{ rules: [{{ name: r, entities: [{entity}], action: block }}] }}");
        let guard = settings(&text).guard.unwrap();
        assert_eq!(guard.rules[0].effect, Effect::Entities(EntitySet::NONE.with(entity), Action::Block));
    }
    for action in Action::ALL {
        let text = format!("guard: {{ rules: [{{ name: r, entities: [EMAIL], action: {action} }}] }}");
        let guard = settings(&text).guard.unwrap();
        assert_eq!(guard.rules[0].effect, Effect::Entities(EntitySet::NONE.with(Entity::Email), action));
    }
}

#[test]
fn refuses_rules_that_say_nothing_or_two_things() {
    refuses(
        "\
guard:
  profil: strict
  allow: [' ']
  key: short
  rules:
    - { name: a, entities: [EMAIL] }
    - { name: a, action: block }
    - { name: c, only: ['$.id'], action: block }
    - { name: d, fields: ['people.mail'], action: mask }
    - { name: e, entities: [EMAIL], action: restore }
    - { name: f, entities: [EMAIL], action: pseudonym, direction: to-server }
    - { name: g, entities: [MAIL], action: hide }
    - { name: '', tools: [find], principals: [ada], roles: [clerk], entities: [EMAIL], action: block, unless: {} }
",
        "
p.yaml:2:3: error: guard.profil: unknown key (did you mean `profile`?)
p.yaml:3:11: error: guard.allow[0]: an empty text is everywhere
p.yaml:4:3: warning: guard.key: a secret in plain text; write `{ env: KEY }`, `{ file: PATH }` or `${KEY}`
p.yaml:4:3: error: guard.key: not 32 bytes in base64 or hex; `openssl rand -base64 32` makes some
p.yaml:6:7: error: guard.rules[0]: does nothing; set `action`, or `only`
p.yaml:7:7: error: guard.rules[1]: is about nothing; set `entities` or `fields`
p.yaml:7:9: error: guard.rules[1].name: another rule is called `a`
p.yaml:8:18: error: guard.rules[2].only: stands alone: no `action`, `entities` or `fields` beside it
p.yaml:9:27: error: guard.rules[3].fields[0]: `people.mail` is no JSON path: no path at byte 0: a path begins with `$`
p.yaml:10:37: error: guard.rules[4].action: `restore` needs `direction: to-server`
p.yaml:11:37: error: guard.rules[5].action: `pseudonym` is for what goes `to-client`
p.yaml:12:7: error: guard.rules[6]: does nothing; set `action`, or `only`
p.yaml:12:29: error: guard.rules[6].entities[0]: expected `EMAIL`, `PHONE`, `IBAN`, `CREDIT_CARD`, `IP_ADDRESS`, `NATIONAL_ID`, `PASSPORT`, `DATE_OF_BIRTH`, `SECRET`, `PRIVATE_KEY`, `JWT`, `URL_PASSWORD`, `PASSWORD`, `PERSON`, `ADDRESS`, `INJECTION`, `HIDDEN_TEXT`, `credentials`, `personal`, `all` (did you mean `EMAIL`?)
p.yaml:12:44: error: guard.rules[6].action: expected `allow`, `pseudonym`, `partial`, `mask`, `hash`, `redact`, `drop`, `hold`, `block`, `restore`
p.yaml:13:9: error: guard.rules[7].name: not a name for a rule: use 1 to 64 characters
p.yaml:13:27: error: guard.rules[7].tools[0]: `find` is not `SERVER/NAME`; `*` stands for any characters
p.yaml:13:47: error: guard.rules[7].principals[0]: `ada` is no principal; expected `anonymous`, `cert:<SHA-256 in lower-case hex>`, `key:<name>`, `user:<issuer>#<subject>` or `spiffe://…`
p.yaml:13:61: error: guard.rules[7].roles[0]: no group has the role `clerk` in `policy.roles`
p.yaml:13:103: error: guard.rules[7].unless: excepts everything; say what the rule does not hold for
",
    );
}

#[test]
fn a_server_that_is_not_there_is_warned_of() {
    let text = "guard: { rules: [{ name: r, servers: [crm], entities: [EMAIL], action: block }] }";
    warns(text, "p.yaml:1:39: warning: guard.rules[0].servers[0]: `crm` is no configured server");
}

#[test]
fn what_it_came_to_is_shown_without_the_key() {
    let key = "00".repeat(32);
    let text = format!(
        "guard: {{ key: '{key}', rules: [{{ name: r, entities: [EMAIL], fields: ['$..mail'], action: mask }}] }}"
    );
    let loaded = crate::yaml(&text, &crate::Env::new()).unwrap_or_else(|problems| panic!("{problems}"));
    let shown = effective(&loaded.settings);
    assert_eq!(shown["guard"]["profile"], "baseline");
    assert_eq!(shown["guard"]["rules"][0]["fields"][0], "$..mail");
    assert_eq!(shown["guard"]["rules"][0]["entities"][0], "EMAIL");
    assert!(!shown.to_string().contains(&key), "{shown}");
}
