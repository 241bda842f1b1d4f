//! The desktop app: a window around the page, and the host of the core's commands. No logic of its own.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

mod commands;
mod host;
mod menu;
mod notices;
mod page;
mod streams;
mod updates;
mod window;
mod words;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use lowtouch_installer::commands::Commands;
use tauri::plugin::Builder as PluginBuilder;
use tauri::webview::PageLoadEvent;
use tauri::{App, AppHandle, Manager as _, RunEvent, WindowEvent, Wry};
use tauri_plugin_deep_link::DeepLinkExt as _;

use crate::page::Page;
use crate::streams::Streams;
use crate::window::Running;
use crate::words::{Language, Spoken};

/// How long pairings and demo may take to end when the program does.
const END_DEADLINE: Duration = Duration::from_secs(10);

/// What build.rs made of the page, the configuration and the capabilities. An `unwrap` in it would be a fault of the build.
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "written by tauri-build")]
fn context() -> tauri::Context<Wry> {
    tauri::tauri_build_context!()
}

fn main() -> ExitCode {
    let core = match host::start() {
        Ok(core) => core,
        Err(why) => return leave(&why),
    };
    let spoken = Spoken::default();
    spoken.set(Language::of_environment(|name| std::env::var(name).ok()));
    let context = context();
    let mut builder = tauri::Builder::default()
        // First, so that a second start ends before it does anything. It hands its link over to the deep-link plugin here.
        .plugin(tauri_plugin_single_instance::init(|app, _arguments, _folder| window::show(app)))
        .plugin(tauri_plugin_deep_link::init())
        .plugin(tauri_plugin_window_state::Builder::default().build())
        .plugin(tauri_plugin_notification::init())
        .plugin(tauri_plugin_dialog::init())
        .plugin(tauri_plugin_opener::init());
    // The window shows its own page and nothing else; what leads elsewhere opens in the browser.
    builder =
        builder.plugin(PluginBuilder::<Wry>::new("stays-here").on_navigation(|_, url| window::is_own(url)).build());
    if context.config().plugins.0.contains_key("updater") {
        builder = builder.plugin(tauri_plugin_updater::Builder::new().build());
    }
    let app = builder
        .manage(core)
        .manage(spoken)
        .manage(Page::default())
        .manage(Streams::default())
        .manage(Running::default())
        .invoke_handler(commands::handler())
        .on_permission_request(|_, kind| window::may_use(kind))
        .on_page_load(|webview, load| {
            if load.event() == PageLoadEvent::Started {
                webview.state::<Streams>().stop_all(webview.label());
                webview.state::<Page>().gone();
            }
        })
        .on_window_event(|window, event| {
            if let WindowEvent::CloseRequested { api, .. } = event {
                window::close(window.app_handle(), api);
            }
        })
        .setup(set_up)
        .build(context);
    match app {
        Ok(app) => ExitCode::from(u8::try_from(app.run_return(on_event)).unwrap_or(1)),
        Err(error) => leave(&format!("Lowtouch cannot open its window: {error}")),
    }
}

fn set_up(app: &mut App) -> Result<(), Box<dyn std::error::Error>> {
    let app = app.handle();
    menu::make(app)?;
    #[cfg(target_os = "linux")]
    window::has_a_camera(app)?;
    let links = app.deep_link();
    for link in links.get_current()?.unwrap_or_default() {
        app.state::<Page>().tell(page::WindowEvent::Invite { link: link.into() });
    }
    let page = app.clone();
    links.on_open_url(move |event| {
        for link in event.urls() {
            page.state::<Page>().tell(page::WindowEvent::Invite { link: link.into() });
        }
    });
    tauri::async_runtime::spawn(notices::watch(app.clone(), app.state::<Commands>().inner().clone()));
    Ok(())
}

fn on_event(app: &AppHandle, event: RunEvent) {
    if let RunEvent::Exit = event {
        // Pairings are cancelled where that leaves the device whole; the demo's programs go with the demo.
        let core = app.state::<Commands>().inner().clone();
        let _ = tauri::async_runtime::block_on(async move { tokio::time::timeout(END_DEADLINE, core.end()).await });
    }
}

/// Says why there is no window, where a person who started this by hand sees it.
fn leave(why: &str) -> ExitCode {
    tracing::error!(why, "no window");
    let _ = writeln!(std::io::stderr(), "{why}");
    ExitCode::FAILURE
}
