//! Signing in at our own API: from the invite to the sign-out, and a pairing in between.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test fails by panicking, and tells its figures

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lowtouch_device::sim::SimLink;
use lowtouch_installer::api::Client;
use lowtouch_installer::net::{NetSettings, Proxy};
use lowtouch_installer::secrets::{Memory, SecretStore, SecretsError};
use lowtouch_installer::sign_in::{Ask, Invite, SignIn};
use lowtouch_installer::{Config, ErrorCode, Installer};
use lowtouch_test_support::{World, any_port, outcome, request};
use provisioning_api::{Office, Role};
use provisioning_api_contract as wire;
use secrecy::{ExposeSecret, SecretString};

/// Counts what a real keyring would be asked.
#[derive(Default)]
struct Counting {
    inner: Memory,
    reads: AtomicU32,
    writes: AtomicU32,
}

#[async_trait]
impl SecretStore for Counting {
    async fn get(&self, name: &str) -> Result<Option<SecretString>, SecretsError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.inner.get(name).await
    }

    async fn set(&self, name: &str, value: &SecretString) -> Result<(), SecretsError> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.inner.set(name, value).await
    }

    async fn delete(&self, name: &str) -> Result<(), SecretsError> {
        self.inner.delete(name).await
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

struct App {
    store: Arc<Counting>,
    sign_in: SignIn,
}

fn app(world: &World) -> App {
    let store = Arc::new(Counting::default());
    let net =
        NetSettings { extra_ca_pem: Some(world.api.ca_pem.clone()), proxy: Proxy::Direct, ..NetSettings::default() };
    App { sign_in: SignIn::new(world.data_folder("accounts"), store.clone(), net), store }
}

async fn invite(world: &World, role: Role, name: &str) -> Invite {
    let (_, code, _) = world.api.office().invite(role, name, None, 15).await.unwrap();
    Invite::parse(Office::invite_link(&world.api.url, &code).expose_secret()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_is_enough_to_pair_until_the_sign_out() {
    let world = World::start().await;
    let App { store, sign_in } = app(&world);
    let ines = invite(&world, Role::Administrator, "Ines").await;
    let done = sign_in.with_invite(&ines, None).await.unwrap();
    println!("invite: {} round trips, {:.2} s", done.round_trips, done.seconds);
    assert_eq!(done.round_trips, 5);
    assert_eq!(sign_in.with_invite(&ines, None).await.unwrap_err().code, ErrorCode::InviteRefused, "one use");

    // As another start of the program: everything is read anew.
    let (reads, writes) = (store.reads.load(Ordering::SeqCst), store.writes.load(Ordering::SeqCst));
    let device = world.device(world.device_config(SimLink::Http(any_port()))).await;
    let account = Some(sign_in.tokens(None).unwrap());
    let installer = Installer::new(Config { account, ..Config::new(world.data_folder("app")) }).await.unwrap();
    let paired = outcome(installer.pair(request(&device))).await.unwrap();
    assert!(paired.hub.contains("hub"));
    let reads = store.reads.load(Ordering::SeqCst) - reads;
    let writes = store.writes.load(Ordering::SeqCst) - writes;
    println!("keyring operations of a pairing: {reads} read, {writes} written");
    assert_eq!((reads, writes), (1, 0));

    // Renewed: the old refresh token is spent, and using it again ends the family for everybody.
    let tokens = sign_in.tokens(None).unwrap();
    let name = format!("sign-in {}", tokens.account().id);
    let before = store.get(&name).await.unwrap().unwrap();
    let first = tokens.token().await.unwrap();
    let second = tokens.instead_of(&first).await.unwrap();
    assert_ne!(first.expose_secret(), second.expose_secret());
    // Twice: who presents one whose successor was used cannot be somebody who lost an answer.
    let third = tokens.instead_of(&second).await.unwrap();
    Client::signed_in(tokens.clone()).me().await.unwrap();
    let after = store.get(&name).await.unwrap().unwrap();
    store.set(&name, &before).await.unwrap();
    let thief = sign_in.tokens(None).unwrap();
    let stale = thief.token().await.unwrap();
    // The lock's file says that the kept generation is another one, so a thief's copy is read as it is, and refused.
    assert_eq!(thief.instead_of(&stale).await.unwrap_err().code, ErrorCode::SignedOut);
    store.set(&name, &after).await.unwrap();
    assert_eq!(tokens.instead_of(&third).await.unwrap_err().code, ErrorCode::SignedOut, "the family has ended");
    assert!(sign_in.accounts().unwrap().all[0].signed_out);
    assert_eq!(sign_in.tokens(None).unwrap_err().code, ErrorCode::SignedOut);

    // Signed in again, and out.
    let again = invite(&world, Role::Administrator, "Ines").await;
    let again = sign_in.with_invite(&again, None).await.unwrap();
    assert_eq!(again.account.name, done.account.name, "the same account");
    let held = Client::signed_in(sign_in.tokens(None).unwrap());
    held.me().await.unwrap();
    assert!(sign_in.sign_out(None).await.unwrap().not_revoked.is_none());
    assert_eq!(held.me().await.unwrap_err().code, ErrorCode::SignedOut, "at the next call");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_downloaded_is_of_the_account_alone_and_goes_with_it() {
    let world = World::start().await;
    let App { store, sign_in } = app(&world);
    let ines = sign_in.with_invite(&invite(&world, Role::Installer, "Ines").await, None).await.unwrap().account;
    let named = wire::NewWorkOrder {
        site: "Plant 4".into(),
        installer: String::new(),
        tenant: None,
        devices: vec!["sn-1".into()],
        any_of: None,
        opens: None,
        closes: None,
        hours: None,
        schedule: false,
    };
    let pin =
        wire::DeviceRequest { attestation: Some(wire::Attestation::SymmetricKey), ..wire::DeviceRequest::default() };
    world.api.add_device("sn-1", pin).await.unwrap();
    let order = world.api.office().open_order("Ines", None, named).await.unwrap();
    let installer = async |account: &str| {
        let account = Some(sign_in.tokens(Some(account)).unwrap());
        let config = Config::new(world.data_folder("accounts"));
        Installer::new(Config { account, secrets: Some(store.clone()), ..config }).await.unwrap()
    };
    installer(&ines.name).await.download_order(order.id).await.unwrap();

    let otto = sign_in.with_invite(&invite(&world, Role::Installer, "Otto").await, None).await.unwrap().account;
    assert!(installer(&otto.name).await.downloaded_orders().await.unwrap().is_empty(), "it was given to Ines");
    let hers = installer(&ines.name).await;
    assert_eq!(hers.downloaded_orders().await.unwrap().len(), 1);
    let his = hers.signed_in_as(Some(sign_in.tokens(Some(&otto.name)).unwrap()));
    assert!(his.downloaded_orders().await.unwrap().is_empty());

    sign_in.remove(&ines.name).await.unwrap();
    let again = sign_in.with_invite(&invite(&world, Role::Installer, "Ines").await, None).await.unwrap().account;
    assert_eq!(again.account_id, ines.account_id);
    assert!(installer(&again.name).await.downloaded_orders().await.unwrap().is_empty(), "forgotten with the account");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_windows_renew_at_our_own_api_and_stay_signed_in() {
    let world = World::start().await;
    let App { store, sign_in } = app(&world);
    sign_in.with_invite(&invite(&world, Role::Administrator, "Ines").await, None).await.unwrap();
    let net =
        NetSettings { extra_ca_pem: Some(world.api.ca_pem.clone()), proxy: Proxy::Direct, ..NetSettings::default() };
    let windows = (0..6).map(|_| {
        let sign_in = SignIn::new(world.data_folder("accounts"), store.clone(), net.clone());
        async move {
            let tokens = sign_in.tokens(None).unwrap();
            let refused = tokens.token().await.unwrap();
            let renewed = tokens.instead_of(&refused).await.unwrap();
            assert_ne!(refused.expose_secret(), renewed.expose_secret());
            Client::signed_in(tokens).me().await
        }
    });
    let mut tasks = tokio::task::JoinSet::new();
    windows.for_each(|window| drop(tasks.spawn(window)));
    while let Some(answer) = tasks.join_next().await {
        answer.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_with_browser_and_device_code_by_their_invite() {
    let world = World::start().await;
    let App { sign_in, .. } = app(&world);
    let browser = || oidc_fixture::Browser::new(&world.api.ca_pem);
    let code = || async {
        let (_, code, _) = world.api.office().invite(Role::Installer, "Ida", None, 15).await.unwrap();
        code.expose_secret().to_owned()
    };

    let (asked, ask) = tokio::sync::oneshot::channel();
    let mut asked = Some(asked);
    let signed_in = sign_in.with_browser(&world.api.url, None, move |ask| {
        let _ = asked.take().unwrap().send(ask);
    });
    let person = async {
        let Ask::Open { url } = ask.await.unwrap() else { panic!("another way to sign in") };
        let mut browser = browser();
        let page = browser.open(url).await;
        let page = browser.submit(&page, &[("invite", &code().await)]).await;
        let back = page.redirect.unwrap_or_else(|| panic!("{}", page.body));
        browser.open(back).await
    };
    let (done, page) = tokio::join!(signed_in, person);
    let done = done.unwrap();
    assert!(page.body.contains("Signed in as Ida"), "{}", page.body);
    println!("browser: {} round trips, {:.2} s", done.round_trips, done.seconds);

    let (asked, ask) = tokio::sync::oneshot::channel();
    let mut asked = Some(asked);
    let signed_in = sign_in.with_device_code(&world.api.url, None, move |ask| {
        let _ = asked.take().unwrap().send(ask);
    });
    let person = async {
        let Ask::Enter { url, complete, code: user_code, .. } = ask.await.unwrap() else { panic!("another way") };
        let mut browser = browser();
        let page = browser.open(complete.unwrap_or(url)).await;
        browser.submit(&page, &[("user_code", &user_code), ("invite", &code().await)]).await
    };
    let both = async { tokio::join!(signed_in, person) };
    let (done, page) = tokio::time::timeout(Duration::from_secs(60), both).await.unwrap();
    assert_eq!(page.status, 200, "{}", page.body);
    let done = done.unwrap();
    println!("device code: {} round trips, {:.2} s", done.round_trips, done.seconds);
    assert_eq!(sign_in.accounts().unwrap().all.len(), 1, "the same person");
}
