//! The device registration API: register, operation status, status lookup.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::app::{App, Call};
use crate::enrollment::{Attestation, Enrollment, Kind, is_valid_id};
use crate::error_body::{AzureError, json_response};
use crate::route::DeviceOperation;
use crate::sas::{SasToken, derived_key};
use crate::state::{Registering, State};
use crate::tpm::{PublicArea, wrapped_key};

pub(crate) fn respond(
    app: &App,
    call: &Call<'_>,
    registration_id: &str,
    operation: DeviceOperation,
    failure: Option<(u32, String)>,
) -> Result<Response, AzureError> {
    let mut state = app.state.lock();
    match operation {
        DeviceOperation::Register => {
            if let Some(limit) = app.throttle_per_min
                && let Some(seconds) = state.throttle_register(limit, call.now)
            {
                return Err(AzureError::throttled(Some(seconds)));
            }
            if !is_valid_id(registration_id) {
                return Err(AzureError::bad_request("The registration ID is not valid."));
            }
            check_body(call, registration_id, Required::Yes)?;
            if call.authorization().is_none() && call.peer.certificates.0.is_empty() {
                return Err(challenge(call, &mut state, registration_id)?);
            }
            let credential = Credential::verified(app, call, &state, registration_id)?;
            let (enrollment, kind) = (credential.enrollment.clone(), credential.kind);
            let hub_key = match (&enrollment.attestation, TpmKeys::of(call)?) {
                (Attestation::Tpm(_), Some(keys)) => wrapped_key(&keys.endorsement, &keys.storage_root),
                _ => None,
            };
            let issued = issued(app, call, &enrollment, registration_id)?;
            let attestation = credential.attestation;
            let who = Registering { registration_id, enrollment: &enrollment, kind, attestation, hub_key, issued };
            let operation_id = state.register(&who, &app.hubs, app.assigning_polls, failure, call.now);
            Ok(assigning(app, &operation_id))
        }
        DeviceOperation::Operation(operation_id) => {
            if let Some(limit) = app.polls_per_10_s
                && let Some(seconds) = state.throttle_poll(registration_id, limit, call.now)
            {
                return Err(AzureError::throttled(Some(seconds)));
            }
            Credential::verified(app, call, &state, registration_id)?;
            let registration =
                state.poll(registration_id, &operation_id, call.now).ok_or_else(AzureError::no_such_operation)?;
            if registration.status() == "assigning" {
                return Ok(assigning(app, &operation_id));
            }
            let body = json!({
                "operationId": operation_id,
                "status": registration.status(),
                "registrationState": registration.to_json_for_device(),
            });
            Ok(json_response(StatusCode::OK, &body))
        }
        DeviceOperation::LookUp => {
            check_body(call, registration_id, Required::No)?;
            Credential::verified(app, call, &state, registration_id)?;
            let registration = state.look_up(registration_id, call.now).ok_or_else(AzureError::no_such_registration)?;
            Ok(json_response(StatusCode::OK, &registration.to_json()))
        }
    }
}

/// A credential that an enrollment vouches for.
struct Credential<'a> {
    enrollment: &'a Enrollment,
    kind: Kind,
    attestation: &'static str,
}

impl<'a> Credential<'a> {
    /// Verifies the token or, without one, the client certificate. An individual enrollment of this registration ID decides alone;
    /// only where there is none are the groups asked.
    fn verified(app: &App, call: &Call<'_>, state: &'a State, registration_id: &str) -> Result<Self, AzureError> {
        let individual = state.individuals.get(&registration_id.to_ascii_lowercase());
        match call.authorization() {
            Some(header) => {
                let token = SasToken::parse(header).ok_or_else(AzureError::unauthorized)?;
                check_token(app, &token, registration_id, call)?;
                Self::by_token(&token, individual, state, registration_id).ok_or_else(AzureError::unauthorized)
            }
            None if call.peer.certificates.0.is_empty() => Err(AzureError::unauthorized()),
            None => Self::by_certificate(call, individual, state, registration_id),
        }
    }

    fn by_token(
        token: &SasToken,
        individual: Option<&'a Enrollment>,
        state: &'a State,
        registration_id: &str,
    ) -> Option<Self> {
        let attestation = "symmetricKey";
        if let Some(enrollment) = individual {
            if let Attestation::Tpm(_) = &enrollment.attestation {
                let key = state.tpm_keys.get(&registration_id.to_ascii_lowercase())?;
                let attestation = "tpm";
                return token.is_signed_by(key).then_some(Self { enrollment, kind: Kind::Individual, attestation });
            }
            let Attestation::SymmetricKey(keys) = &enrollment.attestation else { return None };
            return keys.iter().any(|key| token.is_signed_by(key)).then_some(Self {
                enrollment,
                kind: Kind::Individual,
                attestation,
            });
        }
        // Devices derive their key from the registration ID as they spell it, or from its lower case.
        let spellings = [registration_id.to_owned(), registration_id.to_ascii_lowercase()];
        let signed_by_group = |group_key: &Vec<u8>| {
            spellings
                .iter()
                .filter_map(|id| derived_key(group_key, id))
                .any(|device_key| token.is_signed_by(&device_key))
        };
        state.groups.values().find_map(|enrollment| match &enrollment.attestation {
            Attestation::SymmetricKey(keys) if keys.iter().any(signed_by_group) => {
                Some(Self { enrollment, kind: Kind::Group, attestation })
            }
            _ => None,
        })
    }

