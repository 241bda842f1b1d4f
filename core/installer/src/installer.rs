use std::path::PathBuf;
use std::sync::Arc;

use lowtouch_links::foreign::Central;
use lowtouch_links::{Link, LinkAddress};
use secrecy::SecretString;

use crate::api::{Client, ProvisioningApi};
use crate::clock::Clock;
use crate::error::PairingError;
use crate::fault::Faults;
use crate::journal::Journal;
use crate::net::{Net, NetSettings, Proxy};
use crate::pairing::{self, DeviceInfo, NetworkRequest, NetworkSet, PairRequest, Pairing};
use crate::retry::{Breakers, CircuitReport, Connectivity, Dice, Endpoint, Policy, Routes};
use crate::secrets::SecretStore;
use crate::sign_in::TokenSource;

/// What an [`Installer`] needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder of the journal; made if it is not there.
    pub data_dir: PathBuf,
    /// The provisioning API, `https://HOST[:PORT]`. Without one only journal, network and device information work.
    pub api_url: Option<String>,
    /// The bearer token for the API.
    pub token: Option<SecretString>,
    /// Whoever is signed in, with their server and network settings, in place of address, token, certificates and proxy.
    pub account: Option<TokenSource>,
    /// CA certificates (PEM, any number) to trust for the API beside the system's: the company's own.
    pub extra_ca_pem: Option<String>,
    /// Through which proxy the API is reached.
    pub proxy: Proxy,
    /// By which certificates and downloaded work orders are judged; an account brings its own.
    pub clock: Clock,
    /// What devices are given instead of what the API gave.
    pub overrides: pairing::Overrides,
    /// Where the key is that downloaded work orders are sealed for; without it they cannot be used.
    pub secrets: Option<Arc<dyn SecretStore>>,
    /// How long the steps may take.
    pub deadlines: pairing::Deadlines,
    /// How calls of the provisioning API are tried again, and how long the network is waited for.
    pub retry: Policy,
    /// Who knows whether this machine has a network. A phone's system tells it itself.
    pub connectivity: Arc<dyn Connectivity>,
    /// The app's own radio, where the app has it (phones): then `ble://` means that one.
    pub radio: Option<Arc<dyn Central>>,
    /// For tests.
    #[doc(hidden)]
    pub dice: Dice,
    /// For tests.
    #[doc(hidden)]
    pub faults: Faults,
}

impl Config {
    /// Without an API, with default deadlines.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Config {
            data_dir: data_dir.into(),
            api_url: None,
            token: None,
            account: None,
            extra_ca_pem: None,
            proxy: Proxy::default(),
            clock: Clock::default(),
            overrides: pairing::Overrides::default(),
            secrets: None,
            deadlines: pairing::Deadlines::default(),
            retry: Policy::API,
            connectivity: Arc::new(Routes),
            radio: None,
            dice: Dice::random(),
            faults: Faults::default(),
        }
    }
}

impl std::fmt::Debug for dyn SecretStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.describe())
    }
}

impl std::fmt::Debug for dyn Connectivity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.standing())
    }
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Faults")
    }
}

/// Pairs devices: journal, provisioning API and deadlines in one. Cheap to clone.
#[derive(Clone)]
pub struct Installer {
    pub(crate) journal: Journal,
    pub(crate) clock: Clock,
    client: Option<Client>,
    pub(crate) api: Option<Arc<dyn ProvisioningApi>>,
    pub(crate) deadlines: pairing::Deadlines,
    pub(crate) overrides: pairing::Overrides,
    pub(crate) faults: Faults,
    pub(crate) secrets: Option<Arc<dyn SecretStore>>,
    pub(crate) radio: Option<Arc<dyn Central>>,
    /// The API's ID of whoever is signed in; not known of who has a token alone.
    pub(crate) account_id: Option<String>,
    breakers: Breakers,
    /// The provisioning API with its retries.
    pub(crate) endpoint: Endpoint,
}

