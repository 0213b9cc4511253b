//! What a connection is known by counts as long as what is remembered of a token, and no longer.

use super::*;
use crate::familiar::Familiar;

/// Whether a credential is known by what was shown before.
struct Known {
    scene: Scene,
    familiar: Familiar<&'static str>,
}

impl Known {
    async fn after(token: impl FnOnce(&Scene) -> String) -> (Self, String) {
        let scene = Scene::new(|_| {});
        let familiar = Familiar::default();
        let shown = format!("Bearer {}", token(&scene));
        let mark = scene.identity.mark();
        let verified = scene.present(&shown, None, None).await.unwrap();
        familiar.keep(mark, shown.as_bytes(), &verified, "made");
        (Self { scene, familiar }, shown)
    }

    fn is(&self, shown: &str) -> bool {
        self.familiar.recall(&self.scene.identity, shown.as_bytes()).is_some()
    }
}

#[tokio::test]
async fn the_very_same_credential_is_known_until_something_is_taken_back() {
    let (known, shown) = Known::after(|scene| scene.token(|_, _| {})).await;
    assert!(known.is(&shown));
    let (scheme, token) = shown.split_once(' ').unwrap();
    let other = known.scene.token(|_, claims| drop(claims.insert("sub".into(), json!("eve"))));
    for another in [
        format!("Bearer {other}"),
        token.to_owned(),
        shown[..shown.len() - 1].to_owned(),
        format!("{shown}x"),
        format!("{scheme} "),
    ] {
        assert!(!known.is(&another), "{another}");
    }
    known.scene.identity.ended().end("a login of somebody else", now());
    assert!(!known.is(&shown), "whoever it was, it is looked at again");

    let (known, shown) = Known::after(|scene| scene.token(|_, _| {})).await;
    known.scene.reload(known.scene.identity.with_settings(Clone::clone));
    assert!(!known.is(&shown));
}

#[tokio::test]
async fn what_was_taken_back_meanwhile_is_not_known() {
    let scene = Scene::new(|_| {});
    let shown = format!("Bearer {}", scene.token(|_, _| {}));
    let (familiar, mark) = (Familiar::default(), scene.identity.mark());
    let verified = scene.present(&shown, None, None).await.unwrap();
    scene.reload(scene.identity.with_settings(Clone::clone));
    familiar.keep(mark, shown.as_bytes(), &verified, ());
    assert!(familiar.recall(&scene.identity, shown.as_bytes()).is_none());
}

#[tokio::test]
async fn a_token_that_has_expired_or_was_verified_long_ago_is_verified_again() {
    for (ends, known_for) in [(300, 60), (20, 20)] {
        let scene = Scene::new(|_| {});
        let token = scene.token(|_, claims| drop(claims.insert("exp".into(), json!(now() + ends))));
        let before = now();
        let verified = scene.bearer(&token).await.unwrap();
        let fresh = verified.fresh_until - before;
        assert!((known_for..=known_for + 5).contains(&fresh), "{fresh}");
        let (familiar, shown) = (Familiar::default(), b"Bearer x");
        let stale = Verified { fresh_until: now(), ..Verified::clone(&verified) };
        familiar.keep(scene.identity.mark(), shown, &stale, ());
        assert!(familiar.recall(&scene.identity, shown).is_none());
    }
}

#[tokio::test]
async fn what_needs_a_proof_with_each_request_makes_nothing_known() {
    let scene = Scene::new(|_| {});
    let verified = scene.bearer(&scene.token(|_, _| {})).await.unwrap();
    let (familiar, mark) = (Familiar::default(), scene.identity.mark());
    let bound = Verified { binding: Binding::Key("thumbprint".into()), ..Verified::clone(&verified) };
    familiar.keep(mark, b"DPoP x", &bound, ());
    assert!(familiar.recall(&scene.identity, b"DPoP x").is_none());
    let long = vec![b'x'; LONGEST_REMEMBERED + 1];
    familiar.keep(mark, &long, &verified, ());
    assert!(familiar.recall(&scene.identity, &long).is_none());
}
