//! The endpoint `proto-ver`: what a device says about itself before any session, as JSON in the clear.

/// The endpoint's name.
pub const ENDPOINT: &str = "proto-ver";

/// Longest answer that is read, in bytes.
pub const MAX_LEN: usize = 4096;

/// What the device speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtoVer {
    /// Version of the provisioning protocol: `v1.0`, `v1.1`.
    pub ver: String,
    /// The security version, 0 to 2. Where old firmware does not say it, 0 if `cap` has `no_sec`, else 1.
    pub sec_ver: u8,
    /// The patch of the security version; 0 where absent.
    pub sec_patch_ver: u8,
    /// Capabilities: `wifi_scan`, `no_pop`, `no_sec`, …
    pub cap: Vec<String>,
    /// Present where the device has the endpoint `dps-config`.
    pub lowtouch: Option<LowtouchVer>,
}

/// What the device's `dps-config` endpoint speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LowtouchVer {
    /// `v1`.
    pub ver: String,
    /// Capabilities; see docs/dps-config.md.
    pub cap: Vec<String>,
}

/// Reads a device's answer. Unknown keys and white space do not matter.
///
/// # Errors
/// [`ProtoVerError`] where it is no such JSON or too long.
pub fn parse(answer: &[u8]) -> Result<ProtoVer, ProtoVerError> {
    let _ = answer;
    Err(ProtoVerError::Garbage)
}

impl ProtoVer {
    /// The answer of a device that speaks this.
    #[must_use]
    pub fn to_json(&self) -> String {
        String::new()
    }
}

/// Why an answer is no `proto-ver`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtoVerError {
    /// Not JSON with a `prov` object.
    #[error("the device's version answer makes no sense")]
    Garbage,
    /// Longer than [`MAX_LEN`].
    #[error("the device's version answer is too long")]
    TooLong,
    /// A security version that is not 0, 1 or 2.
    #[error("the device uses security version {0}, which is not known here")]
    SecurityVersion(u64),
}
