//! The endpoint `proto-ver`: what a device says about itself before any session, as JSON in the clear.

use serde_json::{Value, json};

/// The endpoint's name.
pub const ENDPOINT: &str = "proto-ver";

/// Longest answer that is read, in bytes.
pub const MAX_LEN: usize = 4096;

/// What the device speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtoVer {
    /// Version of the provisioning protocol: `v1.0`, `v1.1`.
    pub ver: String,
    /// The security version, 0 to 2. Where old firmware does not say it, 0 if `cap` has `no_sec`, else 1.
    pub sec_ver: u8,
    /// The patch of the security version; 0 where absent.
    pub sec_patch_ver: u8,
    /// Capabilities: `wifi_scan`, `no_pop`, `no_sec`, …
    pub cap: Vec<String>,
    /// Present where the device has the endpoint `dps-config`.
    pub lowtouch: Option<LowtouchVer>,
}

/// What the device's `dps-config` endpoint speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LowtouchVer {
    /// `v1`.
    pub ver: String,
    /// Capabilities; see docs/dps-config.md.
    pub cap: Vec<String>,
    /// Too many wrong proofs of possession: the next handshake is taken after this many seconds. 0: at once.
    pub wait_s: u32,
    /// Far too many: no handshake until the device restarts or its button is pressed.
    pub closed: bool,
}

/// Reads a device's answer. Unknown keys, white space and a closing NUL do not matter.
///
/// # Errors
/// [`ProtoVerError`] where it is no such JSON or too long.
pub fn parse(answer: &[u8]) -> Result<ProtoVer, ProtoVerError> {
    if answer.len() > MAX_LEN {
        return Err(ProtoVerError::TooLong);
    }
    let end = answer.iter().rposition(|&byte| byte != 0);
    let answer = &answer[..end.map_or(0, |last| last + 1)];
    let json: Value = serde_json::from_slice(answer).map_err(|_| ProtoVerError::Garbage)?;
    let prov = json.get("prov").and_then(Value::as_object).ok_or(ProtoVerError::Garbage)?;
    let ver = prov.get("ver").and_then(Value::as_str);
    let cap = strings(prov.get("cap"))?;
    let sec_ver = match prov.get("sec_ver") {
        Some(number) => number.as_u64().ok_or(ProtoVerError::Garbage)?,
        None => u64::from(!cap.iter().any(|cap| cap == "no_sec")),
    };
    let sec_patch_ver = match prov.get("sec_patch_ver") {
        Some(number) => number.as_u64().ok_or(ProtoVerError::Garbage)?,
        None => 0,
    };
    Ok(ProtoVer {
        ver: ver.ok_or(ProtoVerError::Garbage)?.to_owned(),
        sec_ver: u8::try_from(sec_ver)
            .ok()
            .filter(|&version| version <= 2)
            .ok_or(ProtoVerError::SecurityVersion(sec_ver))?,
        sec_patch_ver: u8::try_from(sec_patch_ver).map_err(|_| ProtoVerError::Garbage)?,
        cap,
        lowtouch: json.get("lowtouch").map(lowtouch).transpose()?,
    })
}

impl ProtoVer {
    /// The answer of a device that speaks this.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = json!({
            "prov": {
                "ver": self.ver,
                "sec_ver": self.sec_ver,
                "sec_patch_ver": self.sec_patch_ver,
                "cap": self.cap,
            }
        });
        if let Some(lowtouch) = &self.lowtouch {
            json["lowtouch"] = json!({ "ver": lowtouch.ver, "cap": lowtouch.cap });
            if lowtouch.wait_s > 0 {
                json["lowtouch"]["wait_s"] = lowtouch.wait_s.into();
            }
            if lowtouch.closed {
                json["lowtouch"]["closed"] = true.into();
            }
        }
        json.to_string()
    }

    /// Whether the device names this capability.
    #[must_use]
    pub fn can(&self, capability: &str) -> bool {
        self.cap.iter().any(|cap| cap == capability)
    }
}

fn lowtouch(json: &Value) -> Result<LowtouchVer, ProtoVerError> {
    let ver = json.get("ver").and_then(Value::as_str);
    Ok(LowtouchVer {
        ver: ver.ok_or(ProtoVerError::Garbage)?.to_owned(),
        cap: strings(json.get("cap"))?,
        wait_s: json.get("wait_s").and_then(Value::as_u64).map_or(0, |wait| u32::try_from(wait).unwrap_or(u32::MAX)),
        closed: json.get("closed").and_then(Value::as_bool).unwrap_or(false),
    })
}

