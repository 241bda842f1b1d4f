//! The words of menus, tray and notifications: those of the page, `ui/src/locales/*/menu.json`.

use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

/// The languages of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Language {
    #[default]
    En,
    De,
    Es,
    Zh,
}

impl Language {
    /// What the environment asks for (`de_DE.UTF-8`), until the page says what it speaks.
    pub(crate) fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Language {
        let wanted =
            ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(|name| variable(name).filter(|v| !v.is_empty()));
        match wanted.unwrap_or_default().get(..2) {
            Some("de") => Language::De,
            Some("es") => Language::Es,
            Some("zh") => Language::Zh,
            _ => Language::En,
        }
    }

    fn file(self) -> &'static str {
        match self {
            Language::En => include_str!("../../ui/src/locales/en/menu.json"),
            Language::De => include_str!("../../ui/src/locales/de/menu.json"),
            Language::Es => include_str!("../../ui/src/locales/es/menu.json"),
            Language::Zh => include_str!("../../ui/src/locales/zh/menu.json"),
        }
    }

    /// A test reads all of them.
    pub(crate) fn words(self) -> Words {
        serde_json::from_str(self.file()).unwrap_or_default()
    }
}

/// The language that is spoken now.
#[derive(Default)]
pub(crate) struct Spoken(Mutex<Language>);

impl Spoken {
    pub(crate) fn get(&self) -> Language {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether that is another one than before.
    pub(crate) fn set(&self, language: Language) -> bool {
        let before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), language);
        before != language
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Words {
    pub(crate) device: String,
    pub(crate) pair: String,
    pub(crate) bench: String,
    pub(crate) quit: String,
    pub(crate) edit: String,
    pub(crate) undo: String,
    pub(crate) redo: String,
    pub(crate) cut: String,
    pub(crate) copy: String,
    pub(crate) paste: String,
    pub(crate) select_all: String,
    pub(crate) view: String,
    pub(crate) journal: String,
    pub(crate) orders: String,
    pub(crate) accounts: String,
    pub(crate) settings: String,
    pub(crate) doctor: String,
    pub(crate) updates: String,
    pub(crate) open: String,
    pub(crate) paired: Notice,
    pub(crate) not_paired: Notice,
    pub(crate) goes_on: Notice,
    pub(crate) ask_quit: AskQuit,
    pub(crate) update: Update,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Notice {
    pub(crate) title: String,
    pub(crate) text: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskQuit {
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) quit: String,
    pub(crate) stay: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Update {
    pub(crate) title: String,
    pub(crate) there: String,
    pub(crate) install: String,
    pub(crate) later: String,
    pub(crate) none: String,
    pub(crate) failed: String,
}

/// Puts a value where the words have a place for it: `{{name}}`.
pub(crate) fn fill(words: &str, name: &str, value: &str) -> String {
    words.replace(&format!("{{{{{name}}}}}"), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_all_words_and_their_places() {
        for language in [Language::En, Language::De, Language::Es, Language::Zh] {
            let words: Words = serde_json::from_str(language.file()).unwrap();
            for (text, place) in [
                (&words.paired.title, "{{name}}"),
                (&words.paired.text, "{{hub}}"),
                (&words.not_paired.title, "{{name}}"),
                (&words.goes_on.text, "{{count}}"),
                (&words.ask_quit.text, "{{count}}"),
                (&words.update.there, "{{version}}"),
            ] {
                assert!(text.contains(place), "{language:?}: {text} has no {place}");
            }
            assert!(!language.file().contains("\"\""), "{language:?} has an empty word");
        }
    }

    #[test]
    fn the_language_is_the_environments_until_the_page_speaks() {
        let of = |value: &str| {
            let value = value.to_owned();
            Language::of_environment(move |name| (name == "LANG").then(|| value.clone()))
        };
        assert_eq!(of("de_AT.UTF-8"), Language::De);
        assert_eq!(of("zh_CN.UTF-8"), Language::Zh);
        assert_eq!(of("fr_FR.UTF-8"), Language::En);
        assert_eq!(of("C"), Language::En);
        assert_eq!(of("日"), Language::En);
        assert_eq!(Language::of_environment(|_| None), Language::En);
    }

    #[test]
    fn a_place_is_filled_once_for_each_time_it_stands_there() {
        assert_eq!(fill("{{name}} and {{name}}, not {{hub}}", "name", "pump"), "pump and pump, not {{hub}}");
    }
}
