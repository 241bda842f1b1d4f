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
    life: Life,
}

/// What of a session its streams need to know.
#[derive(Clone)]
pub(crate) struct Life {
    end: Instant,
    /// It was ended before its time.
    over: CancellationToken,
}

impl Life {
    /// Ends with the session, for whatever reason.
    pub(crate) async fn ended(self) {
        tokio::select! {
            () = self.over.cancelled() => {}
            () = tokio::time::sleep_until(self.end) => {}
        }
    }
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
        let life = Life { end: Instant::now() + LIFE, over: self.ending.child_token() };
        let session = Session { digest: digest(&secret), life };
        let mut all = self.lock();
        all.retain(|session| session.life.end > Instant::now());
        if all.len() == MOST
            && let Some(oldest) = all.pop_front()
        {
            oldest.life.over.cancel();
        }
        all.push_back(session);
        Some(secret)
    }

    /// The session's life, where there is one.
    pub(crate) fn of(&self, secret: &SecretString) -> Option<Life> {
        let digest = digest(secret);
        let all = self.lock();
        let found = all.iter().find(|session| session.digest == digest && session.life.end > Instant::now());
        found.map(|session| session.life.clone())
    }

    /// Ends one, with its streams.
    pub(crate) fn end(&self, secret: &SecretString) {
        let digest = digest(secret);
        self.lock().retain(|session| {
            let this = session.digest == digest;
            if this {
                session.life.over.cancel();
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
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_by_itself_by_signing_out_and_when_there_are_too_many() {
        let sessions = Sessions::new(CancellationToken::new());
        let first = sessions.begin().unwrap();
        let life = sessions.of(&first).unwrap();
        sessions.end(&first);
        assert!(life.ended().now_or_never().is_some() && sessions.of(&first).is_none());

        let oldest = sessions.begin().unwrap();
        let life = sessions.of(&oldest).unwrap();
        let others: Vec<_> = (0..MOST).map(|_| sessions.begin().unwrap()).collect();
        assert!(life.ended().now_or_never().is_some() && sessions.of(&oldest).is_none());
        assert!(others.iter().all(|other| sessions.of(other).is_some()));

        let life = sessions.of(&others[0]).unwrap();
        assert!(life.clone().ended().now_or_never().is_none());
        tokio::time::advance(LIFE).await;
        assert!(others.iter().all(|other| sessions.of(other).is_none()));
        assert!(sessions.of(&"".to_owned().into()).is_none());
        tokio::time::timeout(LIFE, life.ended()).await.expect("its streams end with it");
    }
}
