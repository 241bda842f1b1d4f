//! What a client reads first: who signs people in for this API (RFC 9728), and how that is done (RFC 8414).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use provisioning_api_contract::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Stranger;
use crate::app::App;
use crate::sign_in::CLIENT_ID;

/// RFC 9728, 2.
#[derive(Serialize, ToSchema)]
pub(crate) struct OauthProtectedResource {
    resource: String,
    /// The first is what people sign in with when nothing else is said.
    authorization_servers: Vec<String>,
    bearer_methods_supported: [&'static str; 1],
    /// What our app asks the first authorization server for.
    scopes_supported: Vec<String>,
    /// The client ID that our app uses at the first authorization server.
    lowtouch_client_id: String,
    /// The same for each authorization server.
    lowtouch_clients: Vec<OauthClient>,
}

/// Who our app is at an authorization server.
#[derive(Serialize, ToSchema)]
pub(crate) struct OauthClient {
    issuer: String,
    client_id: String,
    scopes: Vec<String>,
}

/// RFC 8414, 2.
#[derive(Serialize, ToSchema)]
pub(crate) struct OauthAuthorizationServer {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    device_authorization_endpoint: String,
    revocation_endpoint: String,
    response_types_supported: [&'static str; 1],
    response_modes_supported: [&'static str; 1],
    grant_types_supported: [&'static str; 3],
    code_challenge_methods_supported: [&'static str; 1],
    token_endpoint_auth_methods_supported: [&'static str; 1],
    revocation_endpoint_auth_methods_supported: [&'static str; 1],
    authorization_response_iss_parameter_supported: bool,
    /// Our own: where an app exchanges an invite for a code without a browser.
    lowtouch_invite_endpoint: String,
}

/// Who signs people in for this API.
#[utoipa::path(
    get,
    path = "/.well-known/oauth-protected-resource",
    tag = "sign-in",
    security(),
    responses(
        (status = 200, description = "Metadata of RFC 9728", body = OauthProtectedResource),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn protected_resource(_: Stranger, State(app): State<Arc<App>>) -> Json<OauthProtectedResource> {
    let others = app.issuers.configs().map(|config| OauthClient {
        issuer: config.issuer.clone(),
        client_id: config.client_id.clone(),
        scopes: config.scopes.clone(),
    });
    // Ours is last: where there is a company's sign-in, it is what people know; invites find ours by the API's address.
    let own = OauthClient { issuer: app.public_url.clone(), client_id: CLIENT_ID.into(), scopes: Vec::new() };
    let clients: Vec<OauthClient> = others.chain([own]).collect();
    let first = clients.first();
    Json(OauthProtectedResource {
        resource: app.public_url.clone(),
        authorization_servers: clients.iter().map(|client| client.issuer.clone()).collect(),
        bearer_methods_supported: ["header"],
        scopes_supported: first.map(|client| client.scopes.clone()).unwrap_or_default(),
        lowtouch_client_id: first.map(|client| client.client_id.clone()).unwrap_or_default(),
        lowtouch_clients: clients,
    })
}

/// How the embedded authorization server signs people in.
#[utoipa::path(
    get,
    path = "/.well-known/oauth-authorization-server",
    tag = "sign-in",
    security(),
    responses(
        (status = 200, description = "Metadata of RFC 8414", body = OauthAuthorizationServer),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn authorization_server(_: Stranger, State(app): State<Arc<App>>) -> Json<OauthAuthorizationServer> {
    let at = |path: &str| format!("{}{path}", app.public_url);
    Json(OauthAuthorizationServer {
        issuer: app.public_url.clone(),
        authorization_endpoint: at("/oauth/authorize"),
        token_endpoint: at("/oauth/token"),
        device_authorization_endpoint: at("/oauth/device_authorization"),
        revocation_endpoint: at("/oauth/revoke"),
        response_types_supported: ["code"],
        response_modes_supported: ["query"],
        grant_types_supported: ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
        code_challenge_methods_supported: ["S256"],
        token_endpoint_auth_methods_supported: ["none"],
        revocation_endpoint_auth_methods_supported: ["none"],
        authorization_response_iss_parameter_supported: true,
        lowtouch_invite_endpoint: at("/oauth/invite"),
    })
}
