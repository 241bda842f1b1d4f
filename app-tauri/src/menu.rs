//! The native menu and the tray's. Items show a page, or do what the window itself can do.

use tauri::menu::{Menu, MenuBuilder, MenuEvent, MenuItem, MenuItemBuilder, PredefinedMenuItem, SubmenuBuilder};
use tauri::tray::TrayIconBuilder;
use tauri::{AppHandle, Manager as _, Wry};

use crate::page::{Page, WindowEvent};
use crate::words::{Spoken, Words};
use crate::{updates, window};

/// The tray's icon, by its ID.
const TRAY: &str = "tray";

/// Items that show a page: ID, path, shortcut.
const PAGES: &[(&str, &str, &str)] = &[
    ("pair", "/", "CmdOrCtrl+N"),
    ("bench", "/bench", "CmdOrCtrl+B"),
    ("journal", "/journal", "CmdOrCtrl+J"),
    ("orders", "/orders", "CmdOrCtrl+O"),
    ("accounts", "/accounts", ""),
    ("settings", "/settings", "CmdOrCtrl+,"),
    ("doctor", "/doctor", "CmdOrCtrl+D"),
];
const OPEN: &str = "open";
const QUIT: &str = "quit";
const UPDATES: &str = "updates";

/// Menu and tray, at the start.
pub(crate) fn make(app: &AppHandle) -> tauri::Result<()> {
    let words = app.state::<Spoken>().get().words();
    app.set_menu(of_window(app, &words)?)?;
    app.on_menu_event(chosen);
    if tray_library_is_there() {
        let tray = TrayIconBuilder::with_id(TRAY).tooltip("Lowtouch").menu(&of_tray(app, &words)?);
        let icon = app.default_window_icon().cloned();
        icon.into_iter().fold(tray, TrayIconBuilder::icon).build(app)?;
    }
    Ok(())
}

/// The same in the language that is spoken now. What cannot be renamed keeps its name.
pub(crate) fn rename(app: &AppHandle) {
    let words = app.state::<Spoken>().get().words();
    let renamed = of_window(app, &words).and_then(|menu| app.set_menu(menu).map(drop)).and_then(|()| {
        let tray = app.tray_by_id(TRAY);
        tray.map_or(Ok(()), |tray| tray.set_menu(Some(of_tray(app, &words)?)))
    });
    if let Err(error) = renamed {
        tracing::warn!(%error, "the menu keeps its language");
    }
}

/// Whether the window can be hidden and found again.
pub(crate) fn has_tray(app: &AppHandle) -> bool {
    app.tray_by_id(TRAY).is_some()
}

fn of_window(app: &AppHandle, words: &Words) -> tauri::Result<Menu<Wry>> {
    let page = |id: &str, text: &str| -> tauri::Result<MenuItem<Wry>> {
        let shortcut = PAGES.iter().find(|(of, ..)| *of == id).map(|(.., shortcut)| *shortcut).unwrap_or_default();
        let item = MenuItemBuilder::with_id(id, text);
        if shortcut.is_empty() { item.build(app) } else { item.accelerator(shortcut).build(app) }
    };
    let mut device = SubmenuBuilder::new(app, &words.device)
        .item(&page("pair", &words.pair)?)
        .item(&page("bench", &words.bench)?)
        .separator();
    if updates::are_on(app) {
        device = device.text(UPDATES, &words.updates).separator();
    }
    let quit = MenuItemBuilder::with_id(QUIT, &words.quit).accelerator("CmdOrCtrl+Q").build(app)?;
    let edit = SubmenuBuilder::new(app, &words.edit)
        .item(&PredefinedMenuItem::undo(app, Some(&words.undo))?)
        .item(&PredefinedMenuItem::redo(app, Some(&words.redo))?)
        .separator()
        .item(&PredefinedMenuItem::cut(app, Some(&words.cut))?)
        .item(&PredefinedMenuItem::copy(app, Some(&words.copy))?)
        .item(&PredefinedMenuItem::paste(app, Some(&words.paste))?)
        .item(&PredefinedMenuItem::select_all(app, Some(&words.select_all))?);
    let view = SubmenuBuilder::new(app, &words.view)
        .item(&page("journal", &words.journal)?)
        .item(&page("orders", &words.orders)?)
        .item(&page("accounts", &words.accounts)?)
        .separator()
        .item(&page("settings", &words.settings)?)
        .item(&page("doctor", &words.doctor)?);
    MenuBuilder::new(app).items(&[&device.item(&quit).build()?, &edit.build()?, &view.build()?]).build()
}

fn of_tray(app: &AppHandle, words: &Words) -> tauri::Result<Menu<Wry>> {
    MenuBuilder::new(app).text(OPEN, &words.open).text("pair", &words.pair).separator().text(QUIT, &words.quit).build()
}

fn chosen(app: &AppHandle, event: MenuEvent) {
    match event.id().as_ref() {
        OPEN => window::show(app),
        QUIT => window::quit(app),
        UPDATES => updates::look(app),
        id => {
            if let Some((_, to, _)) = PAGES.iter().find(|(of, ..)| *of == id) {
                window::show(app);
                app.state::<Page>().tell(WindowEvent::Go { to });
            }
        }
    }
}

/// Linux loads the tray's library when the first icon is made, and panics where it is missing.
#[cfg(target_os = "linux")]
fn tray_library_is_there() -> bool {
    const LIBRARIES: [&str; 2] = ["libayatana-appindicator3.so.1", "libappindicator3.so.1"];
    let folders = ["/usr/lib", "/usr/lib64", "/lib", "/usr/local/lib"].map(std::path::PathBuf::from);
    let of_processor = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let carried = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let all: Vec<_> = folders.into_iter().chain(of_processor).chain(std::env::split_paths(&carried)).collect();
    all.iter().any(|folder| LIBRARIES.iter().any(|library| folder.join(library).exists()))
}

#[cfg(not(target_os = "linux"))]
fn tray_library_is_there() -> bool {
    true
}