impl Installer {
    /// Opens the journal and prepares the client. Asks nothing of the network.
    ///
    /// # Errors
    /// `journal-…` when the journal cannot be opened, `api-url-invalid`, `api-not-https`, `api-token-missing`,
    /// `api-ca-invalid` and `proxy-invalid` for the settings.
    pub async fn new(config: Config) -> Result<Installer, PairingError> {
        let client = match (&config.account, &config.api_url) {
            (Some(account), _) => Some(Client::signed_in(account.clone())),
            (None, Some(url)) => {
                let net = NetSettings {
                    extra_ca_pem: config.extra_ca_pem.clone(),
                    proxy: config.proxy.clone(),
                    clock: config.clock.clone(),
                    ..NetSettings::default()
                };
                Some(Client::new(url, config.token.clone(), Net::new(&net)?)?)
            }
            (None, None) => None,
        };
        let journal = Journal::open_with_faults(&config.data_dir, config.faults.clone()).await?;
        let account_id = config.account.as_ref().map(|account| account.account().account_id.clone());
        let api = client.clone().map(|client| Arc::new(client) as Arc<dyn ProvisioningApi>);
        let breakers = Breakers::default();
        let signed_in = config.account.as_ref().map(|account| account.account().server.clone());
        let name = signed_in.or_else(|| config.api_url.as_deref().and_then(|url| url::Url::parse(url).ok()));
        let name = name.map_or_else(|| "provisioning API".to_owned(), |url| url.origin().ascii_serialization());
        let endpoint = Endpoint::new(&name, breakers.of(&name), config.retry)
            .with(config.dice.clone(), config.connectivity.clone());
        Ok(Installer {
            journal,
            clock: config.clock,
            client,
            api,
            deadlines: config.deadlines,
            overrides: config.overrides,
            faults: config.faults,
            secrets: config.secrets,
            radio: config.radio,
            account_id,
            breakers,
            endpoint,
        })
    }

    /// As [`new`](Self::new), with something that stands in for the provisioning API.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    #[doc(hidden)]
    pub async fn with_api(config: Config, api: Arc<dyn ProvisioningApi>) -> Result<Installer, PairingError> {
        Ok(Installer { api: Some(api), ..Installer::new(config).await? })
    }

    /// Starts the pairing of one device. If an earlier one for the same label was interrupted, this one finishes it.
    ///
    /// Must be called within a tokio runtime. Dropping the [`Pairing`] cancels it.
    pub fn pair(&self, request: PairRequest) -> Pairing {
        pairing::start(self.clone(), request, None)
    }

    /// As [`pair`](Self::pair), over a link that the caller has opened (a phone's own radio, a test's fake).
    pub fn pair_over(&self, request: PairRequest, link: Box<dyn Link>) -> Pairing {
        pairing::start(self.clone(), request, Some(link))
    }

    /// The same for somebody else, or for nobody: journal, radio and settings stay, address and token are the account's.
    #[must_use]
    pub fn signed_in_as(&self, account: Option<TokenSource>) -> Installer {
        let name = account.as_ref().map(|account| account.account().server.origin().ascii_serialization());
        let endpoint = match name {
            Some(name) => self.endpoint.called(&name, self.breakers.of(&name)),
            None => self.endpoint.clone(),
        };
        let account_id = account.as_ref().map(|account| account.account().account_id.clone());
        let client = account.map(Client::signed_in);
        let api = client.clone().map(|client| Arc::new(client) as Arc<dyn ProvisioningApi>);
        Installer { client, api, account_id, endpoint, ..self.clone() }
    }

    /// As [`device_info`], by the app's own radio where there is one.
    ///
    /// # Errors
    /// As [`device_info`].
    pub async fn device_info(
        &self,
        link: &LinkAddress,
        label: Option<crate::label::Label>,
        security: pairing::SecurityFlags,
    ) -> Result<DeviceInfo, PairingError> {
        pairing::device_info(pairing::LinkFrom::address(link, self.radio.as_ref()), label, security, self.deadlines)
            .await
    }

    /// As [`wifi_scan`], by the app's own radio where there is one.
    ///
    /// # Errors
    /// As [`wifi_scan`].
    pub async fn wifi_scan(
        &self,
        link: &LinkAddress,
        label: crate::label::Label,
        security: pairing::SecurityFlags,
    ) -> Result<Vec<pairing::WifiNetwork>, PairingError> {
        pairing::wifi_scan(pairing::LinkFrom::address(link, self.radio.as_ref()), label, security, self.deadlines).await
    }

