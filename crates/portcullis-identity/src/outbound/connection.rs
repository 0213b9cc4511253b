//! A connected account: how it is renewed, and how it ends.
//!
//! Kept by user, server and issuer. One of those who wait refreshes it for all, and of several processes one at a time; where two
//! do so all the same (a turn has ended by itself), the version of the record tells them apart, and the one that comes second takes
//! what the first one got. Once a refresh token may be under way nobody's patience ends the refresh, for what comes back for it is
//! the only one that is good from then on. An account ends when its refresh
//! token is refused as such, or is given up; whatever else fails leaves it as it is. Whoever holds a credential looks every
//! few seconds whether its record is still the same, so what is given up in another process is not used for long.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_model::Expected;
use tokio::time::Instant;

use super::account::{Account, Kept, digest};
use super::credential::{Credential, renewal};
use super::form::Fields;
use super::needed::Needed;
use super::settings::{Client, Kind, Oauth};
use super::sign::random;
use super::source::Source;
use super::tokens::{Endpoint, TokenError, TokenType, Tokens};
use crate::clock::now;
use crate::fetch::{Form, Trust, Wanted};
use crate::inbound::sha256;

const KIND: &str = "connection";
/// How long a token counts that names no end, in seconds; it is refreshed sooner when the server refuses it.
const LASTING: u64 = 3600;

/// So often it is looked whether an account is still what it was.
const LOOK: Duration = Duration::from_secs(5);
/// What was last seen counts for so long while the store cannot be asked.
const BELIEVED: Duration = Duration::from_mins(1);
/// An account whose client has been forgotten is tried again after so long.
const LAPSED: Duration = Duration::from_mins(10);
/// When a refresh fails and the token still counts, in seconds until the next one.
const AGAIN: u64 = 10;
/// How long is waited while another process refreshes an account: one that takes longer has died, and its turn ends by itself.
const TURN: Duration = Duration::from_secs(8);
/// How long it is remembered that an account has ended.
const REMEMBERED: Duration = Duration::from_mins(10);

/// Which record the current credential is of.
pub(super) struct Seen {
    key: String,
    version: u64,
    login: String,
    /// When it was last seen to be so, and when somebody last looked.
    at: Instant,
    looked: Instant,
    /// What had changed in this process until then.
    changes: u64,
}

/// A record that was opened.
struct Found {
    key: String,
    version: u64,
    kept: Kept,
}

/// The credential that is there and cannot be renewed now, where it still counts.
fn left_of(kept: &Kept, refused: bool) -> Option<Credential> {
    let counts = !refused && kept.expires > now();
    counts.then(|| kept.credential().until(kept.expires.min(now() + AGAIN)))
}

impl Source {
    fn owner_id(&self) -> String {
        self.owner.as_ref().map_or_else(|| "gateway".to_owned(), portcullis_model::Principal::id)
    }

    /// Where this user's accounts at this server are kept.
    fn prefix(&self) -> String {
        format!("{}/{}/", digest(&self.owner_id()), digest(&self.settings.url))
    }

    /// The credential of the account that is connected; `None` when there is none.
    pub(super) async fn connected(self: &Arc<Self>, oauth: &Oauth) -> Result<Option<Credential>, Needed> {
        let Some(found) = self.newest(oauth).await? else { return Ok(None) };
        self.note(&found.key, found.version, &found.kept);
        let (refused, lapsed) = {
            let state = self.state();
            let token = sha256(found.kept.access.as_bytes());
            let lapsed = state.lapsed.is_some_and(|(of, at)| of == token && at.elapsed() < LAPSED);
            (state.refused == Some(token), lapsed)
        };
        let credential = found.kept.credential();
        if !refused && credential.is_fresh() {
            return Ok(Some(credential));
        }
        // Lest a server has every call refresh: the user is asked instead.
        if lapsed || (refused && (self.is_young() || self.has_moved(&found.kept.account).await?)) {
            return Ok(None);
        }
        // Whoever waits for it has only so much patience, and may not take along what comes for a refresh token.
        let refreshed = self.office.runtime.spawn(self.clone().refresh(found, refused));
        refreshed.await.unwrap_or_else(|_| Err(Needed::Unavailable("the gateway is stopping".into())))
    }

    async fn newest(&self, oauth: &Oauth) -> Result<Option<Found>, Needed> {
        let vault = &self.office.vault;
        let mut newest: Option<Found> = None;
        for key in vault.keys(KIND, &self.prefix()).await? {
            let Some(opened) = vault.get(KIND, &key).await? else { continue };
            let Some(mut kept) = Kept::read(&opened.value) else { continue };
            let is_ours = oauth.issuer.as_ref().is_none_or(|issuer| *issuer == kept.account.issuer);
            if is_ours && newest.as_ref().is_none_or(|other| other.kept.since < kept.since) {
                self.know_prover(&mut kept.account);
                newest = Some(Found { key, version: opened.version, kept });
            }
        }
        Ok(newest)
    }

