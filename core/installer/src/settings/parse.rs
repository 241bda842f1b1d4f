//! From the file's text to settings, with the place of everything that is wrong.

use std::ops::Range;
use std::path::Path;

use toml_edit::{Document, Item};

use super::Setting;
use super::error::{SettingsError, Source};
use super::key::{Key, Value, secret_key};
use crate::error::ErrorCode;

/// No settings are longer, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Reads the file; one that is not there is empty. What is wrong with single keys is beside what could be read.
pub(super) fn file(path: &Path) -> Result<(Vec<Setting>, Vec<SettingsError>), SettingsError> {
    match text(path)? {
        None => Ok((Vec::new(), Vec::new())),
        Some(text) => settings(path, &text),
    }
}

/// The file's text, `None` if it is not there.
pub(super) fn text(path: &Path) -> Result<Option<String>, SettingsError> {
    let unreadable = |what: String| SettingsError {
        code: ErrorCode::SettingsUnreadable,
        key: None,
        source: Source::File { path: path.into(), line: 0, column: 0 },
        what,
        mend: "Check the name and that you may read the file; --config FILE names another one.".into(),
    };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(format!("the settings file cannot be read ({error})"))),
        Ok(metadata) if metadata.is_dir() => return Err(unreadable("this is a folder".into())),
        Ok(metadata) if metadata.len() > MAX_FILE => {
            return Err(unreadable(format!("this is no settings file: it has {} bytes", metadata.len())));
        }
        Ok(_) => {}
    }
    let bytes =
        std::fs::read(path).map_err(|error| unreadable(format!("the settings file cannot be read ({error})")))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let bytes = error.into_bytes();
            let before = String::from_utf8_lossy(bytes.get(..at).unwrap_or_default()).into_owned();
            Err(torn(path, &before, before.len(), "this is not UTF-8 text", "Save the file as UTF-8."))
        }
    }
}

/// The settings of a text that is TOML.
pub(super) fn settings(path: &Path, text: &str) -> Result<(Vec<Setting>, Vec<SettingsError>), SettingsError> {
    let document = Document::parse(text).map_err(|error| {
        let at = error.span().map_or(text.len(), |span| span.start);
        torn(path, text, at, error.message(), "Correct the line, or restore it; the file is left as it is.")
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let (mut settings, mut problems) = (Vec::new(), Vec::new());
    for (name, item) in document.as_table().iter() {
        let span = document.as_table().key(name).and_then(toml_edit::Key::span).or_else(|| item.span());
        let source = place(path, text, span);
        let Some(key) = Key::named(name) else {
            problems.push(unknown(name, source));
            continue;
        };
        let Some(value) = value(item) else {
            problems.push(SettingsError {
                code: ErrorCode::SettingsInvalid,
                key: Some(name.into()),
                source,
                what: if key.is_list() { "it must be a list of texts" } else { "it must be text" }.into(),
                mend: format!("Write it in quotes. It looks like: {}.", key.looks()),
            });
            continue;
        };
        match key.check(value, folder) {
            Ok(value) => settings.push(Setting { key, value: Some(value), source }),
            Err(refused) => problems.push(refused.at(key, source)),
        }
    }
    Ok((settings, problems))
}

fn value(item: &Item) -> Option<Value> {
    let value = item.as_value()?;
    if let Some(text) = value.as_str() {
        return Some(Value::Text(text.trim().into()));
    }
    let texts: Option<Vec<String>> = value.as_array()?.iter().map(|value| value.as_str().map(str::to_owned)).collect();
    Some(Value::List(texts?))
}

/// For a key that there is not.
pub(super) fn unknown(name: &str, source: Source) -> SettingsError {
    if let Some(mend) = secret_key(name) {
        return SettingsError {
            code: ErrorCode::SettingsSecret,
            key: Some(name.into()),
            source,
            what: "a secret does not belong in the settings".into(),
            mend: mend.into(),
        };
    }
    let plain = name.to_ascii_lowercase().replace(['_', '.', ' '], "-");
    let nearest = Key::ALL
        .iter()
        .map(|key| (strsim::normalized_damerau_levenshtein(&plain, key.as_str()), key.as_str()))
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    let all: Vec<&str> = Key::ALL.iter().map(|key| key.as_str()).collect();
    SettingsError {
        code: ErrorCode::SettingsUnknownKey,
        key: Some(name.into()),
        source,
        what: "there is no such setting".into(),
        mend: match nearest {
            Some((_, nearest)) => format!("The nearest one is {nearest}. The settings are {}.", all.join(", ")),
            None => format!("The settings are {}.", all.join(", ")),
        },
    }
}

fn torn(path: &Path, text: &str, at: usize, what: &str, mend: &str) -> SettingsError {
    SettingsError {
        code: ErrorCode::SettingsTorn,
        key: None,
        source: place(path, text, Some(at..at)),
        what: what.into(),
        mend: mend.into(),
    }
}

/// Line and column of a byte, both counted from 1, the column in characters.
fn place(path: &Path, text: &str, span: Option<Range<usize>>) -> Source {
    let Some(span) = span else { return Source::File { path: path.into(), line: 0, column: 0 } };
    let mut at = span.start.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Source::File { path: path.into(), line, column }
}
