//! Sign-in: OAuth 2.0 at the issuer that a provisioning API names, several servers and accounts side by side, tokens that
//! are renewed before they end.
//!
//! Three ways in, one [`Account`] out: [`SignIn::with_browser`] (authorization code and PKCE, back to this machine),
//! [`SignIn::with_device_code`] (another screen) and [`SignIn::with_invite`]. Tokens are kept in a
//! [`SecretStore`], one item an account; `accounts.toml` in the data folder holds no secrets.

mod accounts;
mod browser;
mod device_code;
mod discovery;
mod grants;
mod http;
mod invite;
mod lock;
mod loopback;
mod source;
mod tokens;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use provisioning_api_contract::Me;
use tokio::time::{Instant, timeout};
use url::Url;
use uuid::Uuid;

use self::discovery::{At, Server};
use self::http::Http;
use self::lock::Lock;
use self::tokens::{Granted, Tokens};
use crate::api::Client;
use crate::error::{ErrorCode, PairingError};
use crate::journal::Journal;
use crate::net::{Net, NetSettings};
use crate::secrets::SecretStore;

pub use accounts::{Account, Accounts};
pub use invite::Invite;
pub use provisioning_api_contract::Role;
pub use source::TokenSource;

/// Who signs out does not wait longer for a server.
const REVOCATION_DEADLINE: Duration = Duration::from_secs(10);

/// A clock that differs more from the server's is worth a word.
const CLOCK_TOLERANCE_S: i64 = 5 * 60;

/// What the person is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ask {
    /// Open this page in a browser on this machine. The address holds no secret.
    Open {
        /// The issuer's page.
        url: Url,
    },
    /// Open this page anywhere and type the code there.
    Enter {
        /// The page.
        url: Url,
        /// The same with the code in it, for a QR code.
        complete: Option<Url>,
        /// What to type.
        code: String,
        /// How long it is good.
        expires_in: Duration,
    },
}

/// A sign-in that worked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SignedIn {
    /// Now the current one.
    pub account: Account,
    /// Calls that this program made.
    pub round_trips: u32,
    /// From start to end, the person's time included.
    pub seconds: f64,
    /// Seconds by which the server's clock is ahead of this machine's, where that is more than five minutes.
    pub clock_wrong_by_s: Option<i64>,
    /// Whether it can be renewed without the person.
    pub renewable: bool,
}

/// A sign-in whose person is in a browser.
pub struct InBrowser {
    sign_in: SignIn,
    http: Http,
    server: Server,
    asked: browser::Asked,
    ca_pem: Option<String>,
    start: Instant,
}

impl InBrowser {
    /// The issuer's page. The address holds no secret.
    pub fn url(&self) -> &Url {
        &self.asked.url
    }

    /// With the address that the browser came back to.
    ///
    /// # Errors
    /// `sign-in-…`, `no-role`, `api-…`, `keyring-…`, `accounts-…`.
    pub async fn finish(self, redirected: &Url) -> Result<SignedIn, PairingError> {
        let code = browser::came_back(&self.server, self.asked, redirected)?;
        let granted = grants::redeem(&self.http, &self.server, code).await?;
        self.sign_in.finish(&self.http, self.server, granted, self.ca_pem.as_deref(), self.start).await
    }
}

/// A sign-out. What was kept here is gone in any case.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SignedOut {
    /// Who signed out.
    pub account: Account,
    /// Why the server could not be told; its tokens end by themselves. `None`: it was told, or there was nothing to tell.
    pub not_revoked: Option<PairingError>,
}

/// Signs in and out, and knows the accounts. Cheap to clone.
#[derive(Clone)]
pub struct SignIn {
    folder: PathBuf,
    store: Arc<dyn SecretStore>,
    net: NetSettings,
}

impl SignIn {
    /// Keeps accounts in `folder` and their tokens in `store`; reaches servers as `net` says. Asks nothing yet.
    pub fn new(folder: impl Into<PathBuf>, store: Arc<dyn SecretStore>, net: NetSettings) -> SignIn {
        SignIn { folder: folder.into(), store, net }
    }

