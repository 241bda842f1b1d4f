//! What every request to the service API carries: a SAS token, or Entra ID's access token.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use oauth2::basic::BasicClient;
use oauth2::{ClientId, ClientSecret, HttpRequest, HttpResponse, TokenResponse as _, TokenUrl};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use super::{DpsError, MAX_ANSWER, hmac};
use crate::config::{DpsCredential, EntraApp};
use crate::store::now;

/// How long a SAS token is good for: long enough for clocks that disagree.
const SAS_SECONDS: i64 = 15 * 60;

/// What a token of Entra ID is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scope {
    /// DPS's service API (Microsoft's documentation, "Control access to DPS by using Microsoft Entra ID").
    Dps,
    /// Azure Resource Manager (Microsoft's REST reference).
    ResourceManager,
}

impl Scope {
    fn as_str(self) -> &'static str {
        match self {
            Self::Dps => "https://azure-devices-provisioning.net/.default",
            Self::ResourceManager => "https://management.azure.com/.default",
        }
    }
}

/// A token is replaced this long before its end.
const MARGIN: Duration = Duration::from_secs(5 * 60);

/// How long a token is good when the answer does not say (RFC 6749, 5.1 only recommends it).
const UNSAID: Duration = Duration::from_secs(10 * 60);

pub(super) enum Credential {
    SharedAccess { policy: String, key: Zeroizing<Vec<u8>> },
    Entra(Box<Entra>),
}

pub(super) struct Entra {
    client_id: ClientId,
    client_secret: ClientSecret,
    token_url: TokenUrl,
    scope: Scope,
    /// One at a time asks for a new one; the others find it.
    token: Mutex<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    text: SecretString,
    fresh_until: Instant,
}

impl Credential {
    pub(super) fn new(config: &DpsCredential) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(match config {
            DpsCredential::SharedAccess { policy, key } => {
                Self::SharedAccess { policy: policy.clone(), key: Zeroizing::new(STANDARD.decode(key.expose())?) }
            }
            DpsCredential::Entra(app) => Self::entra(app, Scope::Dps)?,
        })
    }

    pub(super) fn entra(app: &EntraApp, scope: Scope) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self::Entra(Box::new(Entra::new(app, scope)?)))
    }

    /// The header `Authorization` for a request to this host.
    pub(super) async fn authorization(&self, http: &reqwest::Client, host: &str) -> Result<HeaderValue, DpsError> {
        let text = match self {
            Self::SharedAccess { policy, key } => sas_token(host, policy, key, now() / 1000 + SAS_SECONDS),
            Self::Entra(entra) => Zeroizing::new(format!("Bearer {}", entra.token(http).await?.expose_secret())),
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| DpsError::Garbage)?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// DPS refused what was sent: whether another one may be had that it does not refuse.
    pub(super) async fn forget(&self, refused: &HeaderValue) -> bool {
        let Self::Entra(entra) = self else { return false };
        let mut kept = entra.token.lock().await;
        let same = |token: &Token| {
            refused.to_str().is_ok_and(|text| text.strip_prefix("Bearer ") == Some(token.text.expose_secret()))
        };
        if kept.as_ref().is_some_and(same) {
            *kept = None;
        }
        true
    }
}

impl Entra {
    fn new(app: &EntraApp, scope: Scope) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let mut url = app.authority.clone();
        url.path_segments_mut().map_err(|()| "the authority cannot have a path")?.pop_if_empty().extend([
            app.tenant.as_str(),
            "oauth2",
            "v2.0",
            "token",
        ]);
        Ok(Self {
            client_id: ClientId::new(app.client_id.clone()),
            client_secret: ClientSecret::new(app.client_secret.expose_secret().to_owned()),
            token_url: TokenUrl::from_url(url),
            scope,
            token: Mutex::default(),
        })
    }

    async fn token(&self, http: &reqwest::Client) -> Result<SecretString, DpsError> {
        let mut kept = self.token.lock().await;
        if let Some(token) = kept.as_ref().filter(|token| Instant::now() < token.fresh_until) {
            return Ok(token.text.clone());
        }
        let client = BasicClient::new(self.client_id.clone())
            .set_client_secret(self.client_secret.clone())
            .set_token_uri(self.token_url.clone())
            .set_auth_type(oauth2::AuthType::RequestBody);
        let asked_at = Instant::now();
        let http = http.clone();
        let send = move |request: HttpRequest| exchange(http.clone(), request).boxed();
        let answer = client
            .exchange_client_credentials()
            .add_scope(oauth2::Scope::new(self.scope.as_str().to_owned()))
            .request_async(&send)
            .boxed()
            .await
            .map_err(|error| match error {
                oauth2::RequestTokenError::ServerResponse(_) => DpsError::SignIn,
                oauth2::RequestTokenError::Request(error) => error,
                _ => DpsError::Garbage,
            })?;
        let good_for = answer.expires_in().unwrap_or(UNSAID);
        let token = Token {
            text: answer.access_token().secret().clone().into(),
            // A short one is used for half of its time.
            fresh_until: asked_at + good_for.saturating_sub(MARGIN).max(good_for / 2),
        };
        *kept = Some(token.clone());
        Ok(token.text)
    }
}

/// The library's request through our client.
async fn exchange(http: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, DpsError> {
    let request = reqwest::Request::try_from(request).map_err(|_| DpsError::Garbage)?;
    let unreachable = |error: reqwest::Error| DpsError::Unreachable(error.without_url());
    let mut response = http.execute(request).await.map_err(unreachable)?;
    let status = response.status();
    if status.is_server_error() || status == reqwest::StatusCode::TOO_MANY_REQUESTS {
        return Err(DpsError::Fault { status: status.as_u16(), retry_after: super::retry_after(response.headers()) });
    }
    let headers = response.headers().clone();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(DpsError::Garbage);
        }
        body.extend_from_slice(&chunk);
    }
    let mut response = HttpResponse::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// `SharedAccessSignature sr=…&sig=…&se=…&skn=…`: HMAC-SHA256 over the encoded resource, a line feed and the expiry (seconds since 1970).
fn sas_token(resource: &str, policy: &str, key: &[u8], expiry: i64) -> Zeroizing<String> {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let resource = encode(resource);
    let signature = hmac(key, format!("{resource}\n{expiry}").as_bytes());
    let signature = encode(&STANDARD.encode(signature));
    Zeroizing::new(format!("SharedAccessSignature sr={resource}&sig={signature}&se={expiry}&skn={}", encode(policy)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's hmac module.
    #[test]
    fn a_sas_token_signs_the_encoded_resource_and_its_expiry() {
        let token = sas_token("a.example", "provisioningserviceowner", b"key", 1_700_000_000);
        assert_eq!(
            token.as_str(),
            "SharedAccessSignature sr=a.example&sig=ncYGwhbHfMYE18cCojRp1BeHziVH7TaNmW0xy%2BoSglg%3D&se=1700000000&skn=provisioningserviceowner"
        );
    }
}
