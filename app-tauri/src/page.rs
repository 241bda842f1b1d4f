//! What the window tells its page, and what the page asks of the window itself.

use std::io;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lowtouch_installer::commands::CommandError;
use lowtouch_installer::{ErrorCode, PairingError};
use serde::{Deserialize, Serialize};
use tauri::ipc::Channel;
use tauri::{AppHandle, Manager as _};
use tauri_plugin_dialog::DialogExt as _;

use crate::words::Language;

/// How many events wait for a page that is not there yet; the oldest goes first.
const MOST_WAITING: usize = 16;

/// No `Debug`: an invite is as good as a password until it is used.
#[derive(Clone, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum WindowEvent {
    /// The system handed this `lowtouch:` link over.
    Invite { link: String },
    /// A menu item: show this page.
    Go { to: &'static str },
}

/// The page's ear, and what it has not heard yet.
#[derive(Default)]
pub(crate) struct Page(Mutex<Ear>);

#[derive(Default)]
struct Ear {
    channel: Option<Channel<WindowEvent>>,
    waiting: Vec<WindowEvent>,
}

impl Page {
    pub(crate) fn tell(&self, event: WindowEvent) {
        let mut ear = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ear.channel.as_ref().is_none_or(|channel| channel.send(event.clone()).is_err()) {
            if ear.waiting.len() == MOST_WAITING {
                ear.waiting.remove(0);
            }
            ear.waiting.push(event);
        }
    }

    pub(crate) fn listen(&self, channel: Channel<WindowEvent>) {
        let mut ear = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for event in ear.waiting.drain(..) {
            // It asked a moment ago.
            let _ = channel.send(event);
        }
        ear.channel = Some(channel);
    }

    /// A new page comes; what is told until it listens waits for it.
    pub(crate) fn gone(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).channel = None;
    }
}

/// What the page speaks.
#[derive(Deserialize)]
pub(crate) struct Speaks {
    pub(crate) language: Language,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct File {
    file_name: String,
    base64: String,
}

#[derive(Serialize)]
pub(crate) struct Saved {
    /// Where; nothing if the person thought better of it.
    saved: Option<String>,
}

/// Asks where, and writes it there.
pub(crate) async fn save(args: File, app: &AppHandle) -> Result<Saved, CommandError> {
    let content =
        STANDARD.decode(&args.base64).map_err(|error| unwritable(&args.file_name, io::Error::other(error)))?;
    let (tell, told) = tokio::sync::oneshot::channel();
    let mut dialog = app.dialog().file().set_file_name(&args.file_name);
    // Where a person looks for it, not wherever the program was started.
    let folders = [app.path().download_dir(), app.path().home_dir()];
    if let Some(folder) = folders.into_iter().flatten().find(|folder| folder.is_dir()) {
        dialog = dialog.set_directory(folder);
    }
    dialog.save_file(move |path| {
        let _ = tell.send(path);
    });
    let Some(path) = told.await.ok().flatten().and_then(|path| path.into_path().ok()) else {
        return Ok(Saved { saved: None });
    };
    let shown = path.display().to_string();
    tokio::fs::write(&path, content).await.map_err(|error| unwritable(&shown, error))?;
    Ok(Saved { saved: Some(shown) })
}

fn unwritable(path: &str, error: io::Error) -> CommandError {
    PairingError::with_detail(ErrorCode::FileUnwritable, format!("{path}: {error}")).into()
}
