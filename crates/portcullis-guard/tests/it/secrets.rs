//! Credentials without a form of their own, by what stands before them: that they are found wherever people, programs and
//! services write them, and that what is innocent there is not.

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use portcullis_guard::Entity;
use proptest::prelude::*;

use crate::{engine, found};

/// How a name and its value are written; `{N}` is the name, `{V}` the value.
const FORMS: [&str; 44] = [
    "{N} = \"{V}\"",
    "{N}: {V}",
    "{N}={V}",
    "{N}               = \"{V}\"",
    "{N}\t\t= '{V}'",
    "\"{N}\":                  \"{V}\",",
    "{N}:\n  '{V}',",
    "if it.{N} != \"{V}\" {",
    "assert {N} == '{V}'",
    "-{N} {V} -Verbose",
    "{N} = f\"{V}\"",
    "{N}=b'{V}'",
    "@\"{N}\" : @\"{V}\"",
    "NSString *{N} = @\"{V}\";",
    "{N} := []byte(\"{V}\")",
    "{N}: aws.String(\"{V}\"),",
    "client.{N}(\"{V}\")",
    "public string {N} { get; set; } = \"{V}\";",
    "process.env.{N} || \"{V}\"",
    "process.env.{N} ?? '{V}'",
    "os.environ.get(\"{N}\") or \"{V}\"",
    "getenv(\"{N}\", default=\"{V}\")",
    "variable \"{N}\" {\n  default = \"{V}\"\n}",
    "{N}: !vault {V}",
    "{N} '{V}'",
    "<{N}>{V}</{N}>",
    "<string name=\"{N}\">{V}</string>",
    "<entry key=\"{N}\">{V}</entry>",
    "<key>{N}</key>\n\t<string>{V}</string>",
    "<name>{N}</name>\n<value>{V}</value>",
    "<setting name=\"{N}\" serializeAs=\"String\">\n  <value>{V}</value>",
    "<td>{N}</td><td>{V}</td>",
    "&lt;{N}&gt;{V}&lt;/{N}&gt;",
    "| {N} | {V} |",
    "| `{N}` | `{V}` |",
    "{N}\t{V}",
    "{N};{V}",
    "**{N}:** {V}",
    "- {N}: `{V}`",
    "{N}: \u{201c}{V}\u{201d}",
    "{N} \u{2192} {V}",
    "{N}:\n\n```\n{V}\n```",
    "my {N} {V} was posted, revoke it",
    "{\"{N}\": {\"value\": \"{V}\"}}",
];

/// Names of credentials.
const NAMES: [&str; 8] = [
    "apiToken",
    "ACME_API_KEY",
    "client_secret",
    "accessToken",
    "auth_token",
    "secret",
    "token",
    "acmeCredentials",
];

/// Names of what is none, though it may look like one.
const INNOCENT: [&str; 16] = [
    "commit",
    "sha256",
    "checksum",
    "etag",
    "id",
    "requestId",
    "trace_id",
    "digest",
    "revision",
    "version",
    "build",
    "name",
    "image",
    "file",
    "cursor",
    "fingerprint",
];

/// What stands in the place of a value.
const PLACEHOLDERS: [&str; 16] = [
    "YOUR_API_KEY",
    "your-token-here",
    "xxxxxxxxxxxxxxxxxxxxxxxx",
    "changeme",
    "<token>",
    "${TOKEN}",
    "$API_TOKEN",
    "{{ api_token }}",
    "%TOKEN%",
    "****************",
    "secrets.API_TOKEN",
    "process.env.API_TOKEN",
    "path/to/some/token.txt",
    "/var/run/secrets/acme/token",
    "https://acme.example.org/docs/tokens",
    "getTokenFromVault",
];

fn filled(form: &str, name: &str, value: &str) -> String {
    form.replace("{N}", name).replace("{V}", value)
}

#[track_caller]
fn nothing_in(text: &str) {
    assert_eq!(found(&engine(), text), [], "in {text:?}");
}

#[test]
fn finds_a_named_value_wherever_it_is_written() {
    let value = "q7Zx2Lw9Kd4Rt8Vb3Nc6Hj1y";
    for name in NAMES {
        for form in FORMS {
            let text = filled(form, name, value);
            let seen = found(&engine(), &text);
            assert_eq!(seen, [(Entity::Secret, value.to_owned())], "in {text:?}");
        }
    }
}

#[test]
fn what_stands_for_a_value_is_none_wherever_it_is_written() {
    for form in FORMS {
        for value in PLACEHOLDERS {
            nothing_in(&filled(form, "apiToken", value));
        }
    }
}

