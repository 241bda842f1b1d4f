//! The bindings as an app uses them, the app's part in Rust: real API, emulated DPS, a simulated device.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use lowtouch_bindings::{
    Action, BleAdvertisement, BleCentral, BleCharacteristic, BleCharacteristicId, BleConnection, BleError, BleScan,
    BleScanFilter, BleService, ErrorCode, Installer, InstallerSettings, Invite, Label, NetworkStanding, NetworkState,
    NetworkStateError, OpenConnection, PairingError, PairingEvent, PairingRequest, PhoneClock, PhoneClockError,
    RunningScan, SecretStore, SecretStoreError, SignInError,
};
use lowtouch_device::sim::{Attestation, Running, SimLink};
use lowtouch_installer::retry::Policy;
use lowtouch_installer::secrets as core_secrets;
use lowtouch_links::simulated::{self, Peripheral as _, Remote};
use lowtouch_links::{Deadlines, LinkAddress};
use lowtouch_test_support::{World, any_devices, any_port, outcome, request};
use provisioning_api::{Office, Role};
use provisioning_api_contract as wire;
use secrecy::{ExposeSecret as _, SecretString};

#[derive(Default)]
struct Store(Mutex<BTreeMap<String, Vec<u8>>>);

#[async_trait]
impl SecretStore for Store {
    async fn get(&self, name: String) -> Result<Option<Vec<u8>>, SecretStoreError> {
        Ok(self.0.lock().unwrap().get(&name).cloned())
    }

    async fn set(&self, name: String, value: Vec<u8>) -> Result<(), SecretStoreError> {
        self.0.lock().unwrap().insert(name, value);
        Ok(())
    }

    async fn delete(&self, name: String) -> Result<(), SecretStoreError> {
        self.0.lock().unwrap().remove(&name);
        Ok(())
    }
}

/// The same store, for the core itself.
#[async_trait]
impl core_secrets::SecretStore for Store {
    async fn get(&self, name: &str) -> Result<Option<SecretString>, core_secrets::SecretsError> {
        Ok(self.0.lock().unwrap().get(name).map(|bytes| String::from_utf8(bytes.clone()).unwrap().into()))
    }

    async fn set(&self, name: &str, value: &SecretString) -> Result<(), core_secrets::SecretsError> {
        self.0.lock().unwrap().insert(name.to_owned(), value.expose_secret().as_bytes().to_vec());
        Ok(())
    }

    async fn delete(&self, name: &str) -> Result<(), core_secrets::SecretsError> {
        self.0.lock().unwrap().remove(name);
        Ok(())
    }

    fn describe(&self) -> String {
        "a test's".into()
    }
}

/// What the person has set.
struct SetClock(Mutex<SystemTime>);

#[async_trait]
impl PhoneClock for SetClock {
    async fn now(&self) -> Result<SystemTime, PhoneClockError> {
        Ok(*self.0.lock().unwrap())
    }
}

struct Online;

#[async_trait]
impl NetworkState for Online {
    async fn next(&self, known: Option<NetworkStanding>) -> Result<NetworkStanding, NetworkStateError> {
        match known {
            None => Ok(NetworkStanding::Online),
            Some(_) => std::future::pending().await,
        }
    }
}

/// One device, over the simulated GATT. `silent`: reads never come back.
struct Radio {
    name: String,
    address: LinkAddress,
    silent: Arc<AtomicBool>,
    open: Arc<AtomicU32>,
}

struct Heard(String);

struct Connected {
    remote: tokio::sync::Mutex<Remote>,
    characteristics: Vec<simulated::Characteristic>,
    silent: Arc<AtomicBool>,
    open: Arc<AtomicU32>,
    ended: AtomicBool,
}

#[async_trait]
impl BleCentral for Radio {
    async fn scan(&self, _: BleScanFilter) -> Result<RunningScan, BleError> {
        Ok(RunningScan(Arc::new(Heard(self.name.clone()))))
    }

