//! Logs for support: JSON lines in a ring of files in the data folder, and a bundle of them that a person can send.
//!
//! Nothing here sends anything anywhere. Secrets are kept out by type (`secrecy`); what this module redacts besides
//! ([`redact`]) is a second line of defence, on the way into the files and again on the way into the bundle.
//!
//! ```no_run
//! use tracing_subscriber::prelude::*;
//! # fn example(data_dir: &std::path::Path) {
//! use lowtouch_installer::logs;
//! tracing_subscriber::registry().with(logs::layer(data_dir, logs::filter(None))).init();
//! # }
//! ```

mod bundle;
mod redact;
mod ring;

use std::path::{Path, PathBuf};

use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, fmt};

pub use bundle::{Bundle, BundleError, Content, Contents, LeftOut, newest_rows};
pub use redact::{REDACTED, redact};
pub use ring::{Limits, Ring};

/// The folder of the ring in the data folder.
pub const FOLDER: &str = "logs";

/// The environment variable that says what is logged, as `tracing_subscriber::EnvFilter` understands it.
pub const VARIABLE: &str = "LOWTOUCH_LOG";

/// What is logged where nobody says otherwise: what we do ourselves, exchange by exchange, and what worries others.
pub const DEFAULT_FILTER: &str =
    "warn,lowtouch=debug,lowtouch_installer=debug,lowtouch_links=debug,lowtouch_handoff=debug";

/// Where the ring of a data folder is.
pub fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join(FOLDER)
}

/// What is to be logged: `wanted` (of the settings or of [`VARIABLE`]), or [`DEFAULT_FILTER`] where that is nothing or
/// nonsense.
pub fn filter(wanted: Option<&str>) -> EnvFilter {
    wanted
        .filter(|wanted| !wanted.trim().is_empty())
        .and_then(|wanted| EnvFilter::try_new(wanted).ok())
        .unwrap_or_else(|| EnvFilter::new(DEFAULT_FILTER))
}

/// Writes what `filter` lets through into the ring of the data folder. No file is made before the first line, and a
/// folder that cannot be written to stops nothing but the log.
pub fn layer<S>(data_dir: &Path, filter: EnvFilter) -> impl Layer<S> + Send + Sync + use<S>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    layer_of(Ring::new(folder(data_dir), Limits::default()), filter)
}

/// As [`layer`], with a ring of one's own.
pub fn layer_of<S>(ring: Ring, filter: EnvFilter) -> impl Layer<S> + Send + Sync + use<S>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    fmt::layer().json().with_current_span(false).with_span_list(true).with_writer(ring).with_filter(filter)
}
