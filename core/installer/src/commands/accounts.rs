//! Who is signed in where, and signing in and out.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use jiff::Timestamp;
use provisioning_api_contract::Role;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::host::HostKind;
use super::streams::{Tell, told};
use super::{CommandError, Commands, Nothing};
use crate::error::{ErrorCode, PairingError};
use crate::sign_in::{Account, Ask, Invite, SignIn, SignedIn, SignedOut};

/// Names an account.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct AccountNamed {
    /// `NAME@HOST`, as `accounts` has it.
    pub name: String,
}

/// An account of this machine's user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AccountSeen {
    /// `NAME@HOST`; unique on this machine.
    pub name: String,
    /// The provisioning API's address.
    pub server: String,
    /// The person, as the API knows them.
    pub person: String,
    /// What they may do, as the API said last.
    pub role: Role,
    /// Whose devices they see; absent: every tenant's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// When they signed in.
    pub signed_in_at: Timestamp,
    /// They have to sign in again before anything else.
    pub signed_out: bool,
    /// It is the one that is used.
    pub current: bool,
    /// Certificates were added for its server.
    pub has_ca: bool,
}

impl AccountSeen {
    pub(super) fn of(account: &Account, current: bool) -> Self {
        AccountSeen {
            name: account.name.clone(),
            server: account.server.to_string(),
            person: account.person.clone(),
            role: account.role,
            tenant: account.tenant.clone(),
            signed_in_at: account.signed_in_at,
            signed_out: account.signed_out,
            current,
            has_ca: account.ca_pem.is_some(),
        }
    }
}

/// All accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
pub struct AccountsSeen {
    /// The name of the one that is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// In the order in which they came.
    pub all: Vec<AccountSeen>,
}

/// A sign-out. What was kept here is gone in any case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SignedOutSeen {
    /// Who.
    pub account: AccountSeen,
    /// Why the server could not be told; its tokens end by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_revoked: Option<CommandError>,
}

/// `invite_read`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct InviteText {
    /// `lowtouch:invite#…`
    #[cfg_attr(feature = "typescript", ts(type = "string"))]
    pub text: SecretString,
}

/// `invite_read_picture`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct InvitePicture {
    /// PNG or JPEG in base64.
    #[cfg_attr(feature = "typescript", ts(type = "string"))]
    pub base64: SecretString,
}

/// Where an invite leads. The invite stays here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct InviteSeen {
    /// Names the invite, for `sign_in`.
    pub invite_id: Uuid,
    /// The provisioning API.
    pub server: String,
    /// Its host, to be shown.
    pub host: String,
}

/// How many invites that were read are kept.
const MOST_INVITES: usize = 20;

/// The invites that were read.
#[derive(Default)]
pub(super) struct Invites(Mutex<VecDeque<(Uuid, Invite)>>);

impl Invites {
    fn keep(&self, invite: Invite) -> InviteSeen {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == MOST_INVITES {
            all.pop_front();
        }
        let host = invite.server.host_str().unwrap_or_default().to_owned();
        let seen = InviteSeen { invite_id: Uuid::new_v4(), server: invite.server.to_string(), host };
        all.push_back((seen.invite_id, invite));
        seen
    }

    fn get(&self, id: Uuid) -> Option<Invite> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|(known, _)| *known == id).map(|(_, invite)| invite.clone())
    }
}

/// `sign_in`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignInWith {
    /// Which way.
    pub way: SignInWay,
    /// The provisioning API's address; with an invite the invite's. Absent: the one of the settings.
    pub server: Option<String>,
    /// The invite's text, or its code alone together with a server.
    #[cfg_attr(feature = "typescript", ts(as = "Option<String>"))]
    pub invite: Option<SecretString>,
    /// In place of the text: an invite that was read.
    pub invite_id: Option<Uuid>,
    /// CA certificates (PEM) to trust for this server beside the system's; kept with the account.
    pub ca_pem: Option<String>,
}

