//! The runtime that btleplug lives on, and its connection to the system's Bluetooth.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use btleplug::api::Manager as _;
use btleplug::platform::{Adapter, Manager};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::AdapterProblem;
use super::mishap::Mishap;
use crate::LinkError;

/// How long the Bluetooth service may take to list its adapters: a D-Bus call without radio, done in milliseconds.
const LISTING: Duration = Duration::from_secs(5);

/// Runs `work` on btleplug's runtime. When the returned future is dropped, `work` is dropped too.
pub(super) async fn run<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, LinkError> {
    let mut task = AbortOnDrop(runtime()?.spawn(work));
    (&mut task.0).await.map_err(|_| LinkError::Lost)
}

/// Runs `work` on btleplug's runtime until it ends by itself.
pub(super) fn detach(work: impl Future<Output = ()> + Send + 'static) -> Result<(), LinkError> {
    drop(runtime()?.spawn(work));
    Ok(())
}

fn runtime() -> Result<&'static Runtime, LinkError> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    RUNTIME
        .get_or_init(|| {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(1).thread_name("lowtouch-ble").enable_all().build().ok()
        })
        .as_ref()
        .ok_or_else(|| LinkError::Unsupported { what: "The system gives this program no further threads.".to_owned() })
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The system's adapters. One connection to the Bluetooth service serves the whole process, since btleplug's connections
/// are never closed; when it turns out to be dead a new one is made.
pub(super) async fn adapters() -> Result<Vec<Adapter>, LinkError> {
    static MANAGER: Mutex<Option<Manager>> = Mutex::const_new(None);
    let mut manager = MANAGER.lock().await;
    let kept = manager.is_some();
    match listed(&mut manager).await {
        Err(mishap) if kept => {
            tracing::debug!(?mishap, "the connection to the Bluetooth service is stale");
            *manager = None;
            listed(&mut manager).await
        }
        listed => listed,
    }
    .map_err(|mishap| {
        tracing::debug!(?mishap, "no adapters can be listed");
        AdapterProblem::of(&mishap).unwrap_or(AdapterProblem::NoService).into()
    })
}

async fn listed(manager: &mut Option<Manager>) -> Result<Vec<Adapter>, Mishap> {
    let connected = match manager {
        Some(connected) => connected,
        None => {
            // Connecting to D-Bus blocks its thread.
            let handle = tokio::runtime::Handle::current();
            let connecting = tokio::task::spawn_blocking(move || handle.block_on(Manager::new()));
            let connected = timeout(LISTING, connecting).await.map_err(|_| Mishap::Silent)?;
            manager.insert(connected.map_err(|_| Mishap::Silent)??)
        }
    };
    Ok(timeout(LISTING, connected.adapters()).await.map_err(|_| Mishap::Silent)??)
}
