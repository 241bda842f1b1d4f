//! A serial line: a port of this machine, or a pseudo terminal.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use serial2_tokio::SerialPort;
use tokio::io::unix::AsyncFd;

/// The device's end.
pub(crate) enum Line {
    Port(SerialPort),
    Pty {
        master: AsyncFd<PtyMaster>,
        /// Held open: the kernel hangs a pseudo terminal up when its last user closes it.
        _user_end: File,
    },
}

impl Line {
    /// 8N1 at 115,200 baud, ESP-IDF's console default.
    pub(crate) fn port(path: &Path) -> io::Result<Self> {
        SerialPort::open(path, 115_200).map(Self::Port)
    }

    /// The device's end and the path of the app's end.
    pub(crate) fn pty() -> io::Result<(Self, PathBuf)> {
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path = PathBuf::from(ptsname_r(&master)?);
        let user_end = OpenOptions::new().read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits()).open(&path)?;
        // Without this the terminal echoes, and turns bytes into signals and line ends.
        let mut settings = tcgetattr(&user_end)?;
        cfmakeraw(&mut settings);
        tcsetattr(&user_end, SetArg::TCSANOW, &settings)?;
        // tokio's replacement is an unsafe function, whose promise `PtyMaster` keeps: it owns its descriptor, and always
        // gives the same one.
        #[allow(deprecated)]
        let master = AsyncFd::new(master)?;
        Ok((Self::Pty { master, _user_end: user_end }, path))
    }

    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Port(port) => port.read(buffer).await,
            Self::Pty { master, .. } => loop {
                let mut ready = master.readable().await?;
                match ready.try_io(|master| master.get_ref().read(buffer)) {
                    Ok(result) => return result,
                    Err(_would_block) => {}
                }
            },
        }
    }

    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Port(port) => port.write_all(bytes).await,
            Self::Pty { master, .. } => {
                while !bytes.is_empty() {
                    let mut ready = master.writable().await?;
                    match ready.try_io(|master| master.get_ref().write(bytes)) {
                        Ok(written) => bytes = &bytes[written?..],
                        Err(_would_block) => {}
                    }
                }
                Ok(())
            }
        }
    }
}
