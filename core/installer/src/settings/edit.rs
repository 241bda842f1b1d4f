//! Changes of the file. Comments, order and everything that is not changed stay as they are.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use atomic_write_file::AtomicWriteFile;
use toml_edit::{Array, DocumentMut, Item, RawString, Value as Toml};

use super::error::{SettingsError, Source};
use super::key::{Key, Value};
use super::wrong::Wrong;
use super::{ca_file, parse};
use crate::error::ErrorCode;

/// A new file begins with this.
const HEADER: &str =
    "# Settings of lowtouch. `lowtouch config list` shows what holds; docs/configuration.md has every key.\n";

/// Sets one key in the file, which is made if it is not there. `values`: one, or several for a list; relative file names
/// start at the current folder. CA files are read and checked first.
///
/// # Errors
/// `settings-invalid`, `settings-secret`, `api-ca-invalid` for the value; `settings-unreadable`, `settings-torn` and
/// `settings-unknown-key` for a file that cannot be understood, which is then left as it is; `settings-unwritable`.
pub fn set(file: &Path, key: Key, values: &[String]) -> Result<(), SettingsError> {
    let refused = |wrong| SettingsError {
        code: ErrorCode::SettingsInvalid,
        key: Some(key.as_str().into()),
        source: Source::Default,
        wrong: Box::new(wrong),
    };
    let value = match (values, key.is_list()) {
        (values, true) if !values.is_empty() => Value::List(values.to_vec()),
        ([value], false) => Value::Text(value.trim().into()),
        ([], _) => return Err(refused(Wrong::Missing { looks: key.looks().into() })),
        _ => return Err(refused(Wrong::Several { looks: key.looks().into() })),
    };
    let here = std::env::current_dir().unwrap_or_default();
    let value = key.check(value, &here).map_err(|refused| refused.at(key, Source::Default))?;
    if let (Key::CaFiles, Value::List(files)) = (key, &value) {
        for file in files {
            ca_file(Path::new(file))?;
        }
    }
    change(file, true, |document| {
        let mut new: Toml = match value {
            Value::Text(text) => text.into(),
            Value::List(texts) => texts.into_iter().collect::<Array>().into(),
        };
        if let Some(place) = document.get_mut(key.as_str()) {
            if let Some(old) = place.as_value() {
                // The comment behind it.
                *new.decor_mut() = old.decor().clone();
            }
            *place = Item::Value(new);
            return;
        }
        let first = document.as_table().is_empty();
        document.insert(key.as_str(), Item::Value(new));
        if first {
            // What a file without settings has, its comments, stays above.
            let above = document.trailing().as_str().unwrap_or_default().to_owned();
            put_above(document, key.as_str(), &above);
            document.set_trailing("");
        }
    })
}

/// Takes one key out of the file, also one that is no setting. Whether it was there.
///
/// # Errors
/// `settings-unreadable`, `settings-torn` for a file that cannot be understood, which is then left as it is;
/// `settings-unwritable`.
pub fn unset(file: &Path, name: &str) -> Result<bool, SettingsError> {
    let mut was_there = false;
    change(file, false, |document| {
        let Some((key, _)) = document.as_table().get_key_value(name) else { return };
        was_there = true;
        // The comments above it may be of the whole file.
        let above = key.leaf_decor().prefix().and_then(RawString::as_str).unwrap_or_default().to_owned();
        let mut after = document.as_table().iter().map(|(key, _)| key.to_owned()).skip_while(|key| key != name).skip(1);
        let next = after.next();
        drop(after);
        document.remove(name);
        match next {
            Some(next) => put_above(document, &next, &above),
            None => {
                let trailing = document.trailing().as_str().unwrap_or_default().to_owned();
                document.set_trailing(above + &trailing);
            }
        }
    })?;
    Ok(was_there)
}

fn put_above(document: &mut DocumentMut, key: &str, text: &str) {
    if let Some(mut key) = document.as_table_mut().key_mut(key) {
        let decor = key.leaf_decor_mut();
        let old = decor.prefix().and_then(RawString::as_str).unwrap_or_default().to_owned();
        decor.set_prefix(format!("{text}{old}"));
    }
}

/// `whole`: what else is wrong with the file is an error too, before anything is written.
fn change(file: &Path, whole: bool, change: impl FnOnce(&mut DocumentMut)) -> Result<(), SettingsError> {
    // Settings are often a link into a folder of dotfiles; what is replaced is what it points to.
    let file: PathBuf = std::fs::canonicalize(file).unwrap_or_else(|_| file.into());
    let unwritable = |error: std::io::Error| SettingsError {
        code: ErrorCode::SettingsUnwritable,
        key: None,
        source: Source::File { path: file.clone(), line: 0, column: 0 },
        wrong: Box::new(Wrong::Unwritable { why: error.to_string() }),
    };
    // To replace a device (/dev/null as "no settings") would break the machine for everybody.
    if std::fs::metadata(&file).is_ok_and(|there| !there.is_file()) {
        return Err(unwritable(std::io::Error::other("it is no regular file")));
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(unwritable)?;
    // Two changes at once: the second one waits, and sees the first one's.
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join(format!(".{}.lock", super::FILE_NAME)))
        .map_err(unwritable)?;
    lock.lock().map_err(unwritable)?;

    let before = parse::text(&file)?;
    let before = before.as_deref().unwrap_or(HEADER);
    if let Some(problem) = parse::settings(&file, before)?.1.into_iter().next().filter(|_| whole) {
        return Err(problem);
    }
    let mut document: DocumentMut = before.parse().map_err(|error: toml_edit::TomlError| SettingsError {
        code: ErrorCode::SettingsTorn,
        key: None,
        source: Source::File { path: file.clone(), line: 0, column: 0 },
        wrong: Box::new(Wrong::Torn { why: error.message().into() }),
    })?;
    change(&mut document);
    let after = document.to_string();
    if after == before {
        return Ok(());
    }
    let mut new = AtomicWriteFile::open(&file).map_err(unwritable)?;
    new.write_all(after.as_bytes()).map_err(unwritable)?;
    new.commit().map_err(unwritable)
}
