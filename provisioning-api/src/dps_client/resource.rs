//! Azure Resource Manager, as far as it proves to a DPS instance that we hold our CA's key.
//!
//! Operations and names from Microsoft's REST reference "Dps Certificate", api-version 2022-12-12.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, IF_MATCH};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::credential::{Credential, Scope};
use super::{DpsError, MAX_ANSWER, retry_after};
use crate::config::{EntraApp, ResourceConfig};

const API_VERSION: &str = "2022-12-12";

/// How often another one's change in between is followed.
const TRIES: u32 = 3;

pub(super) struct Resource {
    /// Up to and with `certificates`.
    certificates: Url,
    credential: Credential,
}

#[derive(Deserialize)]
struct Certificate {
    etag: String,
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    #[serde(default)]
    is_verified: bool,
    #[serde(default)]
    verification_code: Option<String>,
}

struct Call<'a> {
    method: Method,
    path: &'a [&'a str],
    body: Option<Value>,
    if_match: Option<String>,
}

impl Resource {
    pub(super) fn new(
        config: &ResourceConfig,
        app: &EntraApp,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let mut certificates = config.endpoint.clone();
        certificates.path_segments_mut().map_err(|()| "the endpoint cannot have a path")?.pop_if_empty().extend([
            "subscriptions",
            &config.subscription,
            "resourceGroups",
            &config.resource_group,
            "providers",
            "Microsoft.Devices",
            "provisioningServices",
            &config.name,
            "certificates",
        ]);
        Ok(Self { certificates, credential: Credential::entra(app, Scope::ResourceManager)? })
    }

    /// The CA (DER) is a verified certificate of the instance under this name when this returns. `sign` makes a certificate
    /// (DER) for a common name with the CA's key. Whatever is done already is not done again.
    pub(super) async fn prove_possession(
        &self,
        http: &reqwest::Client,
        deadline: Duration,
        name: &str,
        ca: &[u8],
        sign: impl Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<(), DpsError> {
        let ask = async |method, path: &[&str], body, if_match| {
            let call = Call { method, path, body, if_match };
            tokio::time::timeout(deadline, self.exchange(http, call)).await.unwrap_or(Err(DpsError::Deadline))
        };
        for _ in 0..TRIES {
            let known = match ask(Method::GET, &[name], None, None).await? {
                Some(known) => known,
                None => {
                    let body = json!({ "properties": { "certificate": STANDARD.encode(ca) } });
                    match ask(Method::PUT, &[name], Some(body), None).await {
                        Err(DpsError::Conflict) => continue,
                        other => other?.ok_or(DpsError::Rejected { status: 404 })?,
                    }
                }
            };
            if known.properties.is_verified {
                return Ok(());
            }
            let asked = ask(Method::POST, &[name, "generateVerificationCode"], None, Some(known.etag)).await;
            let asked = match asked {
                Err(DpsError::Conflict) => continue,
                other => other?.ok_or(DpsError::Conflict)?,
            };
            let code = asked.properties.verification_code.ok_or(DpsError::Garbage)?;
            let leaf = sign(&code).ok_or(DpsError::Garbage)?;
            let body = json!({ "certificate": STANDARD.encode(leaf) });
            match ask(Method::POST, &[name, "verify"], Some(body), Some(asked.etag)).await {
                Err(DpsError::Conflict) => {}
                other => return other?.filter(|done| done.properties.is_verified).map(drop).ok_or(DpsError::Garbage),
            }
        }
        Err(DpsError::Conflict)
    }

    /// `None`: 404.
    async fn exchange(&self, http: &reqwest::Client, call: Call<'_>) -> Result<Option<Certificate>, DpsError> {
        let mut url = self.certificates.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(call.path);
        }
        url.query_pairs_mut().append_pair("api-version", API_VERSION);
        let host = self.certificates.host_str().unwrap_or_default();
        let authorization = self.credential.authorization(http, host).await?;
        let mut request = http.request(call.method, url).header(AUTHORIZATION, authorization);
        if let Some(etag) = call.if_match {
            request = request.header(IF_MATCH, etag);
        }
        request = match call.body {
            Some(body) => request.json(&body),
            None => request,
        };
        let unreachable = |error: reqwest::Error| DpsError::Unreachable(error.without_url());
        let mut response = request.send().await.map_err(unreachable)?;
        let (status, retry_after) = (response.status(), retry_after(response.headers()));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(DpsError::Garbage);
            }
            body.extend_from_slice(&chunk);
        }
        match status {
            StatusCode::OK | StatusCode::CREATED => {
                serde_json::from_slice(&body).map(Some).map_err(|_| DpsError::Garbage)
            }
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::TOO_MANY_REQUESTS => Err(DpsError::Throttled { retry_after }),
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => Err(DpsError::Conflict),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(DpsError::Refused { status: status.as_u16() }),
            _ if status.is_server_error() => Err(DpsError::Fault { status: status.as_u16(), retry_after }),
            _ => Err(DpsError::Rejected { status: status.as_u16() }),
        }
    }
}