    async fn connect(&self, address: String) -> Result<OpenConnection, BleError> {
        assert_eq!(address, "02:00:00:00:00:01");
        let LinkAddress::BleSim { peripheral, .. } = &self.address else { panic!("another link") };
        let mut remote = Remote::new(*peripheral, Deadlines::default());
        let characteristics = remote.connect().await.map_err(|_| BleError::NotInReach)?;
        self.open.fetch_add(1, Ordering::SeqCst);
        Ok(OpenConnection(Arc::new(Connected {
            remote: remote.into(),
            characteristics,
            silent: self.silent.clone(),
            open: self.open.clone(),
            ended: AtomicBool::new(false),
        })))
    }
}

#[async_trait]
impl BleScan for Heard {
    async fn next(&self) -> Result<BleAdvertisement, BleError> {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Ok(BleAdvertisement {
            address: "02:00:00:00:00:01".into(),
            name: Some(self.0.clone()),
            rssi: Some(-50),
            services: Vec::new(),
            service_data: Vec::new(),
        })
    }

    async fn stop(&self) -> Result<(), BleError> {
        Ok(())
    }
}

fn of_gatt(error: simulated::GattError) -> BleError {
    match error {
        simulated::GattError::Att(code) => BleError::Att { code },
        _ => BleError::Disconnected { status: 8 },
    }
}

#[async_trait]
impl BleConnection for Connected {
    async fn request_mtu(&self, _: u16) -> Result<u16, BleError> {
        Ok(185)
    }

    async fn discover(&self, descriptions: bool) -> Result<Vec<BleService>, BleError> {
        let characteristic = |found: &simulated::Characteristic| BleCharacteristic {
            id: BleCharacteristicId { service: simulated::SERVICE, uuid: found.uuid, instance: 0 },
            readable: true,
            writable: true,
            description: descriptions.then(|| found.endpoint.clone().into_bytes()),
        };
        let characteristics = self.characteristics.iter().map(characteristic).collect();
        Ok(vec![BleService { uuid: simulated::SERVICE, characteristics }])
    }

    async fn write(&self, characteristic: BleCharacteristicId, value: Vec<u8>) -> Result<(), BleError> {
        self.remote.lock().await.write(characteristic.uuid, &value).await.map_err(of_gatt)
    }

    async fn read(&self, characteristic: BleCharacteristicId) -> Result<Vec<u8>, BleError> {
        if self.silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.remote.lock().await.read(characteristic.uuid).await.map_err(of_gatt)
    }

    async fn disconnected(&self) -> Result<i32, BleError> {
        std::future::pending().await
    }

