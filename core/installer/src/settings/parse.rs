//! From the file's text to settings, with the place of everything that is wrong.

use std::ops::Range;
use std::path::Path;

use toml_edit::{Document, Item};

use super::Setting;
use super::error::{SettingsError, Source};
use super::key::{Key, Value, secret_key};
use super::wrong::Wrong;
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
    let refused = |wrong| SettingsError {
        code: ErrorCode::SettingsUnreadable,
        key: None,
        source: Source::File { path: path.into(), line: 0, column: 0 },
        wrong: Box::new(wrong),
    };
    let unreadable = |error: std::io::Error| refused(Wrong::Unreadable { why: error.to_string() });
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
        Ok(metadata) if metadata.is_dir() => return Err(refused(Wrong::Folder)),
        Ok(metadata) if metadata.len() > MAX_FILE => {
            return Err(refused(Wrong::TooLong { bytes: metadata.len() }));
        }
        Ok(_) => {}
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let bytes = error.into_bytes();
            let before = String::from_utf8_lossy(bytes.get(..at).unwrap_or_default()).into_owned();
            Err(torn(path, &before, before.len(), Wrong::NotUtf8))
        }
    }
}

/// The settings of a text that is TOML.
pub(super) fn settings(path: &Path, text: &str) -> Result<(Vec<Setting>, Vec<SettingsError>), SettingsError> {
    let document = Document::parse(text).map_err(|error| {
        let at = error.span().map_or(text.len(), |span| span.start);
        torn(path, text, at, Wrong::Torn { why: error.message().into() })
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
            let looks = key.looks().into();
            let wrong = if key.is_list() { Wrong::NotTexts { looks } } else { Wrong::NotText { looks } };
            problems.push(SettingsError {
                code: ErrorCode::SettingsInvalid,
                key: Some(name.into()),
                source,
                wrong: Box::new(wrong),
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
    let refused = |code, wrong| SettingsError { code, key: Some(name.into()), source, wrong: Box::new(wrong) };
    if let Some(secret) = secret_key(name) {
        return refused(ErrorCode::SettingsSecret, secret);
    }
    let plain = name.to_ascii_lowercase().replace(['_', '.', ' '], "-");
    let nearest = Key::ALL
        .iter()
        .map(|key| (strsim::normalized_damerau_levenshtein(&plain, key.as_str()), key.as_str()))
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    let nearest = nearest.map(|(_, nearest)| nearest.to_owned()).unwrap_or_default();
    let all = Key::ALL.iter().map(|key| key.as_str().to_owned()).collect();
    refused(ErrorCode::SettingsUnknownKey, Wrong::UnknownKey { nearest, all })
}

fn torn(path: &Path, text: &str, at: usize, wrong: Wrong) -> SettingsError {
    SettingsError {
        code: ErrorCode::SettingsTorn,
        key: None,
        source: place(path, text, Some(at..at)),
        wrong: Box::new(wrong),
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