/// Values that chance makes, the same in every run: a multiplier of Knuth's, of which the high bits are good.
fn drawn(alphabet: &str, length: usize, state: &mut u64) -> String {
    let mut roll = || {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(*state >> 33).expect("31 bits")
    };
    (0..length).map(|_| char::from(alphabet.as_bytes()[roll() % alphabet.len()])).collect()
}

/// Chance also makes what goes as words do: a few of ten thousand values are not found where no sign stands before them.
#[test]
fn what_chance_makes_is_found_by_its_name() {
    const ALL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopqrstuvwxyz";
    let engine = engine();
    let mut state = 20;
    let (mut tried, mut missed) = (0, Vec::new());
    for (alphabet, lengths) in [
        (ALL, 24..=48),
        (&ALL[26..42], 32..=32),
        (&ALL[26..42], 40..=40),
        (&ALL[26..], 24..=40),
        (&ALL[..36], 24..=40),
    ] {
        for length in lengths.cycle().take(400) {
            let value = drawn(alphabet, length, &mut state);
            let digits = value.bytes().filter(u8::is_ascii_digit).count();
            if !(4..value.len() - 6).contains(&digits) {
                continue;
            }
            for (at, form) in FORMS.iter().enumerate() {
                let text = filled(form, NAMES[(at + tried) % NAMES.len()], &value);
                if found(&engine, &text) != [(Entity::Secret, value.clone())] {
                    missed.push(text);
                }
            }
            tried += 1;
        }
    }
    let most = tried * FORMS.len() / 1_000;
    assert!(
        tried > 1_500 && missed.len() <= most,
        "{} of {tried} values in 44 forms, and not {most}: {missed:#?}",
        missed.len()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hashes_and_ids_under_innocent_names_are_left_alone(
        value in "[a-f0-9]{40}|[a-f0-9]{64}|[a-f0-9]{8}-[a-f0-9]{4}-4[a-f0-9]{3}-a[a-f0-9]{3}-[a-f0-9]{12}|[A-Za-z0-9]{22}",
        form in prop::sample::select(FORMS.to_vec()),
        name in prop::sample::select(INNOCENT.to_vec()),
    ) {
        let text = filled(form, name, &value);
        // Digits may be somebody's number by chance; credentials are what this is about.
        let credentials: Vec<_> = found(&engine(), &text)
            .into_iter()
            .filter(|(entity, _)| matches!(entity, Entity::Secret | Entity::Password))
            .collect();
        prop_assert_eq!(credentials, [], "in {:?}", text);
    }
}

#[test]
fn a_name_counts_for_what_it_stands_before() {
    for text in [
        "the token of commit 3f786850e387550fdab836ed7e6dc881de23001b",
        "Rotate the secret. Build 3f786850e387550fdab836ed7e6dc881de23001b is live.",
        "token expired; request q7Zx2Lw9Kd4Rt8Vb3Nc6Hj1y",
        "the token is valid until q7Zx2Lw9Kd4Rt8Vb3Nc6Hj1y",
        "cache key 9f86d081884c7d659a2feaa0c55ad015",
        "sort key: `created_at`, primary key: `id`",
        "secret/9f86d081884c7d659a2feaa0c55ad015/data.json",
        "webhook_url: https://acme.io/hooks/orders",
        "webhook: https://acme.io/550e8400-e29b-41d4-a716-446655440000",
        "while data['password'] != data['again']:",
        "self.token_at_start_of_line_or_end_of_block12",
        "s.iterWithSomeLongName12345 and as-internationalizations",
    ] {
        let credentials: Vec<_> = found(&engine(), text);
        assert!(
            credentials.iter().all(|(entity, _)| !matches!(entity, Entity::Secret | Entity::Password)),
            "{text:?} gives {credentials:?}"
        );
    }
}

#[test]
fn finds_what_services_mark_as_their_credentials() {
    for token in ["xk_live_a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6", "mj_sk_q7Zx2Lw9Kd4Rt8Vb3Nc6Hj1y"] {
        assert_eq!(found(&engine(), &format!("we use {token} here")), [(Entity::Secret, token.to_owned())]);
    }
    nothing_in("see live_or_recorded_session12 and user_sk_translation_of_2024_edition");
}

#[test]
fn finds_addresses_that_are_credentials() {
    for text in [
        "webhook_url: https://hooks.acme.io/in/q7Zx2Lw9Kd4Rt8Vb3Nc6Hj1y",
        "ACME_TOKEN=https://hooks.acme.io/services/T0/q7Zx2Lw9Kd4Rt8Vb3Nc6Hj1y",
        "WEBHOOK=\"https://acme.io/workflows/run?code=q7Zx2Lw9Kd4Rt8Vb3Nc6Hj1y\"",
    ] {
        assert_eq!(
            found(&engine(), text).first().map(|(entity, _)| *entity),
            Some(Entity::Secret),
            "{text:?}"
        );
    }
}

#[test]
fn finds_vendors_whose_name_is_two_words() {
    let value = "9f86d081884c7d659a2feaa0c55ad015";
    for name in ["newRelic", "NEW_RELIC", "new-relic", "DigitalOcean", "digital_ocean", "launchDarkly"] {
        assert_eq!(
            found(&engine(), &format!("{name}: {value}")),
            [(Entity::Secret, value.to_owned())],
            "{name}"
        );
    }
    nothing_in(&format!("newIdea: {value}"));
}

/// A token in its compact form, with a header of this member.
fn compact(header: &str) -> String {
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.{}",
        part(header),
        part("{\"sub\":\"u-1\"}"),
        "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
    )
}

