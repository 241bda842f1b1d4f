//! A running API and what a test asks it with.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

pub mod database;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use provisioning_api::{
    Config, DpsCredential, InstanceConfig, Limits, Options, Placement, Role, Running, Server, ServiceKey,
};
use provisioning_api_contract::{Allocation, AnyOf, DeviceRequest, InstanceState, NewWorkOrder, Problem, ProblemCode};
use rcgen::{CertificateParams, DnType, KeyPair};
use reqwest::header::HeaderValue;
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

/// Starts `provisioning-api serve …`; the process, and what it says when it is ready.
pub fn spawn(command: &mut Command) -> (Child, Value) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, serde_json::from_str(line.strip_prefix("ready ").unwrap()).unwrap())
}

pub struct Api {
    pub running: Running,
    pub installer: String,
    pub administrator: String,
    pub http: reqwest::Client,
    pub folder: TempDir,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub fn ok<T: DeserializeOwned>(&self) -> T {
        assert!(self.status.is_success(), "{}: {}", self.status, String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).unwrap()
    }

    #[track_caller]
    pub fn done(&self) {
        assert_eq!(self.status, StatusCode::NO_CONTENT, "{}", String::from_utf8_lossy(&self.body));
    }

    /// The problem, after checking all that is true of every problem.
    #[track_caller]
    pub fn problem(&self) -> Problem {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.status);
        let problem: Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status.as_u16());
        assert_eq!(problem.kind, "about:blank");
        assert_eq!(self.headers["x-request-id"].to_str().unwrap(), problem.request_id.to_string());
        problem
    }

    #[track_caller]
    pub fn refused(&self, status: u16, code: ProblemCode) -> Problem {
        let problem = self.problem();
        assert_eq!((problem.status, problem.code), (status, code), "{problem:?}");
        problem
    }
}

/// The policy that Azure makes for a new instance.
pub fn owner(key: &str) -> DpsCredential {
    DpsCredential::SharedAccess { policy: "provisioningserviceowner".into(), key: ServiceKey::new(key) }
}

/// An order for any devices, at most so many.
pub fn any_devices(at_most: u32) -> NewWorkOrder {
    NewWorkOrder {
        site: "Plant 4".into(),
        installer: String::new(),
        tenant: None,
        devices: Vec::new(),
        any_of: Some(AnyOf { model: None, at_most }),
        opens: None,
        closes: None,
        hours: None,
        schedule: false,
    }
}

/// A DPS instance at a port where nobody listens.
pub fn nobody(name: &str) -> InstanceConfig {
    InstanceConfig {
        name: name.into(),
        id_scope: format!("0ne{name}"),
        service_endpoint: "https://127.0.0.1:1".parse().unwrap(),
        global_device_endpoint: "127.0.0.1:1".into(),
        credential: owner("a2V5"),
        resource: None,
        operations_per_minute: 1000,
        ca_pem: None,
        ca_in_firmware: false,
        ed25519: true,
        certificate_policy: None,
        capacity: 1000,
        state: InstanceState::Active,
        placement: Placement::default(),
    }
}

/// A DPS instance that the emulator plays.
pub fn instance(name: &str, emulator: &azure_emulator::Running) -> InstanceConfig {
    InstanceConfig {
        service_endpoint: emulator.url().parse().unwrap(),
        global_device_endpoint: emulator.endpoint(),
        id_scope: emulator.id_scope.clone(),
        credential: owner(&emulator.service_key),
        ca_pem: Some(emulator.ca_pem.clone()),
        ca_in_firmware: false,
        ..nobody(name)
    }
}

pub async fn emulator() -> (azure_emulator::Running, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = azure_emulator::Config::new(folder.path());
    config.assigning_polls = 0;
    (azure_emulator::Emulator::start(config).await.unwrap(), folder)
}

pub fn config(folder: &Path, instances: Vec<InstanceConfig>) -> Config {
    let mut config = Config::new(database::url(folder), folder.join("tls"));
    config.dps = instances;
    config
}

pub fn options() -> Options {
    let limits =
        Limits { dps_attempt: Duration::from_secs(2), dps_budget: Duration::from_secs(4), ..Limits::default() };
    Options { limits, ..Options::default() }
}

impl Api {
    pub async fn start(instances: Vec<InstanceConfig>) -> Self {
        Self::start_with(instances, |_| {}).await
    }