    /// Redeems an invite. `ca_pem`: CA certificates to trust for this server beside those of the settings; they are kept
    /// with the account.
    ///
    /// # Errors
    /// `invite-refused`; `sign-in-…`, `captive-portal`, `no-role`, `api-…`, `keyring-…`, `accounts-…`.
    pub async fn with_invite(&self, invite: &Invite, ca_pem: Option<&str>) -> Result<SignedIn, PairingError> {
        let start = Instant::now();
        self.storable().await?;
        let (http, server) = self.discover(&invite.server, ca_pem, At::Api).await?;
        let code = invite::code(&http, &server, invite).await?;
        // The code came from an invite that is used now: nothing of the person is at stake, only their time.
        let granted = grants::redeem(&http, &server, code).await.map_err(|mut error| {
            if error.code == ErrorCode::SignInRefused {
                error.code = ErrorCode::InviteRefused;
                error.action = error.code.action();
            }
            error
        })?;
        self.finish(&http, server, granted, ca_pem, start).await
    }

    /// Has the person sign in with the browser of this machine; `ask` gets the page to open, once.
    ///
    /// # Errors
    /// `sign-in-…`, `captive-portal`, `no-role`, `api-…`, `keyring-…`, `accounts-…`.
    pub async fn with_browser(
        &self,
        server: &str,
        ca_pem: Option<&str>,
        mut ask: impl FnMut(Ask) + Send,
    ) -> Result<SignedIn, PairingError> {
        let start = Instant::now();
        self.storable().await?;
        let (http, server) = self.discover(&crate::api::address(server)?, ca_pem, At::First).await?;
        let (code, browser) = browser::ask(&server, &mut ask).await?;
        let done = async {
            let granted = grants::redeem(&http, &server, code).await?;
            self.finish(&http, server, granted, ca_pem, start).await
        };
        let done = done.await;
        match &done {
            Ok(done) => {
                let title = format!("Signed in as {}", done.account.person);
                browser.show(&title, "Close this page and go back to Lowtouch.").await;
            }
            Err(error) => browser.show("Not signed in", error.hint()).await,
        }
        done
    }

    /// Has the person sign in with a browser that comes back to the app: the app shows [`InBrowser::url`] (Custom Tabs,
    /// `ASWebAuthenticationSession`), and the system hands it an address that begins with `redirect`, which
    /// [`InBrowser::finish`] takes.
    ///
    /// # Errors
    /// `sign-in-…`, `captive-portal`, `api-…`, `keyring-…`, `accounts-…`.
    pub async fn in_browser(
        &self,
        server: &str,
        redirect: &Url,
        ca_pem: Option<&str>,
    ) -> Result<InBrowser, PairingError> {
        let start = Instant::now();
        self.storable().await?;
        let (http, server) = self.discover(&crate::api::address(server)?, ca_pem, At::First).await?;
        let asked = browser::page(&server, oauth2::RedirectUrl::from_url(redirect.clone()))?;
        Ok(InBrowser { sign_in: self.clone(), http, server, asked, ca_pem: ca_pem.map(str::to_owned), start })
    }

    /// Has the person sign in on another screen; `ask` gets the page and the code to type there, once.
    ///
    /// # Errors
    /// As [`with_browser`](Self::with_browser).
    pub async fn with_device_code(
        &self,
        server: &str,
        ca_pem: Option<&str>,
        mut ask: impl FnMut(Ask) + Send,
    ) -> Result<SignedIn, PairingError> {
        let start = Instant::now();
        self.storable().await?;
        let (http, server) = self.discover(&crate::api::address(server)?, ca_pem, At::First).await?;
        let granted = device_code::grant(&http, &server, &mut ask).await?;
        self.finish(&http, server, granted, ca_pem, start).await
    }

