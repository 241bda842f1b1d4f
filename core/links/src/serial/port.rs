use std::{
    fs::File,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use serial2_tokio::SerialPort;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::LinkError;

/// An open port. The lock is let go with it.
pub(super) struct OpenPort {
    port: SerialPort,
    _lock: Option<File>,
}

/// What lets a user have a serial port.
#[cfg(target_os = "linux")]
pub(super) const MEND: &str =
    "add yourself to the group dialout (sudo usermod -aG dialout \"$USER\"), then sign in again";
#[cfg(not(target_os = "linux"))]
pub(super) const MEND: &str = "ask the administrator of this computer for access to serial ports";

/// Opens the port raw, 8N1, without flow control. DTR and RTS stay as the operating system sets them on opening (both
/// asserted), which leaves an ESP32 board running: its reset circuit acts only when the two differ.
pub(super) fn open(path: &str, baud: u32) -> Result<OpenPort, LinkError> {
    let failed = |error: io::Error| explain(path, &error);
    let lock = lock(path).map_err(failed)?;
    let port = SerialPort::open(path, baud).map_err(failed)?;
    Ok(OpenPort { port, _lock: lock })
}

/// Two programs on one Unix port would each get half of the bytes. Others say by flock(2) (pyserial, minicom) or
/// TIOCEXCL (espflash; opening fails then) that they have it; we do by flock.
#[cfg(unix)]
fn lock(path: &str) -> io::Result<Option<File>> {
    use std::os::unix::fs::OpenOptionsExt;

    use nix::fcntl::OFlag;

    let file =
        File::options().read(true).write(true).custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits()).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Err(io::ErrorKind::ResourceBusy.into()),
        // Some file system does not know locks: then there is none to respect.
        Err(std::fs::TryLockError::Error(_)) => Ok(None),
    }
}

/// Windows opens a port for one program only.
#[cfg(not(unix))]
fn lock(_path: &str) -> io::Result<Option<File>> {
    Ok(None)
}

impl AsyncRead for OpenPort {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.port).poll_read(context, buffer)
    }
}

impl AsyncWrite for OpenPort {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.port).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.port).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.port).poll_shutdown(context)
    }
}

fn explain(path: &str, error: &io::Error) -> LinkError {
    tracing::debug!(path, %error, "cannot open the serial port");
    match error.kind() {
        // Windows says "access denied" of a port that another program has.
        io::ErrorKind::PermissionDenied if cfg!(windows) => LinkError::Busy { what: path.to_owned() },
        io::ErrorKind::PermissionDenied => LinkError::PermissionDenied { mend: MEND.to_owned() },
        io::ErrorKind::ResourceBusy => LinkError::Busy { what: path.to_owned() },
        io::ErrorKind::NotFound => LinkError::NotFound { what: path.to_owned() },
        // ENXIO, ENODEV and ENOTTY (a file that is no terminal): there is no port of this name.
        _ => LinkError::NotFound { what: format!("{path} (no serial port)") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(kind: io::ErrorKind) -> LinkError {
        explain("/dev/ttyUSB0", &kind.into())
    }

    #[test]
    fn each_failure_to_open_says_what_it_is() {
        let what = || "/dev/ttyUSB0".to_owned();
        assert_eq!(explained(io::ErrorKind::NotFound), LinkError::NotFound { what: what() });
        assert_eq!(explained(io::ErrorKind::ResourceBusy), LinkError::Busy { what: what() });
        #[cfg(target_os = "linux")]
        assert!(explained(io::ErrorKind::PermissionDenied).to_string().contains("dialout"));
    }
}
