//! Shared access signatures: `SharedAccessSignature sr=…&sig=…&se=…&skn=…`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;

/// A parsed token; nothing about it has been verified yet.
pub(crate) struct SasToken {
    /// `sr` as it stood in the token. It is what was signed: some clients write its slashes as `%2F`, some leave them.
    resource_as_sent: String,
    /// `sr` without percent encoding.
    pub(crate) resource: String,
    /// `skn`: the policy's name.
    pub(crate) policy: Option<String>,
    expiry_as_sent: String,
    expiry: i64,
    signature: Vec<u8>,
}

impl SasToken {
    /// Reads the value of an `Authorization` header. `None` when it is no such token; a field that comes twice makes it none,
    /// as two readers could disagree on which counts.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let (scheme, fields) = header.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("SharedAccessSignature") {
            return None;
        }
        let (mut sr, mut sig, mut se, mut skn) = (None, None, None, None);
        for field in fields.trim().split('&') {
            let (name, value) = field.split_once('=')?;
            let slot = match name {
                "sr" => &mut sr,
                "sig" => &mut sig,
                "se" => &mut se,
                "skn" => &mut skn,
                _ => return None,
            };
            if slot.replace(value).is_some() {
                return None;
            }
        }
        let (resource_as_sent, expiry_as_sent) = (sr?.to_owned(), se?.to_owned());
        Some(Self {
            resource: percent_decoded(&resource_as_sent)?,
            policy: match skn {
                Some(skn) => Some(percent_decoded(skn)?),
                None => None,
            },
            expiry: expiry_as_sent.parse().ok()?,
            signature: STANDARD.decode(percent_decoded(sig?)?).ok()?,
            resource_as_sent,
            expiry_as_sent,
        })
    }

    /// Whether `se` is past.
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.expiry <= now.as_second()
    }

    /// Whether the key signed it; takes the same time whatever the signature.
    pub(crate) fn is_signed_by(&self, key: &[u8]) -> bool {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return false };
        mac.update(self.resource_as_sent.as_bytes());
        mac.update(b"\n");
        mac.update(self.expiry_as_sent.as_bytes());
        mac.verify_slice(&self.signature).is_ok()
    }
}

/// A device's own key under a group's key: HMAC-SHA256 of the registration ID.
pub(crate) fn derived_key(group_key: &[u8], registration_id: &str) -> Option<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(group_key).ok()?;
    mac.update(registration_id.as_bytes());
    Some(mac.finalize().into_bytes().to_vec())
}

/// `%41` → `A`; `None` when a percent sign starts no such pair or the result is no UTF-8. A plus stays a plus.
pub(crate) fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let pair = [bytes.next()?, bytes.next()?];
            let mut decoded = [0];
            hex::decode_to_slice(pair, &mut decoded).ok()?;
            out.extend(decoded);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = "SharedAccessSignature sr=0ne00000001/registrations/dev-1&sig=Svy8qPyI3FeZHRupvQ0JcK7W%2BXLSxahuTX5yauPwqXM%3D&skn=registration&se=1795219665";

    #[test]
    fn a_token_of_the_node_sdk_is_read_and_verified() {
        let token = SasToken::parse(RECORDED).unwrap();
        assert_eq!(token.resource, "0ne00000001/registrations/dev-1");
        assert_eq!(token.policy.as_deref(), Some("registration"));
        assert!(token.is_signed_by(&[7; 64]));
        assert!(!token.is_signed_by(&[8; 64]));
        assert!(!token.is_expired(Timestamp::from_second(1_795_219_664).unwrap()));
        assert!(token.is_expired(Timestamp::from_second(1_795_219_665).unwrap()));
    }

    #[test]
    fn a_changed_resource_or_expiry_does_not_verify() {
        for (from, to) in [("dev-1", "dev-2"), ("1795219665", "1795219666"), ("0ne00000001/", "0ne00000001%2F")] {
            let token = SasToken::parse(&RECORDED.replace(from, to)).unwrap();
            assert!(!token.is_signed_by(&[7; 64]), "{from} → {to}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_without_panic() {
        for text in [
            "",
            "Bearer abc",
            "SharedAccessSignature",
            "SharedAccessSignature ",
            "SharedAccessSignature sr=a&sig=AA==",
            "SharedAccessSignature sr=a&sig=!!&se=1",
            "SharedAccessSignature sr=a&sig=AA==&se=x",
            "SharedAccessSignature sr=%&sig=AA==&se=1",
            "SharedAccessSignature sr=%zz&sig=AA==&se=1",
            "SharedAccessSignature sr=%ff&sig=AA==&se=1",
            "SharedAccessSignature sr=a&sr=b&sig=AA==&se=1",
            "SharedAccessSignature sr=a&sig=AA==&se=1&more=1",
        ] {
            assert!(SasToken::parse(text).is_none(), "{text}");
        }
    }
}
