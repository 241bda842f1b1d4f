//! Who is signed in, and how that comes about.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lowtouch_installer::sign_in as core;
use lowtouch_installer::{self, ErrorCode};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use crate::failure::mirror;
use crate::installer::Inner;
use crate::{Failure, InviteError, SignInError};

/// An invite: a server and a code that lets one in there, once. The code is not given out again.
#[derive(uniffi::Object)]
pub struct Invite {
    pub(crate) core: core::Invite,
}

#[uniffi::export]
impl Invite {
    /// Reads `lowtouch:invite#server=…&code=…`.
    #[uniffi::constructor]
    pub fn parse(text: String) -> Result<Arc<Self>, InviteError> {
        Ok(Arc::new(Self { core: core::Invite::parse(&text)? }))
    }

    /// For a code that was typed in.
    #[uniffi::constructor]
    pub fn typed(server: String, code: String) -> Result<Arc<Self>, InviteError> {
        Ok(Arc::new(Self { core: core::Invite::new(&server, code.into())? }))
    }

    /// The provisioning API, to be shown before anybody signs in there.
    pub fn server(&self) -> Url {
        self.core.server.clone()
    }
}

mirror! {
    /// What somebody may do.
    Role of core::Role {
        /// Pair devices.
        Installer,
        /// Everything.
        Administrator,
        /// Look at everything.
        Auditor,
        /// A device.
        Device,
    }
}

/// One person at one provisioning API.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Account {
    /// What it is called on this phone, `NAME@HOST`.
    pub name: String,
    /// Of this sign-in on this phone.
    pub id: Uuid,
    /// The provisioning API.
    pub server: Url,
    /// The person, as the API knows them.
    pub person: String,
    /// What they may do, as the API said last.
    pub role: Role,
    /// Whose devices they see; null: every tenant's.
    pub tenant: Option<String>,
    /// When they signed in.
    pub signed_in_at: SystemTime,
    /// Whether they have to sign in again before anything else.
    pub signed_out: bool,
}

impl From<core::Account> for Account {
    fn from(account: core::Account) -> Self {
        Self {
            name: account.name,
            id: account.id,
            server: account.server,
            person: account.person,
            role: account.role.into(),
            tenant: account.tenant,
            signed_in_at: account.signed_in_at.into(),
            signed_out: account.signed_out,
        }
    }
}

/// All accounts of this phone.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Accounts {
    /// The name of the one that is used.
    pub current: Option<String>,
    /// In the order in which they came.
    pub all: Vec<Account>,
}

impl From<core::Accounts> for Accounts {
    fn from(accounts: core::Accounts) -> Self {
        Self { current: accounts.current, all: accounts.all.into_iter().map(Account::from).collect() }
    }
}

/// A sign-in that worked.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct SignedIn {
    /// Now the current one.
    pub account: Account,
    /// Seconds by which the server's clock is ahead of the phone's, where that is more than five minutes.
    pub clock_wrong_by_s: Option<i64>,
    /// Whether it can be renewed without the person.
    pub renewable: bool,
}

impl From<core::SignedIn> for SignedIn {
    fn from(done: core::SignedIn) -> Self {
        Self { account: done.account.into(), clock_wrong_by_s: done.clock_wrong_by_s, renewable: done.renewable }
    }
}

/// A sign-out. What was kept on the phone is gone in any case.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct SignedOut {
    /// Who signed out.
    pub account: Account,
    /// Why the server could not be told; its tokens end by themselves. Null: it was told.
    pub not_revoked: Option<Failure>,
}

impl From<core::SignedOut> for SignedOut {
    fn from(out: core::SignedOut) -> Self {
        Self { account: out.account.into(), not_revoked: out.not_revoked.map(Failure::from) }
    }
}

/// A sign-in whose person is in a browser.
#[derive(uniffi::Object)]
pub struct BrowserSignIn {
    inner: Arc<Inner>,
    url: Url,
    begun: std::sync::Mutex<Option<core::InBrowser>>,
    cancel: CancellationToken,
}

