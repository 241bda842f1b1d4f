//! Individual enrollments and enrollment groups: what the service API takes and gives.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::certificates;
use crate::error_body::{AzureError, azure_time};

/// Azure: a symmetric key has 16 to 64 bytes.
const KEY_LENGTHS: std::ops::RangeInclusive<usize> = 16..=64;

/// Individual enrollment or enrollment group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Individual,
    Group,
}

impl Kind {
    /// The name of its ID in JSON.
    pub(crate) fn id_name(self) -> &'static str {
        match self {
            Kind::Individual => "registrationId",
            Kind::Group => "enrollmentGroupId",
        }
    }

    /// The header `x-ms-item-type` of a query.
    pub(crate) fn item_type(self) -> &'static str {
        match self {
            Kind::Individual => "enrollment",
            Kind::Group => "enrollmentGroup",
        }
    }
}

/// One stored enrollment.
#[derive(Clone)]
pub(crate) struct Enrollment {
    pub(crate) id: String,
    pub(crate) attestation: Attestation,
    pub(crate) enabled: bool,
    /// The hub's name for the device, where the enrollment sets it.
    pub(crate) device_id: Option<String>,
    pub(crate) allocation: Allocation,
    pub(crate) reprovision: Reprovision,
    pub(crate) etag: String,
    /// By which policy DPS issues its devices' certificates.
    pub(crate) credential_policy: Option<String>,
    /// As the client wrote it, without what is kept above in another form.
    document: Map<String, Value>,
    created: Timestamp,
    updated: Timestamp,
}

/// How devices prove themselves.
#[derive(Clone)]
pub(crate) enum Attestation {
    /// Primary and secondary key, decoded: the device's own, or the group's.
    SymmetricKey([Vec<u8>; 2]),
    /// Certificates in DER, primary and secondary: the device's own leaf, or the group's signing certificate.
    X509(Vec<Vec<u8>>),
    /// As the client wrote it: `endorsementKey` is what counts.
    Tpm(Value),
}

/// Which hub a device gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Allocation {
    pub(crate) policy: Policy,
    /// Host names of the linked hubs to choose from; empty: all of them.
    pub(crate) hubs: Vec<String>,
}

/// The allocation policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    Hashed,
    GeoLatency,
    Static,
}

/// What happens when an assigned device registers again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reprovision {
    pub(crate) update_hub_assignment: bool,
    pub(crate) migrate_device_data: bool,
}

impl Enrollment {
    /// Reads a client's document for the enrollment `id`. `before` is what it replaces; `linked` are the linked hubs' host names.
    pub(crate) fn from_document(
        kind: Kind,
        id: &str,
        document: Value,
        before: Option<&Enrollment>,
        linked: &[&str],
        now: Timestamp,
    ) -> Result<Self, AzureError> {
        let Value::Object(mut document) = document else {
            return Err(AzureError::bad_request("The body is not a JSON object."));
        };
        match document.get(kind.id_name()).map(Value::as_str) {
            Some(Some(named)) if named.eq_ignore_ascii_case(id) => {}
            Some(_) => return Err(AzureError::bad_request(format!("{} does not match the path.", kind.id_name()))),
            None => {}
        }
        if !is_valid_id(id) {
            return Err(AzureError::bad_request(format!("{} is not valid.", kind.id_name())));
        }
        let attestation =
            document.get("attestation").ok_or_else(|| AzureError::bad_request("attestation is missing."))?;
        let attestation = Attestation::from_json(kind, attestation, before.map(|before| &before.attestation))?;
        let enabled = match document.get("provisioningStatus").and_then(Value::as_str) {
            None | Some("enabled") => true,
            Some("disabled") => false,
            Some(_) => return Err(AzureError::bad_request("provisioningStatus is not valid.")),
        };
        let text = |name: &str| document.get(name).and_then(Value::as_str).map(str::to_owned);
        let device_id = if kind == Kind::Individual { text("deviceId") } else { None };
        let allocation = Allocation::from_document(&document, linked)?;
        let flag =
            |name: &str| document.get("reprovisionPolicy").and_then(|policy| policy.get(name)).and_then(Value::as_bool);
        let reprovision = Reprovision {
            update_hub_assignment: flag("updateHubAssignment").unwrap_or(true),
            migrate_device_data: flag("migrateDeviceData").unwrap_or(true),
        };
        let credential_policy = text("credentialPolicyName").filter(|name| !name.is_empty());
        for kept_elsewhere in
            ["attestation", "etag", "createdDateTimeUtc", "lastUpdatedDateTimeUtc", "registrationState"]
        {
            document.remove(kept_elsewhere);
        }
        Ok(Self {
            id: id.to_owned(),
            attestation,
            enabled,
            device_id,
            allocation,
            reprovision,
            etag: new_etag(),
            credential_policy,
            document,
            created: before.map_or(now, |before| before.created),
            updated: now,
        })
    }