#[test]
fn finds_a_token_by_whatever_its_header_says() {
    for member in [
        "\"alg\":\"none\"",
        "\"enc\":\"A128GCM\"",
        "\"cty\": \"JWT\"",
        "\"x5t#S256\":\"0pXZ\"",
        "\"b64\":false,\"crit\":[\"b64\"]",
        "\"epk\":{\"kty\":\"EC\"}",
        "\"v\":1,\"jku\":\"https://acme.io/keys\"",
    ] {
        let token = compact(&format!("{{{member}}}"));
        assert_eq!(
            found(&engine(), &format!("log: {token} end")),
            [(Entity::Jwt, token.clone())],
            "{member}"
        );
        let wrapped = BASE64_STANDARD.encode(&token);
        assert_eq!(found(&engine(), &format!("log: {wrapped} end")), [(Entity::Jwt, wrapped)], "{member}");
    }
}

#[test]
fn finds_a_token_behind_what_begins_like_one() {
    let token = compact("{\"alg\":\"none\"}");
    let payload = &token[token.find('.').expect("it has parts")..];
    for count in [1, 3, 15, 16, 40] {
        let text = format!("log: {}{token} end", "eyJ-".repeat(count));
        let seen = found(&engine(), &text);
        assert!(
            matches!(&*seen, [(Entity::Jwt, found)] if found.ends_with(payload) && found.contains(&token)),
            "{text:?} gives {seen:?}"
        );
    }
}

#[test]
fn three_parts_without_a_header_are_no_token() {
    for header in [
        "{\"page\":2}",
        "{\"algorithm\":\"x\"}",
        "{\"note\":\"alg\"}",
        "[\"alg\",\"typ\"]",
        "{\"a\":[\"alg\"]}",
    ] {
        nothing_in(&format!("next: {} end", compact(header)));
    }
    let detached =
        compact("{\"alg\":\"ES256\"}").replacen(&BASE64_URL_SAFE_NO_PAD.encode("{\"sub\":\"u-1\"}"), "", 1);
    nothing_in(&format!("signed by {detached} end"));
}

#[test]
fn a_bracket_alone_makes_no_placeholder() {
    let value = "q7<x2!w9Kd4#t8Vb3$c6Hj1y";
    assert_eq!(found(&engine(), &format!("api_secret: \"{value}\"")), [(Entity::Secret, value.to_owned())]);
    assert_eq!(found(&engine(), "password: 'p<ssw0rd9!'"), [(Entity::Password, "p<ssw0rd9!".to_owned())]);
    for text in [
        "api_secret: \"Bearer <the token 12>\"",
        "api_secret: \"use<token12>here\"",
        "password: '<password'",
        "let password: Option<String> = None;",
    ] {
        nothing_in(text);
    }
}

#[test]
fn finds_numbers_that_are_a_vendors_key() {
    for name in ["CLOUDINARY_KEY", "asanaClientId", "salesforce_access", "discord-client-id"] {
        let text = format!("{name} = 709138264550917");
        assert_eq!(found(&engine(), &text), [(Entity::Secret, "709138264550917".to_owned())], "{text}");
    }
}