/// A way of signing in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SignInWay {
    /// A QR code or its text, once.
    Invite,
    /// The browser of this machine.
    Browser,
    /// Another screen.
    DeviceCode,
}

/// How a sign-in goes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum SignInEvent {
    /// Open this page in a browser of this machine. The address holds no secret.
    OpenBrowser {
        /// Always https.
        url: String,
    },
    /// Open this page anywhere and type the code there.
    DeviceCode {
        /// The page.
        url: String,
        /// The same with the code in it, for a QR code.
        #[serde(skip_serializing_if = "Option::is_none")]
        complete_url: Option<String>,
        /// What to type.
        code: String,
        /// Until when.
        expires_at: Timestamp,
    },
    /// The end: it worked.
    SignedIn {
        /// Now the current one.
        account: AccountSeen,
        /// Seconds by which the server's clock is ahead of this machine's, where that is more than five minutes.
        #[serde(skip_serializing_if = "Option::is_none")]
        clock_wrong_by_s: Option<i64>,
        /// Whether it is renewed without the person.
        renewable: bool,
    },
    /// The end: it did not.
    Failed {
        /// Why.
        error: CommandError,
    },
}

impl Commands {
    /// `accounts`.
    ///
    /// # Errors
    /// `accounts-…`.
    pub async fn accounts(&self, _: Nothing) -> Result<AccountsSeen, CommandError> {
        let accounts = crate::sign_in::accounts_in(&self.0.host.data_dir)?;
        let begun_as = self.begun_as(&accounts).map(|account| account.name.clone());
        let current = begun_as.or(accounts.current);
        let all = accounts.all.iter().map(|account| AccountSeen::of(account, current.as_ref() == Some(&account.name)));
        Ok(AccountsSeen { all: all.collect(), current })
    }

    /// `account_use`.
    ///
    /// # Errors
    /// `account-unknown`, `accounts-…`.
    pub async fn account_use(&self, args: AccountNamed) -> Result<AccountSeen, CommandError> {
        let account = self.sign_in_here().await?.use_account(&args.name).await?;
        self.0.own.choose();
        self.changed();
        Ok(AccountSeen::of(&account, true))
    }

    /// `account_sign_out`.
    ///
    /// # Errors
    /// As [`SignIn::sign_out`](crate::sign_in::SignIn::sign_out).
    pub async fn account_sign_out(&self, args: AccountNamed) -> Result<SignedOutSeen, CommandError> {
        let out = self.sign_in_here().await?.sign_out(Some(&args.name)).await;
        self.changed();
        Ok(signed_out(out?))
    }

    /// `account_remove`.
    ///
    /// # Errors
    /// As [`SignIn::remove`](crate::sign_in::SignIn::remove).
    pub async fn account_remove(&self, args: AccountNamed) -> Result<SignedOutSeen, CommandError> {
        let out = self.sign_in_here().await?.remove(&args.name).await;
        self.changed();
        Ok(signed_out(out?))
    }

    /// `invite_read`.
    ///
    /// # Errors
    /// `invite-invalid`, `api-not-https`, `api-url-invalid`.
    pub async fn invite_read(&self, args: InviteText) -> Result<InviteSeen, CommandError> {
        Ok(self.0.invites.keep(Invite::parse(args.text.expose_secret())?))
    }

    /// `invite_read_picture`.
    ///
    /// # Errors
    /// `picture-…`, and as [`invite_read`](Self::invite_read).
    pub async fn invite_read_picture(&self, args: InvitePicture) -> Result<InviteSeen, CommandError> {
        let bytes = super::labels::picture(&args.base64)?;
        let read = tokio::task::spawn_blocking(move || Invite::from_picture(&bytes)).await;
        let read = read.map_err(|stopped| PairingError::with_detail(ErrorCode::Internal, stopped.to_string()))?;
        Ok(self.0.invites.keep(read?))
    }