    /// What is current is of this record. An account that was connected anew, perhaps elsewhere, begins anew.
    fn note(&self, key: &str, version: u64, kept: &Kept) {
        let (now, changes) = (Instant::now(), self.office.changes());
        let mut state = self.state();
        if state.seen.as_ref().is_some_and(|seen| seen.login != kept.login) {
            state.begin_anew();
        }
        let (key, login) = (key.to_owned(), kept.login.clone());
        state.seen = Some(Seen { key, version, login, at: now, looked: now, changes });
    }

    /// Whether what is current may be used without a look at the store.
    pub(super) fn is_certain(&self) -> bool {
        if !matches!(self.kind(), Kind::Oauth(_)) {
            return true;
        }
        let changes = self.office.changes();
        self.state().seen.as_ref().is_some_and(|it| it.changes == changes && it.looked.elapsed() < LOOK)
    }

    /// Whether the record of what is current is still what it was: it may have been given up, or connected anew, by
    /// somebody else.
    pub(super) async fn is_still_there(&self) -> Result<bool, Needed> {
        let changes = self.office.changes();
        let seen = self.state().seen.as_ref().map(|seen| (seen.key.clone(), seen.version, seen.at));
        let Some((key, version, at)) = seen else { return Ok(false) };
        let there = self.office.vault.version(KIND, &key).await;
        let now = Instant::now();
        let mut state = self.state();
        let Some(seen) = state.seen.as_mut() else { return Ok(false) };
        match there {
            Ok(there) if there != Some(version) => return Ok(false),
            Ok(_) => seen.at = now,
            Err(error) if at.elapsed() >= BELIEVED => return Err(error),
            Err(_) => {}
        }
        (seen.looked, seen.changes) = (now, changes);
        Ok(true)
    }

    /// Whether the server names another authorization server than the one that gave the token which it refused.
    async fn has_moved(&self, account: &Account) -> Result<bool, Needed> {
        if self.settings.nowhere {
            return Ok(false);
        }
        let named = self.state().challenge.as_ref().and_then(|challenge| challenge.resource_metadata.clone());
        let reach = self.reach(&[]);
        let part_of = match self.kind() {
            Kind::Oauth(oauth) => oauth.resource.as_deref(),
            _ => None,
        };
        let found = self.resource(&reach, part_of, named.as_deref(), None);
        Ok(found.await?.issuer.is_some_and(|issuer| issuer != account.issuer))
    }

    /// Refreshes an account, or takes what another process has got meanwhile: of all that share the store, one asks at a time.
    /// A refresh token that comes twice ends the account at many authorization servers.
    async fn refresh(self: Arc<Self>, found: Found, refused: bool) -> Result<Option<Credential>, Needed> {
        let Kind::Oauth(oauth) = self.kind() else { return Ok(None) };
        let vault = &self.office.vault;
        let left = left_of(&found.kept, refused);
        // Whoever still has one that counts waits for nobody.
        let patience = if left.is_some() { Duration::ZERO } else { TURN };
        let Some(turn) = vault.turn(KIND, &found.key, patience).await? else {
            let slow = || Needed::Unavailable("another gateway is renewing this account; try again".into());
            return left.map(Some).ok_or_else(slow);
        };
        let refreshed = match vault.get(KIND, &found.key).await {
            Ok(Some(there)) if there.version == found.version => {
                self.ask_for_more(oauth, found, refused).await
            }
            Ok(Some(there)) => Ok(self.take_over(&found.key, there.version, &there.value)),
            // It was given up meanwhile.
            Ok(None) => Ok(None),
            Err(needed) => Err(needed),
        };
        turn.give_back().await;
        refreshed
    }

