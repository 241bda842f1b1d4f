use std::collections::BTreeMap;
use std::fmt;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use thiserror::Error;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{Ring, folder, redact};
use crate::doctor::Report;
use crate::error::{ErrorCode, PairingError};
use crate::journal::{Entry, FILE_NAME, Journal};

/// Journal rows in a bundle: the newest ones.
const JOURNAL_ROWS: u32 = 500;

/// What support asks for, in one file that a person sends (or does not). It is redacted once more on its way in, and
/// nothing is uploaded.
#[derive(Debug, Default)]
pub struct Bundle<'a> {
    /// Where the ring of logs is.
    pub data_dir: PathBuf,
    /// What the doctor found.
    pub report: Option<&'a Report>,
    /// The settings as their file has them.
    pub settings: Option<String>,
    /// The journal's newest rows, or why there are none.
    pub journal: Option<Result<Vec<Entry>, ErrorCode>>,
    /// Names and versions of what runs here, for example `lowtouch` and `0.1.0`.
    pub versions: BTreeMap<String, String>,
}

/// One file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// Its name in the bundle.
    pub name: String,
    /// Its length in bytes, unpacked.
    pub bytes: usize,
    /// What it is.
    pub what: &'static str,
}

/// What is in a bundle, and what was left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    /// The files.
    pub files: Vec<Content>,
    /// What is not in it, and why; in JSON plain English.
    #[serde(serialize_with = "in_words")]
    pub left_out: Vec<LeftOut>,
}

fn in_words<S: Serializer>(left_out: &[LeftOut], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(left_out.iter().map(ToString::to_string))
}

/// Something that is not in a bundle, and why. `Display` says it in plain English; a page words it in its own language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "what", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LeftOut {
    /// Tokens, keys, passphrases and labels: they are in no log and no journal.
    Secrets,
    /// The keyring and the secrets file.
    Keyring,
    /// Anything of the devices beyond what the journal has.
    Devices,
    /// The doctor's report, which was not asked for.
    Report,
    /// The settings: there is no file.
    Settings,
    /// The journal: there is none yet.
    NoJournal,
    /// The journal.
    Journal {
        /// Why it cannot be read.
        code: ErrorCode,
    },
    /// A log.
    Log {
        /// Its name.
        name: String,
        /// Why it cannot be read, as the system says it.
        why: String,
    },
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secrets => f.write_str(
                "Tokens, keys, passphrases and labels: they are never written to logs or journal, and what looks like one is replaced by [redacted].",
            ),
            Self::Keyring => f.write_str("The keyring and the secrets file."),
            Self::Devices => f.write_str(
                "Anything of the devices themselves beyond what the journal has: names, registration IDs, hubs, times.",
            ),
            Self::Report => f.write_str("The doctor's report: it was not asked for."),
            Self::Settings => f.write_str("The settings: there is no file, all are defaults."),
            Self::NoJournal => f.write_str("The journal: there is none yet."),
            Self::Journal { code } => write!(f, "The journal: {}", code.hint()),
            Self::Log { name, why } => write!(f, "The log {name}: {why}"),
        }
    }
}

/// Why no bundle was made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The file cannot be written: the disk is full, or the folder may not be written to.
    #[error("the bundle cannot be written")]
    Write(#[from] std::io::Error),
    /// The archive cannot be made.
    #[error("the bundle cannot be packed")]
    Pack(#[from] zip::result::ZipError),
}

/// The journal's newest rows as a bundle has them, without making a journal where there is none.
pub async fn newest_rows(data_dir: &Path) -> Option<Result<Vec<Entry>, ErrorCode>> {
    if !data_dir.join(FILE_NAME).is_file() {
        return None;
    }
    let rows = async { Journal::open(data_dir).await?.list(JOURNAL_ROWS).await };
    Some(rows.await.map_err(|error: PairingError| error.code))
}

/// Always left out, by design.
const NEVER: [LeftOut; 3] = [LeftOut::Secrets, LeftOut::Keyring, LeftOut::Devices];

impl Bundle<'_> {
    /// How its file is called where nobody says: `lowtouch-logs-2026-11-30-104358.zip`, by the clock on the wall.
    #[must_use]
    pub fn file_name() -> String {
        format!("lowtouch-logs-{}.zip", jiff::Zoned::now().strftime("%Y-%m-%d-%H%M%S"))
    }

    /// Packs everything into `to` and says what that was. A log file that cannot be read is left out and named.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn write(&self, to: impl Write + Seek) -> Result<Contents, BundleError> {
        let mut zip = ZipWriter::new(to);
        let mut contents = Contents { files: Vec::new(), left_out: NEVER.to_vec() };
        let mut put = |contents: &mut Contents, name: String, what: &'static str, text: &str| {
            let text = lines(text);
            let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
            zip.start_file(&name, options)?;
            zip.write_all(text.as_bytes())?;
            contents.files.push(Content { name, bytes: text.len(), what });
            Ok::<_, BundleError>(())
        };
        put(&mut contents, "versions.json".into(), "what runs here, and on what", &json(&self.versions))?;
        match self.report {
            Some(report) => put(&mut contents, "doctor.json".into(), "what the doctor found", &json(report))?,
            None => contents.left_out.push(LeftOut::Report),
        }
        match &self.settings {
            Some(settings) => put(&mut contents, "settings.toml".into(), "the settings' file", settings)?,
            None => contents.left_out.push(LeftOut::Settings),
        }
        match &self.journal {
            Some(Ok(entries)) => {
                let rows: Vec<String> = entries.iter().filter_map(|entry| serde_json::to_string(entry).ok()).collect();
                let text = rows.join("\n");
                put(&mut contents, "journal.jsonl".into(), "the newest pairings, without secrets", &text)?;
            }
            Some(Err(code)) => contents.left_out.push(LeftOut::Journal { code: *code }),
            None => contents.left_out.push(LeftOut::NoJournal),
        }
        for file in Ring::files(&folder(&self.data_dir)) {
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            match read(&file) {
                Ok(text) => put(&mut contents, format!("logs/{name}"), "a log, JSON lines", &text)?,
                Err(error) => contents.left_out.push(LeftOut::Log { name, why: error.to_string() }),
            }
        }
        let about = about(&contents);
        put(&mut contents, "README.txt".into(), "what this is", &about)?;
        zip.finish()?.flush()?;
        Ok(contents)
    }
}

