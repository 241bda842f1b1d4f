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

use crate::api::ApiError;
use crate::api::error::Verbatim;

pub(super) const INVITE_NOT_GOOD: &str =
    "This code is used, has ended, or was mistyped. Look at it again, or ask for a new invite.";

pub(super) const CODES_NOT_GOOD: &str = "One of the two codes is used, has ended, or was mistyped. Look at both again. If \
    your invite has ended, ask for a new one; if the other screen has ended, begin there again.";

/// Sizes and spaces from one scale each, one accent, and colours with a meaning never alone: as the app has it.
const STYLE: &str = "
:root { color-scheme: light dark; font: 100%/1.5 system-ui, sans-serif; --ground: #f3f5f8; --card: #fff; --text: #1b2330;
  --muted: #56606f; --line: #d5dae1; --field: #7b8593; --accent: #165dc4; --on-accent: #fff; --focus: #165dc4;
  --bad: #b3261e; --bad-ground: #fdf0ef; --good: #1a7f4b; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #12161c; --card: #1a2029; --text: #e6eaf0; --muted: #a3adba; --line: #2f3744; --field: #7d8897;
    --accent: #2f74d8; --on-accent: #fff; --focus: #8ab8ff; --bad: #ff8f86; --bad-ground: #33201f; --good: #5fce95; }
}
body { margin: 0; background: var(--ground); color: var(--text); }
main { box-sizing: border-box; max-width: 28rem; margin: 0 auto; padding: 1.5rem 1rem; }
.name { margin: 0 0 1rem; font-weight: 600; color: var(--muted); }
.card { padding: 1.5rem; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .75rem; }
p { margin: 0 0 .75rem; overflow-wrap: anywhere; }
.card > :last-child { margin-bottom: 0; }
label { display: block; font-weight: 600; margin-top: 1.5rem; }
.hint { margin: 0; font-size: .875rem; color: var(--muted); }
/* Read and compared piece by piece. */
.code { white-space: nowrap; font-family: ui-monospace, monospace; }
input { box-sizing: border-box; width: 100%; min-height: 3rem; margin-top: .5rem; padding: .5rem .75rem;
  font: 1.25rem ui-monospace, monospace; text-transform: uppercase; color: inherit; background: var(--card);
  border: 1px solid var(--field); border-radius: .25rem; }
input[aria-invalid] { border: 2px solid var(--bad); }
button { width: 100%; min-height: 3rem; margin-top: 1.5rem; font: inherit; font-weight: 600; color: var(--on-accent);
  background: var(--accent); border: 1px solid transparent; border-radius: .25rem; cursor: pointer; }
button:hover { filter: brightness(1.08); }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
.mistake { margin: .75rem 0 0; padding: .75rem; color: var(--bad); background: var(--bad-ground); border: 1px solid var(--bad);
  border-radius: .25rem; }
.mistake::before { content: '! '; font-weight: 700; }
.sign { display: block; width: 4rem; height: 4rem; margin: 0 0 .75rem; }
.good { color: var(--good); }
.bad { color: var(--bad); }
.note { margin: 1.5rem 0 0; padding-top: 1rem; font-size: .875rem; color: var(--muted); border-top: 1px solid var(--line); }
@media (min-width: 48em) { main { padding-top: 5rem; } .card { padding: 2.5rem; } }
@media (forced-colors: active) { .card, button { border-color: ButtonText; } }
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
            p.hint #user_code_hint { "8 letters, for example " span.code { "BCDF-GHJK" } }
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
        (sign("good", "M14 34 L27 47 L51 19"))
        h1 { "Signed in" }
        p role="status" { "The other screen goes on within a few seconds. You can close this page." }
    };
    respond(StatusCode::OK, "Signed in", "", &body)
}

pub(super) fn wrong_link(what: &str) -> Response {
    let body = html! {
        (sign("bad", "M20 20 L44 44 M44 20 L20 44"))
        h1 { "This link does not work" }
        p role="alert" { (what) }
        p { "Go back to the app and begin to sign in again." }
    };
    respond(StatusCode::BAD_REQUEST, "This link does not work", "", &body)
}

/// Too many requests from this address, which may be a whole company's.
pub(super) fn too_often(error: &ApiError) -> Response {
    let seconds = error.waits().map_or(60, |wait| wait.as_secs().max(1));
    let body = html! {
        (sign("bad", "M32 18 L32 34 M32 45 L32 46"))
        h1 { "Too many tries" }
        p role="alert" { "Many requests come from your address. Wait " (seconds) " seconds, then load this page again." }
    };
    let mut response = respond(StatusCode::TOO_MANY_REQUESTS, "Too many tries", "", &body);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

pub(super) fn foreign_form() -> Response {
    let body = html! {
        (sign("bad", "M20 20 L44 44 M44 20 L20 44"))
        h1 { "This form came from somewhere else" }
        p role="alert" { "Nothing was done. Go back to the app and begin to sign in again." }
    };
    respond(StatusCode::FORBIDDEN, "This form came from somewhere else", "", &body)
}

/// To be seen from afar; the heading says the same in words.
fn sign(kind: &str, stroke: &str) -> Markup {
    html! {
        svg class={ "sign " (kind) } viewBox="0 0 64 64" fill="none" stroke="currentColor" stroke-width="4"
            stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" {
            circle cx="32" cy="32" r="29" {}
            path d=(stroke) {}
        }
    }
}

fn invite_field(mistake: Option<&str>) -> Markup {
    let described = if mistake.is_some() { "invite_hint mistake" } else { "invite_hint" };
    html! {
        label for="invite" { "Invite code" }
        p.hint #invite_hint { "16 letters and digits, for example " span.code { "7K2M-9QXA-BCDE-FGHJ" } }
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
            body {
                main {
                    p.name { "Lowtouch" }
                    div.card { (body) }
                }
            }
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
