//! The one object that an app holds.

use std::sync::Arc;
use std::time::Duration;

use lowtouch_installer as core;
use lowtouch_installer::ErrorCode;
use lowtouch_installer::pairing::SecurityFlags;
use tokio::sync::Mutex;
use url::Url;
use uuid::Uuid;

use crate::network::Network;
use crate::radio::Radio;
use crate::runtime::Tasks;
use crate::secrets::Store;
use crate::{
    Account, AccountError, Accounts, BleCentral, BrowserSignIn, DeviceCodeSignIn, DeviceError, DeviceInfo,
    DownloadedOrder, Invite, JournalEntry, JournalError, Label, LogSink, NearbyDevice, NetworkJob, NetworkState,
    OrderError, Pairing, PairingError, PairingRequest, PhoneClock, Report, SecretStore, SettingsError, SignInError,
    SignedIn, SignedOut, Told, WifiCredentials, WifiNetwork, WorkOrder, clock, log,
};

/// What an [`Installer`] needs to know.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct InstallerSettings {
    /// The app's own folder: the journal and the list of accounts are there. No secrets are.
    pub data_dir: String,
    /// The provisioning API that the doctor looks at while nobody is signed in.
    #[uniffi(default = None)]
    pub server: Option<Url>,
    /// CA certificates (PEM) to trust beside the system's: the company's own. Not on Android, which has its own store of
    /// them.
    #[uniffi(default = None)]
    pub extra_ca_pem: Option<String>,
    /// One exchange with a device; null: 15 s.
    #[uniffi(default = None)]
    pub exchange_deadline: Option<Duration>,
    /// Finding a device, and connecting to it; null: 30 s each.
    #[uniffi(default = None)]
    pub connect_deadline: Option<Duration>,
}

pub(crate) struct Inner {
    settings: InstallerSettings,
    config: core::Config,
    pub(crate) sign_in: core::sign_in::SignIn,
    clock: Option<Arc<dyn PhoneClock>>,
    opened: Mutex<Option<Opened>>,
    pub(crate) tasks: Arc<Tasks>,
}

/// The core, and what it tells the API by itself for as long as it is open.
struct Opened {
    core: core::Installer,
    _telling: Option<core::Telling>,
}

impl Opened {
    fn new(core: core::Installer, tasks: &Tasks) -> Self {
        let _telling = tasks.within(|| core.tell_in_background());
        Self { core, _telling }
    }
}

impl Inner {
    /// The core, for whoever is signed in.
    async fn core(&self) -> Result<core::Installer, core::PairingError> {
        self.ask_time().await;
        let mut opened = self.opened.lock().await;
        if let Some(opened) = &*opened {
            return Ok(opened.core.clone());
        }
        if self.tasks.closing().is_cancelled() {
            return Err(ErrorCode::Cancelled.into());
        }
        let core = core::Installer::new(self.config.clone()).await?.signed_in_as(self.account()?);
        Ok(opened.insert(Opened::new(core, &self.tasks)).core.clone())
    }

    /// Before anything that goes over the network.
    pub(crate) async fn ask_time(&self) {
        clock::ask(self.clock.as_ref(), &self.config.clock).await;
    }

