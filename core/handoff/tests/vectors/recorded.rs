//! Reads the sessions in this folder: recorded between Espressif's Python client and ESP-IDF's real C code (v5.4, v5.5.5).
//! Included by tests/vectors.rs (client role) and src/protocomm/recorded_sessions.rs (device role).

use serde_json::Value;

/// A recorded session.
pub(crate) struct Recorded {
    /// For messages of failed assertions.
    pub(crate) name: String,
    pub(crate) sec: u64,
    pub(crate) patch_ver: u8,
    /// What the client used: the PoP (Security 1) or the password (Security 2).
    pub(crate) secret: String,
    pub(crate) username: String,
    /// The client's private key. The refused Security 2 sessions do not tell it.
    pub(crate) client_private: Option<[u8; 32]>,
    /// The device refused the client's proof.
    pub(crate) refused: bool,
    pub(crate) proto_ver: Option<String>,
    pub(crate) log: Vec<Exchange>,
}

pub(crate) struct Exchange {
    pub(crate) endpoint: String,
    pub(crate) request: Vec<u8>,
    /// `None`: the device's handler failed.
    pub(crate) response: Option<Vec<u8>>,
    /// Request and response as they were before sealing; none for the handshake.
    pub(crate) plain: Option<(Vec<u8>, Vec<u8>)>,
}

/// What the device was set up with in every recorded session but those without a PoP.
pub(crate) const DEVICE_SECRET: &str = "abcd1234";

pub(crate) fn sessions() -> Vec<Recorded> {
    let files = [
        ("v5.5.5", include_str!("protocomm-esp-idf-v5.5.5.json")),
        ("v5.4", include_str!("protocomm-esp-idf-v5.4.json")),
    ];
    let mut all = Vec::new();
    for (version, text) in files {
        let json: Value = serde_json::from_str(text).unwrap();
        for (n, session) in json["sessions"].as_array().unwrap().iter().enumerate() {
            all.push(read(format!("ESP-IDF {version}, session {n}"), version, session));
        }
    }
    assert_eq!(all.len(), 20, "a recorded session was lost");
    all
}

fn read(name: String, version: &str, json: &Value) -> Recorded {
    let sec = json["sec"].as_u64().unwrap();
    let text = |key: &str| json[key].as_str().map(str::to_owned);
    let private = text("client_priv").or_else(|| Some(text("client_a")?.trim_start_matches("0x").to_owned()));
    Recorded {
        name,
        sec,
        // The refused sessions do not name it; it is their firmware's.
        patch_ver: json["sec_patch_ver"].as_u64().map_or(u8::from(version == "v5.5.5"), |n| n as u8),
        secret: text("pop").or_else(|| text("pwd")).unwrap(),
        username: text("user").unwrap_or_default(),
        client_private: private.map(|key| hex::decode(key).unwrap().try_into().unwrap()),
        refused: json.get("expect").is_some(),
        proto_ver: text("proto_ver"),
        log: json["log"].as_array().unwrap().iter().map(exchange).collect(),
    }
}

fn exchange(json: &Value) -> Exchange {
    let bytes = |key: &str| json[key].as_str().map(|text| hex::decode(text).unwrap());
    Exchange {
        endpoint: json["ep"].as_str().unwrap().to_owned(),
        request: bytes("req").unwrap(),
        response: bytes("resp"),
        plain: bytes("plain_req").zip(bytes("plain_resp")),
    }
}
