//! What must not meet.

use super::*;

fn rules() -> Rules {
    let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    Rules {
        private: list(&["crm", "files/read_*"]),
        untrusted: list(&["web/fetch", "mail/read_*"]),
        external: list(&["mail/send_*", "web"]),
        regions: vec![Region {
            name: "eu".into(),
            data: list(&["crm/eu_*"]),
            servers: list(&["files"]),
            groups: list(&["staff-eu"]),
            principals: list(&["key:batch"]),
        }],
        window: Duration::from_mins(1),
    }
}

fn after(steps: &[(&str, &str)]) -> Labels {
    let mut window = Labels::default();
    for (server, name) in steps {
        window.join(&rules().read(server, name));
    }
    window
}

#[test]
fn any_two_may_meet_and_all_three_may_not() {
    let held =
        |steps: &[(&str, &str)], server, name| !rules().conflicts(&after(steps), server, name).is_empty();
    assert!(!held(&[("crm", "get")], "mail", "send_now"));
    assert!(!held(&[("web", "fetch")], "mail", "send_now"));
    assert!(!held(&[("crm", "get"), ("web", "fetch")], "files", "write"));
    assert!(held(&[("crm", "get"), ("web", "fetch")], "mail", "send_now"));
    assert!(held(&[("mail", "read_inbox"), ("files", "read_all")], "web", "post"), "in either order");
    assert!(rules().is_sink("web", "post") && rules().is_sink("mail", "send_x"));
}

#[test]
fn data_of_a_region_stays_there() {
    let of = rules();
    assert!(of.outside("crm", "eu_customers", "key:other", &["staff-us".into()]).is_some());
    assert!(of.outside("crm", "eu_customers", "key:batch", &[]).is_none());
    assert!(of.outside("crm", "eu_customers", "x", &["staff-eu".into()]).is_none());
    assert!(of.outside("crm", "us_customers", "x", &[]).is_none());
    let window = after(&[("crm", "eu_customers")]);
    assert!(matches!(of.conflicts(&window, "mail", "draft")[..], [Conflict::Leaves { .. }]));
    assert!(of.conflicts(&window, "files", "write").is_empty());
    assert!(of.conflicts(&window, "crm", "eu_orders").is_empty());
    assert!(of.is_sink("mail", "draft") && !of.is_sink("files", "write"));
}

#[test]
fn what_a_result_says_of_itself_only_adds() {
    let said = Labels::said(["private", "region:eu", "harmless", "trusted"].into_iter(), "a/b");
    assert_eq!((said.private.as_deref(), said.untrusted.as_deref()), (Some("a/b"), None));
    assert_eq!(said.regions.len(), 1);
    let mut window = after(&[("web", "fetch")]);
    assert!(window.join(&said) && !window.join(&said));
    assert_eq!(window.untrusted.as_deref(), Some("web/fetch"));
}