fn read(file: &Path) -> std::io::Result<String> {
    Ok(String::from_utf8_lossy(&std::fs::read(file)?).into_owned())
}

/// Line by line, so that one line's odd quotes cannot swallow the next. A key of several lines is one line in JSON.
fn lines(text: &str) -> String {
    let whole = redact(text);
    let mut redacted = String::with_capacity(whole.len());
    for line in whole.lines() {
        redacted.push_str(&redact(line));
        redacted.push('\n');
    }
    redacted
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn about(contents: &Contents) -> String {
    let mut text = String::from(
        "This bundle is for support. It was made on this machine and sent nowhere; look through it before you send it.\n\nIn it:\n",
    );
    for file in &contents.files {
        text.push_str(&format!("  {}  {} ({} bytes)\n", file.name, file.what, file.bytes));
    }
    text.push_str("\nNot in it:\n");
    for what in &contents.left_out {
        text.push_str(&format!("  {what}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read as _};

    use super::*;

    fn unpack(zip: Vec<u8>) -> BTreeMap<String, String> {
        let mut archive = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
        (0..archive.len())
            .map(|index| {
                let mut file = archive.by_index(index).unwrap();
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                (file.name().unwrap().into_owned(), text)
            })
            .collect()
    }

    #[test]
    fn a_bundle_says_what_is_in_it_and_what_is_not_and_redacts_what_the_files_have() {
        let data = tempfile::tempdir().unwrap();
        let logs = folder(data.path());
        std::fs::create_dir_all(&logs).unwrap();
        // Written by an older version, say, that did not redact.
        std::fs::write(logs.join("20260101T000000000-1-0.jsonl"), "{\"pop\":\"MARKED\"}\n{\"step\":\"connect\"}\n")
            .unwrap();
        std::fs::write(logs.join("strange.txt"), "MARKED").unwrap();
        let bundle = Bundle {
            data_dir: data.path().to_owned(),
            settings: Some("[api]\nurl = \"https://a.example\"\npassword = \"MARKED\"\n".into()),
            journal: Some(Err(ErrorCode::JournalNotADatabase)),
            versions: [("lowtouch".to_owned(), "0.1.0".to_owned())].into(),
            ..Bundle::default()
        };
        let mut zip = Cursor::new(Vec::new());
        let contents = bundle.write(&mut zip).unwrap();
        let files = unpack(zip.into_inner());
        assert_eq!(
            files.keys().map(String::as_str).collect::<Vec<_>>(),
            ["README.txt", "logs/20260101T000000000-1-0.jsonl", "settings.toml", "versions.json"]
        );
        assert!(files.values().all(|text| !text.contains("MARKED")), "{files:?}");
        assert!(files["settings.toml"].contains("https://a.example"));
        assert!(files["logs/20260101T000000000-1-0.jsonl"].contains("connect"));
        assert!(files["README.txt"].contains("sent nowhere") && files["README.txt"].contains("file is damaged"));
        assert_eq!(contents.files.len(), files.len());
        assert!(contents.left_out.contains(&LeftOut::Keyring));
        // What the command line prints for programs.
        let printed = serde_json::to_value(&contents).unwrap();
        assert_eq!(printed["leftOut"][1], "The keyring and the secrets file.");
        let journal = LeftOut::Journal { code: ErrorCode::JournalNotADatabase };
        assert!(contents.left_out.contains(&journal));
        let for_pages = serde_json::to_value(&journal).unwrap();
        assert_eq!(for_pages, serde_json::json!({ "what": "journal", "code": "journal-not-a-database" }));
    }

    #[test]
    fn a_disk_that_is_full_is_an_error_and_no_panic() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        impl Seek for Full {
            fn seek(&mut self, _: std::io::SeekFrom) -> std::io::Result<u64> {
                Ok(0)
            }
        }
        assert!(Bundle::default().write(Full).is_err());
    }
}
