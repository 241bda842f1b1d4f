//! What the device itself asks the provisioning API: the next certificate of the company's CA, over TLS with the one that it has.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{StatusCode, header};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::dps_client::{DpsCredential, tls};
use crate::retry::{Hint, Retry};

/// A chain has a few certificates of a kilobyte or two.
const MAX_BODY: usize = 64 * 1024;

/// Where the provisioning API is. Firmware knows it; a hand-off does not say it.
#[derive(Debug, Clone)]
pub struct ApiAddress {
    /// `https://HOST[:PORT]`
    pub url: Url,
    /// PEM of certificates to trust for it beside the system's roots.
    pub ca_pem: Option<String>,
}

/// Why the API gave no certificate.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct NoCertificate {
    text: String,
    hint: Hint,
}

impl NoCertificate {
    fn new(hint: Hint, text: impl Into<String>) -> Self {
        Self { text: text.into(), hint }
    }
}

impl Retry for NoCertificate {
    fn hint(&self) -> Hint {
        self.hint
    }
}

/// As the contract has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    certificate_chain: Vec<String>,
}

/// The API, as the holder of one certificate asks it.
pub(crate) struct RenewalClient {
    http: reqwest::Client,
    url: Url,
}

impl RenewalClient {
    /// Connects to nothing yet.
    pub(crate) fn new(
        api: &Url,
        ca: &[Vec<u8>],
        registration_id: &str,
        shown: &DpsCredential,
    ) -> Result<Self, NoCertificate> {
        let never = |text: String| NoCertificate::new(Hint::Never, text);
        let tls = tls::client_config(shown, ca).map_err(|error| never(error.to_string()))?;
        let http = tls::http_client(tls, api).map_err(|error| never(error.to_string()))?;
        let mut url = api.clone();
        url.path_segments_mut()
            .map_err(|()| never("the provisioning API's address is no https URL".to_owned()))?
            .pop_if_empty()
            .extend(["v1", "devices", registration_id, "certificate", "renewal"]);
        Ok(Self { http, url })
    }

    /// The chain (DER, leaf first) for the key of this request (DER PKCS#10); one try.
    pub(crate) async fn renew(&self, csr: &[u8]) -> Result<Vec<Vec<u8>>, NoCertificate> {
        let body = json!({ "csr": STANDARD.encode(csr) });
        let broken = |error: reqwest::Error| NoCertificate::new(Hint::Connection, error.without_url().to_string());
        let mut response = self.http.post(self.url.clone()).json(&body).send().await.map_err(broken)?;
        let status = response.status();
        let told = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if bytes.len() + chunk.len() > MAX_BODY {
                return Err(NoCertificate::new(Hint::Trouble, "an answer that is too long to be the API's"));
            }
            bytes.extend_from_slice(&chunk);
        }
        let hint = match (told, status) {
            (Some(seconds), _) => Hint::After(Duration::from_secs(seconds)),
            (None, StatusCode::TOO_MANY_REQUESTS) => Hint::Throttled,
            (None, status) if status.is_server_error() => Hint::Trouble,
            _ => Hint::Never,
        };
        if status != StatusCode::OK {
            return Err(NoCertificate::new(hint, format!("HTTP {status}")));
        }
        let nonsense = || NoCertificate::new(Hint::Trouble, "an answer that is not the API's");
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| nonsense())?;
        let chain = answer.certificate_chain.iter().map(|der| STANDARD.decode(der));
        chain.collect::<Result<_, _>>().map_err(|_| nonsense())
    }
}
