//! Who is signed in.

use provisioning_api_contract::{Me, Role};

use super::finding::{Finding, Found, shown};
use super::{Examination, Identity, Seen};
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
                Ok(client) => client.me().await.map(|me| (None, me)),
                Err(error) => Err(error),
            }
        }
        (Identity::Account(sign_in, name), _) => {
            sign_in.who_am_i(name.as_deref()).await.map(|(account, me)| (Some(account.name), me))
        }
    };
    match me {
        Ok((account, me)) => signed_in(account, &me),
        Err(error) => not(&error),
    }
}

fn signed_in(account: Option<String>, me: &Me) -> Found {
    let who = Seen::Person { name: shown(&me.name), role: me.role, account };
    let said = [who, Seen::ValidUntil { at: me.expires_at }];
    match me.role {
        Role::Installer | Role::Administrator => Finding::SignInOk.seen(said),
        _ => Finding::SignInRole.seen(said),
    }
}

fn not(error: &PairingError) -> Found {
    match error.code {
        ErrorCode::ApiTokenMissing => Finding::SignInNone.into(),
        ErrorCode::SignedOut | ErrorCode::ApiUnauthenticated => Finding::SignInEnded.seen([Seen::error(error)]),
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
