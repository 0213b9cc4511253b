//! The large identity providers, as recorded behaviour of a fake: each plays a whole login, and what it must not get through.

use serde_json::{Value, json};

use super::scene::*;
use crate::facade::{FacadeSettings, Profile};
use crate::settings::Tenants;

/// One provider.
struct Recorded {
    profile: Profile,
    issuer: &'static str,
    tenants: Option<(&'static str, &'static str)>,
    /// Members of its metadata over those of the book; `null` is what it lacks.
    metadata: Value,
    /// Claims of its ID tokens over those of the book.
    claims: Value,
    /// What comes of it.
    subject: &'static str,
    groups: &'static [&'static str],
}

const TENANT: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
const V2: &str = "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0";

fn entra() -> Recorded {
    Recorded {
        profile: Profile::Entra,
        issuer: V2,
        tenants: None,
        // No RFC 8414 document, no PKCE in the metadata, no `iss` in answers, a secret in the form first.
        metadata: json!({
            "authorization_response_iss_parameter_supported": null,
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "authorization_endpoint": "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/oauth2/v2.0/authorize",
        }),
        claims: json!({
            "sub": "pairwise-of-this-application", "oid": "00000000-0000-0000-66f3-3332eca7ea81", "tid": TENANT,
            "ver": "2.0", "groups": ["5e1f1a9e-0000-4000-8000-000000000001"], "rh": "0.A", "uti": "u",
        }),
        subject: "9188040d-6c67-4c5b-b112-36a304b66dad.00000000-0000-0000-66f3-3332eca7ea81",
        groups: &["5e1f1a9e-0000-4000-8000-000000000001"],
    }
}

/// Entra for the users of all organizations: metadata with a template in the place of the tenant.
fn entra_for_all() -> Recorded {
    let mut recorded = entra();
    recorded.issuer = "https://login.microsoftonline.com/organizations/v2.0";
    recorded.tenants = Some(("tid", TENANT));
    recorded.metadata["issuer"] = json!("https://login.microsoftonline.com/{tenantid}/v2.0");
    recorded.claims["iss"] = json!(V2);
    recorded
}

fn okta() -> Recorded {
    Recorded {
        profile: Profile::Okta,
        issuer: "https://dev-1.okta.com/oauth2/default",
        tenants: None,
        metadata: json!({
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"],
            "code_challenge_methods_supported": ["S256"],
            "userinfo_endpoint": format!("{IDP}/userinfo"),
        }),
        // A thin ID token: what a scope gives is at the userinfo endpoint.
        claims: json!({"groups": null, "sub": "00u1", "ver": 1, "amr": ["pwd"], "idp": "00o1"}),
        subject: "00u1",
        groups: &["Everyone", "staff"],
    }
}