    /// As the service API shows it.
    pub(crate) fn to_json(&self, kind: Kind) -> Value {
        let mut document = self.document.clone();
        document.insert(kind.id_name().into(), self.id.clone().into());
        document.insert("attestation".into(), self.attestation.to_json(kind));
        document.insert("provisioningStatus".into(), if self.enabled { "enabled" } else { "disabled" }.into());
        document.insert(
            "reprovisionPolicy".into(),
            json!({
                "updateHubAssignment": self.reprovision.update_hub_assignment,
                "migrateDeviceData": self.reprovision.migrate_device_data,
            }),
        );
        document.insert("allocationPolicy".into(), self.allocation.policy.name().into());
        document.insert("etag".into(), self.etag.clone().into());
        document.insert("createdDateTimeUtc".into(), azure_time(self.created).into());
        document.insert("lastUpdatedDateTimeUtc".into(), azure_time(self.updated).into());
        Value::Object(document)
    }
}

impl Attestation {
    fn from_json(kind: Kind, json: &Value, before: Option<&Attestation>) -> Result<Self, AzureError> {
        match json.get("type").and_then(Value::as_str) {
            Some("symmetricKey") => {
                let keys = json.get("symmetricKey");
                let one = |name: &str| match keys.and_then(|keys| keys.get(name)).and_then(Value::as_str) {
                    None | Some("") => Ok(None),
                    Some(text) => {
                        STANDARD.decode(text).ok().filter(|key| KEY_LENGTHS.contains(&key.len())).map(Some).ok_or_else(
                            || AzureError::bad_request(format!("{name} is not a base64 key of 16 to 64 bytes.")),
                        )
                    }
                };
                let (mut primary, mut secondary) = (one("primaryKey")?, one("secondaryKey")?);
                // A client that updates need not send the keys again.
                if let (None, None, Some(Attestation::SymmetricKey([first, second]))) = (&primary, &secondary, before) {
                    (primary, secondary) = (Some(first.clone()), Some(second.clone()));
                }
                let generated = || rand::random::<[[u8; 32]; 2]>().concat();
                Ok(Attestation::SymmetricKey([primary.unwrap_or_else(generated), secondary.unwrap_or_else(generated)]))
            }
            Some("x509") => {
                let holder = match kind {
                    Kind::Individual => "clientCertificates",
                    Kind::Group => "signingCertificates",
                };
                let certificates = json
                    .get("x509")
                    .and_then(|x509| x509.get(holder))
                    .ok_or_else(|| AzureError::bad_request(format!("x509.{holder} is missing.")))?;
                let mut ders = Vec::new();
                for name in ["primary", "secondary"] {
                    match certificates.get(name) {
                        None | Some(Value::Null) => {}
                        Some(certificate) => ders.push(certificate_from_json(kind, name, certificate, before)?),
                    }
                }
                if ders.is_empty() {
                    return Err(AzureError::bad_request(format!("x509.{holder}.primary is missing.")));
                }
                Ok(Attestation::X509(ders))
            }
            Some("tpm") if kind == Kind::Individual => {
                Ok(Attestation::Tpm(json.get("tpm").cloned().unwrap_or_default()))
            }
            _ => Err(AzureError::bad_request("attestation.type is not valid.")),
        }
    }