impl BrowserSignIn {
    pub(crate) fn new(inner: Arc<Inner>, begun: core::InBrowser) -> Arc<Self> {
        let url = begun.url().clone();
        Arc::new(Self { inner, url, begun: std::sync::Mutex::new(Some(begun)), cancel: CancellationToken::new() })
    }
}

#[uniffi::export]
impl BrowserSignIn {
    /// The page to open (Custom Tabs, `ASWebAuthenticationSession`). The address holds no secret.
    pub fn url(&self) -> Url {
        self.url.clone()
    }

    /// With the address that the browser came back to. Works once.
    pub async fn finish(&self, redirected: Url) -> Result<SignedIn, SignInError> {
        let begun = self.begun.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let begun = begun.ok_or(lowtouch_installer::PairingError::from(ErrorCode::SignInExpired))?;
        let cancel = self.cancel.clone();
        let done = self.inner.tasks.run(async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(ErrorCode::Cancelled.into()),
                done = begun.finish(&redirected) => done,
            }
        });
        let done = done.await?;
        self.inner.account_changed().await;
        Ok(done.into())
    }

    /// Gives it up.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }
}

/// What the person types on another screen.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct DeviceCodePrompt {
    /// The page.
    pub url: Url,
    /// The same with the code in it, for a QR code.
    pub complete: Option<Url>,
    /// What to type there.
    pub code: String,
    /// How long it is good.
    pub expires_in: Duration,
}

/// A sign-in whose person is at another screen.
#[derive(uniffi::Object)]
pub struct DeviceCodeSignIn {
    inner: Arc<Inner>,
    prompt: DeviceCodePrompt,
    done: tokio::sync::Mutex<Option<oneshot::Receiver<Result<core::SignedIn, lowtouch_installer::PairingError>>>>,
    cancel: CancellationToken,
}

impl DeviceCodeSignIn {
    /// Asks for a code; the rest goes on meanwhile.
    pub(crate) async fn begin(
        inner: Arc<Inner>,
        server: Url,
        ca_pem: Option<String>,
    ) -> Result<Arc<Self>, lowtouch_installer::PairingError> {
        inner.ask_time().await;
        let cancel = CancellationToken::new();
        let (asked, prompt) = oneshot::channel();
        let (ended, done) = oneshot::channel();
        let (sign_in, cancelled, closing) = (inner.sign_in.clone(), cancel.clone(), inner.tasks.closing().clone());
        inner.tasks.spawn(async move {
            let mut asked = Some(asked);
            let ask = |ask: core::Ask| {
                if let (core::Ask::Enter { url, complete, code, expires_in }, Some(asked)) = (ask, asked.take()) {
                    let _ = asked.send(DeviceCodePrompt { url, complete, code, expires_in });
                }
            };
            let work = sign_in.with_device_code(server.as_str(), ca_pem.as_deref(), ask);
            let done = tokio::select! {
                biased;
                () = cancelled.cancelled() => Err(ErrorCode::Cancelled.into()),
                () = closing.cancelled() => Err(ErrorCode::Cancelled.into()),
                done = work => done,
            };
            let _ = ended.send(done);
        })?;
        match prompt.await {
            Ok(prompt) => Ok(Arc::new(Self { inner, prompt, done: tokio::sync::Mutex::new(Some(done)), cancel })),
            // It ended before there was anything to ask.
            Err(_) => match done.await {
                Ok(Err(error)) => Err(error),
                _ => Err(ErrorCode::Internal.into()),
            },
        }
    }
}

#[uniffi::export]
impl DeviceCodeSignIn {
    /// What the person is to do.
    pub fn prompt(&self) -> DeviceCodePrompt {
        self.prompt.clone()
    }

    /// Waits until the person has signed in. Works once.
    pub async fn finish(&self) -> Result<SignedIn, SignInError> {
        let mut done = self.done.lock().await;
        let Some(waiting) = done.as_mut() else {
            return Err(lowtouch_installer::PairingError::from(ErrorCode::SignInExpired).into());
        };
        let ended = waiting.await;
        *done = None;
        let ended = ended.unwrap_or_else(|_| Err(ErrorCode::Cancelled.into()))?;
        self.inner.account_changed().await;
        Ok(ended.into())
    }

    /// Gives it up.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }
}

impl Drop for DeviceCodeSignIn {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
