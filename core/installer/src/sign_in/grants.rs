//! The token endpoint: codes and refresh tokens in, access tokens out; and revocation.

use std::error::Error;
use std::time::Duration;

use oauth2::basic::{BasicClient, BasicTokenResponse, BasicTokenType};
use oauth2::{
    AuthorizationCode, ClientId, ErrorResponse, ErrorResponseType, PkceCodeVerifier, RedirectUrl, RefreshToken,
    RequestTokenError, RevocationUrl, StandardErrorResponse, StandardRevocableToken, TokenResponse as _, TokenUrl,
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::discovery::{Server, clean};
use super::http::{Http, invalid};
use super::tokens::Granted;
use crate::error::{ErrorCode, PairingError};

/// An authorization code and the proof that it is ours.
pub(super) struct Code {
    pub(super) code: AuthorizationCode,
    pub(super) verifier: PkceCodeVerifier,
    /// The address that the code came to, if it came through a browser.
    pub(super) redirect: Option<RedirectUrl>,
}

/// Code for tokens.
pub(super) async fn redeem(http: &Http, server: &Server, code: Code) -> Result<Granted, PairingError> {
    let mut client = BasicClient::new(ClientId::new(server.client_id.clone()))
        .set_token_uri(TokenUrl::from_url(server.token_endpoint.clone()));
    if let Some(redirect) = code.redirect {
        client = client.set_redirect_uri(redirect);
    }
    let request = client.exchange_code(code.code).set_pkce_verifier(code.verifier);
    let answer = request.request_async(http).await;
    granted(answer.map_err(|error| of_error(error, ErrorCode::SignInRefused))?)
}

/// Refresh token for new tokens.
pub(super) async fn renew(
    http: &Http,
    endpoint: &Url,
    client_id: &str,
    refresh: &SecretString,
) -> Result<Granted, PairingError> {
    let client =
        BasicClient::new(ClientId::new(client_id.to_owned())).set_token_uri(TokenUrl::from_url(endpoint.clone()));
    let refresh = RefreshToken::new(refresh.expose_secret().to_owned());
    let request = client.exchange_refresh_token(&refresh);
    let answer = request.request_async(http).await;
    granted(answer.map_err(|error| of_error(error, ErrorCode::SignedOut))?)
}

/// Ends a refresh token and what came from it.
pub(super) async fn revoke(
    http: &Http,
    endpoint: &Url,
    client_id: &str,
    refresh: &SecretString,
) -> Result<(), PairingError> {
    let client = BasicClient::new(ClientId::new(client_id.to_owned()))
        .set_revocation_url(RevocationUrl::from_url(endpoint.clone()));
    let token = StandardRevocableToken::RefreshToken(RefreshToken::new(refresh.expose_secret().to_owned()));
    let request = client
        .revoke_token(token)
        .map_err(|error| PairingError::with_detail(ErrorCode::SignInMetadataInvalid, error.to_string()))?;
    let answer = request.request_async(http).await;
    answer.map_err(|error| of_error(error, ErrorCode::SignInRefused))
}

/// The issuer's answer as we keep it.
pub(super) fn granted(answer: BasicTokenResponse) -> Result<Granted, PairingError> {
    if *answer.token_type() != BasicTokenType::Bearer {
        return Err(invalid("the token is of another kind than Bearer"));
    }
    if answer.access_token().secret().trim().is_empty() {
        return Err(invalid("the token is empty"));
    }
    Ok(Granted {
        access: answer.access_token().secret().clone().into(),
        refresh: answer.refresh_token().map(|token| token.secret().clone().into()),
        lifetime: answer.expires_in().map(|lifetime| lifetime.min(LONGEST_LIFE)),
    })
}

/// No access token is believed to live longer: a year.
const LONGEST_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);

/// `refused` is the code for `invalid_grant`: what that means depends on what was presented.
pub(super) fn of_error<E, T>(error: RequestTokenError<E, StandardErrorResponse<T>>, refused: ErrorCode) -> PairingError
where
    E: Error + Into<PairingError> + 'static,
    T: ErrorResponseType + AsRef<str> + 'static,
    StandardErrorResponse<T>: ErrorResponse,
{
    match error {
        RequestTokenError::Request(error) => error.into(),
        RequestTokenError::ServerResponse(said) => {
            of_oauth(said.error().as_ref(), said.error_description().map(String::as_str), refused)
        }
        // Neither the place nor the text: the answer may hold a token.
        RequestTokenError::Parse(..) => invalid("it is not as OAuth says"),
        RequestTokenError::Other(_) => invalid("it has another form, or is empty"),
    }
}

/// The code for an error of RFC 6749, 5.2, or RFC 8628, 3.5.
pub(super) fn of_oauth(error: &str, description: Option<&str>, refused: ErrorCode) -> PairingError {
    let code = match error {
        "invalid_grant" => refused,
        "access_denied" => ErrorCode::SignInRefused,
        "expired_token" => ErrorCode::SignInExpired,
        "temporarily_unavailable" | "server_error" => ErrorCode::SignInUnreachable,
        "unauthorized_client" | "unsupported_grant_type" | "unsupported_response_type" => ErrorCode::SignInNotOffered,
        // The client's registration or the scopes are not as this server's metadata says.
        "invalid_client" | "invalid_scope" | "invalid_target" => ErrorCode::SignInMetadataInvalid,
        _ => ErrorCode::SignInRefused,
    };
    let description = description.map(|text| format!(": {}", clean(text))).unwrap_or_default();
    PairingError::with_detail(code, format!("{}{description}", clean(error)))
}