fn google() -> Recorded {
    Recorded {
        profile: Profile::Google,
        issuer: "https://accounts.google.com",
        tenants: Some(("hd", "example.com")),
        metadata: json!({
            "authorization_response_iss_parameter_supported": null, "code_challenge_methods_supported": ["plain", "S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            "userinfo_endpoint": format!("{IDP}/userinfo"),
        }),
        claims: json!({
            "iss": "accounts.google.com", "azp": "gateway", "groups": null, "hd": "example.com", "sub": "110169484474386276334",
            "email_verified": true, "at_hash": "x",
        }),
        subject: "110169484474386276334",
        groups: &[],
    }
}

fn cognito() -> Recorded {
    Recorded {
        profile: Profile::Cognito,
        issuer: "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_abc",
        tenants: None,
        metadata: json!({
            "authorization_response_iss_parameter_supported": null,
            "authorization_endpoint": "https://pool.auth.eu-central-1.amazoncognito.com/oauth2/authorize",
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        }),
        claims: json!({
            "token_use": "id", "groups": null, "cognito:groups": ["staff"], "cognito:username": "ada", "event_id": "e",
        }),
        subject: "ada",
        groups: &["staff"],
    }
}

fn keycloak() -> Recorded {
    Recorded {
        profile: Profile::Keycloak,
        issuer: "https://sso.example.com/realms/main",
        tenants: None,
        metadata: json!({"code_challenge_methods_supported": ["plain", "S256"]}),
        claims: json!({"typ": "ID", "azp": "gateway", "session_state": "s", "sid": "s", "groups": ["/staff"], "acr": "1"}),
        subject: "ada",
        groups: &["/staff"],
    }
}

fn scene(recorded: &Recorded) -> Scene {
    let tenants =
        recorded.tenants.map(|(claim, tenant)| Tenants { claim: claim.into(), allowed: vec![tenant.into()] });
    let mut settings: FacadeSettings = settings();
    (settings.idp.profile, settings.idp.issuer, settings.idp.tenants) =
        (recorded.profile, recorded.issuer.into(), tenants);
    Scene::with(settings, |idp| {
        (idp.metadata, idp.claims) = (recorded.metadata.clone(), recorded.claims.clone());
        idp.userinfo = Some(json!({"sub": recorded.subject, "groups": ["Everyone", "staff"]}));
    })
}

#[tokio::test]
async fn people_of_every_large_provider_are_logged_in() {
    for recorded in [entra(), entra_for_all(), okta(), google(), cognito(), keycloak()] {
        let scene = scene(&recorded);
        let what = (recorded.profile, recorded.issuer);
        let tokens = scene.tokens(CLIENT, WEB, "ada").await;
        let told = claims(tokens["access_token"].as_str().unwrap());
        assert_eq!(
            (&told["sub"], &told["groups"]),
            (&json!(recorded.subject), &json!(recorded.groups)),
            "{what:?}"
        );
        assert_eq!((&told["iss"], &told["aud"]), (&json!(ISSUER), &json!(format!("{BASE}/mcp"))), "{what:?}");
        // What means something else in a token of ours is not taken over.
        assert_ne!(told["sid"], "s", "{what:?}");
        assert_eq!(
            (told.get("token_use"), told.get("at_hash"), told.get("azp")),
            (None, None, None),
            "{what:?}"
        );
        // No provider is asked for a resource, which Entra refuses.
        let page = Browser::default().authorize(&scene, &wish(CLIENT, WEB)).await;
        let mut browser = Browser::default();
        let shown = sealed(&browser.authorize(&scene, &wish(CLIENT, WEB)).await);
        let away = location(&browser.submit(&scene, &shown, "allow").await);
        assert_eq!(params_of(&away).get("resource").unwrap(), None, "{what:?}");
        assert_eq!(
            params_of(&away).get("scope").unwrap().unwrap().contains("groups"),
            recorded.profile == Profile::Okta
        );
        assert_eq!(page.status, 200);
    }
}

/// What each provider's own ways must not let through.
#[tokio::test]
async fn what_is_particular_to_a_provider_is_no_way_in() {
    let table: Vec<(&str, Recorded, Value, &str)> = vec![
        (
            "a tenant that is not named",
            entra_for_all(),
            json!({"tid": "other", "iss": "https://login.microsoftonline.com/other/v2.0"}),
            "that tenant",
        ),
        ("a tenant that the issuer is not of", entra_for_all(), json!({"tid": "other"}), "another issuer"),
        (
            "a tenant that is no tenant",
            entra_for_all(),
            json!({"tid": "x/../y", "iss": "https://login.microsoftonline.com/x/../y/v2.0"}),
            "another issuer",
        ),
        (
            "the issuer of v1",
            entra(),
            json!({"iss": format!("https://sts.windows.net/{TENANT}/")}),
            "another issuer",
        ),
        ("somebody without an object id", entra(), json!({"oid": null}), "names nobody"),
        (
            "too many groups, by a pointer",
            entra(),
            json!({"groups": null, "_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph.windows.net/x"}}}),
            "left the groups out",
        ),
        (
            "too many groups, by a sign",
            entra(),
            json!({"groups": null, "hasgroups": true}),
            "left the groups out",
        ),
        ("anybody with a mailbox", google(), json!({"hd": null}), "that tenant"),
        ("another domain", google(), json!({"hd": "evil.example"}), "that tenant"),
        (
            "another issuer with that name in it",
            google(),
            json!({"iss": "accounts.google.com.evil.example"}),
            "another issuer",
        ),
        ("an access token", cognito(), json!({"token_use": "access"}), "no ID token"),
        ("groups beyond a token", keycloak(), json!({"groups": vec!["a-group"; 300]}), "too many to fit"),
    ];
    for (what, recorded, change, reason) in table {
        let scene = scene(&recorded);
        scene.idp(|idp| {
            for (name, value) in change.as_object().unwrap() {
                idp.claims[name] = value.clone();
            }
        });
        let back = Browser::default().login(&scene, &wish(CLIENT, WEB), "ada").await;
        assert!(back.refused.is_some_and(|it| it.contains(reason)), "{what}: {:?}", back.refused);
        assert_eq!(params_of(&location(&back)).get("code").unwrap(), None, "{what}");
    }
    let scene = scene(&okta());
    scene.idp(|idp| idp.userinfo = Some(json!({"sub": "somebody else", "groups": ["admins"]})));
    let back = Browser::default().login(&scene, &wish(CLIENT, WEB), "ada").await;
    assert_eq!(back.refused, Some("the identity provider told of somebody else"));
}

#[tokio::test]
async fn metadata_of_somebody_else_is_not_used() {
    for (recorded, change) in [
        (entra(), json!({"issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"})),
        (entra_for_all(), json!({"issuer": "https://evil.example/{tenantid}/v2.0"})),
        (keycloak(), json!({"issuer": "https://sso.example.com/realms/other"})),
        (keycloak(), json!({"authorization_endpoint": "javascript:alert(1)"})),
        (keycloak(), json!({"token_endpoint": null})),
    ] {
        let scene = scene(&recorded);
        scene.idp(|idp| {
            for (name, value) in change.as_object().unwrap() {
                idp.metadata[name] = value.clone();
            }
        });
        let answer = Browser::default().authorize(&scene, &wish(CLIENT, WEB)).await;
        assert_eq!(
            (answer.status, answer.refused),
            (503, Some("the identity provider cannot be asked")),
            "{change}"
        );
    }
}