    /// All accounts.
    ///
    /// # Errors
    /// `accounts-…`.
    pub fn accounts(&self) -> Result<Accounts, PairingError> {
        accounts::load(&self.folder)
    }

    /// Makes the named account the current one.
    ///
    /// # Errors
    /// `account-unknown`, `accounts-…`.
    pub async fn use_account(&self, name: &str) -> Result<Account, PairingError> {
        accounts::change(&self.folder, |accounts| {
            let account = accounts.find(Some(name))?.clone();
            accounts.current = Some(account.name.clone());
            Ok(account)
        })
        .await
    }

    /// The tokens of the named account, or of the current one. Asks neither keyring nor network yet.
    ///
    /// # Errors
    /// `api-token-missing` where nobody is signed in, `signed-out`, `account-unknown`, `accounts-…`, `api-ca-invalid`.
    pub fn tokens(&self, name: Option<&str>) -> Result<TokenSource, PairingError> {
        let account = self.accounts()?.find(name)?.clone();
        if account.signed_out {
            return Err(PairingError::with_detail(ErrorCode::SignedOut, account.name));
        }
        let http = self.http(account.ca_pem.as_deref())?;
        Ok(TokenSource::new(account, self.folder.clone(), self.store.clone(), http, self.net.clock.clone()))
    }

    /// Asks the API who the account is there, and keeps its answer.
    ///
    /// # Errors
    /// As [`tokens`](Self::tokens); `no-role`, `api-…`, `sign-in-unreachable`, `keyring-…`.
    pub async fn who_am_i(&self, name: Option<&str>) -> Result<(Account, Me), PairingError> {
        let tokens = self.tokens(name)?;
        let id = tokens.account().id;
        let me = me(&Client::signed_in(tokens.clone())).await?;
        let account = accounts::change(&self.folder, |accounts| {
            let kept = accounts.all.iter_mut().find(|kept| kept.id == id).ok_or(ErrorCode::AccountUnknown)?;
            kept.person.clone_from(&me.name);
            kept.role = me.role;
            kept.tenant.clone_from(&me.tenant);
            Ok(kept.clone())
        });
        Ok((account.await?, me))
    }

