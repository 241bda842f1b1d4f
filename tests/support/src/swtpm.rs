//! A real TPM 2.0 in software, for tests: the program swtpm. (The device's own tests use this file as well.)
#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "a test without its TPM has failed")]
#![allow(clippy::print_stderr, reason = "whoever reads a test's output is to know that nothing was tried")]
#![allow(unreachable_pub, reason = "a crate's module here, a test's own there")]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lowtouch_device::tpm::TpmAddress;
use tempfile::TempDir;

/// A TPM of its own, new. It ends when this is dropped.
#[derive(Debug)]
pub struct Swtpm {
    process: Child,
    /// Where it is.
    pub at: TpmAddress,
    _folder: TempDir,
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `None`, and says so, where swtpm is not installed.
pub async fn swtpm() -> Option<Swtpm> {
    let folder = TempDir::new().expect("a folder for the TPM");
    let socket = folder.path().join("tpm");
    let spawned = Command::new("swtpm")
        .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
        .args(["--tpmstate", &format!("dir={}", folder.path().display())])
        .args(["--server", &format!("type=unixio,path={}", socket.display())])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    let process = match spawned {
        Ok(process) => process,
        Err(error) => {
            eprintln!("skipped: swtpm cannot be started ({error}); install the package swtpm");
            return None;
        }
    };
    let swtpm = Swtpm { process, at: TpmAddress::Unix(socket.clone()), _folder: folder };
    let there = async {
        while !socket.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), there).await.expect("swtpm opens no socket");
    Some(swtpm)
}
