use std::fmt;

/// Phones have no ports to list, and what lists them on a computer asks iOS for a framework (IOKit) that is not for apps.
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
mod listed;
#[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "windows")))]
mod listed {
    pub(super) fn listed() -> Vec<super::Port> {
        Vec::new()
    }
}

/// A serial port of this computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// What [`LinkAddress::Serial`](crate::LinkAddress::Serial) takes: `/dev/ttyUSB0`, `COM3`.
    pub path: String,
    /// What the system knows of it: maker and product of a USB adapter.
    pub description: Option<String>,
    /// Whether it can be opened now.
    pub accessibility: Accessibility,
}

/// Whether a port can be opened now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Accessibility {
    /// Nothing is known to be in the way.
    Ready,
    /// This user may not open it.
    PermissionDenied {
        /// What to do about it.
        mend: String,
    },
    /// Another program has it open.
    Busy,
}

impl fmt::Display for Accessibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::PermissionDenied { mend } => write!(f, "permission denied: {mend}"),
            Self::Busy => f.write_str("busy"),
        }
    }
}

/// The ports of this computer, sorted by path, whether or not they can be used. None is opened: opening raises DTR and
/// RTS and could reset a board. Blocks for some milliseconds; empty where the system cannot tell, and on phones.
#[must_use]
pub fn ports() -> Vec<Port> {
    let mut ports = listed::listed();
    ports.sort_by(|a, b| a.path.cmp(&b.path));
    ports
}
