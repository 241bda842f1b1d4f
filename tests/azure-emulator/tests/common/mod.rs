//! What the tests of this crate share: an emulator in its own folder, and clients of both its APIs.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at once")]

use std::sync::Arc;
use std::time::Duration;

use azure_emulator::{Config, DeviceIdentity, Emulator, Running};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;

pub(crate) const SERVICE: &str = "api-version=2021-10-01";
pub(crate) const DEVICE: &str = "api-version=2019-03-31";
/// Of both APIs: the version that knows certificate issuance.
pub(crate) const PREVIEW: &str = "api-version=2025-07-01-preview";

pub(crate) struct Dps {
    pub(crate) running: Running,
    pub(crate) folder: TempDir,
    /// The version of the service API that is asked.
    pub(crate) version: &'static str,
    service: reqwest::Client,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl Dps {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new(folder.path());
        change(&mut config);
        let running = Emulator::start(config).await.unwrap();
        let service = client(&running.ca_pem, None);
        Self { running, folder, version: SERVICE, service }
    }

    /// One call of the service API with a right token.
    pub(crate) async fn service(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let token =
            sas(&STANDARD.decode(&self.running.service_key).unwrap(), "127.0.0.1", "provisioningserviceowner", 600);
        self.service_as(&token, method, path, headers, body).await
    }

    pub(crate) async fn service_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let mut request = self
            .service
            .request(method, format!("{}{path}?{}", self.running.url(), self.version))
            .header("authorization", token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
        .unwrap()
    }

    pub(crate) async fn put_group(&self, id: &str, attestation: Value) -> Answer {
        let answer = self
            .service(Method::PUT, &format!("/enrollmentGroups/{id}"), &[], Some(json!({"attestation": attestation})))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer
    }

    pub(crate) async fn put_individual(&self, id: &str, document: Value) -> Answer {
        let answer = self.service(Method::PUT, &format!("/enrollments/{id}"), &[], Some(document)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer
    }

    pub(crate) fn with_key<'a>(&'a self, registration_id: &'a str, key: &[u8]) -> Device<'a> {
        let resource = format!("{}/registrations/{registration_id}", self.running.id_scope);
        let token = sas(key, &resource.replace('/', "%2F"), "registration", 600);
        Device {
            dps: self,
            registration_id,
            token: Some(token),
            version: DEVICE,
            client: client(&self.running.ca_pem, None),
        }
    }

    pub(crate) fn with_certificate<'a>(&'a self, registration_id: &'a str, identity: &DeviceIdentity) -> Device<'a> {
        Device {
            dps: self,
            registration_id,
            token: None,
            version: DEVICE,
            client: client(&self.running.ca_pem, Some(identity)),
        }
    }
}

/// A device with its credential.
pub(crate) struct Device<'a> {
    dps: &'a Dps,
    pub(crate) registration_id: &'a str,
    pub(crate) token: Option<String>,
    /// The version of the device API that is asked.
    pub(crate) version: &'static str,
    client: reqwest::Client,
}

impl Device<'_> {
    pub(crate) async fn call(&self, method: Method, tail: &str, body: Value) -> Result<Answer, reqwest::Error> {
        let running = &self.dps.running;
        let path = format!("{}/registrations/{}{tail}", running.id_scope, self.registration_id);
        let url = format!("{}/{path}?{}", running.url(), self.version);
        let mut request = self.client.request(method, url).json(&body);
        if let Some(token) = &self.token {
            request = request.header("authorization", token);
        }
        answer(request).await
    }

    pub(crate) async fn register(&self) -> Answer {
        self.call(Method::PUT, "/register", json!({"registrationId": self.registration_id})).await.unwrap()
    }

    pub(crate) async fn poll(&self, operation_id: &str) -> Answer {
        self.call(Method::GET, &format!("/operations/{operation_id}"), json!({})).await.unwrap()
    }

    pub(crate) async fn look_up(&self) -> Answer {
        self.call(Method::POST, "", json!({"registrationId": self.registration_id})).await.unwrap()
    }

    /// Registers and polls to the end; the body of the last answer.
    pub(crate) async fn provision(&self) -> Value {
        let accepted = self.register().await;
        assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.body);
        let operation_id = accepted.body["operationId"].as_str().unwrap();
        for _ in 0..5 {
            let answer = self.poll(operation_id).await;
            if answer.status == StatusCode::OK {
                return answer.body;
            }
            assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        }
        panic!("never assigned");
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
    let response = request.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await?;
    let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(Value::String(text)) };
    Ok(Answer { status, headers, body })
}

pub(crate) fn client(ca_pem: &str, identity: Option<&DeviceIdentity>) -> reqwest::Client {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let chain =
                CertificateDer::pem_slice_iter(identity.chain_pem.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
            let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .no_proxy()
        .retry(reqwest::retry::never())
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap()
}

/// A token that expires so many seconds from now.
pub(crate) fn sas(key: &[u8], resource_as_sent: &str, policy: &str, expires_in: i64) -> String {
    let se = Timestamp::now().as_second() + expires_in;
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(format!("{resource_as_sent}\n{se}").as_bytes());
    let sig = STANDARD.encode(mac.finalize().into_bytes()).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("SharedAccessSignature sr={resource_as_sent}&sig={sig}&se={se}&skn={policy}")
}

pub(crate) fn derive(group_key: &[u8], registration_id: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(group_key).unwrap();
    mac.update(registration_id.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
