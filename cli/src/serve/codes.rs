//! The one-time code: one at a time, used once, for a few minutes, and slowly after wrong tries.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a code is good.
pub(crate) const LIFE: Duration = Duration::from_secs(10 * 60);
/// So many wrong tries cost nothing: a person mistypes.
const FREE: u32 = 3;
/// After so many the code is void. With 40 bits, guessing has a chance of one in a hundred thousand million.
const MOST: u32 = 10;
/// The longest wait between two tries.
const LONGEST: Duration = Duration::from_secs(60);
/// Crockford's 32: nothing that is taken for something else.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// What whoever runs the gateway should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// Somebody signed in from there.
    Used(IpAddr),
    /// Too many wrong tries.
    GivenUp,
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Try {
    /// The code is used up by it.
    Right,
    /// Another one, or none is valid.
    Wrong,
    /// It was not looked at: too soon after wrong ones.
    TooSoon(Duration),
}

#[derive(Default)]
pub(crate) struct Codes {
    state: Mutex<State>,
    noticed: Notify,
}

#[derive(Default)]
struct State {
    /// SHA-256 of the code, and its end.
    valid: Option<([u8; 32], Instant)>,
    wrong: u32,
    not_before: Option<Instant>,
    news: Vec<News>,
}

impl Codes {
    /// A new code; the one before is void.
    pub(crate) fn renew(&self) -> SecretString {
        let mut bytes = [0_u8; 8];
        // Without random numbers there is no code that could be right.
        let random = getrandom::fill(&mut bytes).is_ok();
        let letters: String = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
        let mut state = self.lock();
        state.wrong = 0;
        state.valid = random.then(|| (digest(&letters), Instant::now() + LIFE));
        let (head, tail) = letters.split_at(4);
        format!("{head}-{tail}").into()
    }

    /// Tries a code that came from `who`.
    pub(crate) fn try_code(&self, code: &SecretString, who: IpAddr) -> Try {
        let now = Instant::now();
        let mut state = self.lock();
        if let Some(wait) = state.not_before.map(|at| at.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
        {
            return Try::TooSoon(wait);
        }
        // As a person types it: lower case, blanks, letters that are taken for digits.
        let typed: String = code
            .expose_secret()
            .chars()
            .filter(|c| c.is_ascii_alphanumeric())
            .take(64)
            .map(|c| match c.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            })
            .collect();
        let typed = zeroize::Zeroizing::new(typed);
        // Digests: how long the comparison takes tells nothing of the code.
        let right = state.valid.is_some_and(|(valid, end)| now < end && digest(&typed) == valid);
        if right {
            state.valid = None;
            state.wrong = 0;
            state.not_before = None;
            state.news.push(News::Used(who));
            self.noticed.notify_one();
            return Try::Right;
        }
        state.wrong = state.wrong.saturating_add(1);
        if let Some(over) = state.wrong.checked_sub(FREE) {
            let wait = Duration::from_secs(1_u64 << over.min(10)).min(LONGEST);
            state.not_before = Some(now + wait);
        }
        if state.wrong >= MOST && state.valid.take().is_some() {
            state.news.push(News::GivenUp);
            self.noticed.notify_one();
        }
        Try::Wrong
    }

    /// Comes back when there is news.
    pub(crate) async fn news(&self) {
        self.noticed.notified().await;
    }

    pub(crate) fn take_news(&self) -> Vec<News> {
        std::mem::take(&mut self.lock().news)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest(code: &str) -> [u8; 32] {
    Sha256::digest(code.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn wrong() -> SecretString {
        "0000-0000".to_owned().into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_code_serves_once_however_it_is_typed() {
        let codes = Codes::default();
        let code = codes.renew();
        let typed = format!(" {} ", code.expose_secret().to_lowercase().replace('-', " ").replace('0', "o"));
        assert_eq!(codes.try_code(&typed.into(), WHO), Try::Right);
        assert_eq!(codes.try_code(&code, WHO), Try::Wrong);
        assert_eq!(codes.take_news(), [News::Used(WHO)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_code_ends_after_its_time_and_when_there_is_a_new_one() {
        let codes = Codes::default();
        let first = codes.renew();
        tokio::time::advance(LIFE).await;
        assert_eq!(codes.try_code(&first, WHO), Try::Wrong);
        let second = codes.renew();
        let third = codes.renew();
        assert_eq!(codes.try_code(&second, WHO), Try::Wrong);
        assert_eq!(codes.try_code(&third, WHO), Try::Right);
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_tries_are_slowed_down_and_in_the_end_void_the_code() {
        let codes = Codes::default();
        let code = codes.renew();
        let mut waited = Duration::ZERO;
        let mut tries = 0;
        while codes.lock().valid.is_some() {
            match codes.try_code(&wrong(), WHO) {
                Try::Wrong => tries += 1,
                Try::TooSoon(wait) => {
                    // The right one is not looked at either.
                    assert!(matches!(codes.try_code(&code, WHO), Try::TooSoon(_)));
                    tokio::time::advance(wait).await;
                    waited += wait;
                }
                Try::Right => panic!("a wrong code was taken"),
            }
        }
        assert_eq!(tries, MOST);
        assert!(waited >= Duration::from_secs(60), "{waited:?}");
        assert_eq!(codes.take_news(), [News::GivenUp]);
    }
}
