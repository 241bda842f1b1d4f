//! What DPS answers.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use reqwest::{StatusCode, header};
use serde::Deserialize;

use super::{Assigned, RegistrationFailure};

/// DPS's answers have a few hundred bytes; anything much longer is somebody else's.
const MAX_BODY: usize = 64 * 1024;

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    body: Body,
}

/// All shapes in one: a registration result, a registration state, an error.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Body {
    operation_id: Option<String>,
    registration_state: Option<RegistrationState>,
    #[serde(flatten)]
    state: RegistrationState,
    #[serde(deserialize_with = "lenient")]
    message: Option<String>,
    /// With 401: a key for the TPM that asked.
    #[serde(deserialize_with = "lenient")]
    authentication_key: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RegistrationState {
    #[serde(deserialize_with = "lenient")]
    status: Option<String>,
    #[serde(deserialize_with = "lenient")]
    substatus: Option<String>,
    #[serde(deserialize_with = "lenient")]
    assigned_hub: Option<String>,
    #[serde(deserialize_with = "lenient")]
    device_id: Option<String>,
    #[serde(deserialize_with = "chain")]
    issued_certificate_chain: Vec<Vec<u8>>,
    tpm: Option<TpmState>,
    error_code: Option<u32>,
    #[serde(deserialize_with = "lenient")]
    error_message: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TpmState {
    #[serde(deserialize_with = "lenient")]
    authentication_key: Option<String>,
}

/// `null` and values of other types are nothing, not an error: other versions of DPS may have more to say.
fn lenient<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => Some(text),
        _ => None,
    })
}

/// Base64 of DER, leaf first; what is none is nothing.
fn chain<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<u8>>, D::Error> {
    let serde_json::Value::Array(texts) = serde_json::Value::deserialize(deserializer)? else { return Ok(Vec::new()) };
    let ders = texts.iter().map(|text| text.as_str().and_then(|text| STANDARD.decode(text).ok()));
    Ok(ders.collect::<Option<_>>().unwrap_or_default())
}

impl Answer {
    pub(super) async fn read(mut response: reqwest::Response) -> Result<Self, RegistrationFailure> {
        let status = response.status();
        let retry_after = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| retry_after(text, Timestamp::now()));
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| RegistrationFailure::from_transport(&error))? {
            if bytes.len() + chunk.len() > MAX_BODY {
                return Err(RegistrationFailure::nonsense("an answer that is too long to be DPS's"));
            }
            bytes.extend_from_slice(&chunk);
        }
        let body = match serde_json::from_slice(&bytes) {
            Ok(body) => body,
            // An error's status counts even when a proxy has replaced its body.
            Err(_) if !status.is_success() => Body::default(),
            Err(_) => return Err(RegistrationFailure::nonsense("an answer that is not DPS's")),
        };
        Ok(Self { status, retry_after, body })
    }

    /// The registration, be it the answer itself (status lookup) or inside it (registration, operation).
    pub(super) fn state(&self) -> Option<&RegistrationState> {
        self.body.registration_state.as_ref().or_else(|| self.body.state.status.as_ref().map(|_| &self.body.state))
    }

    /// The key that DPS gives a TPM to prove itself with, as a blob.
    pub(super) fn authentication_key(&self) -> Option<Vec<u8>> {
        STANDARD.decode(self.body.authentication_key.as_deref()?).ok()
    }

    /// The key that DPS gives a TPM for its hub, as a blob.
    pub(super) fn hub_key(&self) -> Option<Vec<u8>> {
        let state = self.body.registration_state.as_ref()?;
        STANDARD.decode(state.tpm.as_ref()?.authentication_key.as_deref()?).ok()
    }

    pub(super) fn operation_id(&self) -> Option<&str> {
        self.body.operation_id.as_deref()
    }

    pub(super) fn error_code(&self) -> u32 {
        self.body.state.error_code.unwrap_or(0)
    }

    pub(super) fn message(&self) -> Option<&str> {
        self.body.message.as_deref()
    }

    /// `None`: DPS is still assigning.
    pub(super) fn ended(&self) -> Option<Result<Assigned, RegistrationFailure>> {
        let inner = self.body.registration_state.as_ref();
        let status = self.body.state.status.as_deref().or(inner.and_then(|state| state.status.as_deref()))?;
        let state = self.state()?;
        let code = state.error_code.unwrap_or(0);
        let text = state.error_message.as_deref();
        match status {
            "assigned" => Some(
                state
                    .assigned()
                    .ok_or_else(|| RegistrationFailure::assignment(code, "DPS said assigned and named no hub")),
            ),
            "failed" => Some(Err(RegistrationFailure::assignment(code, text.unwrap_or("DPS could not assign a hub")))),
            "disabled" => Some(Err(RegistrationFailure::disabled(code, text.unwrap_or("the enrollment is disabled")))),
            _ => None,
        }
    }
}

