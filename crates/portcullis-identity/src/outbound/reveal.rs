//! Secrets of the configuration at the moment of their use: what stands there, or is kept in Vault.

use std::borrow::Cow;
use std::sync::Arc;

use super::form::Fields;
use super::needed::Needed;
use super::office::Office;
use super::secrets::{Revealed, Secrets};
use super::settings::{Client, ClientAuth, Hidden};
use super::sign::SigningKey;
use super::tokens::{Endpoint, Prover, TokenError, Tokens, ask};
use crate::fetch::Fetch;

impl Office {
    /// Where secrets are kept that the configuration does not hold itself.
    pub fn set_secrets(&self, secrets: Option<Arc<Secrets>>) {
        self.secrets.store(secrets);
    }

    /// The same.
    pub fn secrets(&self) -> Option<Arc<Secrets>> {
        self.secrets.load_full()
    }

    /// A secret.
    pub(super) async fn reveal(&self, hidden: &Hidden) -> Result<Revealed, Needed> {
        let Some(of) = hidden.kept_at() else {
            return Ok(Revealed { text: hidden.expose().to_owned(), left: None });
        };
        let secrets = self.secrets();
        secrets.ok_or_else(|| Needed::Denied("no Vault is configured".into()))?.get(of).await
    }

    /// Whoever was shown a secret does not take it. Whether there may be another one.
    pub(super) fn doubt(&self, hidden: &Hidden) -> bool {
        match (hidden.kept_at(), self.secrets()) {
            (Some(of), Some(secrets)) => {
                secrets.forget(of);
                true
            }
            _ => false,
        }
    }

    /// A client as it shows itself.
    pub(super) async fn client<'a>(&self, client: &'a Client) -> Result<Cow<'a, Client>, Needed> {
        let Some(hidden) = client.auth.kept() else { return Ok(Cow::Borrowed(client)) };
        let text = self.reveal(hidden).await?.text;
        let auth = match &client.auth {
            ClientAuth::Post(_) => ClientAuth::Post(Hidden::new(text)),
            ClientAuth::KeptKey(_) => {
                let key = SigningKey::read(&text);
                let wrong = |error| Needed::Denied(format!("the private key in Vault {error}"));
                ClientAuth::PrivateKey(Arc::new(key.map_err(wrong)?))
            }
            _ => ClientAuth::Basic(Hidden::new(text)),
        };
        Ok(Cow::Owned(Client { id: client.id.clone(), auth }))
    }

    /// Asks for tokens, as a client whose secret may be in Vault. One that is refused may have been changed there.
    pub(super) async fn ask(
        &self,
        fetch: &dyn Fetch,
        endpoint: &Endpoint,
        client: Option<&Client>,
        fields: &Fields,
        prover: Option<&Prover>,
    ) -> Result<Tokens, TokenError> {
        let Some(client) = client else { return ask(fetch, endpoint, None, fields, prover).await };
        let shown = self.client(client).await.map_err(unavailable)?;
        let answer = ask(fetch, endpoint, Some(&shown), fields, prover).await;
        let refused = matches!(&answer, Err(TokenError::Refused(code)) if code == "invalid_client");
        if !refused || !client.auth.kept().is_some_and(|hidden| self.doubt(hidden)) {
            return answer;
        }
        let again = self.client(client).await.map_err(unavailable)?;
        if again == shown { answer } else { ask(fetch, endpoint, Some(&again), fields, prover).await }
    }
}

fn unavailable(needed: Needed) -> TokenError {
    match needed {
        Needed::Denied(why) | Needed::Unavailable(why) => {
            TokenError::Unavailable(format!("is not asked: {why}"))
        }
        Needed::Connect(_) | Needed::LogIn(_) => TokenError::Unavailable("is not asked".into()),
    }
}
