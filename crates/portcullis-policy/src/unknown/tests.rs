//! `form(policy, unknown)` as Cedar prints it.

use cedar_policy::Policy;

use super::*;

fn condition(policy: &str, unknown: Reads) -> String {
    let policy = Policy::parse(None, policy).unwrap().to_json().unwrap();
    let form = in_favour(&policy, unknown);
    let form = Policy::from_json(None, form).unwrap().to_cedar().unwrap();
    form.lines().skip_while(|line| !line.contains('{')).collect::<String>().replace("  ", "")
}

#[test]
fn what_is_unknown_is_decided_in_favour_and_the_rest_stays() {
    let permit = |body: &str| {
        let policy = format!("permit(principal, action, resource) {body};");
        condition(&policy, Reads::ARGUMENTS)
    };
    let forbid = |body: &str| {
        let policy = format!("forbid(principal, action, resource) {body};");
        condition(&policy, Reads::ARGUMENTS)
    };
    let known = r#"principal.id == "ada""#;
    let unknown = "context.args.amount < 5";
    let both = format!("{known} && {unknown}");
    let either = format!("{known} || {unknown}");
    for (found, expected) in [
        (permit(&format!("when {{ {known} }}")), format!("when {{ {known} }}")),
        (permit(&format!("when {{ {both} }}")), format!("when {{ ({known}) && true }}")),
        (permit(&format!("when {{ {either} }}")), format!("when {{ ({known}) || true }}")),
        (permit(&format!("unless {{ {both} }}")), format!("unless {{ ({known}) && false }}")),
        (forbid(&format!("when {{ {both} }}")), format!("when {{ ({known}) && false }}")),
        (forbid(&format!("unless {{ {either} }}")), format!("unless {{ ({known}) || true }}")),
        (permit(&format!("when {{ !({unknown}) }}")), "when { !false }".to_owned()),
        (permit("when { context.args has amount }"), "when { true }".to_owned()),
        (permit("when { [context.args.amount].contains(5) }"), "when { true }".to_owned()),
        (
            permit(&format!("when {{ if {unknown} then {known} else false }}")),
            format!("when {{ ({known}) || false }}"),
        ),
        (
            permit(&format!("when {{ if {known} then {unknown} else false }}")),
            format!("when {{ if ({known}) then true else false }}"),
        ),
    ] {
        // Cedar writes `unless` as the negation that it is.
        let plain = |text: &str| text.replace(['(', ')', '{', '}', ';', ' '], "").replace("unless", "when!");
        assert_eq!(plain(&found), plain(&expected));
    }
}

#[test]
fn what_a_condition_reads_is_found() {
    let of = |body: &str| {
        let policy = format!("permit(principal, action, resource) when {{ {body} }};");
        reads_of(&Policy::parse(None, policy).unwrap().to_json().unwrap())
    };
    for (body, reads) in [
        ("principal.id == \"x\"", Reads::PRINCIPAL),
        ("principal.claims has level && principal.claims.level > 2", Reads::PRINCIPAL),
        ("principal in Group::\"a\"", Reads::PRINCIPAL.or(Reads::GROUPS)),
        ("principal in [Group::\"a\", Group::\"b\"]", Reads::PRINCIPAL.or(Reads::GROUPS)),
        ("principal is User in Group::\"a\"", Reads::PRINCIPAL.or(Reads::GROUPS)),
        ("principal == User::\"a\"", Reads::PRINCIPAL.or(Reads::GROUPS)),
        ("{\"a\": principal}.a has client", Reads::PRINCIPAL.or(Reads::GROUPS)),
        ("Group::\"a\" in Role::\"b\"", Reads::NAMED),
        ("User::\"a\" has client", Reads::NAMED),
        ("{\"in\": 1, \"==\": 2, \"a\": context.args.b}.a == 1", Reads::ARGUMENTS),
        (
            "principal in (if true then Group::\"a\" else Group::\"b\")",
            Reads::PRINCIPAL.or(Reads::GROUPS).or(Reads::NAMED),
        ),
        ("context.args.a == 1", Reads::ARGUMENTS),
        ("context has args", Reads::ARGUMENTS),
        ("context.weekday < 6 && context.scopes.isEmpty()", Reads::TIME.or(Reads::SCOPES)),
        ("context.ip.isLoopback()", Reads::NETWORK),
        ("resource.annotations.readOnlyHint", Reads::RESOURCE.or(Reads::HINTS)),
        ("resource.name like \"a*\"", Reads::RESOURCE.or(Reads::IDENTITY)),
        ("resource.uri like \"a*\"", Reads::RESOURCE.or(Reads::IDENTITY).or(Reads::URI)),
        ("resource is Tool", Reads::RESOURCE),
        ("resource in Server::\"a\"", Reads::RESOURCE.or(Reads::ABOVE)),
        ("resource is Tool in Label::\"a\"", Reads::RESOURCE.or(Reads::ABOVE)),
        ("resource in Tool::\"a/b\"", Reads::RESOURCE.or(Reads::ABOVE).or(Reads::IDENTITY).or(Reads::URI)),
        (
            "resource == Tool::\"a/b\"",
            Reads::RESOURCE.or(Reads::ABOVE).or(Reads::IDENTITY).or(Reads::URI).or(Reads::HINTS),
        ),
        ("action == Action::\"tools/call\"", Reads::ACTION),
        ("context == {}", Reads::ARGUMENTS.or(Reads::TIME).or(Reads::NETWORK).or(Reads::SCOPES)),
        ("{\"a\": context}.a.args.b", Reads::ARGUMENTS.or(Reads::TIME).or(Reads::NETWORK).or(Reads::SCOPES)),
    ] {
        assert_eq!(of(body), reads, "{body}");
    }
}
