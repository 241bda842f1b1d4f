use std::time::Duration;

/// Why a link could not be opened or an exchange has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Nothing answers at this address: no such port, no such peripheral, the connection was not accepted.
    #[error("no device found at {what}")]
    NotFound {
        /// The address or path that was tried.
        what: String,
    },
    /// The operating system does not let this user have the port.
    #[error("no permission to use the port: {mend}")]
    PermissionDenied {
        /// What the user can do about it.
        mend: String,
    },
    /// No Bluetooth adapter can be used.
    #[error("{problem}. {mend}")]
    Adapter {
        /// Why not.
        problem: crate::ble::AdapterProblem,
        /// What the user can do about it: a whole sentence.
        mend: &'static str,
    },
    /// The app's own radio failed.
    #[error("the app's Bluetooth failed: {detail}")]
    Radio {
        /// What it said.
        detail: String,
    },
    /// Several devices advertise this name.
    #[error("{} devices are called {name}: {}. Name the one that is meant: ble://{}", .addresses.len(), .addresses.join(", "), .addresses.first().map_or("ADDRESS", String::as_str))]
    Ambiguous {
        /// The name.
        name: String,
        /// Their addresses.
        addresses: Vec<String>,
    },
    /// Another program holds the port, or the device another connection.
    #[error("{what} is in use by another program")]
    Busy {
        /// What is taken.
        what: String,
    },
    /// The device's handler failed. On `prov-session`: a wrong proof of possession or a wrong security version; on
    /// other endpoints: a session the device does not (or no longer) know, or a request it cannot take.
    #[error("the device refused the request to {endpoint}")]
    Refused {
        /// The endpoint that refused.
        endpoint: String,
    },
    /// The device has no such endpoint: its firmware lacks the feature.
    #[error("the device has no endpoint {endpoint}")]
    UnknownEndpoint {
        /// The endpoint that was asked for.
        endpoint: String,
    },
    /// The device did not answer in time.
    #[error("no answer after {after:?} ({what})")]
    Timeout {
        /// What was waited for: `connect`, `exchange`.
        what: &'static str,
        /// How long.
        after: Duration,
    },
    /// The connection ended. The device may or may not have seen the last request.
    #[error("the connection to the device was lost")]
    Lost,
    /// The answer does not follow the link's protocol: something else is at the other end.
    #[error("the answer does not come from a Lowtouch or protocomm device")]
    Garbage,
    /// A request or a response is longer than the link carries. An announced length that is too long is not read.
    #[error("{len} bytes are more than the {max} that this link carries")]
    TooLong {
        /// The length, as far as it was counted, in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// This build or machine cannot do it.
    #[error("{what}")]
    Unsupported {
        /// What cannot be done and what to use instead: a whole sentence.
        what: String,
    },
    /// An earlier exchange was dropped or failed half-way; [`Link::reconnect`](crate::Link::reconnect) comes first.
    #[error("an earlier exchange did not end; the link must reconnect first")]
    Interrupted,
}
