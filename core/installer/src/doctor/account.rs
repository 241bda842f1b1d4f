//! Who is signed in.

use provisioning_api_contract::{Me, Role};

use super::finding::{Finding, Found};
use super::{Examination, Identity};
use crate::api::Client;
use crate::error::{ErrorCode, PairingError};
use crate::net::{Net, NetSettings};

pub(super) async fn sign_in(examination: &Examination, net: &NetSettings) -> Found {
    let me = match (&examination.identity, &examination.api) {
        (Identity::Nobody, _) => return Finding::SignInNone.into(),
        (Identity::Token(_), None) => return Finding::SignInUnseen.into(),
        (Identity::Token(token), Some(api)) => {
            let client = Net::new(net).and_then(|net| Client::new(api, Some(token.clone()), net));
            match client {
                Ok(client) => client.me().await.map(|me| ("a token".to_owned(), me)),
                Err(error) => Err(error),
            }
        }
        (Identity::Account(sign_in, name), _) => {
            sign_in.who_am_i(name.as_deref()).await.map(|(account, me)| (account.name, me))
        }
    };
    match me {
        Ok((account, me)) => signed_in(&account, &me),
        Err(error) => not(&error),
    }
}

fn signed_in(account: &str, me: &Me) -> Found {
    let role = serde_json::to_value(me.role).ok().and_then(|role| role.as_str().map(str::to_owned)).unwrap_or_default();
    let said = format!("{} ({role}) with {account}; the token is valid until {}", me.name, me.expires_at);
    match me.role {
        Role::Installer | Role::Administrator => Finding::SignInOk.seen(said),
        _ => Finding::SignInRole.seen(said),
    }
}

fn not(error: &PairingError) -> Found {
    match error.code {
        ErrorCode::ApiTokenMissing => Finding::SignInNone.into(),
        ErrorCode::SignedOut | ErrorCode::ApiUnauthenticated => Finding::SignInEnded.seen(error.hint()),
        ErrorCode::NoRole | ErrorCode::ApiForbidden => Finding::SignInRole.because(error),
        ErrorCode::ApiNotFound => Finding::SignInUntold.into(),
        ErrorCode::Offline
        | ErrorCode::ApiUnreachable
        | ErrorCode::ApiTimeout
        | ErrorCode::ApiTlsExpired
        | ErrorCode::ApiTlsForeign
        | ErrorCode::ApiRedirect
        | ErrorCode::CaptivePortal
        | ErrorCode::ApiInternal
        | ErrorCode::ApiAnswerInvalid
        | ErrorCode::ApiUrlInvalid
        | ErrorCode::ApiNotHttps => Finding::SignInUnseen.into(),
        _ => Finding::SignInFailed.because(error),
    }
}
