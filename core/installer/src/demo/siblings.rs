//! The executables that the demo starts, found beside its own.

use std::env::consts::EXE_SUFFIX;
use std::path::{Path, PathBuf};

/// Where they are.
#[derive(Debug, Clone)]
pub struct Siblings {
    /// A local DPS.
    pub azure_emulator: PathBuf,
    /// The provisioning API.
    pub provisioning_api: PathBuf,
    /// The simulated device.
    pub device: PathBuf,
}

/// One is missing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is not in {}", .folder.display())]
pub struct Missing {
    /// Which.
    pub name: String,
    /// Where it should be.
    pub folder: PathBuf,
}

impl Siblings {
    /// Looks into `folder`, the one that this executable is in.
    ///
    /// # Errors
    /// The first that is missing.
    pub fn find(folder: &Path) -> Result<Self, Missing> {
        let find = |name: &str| {
            let name = format!("{name}{EXE_SUFFIX}");
            let path = folder.join(&name);
            if path.is_file() { Ok(path) } else { Err(Missing { name, folder: folder.into() }) }
        };
        Ok(Self {
            azure_emulator: find("azure-emulator")?,
            provisioning_api: find("provisioning-api")?,
            device: find("lowtouch-device")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_executable_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["azure-emulator", "provisioning-api"] {
            std::fs::write(folder.path().join(format!("{name}{EXE_SUFFIX}")), "").unwrap();
        }
        assert_eq!(Siblings::find(folder.path()).unwrap_err().name, format!("lowtouch-device{EXE_SUFFIX}"));
        std::fs::write(folder.path().join(format!("lowtouch-device{EXE_SUFFIX}")), "").unwrap();
        Siblings::find(folder.path()).unwrap();
    }
}