#[test]
fn what_a_vendor_counts_or_names_is_no_key() {
    for text in [
        "shopify_product_id: 709138264550917",
        "facebookPostId: 709138264550917",
        "stripe order 709138264550917",
        "discord_message_id = 709138264550917",
        "twitter_created_at: 1700000000000000",
        "cloudinary_key_count: 709138264550917",
        "order_id = q7Zx2Lw9Kd4Rt8Vb3Nc6Hj1y",
        "client_id: q7Zx2Lw9Kd4Rt8Vb3Nc6Hj1y",
        "client_id: 550e8400-e29b-41d4-a716-446655440000",
        "nasdaq: AAPL 2024-11-29",
        // What is a word before it is a vendor's name.
        "drift_id: 550e8400-e29b-41d4-a716-446655440000",
        "moonshot_name = q7Zx2Lw9Kd4Rt8Vb3Nc6Hj1y",
        "imgur: https://i.imgur.com/q7Zx2Lw.png",
    ] {
        let credentials: Vec<_> = found(&engine(), text)
            .into_iter()
            .filter(|(entity, _)| matches!(entity, Entity::Secret | Entity::Password))
            .collect();
        assert_eq!(credentials, [], "in {text:?}");
    }
}

#[test]
fn finds_what_services_mark_behind_other_characters() {
    for token in [
        "ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8",
        "glpat-a1B2c3D4e5F6g7H8i9J0",
        "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",
    ] {
        for before in ["abc123Z", "0", "id=7QX9", "a1/b2"] {
            let text = format!("log {before}{token}, and so on");
            assert_eq!(found(&engine(), &text), [(Entity::Secret, token.to_owned())], "in {text:?}");
        }
    }
}

#[test]
fn a_word_that_ends_as_a_credential_begins_is_none() {
    for text in [
        "monkey1monkey-0f1e2d3c4b5a69788796a5b4c3d2e1f0",
        "v2Task-0f1e2d3c4b5a69788796a5b4c3d2e1f0",
        "run7disk-0f1e2d3c4b5a69788796a5b4c3d2e1f0",
        "2ghp_short",
        "x1npm_install_with_all_of_the_peer_dependencies",
        "4ghp_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "4ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8_and_on",
        "build12API-REFERENCE-OF-THE-LAST-VERSION",
        "550e8400-e29b-41d4-a716-446655440000",
    ] {
        nothing_in(text);
    }
}

#[test]
fn finds_the_tokens_of_bots_however_they_begin() {
    for token in [
        "110201543:AAHdqTcv1H-vGWJxfSeofSAs0K5PALDsaw1",
        "110201543:AAHdqTcvHx-vGWJxfSeofSAs0K5PALDsaw1",
        "110201543:AAH-qTcv1HxvGWJxfSeofSAs0K5PALDsaw1",
        "110201543:A-HdqTcv1HxvGWJxfSeofSAs0K5PALDsaw1",
        "110201543:AA_dqTcvHxvGWJxfSeofSAsKxPALDsawxyz",
        "110201543:AAHdqTcvHxvGWJxfSeofSAsKxPALDsawxyz",
        "110201543:AAHdqTcv1HxvG2JxfSeofSAs0K5PALDsaw1",
    ] {
        for text in [
            token.to_owned(),
            format!("{} {token} end", "so ".repeat(16)),
            format!("https://x.io/bot{token}/getMe"),
        ] {
            assert_eq!(found(&engine(), &text), [(Entity::Secret, token.to_owned())], "in {text:?}");
        }
    }
    for text in [
        "12345:AAH-x",
        "at 12:AM-and more of what is no token is here",
        "1:A-HdqTcv1HxvGWJxfSeofSAs0K5PALDsaw1",
        "queue 123456789012:AccountService-OrderEvents-DLQ-prod",
        "arn:aws:sqs:us-east-1:123456789012:AccountService-OrderEvents-DLQ-prod",
    ] {
        nothing_in(text);
    }
}

#[test]
fn a_word_of_placeholders_inside_another_makes_none() {
    for value in ["loveyour1dog", "m4yourself", "irreplaceable9", "a1xxxxb2c3d4e5f6g7h8"] {
        let document = serde_json::json!({ "password": value }).to_string();
        assert_eq!(found(&engine(), &document), [(Entity::Password, value.to_owned())], "in {document}");
    }
    for value in [
        "enteryourpassword",
        "your1password",
        "enter-your-pass1",
        "myYourPassword1",
        "REPLACE_ME_1",
        "please.insert.1",
        "xxxx1234",
        "1234xxxx5678",
        "AKIAXXXXXXXXXXXXXXX1",
    ] {
        nothing_in(&serde_json::json!({ "password": value }).to_string());
    }
}
