//! Where calls of the API get their token from: read once, renewed before its end, by one at a time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Mutex, OwnedMutexGuard};
use uuid::Uuid;

use super::accounts::{self, Account};
use super::grants;
use super::http::Http;
use super::lock::Lock;
use super::tokens::Tokens;
use crate::clock::Clock;
use crate::error::{ErrorCode, PairingError};
use crate::secrets::SecretStore;

/// The tokens of one account. Cheap to clone; clones share what is in memory. Several of them, in one process or many, see
/// to it together that a refresh token is used once.
#[derive(Clone)]
pub struct TokenSource(Arc<Source>);

struct Source {
    account: Account,
    folder: PathBuf,
    store: Arc<dyn SecretStore>,
    http: Http,
    held: Arc<Mutex<Option<Tokens>>>,
    clock: Clock,
}

impl TokenSource {
    pub(super) fn new(
        account: Account,
        folder: PathBuf,
        store: Arc<dyn SecretStore>,
        http: Http,
        clock: Clock,
    ) -> TokenSource {
        TokenSource(Arc::new(Source { account, folder, store, http, held: Arc::default(), clock }))
    }

    /// Whose tokens these are.
    pub fn account(&self) -> &Account {
        &self.0.account
    }

    /// What calls are made with.
    pub(crate) fn net(&self) -> &crate::net::Net {
        self.0.http.net()
    }

    /// A token that is good for a while yet. Asks the keyring once in this object's life, unless another process renewed.
    ///
    /// # Errors
    /// `signed-out`; `sign-in-unreachable` where it has ended and cannot be renewed now; `keyring-…`, `accounts-…`.
    pub async fn token(&self) -> Result<SecretString, PairingError> {
        self.good(None).await
    }

    /// Another token than this one, which the API refused.
    ///
    /// # Errors
    /// As [`token`](Self::token).
    pub async fn instead_of(&self, refused: &SecretString) -> Result<SecretString, PairingError> {
        self.good(Some(refused)).await
    }

    async fn good(&self, refused: Option<&SecretString>) -> Result<SecretString, PairingError> {
        let mut held = self.0.held.clone().lock_owned().await;
        if held.is_none() {
            *held = self.0.read().await?;
        }
        let tokens = held.as_ref().ok_or(ErrorCode::SignedOut)?;
        if let Some(token) = self.0.usable(tokens, refused) {
            return Ok(token);
        }
        // In a task of its own: whoever is cancelled meanwhile must not lose a token that the issuer has given already.
        let (source, refused) = (self.0.clone(), refused.cloned());
        let renewal = tokio::spawn(async move { source.renew(held, refused.as_ref()).await });
        renewal.await.map_err(|stopped| PairingError::with_detail(ErrorCode::Internal, stopped.to_string()))?
    }
}

impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TokenSource").field(&self.0.account.name).finish()
    }
}

/// What the lock's file says while a renewal is under way: whoever finds it asks the store what came of it.
const UNDER_WAY: &str = "renewal under way";

impl Source {
    fn usable(&self, tokens: &Tokens, refused: Option<&SecretString>) -> Option<SecretString> {
        let same =
            |token: &SecretString| refused.is_some_and(|refused| refused.expose_secret() == token.expose_secret());
        tokens.good(self.clock.now()).filter(|token| !same(token)).cloned()
    }

    async fn read(&self) -> Result<Option<Tokens>, PairingError> {
        let secret = self.store.get(&self.account.secret()).await?;
        Ok(secret.and_then(|secret| Tokens::from_secret(&secret, self.clock.now())))
    }

    /// One at a time over all processes. The lock's file names the generation that is in the store, so that whoever comes
    /// second, and only they, read the store again instead of using a refresh token that was used.
    async fn renew(
        &self,
        mut held: OwnedMutexGuard<Option<Tokens>>,
        refused: Option<&SecretString>,
    ) -> Result<SecretString, PairingError> {
        let mut lock = Lock::take(&self.account.lock_file(&self.folder)).await?;
        let known = held.as_ref().map(|tokens| tokens.generation.to_string());
        if Some(lock.text()?) != known {
            *held = self.read().await?;
            if let Some(token) = held.as_ref().and_then(|tokens| self.usable(tokens, refused)) {
                return Ok(token);
            }
        }
        let Some(tokens) = held.clone() else { return Err(ErrorCode::SignedOut.into()) };
        let Some(refresh) = &tokens.refresh else {
            return Err(PairingError::with_detail(ErrorCode::SignedOut, "the issuer gave nothing to renew it with"));
        };
        lock.leave(UNDER_WAY)?;
        let account = &self.account;
        match grants::renew(&self.http, &account.token_endpoint, &account.client_id, refresh).await {
            Ok(granted) => {
                let renewed = Tokens::new(granted, Some(&tokens), self.clock.now());
                let access = renewed.access.clone().ok_or(ErrorCode::Internal)?;
                match self.store.set(&account.secret(), &renewed.to_secret()?).await {
                    Ok(()) => lock.leave(&renewed.generation.to_string())?,
                    // This process can go on; the next one will have to sign in again.
                    Err(error) => tracing::warn!(%error, "the renewed sign-in could not be kept"),
                }
                *held = Some(renewed);
                Ok(access)
            }
            Err(error) if error.code == ErrorCode::SignedOut => {
                // What it is good for is over, and no other process needs to ask.
                *held = None;
                let _ = self.store.delete(&account.secret()).await;
                drop(lock);
                if let Err(error) = mark_signed_out(&self.folder, account.id).await {
                    tracing::warn!(%error, "the list of accounts could not be changed");
                }
                Err(error)
            }
            Err(error) => {
                lock.leave(&tokens.generation.to_string())?;
                let same = |token: &SecretString| {
                    refused.is_some_and(|refused| refused.expose_secret() == token.expose_secret())
                };
                // It was renewed ahead of time; what there is does for now.
                match tokens.not_ended(self.clock.now()).filter(|token| !same(token)) {
                    Some(token) => Ok(token.clone()),
                    None => Err(error),
                }
            }
        }
    }
}

async fn mark_signed_out(folder: &Path, id: Uuid) -> Result<(), PairingError> {
    accounts::change(folder, |accounts| {
        if let Some(kept) = accounts.all.iter_mut().find(|kept| kept.id == id) {
            kept.signed_out = true;
        }
        Ok(())
    })
    .await
}
