//! The content filter on any bytes: never panics, spans are places in the text, what it writes is JSON and is left alone
//! when it comes back.

use std::sync::OnceLock;

use aws_lc_rs::hmac;
use portcullis_guard::{Action, Engine, Outcome, Plan, Settings};

/// Feeds the bytes as text and as a document.
pub fn guard(data: &[u8]) {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| Engine::new(&Settings::default()).expect("the defaults are good"));
    if let Ok(text) = std::str::from_utf8(data) {
        for found in engine.scan_text(text).findings {
            assert!(text.get(found.start..found.end).is_some(), "{found:?}");
        }
    }
    for action in [Action::Redact, Action::Drop, Action::Partial] {
        let plan = Plan::all(action, hmac::Key::new(hmac::HMAC_SHA256, b"fuzz"));
        let Outcome::Changed { bytes, .. } = engine.transform_json(data, &plan, &mut ()) else { continue };
        assert!(
            !matches!(engine.transform_json(&bytes, &plan, &mut ()), Outcome::Blocked { .. }),
            "it is no JSON"
        );
    }
}
