//! Invites: a QR code or its text lets one app sign in, once, without a browser.

use oauth2::{AuthorizationCode, PkceCodeChallenge};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use super::discovery::Server;
use super::grants::{Code, of_oauth};
use super::http::{Http, invalid};
use crate::error::{ErrorCode, PairingError};
use crate::label::text_from_picture;

/// A server and the code that lets one in there. `Debug` does not show the code.
#[derive(Debug, Clone)]
pub struct Invite {
    /// The provisioning API.
    pub server: Url,
    code: SecretString,
}

impl Invite {
    /// Reads `lowtouch:invite#server=…&code=…`.
    ///
    /// # Errors
    /// `invite-invalid`; `api-not-https`, `api-url-invalid` for its server.
    pub fn parse(text: &str) -> Result<Invite, PairingError> {
        let wrong = |why: &str| PairingError::with_detail(ErrorCode::InviteInvalid, why);
        let text = text.trim();
        let (head, fields) = text.split_once('#').ok_or_else(|| wrong("it has no #"))?;
        if !head.eq_ignore_ascii_case("lowtouch:invite") {
            return Err(wrong("it does not begin with lowtouch:invite"));
        }
        let mut server = None;
        let mut code = None;
        for (name, value) in url::form_urlencoded::parse(fields.as_bytes()) {
            match &*name {
                "server" => server = Some(value.into_owned()),
                "code" => code = Some(Zeroizing::new(value.into_owned())),
                _ => {}
            }
        }
        let server = server.ok_or_else(|| wrong("it names no server"))?;
        let code = code.ok_or_else(|| wrong("it has no code"))?;
        Invite::new(&server, SecretString::from(code.as_str()))
    }

    /// Reads the QR code in a picture (PNG or JPEG).
    ///
    /// # Errors
    /// `picture-…` as for labels; else as [`parse`](Self::parse).
    pub fn from_picture(bytes: &[u8]) -> Result<Invite, PairingError> {
        Invite::parse(text_from_picture(bytes)?.expose_secret())
    }

    /// For a code that was typed in.
    ///
    /// # Errors
    /// `invite-invalid`, `api-not-https`, `api-url-invalid`.
    pub fn new(server: &str, code: SecretString) -> Result<Invite, PairingError> {
        let server = crate::api::address(server)?;
        let code = SecretString::from(code.expose_secret().trim());
        if code.expose_secret().is_empty() {
            return Err(PairingError::with_detail(ErrorCode::InviteInvalid, "its code is empty"));
        }
        Ok(Invite { server, code })
    }
}

/// The answer of `POST /oauth/invite`.
#[derive(Deserialize)]
struct Redeemed {
    code: SecretString,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
    error_description: Option<String>,
}

/// Invite for an authorization code.
pub(super) async fn code(http: &Http, server: &Server, invite: &Invite) -> Result<Code, PairingError> {
    let endpoint = server.invite_endpoint.as_ref().ok_or(ErrorCode::SignInNotOffered)?;
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let fields = [
        ("client_id", server.client_id.as_str()),
        ("invite", invite.code.expose_secret()),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    let answer = http.form(endpoint, &fields).await?;
    if !answer.status().is_success() {
        let refused: Refused = serde_json::from_slice(answer.body())
            .map_err(|_| invalid(format!("HTTP {} without an OAuth error", answer.status().as_u16())))?;
        return Err(of_oauth(&refused.error, refused.error_description.as_deref(), ErrorCode::InviteRefused));
    }
    let redeemed: Redeemed = serde_json::from_slice(answer.body()).map_err(|_| invalid("it has no code"))?;
    Ok(Code { code: AuthorizationCode::new(redeemed.code.expose_secret().to_owned()), verifier, redirect: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_is_read_and_what_is_none_is_named() {
        let invite = Invite::parse(" LOWTOUCH:invite#server=https%3A%2F%2Fa.example%3A8443&code=ABCD-EFGH\n").unwrap();
        assert_eq!(invite.server.as_str(), "https://a.example:8443/");
        assert_eq!(invite.code.expose_secret(), "ABCD-EFGH");
        assert!(!format!("{invite:?}").contains("ABCD"));
        for (text, code) in [
            ("", ErrorCode::InviteInvalid),
            ("https://a.example", ErrorCode::InviteInvalid),
            (r#"{"ver":"v1","name":"PROV_1","pop":"x"}"#, ErrorCode::InviteInvalid),
            ("lowtouch:invite#code=A", ErrorCode::InviteInvalid),
            ("lowtouch:invite#server=https://a.example", ErrorCode::InviteInvalid),
            ("lowtouch:invite#server=https://a.example&code=", ErrorCode::InviteInvalid),
            ("lowtouch:invite?server=https://a.example&code=A", ErrorCode::InviteInvalid),
            ("lowtouch:invite#server=http://a.example&code=A", ErrorCode::ApiNotHttps),
            ("lowtouch:invite#server=https://u:p@a.example&code=A", ErrorCode::ApiUrlInvalid),
            ("lowtouch:invite#server=%zz&code=A", ErrorCode::ApiUrlInvalid),
        ] {
            assert_eq!(Invite::parse(text).unwrap_err().code, code, "{text}");
        }
    }
}
