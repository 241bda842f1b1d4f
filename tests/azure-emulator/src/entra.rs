//! Entra ID's token endpoint for one application, by the client credentials grant, as DPS's service API needs it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde_json::json;

use crate::config::EntraApp;
use crate::error_body::json_response;

/// What a token for the service API must be asked for.
pub(crate) const DPS: &str = "https://azure-devices-provisioning.net/.default";

/// What a token for the resource manager must be asked for.
pub(crate) const RESOURCE_MANAGER: &str = "https://management.azure.com/.default";

/// The directory: its application and the tokens that it gave.
pub(crate) struct Directory {
    app: EntraApp,
    /// Each with what it is for and its end.
    tokens: Mutex<HashMap<String, (&'static str, Timestamp)>>,
}

impl Directory {
    pub(crate) fn new(app: EntraApp) -> Self {
        Self { app, tokens: Mutex::default() }
    }

    /// Whether this is the path of the token endpoint.
    pub(crate) fn is_token_endpoint(&self, path: &str) -> bool {
        path == format!("/{}/oauth2/v2.0/token", self.app.tenant)
    }

    /// A form with the client's credentials → an access token.
    pub(crate) fn token(&self, body: &[u8], now: Timestamp) -> Response {
        let form: HashMap<_, _> = url::form_urlencoded::parse(body).into_owned().collect();
        let is = |name: &str, value: &str| form.get(name).is_some_and(|given| given == value);
        let refuse = |status, error: &str| json_response(status, &json!({ "error": error }));
        if !is("grant_type", "client_credentials") {
            return refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type");
        }
        if !is("client_id", &self.app.client_id) || !is("client_secret", &self.app.client_secret) {
            return refuse(StatusCode::UNAUTHORIZED, "invalid_client");
        }
        let Some(scope) = [DPS, RESOURCE_MANAGER].into_iter().find(|scope| is("scope", scope)) else {
            return refuse(StatusCode::BAD_REQUEST, "invalid_scope");
        };
        let token = hex::encode(rand::random::<[u8; 32]>());
        let lifetime = self.app.token_lifetime;
        let end = now.checked_add(lifetime).unwrap_or(Timestamp::MAX);
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(token.clone(), (scope, end));
        let answer = json!({ "token_type": "Bearer", "expires_in": lifetime.as_secs(), "access_token": token });
        json_response(StatusCode::OK, &answer)
    }

    /// Whether the header `Authorization` holds a token for this that is good now.
    pub(crate) fn admits(&self, authorization: &str, scope: &str, now: Timestamp) -> bool {
        let Some(token) = authorization.strip_prefix("Bearer ") else { return false };
        self.tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(token)
            .is_some_and(|(of, end)| *of == scope && now < *end)
    }

    /// Ends every token that was given, as an administrator of the directory may.
    pub(crate) fn revoke_all(&self) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
