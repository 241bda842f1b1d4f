//! Tells of pairings that end while nobody looks at the window.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use futures::StreamExt as _;
use lowtouch_installer::commands::{Commands, Nothing, PairingSeen, PairingState};
use tauri::{AppHandle, Manager as _};
use uuid::Uuid;

use crate::window::{self, MAIN, Running};
use crate::words::{Spoken, fill};

/// Follows the core's pairings as long as the program lives.
pub(crate) async fn watch(app: AppHandle, core: Commands) {
    let Ok(mut standing) = core.standing(Nothing {}) else { return };
    let mut under_way = HashSet::new();
    while let Some(now) = standing.next().await {
        app.state::<Running>().0.store(now.running, Ordering::Relaxed);
        let pairings = core.pairings(Nothing {}).await.unwrap_or_default();
        for pairing in ended(&mut under_way, pairings) {
            if !is_looked_at(&app) {
                tell(&app, &pairing);
            }
        }
    }
}

/// The pairings that were under way and have ended by themselves; `under_way` is brought up to date.
fn ended(under_way: &mut HashSet<Uuid>, pairings: Vec<PairingSeen>) -> Vec<PairingSeen> {
    let (running, over): (Vec<_>, Vec<_>) = pairings.into_iter().partition(|p| p.state == PairingState::Running);
    let before = std::mem::replace(under_way, running.iter().map(|pairing| pairing.pairing_id).collect());
    over.into_iter().filter(|p| p.state != PairingState::Cancelled && before.contains(&p.pairing_id)).collect()
}

fn is_looked_at(app: &AppHandle) -> bool {
    app.get_webview_window(MAIN).is_some_and(|window| window.is_focused().unwrap_or(false))
}

fn tell(app: &AppHandle, pairing: &PairingSeen) {
    let words = app.state::<Spoken>().get().words();
    let notice = if pairing.state == PairingState::Finished { words.paired } else { words.not_paired };
    let hub = pairing.hub.as_deref().unwrap_or_default();
    window::tell(app, &fill(&notice.title, "name", &pairing.name), &fill(&notice.text, "hub", hub));
}
