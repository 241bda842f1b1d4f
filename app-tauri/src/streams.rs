//! Streams on their way to the page. Whoever ends one drops it, and that is how the core hears of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tauri::async_runtime::{self, JoinHandle};
use tauri::ipc::Channel;

/// What a page receives over the channel of a stream.
#[derive(Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum Sent {
    Event {
        event: Value,
    },
    /// Nothing follows. Calls and channels have no order between them, so the end comes over the channel too.
    End {
        end: bool,
    },
}

/// The open streams: of which webview, by the ID that its page chose.
#[derive(Default)]
pub(crate) struct Streams(Arc<Mutex<Open>>);

type Open = HashMap<(String, String), JoinHandle<()>>;

impl Streams {
    /// Sends everything that `events` brings; an open stream of the same ID is ended.
    pub(crate) fn forward(&self, webview: &str, id: String, to: Channel<Sent>, mut events: BoxStream<'static, Value>) {
        let key = (webview.to_owned(), id);
        let open = self.0.clone();
        // Held until the stream stands in the list: it may end at once.
        let mut list = lock(&self.0);
        let name = key.clone();
        let task = async_runtime::spawn(async move {
            while let Some(event) = events.next().await {
                if to.send(Sent::Event { event }).is_err() {
                    break;
                }
            }
            let _ = to.send(Sent::End { end: true });
            lock(&open).remove(&name);
        });
        if let Some(former) = list.insert(key, task) {
            former.abort();
        }
    }

    pub(crate) fn stop(&self, webview: &str, id: &str) {
        if let Some(task) = lock(&self.0).remove(&(webview.to_owned(), id.to_owned())) {
            task.abort();
        }
    }

    /// The page is gone: reloaded, or its window closed.
    pub(crate) fn stop_all(&self, webview: &str) {
        lock(&self.0).retain(|(of, _), task| {
            let keep = of != webview;
            if !keep {
                task.abort();
            }
            keep
        });
    }
}

fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stream of the page that asks.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamNamed {
    pub(crate) stream_id: String,
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use futures::stream;
    use tauri::ipc::InvokeResponseBody;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn channel() -> (Channel<Sent>, mpsc::Receiver<String>) {
        let (sender, receiver) = mpsc::channel();
        let channel = Channel::new(move |body| {
            if let InvokeResponseBody::Json(json) = body {
                let _ = sender.send(json);
            }
            Ok(())
        });
        (channel, receiver)
    }

    /// A stream that never ends, and tells when it is dropped.
    fn endless() -> (BoxStream<'static, Value>, mpsc::Receiver<()>) {
        let (dropped, receiver) = mpsc::channel::<()>();
        let events = stream::once(async { Value::from(1) }).chain(stream::pending());
        let events = events.inspect(move |_| {
            let _ = &dropped;
        });
        (events.boxed(), receiver)
    }

    fn is_dropped(dropped: &mpsc::Receiver<()>) -> bool {
        dropped.recv_timeout(SOON) == Err(mpsc::RecvTimeoutError::Disconnected)
    }

    #[test]
    fn events_come_in_order_and_the_end_last() {
        let (to, received) = channel();
        let streams = Streams::default();
        streams.forward("main", "a".into(), to, stream::iter([Value::from(1), Value::from("two")]).boxed());
        let all: Vec<String> = (0..3).map(|_| received.recv_timeout(SOON).unwrap()).collect();
        assert_eq!(all, [r#"{"event":1}"#, r#"{"event":"two"}"#, r#"{"end":true}"#]);
    }

    #[test]
    fn a_stream_that_is_stopped_is_dropped_and_another_page_cannot_stop_it() {
        let (to, received) = channel();
        let (events, dropped) = endless();
        let streams = Streams::default();
        streams.forward("main", "a".into(), to, events);
        received.recv_timeout(SOON).unwrap();
        streams.stop("other", "a");
        streams.stop("main", "b");
        assert_eq!(lock(&streams.0).len(), 1);
        streams.stop("main", "a");
        assert!(is_dropped(&dropped));
    }

    #[test]
    fn a_page_that_is_gone_takes_its_streams_along_and_no_others() {
        let streams = Streams::default();
        let mut all = Vec::new();
        for (webview, id) in [("main", "a"), ("main", "b"), ("other", "a")] {
            let (to, received) = channel();
            let (events, dropped) = endless();
            streams.forward(webview, id.into(), to, events);
            received.recv_timeout(SOON).unwrap();
            all.push(dropped);
        }
        streams.stop_all("main");
        assert!(is_dropped(&all[0]) && is_dropped(&all[1]));
        assert_eq!(all[2].try_recv(), Err(mpsc::TryRecvError::Empty));
    }
}