    fn account(&self) -> Result<Option<core::sign_in::TokenSource>, core::PairingError> {
        match self.sign_in.tokens(None) {
            Ok(tokens) => Ok(Some(tokens)),
            Err(error) if matches!(error.code, ErrorCode::ApiTokenMissing | ErrorCode::SignedOut) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whoever signed in or out meanwhile.
    pub(crate) async fn account_changed(&self) {
        let mut opened = self.opened.lock().await;
        if let Some(Opened { core, .. }) = opened.take() {
            // One that cannot be read is said by the next call.
            *opened = self.account().ok().map(|account| Opened::new(core.signed_in_as(account), &self.tasks));
        }
    }
}

/// Pairs devices. Makes its own threads, which end when this object and all that came of it are closed.
#[derive(uniffi::Object)]
pub struct Installer {
    inner: Arc<Inner>,
}

/// Runs on the core's threads: `work!(self, core => …)`.
macro_rules! work {
    ($self:ident, $core:ident => $work:expr) => {{
        let inner = $self.inner.clone();
        $self
            .inner
            .tasks
            .run(async move {
                let $core = inner.core().await?;
                $work
            })
            .await
    }};
}

#[uniffi::export]
impl Installer {
    /// Comes back at once; the journal is opened on the core's threads, and the API is told of what it does not know yet.
    /// `radio`: null where devices are reached otherwise. `log`: null for no log. `clock`: null for the phone's own.
    #[uniffi::constructor(default(clock = None))]
    pub fn new(
        settings: InstallerSettings,
        secrets: Arc<dyn SecretStore>,
        network: Arc<dyn NetworkState>,
        radio: Option<Arc<dyn BleCentral>>,
        log: Option<Arc<dyn LogSink>>,
        clock: Option<Arc<dyn PhoneClock>>,
    ) -> Result<Arc<Self>, SettingsError> {
        let tasks = Arc::new(Tasks::new()?);
        if let Some(log) = log {
            tasks.until_closing(log::forward(log))?;
        }
        let (network, listen) = Network::new(network);
        tasks.until_closing(listen)?;
        let net = core::net::NetSettings { extra_ca_pem: settings.extra_ca_pem.clone(), ..Default::default() };
        // The system's own certificates are read when they are needed: that takes its time.
        if let Some(pem) = &settings.extra_ca_pem {
            let invalid = |why: String| core::PairingError::with_detail(ErrorCode::ApiCaInvalid, why);
            core::net::certificates(pem).map_err(invalid)?;
        }
        let secrets: Arc<dyn core::secrets::SecretStore> = Arc::new(Store(secrets));
        let mut deadlines = core::pairing::Deadlines::default();
        deadlines.exchange = settings.exchange_deadline.unwrap_or(deadlines.exchange);
        deadlines.connect = settings.connect_deadline.unwrap_or(deadlines.connect);
        let config = core::Config {
            secrets: Some(secrets.clone()),
            connectivity: Arc::new(network),
            radio: radio.map(|radio| Arc::new(Radio(radio)) as Arc<dyn core::app_radio::Central>),
            deadlines,
            ..core::Config::new(&settings.data_dir)
        };
        let net = core::net::NetSettings { clock: config.clock.clone(), ..net };
        let sign_in = core::sign_in::SignIn::new(&settings.data_dir, secrets, net);
        let inner = Arc::new(Inner { settings, config, sign_in, clock, opened: Mutex::default(), tasks });
        let opening = inner.clone();
        // What fails here is said by the first call that needs it.
        inner.tasks.until_closing(async move { drop(opening.core().await) })?;
        Ok(Arc::new(Self { inner }))
    }

    /// Starts the pairing of one device. If an earlier one for the same label was interrupted, this one finishes it.
    pub async fn pair(&self, request: PairingRequest) -> Result<Arc<Pairing>, PairingError> {
        let tasks = self.inner.tasks.clone();
        let inner = self.inner.clone();
        Ok(work!(self, core => {
            // Without anybody signed in there is nobody to ask, and the first thing to do is that.
            inner.sign_in.tokens(None)?;
            let label = request.label.core();
            let link = label.link_or(request.link.as_deref())?;
            let security =
                SecurityFlags { allow_none: request.allow_no_security, allow_downgrade: request.allow_downgrade };
            let wifi = request.wifi.map(|wifi| wifi.core());
            let request = core::pairing::PairRequest { wifi, security, ..core::pairing::PairRequest::new(label, link) };
            Pairing::new(tasks, core.pair(request))
        })?)
    }

    /// Puts a device on Wi-Fi and does nothing else. Nobody needs to be signed in.
    pub async fn set_network(
        &self,
        label: Arc<Label>,
        wifi: Arc<WifiCredentials>,
        link: Option<String>,
    ) -> Result<Arc<NetworkJob>, DeviceError> {
        let tasks = self.inner.tasks.clone();
        Ok(work!(self, core => {
            let label = label.core();
            let link = label.link_or(link.as_deref())?;
            let request = core::pairing::NetworkRequest {
                label,
                link,
                wifi: wifi.core(),
                security: SecurityFlags::default(),
                deadlines: core.deadlines(),
            };
            NetworkJob::new(tasks, core.network_only(request))
        })?)
    }

    /// Which Wi-Fi networks the device hears: strongest first.
    pub async fn wifi_networks(
        &self,
        label: Arc<Label>,
        link: Option<String>,
    ) -> Result<Vec<WifiNetwork>, DeviceError> {
        let networks = work!(self, core => {
            let label = label.core();
            let link = label.link_or(link.as_deref())?;
            core.wifi_scan(&link, label, SecurityFlags::default()).await
        })?;
        Ok(networks.into_iter().map(WifiNetwork::from).collect())
    }

    /// What a device says of itself.
    pub async fn device_info(&self, label: Arc<Label>, link: Option<String>) -> Result<DeviceInfo, DeviceError> {
        let info = work!(self, core => {
            let label = label.core();
            let link = label.link_or(link.as_deref())?;
            core.device_info(&link, Some(label), SecurityFlags::default()).await
        })?;
        Ok(info.into())
    }

    /// Listens for this long and says which devices the radio hears, strongest first.
    pub async fn nearby(&self, duration: Duration) -> Result<Vec<NearbyDevice>, DeviceError> {
        let heard = work!(self, core => core.in_reach(duration).await)?;
        Ok(heard.into_iter().map(NearbyDevice::from).collect())
    }

    /// The pairings of this phone, newest first; at most `limit`.
    pub async fn journal(&self, limit: u32) -> Result<Vec<JournalEntry>, JournalError> {
        let entries = work!(self, core => core.journal().list(limit).await)?;
        Ok(entries.into_iter().map(JournalEntry::from).collect())
    }

    /// One pairing.
    pub async fn journal_entry(&self, handoff_id: Uuid) -> Result<JournalEntry, JournalError> {
        Ok(work!(self, core => core.journal().show(handoff_id).await)?.into())
    }

    /// Tells the API of every pairing that ended while it could not be reached, and says what came of it. An app need not
    /// call it: the same happens by itself, at the start and when the network is back.
    pub async fn tell(&self) -> Result<Told, JournalError> {
        Ok(work!(self, core => core.tell().await)?.into())
    }

    /// Looks at everything that a pairing needs. Never fails: what cannot be looked at is a finding.
    pub async fn doctor(&self) -> Result<Report, JournalError> {
        let inner = self.inner.clone();
        let report = self.inner.tasks.run(async move {
            inner.ask_time().await;
            let account = inner.account().ok().flatten().map(|tokens| tokens.account().server.to_string());
            let signed_in = account.is_some();
            let mut examination = core::doctor::Examination::new(&inner.settings.data_dir);
            examination.api = account.or_else(|| inner.settings.server.as_ref().map(Url::to_string));
            examination.net.clock = inner.config.clock.clone();
            examination.net.extra_ca_pem.clone_from(&inner.settings.extra_ca_pem);
            examination.secrets.clone_from(&inner.config.secrets);
            examination.connectivity = inner.config.connectivity.clone();
            if signed_in {
                examination.identity = core::doctor::Identity::Account(inner.sign_in.clone(), None);
            }
            Ok(examination.run().await)
        });
        Ok(report.await?.into())
    }

    /// The open work orders of whoever is signed in.
    pub async fn orders(&self) -> Result<Vec<WorkOrder>, OrderError> {
        let orders = work!(self, core => core.orders().await)?;
        Ok(orders.into_iter().map(WorkOrder::from).collect())
    }

    /// Downloads a work order for a place without a network.
    pub async fn download_order(&self, id: Uuid) -> Result<DownloadedOrder, OrderError> {
        Ok(work!(self, core => core.download_order(id).await)?.into())
    }

    /// The work orders that were downloaded and have not ended.
    pub async fn downloaded_orders(&self) -> Result<Vec<DownloadedOrder>, OrderError> {
        let orders = work!(self, core => core.downloaded_orders().await)?;
        Ok(orders.into_iter().map(DownloadedOrder::from).collect())
    }

    /// Redeems an invite. `ca_pem`: CA certificates to trust for this server beside those of the settings.
    pub async fn sign_in_with_invite(
        &self,
        invite: Arc<Invite>,
        ca_pem: Option<String>,
    ) -> Result<SignedIn, SignInError> {
        let inner = self.inner.clone();
        let done = self.inner.tasks.run(async move {
            inner.ask_time().await;
            let done = inner.sign_in.with_invite(&invite.core, ca_pem.as_deref()).await?;
            inner.account_changed().await;
            Ok(done)
        });
        Ok(done.await?.into())
    }

    /// Begins to sign in with the phone's browser, which comes back to `redirect`: an address that the app gets from the
    /// system (`io.lowtouch:/finished`).
    pub async fn sign_in_with_browser(
        &self,
        server: Url,
        redirect: Url,
        ca_pem: Option<String>,
    ) -> Result<Arc<BrowserSignIn>, SignInError> {
        let inner = self.inner.clone();
        let begun = self.inner.tasks.run(async move {
            inner.ask_time().await;
            let begun = inner.sign_in.in_browser(server.as_str(), &redirect, ca_pem.as_deref()).await?;
            Ok(BrowserSignIn::new(inner, begun))
        });
        Ok(begun.await?)
    }

    /// Begins to sign in on another screen.
    pub async fn sign_in_with_device_code(
        &self,
        server: Url,
        ca_pem: Option<String>,
    ) -> Result<Arc<DeviceCodeSignIn>, SignInError> {
        let inner = self.inner.clone();
        Ok(self.inner.tasks.run(DeviceCodeSignIn::begin(inner, server, ca_pem)).await?)
    }

    /// All accounts of this phone.
    pub fn accounts(&self) -> Result<Accounts, AccountError> {
        Ok(self.inner.sign_in.accounts()?.into())
    }

    /// Makes the named account the current one.
    pub async fn use_account(&self, name: String) -> Result<Account, AccountError> {
        let inner = self.inner.clone();
        let account = self.inner.tasks.run(async move {
            let account = inner.sign_in.use_account(&name).await?;
            inner.account_changed().await;
            Ok(account)
        });
        Ok(account.await?.into())
    }

    /// Asks the API who the current account is there, and keeps its answer.
    pub async fn who_am_i(&self) -> Result<Account, AccountError> {
        let inner = self.inner.clone();
        let asked = self.inner.tasks.run(async move {
            inner.ask_time().await;
            inner.sign_in.who_am_i(None).await
        });
        Ok(asked.await?.0.into())
    }

    /// Ends the named account's sign-in, or the current one's. The account stays in the list, to sign in again.
    pub async fn sign_out(&self, name: Option<String>) -> Result<SignedOut, AccountError> {
        let inner = self.inner.clone();
        let out = self.inner.tasks.run(async move {
            let out = inner.sign_in.sign_out(name.as_deref()).await?;
            inner.account_changed().await;
            Ok(out)
        });
        Ok(out.await?.into())
    }

    /// As `sign_out`, and takes the account from the list.
    pub async fn remove_account(&self, name: String) -> Result<SignedOut, AccountError> {
        let inner = self.inner.clone();
        let out = self.inner.tasks.run(async move {
            let out = inner.sign_in.remove(&name).await?;
            inner.account_changed().await;
            Ok(out)
        });
        Ok(out.await?.into())
    }

    /// Cancels what runs, waits for it, and closes the journal. Nothing works afterwards; closing the objects is enough
    /// where nobody waits for it.
    pub async fn shut_down(&self) -> Result<(), JournalError> {
        let inner = self.inner.clone();
        let ended = self.inner.tasks.run(async move {
            inner.tasks.end_jobs().await;
            let opened = inner.opened.lock().await.take();
            if let Some(Opened { core, _telling }) = opened {
                drop(_telling);
                core.close().await;
            }
            Ok(())
        });
        Ok(ended.await?)
    }
}

impl Drop for Installer {
    fn drop(&mut self) {
        // What came of it may live on, and must not.
        self.inner.tasks.closing().cancel();
    }
}