    /// An account of this server whose sign-in is still valid, as the server itself says: nobody needs to be asked.
    ///
    /// # Errors
    /// `api-url-invalid`, `api-not-https`, `accounts-…`, and what keeps the server from being asked.
    pub async fn valid(&self, server: &str) -> Result<Option<Account>, PairingError> {
        let server = crate::api::address(server)?;
        let accounts = self.accounts()?;
        let mut candidates: Vec<&Account> =
            accounts.all.iter().filter(|account| account.server == server && !account.signed_out).collect();
        candidates.sort_by_key(|account| Some(&account.name) != accounts.current.as_ref());
        for account in candidates {
            match self.who_am_i(Some(&account.name)).await {
                Ok((account, _)) => return Ok(Some(account)),
                Err(error) if matches!(error.code, ErrorCode::SignedOut | ErrorCode::ApiUnauthenticated) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Ends the named account's sign-in, or the current one's: revokes it at its issuer as far as that can be reached, and
    /// forgets its tokens in any case. The account stays in the list, to sign in again.
    ///
    /// # Errors
    /// `account-unknown`, `api-token-missing`, `keyring-…`, `accounts-…`: then something is still kept here.
    pub async fn sign_out(&self, name: Option<&str>) -> Result<SignedOut, PairingError> {
        let account = self.accounts()?.find(name)?.clone();
        let refresh = {
            // Nobody renews meanwhile; and whoever holds the old tokens sees that they are gone.
            let mut lock = Lock::take(&account.lock_file(&self.folder)).await?;
            let secret = self.store.get(&account.secret()).await;
            let gone = self.store.delete(&account.secret()).await;
            lock.leave("signed out")?;
            let secret = match (secret, gone) {
                (Ok(secret), Ok(())) => secret,
                (Err(error), _) | (_, Err(error)) => return Err(error.into()),
            };
            secret.and_then(|secret| Tokens::from_secret(&secret, self.net.clock.now())?.refresh)
        };
        accounts::change(&self.folder, |accounts| {
            if let Some(kept) = accounts.all.iter_mut().find(|kept| kept.id == account.id) {
                kept.signed_out = true;
            }
            Ok(())
        })
        .await?;
        let not_revoked = match (&refresh, &account.revocation_endpoint) {
            (Some(refresh), Some(endpoint)) => {
                let revoked = async {
                    let http = self.http(account.ca_pem.as_deref())?;
                    grants::revoke(&http, endpoint, &account.client_id, refresh).await
                };
                match timeout(REVOCATION_DEADLINE, revoked).await {
                    Ok(revoked) => revoked.err(),
                    Err(_) => Some(ErrorCode::SignInUnreachable.into()),
                }
            }
            (Some(_), None) => Some(ErrorCode::SignInNotOffered.into()),
            (None, _) => None,
        };
        Ok(SignedOut { account, not_revoked })
    }

    /// As [`sign_out`](Self::sign_out), takes the account from the list, and forgets the work orders that were downloaded
    /// for it.
    ///
    /// # Errors
    /// As [`sign_out`](Self::sign_out); `journal-…`: then the account is in the list yet.
    pub async fn remove(&self, name: &str) -> Result<SignedOut, PairingError> {
        let out = self.sign_out(Some(name)).await?;
        Journal::forget_orders_in(&self.folder, &out.account.account_id).await?;
        accounts::change(&self.folder, |accounts| {
            accounts.all.retain(|account| account.id != out.account.id);
            if accounts.current.as_ref() == Some(&out.account.name) {
                accounts.current = None;
            }
            Ok(())
        })
        .await?;
        // Held by nobody any more; a file that stays does no harm.
        let _ = std::fs::remove_file(out.account.lock_file(&self.folder));
        Ok(out)
    }

    fn http(&self, ca_pem: Option<&str>) -> Result<Http, PairingError> {
        let mut settings = self.net.clone();
        if let Some(added) = ca_pem {
            let all = settings.extra_ca_pem.get_or_insert_default();
            all.push('\n');
            all.push_str(added);
        }
        Ok(Http::new(Net::new(&settings)?, settings.clock))
    }

    async fn discover(&self, server: &Url, ca_pem: Option<&str>, at: At) -> Result<(Http, Server), PairingError> {
        let http = self.http(ca_pem)?;
        let server = discovery::discover(&http, server, at).await?;
        Ok((http, server))
    }

    /// Before a person signs in or an invite is used, it is certain that what comes of it can be kept.
    async fn storable(&self) -> Result<(), PairingError> {
        self.accounts()?;
        self.store.get("sign-in").await?;
        Ok(())
    }

    /// Asks the API who that is, and keeps the account and its tokens.
    async fn finish(
        &self,
        http: &Http,
        server: Server,
        granted: Granted,
        ca_pem: Option<&str>,
        start: Instant,
    ) -> Result<SignedIn, PairingError> {
        let (access, refresh) = (granted.access.clone(), granted.refresh.clone());
        let client = Client::new(server.api.as_str(), Some(access), http.net().clone())?;
        let kept = async {
            let me = me(&client).await?;
            self.keep(&server, granted, me, ca_pem).await
        };
        match kept.await {
            Ok((account, replaced)) => {
                // The sign-in that this one replaces: its tokens are not needed any more.
                if let (Some(replaced), Some(endpoint)) = (replaced, &account.revocation_endpoint) {
                    let revoked = grants::revoke(http, endpoint, &account.client_id, &replaced);
                    let _ = timeout(REVOCATION_DEADLINE, revoked).await;
                }
                Ok(SignedIn {
                    account,
                    // `/v1/me` is not counted by `http`.
                    round_trips: http.calls() + 1,
                    seconds: start.elapsed().as_secs_f64(),
                    clock_wrong_by_s: http.ahead_s().filter(|ahead| ahead.abs() > CLOCK_TOLERANCE_S),
                    renewable: refresh.is_some(),
                })
            }
            Err(error) => {
                // Nobody will use these tokens.
                if let (Some(refresh), Some(endpoint)) = (&refresh, &server.revocation_endpoint) {
                    let revoked = grants::revoke(http, endpoint, &server.client_id, refresh);
                    let _ = timeout(REVOCATION_DEADLINE, revoked).await;
                }
                Err(error)
            }
        }
    }

    async fn keep(
        &self,
        server: &Server,
        granted: Granted,
        me: Me,
        ca_pem: Option<&str>,
    ) -> Result<(Account, Option<secrecy::SecretString>), PairingError> {
        // The same person at the same server again keeps name and secret.
        let same = |account: &Account| account.server == server.api && account.account_id == me.account_id;
        let earlier = self.accounts()?.all.into_iter().find(same);
        let account = Account {
            name: String::new(),
            id: earlier.as_ref().map_or_else(Uuid::new_v4, |earlier| earlier.id),
            server: server.api.clone(),
            issuer: server.issuer.clone(),
            client_id: server.client_id.clone(),
            token_endpoint: server.token_endpoint.clone(),
            revocation_endpoint: server.revocation_endpoint.clone(),
            account_id: me.account_id.clone(),
            person: me.name.clone(),
            role: me.role,
            tenant: me.tenant.clone(),
            signed_in_at: self.net.clock.now(),
            signed_out: false,
            ca_pem: ca_pem.map(str::to_owned),
        };
        let tokens = Tokens::new(granted, None, self.net.clock.now());
        let replaced = {
            let mut lock = Lock::take(&account.lock_file(&self.folder)).await?;
            let before = match &earlier {
                Some(_) => self.store.get(&account.secret()).await?,
                None => None,
            };
            self.store.set(&account.secret(), &tokens.to_secret()?).await?;
            lock.leave(&tokens.generation.to_string())?;
            before.and_then(|secret| Tokens::from_secret(&secret, self.net.clock.now())?.refresh)
        };
        let account = accounts::change(&self.folder, |accounts| {
            // Two windows that signed in the same new person at once: the later one's stays.
            let at = accounts.all.iter().position(|kept| kept.id == account.id || same(kept));
            let (name, other) = match at.and_then(|at| accounts.all.get(at)) {
                Some(kept) => (kept.name.clone(), Some(kept.secret()).filter(|_| kept.id != account.id)),
                None => (accounts.new_name(&me.name, &server.api), None),
            };
            let account = Account { name, ..account };
            match at.and_then(|at| accounts.all.get_mut(at)) {
                Some(kept) => *kept = account.clone(),
                None => accounts.all.push(account.clone()),
            }
            accounts.current = Some(account.name.clone());
            Ok((account, other))
        });
        let (account, other) = account.await?;
        if let Some(other) = other {
            self.store.delete(&other).await?;
        }
        Ok((account, replaced))
    }
}

impl std::fmt::Debug for SignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignIn")
            .field("folder", &self.folder)
            .field("store", &self.store.describe())
            .finish_non_exhaustive()
    }
}

/// The accounts of a data folder. Asks neither keyring nor network.
///
/// # Errors
/// `accounts-…`.
pub fn accounts_in(folder: &std::path::Path) -> Result<Accounts, PairingError> {
    accounts::load(folder)
}

/// The address of a provisioning API, as accounts have it.
///
/// # Errors
/// `api-url-invalid`, `api-not-https`.
pub fn server(url: &str) -> Result<Url, PairingError> {
    crate::api::address(url)
}

/// Who the API says that is. One who is known and may do nothing is told so.
async fn me(client: &Client) -> Result<Me, PairingError> {
    client.me().await.map_err(|mut error| {
        if error.code == ErrorCode::ApiForbidden {
            error.code = ErrorCode::NoRole;
            error.action = error.code.action();
        }
        error
    })
}
