//! Who is signed in to the page.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// How long a session lasts: a working day.
pub(crate) const LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// How many browsers may be signed in; the oldest goes first.
const MOST: usize = 8;

/// Sessions of this process; they end with it.
pub(crate) struct Sessions {
    all: Mutex<VecDeque<Session>>,
    ending: CancellationToken,
}

struct Session {
    /// SHA-256 of what the cookie holds.
    digest: [u8; 32],
    end: Instant,
    /// Ends the session's streams.
    over: CancellationToken,
}

impl Sessions {
    /// `ending`: ends all streams.
    pub(crate) fn new(ending: CancellationToken) -> Self {
        Sessions { all: Mutex::default(), ending }
    }

    /// Begins one; what the cookie is to hold. `None` without random numbers.
    pub(crate) fn begin(&self) -> Option<SecretString> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        getrandom::fill(bytes.as_mut()).ok()?;
        let secret = SecretString::from(URL_SAFE_NO_PAD.encode(*bytes));
        let session = Session { digest: digest(&secret), end: Instant::now() + LIFE, over: self.ending.child_token() };
        let mut all = self.lock();
        all.retain(|session| session.end > Instant::now());
        if all.len() == MOST
            && let Some(oldest) = all.pop_front()
        {
            oldest.over.cancel();
        }
        all.push_back(session);
        Some(secret)
    }

    /// The token that ends with the session, where there is one.
    pub(crate) fn of(&self, secret: &SecretString) -> Option<CancellationToken> {
        let digest = digest(secret);
        let all = self.lock();
        let found = all.iter().find(|session| session.digest == digest && session.end > Instant::now());
        found.map(|session| session.over.clone())
    }

    /// Ends one, with its streams.
    pub(crate) fn end(&self, secret: &SecretString) {
        let digest = digest(secret);
        self.lock().retain(|session| {
            let this = session.digest == digest;
            if this {
                session.over.cancel();
            }
            !this
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Session>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest(secret: &SecretString) -> [u8; 32] {
    Sha256::digest(secret.expose_secret().as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_by_itself_by_signing_out_and_when_there_are_too_many() {
        let sessions = Sessions::new(CancellationToken::new());
        let first = sessions.begin().unwrap();
        let over = sessions.of(&first).unwrap();
        sessions.end(&first);
        assert!(over.is_cancelled() && sessions.of(&first).is_none());

        let oldest = sessions.begin().unwrap();
        let over = sessions.of(&oldest).unwrap();
        let others: Vec<_> = (0..MOST).map(|_| sessions.begin().unwrap()).collect();
        assert!(over.is_cancelled() && sessions.of(&oldest).is_none());
        assert!(others.iter().all(|other| sessions.of(other).is_some()));

        tokio::time::advance(LIFE).await;
        assert!(others.iter().all(|other| sessions.of(other).is_none()));
        assert!(sessions.of(&"".to_owned().into()).is_none());
    }
}