    async fn ask_for_more(
        &self,
        oauth: &Oauth,
        found: Found,
        refused: bool,
    ) -> Result<Option<Credential>, Needed> {
        let kept = &found.kept;
        // Without one, nothing can be done with it any more.
        let Some(refresh) = &kept.refresh else { return self.end(&found).await };
        let client = self.client_of(oauth, &kept.account)?;
        let mut fields = Fields::default();
        fields
            .add("grant_type", "refresh_token")
            .add("refresh_token", refresh)
            .add_some("resource", Some(&kept.account.resource));
        let endpoint = self.endpoint(oauth, &kept.account);
        let answer =
            self.office.ask(&*self.fetch, &endpoint, client, &fields, kept.account.prover.as_deref()).await;
        let left = left_of(kept, refused);
        match answer {
            Ok(tokens) => self.renew(found, tokens).await,
            // The one answer that says that there is nothing to refresh any more (RFC 6749 section 5.2).
            Err(TokenError::Refused(code)) if code == "invalid_grant" => self.end(&found).await,
            Err(_) if left.is_some() => Ok(left),
            // What is wanted of the user, a login asks them for, and that is what connecting is.
            Err(TokenError::Interaction(_)) => {
                self.state().lapsed = Some((sha256(kept.access.as_bytes()), Instant::now()));
                Ok(None)
            }
            Err(TokenError::Refused(code)) if code == "invalid_client" && kept.account.registered => {
                self.forget_registration(&kept.account).await?;
                self.state().lapsed = Some((sha256(kept.access.as_bytes()), Instant::now()));
                Ok(None)
            }
            Err(error) => Err(error.into_needed(&endpoint)),
        }
    }

    /// Keeps what came for a refresh token. Whoever was told meanwhile that the token was used already has taken that for
    /// the end: it is not, for this is what it was used for.
    async fn renew(&self, found: Found, tokens: Tokens) -> Result<Option<Credential>, Needed> {
        let Found { key, version, kept } = found;
        let before = Kept { refresh: kept.refresh.clone(), ..kept };
        let renewed = self.keep(&before, tokens)?;
        let vault = &self.office.vault;
        let mut expected = version;
        loop {
            let put = vault.put(KIND, &key, &renewed.write(), None, Expected::Version(expected)).await?;
            if let Some(version) = put {
                self.note(&key, version, &renewed);
                return Ok(Some(renewed.credential()));
            }
            match vault.get(KIND, &key).await? {
                Some(there) if before.has_ended_as(&there.value) => expected = there.version,
                Some(there) => return Ok(self.take_over(&key, there.version, &there.value)),
                None => {
                    // It was given up meanwhile, and this with it.
                    self.revoke(&renewed).await;
                    return Ok(None);
                }
            }
        }
    }

    /// The refresh token is good for nothing: that is the end, unless somebody else has used it for a better one.
    async fn end(&self, found: &Found) -> Result<Option<Credential>, Needed> {
        let Found { key, version, kept } = found;
        let vault = &self.office.vault;
        let end = Some(SystemTime::now() + REMEMBERED);
        if vault.put(KIND, key, &kept.ended(), end, Expected::Version(*version)).await?.is_some() {
            tracing::info!(server.id = self.settings.server, "a connected account has ended");
            return Ok(None);
        }
        let there = vault.get(KIND, key).await?;
        Ok(there.and_then(|there| self.take_over(key, there.version, &there.value)))
    }

    /// What somebody else has put there.
    fn take_over(&self, key: &str, version: u64, value: &serde_json::Value) -> Option<Credential> {
        let mut kept = Kept::read(value)?;
        self.know_prover(&mut kept.account);
        self.note(key, version, &kept);
        Some(kept.credential())
    }

