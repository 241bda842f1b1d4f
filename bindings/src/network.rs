//! Whether the phone has a network, as its system says.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lowtouch_installer::retry::{Connectivity, Standing};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use uniffi::UnexpectedUniFFICallbackError;

/// After an answer that was none.
const PAUSE: Duration = Duration::from_secs(5);

/// What the phone's system says of its network (ConnectivityManager, NWPathMonitor). The app implements it.
#[uniffi::export(foreign)]
#[async_trait]
pub trait NetworkState: Send + Sync {
    /// How it stands, as soon as that is something else than `known`; at once where nothing is known.
    async fn next(&self, known: Option<NetworkStanding>) -> Result<NetworkStanding, NetworkStateError>;
}

/// Whether there is a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum NetworkStanding {
    /// There is one, or nobody can tell.
    Online,
    /// There is none: no call can leave the phone.
    Offline,
}

/// Why that cannot be said.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Error, thiserror::Error)]
pub enum NetworkStateError {
    /// What happened.
    #[error("{detail}")]
    Failed {
        /// What happened.
        detail: String,
    },
}

impl From<UnexpectedUniFFICallbackError> for NetworkStateError {
    fn from(error: UnexpectedUniFFICallbackError) -> Self {
        Self::Failed { detail: error.reason }
    }
}

/// What was said last. Without a word it is online: then the calls themselves find out.
pub(crate) struct Network(watch::Receiver<Standing>);

impl Network {
    /// And what has to run for it to be up to date.
    pub(crate) fn new(state: Arc<dyn NetworkState>) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (said, heard) = watch::channel(Standing::Online);
        let listen = async move {
            let mut known = None;
            loop {
                // The first answer is due at once; the next one whenever something changes.
                let next = match known {
                    None => timeout(PAUSE, state.next(None)).await.ok(),
                    known => Some(state.next(known).await),
                };
                match next {
                    Some(Ok(standing)) if Some(standing) != known => {
                        known = Some(standing);
                        said.send_replace(match standing {
                            NetworkStanding::Online => Standing::Online,
                            NetworkStanding::Offline => Standing::Offline,
                        });
                    }
                    other => {
                        if let Some(Err(error)) = other {
                            tracing::warn!(%error, "the phone cannot say whether it has a network");
                        }
                        known = None;
                        said.send_replace(Standing::Online);
                        sleep(PAUSE).await;
                    }
                }
            }
        };
        (Self(heard), listen)
    }
}

#[async_trait]
impl Connectivity for Network {
    fn standing(&self) -> Standing {
        *self.0.borrow()
    }

    async fn changed(&self) {
        if self.0.clone().changed().await.is_err() {
            sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Says nothing to the first question, a fault to the second, and then that there is no network.
    #[derive(Default)]
    struct Slow(AtomicU32);

    #[async_trait]
    impl NetworkState for Slow {
        async fn next(&self, known: Option<NetworkStanding>) -> Result<NetworkStanding, NetworkStateError> {
            match self.0.fetch_add(1, Ordering::Relaxed) {
                1 => Err(NetworkStateError::Failed { detail: "the app has a fault".to_owned() }),
                2 if known.is_none() => Ok(NetworkStanding::Offline),
                _ => pending().await,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_phone_that_does_not_answer_is_online_until_it_does() {
        let (network, listen) = Network::new(Arc::new(Slow::default()));
        assert_eq!(network.standing(), Standing::Online);
        let listening = tokio::spawn(listen);
        let mut heard = network.0.clone();
        let offline = heard.wait_for(|standing| *standing == Standing::Offline);
        assert!(timeout(4 * PAUSE, offline).await.is_ok_and(|heard| heard.is_ok()));
        listening.abort();
    }
}
