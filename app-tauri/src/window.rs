//! The one window: shown, hidden while pairings run, and left.

use std::sync::atomic::{AtomicUsize, Ordering};

use tauri::webview::{PermissionKind, PermissionResponse};
use tauri::{AppHandle, CloseRequestApi, Manager as _, Url};
use tauri_plugin_dialog::{DialogExt as _, MessageDialogButtons, MessageDialogKind};
use tauri_plugin_notification::NotificationExt as _;

use crate::menu;
use crate::words::{Spoken, fill};

pub(crate) const MAIN: &str = "main";

/// Whether this is the program's own page.
pub(crate) fn is_own(url: &Url) -> bool {
    // Windows has no schemes of a program's own.
    let of_program = url.scheme() == "tauri" || url.host_str() == Some("tauri.localhost");
    of_program || (cfg!(dev) && url.host_str() == Some("localhost"))
}

/// The camera, for labels; the page asks for nothing else, and gets nothing else. macOS and Windows ask the person
/// themselves; Linux has no such question.
pub(crate) fn may_use(what: PermissionKind) -> PermissionResponse {
    match what {
        PermissionKind::Camera if cfg!(target_os = "linux") => PermissionResponse::Allow,
        PermissionKind::Camera => PermissionResponse::Default,
        _ => PermissionResponse::Deny,
    }
}

/// WebKitGTK has cameras only for those who ask.
#[cfg(target_os = "linux")]
pub(crate) fn has_a_camera(app: &AppHandle) -> tauri::Result<()> {
    use webkit2gtk::{SettingsExt as _, WebViewExt as _};

    app.get_webview_window(MAIN).map_or(Ok(()), |window| {
        window.with_webview(|webview| {
            if let Some(settings) = webview.inner().settings() {
                settings.set_enable_media_stream(true);
            }
        })
    })
}

/// How many pairings run.
#[derive(Default)]
pub(crate) struct Running(pub(crate) AtomicUsize);

fn running(app: &AppHandle) -> usize {
    app.state::<Running>().0.load(Ordering::Relaxed)
}

/// Brings the window to the front, from wherever it is.
pub(crate) fn show(app: &AppHandle) {
    if let Some(window) = app.get_webview_window(MAIN) {
        let shown = window.show().and_then(|()| window.unminimize()).and_then(|()| window.set_focus());
        if let Err(error) = shown {
            tracing::warn!(%error, "the window does not come to the front");
        }
    }
}

/// The person closes the window. With nothing under way that ends the program; pairings go on in the tray, and where
/// nobody would see a tray the person is asked.
pub(crate) fn close(app: &AppHandle, api: &CloseRequestApi) {
    let count = running(app);
    if count == 0 {
        return;
    }
    api.prevent_close();
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        if menu::has_tray(&app) && tray_is_seen().await {
            if let Some(window) = app.get_webview_window(MAIN) {
                let _ = window.hide();
            }
            let words = app.state::<Spoken>().get().words().goes_on;
            tell(&app, &words.title, &fill(&words.text, "count", &count.to_string()));
        } else {
            quit(&app);
        }
    });
}

/// Ends the program; asks first while pairings run.
pub(crate) fn quit(app: &AppHandle) {
    let count = running(app);
    if count == 0 {
        app.exit(0);
        return;
    }
    let words = app.state::<Spoken>().get().words().ask_quit;
    let ask = app
        .dialog()
        .message(fill(&words.text, "count", &count.to_string()))
        .title(words.title)
        .kind(MessageDialogKind::Warning)
        .buttons(MessageDialogButtons::OkCancelCustom(words.quit, words.stay));
    let app = app.clone();
    ask.show(move |yes| {
        if yes {
            app.exit(0);
        }
    });
}

/// A notification; where the system has none, nothing is lost but it.
pub(crate) fn tell(app: &AppHandle, title: &str, text: &str) {
    if let Err(error) = app.notification().builder().title(title).body(plain(text)).show() {
        tracing::debug!(%error, "no notification");
    }
}

/// Linux reads a notification's text as markup, and names in it come from devices.
fn plain(text: &str) -> String {
    if cfg!(target_os = "linux") {
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
    } else {
        text.to_owned()
    }
}

/// On Linux an icon is seen only where a panel shows it; GNOME's own has none.
#[cfg(target_os = "linux")]
async fn tray_is_seen() -> bool {
    let seen = async {
        let bus = zbus::Connection::session().await?;
        zbus::fdo::DBusProxy::new(&bus)
            .await?
            .name_has_owner("org.kde.StatusNotifierWatcher".try_into()?)
            .await
            .map_err(zbus::Error::from)
    };
    tokio::time::timeout(std::time::Duration::from_secs(2), seen).await.is_ok_and(|seen| seen.unwrap_or(false))
}

#[cfg(not(target_os = "linux"))]
async fn tray_is_seen() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_stays_with_its_own_page() {
        let is_own = |url: &str| is_own(&url.parse().unwrap());
        assert!(is_own("tauri://localhost/journal") && is_own("http://tauri.localhost/"));
        for other in ["https://example.com/", "http://localhost:5173/", "file:///etc/passwd", "data:text/html,hi"] {
            assert!(!is_own(other), "{other}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_device_name_is_no_markup() {
        assert_eq!(plain("<a href='x'>pump & co</a>"), "&lt;a href='x'&gt;pump &amp; co&lt;/a&gt;");
    }
}
