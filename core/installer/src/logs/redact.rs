use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What stands where a secret was.
pub const REDACTED: &str = "[redacted]";

/// Names of values that are secret, whatever they look like.
const NAMES: &str = r"(?:pop|proof_?of_?possession|passphrase|password|passwd|psk|wifi_?pass(?:word|phrase)?|secret|client_?secret|access_?token|refresh_?token|id_?token|bearer_?token|token|device_?code|code_?verifier|invite|invite_?code|symmetric_?key|primary_?key|secondary_?key|private_?key|group_?key|service_?key|device_?key|shared_?access_?key|shared_?access_?signature)";

struct Rule {
    pattern: Regex,
    with: fn(&Captures<'_>) -> String,
}

/// Takes out what has the shape of a secret: our tokens, JSON web tokens, invite codes, keys, passwords in URLs,
/// `Authorization` headers, and values that are called PoP, passphrase, token and the like. JSON stays JSON.
///
/// It is a net below the types that keep secrets out of texts, not instead of them: a passphrase that nobody calls one
/// looks like any other word.
pub fn redact(text: &str) -> Cow<'_, str> {
    let Some(rules) = &*RULES else { return REDACTED.into() };
    let mut text = Cow::Borrowed(text);
    for rule in rules {
        if let Cow::Owned(redacted) = rule.pattern.replace_all(&text, rule.with) {
            text = Cow::Owned(redacted);
        }
    }
    text
}

fn whole(_: &Captures<'_>) -> String {
    REDACTED.to_owned()
}

/// What comes before the secret stays.
fn after_first(found: &Captures<'_>) -> String {
    format!("{}{REDACTED}", &found[1])
}

/// As [`after_first`], but words that JSON needs stay, and so do numbers.
fn unless_json(found: &Captures<'_>) -> String {
    let value = &found[2];
    let harmless = matches!(value, "null" | "true" | "false" | "None") || value.parse::<f64>().is_ok();
    if harmless || value.starts_with("Secret") { found[0].to_owned() } else { after_first(found) }
}

