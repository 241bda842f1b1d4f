//! One at a time, over all windows and processes of this user.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{ErrorCode, PairingError};

/// Longer than a renewal may take (one call of 30 s), so that whoever waits for another's outlives it.
const DEADLINE: Duration = Duration::from_secs(45);

const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Longest text that a lock's file holds, in bytes.
const MAX_TEXT: u64 = 256;

/// A held lock. The operating system lets go of it when this is dropped, or when the process dies.
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Waits for its turn.
    pub(super) async fn take(path: &Path) -> Result<Lock, PairingError> {
        let file = open(path).map_err(failed)?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { file }),
                Err(TryLockError::WouldBlock) if start.elapsed() < DEADLINE => tokio::time::sleep(LOOK_AGAIN).await,
                Err(TryLockError::WouldBlock) => return Err(ErrorCode::AccountsBusy.into()),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }

    /// What the last holder left.
    pub(super) fn text(&mut self) -> Result<String, PairingError> {
        let mut text = String::new();
        self.file.rewind().map_err(failed)?;
        // A file of something else reads as nothing, which is "I do not know" to whoever asks.
        let _ = (&self.file).take(MAX_TEXT).read_to_string(&mut text);
        Ok(text)
    }

    /// Leaves a text for the next holder.
    pub(super) fn leave(&mut self, text: &str) -> Result<(), PairingError> {
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(text.as_bytes())
        };
        write(&mut self.file).map_err(failed)
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// For every fault of the files around accounts.
pub(super) fn failed(error: impl Into<io::Error>) -> PairingError {
    PairingError::with_detail(ErrorCode::AccountsFailed, error.into().to_string())
}
