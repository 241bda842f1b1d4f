//! Ctrl-C and its relatives: the first asks for a clean end, the second for a quick one.

use tokio_util::sync::CancellationToken;

/// Listens from its making on. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Interrupts {
    first: CancellationToken,
    second: CancellationToken,
}

impl Interrupts {
    /// Takes the signals over from the system's default, which would end this process without cleaning up.
    pub(crate) fn listen() -> Self {
        let interrupts = Self { first: CancellationToken::new(), second: CancellationToken::new() };
        let told = interrupts.clone();
        tokio::spawn(async move {
            for token in [&told.first, &told.second] {
                signal().await;
                token.cancel();
            }
        });
        interrupts
    }

    /// Waits for the first signal.
    pub(crate) async fn asked(&self) {
        self.first.cancelled().await;
    }

    /// Waits for the second signal.
    pub(crate) async fn urged(&self) {
        self.second.cancelled().await;
    }
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut hang_up)) = (signal(SignalKind::terminate()), signal(SignalKind::hangup())) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    let _ = tokio::signal::ctrl_c().await;
}
