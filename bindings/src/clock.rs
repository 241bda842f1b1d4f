//! What time it is, where the app knows better than the phone's clock.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use jiff::Timestamp;
use lowtouch_installer::Clock;
use tokio::time::timeout;
use uniffi::UnexpectedUniFFICallbackError;

/// An app that takes longer is not waited for; it goes by what it said before, or by the phone's clock.
const DEADLINE: Duration = Duration::from_secs(5);

/// The time, by which certificates, sign-ins and downloaded work orders are judged. An app implements it that has a better one
/// than the phone's own clock (Android's network time, GPS), and the tests of one that has not.
#[uniffi::export(foreign)]
#[async_trait]
pub trait PhoneClock: Send + Sync {
    /// The time at this moment. Asked whenever something begins.
    async fn now(&self) -> Result<SystemTime, PhoneClockError>;
}

/// Why that cannot be said.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Error, thiserror::Error)]
pub enum PhoneClockError {
    /// What happened.
    #[error("{detail}")]
    Failed {
        /// What happened.
        detail: String,
    },
}

impl From<UnexpectedUniFFICallbackError> for PhoneClockError {
    fn from(error: UnexpectedUniFFICallbackError) -> Self {
        Self::Failed { detail: error.reason }
    }
}

/// Has the core go by the app's clock, as it is now.
pub(crate) async fn ask(phone: Option<&Arc<dyn PhoneClock>>, core: &Clock) {
    let Some(phone) = phone else { return };
    let said = match timeout(DEADLINE, phone.now()).await {
        Ok(Ok(now)) => Timestamp::try_from(now).map_err(|error| error.to_string()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer after {} s", DEADLINE.as_secs())),
    };
    match said {
        Ok(now) => core.set(now),
        Err(why) => tracing::warn!(why, "the app cannot say what time it is"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Phone(Option<Result<SystemTime, PhoneClockError>>);

    #[async_trait]
    impl PhoneClock for Phone {
        async fn now(&self) -> Result<SystemTime, PhoneClockError> {
            match &self.0 {
                Some(said) => said.clone(),
                None => std::future::pending().await,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_fails_or_never_answers_leaves_the_time_as_it_was() {
        let (core, year) = (Clock::default(), |clock: &Clock| clock.now().strftime("%Y").to_string());
        let asked = async |said| ask(Some(&(Arc::new(Phone(said)) as Arc<dyn PhoneClock>)), &core).await;
        asked(Some(Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(86_400)))).await;
        assert_eq!(year(&core), "1970");
        asked(Some(Err(PhoneClockError::Failed { detail: "an exception".into() }))).await;
        asked(None).await;
        assert_eq!(year(&core), "1970");
        ask(None, &core).await;
        assert_eq!(year(&core), "1970");
    }
}