impl RegistrationState {
    pub(super) fn assigned(&self) -> Option<Assigned> {
        let hub = self.assigned_hub.clone().filter(|hub| !hub.is_empty())?;
        let device_id = self.device_id.clone().filter(|id| !id.is_empty())?;
        (self.status.as_deref() == Some("assigned")).then(|| Assigned {
            hub,
            device_id,
            substatus: self.substatus.clone().unwrap_or_default(),
            issued_chain: self.issued_certificate_chain.clone(),
        })
    }
}

/// Whole seconds or an HTTP date (RFC 9110, 10.2.3).
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let then = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    Some(Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_may_be_seconds_or_a_date() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        assert_eq!(retry_after("3", now), Some(Duration::from_secs(3)));
        assert_eq!(retry_after("Sat, 21 Nov 2026 12:00:30 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("Sat, 21 Nov 2026 11:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("-1", now), None);
    }

    fn answer(body: &str) -> Answer {
        Answer { status: StatusCode::OK, retry_after: None, body: serde_json::from_str(body).unwrap() }
    }

    #[test]
    fn a_status_lookup_and_an_operation_have_different_shapes_and_say_the_same() {
        let lookup = r#"{"registrationId":"d","assignedHub":"h","deviceId":"d","status":"assigned","substatus":"initialAssignment","etag":"x"}"#;
        let operation = format!(r#"{{"operationId":"o","status":"assigned","registrationState":{lookup}}}"#);
        let expected = Assigned {
            hub: "h".into(),
            device_id: "d".into(),
            substatus: "initialAssignment".into(),
            issued_chain: Vec::new(),
        };
        assert_eq!(answer(lookup).state().unwrap().assigned(), Some(expected.clone()));
        assert_eq!(answer(&operation).ended().unwrap().unwrap(), expected);
    }

    #[test]
    fn an_issued_chain_is_read_whole_or_not_at_all() {
        let with = |chain: &str| {
            let body =
                format!(r#"{{"assignedHub":"h","deviceId":"d","status":"assigned","issuedCertificateChain":{chain}}}"#);
            answer(&body).state().unwrap().assigned().unwrap().issued_chain
        };
        assert_eq!(with(r#"["AQI=","Aw=="]"#), [vec![1, 2], vec![3]]);
        for none in ["null", "[]", "7", r#""AQI=""#, r#"["AQI=","-"]"#, r#"["AQI=",7]"#] {
            assert!(with(none).is_empty(), "{none}");
        }
    }

    #[test]
    fn assigning_has_not_ended_and_assigned_without_a_hub_is_a_failure() {
        assert!(answer(r#"{"operationId":"o","status":"assigning"}"#).ended().is_none());
        assert!(answer(r#"{"status":"assigned","registrationState":{"status":"assigned"}}"#).ended().unwrap().is_err());
        assert!(answer(r#"{"status":"assigned","assignedHub":null}"#).ended().unwrap().is_err());
    }
}