    /// As the service API shows it: of certificates only what stands in them.
    pub(crate) fn to_json(&self, kind: Kind) -> Value {
        match self {
            Attestation::SymmetricKey([primary, secondary]) => json!({
                "type": "symmetricKey",
                "symmetricKey": {"primaryKey": STANDARD.encode(primary), "secondaryKey": STANDARD.encode(secondary)},
            }),
            Attestation::X509(ders) => {
                let named: Map<_, _> = ["primary", "secondary"]
                    .into_iter()
                    .zip(ders)
                    .map(|(name, der)| (name.to_owned(), json!({"info": certificates::info(der)})))
                    .collect();
                match kind {
                    Kind::Individual => json!({"type": "x509", "x509": {"clientCertificates": named}}),
                    Kind::Group => json!({"type": "x509", "x509": {"signingCertificates": named}}),
                }
            }
            Attestation::Tpm(tpm) => json!({"type": "tpm", "tpm": tpm}),
        }
    }
}

/// A certificate, or only its `info` when the client sends back what it got: then the stored one of that thumbprint stays.
fn certificate_from_json(
    kind: Kind,
    name: &str,
    json: &Value,
    before: Option<&Attestation>,
) -> Result<Vec<u8>, AzureError> {
    let refused = |why: &str| AzureError::bad_request(format!("The {name} certificate {why}."));
    if let Some(text) = json.get("certificate").and_then(Value::as_str) {
        let der = certificates::enrolled_certificate(text).ok_or_else(|| refused("cannot be read"))?;
        if kind == Kind::Group && !certificates::is_authority(&der) {
            return Err(refused("is not a CA certificate"));
        }
        return Ok(der);
    }
    let thumbprint = json.get("info").and_then(|info| info.get("sha256Thumbprint")).and_then(Value::as_str);
    match (thumbprint, before) {
        (Some(thumbprint), Some(Attestation::X509(ders))) => ders
            .iter()
            .find(|der| certificates::thumbprint(der) == thumbprint)
            .cloned()
            .ok_or_else(|| refused("is missing")),
        _ => Err(refused("is missing")),
    }
}

impl Allocation {
    fn from_document(document: &Map<String, Value>, linked: &[&str]) -> Result<Self, AzureError> {
        let static_hub = document.get("iotHubHostName").and_then(Value::as_str);
        let policy = match document.get("allocationPolicy").and_then(Value::as_str) {
            None if static_hub.is_some() => Policy::Static,
            None | Some("hashed") => Policy::Hashed,
            Some("geoLatency") => Policy::GeoLatency,
            Some("static") => Policy::Static,
            Some("custom") => return Err(AzureError::bad_request("The emulator has no custom allocation.")),
            Some(_) => return Err(AzureError::bad_request("allocationPolicy is not valid.")),
        };
        let mut hubs: Vec<String> = match document.get("iotHubs") {
            None | Some(Value::Null) => Vec::new(),
            Some(hubs) => {
                serde_json::from_value(hubs.clone()).map_err(|_| AzureError::bad_request("iotHubs is not valid."))?
            }
        };
        if let (Policy::Static, Some(hub)) = (policy, static_hub) {
            hubs = vec![hub.to_owned()];
        }
        for hub in &hubs {
            if !linked.iter().any(|linked| linked.eq_ignore_ascii_case(hub)) {
                return Err(AzureError::bad_request(format!("The IoT hub {hub} is not linked.")));
            }
        }
        if policy == Policy::Static && hubs.len() != 1 {
            return Err(AzureError::bad_request("The allocation policy static needs exactly one IoT hub."));
        }
        Ok(Self { policy, hubs })
    }
}

impl Policy {
    fn name(self) -> &'static str {
        match self {
            Policy::Hashed => "hashed",
            Policy::GeoLatency => "geoLatency",
            Policy::Static => "static",
        }
    }
}

/// ≤ 128 of [A-Za-z0-9-._:], the last one alphanumeric or a dash.
pub(crate) fn is_valid_id(id: &str) -> bool {
    id.len() <= 128
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte))
        && id.bytes().last().is_some_and(|last| last.is_ascii_alphanumeric() || last == b'-')
}

/// `"1f0b3c5d-0000-0100-0000-6aa1f0b3c5d2"`, with the quotes, as Azure puts it into JSON too.
pub(crate) fn new_etag() -> String {
    let (first, last): (u32, u64) = rand::random();
    format!("\"{first:08x}-0000-0100-0000-{:012x}\"", last >> 16)
}

/// Whether `If-Match` names this ETag; `*` names every one, and the quotes may be left out.
pub(crate) fn matches(if_match: &str, etag: &str) -> bool {
    if_match.trim() == "*" || if_match.trim().trim_matches('"') == etag.trim_matches('"')
}
