//! The flash: a folder whose files are replaced whole or not at all.
//!
//! A file is a header, the payload and a checksum:
//!
//! ```text
//! 0   8   magic "LTDEVICE"
//! 8   2   format version, big-endian: 1
//! 10  4   length of the payload, big-endian
//! 14  n   payload
//! 14+n 32 SHA-256 over the file's name, a zero byte, and all bytes before this field
//! ```
//!
//! The name is part of the checksum, so that a file that was copied to another's place is found out. Files are
//! readable by their owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::power::{Power, PowerLost};

const MAGIC: &[u8; 8] = b"LTDEVICE";
const VERSION: u16 = 1;
const HEADER: usize = 14;
const CHECKSUM: usize = 32;
/// Far more than any of the device's records; a bound on what is read into memory.
const MAX_FILE: u64 = 1024 * 1024;

/// A folder with one file per record.
#[derive(Debug, Clone)]
pub struct Flash {
    folder: PathBuf,
    power: Power,
}

/// Why a record could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The file is not one of ours, is cut off, or was changed.
    #[error("{path} is damaged or foreign: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What gave it away.
        what: &'static str,
    },
    /// A newer program wrote it.
    #[error("{path} has format version {found}, and this program knows {VERSION}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u16,
    },
    /// The file system refused.
    #[error("{path} cannot be {action}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// "read", "written", …
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The device has no power any more.
    #[error(transparent)]
    PowerLost(#[from] PowerLost),
}

impl Flash {
    /// Opens the folder, making it (mode 0700) if it does not exist, and removes what a power loss left half-written.
    pub fn open(folder: &Path, power: Power) -> Result<Self, StorageError> {
        let io = |action, source| StorageError::Io { path: folder.to_owned(), action, source };
        let writing = power.writing();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| io("made", error))?;
        for entry in fs::read_dir(folder).map_err(|error| io("read", error))? {
            let entry = entry.map_err(|error| io("read", error))?;
            if entry.path().extension().is_some_and(|extension| extension == "new") {
                fs::remove_file(entry.path()).map_err(|error| io("cleaned", error))?;
            }
        }
        drop(writing);
        Ok(Self { folder: folder.to_owned(), power })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// `None`: never written.
    pub fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StorageError> {
        self.power.alive()?;
        let path = self.path(name);
        let io = |source| StorageError::Io { path: path.clone(), action: "read", source };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(io)?;
        decode(name, &bytes).map(Some).map_err(|fault| match fault {
            Fault::Damaged(what) => StorageError::Damaged { path: path.clone(), what },
            Fault::Newer(found) => StorageError::Newer { path: path.clone(), found },
        })
    }

    /// Replaces the record. When this returns `Ok` it is on the disk; on an error the old one is untouched.
    pub fn write(&self, name: &str, payload: &[u8]) -> Result<(), StorageError> {
        let path = self.path(name);
        let io = |source| StorageError::Io { path: path.clone(), action: "written", source };
        let _writing = self.power.writing();
        let number = match self.power.write_begins() {
            Ok(number) => number,
            Err(None) => return Err(PowerLost.into()),
            Err(Some(full)) => return Err(io(full)),
        };
        let new = self.path(&format!("{name}.new"));
        let prepared = (|| {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&encode(name, payload))?;
            file.sync_all()
        })();
        if let Err(error) = prepared {
            // The half-written file is cleaned away at the next boot at the latest.
            let _ = fs::remove_file(&new);
            return Err(io(error));
        }
        self.power.write_is_halfway(number)?;
        fs::rename(&new, &path).map_err(io)?;
        // Without this the rename itself may be lost with the power.
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(io)?;
        self.power.write_ends(number)?;
        Ok(())
    }

    /// Forgets a record, whatever is in it.
    pub fn remove(&self, name: &str) -> Result<(), StorageError> {
        self.power.alive()?;
        let _writing = self.power.writing();
        let path = self.path(name);
        let io = |source| StorageError::Io { path: path.clone(), action: "removed", source };
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(io)
    }

    /// Puts a damaged record out of the way, where a person can still look at it.
    pub fn set_aside(&self, name: &str) -> Result<PathBuf, StorageError> {
        let path = self.path(name);
        let aside = self.path(&format!("{name}.damaged"));
        fs::rename(&path, &aside).map_err(|source| StorageError::Io { path, action: "set aside", source })?;
        Ok(aside)
    }
}

