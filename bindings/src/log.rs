//! What the core logs, for the app's own log.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use lowtouch_installer::logs;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use uniffi::UnexpectedUniFFICallbackError;

/// Lines that wait for the app; what comes when there are as many is left out.
const WAITING: usize = 1000;
/// Lines that are handed over at once.
const BATCH: usize = 100;
/// An app that takes longer for a batch is not waited for.
const DEADLINE: Duration = Duration::from_secs(5);

/// Where the core's log goes. The app implements it.
#[uniffi::export(foreign)]
#[async_trait]
pub trait LogSink: Send + Sync {
    /// Lines in their order, of all of this process. No secrets are in them.
    async fn write(&self, records: Vec<LogRecord>) -> Result<(), LogSinkError>;
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct LogRecord {
    /// When.
    pub at: SystemTime,
    /// How much it matters.
    pub level: LogLevel,
    /// Which part of the core.
    pub target: String,
    /// What.
    pub message: String,
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something should be looked after.
    Warn,
    /// What happens.
    Info,
    /// Every exchange.
    Debug,
    /// Everything.
    Trace,
}

/// Why lines cannot be taken. They are left out then.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Error, thiserror::Error)]
pub enum LogSinkError {
    /// What happened.
    #[error("{detail}")]
    Failed {
        /// What happened.
        detail: String,
    },
}

impl From<UnexpectedUniFFICallbackError> for LogSinkError {
    fn from(error: UnexpectedUniFFICallbackError) -> Self {
        Self::Failed { detail: error.reason }
    }
}

static SINKS: Mutex<Vec<mpsc::Sender<LogRecord>>> = Mutex::new(Vec::new());

/// From now on `sink` gets what is logged; the future hands it over, until it is dropped.
pub(crate) fn forward(sink: Arc<dyn LogSink>) -> impl Future<Output = ()> + Send + 'static {
    static BEGIN: Once = Once::new();
    BEGIN.call_once(|| {
        // Not the core's `EnvFilter`: nobody sets a variable on a phone, and that one's automata are big.
        let filter: Targets = logs::DEFAULT_FILTER.parse().unwrap_or_default();
        // Where the app has a subscriber of its own (a Rust test), that one stays.
        let _ = tracing_subscriber::registry().with(ToSinks.with_filter(filter)).try_init();
    });
    let (sender, mut lines) = mpsc::channel(WAITING);
    SINKS.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
    async move {
        let mut batch = Vec::new();
        while lines.recv_many(&mut batch, BATCH).await > 0 {
            // Nobody can be told that a log does not work.
            let _ = timeout(DEADLINE, sink.write(std::mem::take(&mut batch))).await;
        }
    }
}

struct ToSinks;

impl<S: Subscriber> Layer<S> for ToSinks {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut sinks = SINKS.lock().unwrap_or_else(PoisonError::into_inner);
        if sinks.is_empty() {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        let record = LogRecord {
            at: SystemTime::now(),
            level: match *event.metadata().level() {
                Level::ERROR => LogLevel::Error,
                Level::WARN => LogLevel::Warn,
                Level::INFO => LogLevel::Info,
                Level::DEBUG => LogLevel::Debug,
                Level::TRACE => LogLevel::Trace,
            },
            target: event.metadata().target().to_owned(),
            message: logs::redact(&(text.message + &text.fields)).into_owned(),
        };
        // One that is full loses this line, one that is gone is forgotten.
        sinks.retain(|sink| !matches!(sink.try_send(record.clone()), Err(mpsc::error::TrySendError::Closed(_))));
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::sleep;

    use super::*;

    /// Never comes back from the first call.
    #[derive(Default)]
    struct Stuck {
        calls: AtomicU32,
        lines: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl LogSink for Stuck {
        async fn write(&self, records: Vec<LogRecord>) -> Result<(), LogSinkError> {
            if self.calls.fetch_add(1, Ordering::Relaxed) == 0 {
                pending::<()>().await;
            }
            let lines = records.into_iter().map(|record| record.message);
            self.lines.lock().unwrap_or_else(PoisonError::into_inner).extend(lines);
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_does_not_come_back_gets_the_next_lines_and_no_secret() {
        let sink = Arc::new(Stuck::default());
        let forwarding = tokio::spawn(forward(sink.clone()));
        sleep(Duration::from_millis(1)).await;
        tracing::warn!("the first line");
        sleep(Duration::from_millis(1)).await;
        tracing::warn!(passphrase = "wonderland", "the second line");
        sleep(2 * DEADLINE).await;
        forwarding.abort();
        let lines = sink.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n");
        // The first call is of that line, or of another test's.
        assert!(lines.contains("the second line"), "{lines}");
        assert!(!lines.contains("wonderland"), "{lines}");
    }
}
