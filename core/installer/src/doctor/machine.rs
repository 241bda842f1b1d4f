//! This machine: settings, keyring, Bluetooth, serial ports, journal.

use std::path::{Path, PathBuf};

use super::finding::{Finding, Found, shown};
use super::{Examination, Identity, Seen};
use crate::error::PairingError;
use crate::journal::{FILE_NAME, Journal};

/// Below this the next update or log may fill the disk.
const DISK_LOW: u64 = 100 * 1024 * 1024;

/// Below this a journal write may fail.
const DISK_FULL: u64 = 5 * 1024 * 1024;

pub(super) fn settings(examination: &Examination) -> Found {
    let Some(settings) = &examination.settings else { return Finding::SettingsUnread.into() };
    if let Some(problem) = settings.problems.first() {
        let more = Some(settings.problems.len() - 1).filter(|more| *more > 0);
        let seen = [Seen::setting(problem)].into_iter().chain(more.map(|count| Seen::More { count }));
        return Finding::SettingsWrong.seen(seen).mend(problem.wrong.mend());
    }
    if !settings.warnings.is_empty() {
        let keys = settings.warnings.iter().map(|(key, _)| Seen::Override { key: key.to_string() });
        return Finding::SettingsOverride.seen(keys);
    }
    let finding = if settings.file.is_file() { Finding::SettingsOk } else { Finding::SettingsNone };
    finding.seen([Seen::path(&settings.file)])
}

/// Asks for a secret that nobody has kept: that needs all that a real one needs.
pub(super) async fn keyring(examination: &Examination) -> Found {
    let Some(secrets) = &examination.secrets else { return Finding::KeyringUnset.into() };
    match secrets.get("doctor").await {
        Ok(_) => Finding::KeyringOk.seen([match secrets.file() {
            Some(file) => Seen::SecretsFile { path: file.display().to_string() },
            None => Seen::Keyring { name: secrets.describe() },
        }]),
        Err(error) => {
            let error = PairingError::from(error);
            match examination.identity {
                Identity::Token(_) => Finding::KeyringSpare.because(&error),
                _ => Finding::KeyringFailed.because(&error),
            }
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "macos", target_os = "windows"))]
pub(super) async fn adapter() -> Found {
    use lowtouch_links::{LinkError, ble};
    match ble::adapter().await {
        Ok(name) => Finding::AdapterOk.seen([Seen::Adapter { name: shown(&name) }]),
        Err(LinkError::Adapter { problem, mend }) => {
            let command = problem.command().map(str::to_owned);
            let seen = Seen::NoAdapter { problem: problem.as_str().into(), text: problem.to_string(), command };
            Finding::AdapterUnusable.seen([seen]).mend(mend)
        }
        Err(error) => Finding::AdapterUnusable.seen([Seen::said(error.to_string())]),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "windows")))]
pub(super) async fn adapter() -> Found {
    Finding::AdapterElsewhere.into()
}

pub(super) async fn ports() -> Found {
    use lowtouch_links::serial::{Accessibility, ports};
    let Ok(ports) = tokio::task::spawn_blocking(ports).await else { return Finding::PortsNone.into() };
    let seen = ports.iter().map(|port| Seen::Port { path: shown(&port.path), state: (&port.accessibility).into() });
    if ports.iter().any(|port| port.accessibility == Accessibility::Ready) {
        return Finding::PortsOk.seen(seen);
    }
    let denied = ports.iter().find_map(|port| match &port.accessibility {
        Accessibility::PermissionDenied { mend } => Some(mend.clone()),
        _ => None,
    });
    match (denied, ports.is_empty()) {
        (_, true) => Finding::PortsNone.into(),
        (Some(mend), _) => Finding::PortsDenied.seen(seen).mend(mend),
        (None, _) => Finding::PortsBusy.seen(seen),
    }
}

pub(super) async fn journal(examination: &Examination) -> Found {
    let folder = &examination.data_dir;
    let place = folder.clone();
    let room = tokio::task::spawn_blocking(move || room(&place)).await.unwrap_or_default();
    let place = || [Seen::path(folder), Seen::Room { bytes: room }];
    if room.is_some_and(|bytes| bytes < DISK_FULL) {
        return Finding::JournalDiskFull.seen(place());
    }
    let found = if folder.join(FILE_NAME).is_file() {
        match whole(folder).await {
            Ok((count, None)) => Finding::JournalOk.seen([Seen::Pairings { count }].into_iter().chain(place())),
            Ok((_, Some(damage))) => return Finding::JournalDamaged.seen([Seen::said(damage)]),
            Err(error) => return Finding::JournalFailed.because(&error),
        }
    } else {
        if let Err(error) = writable(folder) {
            return Finding::JournalFailed.because(&PairingError::with_detail(
                crate::ErrorCode::JournalPermission,
                format!("{}: {error}", folder.display()),
            ));
        }
        Finding::JournalNew.seen(place())
    };
    if room.is_some_and(|bytes| bytes < DISK_LOW) {
        return Finding::JournalDiskLow.seen(place());
    }
    found
}

async fn whole(folder: &Path) -> Result<(u64, Option<String>), PairingError> {
    let journal = Journal::open(folder).await?;
    let (pairings, damage) = (journal.count().await?, journal.damage().await?);
    Ok((pairings, damage))
}

/// Bytes that this user may still write, where the folder is or will be.
fn room(folder: &Path) -> Option<u64> {
    fs4::available_space(existing(folder)?).ok()
}

fn existing(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().find(|folder| folder.is_dir()).map(Path::to_owned)
}

/// Whether a file can be made; it is gone again at once.
fn writable(folder: &Path) -> std::io::Result<()> {
    let Some(folder) = existing(folder) else { return Err(std::io::ErrorKind::NotFound.into()) };
    let probe = folder.join(format!(".lowtouch-doctor-{}", uuid::Uuid::new_v4()));
    std::fs::OpenOptions::new().create_new(true).write(true).open(&probe)?;
    std::fs::remove_file(probe)
}