enum Fault {
    Damaged(&'static str),
    Newer(u16),
}

fn encode(name: &str, payload: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(HEADER + payload.len() + CHECKSUM));
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(payload);
    let checksum = checksum(name, &bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

fn decode(name: &str, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(Fault::Damaged("it is cut off"))?;
    if magic != MAGIC {
        return Err(Fault::Damaged("it is not a device's record"));
    }
    let (version, rest) = rest.split_first_chunk::<2>().ok_or(Fault::Damaged("it is cut off"))?;
    let version = u16::from_be_bytes(*version);
    if version > VERSION {
        return Err(Fault::Newer(version));
    }
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(Fault::Damaged("it is cut off"))?;
    let (payload, found) = rest.split_last_chunk::<CHECKSUM>().ok_or(Fault::Damaged("it is cut off"))?;
    if usize::try_from(u32::from_be_bytes(*length)).ok() != Some(payload.len()) {
        return Err(Fault::Damaged("its length is wrong"));
    }
    let covered = &bytes[..bytes.len() - CHECKSUM];
    if checksum(name, covered) != *found {
        return Err(Fault::Damaged("its checksum is wrong"));
    }
    Ok(Zeroizing::new(payload.to_vec()))
}

fn checksum(name: &str, covered: &[u8]) -> [u8; CHECKSUM] {
    Sha256::new().chain_update(name).chain_update([0]).chain_update(covered).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{FaultPlan, KillPoint};
    use proptest::prelude::*;

    fn flash(folder: &Path, plan: FaultPlan) -> Flash {
        Flash::open(folder, Power::new(plan).switch_on()).unwrap()
    }

    #[test]
    fn a_record_that_was_never_written_reads_as_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(flash(folder.path(), FaultPlan::default()).read("config").unwrap().is_none());
    }

    #[test]
    fn files_can_be_read_by_their_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        flash(folder.path(), FaultPlan::default()).write("key", b"secret").unwrap();
        let mode = fs::metadata(folder.path().join("key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_record_in_anothers_place_is_found_out() {
        let folder = tempfile::tempdir().unwrap();
        let flash = flash(folder.path(), FaultPlan::default());
        flash.write("wifi", b"x").unwrap();
        fs::rename(folder.path().join("wifi"), folder.path().join("config")).unwrap();
        assert!(matches!(flash.read("config"), Err(StorageError::Damaged { .. })));
    }

    #[test]
    fn a_newer_format_is_named_and_not_guessed_at() {
        let folder = tempfile::tempdir().unwrap();
        let flash = flash(folder.path(), FaultPlan::default());
        flash.write("config", b"x").unwrap();
        let path = folder.path().join("config");
        let mut bytes = fs::read(&path).unwrap();
        bytes[9] = 2;
        fs::write(&path, bytes).unwrap();
        assert!(matches!(flash.read("config"), Err(StorageError::Newer { found: 2, .. })));
    }

    #[test]
    fn a_full_flash_leaves_the_old_record_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let flash = flash(folder.path(), FaultPlan { disk_full: vec![2], ..FaultPlan::default() });
        flash.write("config", b"old").unwrap();
        let error = flash.write("config", b"new").unwrap_err();
        assert!(matches!(error, StorageError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull));
        assert_eq!(flash.read("config").unwrap().unwrap().as_slice(), b"old");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn after_power_loss_at_any_write_every_record_is_wholly_old_or_wholly_new(
            records in proptest::collection::vec((0..3usize, proptest::collection::vec(any::<u8>(), 0..200)), 1..6),
            at in 1..6u32,
            moment in 0..3,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let point = match moment {
                0 => KillPoint::BeforeWrite(at),
                1 => KillPoint::DuringWrite(at),
                _ => KillPoint::AfterWrite(at),
            };
            let names = ["config", "wifi", "key"];
            let mut expected: [Option<Vec<u8>>; 3] = Default::default();
            let dying = flash(folder.path(), FaultPlan::kill_once(point, None));
            for (index, (name, bytes)) in records.iter().enumerate() {
                let result = dying.write(names[*name], bytes);
                let struck = u32::try_from(index).unwrap() + 1 == at;
                prop_assert_eq!(result.is_err(), struck);
                if !struck || moment == 2 {
                    expected[*name] = Some(bytes.clone());
                }
                if struck {
                    prop_assert!(dying.read("config").is_err(), "a device without power reads nothing");
                    break;
                }
            }
            let rebooted = flash(folder.path(), FaultPlan::default());
            for (name, expected) in names.iter().zip(expected) {
                prop_assert_eq!(rebooted.read(name).unwrap().map(|bytes| bytes.to_vec()), expected);
            }
        }

        #[test]
        fn a_file_that_was_cut_or_changed_anywhere_is_refused(
            payload in proptest::collection::vec(any::<u8>(), 0..100),
            position in any::<proptest::sample::Index>(),
            flip in 1..=255u8,
            cut in any::<bool>(),
        ) {
            let bytes = encode("config", &payload);
            let at = position.index(bytes.len());
            let mut changed = bytes.to_vec();
            if cut { changed.truncate(at) } else { changed[at] ^= flip }
            prop_assert!(decode("config", &changed).is_err());
        }
    }
}
