//! The executable that holds all that the demo starts, found beside its own. Its first argument says as what it runs:
//! `azure-emulator`, `provisioning-api` or `lowtouch-device`.

use std::env::consts::EXE_SUFFIX;
use std::path::{Path, PathBuf};

/// It is missing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is not in {}", .folder.display())]
pub struct Missing {
    /// Its name.
    pub name: String,
    /// Where it should be.
    pub folder: PathBuf,
}

/// Looks for `lowtouch-demo` in `folder`, the one that this executable is in.
///
/// # Errors
/// It is not there.
pub fn find_program(folder: &Path) -> Result<PathBuf, Missing> {
    let name = format!("lowtouch-demo{EXE_SUFFIX}");
    let path = folder.join(&name);
    if path.is_file() { Ok(path) } else { Err(Missing { name, folder: folder.into() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_executable_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("lowtouch-demo{EXE_SUFFIX}");
        assert_eq!(find_program(folder.path()).unwrap_err().name, name);
        std::fs::write(folder.path().join(&name), "").unwrap();
        assert_eq!(find_program(folder.path()).unwrap(), folder.path().join(name));
    }
}