/// `None`: a pattern does not compile (regex without a feature that it needs), and nothing is let through.
static RULES: LazyLock<Option<Vec<Rule>>> = LazyLock::new(|| {
    type With = fn(&Captures<'_>) -> String;
    let rules: [(String, With); 15] = [
        // A private key, whether or not its end is there; in JSON its line ends are `\n`.
        (r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|$)".into(), whole),
        // Authorization and Proxy-Authorization, to the end of the line or of the quotes.
        (r#"(?i)(authorization\\*["']?\s*[:=]\s*\\*["']?)[^"'\\\r\n]+"#.into(), after_first),
        (r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{8,}".into(), after_first),
        (r"\b(Basic\s+)[A-Za-z0-9+/]{6,}={1,2}".into(), after_first),
        // Our own tokens. (Our crates' names are shorter.)
        (r"\blowtouch[a-z]*_[A-Za-z0-9_-]{20,}".into(), whole),
        // JSON web tokens.
        (r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)?".into(), whole),
        // Invite codes, four groups of four of Crockford's alphabet, and what a deep link carries.
        (r"\b[0-9A-HJKMNP-TV-Z]{4}(?:-[0-9A-HJKMNP-TV-Z]{4}){3}\b".into(), whole),
        (r#"(?i)([?&#](?:code|state|sig|token|access_token|client_secret)=)[^&\s"'\\]+"#.into(), after_first),
        (r#"(?i)(\bSharedAccessSignature\s+)[^\s"'\\]+"#.into(), after_first),
        // A user's password in a URL.
        (r#"(://[^/\s:@"'\\]+:)[^@\s/"'\\]+(?:@)"#.into(), |found| format!("{}{REDACTED}@", &found[1])),
        // The passphrase in the text of a Wi-Fi QR code.
        (r#"(?i)(\bWIFI:[^\s"]*?P:)[^;"\s]+"#.into(), after_first),
        // Named values: in quotes that are escaped (JSON in a JSON string), in quotes, and bare.
        (format!(r#"(?i)(\b{NAMES}\\*["']?\s*[:=]\s*(?:Some\()?\\+["'])[^"'\\]*"#), after_first),
        (format!(r#"(?i)(\b{NAMES}["']?\s*[:=]\s*(?:Some\()?")(?:\\.|[^"\\])*"#), after_first),
        (format!(r#"(?i)(\b{NAMES}\\*["']?\s*[:=]\s*(?:Some\()?)([^\s"'\\,;&{{}}()\[\]]+)"#), unless_json),
        // Keys of 32 and 64 bytes in base64, and 32 bytes in base64url (verifiers, tokens).
        (r"(?:\b[A-Za-z0-9+/]{43}=|\b[A-Za-z0-9+/]{86}==|\b[A-Za-z0-9_-]{43}\b)".into(), whole),
    ];
    rules.into_iter().map(|(pattern, with)| Regex::new(&pattern).ok().map(|pattern| Rule { pattern, with })).collect()
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_pattern_compiles() {
        assert!(RULES.is_some());
    }

    #[test]
    fn the_known_shapes_of_secrets_are_taken_out() {
        for (text, secret) in [
            ("token lowtouch_q8J1xN0zqk2Yv0s5m3cV1aBcDeFgHiJkLmNoPqRsTuV ok", "q8J1xN0zqk"),
            ("got eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl", "eyJzdWIi"),
            (r#"{"authorization":"Bearer MARKED"}"#, "MARKED"),
            ("Authorization: Basic dXNlcjpNQVJLRUQ=", "dXNlcjpN"),
            ("Proxy-Authorization: Basic dXNlcjpNQVJLRUQ=\nnext", "dXNlcjpN"),
            ("bearer MARKEDtoken.12345", "MARKED"),
            ("GET /callback?code=MARKED&state=MARKED HTTP/1.1", "MARKED"),
            ("lowtouch:invite#server=https%3A%2F%2Fx&code=MARKED", "MARKED"),
            ("the invite 7Q2K-M9XT-4VDA-0HJR was used", "M9XT"),
            ("http://user:MARKED@proxy.example:3128/", "MARKED"),
            ("HostName=h;SharedAccessKeyName=n;SharedAccessKey=TUFSS0VE", "TUFSS0VE"),
            ("SharedAccessSignature sr=h&sig=MARKED&se=1", "MARKED"),
            ("WIFI:S:Shed;T:WPA;P:MARKED;;", "MARKED"),
            (r#"{"ver":"v1","name":"PROV_1","pop":"MARKED"}"#, "MARKED"),
            (r#"{"message":"label {\"name\":\"PROV_1\",\"pop\":\"MARKED\"}"}"#, "MARKED"),
            (r#"{"passphrase":"two MARKED words, \"MARKED\" and more"}"#, "MARKED"),
            (r#"Wifi { ssid: "a", passphrase: "MARKED" }"#, "MARKED"),
            (r#"pop: Some("MARKED")"#, "MARKED"),
            ("pop=MARKED refresh_token=MARKED", "MARKED"),
            ("password: MARKED, user: a", "MARKED"),
            ("key bWFya2VkLXN5bW1ldHJpYy1rZXktMzItYnl0ZXMtb2s= used", "bWFya2Vk"),
            ("-----BEGIN EC PRIVATE KEY-----\nMARKED\nMARKED\n-----END EC PRIVATE KEY-----\n", "MARKED"),
            (r#"{"m":"-----BEGIN PRIVATE KEY-----\nMARKED"#, "MARKED"),
        ] {
            let redacted = redact(text);
            assert!(!redacted.contains(secret), "{text} became {redacted}");
            assert!(redacted.contains(REDACTED), "{text} became {redacted}");
        }
    }

    #[test]
    fn what_support_needs_stays() {
        for text in [
            r#"{"target":"lowtouch_installer::pairing","fields":{"message":"step","step":"hand-off"}}"#,
            r#"{"handoff_id":"6f1c0e0e-2f1e-4c58-93c8-5a2f7f3a0b11","registration_id":"device-1"}"#,
            r#"{"digest":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}"#,
            r#"{"code":"api-unreachable","detail":"connection refused","retryAfterS":7}"#,
            r#"{"token":null,"pop":true,"invite":3}"#,
            "global.azure-devices-provisioning.net 0ne0000000A hub-a.azure-devices.net",
            "https://provisioning.example.com:8443/v1/devices/device-1/allocation",
            "2026-11-22T01:02:03.456789Z",
            "The code on the label does not match this device.",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    proptest! {
        /// JSON stays JSON, and what was redacted once is not changed again.
        #[test]
        fn json_stays_json(name in "(pop|token|message|passphrase|code|Authorization)", value in any::<String>(), inner: bool) {
            let mut line = serde_json::json!({ "fields": { name: value } }).to_string();
            if inner {
                line = serde_json::json!({ "message": line }).to_string();
            }
            let once = redact(&line).into_owned();
            prop_assert!(serde_json::from_str::<serde_json::Value>(&once).is_ok(), "{line} became {once}");
            prop_assert_eq!(redact(&once), once.as_str());
        }

        /// A marked value under a secret's name never comes through, whatever is around it.
        #[test]
        fn named_secrets_never_come_through(
            name in "(pop|passphrase|password|refresh_token|access_token|clientSecret|symmetricKey|deviceKey)",
            before in "[ -~]{0,20}", after in "[ -~]{0,20}",
        ) {
            let value = format!("{before}MARKED{after}");
            let line = serde_json::json!({ "fields": { "a": 1, name.as_str(): value, "b": 2 } }).to_string();
            prop_assert!(!redact(&line).contains("MARKED"), "{}", redact(&line));
        }
    }
}
