//! The core's table of commands, hosted over IPC. Nothing is decided here.

use lowtouch_installer::commands::{CommandError, Commands};
use serde_json::Value;
use tauri::ipc::{Channel, Invoke};
use tauri::{AppHandle, State, Webview};

use crate::page::{File, Page, Saved, Speaks, WindowEvent};
use crate::streams::{Sent, StreamNamed, Streams};
use crate::words::Spoken;
use crate::{menu, page};

/// One Tauri command for each row, so that a capability can allow or leave out each of them.
macro_rules! commands {
    (calls: $($call:ident)*; streams: $($stream:ident)*; own: $($own:ident)*;) => {
        $(
            #[tauri::command]
            async fn $call(args: Value, core: State<'_, Commands>) -> Result<Value, CommandError> {
                core.call(stringify!($call), args).await
            }
        )*
        $(
            #[tauri::command]
            async fn $stream(
                args: Value,
                stream_id: String,
                channel: Channel<Sent>,
                webview: Webview,
                core: State<'_, Commands>,
                streams: State<'_, Streams>,
            ) -> Result<(), CommandError> {
                streams.forward(webview.label(), stream_id, channel, core.stream(stringify!($stream), args)?);
                Ok(())
            }
        )*
        pub(crate) fn handler() -> impl Fn(Invoke) -> bool + Send + Sync + 'static {
            tauri::generate_handler![$($call,)* $($stream,)* $($own,)*]
        }

        #[cfg(test)]
        mod names {
            pub(super) const CALLS: &[&str] = &[$(stringify!($call)),*];
            pub(super) const STREAMS: &[&str] = &[$(stringify!($stream)),*];
            pub(super) const OWN: &[&str] = &[$(stringify!($own)),*];
        }
    };
}
include!("table.rs");

/// Ends a stream; one that has ended stays as it is.
#[tauri::command]
async fn stream_stop(args: StreamNamed, webview: Webview, streams: State<'_, Streams>) -> Result<(), CommandError> {
    streams.stop(webview.label(), &args.stream_id);
    Ok(())
}

/// What the window tells its page from now on. The page asks once, at its start.
#[tauri::command]
async fn window_events(channel: Channel<WindowEvent>, page: State<'_, Page>) -> Result<(), CommandError> {
    page.listen(channel);
    Ok(())
}

/// The page speaks another language now; menus, tray and notifications follow.
#[tauri::command]
async fn window_language(args: Speaks, app: AppHandle, spoken: State<'_, Spoken>) -> Result<(), CommandError> {
    if spoken.set(args.language) {
        menu::rename(&app);
    }
    Ok(())
}

/// Saves what the page made where a person says. The page itself reaches no file.
#[tauri::command]
async fn save_file(args: File, app: AppHandle) -> Result<Saved, CommandError> {
    page::save(args, &app).await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use lowtouch_installer::commands::{Kind, TABLE};
    use serde_json::Value;

    use super::names::{CALLS, OWN, STREAMS};

    fn of_core(kind: Kind) -> BTreeSet<&'static str> {
        TABLE.iter().filter(|command| command.kind == kind).map(|command| command.name).collect()
    }

    #[test]
    fn every_command_of_the_core_is_hosted_and_no_other() {
        assert_eq!(CALLS.iter().copied().collect::<BTreeSet<_>>(), of_core(Kind::Call));
        assert_eq!(STREAMS.iter().copied().collect::<BTreeSet<_>>(), of_core(Kind::Stream));
    }

    #[test]
    fn the_window_may_use_every_command_and_nothing_else_but_open_https_pages() {
        let capability: Value = serde_json::from_str(include_str!("../capabilities/main.json")).unwrap();
        assert_eq!(capability["windows"], serde_json::json!(["main"]));
        let mut others = Vec::new();
        let mut allowed = BTreeSet::new();
        for permission in capability["permissions"].as_array().unwrap() {
            match permission.as_str().and_then(|name| name.strip_prefix("allow-")) {
                Some(command) => assert!(allowed.insert(command.replace('-', "_")), "{command} stands twice"),
                None => others.push(permission),
            }
        }
        let hosted: BTreeSet<String> = [CALLS, STREAMS, OWN].concat().into_iter().map(str::to_owned).collect();
        assert_eq!(allowed, hosted);
        let https = serde_json::json!({ "identifier": "opener:allow-open-url", "allow": [{ "url": "https://*" }] });
        assert_eq!(others, [&https]);
    }
}
