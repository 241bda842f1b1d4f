//! Device authorization (RFC 8628): the person signs in on another screen and types a short code there.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use oauth2::basic::BasicClient;
use oauth2::{
    AsyncHttpClient, ClientId, DeviceAuthorizationUrl, HttpRequest, HttpResponse, Scope,
    StandardDeviceAuthorizationResponse, TokenUrl,
};
use tokio::sync::Notify;
use url::Url;

use super::Ask;
use super::discovery::Server;
use super::grants::{granted, of_error};
use super::http::{Http, invalid};
use super::tokens::Granted;
use crate::api::verdict;
use crate::error::{ErrorCode, PairingError};
use crate::retry::Verdict;

/// No code is waited for longer, whatever the server says.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// Has the person sign in, and asks the server whether they did: not oftener than it allows, and until its code ends.
pub(super) async fn grant(
    http: &Http,
    server: &Server,
    ask: &mut (dyn FnMut(Ask) + Send),
) -> Result<Granted, PairingError> {
    let endpoint = server.device_endpoint.clone().ok_or(ErrorCode::SignInNotOffered)?;
    let client = BasicClient::new(ClientId::new(server.client_id.clone()))
        .set_device_authorization_url(DeviceAuthorizationUrl::from_url(endpoint))
        .set_token_uri(TokenUrl::from_url(server.token_endpoint.clone()));
    let request = client.exchange_device_code().add_scopes(server.scopes.iter().cloned().map(Scope::new));
    let codes: StandardDeviceAuthorizationResponse =
        request.request_async(http).await.map_err(|error| of_error(error, ErrorCode::SignInRefused))?;
    let page = |text: &str| Url::parse(text).ok().filter(|url| url.scheme() == "https");
    let url = page(codes.verification_uri()).ok_or_else(|| invalid("the page for the code is not an https address"))?;
    ask(Ask::Enter {
        url,
        complete: codes.verification_uri_complete().and_then(|complete| page(complete.secret())),
        code: codes.user_code().secret().clone(),
        expires_in: codes.expires_in(),
    });

    // The library takes every failed call for a bad moment and goes on; what no waiting mends ends it here.
    let watched = Watched { http, hopeless: Mutex::default(), ended: Notify::new() };
    let longest = codes.expires_in().min(LONGEST);
    // Its first question comes at once, which is too soon: nobody types so fast.
    tokio::time::sleep(codes.interval().min(longest)).await;
    let poll = client.exchange_device_access_token(&codes);
    let poll = poll.request_async(&watched, tokio::time::sleep, Some(longest));
    let answer = tokio::select! {
        answer = tokio::time::timeout(longest, poll) => answer,
        () = watched.ended.notified() => {
            let error = watched.hopeless.lock().unwrap_or_else(PoisonError::into_inner).take();
            return Err(error.unwrap_or_else(|| ErrorCode::Internal.into()));
        }
    };
    match answer {
        Ok(Ok(answer)) => granted(answer),
        Ok(Err(error)) => Err(of_error(error, ErrorCode::SignInExpired)),
        Err(_) => Err(ErrorCode::SignInExpired.into()),
    }
}

/// Notices the call after which no other is worth it.
struct Watched<'a> {
    http: &'a Http,
    hopeless: Mutex<Option<PairingError>>,
    ended: Notify,
}

// No closure: with one the compiler does not see that a sign-in may move between threads.
impl<'c> AsyncHttpClient<'c> for Watched<'_> {
    type Error = PairingError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, PairingError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = self.http.send(request).await;
            if let Err(error) = &answer
                && verdict(error) == Verdict::GiveUp
            {
                *self.hopeless.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
                self.ended.notify_one();
            }
            answer
        })
    }
}
