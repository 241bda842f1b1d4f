//! The label on the device: what a factory prints.

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::sim::{Security, SimLink};

/// The device's name over the air: `PROV_` and six hex digits that follow from the registration ID.
pub fn device_name(registration_id: &str) -> String {
    let digest = Sha256::digest(registration_id.as_bytes());
    format!("PROV_{}", hex::encode_upper(&digest[..3]))
}

/// The JSON text of the QR code, as ESP-IDF's apps read it. It holds the PoP, where that is known.
pub fn text(
    registration_id: &str,
    link: &SimLink,
    security: Security,
    username: &str,
    pop: Option<&SecretString>,
) -> String {
    let transport = match link {
        SimLink::Http(_) => "softap",
        SimLink::Serial(_) | SimLink::Pty => "serial",
        SimLink::BleSim(_) | SimLink::Ble { .. } => "ble",
    };
    let mut label = json!({ "ver": "v1", "name": device_name(registration_id) });
    if let Security::V2 { .. } = security {
        label["username"] = username.into();
    }
    if let Some(pop) = pop.filter(|_| security != Security::V0) {
        label["pop"] = pop.expose_secret().into();
    }
    label["transport"] = transport.into();
    label["security"] = security.number().into();
    label["network"] = "wifi".into();
    label.to_string()
}

/// The PoP on a label that was printed earlier.
pub(crate) fn pop_of(text: &str) -> Option<SecretString> {
    #[derive(Deserialize)]
    struct Printed {
        pop: SecretString,
    }
    serde_json::from_str::<Printed>(text).ok().map(|printed| printed.pop)
}

/// The QR code for a terminal, with its quiet zone. Two rows of modules a line.
pub fn draw(text: &str) -> Option<String> {
    let code = QrCode::new(text).ok()?;
    // A terminal is light text on dark: the colours are swapped so that the code's dark modules are dark.
    Some(code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}

/// Characters of a random PoP: no two that a person mistakes for one another.
const POP_ALPHABET: &[u8; 31] = b"23456789abcdefghjkmnpqrstuvwxyz";
/// 12 of 31 characters: 59 bits.
const POP_LENGTH: usize = 12;

/// A new random PoP.
pub(crate) fn random_pop() -> SecretString {
    let pop: String =
        (0..POP_LENGTH).map(|_| char::from(POP_ALPHABET[rand::random_range(0..POP_ALPHABET.len())])).collect();
    pop.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_the_fields_that_espressifs_apps_read() {
        let link = SimLink::BleSim("127.0.0.1:1".parse().unwrap());
        let label = text("dev-1", &link, Security::V2 { patch_ver: 1 }, "wifiprov", Some(&"abcd1234".into()));
        assert_eq!(
            label,
            r#"{"ver":"v1","name":"PROV_0388FB","username":"wifiprov","pop":"abcd1234","transport":"ble","security":2,"network":"wifi"}"#
        );
        assert_eq!(pop_of(&label).unwrap().expose_secret(), "abcd1234");
        assert!(draw(&label).unwrap().lines().count() > 15);
    }
}
