//! The error table is the documented one, and keeps the eras apart.

use std::fmt::Write as _;

use super::*;

/// The table as the reference page shows it. A change here is a change of the public surface.
#[test]
fn the_table_is_the_documented_one() {
    let mut table = String::from(
        "| reason | fault | JSON-RPC | HTTP, 2026-07-28 | HTTP, before |\n|---|---|---|---|---|\n",
    );
    for kind in ErrorKind::ALL {
        let row = row(*kind);
        let _ = writeln!(
            table,
            "| `{}` | {:?} | {} | {} | {} |",
            kind.as_str(),
            kind.fault(),
            row.code,
            row.modern,
            row.legacy
        );
    }
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/errors.md"))
            .expect("docs/reference/errors.md exists");
    assert!(page.contains(&table), "docs/reference/errors.md is stale; its table must be:\n{table}");
}

#[test]
fn a_legacy_client_never_gets_404_for_a_method() {
    for kind in ErrorKind::ALL {
        let expected = matches!(kind, ErrorKind::UnknownSession | ErrorKind::UnknownPath);
        assert_eq!(status(Era::Legacy, *kind) == StatusCode::NOT_FOUND, expected, "{kind:?}");
    }
}

#[test]
fn no_code_of_the_wrong_era_leaves() {
    for kind in ErrorKind::ALL {
        let refusal = Refusal::new(*kind, "x");
        let modern = error(Era::Modern, &refusal).code();
        assert!(!(-32019..=-32000).contains(&modern) && modern != code::URL_ELICITATION_REQUIRED, "{kind:?}");
        assert!(!(-32099..=-32020).contains(&error(Era::Legacy, &refusal).code()), "{kind:?}");
    }
}