    pub async fn start_with(instances: Vec<InstanceConfig>, change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), instances);
        let mut options = options();
        change(&mut options);
        Self::over(folder, config, options).await
    }

    pub async fn over(folder: TempDir, config: Config, options: Options) -> Self {
        let running = Server::start_with(config, options).await.unwrap();
        let installer = running.issue_token(Role::Installer, "Ida").await.unwrap().expose_secret().to_owned();
        let administrator = running.issue_token(Role::Administrator, "Ada").await.unwrap().expose_secret().to_owned();
        let http = client(&running.ca_pem);
        running.office().open_order("Ida", None, any_devices(1_000_000)).await.unwrap();
        Self { running, installer, administrator, http, folder }
    }

    /// Stops and starts again on the same files, with other instances.
    pub async fn restart(self, instances: Vec<InstanceConfig>) -> Self {
        self.running.stop().await;
        let config = config(self.folder.path(), instances);
        Self::over(self.folder, config, options()).await
    }

    pub async fn add(&self, id: &str) {
        self.running.add_device(id, DeviceRequest::default()).await.unwrap();
    }

    pub async fn send(&self, method: Method, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.running.url));
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
            value.set_sensitive(true);
            request = request.header("authorization", value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        finish(request).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, Some(&self.installer), None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(&self.installer), Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, Some(&self.administrator), Some(body)).await
    }

    pub async fn allocate(&self, id: &str, handoff: Uuid, attestations: &[&str]) -> Answer {
        let body = json!({ "handoffId": handoff, "attestations": attestations, "model": "M1", "firmware": "1.0" });
        self.post(&format!("/v1/devices/{id}/allocation"), body).await
    }

    #[track_caller]
    pub fn allocated(answer: &Answer) -> Allocation {
        answer.ok()
    }

    pub async fn certificate(&self, id: &str, handoff: Uuid, csr: &str) -> Answer {
        self.post(&format!("/v1/devices/{id}/certificate"), json!({ "handoffId": handoff, "csr": csr })).await
    }

    pub async fn symmetric_key(&self, id: &str, handoff: Uuid) -> Answer {
        self.post(&format!("/v1/devices/{id}/symmetric-key"), json!({ "handoffId": handoff })).await
    }

    pub async fn assigned(&self, id: &str, handoff: Uuid) -> Answer {
        let outcome = json!({ "status": "assigned", "assignedHub": "hub-1", "deviceId": id });
        self.post(&format!("/v1/devices/{id}/outcome"), json!({ "handoffId": handoff, "outcome": outcome })).await
    }

    pub async fn failed(&self, id: &str, handoff: Uuid) -> Answer {
        let outcome = json!({ "status": "failed", "code": "cancelled", "text": "" });
        self.post(&format!("/v1/devices/{id}/outcome"), json!({ "handoffId": handoff, "outcome": outcome })).await
    }
}

pub async fn finish(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, body: response.bytes().await.unwrap().to_vec() }
}

/// A client that trusts this CA only, and shows a certificate when it has one.
pub fn client(ca_pem: &str) -> reqwest::Client {
    client_with(ca_pem, None)
}

pub fn client_with(ca_pem: &str, identity: Option<(Vec<Vec<u8>>, &KeyPair)>) -> reqwest::Client {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let builder = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let tls = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = chain.into_iter().map(CertificateDer::from).collect();
            builder.with_client_auth_cert(chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap()).unwrap()
        }
    };
    reqwest::Client::builder().tls_backend_preconfigured(tls).timeout(Duration::from_secs(60)).build().unwrap()
}

/// A certificate request in base64, and its key.
pub fn csr(common_name: &str) -> (String, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let der = params.serialize_request(&key).unwrap().der().to_vec();
    (STANDARD.encode(der), key)
}

/// Registers at the emulator as a device would, and returns the registration state.
pub async fn register(http: &reqwest::Client, allocation: &Allocation, sas: Option<String>) -> Result<Value, Answer> {
    let base = format!(
        "https://{}/{}/registrations/{}",
        allocation.global_device_endpoint, allocation.id_scope, allocation.registration_id
    );
    let with = |request: reqwest::RequestBuilder| match &sas {
        Some(sas) => request.header("authorization", sas),
        None => request,
    };
    let body = json!({ "registrationId": allocation.registration_id });
    let mut answer = finish(with(http.put(format!("{base}/register?api-version=2021-06-01")).json(&body))).await;
    for _ in 0..20 {
        if !answer.status.is_success() {
            return Err(answer);
        }
        let state: Value = answer.ok();
        if state["status"] != "assigning" {
            return Ok(state["registrationState"].clone());
        }
        let operation = state["operationId"].as_str().unwrap().to_owned();
        answer = finish(with(http.get(format!("{base}/operations/{operation}?api-version=2021-06-01")))).await;
    }
    panic!("still assigning");
}

/// A device's SAS token for its registration.
pub fn device_sas(allocation: &Allocation, key: &str) -> String {
    sas(&format!("{}/registrations/{}", allocation.id_scope, allocation.registration_id), key, "registration")
}

/// A SAS token that is good for ten minutes, made without the code under test.
pub fn sas(resource: &str, key: &str, policy: &str) -> String {
    use url::form_urlencoded::byte_serialize;
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let resource = encode(resource);
    let expiry = jiff::Timestamp::now().as_second() + 600;
    let signature = encode(&derived(key, &format!("{resource}\n{expiry}")));
    format!("SharedAccessSignature sr={resource}&sig={signature}&se={expiry}&skn={policy}")
}

/// base64(HMAC-SHA256(key, text)), made without the code under test.
pub fn derived(key: &str, text: &str) -> String {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&STANDARD.decode(key).unwrap()).unwrap();
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// The symmetric group's key, as DPS tells its operator.
pub async fn group_key(dps: &azure_emulator::Running) -> String {
    let url = format!("{}/enrollmentGroups/lowtouch-symmetric/attestationmechanism?api-version=2021-10-01", dps.url());
    let token = sas("127.0.0.1", &dps.service_key, "provisioningserviceowner");
    let mechanism: Value =
        finish(client(&dps.ca_pem).post(url).header("authorization", token).json(&json!({}))).await.ok();
    mechanism["symmetricKey"]["primaryKey"].as_str().unwrap().to_owned()
}

/// An administrator, of a tenant or of all.
pub struct Admin<'a> {
    pub api: &'a Api,
    pub token: String,
}

impl<'a> Admin<'a> {
    pub fn operator(api: &'a Api) -> Self {
        Self { api, token: api.administrator.clone() }
    }

    pub async fn of(api: &'a Api, tenant: &str) -> Self {
        let office = api.running.office();
        office.add_tenant(tenant).await.unwrap();
        let (_, token) = office.issue_tenant_token(Role::Administrator, tenant, tenant, 1).await.unwrap();
        Self { api, token: token.expose_secret().to_owned() }
    }
}

/// Waits, at most 20 s, for what comes about by itself.
pub async fn until(condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(Instant::now() < deadline, "it did not come to pass");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
