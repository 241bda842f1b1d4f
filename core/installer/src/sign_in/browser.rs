//! Authorization code with PKCE: a person signs in with their browser, which comes back to this machine.

use oauth2::basic::BasicClient;
use oauth2::{AuthUrl, AuthorizationCode, ClientId, CsrfToken, PkceCodeChallenge, RedirectUrl, Scope};

use super::Ask;
use super::discovery::Server;
use super::grants::{Code, of_oauth};
use super::http::invalid;
use super::loopback::{Answer, Loopback};
use crate::error::{ErrorCode, PairingError};

/// Has the person sign in. The browser waits for a page until the [`Answer`] is dropped or shown one.
pub(super) async fn ask(server: &Server, ask: &mut (dyn FnMut(Ask) + Send)) -> Result<(Code, Answer), PairingError> {
    let endpoint = server.authorization_endpoint.clone().ok_or(ErrorCode::SignInNotOffered)?;
    let loopback = Loopback::bind().await?;
    let redirect = RedirectUrl::new(loopback.redirect())
        .map_err(|error| PairingError::with_detail(ErrorCode::Internal, error.to_string()))?;
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let client = BasicClient::new(ClientId::new(server.client_id.clone()))
        .set_auth_uri(AuthUrl::from_url(endpoint))
        .set_redirect_uri(redirect.clone());
    let (url, state) = client
        .authorize_url(CsrfToken::new_random)
        .add_scopes(server.scopes.iter().cloned().map(Scope::new))
        .set_pkce_challenge(challenge)
        .url();
    ask(Ask::Open { url });
    let answer = loopback.answer(state.secret()).await?;
    match code(server, &answer) {
        Ok(code) => Ok((Code { code, verifier, redirect: Some(redirect) }, answer)),
        Err(error) => {
            answer.show("Not signed in", error.hint()).await;
            Err(error)
        }
    }
}

fn code(server: &Server, answer: &Answer) -> Result<AuthorizationCode, PairingError> {
    let parameter = |name: &str| answer.parameters.get(name).map(String::as_str);
    // Somebody else's answer to our question (RFC 9207).
    if parameter("iss").map_or(server.says_iss, |iss| iss != server.issuer) {
        return Err(invalid("the redirect names another issuer, or none"));
    }
    if let Some(error) = parameter("error") {
        return Err(of_oauth(error, parameter("error_description"), ErrorCode::SignInRefused));
    }
    let code = parameter("code").ok_or_else(|| invalid("the redirect has no code"))?;
    Ok(AuthorizationCode::new(code.to_owned()))
}
