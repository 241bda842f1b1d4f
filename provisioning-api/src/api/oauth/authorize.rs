//! `/oauth/authorize`: the page on which a person with a browser enters an invite's code.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use url::{Host, Url};

use crate::api::ApiError;
use crate::api::auth::Stranger;
use crate::api::error::Verbatim;
use crate::api::oauth::form::{Body, Form, Query};
use crate::api::oauth::wire::{OauthAuthorizationForm, OauthError, Refusal};
use crate::api::oauth::{pages, token};
use crate::app::App;
use crate::sign_in::{CLIENT_ID, SignInError, grants};

/// What an authorization request asks for, once all of it is as it should be.
struct Asked {
    redirect_uri: Url,
    /// As it was given: the token request must repeat it letter by letter.
    redirect_text: String,
    state: Option<String>,
    challenge: String,
}

/// A request that cannot be answered at the client's address, or one that can.
enum Wrong {
    /// Nobody to send back to: a page says so (RFC 6749, 4.1.2.1).
    Client(&'static str),
    /// The client gets to know.
    Request(Box<(Url, Option<String>, OauthError)>),
}

/// The page that asks for an invite's code (RFC 6749, 4.1.1, with PKCE S256; `redirect_uri` on 127.0.0.1 or ::1, any port).
#[utoipa::path(
    get,
    path = "/oauth/authorize",
    tag = "sign-in",
    security(),
    params(
        ("response_type" = Option<String>, Query, description = "`code`"),
        ("client_id" = Option<String>, Query, description = "`lowtouch`"),
        ("redirect_uri" = Option<String>, Query, description = "`http://127.0.0.1:PORT/…` or `http://[::1]:PORT/…`; `io.lowtouch:/finished` on a phone"),
        ("state" = Option<String>, Query, description = "Comes back as it is"),
        ("code_challenge" = Option<String>, Query, description = "SHA-256 of the verifier in base64url"),
        ("code_challenge_method" = Option<String>, Query, description = "`S256`"),
    ),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html"),
        (status = 303, description = "Back to the client, with an error"),
        (status = 400, description = "A page: the request is not our client's", body = String, content_type = "text/html"),
        (status = 429, description = "A page: too many requests come from this address", body = String, content_type = "text/html"),
        (status = "default", description = "A problem", body = provisioning_api_contract::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn authorize(
    stranger: Result<Stranger, ApiError>,
    State(app): State<Arc<App>>,
    query: Result<Query, Refusal>,
) -> Response {
    if let Err(error) = stranger {
        return pages::too_often(&error);
    }
    let Ok(Query(form)) = query else { return pages::wrong_link("A part of the link is there twice, or is too long.") };
    match check(&form) {
        Ok(asked) => page(&asked, None),
        Err(wrong) => wrong.into_response(&app),
    }
}

/// The page's answer: a code for the client when the invite is good.
#[utoipa::path(
    post,
    path = "/oauth/authorize",
    tag = "sign-in",
    security(),
    request_body(content = OauthAuthorizationForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 303, description = "Back to the client, with a code or an error"),
        (status = 400, description = "A page: the invite is not good, or the request is not our client's", body = String, content_type = "text/html"),
        (status = 403, description = "A page: the form was sent from somewhere else", body = String, content_type = "text/html"),
        (status = 429, description = "A page: too many requests come from this address", body = String, content_type = "text/html"),
        (status = "default", description = "A problem", body = provisioning_api_contract::Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn submit(
    stranger: Result<Stranger, ApiError>,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Result<Body, Refusal>,
) -> Response {
    if let Err(error) = stranger {
        return pages::too_often(&error);
    }
    if !pages::is_from_here(&headers, &app.public_url) {
        return pages::foreign_form();
    }
    let Ok(Body(form)) = body else { return pages::wrong_link("The form did not arrive whole.") };
    let asked = match check(&form) {
        Ok(asked) => asked,
        Err(wrong) => return wrong.into_response(&app),
    };
    let Some(invite) = form.get("invite") else { return page(&asked, Some("Enter the code of your invite.")) };
    match grants::code_for_invite(&app.store, invite, &asked.challenge, Some(&asked.redirect_text)).await {
        Ok(code) => {
            use secrecy::ExposeSecret as _;
            back(&app, asked.redirect_uri, asked.state.as_deref(), &[("code", code.expose_secret())])
        }
        Err(SignInError::InvalidGrant) => page(&asked, Some(pages::INVITE_NOT_GOOD)),
        Err(error) => Refusal::from(error).into_response(),
    }
}

fn check(form: &Form) -> Result<Asked, Wrong> {
    if form.get("client_id") != Some(CLIENT_ID) {
        return Err(Wrong::Client("The link names an app that is not known here."));
    }
    let redirect_text = form.get("redirect_uri").unwrap_or_default();
    let redirect_uri = app(redirect_text)
        .ok_or(Wrong::Client("The link leads back to a place that is not an app on this computer."))?;
    let state = form.get("state").map(str::to_owned);
    let refuse = |error| Wrong::Request(Box::new((redirect_uri.clone(), state.clone(), error)));
    match form.get("response_type") {
        Some("code") => {}
        Some(_) => return Err(refuse(OauthError::new("unsupported_response_type", "response_type must be code"))),
        None => return Err(refuse(OauthError::invalid_request("response_type is missing"))),
    }
    let challenge = token::challenge(form).map_err(refuse)?.to_owned();
    Ok(Asked { redirect_uri, redirect_text: redirect_text.to_owned(), state, challenge })
}

/// Lowtouch's app on a phone: a private-use scheme (RFC 8252, 7.1), and only this one address. Whoever else registers the
/// scheme there gets a code that is worth nothing without the verifier of PKCE.
const PHONE: &str = "io.lowtouch:/finished";

fn app(text: &str) -> Option<Url> {
    if text == PHONE { Url::parse(text).ok() } else { loopback(text) }
}

/// An app on the same machine: RFC 8252, 7.3; not `localhost`, which may be another's name (8.3).
fn loopback(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let here = match url.host()? {
        Host::Ipv4(address) => address.octets() == [127, 0, 0, 1],
        Host::Ipv6(address) => address.is_loopback(),
        Host::Domain(_) => false,
    };
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (url.scheme() == "http" && here && plain && text.len() <= 512).then_some(url)
}

fn page(asked: &Asked, mistake: Option<&str>) -> Response {
    let hidden = [
        ("response_type", "code"),
        ("client_id", CLIENT_ID),
        ("redirect_uri", &asked.redirect_text),
        ("state", asked.state.as_deref().unwrap_or_default()),
        ("code_challenge", &asked.challenge),
        ("code_challenge_method", "S256"),
    ];
    pages::sign_in(&hidden, &asked.redirect_uri, mistake)
}

impl Wrong {
    fn into_response(self, app: &App) -> Response {
        match self {
            Self::Client(what) => pages::wrong_link(what),
            Self::Request(request) => {
                let (redirect_uri, state, error) = *request;
                let parameters = [("error", error.error), ("error_description", error.error_description.as_str())];
                back(app, redirect_uri, state.as_deref(), &parameters)
            }
        }
    }
}

/// 303, so that the browser forgets the form (RFC 9700, 4.12). `iss` says who answers (RFC 9207).
fn back(app: &App, mut to: Url, state: Option<&str>, parameters: &[(&str, &str)]) -> Response {
    {
        let mut query = to.query_pairs_mut();
        for (name, value) in parameters {
            query.append_pair(name, value);
        }
        if let Some(state) = state {
            query.append_pair("state", state);
        }
        query.append_pair("iss", &app.public_url);
    }
    let Ok(location) = HeaderValue::from_str(to.as_str()) else { return pages::wrong_link("The link is malformed.") };
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response();
    response.extensions_mut().insert(Verbatim);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_app_on_this_machine_is_sent_back_to() {
        for good in ["http://127.0.0.1:49152/", "http://127.0.0.1:1/callback?x=1", "http://[::1]:8080/done"] {
            assert!(loopback(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "https://127.0.0.1/",
            "http://localhost:1/",
            "http://127.0.0.1.example/",
            "http://127.0.0.2:1/",
            "http://user@127.0.0.1:1/",
            "http://127.0.0.1:1/#fragment",
            "http://example.com/",
            "//127.0.0.1/",
            "javascript:alert(1)",
        ] {
            assert!(loopback(bad).is_none(), "{bad}");
        }
    }
}