    /// As whom an account's authorization server is asked: as the gateway was registered there, else as the operator says,
    /// which is for the issuer that the operator names.
    pub(super) fn client_of<'a>(
        &self,
        oauth: &'a Oauth,
        account: &'a Account,
    ) -> Result<Option<&'a Client>, Needed> {
        if account.client.is_some() {
            return Ok(account.client.as_ref());
        }
        match &oauth.client {
            Some(_) if oauth.issuer.as_ref() != Some(&account.issuer) => {
                Err(self.denied("the configured `client_id` is for another issuer than the account"))
            }
            client => Ok(client.as_ref()),
        }
    }

    pub(super) fn endpoint(&self, oauth: &Oauth, account: &Account) -> Endpoint {
        let reach = self.reach(&[oauth.issuer.as_deref()]);
        Endpoint {
            url: account.token_endpoint.clone(),
            trust: reach.trust(&account.token_endpoint),
            issuer: Some(account.issuer.clone()),
        }
    }

    /// What is kept when tokens come in the place of what was before.
    fn keep(&self, before: &Kept, tokens: Tokens) -> Result<Kept, Needed> {
        let dpop = match tokens.kind {
            TokenType::Bearer => false,
            TokenType::Dpop if before.account.prover.is_some() => true,
            _ => return Err(self.denied("its tokens are of a type that was not asked for (`token_type`)")),
        };
        let expires = tokens.expires.unwrap_or_else(|| now() + LASTING);
        let refresh = tokens.refresh.or_else(|| before.refresh.clone());
        Ok(Kept {
            account: before.account.clone(),
            access: tokens.access,
            dpop,
            expires,
            // What cannot be renewed is used to its end.
            renew: if refresh.is_some() { renewal(expires) } else { expires },
            refresh,
            scopes: tokens.scopes.unwrap_or_else(|| before.scopes.clone()),
            since: before.since,
            login: before.login.clone(),
        })
    }

    /// An account was connected: it takes the place of any other of this user at this server.
    pub(super) async fn connect(
        &self,
        mut account: Account,
        tokens: Tokens,
        asked: Vec<String>,
    ) -> Result<(), Needed> {
        self.know_prover(&mut account);
        let before = Kept {
            account,
            access: String::new(),
            dpop: false,
            expires: 0,
            renew: 0,
            refresh: None,
            scopes: asked,
            since: now(),
            login: random(16),
        };
        let kept = self.keep(&before, tokens)?;
        let vault = &self.office.vault;
        let key = format!("{}{}", self.prefix(), digest(&kept.account.issuer));
        let _turn = self.obtaining.lock().await;
        for other in vault.keys(KIND, &self.prefix()).await? {
            if other != key {
                vault.take(KIND, &other).await?;
            }
        }
        let version = vault.put(KIND, &key, &kept.write(), None, Expected::Any).await?.unwrap_or_default();
        self.state().begin_anew();
        self.office.change();
        self.note(&key, version, &kept);
        self.current.store(Some(Arc::new(kept.credential())));
        Ok(())
    }

    /// Whether an account is connected: one that can be opened.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn is_connected(&self) -> Result<bool, Needed> {
        let Kind::Oauth(oauth) = self.kind() else { return Ok(false) };
        Ok(self.newest(oauth).await?.is_some())
    }

    /// Whether the account that is connected is what the server was last said to want: with the scopes that it wants, and
    /// not by the token that it refused.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn is_settled(&self) -> Result<bool, Needed> {
        let Kind::Oauth(oauth) = self.kind() else { return Ok(true) };
        let Some(found) = self.newest(oauth).await? else { return Ok(false) };
        let state = self.state();
        // One that was connected anew is what the user could agree to.
        let is_new = state.seen.as_ref().is_some_and(|seen| seen.login != found.kept.login);
        let refused = state.refused == Some(sha256(found.kept.access.as_bytes()));
        Ok(is_new || (!refused && state.has_all(&found.kept.scopes)))
    }

    /// Forgets the account, and asks its authorization server to do so, too (RFC 7009). Whether there was one.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn disconnect(&self) -> Result<bool, Needed> {
        let _turn = self.obtaining.lock().await;
        let vault = &self.office.vault;
        let mut any = false;
        for key in vault.keys(KIND, &self.prefix()).await? {
            let Some(kept) = vault.take(KIND, &key).await?.as_ref().and_then(Kept::read) else { continue };
            any = true;
            self.revoke(&kept).await;
        }
        self.current.store(None);
        self.state().begin_anew();
        self.office.change();
        self.changed();
        Ok(any)
    }

    async fn revoke(&self, kept: &Kept) {
        let Some(url) = &kept.account.revocation_endpoint else { return };
        let Kind::Oauth(oauth) = self.kind() else { return };
        let client = match self.client_of(oauth, &kept.account) {
            Ok(Some(client)) => self.office.client(client).await.map(Some),
            Ok(None) => Ok(None),
            Err(needed) => Err(needed),
        };
        let Ok(client) = client else {
            tracing::warn!(
                server.id = self.settings.server,
                "the account's tokens were not revoked: the gateway is nobody there any more"
            );
            return;
        };
        let trust: Trust = self.reach(&[oauth.issuer.as_deref()]).trust(url);
        let endpoint = Endpoint { url: url.clone(), trust, issuer: Some(kept.account.issuer.clone()) };
        let (token, hint) = match &kept.refresh {
            Some(refresh) => (refresh, "refresh_token"),
            None => (&kept.access, "access_token"),
        };
        let mut fields = Fields::default();
        fields.add("token", token).add("token_type_hint", hint);
        let form: Form = super::tokens::form(&endpoint, client.as_deref(), fields, None);
        let wanted = Wanted { any_status: true, ..Wanted::post(url, trust, form, 16 * 1024) };
        match self.fetch.fetch(wanted).await {
            Ok(fetched) if fetched.status == 200 => {}
            other => {
                let status = other.map(|fetched| fetched.status);
                tracing::warn!(
                    server.id = self.settings.server,
                    ?status,
                    "the account's tokens were not revoked"
                );
            }
        }
    }
}
