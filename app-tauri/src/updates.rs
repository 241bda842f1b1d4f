//! New versions. Off unless the bundle was made with an updater key (docs/releasing.md).

use tauri::{AppHandle, Manager as _};
use tauri_plugin_dialog::{DialogExt as _, MessageDialogButtons};
use tauri_plugin_updater::UpdaterExt as _;

use crate::words::{Spoken, Update, fill};

/// Whether this program knows where updates are and whose signature they carry.
pub(crate) fn are_on(app: &AppHandle) -> bool {
    app.config().plugins.0.contains_key("updater")
}

/// Looks for a new version, asks, installs it and starts again. Nothing is fetched before a person asks for it.
pub(crate) fn look(app: &AppHandle) {
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        let words = app.state::<Spoken>().get().words().update;
        if let Err(error) = update(&app, &words).await {
            tracing::warn!(%error, "no update");
            app.dialog().message(words.failed).title(words.title).show(|_| {});
        }
    });
}

async fn update(app: &AppHandle, words: &Update) -> tauri_plugin_updater::Result<()> {
    let Some(update) = app.updater()?.check().await? else {
        app.dialog().message(&words.none).title(&words.title).show(|_| {});
        return Ok(());
    };
    let (tell, told) = tokio::sync::oneshot::channel();
    app.dialog()
        .message(fill(&words.there, "version", &update.version))
        .title(&words.title)
        .buttons(MessageDialogButtons::OkCancelCustom(words.install.clone(), words.later.clone()))
        .show(move |yes| {
            let _ = tell.send(yes);
        });
    if told.await == Ok(true) {
        update.download_and_install(|_, _| {}, || {}).await?;
        app.restart();
    }
    Ok(())
}
