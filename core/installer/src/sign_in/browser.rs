//! Authorization code with PKCE: a person signs in with their browser, which comes back to this machine.

use std::collections::HashMap;

use oauth2::basic::BasicClient;
use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
};
use url::Url;

use super::Ask;
use super::discovery::Server;
use super::grants::{Code, of_oauth};
use super::http::invalid;
use super::loopback::{Answer, Loopback};
use crate::error::{ErrorCode, PairingError};

/// A person at the issuer's page.
pub(super) struct Asked {
    pub(super) url: Url,
    state: CsrfToken,
    verifier: PkceCodeVerifier,
    redirect: RedirectUrl,
}

/// Where a person signs in who then comes back to `redirect`.
pub(super) fn page(server: &Server, redirect: RedirectUrl) -> Result<Asked, PairingError> {
    let endpoint = server.authorization_endpoint.clone().ok_or(ErrorCode::SignInNotOffered)?;
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let client = BasicClient::new(ClientId::new(server.client_id.clone()))
        .set_auth_uri(AuthUrl::from_url(endpoint))
        .set_redirect_uri(redirect.clone());
    let (url, state) = client
        .authorize_url(CsrfToken::new_random)
        .add_scopes(server.scopes.iter().cloned().map(Scope::new))
        .set_pkce_challenge(challenge)
        .url();
    Ok(Asked { url, state, verifier, redirect })
}

/// What the system handed to the app: `redirected` begins as the redirect that was asked for.
pub(super) fn came_back(server: &Server, asked: Asked, redirected: &Url) -> Result<Code, PairingError> {
    let at =
        |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port(), url.path().to_owned());
    if at(asked.redirect.url()) != at(redirected) {
        return Err(invalid("the app was called with another address than the one that was asked for"));
    }
    let parameters: HashMap<String, String> = redirected.query_pairs().into_owned().collect();
    // Both are random and used once; there is nothing to learn from how long this takes.
    if parameters.get("state").is_none_or(|state| state != asked.state.secret()) {
        return Err(invalid("the redirect belongs to another sign-in"));
    }
    let code = code(server, &parameters)?;
    Ok(Code { code, verifier: asked.verifier, redirect: Some(asked.redirect) })
}

/// Has the person sign in. The browser waits for a page until the [`Answer`] is dropped or shown one.
pub(super) async fn ask(server: &Server, ask: &mut (dyn FnMut(Ask) + Send)) -> Result<(Code, Answer), PairingError> {
    if server.authorization_endpoint.is_none() {
        return Err(ErrorCode::SignInNotOffered.into());
    }
    let loopback = Loopback::bind().await?;
    let redirect = RedirectUrl::new(loopback.redirect())
        .map_err(|error| PairingError::with_detail(ErrorCode::Internal, error.to_string()))?;
    let Asked { url, state, verifier, redirect } = page(server, redirect)?;
    ask(Ask::Open { url });
    let answer = loopback.answer(state.secret()).await?;
    match code(server, &answer.parameters) {
        Ok(code) => Ok((Code { code, verifier, redirect: Some(redirect) }, answer)),
        Err(error) => {
            answer.show("Not signed in", error.hint()).await;
            Err(error)
        }
    }
}

fn code(server: &Server, parameters: &HashMap<String, String>) -> Result<AuthorizationCode, PairingError> {
    let parameter = |name: &str| parameters.get(name).map(String::as_str);
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
