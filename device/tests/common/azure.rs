//! A device and the emulated DPS that it registers with.

use std::time::Duration;

use azure_emulator::{CertificatePolicy, Config as Azure, Emulator};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use lowtouch_device::sim::{Running, SimConfig, SimLink, Simulated};
use lowtouch_handoff::dps_config::{
    Config, Result as Code, StatusResponse, SymmetricKeyCredential, config::Credential,
};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;
use url::form_urlencoded::byte_serialize;

use super::app::App;

pub(crate) const KEY: [u8; 32] = [9; 32];

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) azure: azure_emulator::Running,
    pub(crate) device: Running,
}

pub(crate) async fn world(registration_id: &str) -> World {
    world_with(registration_id, |_| (), |_| ()).await
}

pub(crate) async fn world_with(
    registration_id: &str,
    of_azure: impl FnOnce(&mut Azure),
    of_device: impl FnOnce(&mut SimConfig),
) -> World {
    let folder = TempDir::new().unwrap();
    let mut azure = Azure::new(folder.path().join("tls"));
    of_azure(&mut azure);
    let azure = Emulator::start(azure).await.unwrap();
    let mut config = SimConfig::new(SimLink::Http("127.0.0.1:0".parse().unwrap()), folder.path().join("state"));
    config.registration_id = Some(registration_id.into());
    config.retry.base = Duration::from_millis(10);
    of_device(&mut config);
    let device = Simulated::start(config).await.unwrap();
    World { folder, azure, device }
}

impl World {
    /// A client that trusts the emulator.
    pub(crate) fn http(&self) -> reqwest::Client {
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.ca().into()).unwrap();
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap()
    }

    /// A request to the service API, as the provisioning API makes it.
    pub(crate) async fn put(&self, path: &str, body: Value) {
        let http = self.http();
        let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let resource = encode(&self.azure.endpoint());
        let expires = jiff::Timestamp::now().as_second() + 600;
        let key = STANDARD.decode(&self.azure.service_key).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{resource}\n{expires}").as_bytes());
        let signature = encode(&STANDARD.encode(mac.finalize().into_bytes()));
        let token = format!("SharedAccessSignature sr={resource}&sig={signature}&se={expires}&skn={}", Azure::POLICY);
        let answer = http
            .put(format!("{}{path}?api-version=2025-07-01-preview", self.azure.url()))
            .header("Authorization", token)
            .json(&body)
            .send()
            .await
            .unwrap();
        let status = answer.status();
        assert!(status.is_success(), "{status} {}", answer.text().await.unwrap());
    }

    pub(crate) async fn enroll_symmetric(&self, provisioning_status: &str) {
        let id = self.device.registration_id();
        let keys = json!({ "primaryKey": STANDARD.encode(KEY), "secondaryKey": STANDARD.encode([8; 32]) });
        let attestation = json!({ "type": "symmetricKey", "symmetricKey": keys });
        let body = json!({
            "registrationId": id, "attestation": attestation, "provisioningStatus": provisioning_status,
        });
        self.put(&format!("/enrollments/{id}"), body).await;
    }

    /// With a policy by which DPS issues its certificate.
    pub(crate) async fn enroll_with_policy(&self) {
        let id = self.device.registration_id();
        let attestation = json!({ "type": "symmetricKey", "symmetricKey": { "primaryKey": STANDARD.encode(KEY) } });
        let body = json!({ "registrationId": id, "attestation": attestation, "credentialPolicyName": "field" });
        self.put(&format!("/enrollments/{id}"), body).await;
    }

    /// Hands the device over to a DPS that issues certificates.
    pub(crate) async fn issue(&self) -> StatusResponse {
        self.enroll_with_policy().await;
        let config = Config { certificate_from_dps: true, ..self.symmetric(KEY) };
        let mut app = App::connect(&self.device).await.unwrap();
        assert_eq!(app.hand_off([7; 16], &config).await.unwrap(), Code::Ok);
        app.end().await.unwrap()
    }

    /// The certificate that the device shows its hub, once it is another than this one.
    pub(crate) async fn hub_certificate(&self, other_than: &[u8]) -> Vec<u8> {
        let waiting = async {
            loop {
                let hub = self.device.hub().await;
                let leaf = hub.and_then(|hub| hub.certificate_chain.first().cloned());
                match leaf.filter(|leaf| leaf != other_than) {
                    Some(leaf) => return leaf,
                    None => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("no other certificate")
    }

    pub(crate) fn ca(&self) -> Vec<u8> {
        pem::parse(&self.azure.ca_pem).unwrap().into_contents()
    }

    pub(crate) fn config(&self, credential: Credential) -> Config {
        Config {
            id_scope: self.azure.id_scope.clone(),
            global_device_endpoint: self.azure.endpoint(),
            registration_id: self.device.registration_id().into(),
            credential: Some(credential),
            endpoint_ca: vec![self.ca()],
            owner_public_key: Vec::new(),
            certificate_from_dps: false,
        }
    }

    pub(crate) fn symmetric(&self, key: [u8; 32]) -> Config {
        self.config(Credential::SymmetricKey(SymmetricKeyCredential { key: key.to_vec() }))
    }
}

pub(crate) fn issuing(valid: Duration) -> impl FnOnce(&mut Azure) {
    move |azure| {
        azure.certificate_policies = vec![CertificatePolicy { name: "field".into(), valid }];
        azure.assigning_polls = 0;
        azure.polls_per_10_s = None;
    }
}
