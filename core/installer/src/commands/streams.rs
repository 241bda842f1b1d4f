//! Streams made of a task that tells.

use std::sync::{Mutex, PoisonError};

use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// How many events wait for a slow reader before the task that makes them waits too.
const WAITING: usize = 16;

/// What `work` tells. The work ends when the stream is dropped, and the stream when the work ends.
pub(super) fn told<T, F>(work: impl FnOnce(Tell<T>) -> F) -> BoxStream<'static, T>
where
    T: Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(WAITING);
    let task = AbortOnDropHandle::new(tokio::spawn(work(Tell(sender))));
    futures::stream::unfold((receiver, task), |(mut receiver, task)| async move {
        Some((receiver.recv().await?, (receiver, task)))
    })
    .boxed()
}

/// The task's end of the stream.
pub(super) struct Tell<T>(mpsc::Sender<T>);

impl<T> Clone for Tell<T> {
    fn clone(&self) -> Self {
        Tell(self.0.clone())
    }
}

impl<T: Send + 'static> Tell<T> {
    /// Tells; waits where the reader is slow.
    pub(super) async fn tell(&self, event: T) {
        // Nobody reads any more: the task is ended for that reason.
        let _ = self.0.send(event).await;
    }

    /// Tells from where nobody can wait; for the first few events of a stream.
    pub(super) fn at_once(&self, event: T) {
        let _ = self.0.try_send(event);
    }
}

/// Passes on only what differs from what was told last.
pub(super) struct Changes<T> {
    tell: Tell<T>,
    last: Mutex<Option<T>>,
}

impl<T: Clone + PartialEq + Send + 'static> Changes<T> {
    pub(super) fn new(tell: Tell<T>) -> Self {
        Changes { tell, last: Mutex::new(None) }
    }

    pub(super) async fn tell(&self, now: T) {
        {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.as_ref() == Some(&now) {
                return;
            }
            *last = Some(now.clone());
        }
        self.tell.tell(now).await;
    }
}
