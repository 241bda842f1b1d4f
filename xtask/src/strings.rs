//! The words of the phone apps, made from the desktop app's and from `bindings/strings`, which explains it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::commands::{Outcome, root};

/// The first is the one that the others must match.
const LANGUAGES: [&str; 4] = ["en", "de", "es", "zh"];
/// What of the desktop app's words a phone says too.
const NAMESPACES: [&str; 1] = ["codes"];
/// CLDR's plural forms, as they end a key: `codes-guessed_one`. Chinese has only `other`, Spanish has `many` too.
const COUNTS: [&str; 6] = ["zero", "one", "two", "few", "many", "other"];

/// One language's texts: by key, then by count (`other` for a text without one).
type Words = BTreeMap<String, BTreeMap<&'static str, String>>;

/// `cargo xtask strings`: writes the files.
pub(crate) fn write() -> Outcome {
    for (path, text) in files(&root())? {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// All files with what should be in them.
fn files(root: &Path) -> Result<Vec<(PathBuf, String)>, String> {
    let mut all = Vec::new();
    for language in LANGUAGES {
        let mut words = Words::new();
        for namespace in NAMESPACES {
            let path = root.join(format!("ui/src/locales/{language}/{namespace}.json"));
            collect(&read(&path)?, namespace, &mut words)?;
        }
        collect(&read(&root.join(format!("bindings/strings/{language}.json")))?, "phone", &mut words)?;
        all.push((language, words));
    }
    let (_, english) = &all[0];
    for (language, words) in &all {
        same_keys(english, language, words)?;
    }
    let resources = root.join("bindings/android/lowtouch/src/main/res");
    let mut files = Vec::new();
    for (language, words) in &all {
        let folder = if *language == LANGUAGES[0] { "values".to_owned() } else { format!("values-{language}") };
        files.push((resources.join(folder).join("lowtouch_strings.xml"), android(english, words)));
    }
    let catalog = root.join("bindings/ios/Sources/PairingWords/Resources/Localizable.xcstrings");
    files.push((catalog, apple(english, &all)));
    Ok(files)
}

fn read(path: &Path) -> Result<Value, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

fn collect(value: &Value, path: &str, words: &mut Words) -> Outcome {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let (name, count) = COUNTS
                    .iter()
                    .find_map(|count| Some((name.strip_suffix(count)?.strip_suffix('_')?, *count)))
                    .unwrap_or((name, "other"));
                let key = format!("{path}_{}", name.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
                match field {
                    Value::String(text) => {
                        if words.entry(key.clone()).or_default().insert(count, text.clone()).is_some() {
                            return Err(format!("two texts would be called {key}"));
                        }
                    }
                    _ => collect(field, &key, words)?,
                }
            }
            Ok(())
        }
        _ => Err(format!("{path} is neither a text nor a group of texts")),
    }
}

fn same_keys(english: &Words, language: &str, words: &Words) -> Outcome {
    for key in english.keys().chain(words.keys()) {
        let (Some(original), Some(translation)) = (english.get(key), words.get(key)) else {
            return Err(format!("{key} is not in both en and {language}"));
        };
        let expected: BTreeSet<_> = names(&original["other"]).into_iter().collect();
        for text in translation.values() {
            if names(text).into_iter().any(|name| name != "count" && !expected.contains(name)) {
                return Err(format!("{key} in {language} names a value that English does not"));
            }
        }
        if !translation.contains_key("other") {
            return Err(format!("{key} in {language} has no text for the count other"));
        }
    }
    Ok(())
}

/// The values that a text names, in its order.
fn names(text: &str) -> Vec<&str> {
    text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(name, _)| name).collect()
}

/// The order in which a platform is given the values: the count first, then as English has them.
fn order<'a>(english: &'a BTreeMap<&'static str, String>) -> Vec<&'a str> {
    let mut order = Vec::new();
    if english.contains_key("one") {
        order.push("count");
    }
    for name in names(&english["other"]) {
        if !order.contains(&name) {
            order.push(name);
        }
    }
    order
}

/// `{{name}}` as the platform's place with that number.
fn placed(text: &str, order: &[&str], place: impl Fn(usize, &str) -> String) -> String {
    // A percent sign means something only where there are values.
    let mut text = if order.is_empty() { text.to_owned() } else { text.replace('%', "%%") };
    for (index, name) in order.iter().enumerate() {
        text = text.replace(&format!("{{{{{name}}}}}"), &place(index + 1, name));
    }
    text
}