    fn by_certificate(
        call: &Call<'_>,
        individual: Option<&'a Enrollment>,
        state: &'a State,
        registration_id: &str,
    ) -> Result<Self, AzureError> {
        let shown = &call.peer.certificates;
        if !shown.common_name().is_some_and(|name| name.eq_ignore_ascii_case(registration_id)) {
            return Err(AzureError::invalid_certificate());
        }
        let attestation = "x509";
        if let Some(enrollment) = individual {
            let Attestation::X509(enrolled) = &enrollment.attestation else { return Err(AzureError::unauthorized()) };
            return if enrolled.iter().any(|enrolled| shown.is(enrolled, call.now)) {
                Ok(Self { enrollment, kind: Kind::Individual, attestation })
            } else {
                Err(AzureError::invalid_certificate())
            };
        }
        let mut groups = state.groups.values().filter_map(|enrollment| match &enrollment.attestation {
            Attestation::X509(signing) => Some((enrollment, signing)),
            _ => None,
        });
        groups
            .find(|(_, signing)| signing.iter().any(|signing| shown.chain_to(signing, call.now)))
            .map(|(enrollment, _)| Self { enrollment, kind: Kind::Group, attestation })
            .ok_or_else(AzureError::invalid_certificate)
    }
}

/// `skn=registration`, not expired, and for this registration.
fn check_token(app: &App, token: &SasToken, registration_id: &str, call: &Call<'_>) -> Result<(), AzureError> {
    let resource = format!("{}/registrations/{registration_id}", app.id_scope);
    let is_ours = token.policy.as_deref() == Some("registration") && token.resource.eq_ignore_ascii_case(&resource);
    if is_ours && !token.is_expired(call.now) { Ok(()) } else { Err(AzureError::unauthorized()) }
}

/// What a registration says of its TPM.
struct TpmKeys {
    /// As it was sent, in base64.
    endorsement_text: String,
    endorsement: PublicArea,
    storage_root: PublicArea,
}

impl TpmKeys {
    /// `None`: the registration says nothing of a TPM.
    fn of(call: &Call<'_>) -> Result<Option<Self>, AzureError> {
        let Some(tpm) = call.json()?.and_then(|body| body.get("tpm").cloned()).filter(|tpm| !tpm.is_null()) else {
            return Ok(None);
        };
        let text = |name: &str| tpm.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let area = |text: &str| STANDARD.decode(text).ok().and_then(|tpm2b| PublicArea::parse(&tpm2b));
        let endorsement_text = text("endorsementKey");
        match (area(&endorsement_text), area(&text("storageRootKey"))) {
            (Some(endorsement), Some(storage_root)) => Ok(Some(Self { endorsement_text, endorsement, storage_root })),
            _ => Err(AzureError::bad_request("tpm has not two RSA keys as TPM2B_PUBLIC in base64.")),
        }
    }
}

/// What a device without any credential is told: a TPM that is enrolled gets a key, everybody else nothing.
fn challenge(call: &Call<'_>, state: &mut State, registration_id: &str) -> Result<AzureError, AzureError> {
    let key = registration_id.to_ascii_lowercase();
    let Some(Attestation::Tpm(enrolled)) = state.individuals.get(&key).map(|one| &one.attestation) else {
        return Ok(AzureError::unauthorized());
    };
    let Some(keys) = TpmKeys::of(call)? else { return Ok(AzureError::unauthorized()) };
    if enrolled.get("endorsementKey").and_then(Value::as_str) != Some(&keys.endorsement_text) {
        return Ok(AzureError::unauthorized());
    }
    let Some((given, blob)) = wrapped_key(&keys.endorsement, &keys.storage_root) else {
        return Ok(AzureError::unauthorized());
    };
    state.tpm_keys.insert(key, given);
    Ok(AzureError::tpm_challenge(&blob))
}

/// The chain for the device's certificate request; empty when it sent none.
fn issued(
    app: &App,
    call: &Call<'_>,
    enrollment: &Enrollment,
    registration_id: &str,
) -> Result<Vec<Vec<u8>>, AzureError> {
    let csr = call.json()?.and_then(|body| body.get("csr").cloned()).filter(|csr| !csr.is_null());
    // A version that does not know the field passes it over.
    let Some(csr) = csr.filter(|_| call.with_issuance) else { return Ok(Vec::new()) };
    let der = csr.as_str().and_then(|text| STANDARD.decode(text).ok());
    let der = der.ok_or_else(|| AzureError::bad_request("csr is not base64."))?;
    let policy = enrollment.credential_policy.as_deref();
    let policy = policy.ok_or_else(|| AzureError::bad_request("The enrollment has no credential policy."))?;
    app.issuance.issue(policy, &der, registration_id, call.now).map_err(AzureError::bad_request)
}

#[derive(PartialEq, Eq)]
enum Required {
    Yes,
    No,
}

/// The body must name the registration that the path names.
fn check_body(call: &Call<'_>, registration_id: &str, required: Required) -> Result<(), AzureError> {
    let named = match call.json()? {
        None => None,
        Some(Value::Object(body)) => body.get("registrationId").cloned(),
        Some(_) => return Err(AzureError::bad_request("The body is not a JSON object.")),
    };
    match named {
        None if required == Required::No => Ok(()),
        None => Err(AzureError::bad_request("registrationId is missing.")),
        Some(Value::String(named)) if named.eq_ignore_ascii_case(registration_id) => Ok(()),
        Some(_) => Err(AzureError::bad_request("registrationId does not match the path.")),
    }
}

fn assigning(app: &App, operation_id: &str) -> Response {
    let mut response =
        json_response(StatusCode::ACCEPTED, &json!({"operationId": operation_id, "status": "assigning"}));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(app.retry_after.as_secs()));
    response
}
