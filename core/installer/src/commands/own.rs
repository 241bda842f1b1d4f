//! The installer that pairings use, made anew whenever settings or accounts have changed.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Mutex as AsyncMutex;

use super::{CommandError, Commands};
use crate::error::ErrorCode;
use crate::installer::{Config, Installer};
use crate::journal::Journal;
use crate::secrets::SecretStore;
use crate::settings::{Key, SecretsIn, Setting, Settings, Source, Value};
use crate::sign_in::{self, Account, Accounts, SignIn};
use crate::telling::Telling;

/// Journal, installer and secret store, once each.
#[derive(Default)]
pub(super) struct Own {
    journal: AsyncMutex<Option<Journal>>,
    /// With what it tells the API of earlier pairings in the background.
    installer: AsyncMutex<Option<(Made, Installer, Telling)>>,
    store: Mutex<Option<(SecretsIn, Arc<dyn SecretStore>)>>,
    /// The account that the host began with, until another is chosen.
    begun_as: Mutex<Option<String>>,
}

impl Own {
    pub(super) fn new(account: Option<String>) -> Self {
        Own { begun_as: Mutex::new(account), ..Own::default() }
    }

    /// From here on the current account counts.
    pub(super) fn choose(&self) {
        *self.begun_as.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The installer that was made last, if one was.
    pub(super) async fn made(&self) -> Option<Installer> {
        self.installer.lock().await.as_ref().map(|(_, installer, _)| installer.clone())
    }

    /// The next one is made anew, whatever it was made of.
    pub(super) async fn forget(&self) {
        *self.installer.lock().await = None;
    }
}

/// Of what an installer was made.
#[derive(PartialEq)]
struct Made {
    settings: Vec<Setting>,
    account: Option<Account>,
}

/// As whom the provisioning API is called.
pub(super) enum Identity {
    Token,
    Account(Box<Account>),
}

impl Commands {
    /// The settings that hold now.
    pub(super) fn settings_now(&self) -> Result<Settings, CommandError> {
        Ok(self.0.host.settings()?)
    }

    /// Where secrets are kept. One store lives on, for it may have asked for a passphrase.
    pub(super) fn store(&self, settings: &Settings) -> Arc<dyn SecretStore> {
        let wanted = settings.secrets();
        let mut kept = self.0.own.store.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((kind, store)) = &*kept
            && *kind == wanted
        {
            return store.clone();
        }
        let store = (self.0.host.secrets)(settings, &self.0.host.data_dir);
        *kept = Some((wanted, store.clone()));
        store
    }

    /// For signing in and out.
    pub(super) async fn sign_in_here(&self) -> Result<SignIn, CommandError> {
        let settings = self.settings_now()?;
        let store = self.store(&settings);
        let net = settings.net(store.as_ref(), &self.0.host.environment).await?;
        Ok(SignIn::new(&self.0.host.data_dir, store, net))
    }

    /// The account that the host began with, where it is still there and none was chosen since.
    pub(super) fn begun_as<'a>(&self, accounts: &'a Accounts) -> Option<&'a Account> {
        let name = self.0.own.begun_as.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.find(Some(name.as_deref()?)).ok()
    }

    /// As whom, with these settings: a token that the host was given, else the account that it began with, else the one
    /// that the settings' address means, else the current one.
    pub(super) fn identity(&self, settings: &Settings) -> Result<Identity, CommandError> {
        if self.0.host.token.is_some() {
            return Ok(Identity::Token);
        }
        let accounts = sign_in::accounts_in(&self.0.host.data_dir)?;
        if let Some(account) = self.begun_as(&accounts) {
            return Ok(Identity::Account(Box::new(account.clone())));
        }
        let current = accounts.find(None).ok();
        let api = settings.get(Key::Api);
        let Some(Value::Text(address)) = api.value else {
            return Ok(Identity::Account(Box::new(current.ok_or(ErrorCode::ApiTokenMissing)?.clone())));
        };
        let server = sign_in::server(&address)?;
        // An address that was named for this run says who; the one in the file only where nobody is chosen.
        let named = matches!(api.source, Source::Flag(_) | Source::Environment(_));
        let found = current.filter(|account| !named || account.server == server);
        let found = found.or_else(|| accounts.all.iter().find(|account| account.server == server));
        Ok(Identity::Account(Box::new(found.ok_or(ErrorCode::ApiTokenMissing)?.clone())))
    }

    /// What pairs: the demo's installer while that is on, else one of the settings and the account.
    pub(super) async fn installer(&self) -> Result<Installer, CommandError> {
        if let Some(world) = self.0.demo.world() {
            return Ok(world.installer.clone());
        }
        let settings = self.settings_now()?;
        let identity = self.identity(&settings)?;
        let account = match &identity {
            Identity::Account(account) => Some(account.as_ref().clone()),
            Identity::Token => None,
        };
        let made = Made { settings: settings.all().to_vec(), account };
        let mut kept = self.0.own.installer.lock().await;
        if let Some((of, installer, _)) = &*kept
            && *of == made
        {
            return Ok(installer.clone());
        }
        let store = self.store(&settings);
        let base = Config {
            overrides: settings.overrides(),
            secrets: Some(store.clone()),
            ..Config::new(&self.0.host.data_dir)
        };
        let config = match identity {
            Identity::Token => {
                let net = settings.net(store.as_ref(), &self.0.host.environment).await?;
                Config {
                    api_url: Some(settings.api().ok_or(ErrorCode::ApiNotSet)?),
                    token: self.0.host.token.clone(),
                    extra_ca_pem: net.extra_ca_pem,
                    proxy: net.proxy,
                    ..base
                }
            }
            Identity::Account(account) => {
                let sign_in = self.sign_in_here().await?;
                Config { account: Some(sign_in.tokens(Some(&account.name))?), ..base }
            }
        };
        let installer = Installer::new(config).await?;
        *kept = Some((made, installer.clone(), installer.tell_in_background()));
        Ok(installer)
    }

    /// The journal that is shown: the demo's while that is on.
    pub(super) async fn journal_now(&self) -> Result<Journal, CommandError> {
        if let Some(world) = self.0.demo.world() {
            return Ok(world.installer.journal().clone());
        }
        let mut kept = self.0.own.journal.lock().await;
        if let Some(journal) = &*kept {
            return Ok(journal.clone());
        }
        let journal = Journal::open(&self.0.host.data_dir).await?;
        *kept = Some(journal.clone());
        Ok(journal)
    }
}