fn android(english: &Words, words: &Words) -> String {
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<!-- Made by `cargo xtask strings`; edit ui/src/locales or bindings/strings. -->\n<resources>\n",
    );
    for (key, counts) in words {
        let order = order(&english[key]);
        let text = |text: &str| {
            let kind = |index: usize, name: &str| format!("%{index}${}", if name == "count" { 'd' } else { 's' });
            placed(text, &order, kind)
                .replace('\\', "\\\\")
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('\'', "\\'")
                .replace('"', "\\\"")
                .replace('\n', "\\n")
        };
        let first = |text: String| if text.starts_with(['@', '?']) { format!("\\{text}") } else { text };
        // Writing to a string cannot fail.
        let _ = if english[key].contains_key("one") {
            let _ = writeln!(xml, "    <plurals name=\"{key}\">");
            for (count, one) in counts {
                let _ = writeln!(xml, "        <item quantity=\"{count}\">{}</item>", first(text(one)));
            }
            writeln!(xml, "    </plurals>")
        } else {
            writeln!(xml, "    <string name=\"{key}\">{}</string>", first(text(&counts["other"])))
        };
    }
    xml.push_str("</resources>\n");
    xml
}

fn apple(english: &Words, all: &[(&str, Words)]) -> String {
    let mut strings = serde_json::Map::new();
    for (key, original) in english {
        let order = order(original);
        let unit = |text: &str| {
            let kind = |index: usize, name: &str| format!("%{index}${}", if name == "count" { "lld" } else { "@" });
            json!({ "stringUnit": { "state": "translated", "value": placed(text, &order, kind) } })
        };
        let mut localizations = serde_json::Map::new();
        for (language, words) in all {
            let counts = &words[key];
            let localization = if original.contains_key("one") {
                let plural: serde_json::Map<_, _> =
                    counts.iter().map(|(count, text)| ((*count).to_owned(), unit(text))).collect();
                json!({ "variations": { "plural": plural } })
            } else {
                unit(&counts["other"])
            };
            let name = if *language == "zh" { "zh-Hans" } else { language };
            localizations.insert(name.to_owned(), localization);
        }
        strings.insert(key.clone(), json!({ "extractionState": "manual", "localizations": localizations }));
    }
    // A text a line, so that a change shows as one.
    let lines: Vec<String> = strings.iter().map(|(key, string)| format!("    {}: {string}", json!(key))).collect();
    format!(
        "{{\n  \"sourceLanguage\": \"en\",\n  \"strings\": {{\n{}\n  }},\n  \"version\": \"1.0\"\n}}\n",
        lines.join(",\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: Value) -> Words {
        let mut words = Words::new();
        collect(&text, "p", &mut words).unwrap();
        words
    }

    #[test]
    fn the_phones_words_are_those_of_their_sources() {
        for (path, text) in files(&root()).unwrap() {
            let found = fs::read_to_string(&path).unwrap_or_default();
            assert!(found == text, "{} is old: cargo xtask strings", path.display());
        }
    }

    #[test]
    fn values_stand_where_the_language_wants_them_and_are_numbered_as_in_english() {
        let english = words(json!({ "a-b": "{{x}} before {{y}}, 100 %" }));
        let german = words(json!({ "a-b": "{{y}} nach {{x}}, 100 %" }));
        assert!(android(&english, &german).contains("<string name=\"p_a_b\">%2$s nach %1$s, 100 %%</string>"));
        let catalog = apple(&english, &[("en", english.clone()), ("de", german)]);
        assert!(catalog.contains("\"%2$@ nach %1$@, 100 %%\""), "{catalog}");
    }

    #[test]
    fn what_means_something_in_xml_or_to_android_is_escaped() {
        let english = words(json!({ "t": "@it's \"A & B\" <c> 5 %" }));
        let xml = android(&english, &english);
        assert!(xml.contains("<string name=\"p_t\">\\@it\\'s \\\"A &amp; B\\\" &lt;c&gt; 5 %</string>"), "{xml}");
    }

    #[test]
    fn a_count_has_its_forms_in_each_language() {
        let english = words(json!({ "n_one": "{{count}} of {{all}}", "n_other": "{{count}} of {{all}}s" }));
        let chinese = words(json!({ "n_other": "{{all}} 的 {{count}}" }));
        same_keys(&english, "zh", &chinese).unwrap();
        let xml = android(&english, &chinese);
        assert!(xml.contains("<plurals name=\"p_n\">\n        <item quantity=\"other\">%2$s 的 %1$d</item>"), "{xml}");
    }

    #[test]
    fn a_translation_that_lacks_a_text_or_names_another_value_is_refused() {
        let english = words(json!({ "a": "{{x}}", "b": "B" }));
        assert!(same_keys(&english, "de", &words(json!({ "a": "{{x}}" }))).is_err());
        assert!(same_keys(&english, "de", &words(json!({ "a": "{{y}}", "b": "B" }))).is_err());
        same_keys(&english, "de", &words(json!({ "a": "ohne", "b": "B" }))).unwrap();
    }
}