/// A list of strings; none where the key is missing.
fn strings(json: Option<&Value>) -> Result<Vec<String>, ProtoVerError> {
    let Some(json) = json else {
        return Ok(Vec::new());
    };
    let list = json.as_array().ok_or(ProtoVerError::Garbage)?;
    list.iter().map(|item| item.as_str().map(str::to_owned).ok_or(ProtoVerError::Garbage)).collect()
}

/// Why an answer is no `proto-ver`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtoVerError {
    /// Not JSON with a `prov` object.
    #[error("the device's version answer makes no sense")]
    Garbage,
    /// Longer than [`MAX_LEN`].
    #[error("the device's version answer is too long")]
    TooLong,
    /// A security version that is not 0, 1 or 2.
    #[error("the device uses security version {0}, which is not known here")]
    SecurityVersion(u64),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn firmware_that_names_no_patch_version_has_patch_version_0() {
        let read = parse(
            b"{\n\t\"prov\":\t{\n\t\t\"ver\":\t\"v1.1\",\n\t\t\"sec_ver\":\t2,\n\t\t\"cap\":\t[\"wifi_scan\"]\n\t}\n}",
        )
        .unwrap();
        assert_eq!((read.sec_ver, read.sec_patch_ver), (2, 0));
        assert!(read.can("wifi_scan") && !read.can("no_pop"));
        assert_eq!(read.lowtouch, None);
    }

    #[test]
    fn firmware_that_names_no_security_version_says_it_by_its_capabilities() {
        let old = parse(br#"{"prov":{"ver":"v1.0","cap":["wifi_scan"]}}"#).unwrap();
        assert_eq!((old.ver.as_str(), old.sec_ver), ("v1.0", 1));
        let open = parse(br#"{"prov":{"ver":"v1.1","cap":["no_sec"]}}"#).unwrap();
        assert_eq!(open.sec_ver, 0);
    }

    #[test]
    fn unknown_keys_and_the_applications_own_do_not_matter() {
        let read = parse(
            b"{\"prov\":{\"ver\":\"v1.1\",\"sec_ver\":2,\"sec_patch_ver\":1,\"new\":{}},\"rmaker\":{\"ver\":1},\"lowtouch\":{\"ver\":\"v1\",\"x\":0}}\0",
        )
        .unwrap();
        assert_eq!(read.sec_patch_ver, 1);
        assert_eq!(read.lowtouch.unwrap().ver, "v1");
    }

    #[test]
    fn an_unknown_security_version_is_named() {
        let read = parse(br#"{"prov":{"ver":"v2.0","sec_ver":300,"cap":[]}}"#);
        assert_eq!(read, Err(ProtoVerError::SecurityVersion(300)));
    }

    #[test]
    fn an_answer_that_is_none_is_refused() {
        for garbage in [&b""[..], b"\0\0", b"V0.1", b"[]", b"{\"prov\":1}", b"{\"prov\":{}}", &[b'['; 300]] {
            assert_eq!(parse(garbage), Err(ProtoVerError::Garbage));
        }
        assert_eq!(parse(&[b' '; MAX_LEN + 1]), Err(ProtoVerError::TooLong));
    }

    proptest! {
        #[test]
        fn what_a_device_says_is_what_a_client_reads(
            ver in "\\PC{1,8}", sec_ver in 0..=2u8, sec_patch_ver: u8, cap: Vec<String>,
            lowtouch: Option<(String, Vec<String>, u32, bool)>,
        ) {
            let said = ProtoVer {
                ver, sec_ver, sec_patch_ver,
                cap: cap.into_iter().take(8).map(|text| text.chars().take(16).collect()).collect(),
                lowtouch: lowtouch.map(|(ver, cap, wait_s, closed)| LowtouchVer {
                    wait_s,
                    closed,
                    ver: ver.chars().take(16).collect(),
                    cap: cap.into_iter().take(8).map(|text| text.chars().take(16).collect()).collect(),
                }),
            };
            let json = said.to_json();
            prop_assume!(json.len() <= MAX_LEN);
            prop_assert_eq!(parse(json.as_bytes()), Ok(said));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
