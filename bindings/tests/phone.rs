//! The bindings as an app uses them, the app's part in Rust: real API, emulated DPS, a simulated device.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use lowtouch_bindings::{
    BleAdvertisement, BleCentral, BleCharacteristic, BleCharacteristicId, BleConnection, BleError, BleScan,
    BleScanFilter, BleService, ErrorCode, Installer, InstallerSettings, Invite, Label, NetworkStanding, NetworkState,
    NetworkStateError, OpenConnection, PairingError, PairingEvent, PairingRequest, RunningScan, SecretStore,
    SecretStoreError, SignInError,
};
use lowtouch_device::sim::{Running, SimLink};
use lowtouch_links::simulated::{self, Peripheral as _, Remote};
use lowtouch_links::{Deadlines, LinkAddress};
use lowtouch_test_support::{World, any_devices, any_port};
use provisioning_api::{Office, Role};
use secrecy::ExposeSecret as _;

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

struct App {
    world: World,
    device: Running,
    installer: Arc<Installer>,
    silent: Arc<AtomicBool>,
    open: Arc<AtomicU32>,
}

impl App {
    async fn new(exchange_deadline: Option<Duration>) -> App {
        let world = World::start().await;
        let device = world.device(world.device_config(SimLink::BleSim(any_port()))).await;
        let label = Label::parse(device.label().to_owned()).unwrap();
        let (silent, open) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default());
        let radio = Radio {
            name: label.name(),
            address: device.address().parse().unwrap(),
            silent: silent.clone(),
            open: open.clone(),
        };
        let settings = InstallerSettings {
            data_dir: world.data_folder("phone").display().to_string(),
            server: None,
            extra_ca_pem: Some(world.api.ca_pem.clone()),
            exchange_deadline,
            connect_deadline: Some(Duration::from_secs(5)),
        };
        let installer =
            Installer::new(settings, Arc::new(Store::default()), Arc::new(Online), Some(Arc::new(radio)), None)
                .unwrap();
        App { world, device, installer, silent, open }
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