    /// As [`network_only`], by the app's own radio where there is one.
    pub fn network_only(&self, request: NetworkRequest) -> Pairing<NetworkSet> {
        let from = pairing::LinkFrom::address(&request.link, self.radio.as_ref());
        pairing::network_only(request, from)
    }

    /// What the radio hears within `duration`, strongest first: the app's own radio where there is one.
    ///
    /// # Errors
    /// `bluetooth-unavailable`, `link-permission-denied`, `link-lost`; `link-unsupported` where there is no radio.
    pub async fn in_reach(&self, duration: std::time::Duration) -> Result<Vec<crate::DeviceInReach>, PairingError> {
        match &self.radio {
            Some(radio) => crate::scan_by(&**radio, duration).await,
            #[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
            None => crate::scan(duration).await,
            #[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "windows")))]
            None => Err(crate::ErrorCode::LinkUnsupported.into()),
        }
    }

    /// How long the steps may take.
    pub fn deadlines(&self) -> pairing::Deadlines {
        self.deadlines
    }

    /// Ends what this object and its clones have open: the journal. What still runs fails with `journal-…`.
    pub async fn close(&self) {
        self.journal.close().await;
    }

    /// What was given, acknowledged and assigned.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// How the circuit breakers stand: one for each endpoint that is called.
    pub fn circuits(&self) -> Vec<CircuitReport> {
        self.breakers.report()
    }

    /// The provisioning API's client, if one is set.
    pub fn api(&self) -> Option<&Client> {
        self.client.as_ref()
    }
}

/// Puts a device on Wi-Fi and does nothing else: for any stock ESP-IDF device. Needs no API and no journal.
///
/// Must be called within a tokio runtime.
pub fn network_only(request: NetworkRequest) -> Pairing<NetworkSet> {
    let from = pairing::LinkFrom::Address(request.link.clone());
    pairing::network_only(request, from)
}

/// As [`network_only`], over a link that the caller has opened.
pub fn network_only_over(request: NetworkRequest, link: Box<dyn Link>) -> Pairing<NetworkSet> {
    pairing::network_only(request, pairing::LinkFrom::Open(link))
}

/// What a device says of itself: `proto-ver`, and with a label also `dps-config`'s identify where it exists.
///
/// # Errors
/// As the steps connect, secure and identify of a pairing.
pub async fn device_info(
    link: &LinkAddress,
    label: Option<crate::label::Label>,
    security: pairing::SecurityFlags,
) -> Result<DeviceInfo, PairingError> {
    pairing::device_info(pairing::LinkFrom::Address(link.clone()), label, security, pairing::Deadlines::default()).await
}

/// As [`device_info`], over a link that the caller has opened.
///
/// # Errors
/// As [`device_info`].
pub async fn device_info_over(
    link: Box<dyn Link>,
    label: Option<crate::label::Label>,
    security: pairing::SecurityFlags,
) -> Result<DeviceInfo, PairingError> {
    pairing::device_info(pairing::LinkFrom::Open(link), label, security, pairing::Deadlines::default()).await
}

/// Which Wi-Fi networks the device hears: strongest first, access points of one name merged, hidden networks at the end.
/// An empty list is an answer too. Works with any stock ESP-IDF device; needs no API and no journal.
///
/// # Errors
/// As the steps connect and secure of a pairing; `network-unsupported` without the endpoint, `wifi-scan-failed`.
pub async fn wifi_scan(
    link: &LinkAddress,
    label: crate::label::Label,
    security: pairing::SecurityFlags,
) -> Result<Vec<pairing::WifiNetwork>, PairingError> {
    pairing::wifi_scan(pairing::LinkFrom::Address(link.clone()), label, security, pairing::Deadlines::default()).await
}

/// As [`wifi_scan`], over a link that the caller has opened.
///
/// # Errors
/// As [`wifi_scan`].
pub async fn wifi_scan_over(
    link: Box<dyn Link>,
    label: crate::label::Label,
    security: pairing::SecurityFlags,
) -> Result<Vec<pairing::WifiNetwork>, PairingError> {
    pairing::wifi_scan(pairing::LinkFrom::Open(link), label, security, pairing::Deadlines::default()).await
}
