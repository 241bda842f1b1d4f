//! The pages: small, without a script, readable at 360 px, by a screen reader, in the dark.
//!
//! There is no cookie and no session in the browser, so nothing to ride on: whoever sends a form must have the invite. A form
//! from another site is refused all the same, for it could sign a person's app in as somebody else.

use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::api::error::Verbatim;

pub(super) const INVITE_NOT_GOOD: &str =
    "This code is used, has ended, or was mistyped. Look at it again, or ask for a new invite.";

pub(super) const CODES_NOT_GOOD: &str = "One of the two codes is used, has ended, or was mistyped. Look at both again. If \
    your invite has ended, ask for a new one; if the other screen has ended, begin there again.";

const STYLE: &str = "
:root { color-scheme: light dark; font: 100%/1.5 system-ui, sans-serif; }
body { margin: 0; background: Canvas; color: CanvasText; }
main { max-width: 26rem; margin: 0 auto; padding: 2rem 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 1rem; }
label { display: block; font-weight: 600; margin-top: 1.25rem; }
.hint { margin: 0; font-size: .9375rem; }
input { box-sizing: border-box; width: 100%; min-height: 2.75rem; margin-top: .25rem; padding: .5rem .75rem;
  font: 1.125rem ui-monospace, monospace; text-transform: uppercase; color: inherit; background: Field;
  border: 1px solid GrayText; border-radius: .375rem; }
button { width: 100%; min-height: 2.75rem; margin-top: 1.5rem; font: inherit; font-weight: 600; color: #fff; background: #0b5cad;
  border: 1px solid transparent; border-radius: .375rem; cursor: pointer; }
:focus-visible { outline: 3px solid #3b8ede; outline-offset: 2px; }
.mistake { margin: 1rem 0 0; padding: .75rem 1rem; border: 2px solid #b3261e; border-radius: .375rem; }
.note { margin-top: 1.5rem; font-size: .9375rem; }
";

/// Only this very style sheet, and nothing else from anywhere.
static STYLE_HASH: LazyLock<String> = LazyLock::new(|| STANDARD.encode(Sha256::digest(STYLE)));

/// Whether a form comes from our own page: browsers say it in `Sec-Fetch-Site`, older ones in `Origin`; what is no browser
/// says neither and cannot be made to send anything by a page.
pub(super) fn is_from_here(headers: &HeaderMap, public_url: &str) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    headers.get(header::ORIGIN).is_none_or(|origin| origin == public_url)
}

/// Asks for an invite's code; `hidden` comes back with it, and the answer leads to `redirect_uri`.
pub(super) fn sign_in(hidden: &[(&str, &str)], redirect_uri: &Url, mistake: Option<&str>) -> Response {
    let body = html! {
        h1 { "Sign in to Lowtouch" }
        p { "Enter the code of your invite. The app goes on by itself." }
        form method="post" action="/oauth/authorize" autocomplete="off" {
            @for (name, value) in hidden {
                @if !value.is_empty() { input type="hidden" name=(name) value=(value); }
            }
            (invite_field(mistake))
            button type="submit" { "Sign in" }
        }
        p.note { "You did not begin this in the Lowtouch app? Then close this page." }
    };
    // Browsers hold the redirection after a form to form-action, too. A source cannot name an IPv6 address.
    let target = match redirect_uri.host() {
        Some(url::Host::Ipv4(address)) => {
            format!("http://{address}:{}", redirect_uri.port_or_known_default().unwrap_or(80))
        }
        Some(_) => "http:".into(),
        None => format!("{}:", redirect_uri.scheme()),
    };
    let status = if mistake.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    respond(status, "Sign in", &target, &body)
}

/// Asks for the other screen's code and an invite's.
pub(super) fn device(user_code: &str, mistake: Option<&str>) -> Response {
    let body = html! {
        h1 { "Sign in on another screen" }
        p { "Only go on if you yourself began this, and the other screen is in front of you." }
        form method="post" action="/oauth/device" autocomplete="off" {
            label for="user_code" { "Code on the other screen" }
            p.hint #user_code_hint { "8 letters, for example BCDF-GHJK" }
            input #user_code name="user_code" type="text" value=(user_code) required maxlength="32" spellcheck="false"
                autocapitalize="characters" autocomplete="off" aria-describedby="user_code_hint";
            (invite_field(mistake))
            button type="submit" { "Sign the other screen in" }
        }
        p.note { "The other screen will act in the name of the invite. Somebody sent you this link? Then close this page." }
    };
    let status = if mistake.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    respond(status, "Sign in on another screen", "", &body)
}

pub(super) fn approved() -> Response {
    let body = html! {
        h1 { "Signed in" }
        p role="status" { "The other screen goes on within a few seconds. You can close this page." }
    };
    respond(StatusCode::OK, "Signed in", "", &body)
}

pub(super) fn wrong_link(what: &str) -> Response {
    let body = html! {
        h1 { "This link does not work" }
        p role="alert" { (what) }
        p { "Go back to the app and begin to sign in again." }
    };
    respond(StatusCode::BAD_REQUEST, "This link does not work", "", &body)
}

pub(super) fn foreign_form() -> Response {
    let body = html! {
        h1 { "This form came from somewhere else" }
        p role="alert" { "Nothing was done. Go back to the app and begin to sign in again." }
    };
    respond(StatusCode::FORBIDDEN, "This form came from somewhere else", "", &body)
}

fn invite_field(mistake: Option<&str>) -> Markup {
    let described = if mistake.is_some() { "invite_hint mistake" } else { "invite_hint" };
    html! {
        label for="invite" { "Invite code" }
        p.hint #invite_hint { "16 letters and digits, for example 7K2M-9QXA-BCDE-FGHJ" }
        input #invite name="invite" type="text" required maxlength="64" spellcheck="false" autocapitalize="characters"
            autocomplete="one-time-code" aria-describedby=(described) aria-invalid=[mistake.map(|_| "true")];
        @if let Some(mistake) = mistake { p.mistake #mistake role="alert" { (mistake) } }
    }
}

fn respond(status: StatusCode, title: &str, form_action: &str, body: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " – Lowtouch" }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (body) } }
        }
    };
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; form-action 'self' {form_action}; frame-ancestors 'none'; base-uri 'none'",
        *STYLE_HASH
    );
    let mut response = (status, page.into_string()).into_response();
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        // Not no-referrer, under which browsers send `Origin: null` with our own form.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response.extensions_mut().insert(Verbatim);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_from_another_site_is_told_from_our_own() {
        let from = |headers: &[(&'static str, &'static str)]| {
            let headers: HeaderMap = headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            is_from_here(&headers, "https://api.example")
        };
        assert!(from(&[]) && from(&[("origin", "https://api.example")]));
        assert!(from(&[("sec-fetch-site", "same-origin")]) && from(&[("sec-fetch-site", "none")]));
        assert!(!from(&[("origin", "https://evil.example")]) && !from(&[("origin", "null")]));
        assert!(!from(&[("sec-fetch-site", "cross-site"), ("origin", "https://api.example")]));
        assert!(!from(&[("sec-fetch-site", "same-site")]));
    }
}