    /// `sign_in`.
    ///
    /// # Errors
    /// `browser-elsewhere` on a gateway; `invite-invalid`, `api-not-set` where invite or server are missing.
    pub fn sign_in(&self, args: SignInWith) -> Result<BoxStream<'static, SignInEvent>, CommandError> {
        if args.way == SignInWay::Browser && self.0.host.kind == HostKind::Gateway {
            return Err(ErrorCode::BrowserElsewhere.into());
        }
        let kept = args.invite_id.and_then(|id| self.0.invites.get(id));
        let invite = match (args.way, kept) {
            (SignInWay::Invite, Some(kept)) => Some(kept),
            (SignInWay::Invite, None) => Some(read_invite(args.invite, args.server.as_deref())?),
            _ => None,
        };
        let server = args.server.filter(|server| !server.trim().is_empty());
        let server = server.or_else(|| self.0.host.read_settings().0.api());
        let commands = self.clone();
        let (way, ca_pem) = (args.way, args.ca_pem);
        if invite.is_none() && server.is_none() {
            return Err(ErrorCode::ApiNotSet.into());
        }
        Ok(told(move |tell| async move {
            let ask = asking(tell.clone());
            let done = async {
                let sign_in = commands.sign_in_here().await?;
                let server = server.unwrap_or_default();
                Ok(by(&sign_in, way, invite.as_ref(), &server, ca_pem.as_deref(), ask).await?)
            };
            let done: Result<SignedIn, CommandError> = done.await;
            if done.is_ok() {
                commands.0.own.choose();
            }
            commands.changed();
            tell.tell(match done {
                Ok(done) => SignInEvent::SignedIn {
                    account: AccountSeen::of(&done.account, true),
                    clock_wrong_by_s: done.clock_wrong_by_s,
                    renewable: done.renewable,
                },
                Err(error) => SignInEvent::Failed { error },
            })
            .await;
        }))
    }
}

/// Boxed where its lifetimes have names: the compiler does not see otherwise that it may move between threads.
fn by<'a>(
    sign_in: &'a SignIn,
    way: SignInWay,
    invite: Option<&'a Invite>,
    server: &'a str,
    ca_pem: Option<&'a str>,
    ask: impl FnMut(Ask) + Send + 'a,
) -> BoxFuture<'a, Result<SignedIn, PairingError>> {
    match (way, invite) {
        (SignInWay::Invite, Some(invite)) => sign_in.with_invite(invite, ca_pem).boxed(),
        (SignInWay::Browser, _) => sign_in.with_browser(server, ca_pem, ask).boxed(),
        _ => sign_in.with_device_code(server, ca_pem, ask).boxed(),
    }
}

fn asking(tell: Tell<SignInEvent>) -> impl FnMut(Ask) + Send {
    move |ask| {
        tell.at_once(match ask {
            Ask::Open { url } => SignInEvent::OpenBrowser { url: url.to_string() },
            Ask::Enter { url, complete, code, expires_in } => SignInEvent::DeviceCode {
                url: url.to_string(),
                complete_url: complete.map(|url| url.to_string()),
                code,
                expires_at: Timestamp::now() + expires_in,
            },
        });
    }
}

fn read_invite(invite: Option<SecretString>, server: Option<&str>) -> Result<Invite, PairingError> {
    let invite = invite.ok_or_else(|| PairingError::with_detail(ErrorCode::InviteInvalid, "it is missing"))?;
    let text = invite.expose_secret().trim();
    match server.filter(|server| !server.trim().is_empty()) {
        Some(server) if !text.contains('#') => Invite::new(server, SecretString::from(text)),
        _ => Invite::parse(text),
    }
}

fn signed_out(out: SignedOut) -> SignedOutSeen {
    let account = AccountSeen { signed_out: true, ..AccountSeen::of(&out.account, false) };
    SignedOutSeen { account, not_revoked: out.not_revoked.map(CommandError::from) }
}