    async fn disconnect(&self) -> Result<(), BleError> {
        if !self.ended.swap(true, Ordering::SeqCst) {
            self.remote.lock().await.disconnect().await;
            self.open.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

fn settings(world: &World) -> InstallerSettings {
    InstallerSettings {
        data_dir: world.data_folder("phone").display().to_string(),
        server: None,
        extra_ca_pem: Some(world.api.ca_pem.clone()),
        exchange_deadline: None,
        connect_deadline: Some(Duration::from_secs(5)),
    }
}

struct App {
    world: World,
    device: Running,
    installer: Arc<Installer>,
    secrets: Arc<Store>,
    silent: Arc<AtomicBool>,
    open: Arc<AtomicU32>,
}

impl App {
    async fn new(exchange_deadline: Option<Duration>) -> App {
        let world = World::start().await;
        let device = world.device(world.device_config(SimLink::BleSim(any_port()))).await;
        Self::with(world, device, exchange_deadline, None)
    }

    fn with(
        world: World,
        device: Running,
        exchange_deadline: Option<Duration>,
        clock: Option<Arc<dyn PhoneClock>>,
    ) -> App {
        let (silent, open, secrets) =
            (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default(), Arc::<Store>::default());
        let radio = Radio {
            name: Label::parse(device.label().to_owned()).unwrap().name(),
            address: device.address().parse().unwrap(),
            silent: silent.clone(),
            open: open.clone(),
        };
        let settings = InstallerSettings { exchange_deadline, ..settings(&world) };
        let installer =
            Installer::new(settings, secrets.clone(), Arc::new(Online), Some(Arc::new(radio)), None, clock).unwrap();
        App { world, device, installer, secrets, silent, open }
    }

    async fn code(&self) -> secrecy::SecretString {
        self.world.api.office().open_order("Ida", None, any_devices()).await.unwrap();
        self.world.api.office().invite(Role::Installer, "Ida", None, 15).await.unwrap().1
    }

    async fn sign_in(&self) {
        let link = Office::invite_link(&self.world.api.url, &self.code().await);
        let invite = Invite::parse(link.expose_secret().to_owned()).unwrap();
        self.installer.sign_in_with_invite(invite, None).await.unwrap();
    }

    fn request(&self) -> PairingRequest {
        let label = Label::parse(self.device.label().to_owned()).unwrap();
        let link = Some(format!("ble://{}", label.name()));
        PairingRequest { label, link, wifi: None, allow_no_security: false, allow_downgrade: false }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_paired_and_a_dropped_wait_loses_no_event() {
    let app = App::new(None).await;
    app.sign_in().await;
    let pairing = app.installer.pair(app.request()).await.unwrap();
    let mut events = Vec::new();
    loop {
        // Given up again and again: what comes meanwhile must not be lost.
        match tokio::time::timeout(Duration::from_millis(1), pairing.next_event()).await {
            Ok(Some(event)) => events.push(event),
            Ok(None) => break,
            Err(_) => {}
        }
    }
    let paired = pairing.outcome().await.unwrap();
    assert!(matches!(events.last(), Some(PairingEvent::Finished { paired: last }) if *last == paired));
    let started = events.iter().filter(|event| matches!(event, PairingEvent::StepStarted { .. })).count();
    let done = events.iter().filter(|event| matches!(event, PairingEvent::StepDone { .. })).count();
    assert!(started == done && done >= 8, "{events:?}");
    assert_eq!(app.world.hub_devices(&paired.registration_id).len(), 1);
    app.installer.shut_down().await.unwrap();
    assert_eq!(app.open.load(Ordering::SeqCst), 0);
    assert!(app.installer.journal(1).await.is_err(), "nothing works after the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_while_nobody_looked_is_told_in_one_call() {
    let app = App::new(None).await;
    app.sign_in().await;
    let pairing = app.installer.pair(app.request()).await.unwrap();
    let first = pairing.next_events().await;
    assert!(matches!(first[0], PairingEvent::StepStarted { .. }), "{first:?}");
    let paired = pairing.outcome().await.unwrap();
    let rest = pairing.next_events().await;
    assert!(matches!(rest.last(), Some(PairingEvent::Finished { paired: last }) if *last == paired), "{rest:?}");
    assert!(pairing.next_events().await.is_empty(), "it is over");
    assert!(pairing.next_event().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_never_comes_back_ends_at_its_deadline_and_a_later_pairing_works() {
    let app = App::new(Some(Duration::from_millis(300))).await;
    app.sign_in().await;
    app.silent.store(true, Ordering::SeqCst);
    let error = app.installer.pair(app.request()).await.unwrap().outcome().await.unwrap_err();
    assert!(matches!(&error, PairingError::Failed { failure } if failure.code == ErrorCode::DeviceSilent), "{error:?}");
    app.silent.store(false, Ordering::SeqCst);
    app.installer.pair(app.request()).await.unwrap().outcome().await.unwrap();
    app.installer.shut_down().await.unwrap();
    assert_eq!(app.open.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn shutting_down_cancels_what_runs_and_ends_its_connection() {
    let app = App::new(None).await;
    app.sign_in().await;
    app.silent.store(true, Ordering::SeqCst);
    let pairing = app.installer.pair(app.request()).await.unwrap();
    // No event tells that the radio is connected while its first read is silent.
    while app.open.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    app.installer.shut_down().await.unwrap();
    assert!(matches!(pairing.outcome().await, Err(PairingError::Cancelled { .. })));
    assert_eq!(app.open.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_with_the_phones_browser_which_comes_back_to_the_app() {
    let app = App::new(None).await;
    let server: url::Url = app.world.api.url.parse().unwrap();
    let redirect: url::Url = "io.lowtouch:/finished".parse().unwrap();
    let begin = || app.installer.sign_in_with_browser(server.clone(), redirect.clone(), None);

    let signing_in = begin().await.unwrap();
    let mut browser = oidc_fixture::Browser::new(&app.world.api.ca_pem);
    let page = browser.open(signing_in.url()).await;
    let page = browser.submit(&page, &[("invite", app.code().await.expose_secret())]).await;
    let back = page.redirect.unwrap_or_else(|| panic!("{}", page.body));
    assert!(back.as_str().starts_with("io.lowtouch:/finished?"), "{back}");

    // What another sign-in brought, or another app's address, is refused.
    let other = begin().await.unwrap();
    assert!(matches!(other.finish(back.clone()).await, Err(SignInError::Failed { .. })));
    let elsewhere = begin().await.unwrap();
    let error = elsewhere.finish("https://a.example/finished".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, SignInError::Failed { failure } if failure.code == ErrorCode::SignInAnswerInvalid));

    let done = signing_in.finish(back.clone()).await.unwrap();
    assert_eq!(done.account.person, "Ida");
    assert!(matches!(signing_in.finish(back).await, Err(SignInError::StartAgain { .. })), "works once");
    assert_eq!(app.installer.accounts().unwrap().current, Some(done.account.name));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_whose_clock_is_years_off_is_told_so_and_signs_in_when_it_is_right() {
    let world = World::start().await;
    let device = world.device(world.device_config(SimLink::BleSim(any_port()))).await;
    let clock = Arc::new(SetClock(Mutex::new(SystemTime::UNIX_EPOCH)));
    let app = App::with(world, device, None, Some(clock.clone()));
    let link = Office::invite_link(&app.world.api.url, &app.code().await);
    let sign_in = || {
        let invite = Invite::parse(link.expose_secret().to_owned()).unwrap();
        app.installer.sign_in_with_invite(invite, None)
    };
    let years = Duration::from_secs(10 * 365 * 24 * 3600);
    for wrong in [SystemTime::now() - years, SystemTime::now() + years] {
        *clock.0.lock().unwrap() = wrong;
        let error = sign_in().await.unwrap_err();
        let SignInError::Failed { failure } = error else { panic!("{error:?}") };
        assert_eq!((failure.code, failure.action), (ErrorCode::ApiTlsExpired, Action::CheckClock), "{failure:?}");
    }
    *clock.0.lock().unwrap() = SystemTime::now();
    sign_in().await.unwrap();
    app.installer.pair(app.request()).await.unwrap().outcome().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_paired_without_a_network_is_told_at_the_apps_next_start_and_nobody_asks_for_it() {
    let world = World::start().await;
    let mut config = world.device_config(SimLink::BleSim(any_port()));
    config.attestations = vec![Attestation::SymmetricKey];
    config.dps_ca_pem = Some(world.dps_roots());
    let device = world.device(config).await;
    let id = device.registration_id().to_owned();
    let pin = wire::DeviceRequest { attestation: Some(wire::Attestation::SymmetricKey), ..Default::default() };
    world.api.add_device(&id, pin).await.unwrap();
    let app = App::with(world, device, None, None);
    app.sign_in().await;
    let order = wire::NewWorkOrder { devices: vec![id.clone()], any_of: None, ..any_devices() };
    let order = app.world.api.office().open_order("Ida", None, order).await.unwrap();
    assert_eq!(app.installer.download_order(order.id).await.unwrap().ready, std::slice::from_ref(&id));
    app.installer.shut_down().await.unwrap();

    // Nobody listens at this port.
    let offline = lowtouch_installer::Config {
        api_url: Some("https://127.0.0.1:1".into()),
        secrets: Some(app.secrets.clone()),
        retry: Policy { tries: 1, ..Policy::API },
        ..app.world.installer_config("phone")
    };
    let offline = lowtouch_installer::Installer::new(offline).await.unwrap();
    let paired = outcome(offline.pair(request(&app.device))).await.unwrap();
    offline.close().await;
    let token = app.world.api.issue_token(Role::Installer, "Ida").await.unwrap();
    let config = lowtouch_installer::Config { token: Some(token), ..app.world.installer_config("onlooker") };
    let onlooker = lowtouch_installer::Installer::new(config).await.unwrap();
    let known = async || onlooker.api().unwrap().look_up(&id, false).await.unwrap();
    assert_eq!(known().await.handoff_id, None, "it is known already");

    let _started =
        Installer::new(settings(&app.world), app.secrets.clone(), Arc::new(Online), None, None, None).unwrap();
    let told = async {
        while known().await.handoff_id != Some(paired.handoff_id) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), told).await.expect("the API is told");
}
