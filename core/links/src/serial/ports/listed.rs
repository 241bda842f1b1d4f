use serialport::{SerialPortInfo, SerialPortType};

use super::super::port::MEND;
use super::{Accessibility, Port};

pub(super) fn listed() -> Vec<Port> {
    let found = serialport::available_ports().unwrap_or_else(|error| {
        tracing::debug!(%error, "cannot list serial ports");
        Vec::new()
    });
    found.into_iter().map(describe).collect()
}

fn describe(found: SerialPortInfo) -> Port {
    let description = match found.port_type {
        SerialPortType::UsbPort(usb) => {
            let words: Vec<String> = [usb.manufacturer, usb.product].into_iter().flatten().collect();
            if words.is_empty() { Some(format!("USB {:04x}:{:04x}", usb.vid, usb.pid)) } else { Some(words.join(" ")) }
        }
        SerialPortType::BluetoothPort => Some("Bluetooth".to_owned()),
        SerialPortType::PciPort | SerialPortType::Unknown => None,
    };
    let accessibility = accessibility(&found.port_name);
    Port { path: found.port_name, description, accessibility }
}

#[cfg(unix)]
fn accessibility(path: &str) -> Accessibility {
    use nix::unistd::{AccessFlags, access};

    if access(path, AccessFlags::R_OK | AccessFlags::W_OK) == Err(nix::errno::Errno::EACCES) {
        return Accessibility::PermissionDenied { mend: MEND.to_owned() };
    }
    if is_open_somewhere(path) { Accessibility::Busy } else { Accessibility::Ready }
}

#[cfg(not(unix))]
fn accessibility(_path: &str) -> Accessibility {
    let _ = MEND;
    Accessibility::Ready
}

/// Looks through the open files of the processes that we may look into: our own user's, or all for root. Another user's
/// program is found out only on opening.
#[cfg(unix)]
fn is_open_somewhere(path: &str) -> bool {
    let Ok(path) = std::fs::canonicalize(path) else { return false };
    let Ok(processes) = std::fs::read_dir("/proc") else { return false };
    processes
        .flatten()
        .filter_map(|process| std::fs::read_dir(process.path().join("fd")).ok())
        .flat_map(|files| files.flatten())
        .any(|file| std::fs::read_link(file.path()).is_ok_and(|target| target == path))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_a_process_has_open_is_busy_and_ready_once_it_is_closed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let (file, kept) = file.into_parts();
        assert_eq!(accessibility(&path), Accessibility::Busy);
        drop(file);
        assert_eq!(accessibility(&path), Accessibility::Ready);
        drop(kept);
    }

    #[test]
    fn accessibility_reads_as_words_with_the_mend() {
        assert_eq!(Accessibility::Ready.to_string(), "ready");
        assert_eq!(Accessibility::Busy.to_string(), "busy");
        let denied = Accessibility::PermissionDenied { mend: MEND.to_owned() };
        assert!(denied.to_string().starts_with("permission denied: "));
    }

    #[test]
    fn listing_never_fails() {
        for port in listed() {
            assert!(!port.path.is_empty());
        }
    }
}
