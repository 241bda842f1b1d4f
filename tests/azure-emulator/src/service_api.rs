//! The service API: enrollments, enrollment groups, registrations, queries, bulk operations.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::app::{App, Call};
use crate::config::Config;
use crate::enrollment::{Enrollment, Kind, matches};
use crate::entra;
use crate::error_body::{AzureError, json_response};
use crate::route::ServiceOperation;
use crate::sas::SasToken;
use crate::state::State;

/// Azure: a bulk operation has at most 10 enrollments.
const LARGEST_BULK: usize = 10;
/// How many items a query's page has when the client does not say.
const PAGE: usize = 100;

pub(crate) fn respond(app: &App, call: &Call<'_>, operation: ServiceOperation) -> Result<Response, AzureError> {
    authorize(app, call)?;
    let mut state = app.state.lock();
    state.settle_all(call.now);
    let state = &mut *state;
    match operation {
        ServiceOperation::Get(kind, id) => {
            let enrollment = find(state, kind, &id)?;
            let mut body = enrollment.to_json(kind);
            if kind == Kind::Individual
                && let Some(registration) = state.registrations.get(&key(&id))
            {
                body["registrationState"] = registration.to_json();
            }
            Ok(ok(&body))
        }
        ServiceOperation::Put(kind, id) => {
            let document = call.json()?.ok_or_else(|| AzureError::bad_request("The body is missing."))?;
            let enrollment = put(app, state, call, kind, &id, document, call.header(header::IF_MATCH.as_str()))?;
            Ok(ok(&enrollment.to_json(kind)))
        }
        ServiceOperation::Delete(kind, id) => {
            let enrollment = find(state, kind, &id)?;
            check_etag(call, &enrollment.etag)?;
            state.remove_enrollment(kind, &key(&id));
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        ServiceOperation::AttestationMechanism(kind, id) => Ok(ok(&find(state, kind, &id)?.attestation.to_json(kind))),
        ServiceOperation::Query(kind) => {
            check_query(call)?;
            let items =
                state.enrollments(kind).iter().map(|(key, enrollment)| (key.as_str(), enrollment.to_json(kind)));
            page(call, kind.item_type(), items)
        }
        ServiceOperation::Bulk => bulk(app, state, call),
        ServiceOperation::GetRegistration(id) => {
            let registration = state.registrations.get(&key(&id)).ok_or_else(AzureError::no_such_registration)?;
            Ok(ok(&registration.to_json()))
        }
        ServiceOperation::DeleteRegistration(id) => {
            let registration = state.registrations.get(&key(&id)).ok_or_else(AzureError::no_such_registration)?;
            check_etag(call, &registration.etag)?;
            state.remove_registration(&key(&id));
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        ServiceOperation::QueryRegistrations(group) => {
            check_query(call)?;
            find(state, Kind::Group, &group)?;
            let of_group = state.registrations.iter().filter(|(_, registration)| {
                registration.group.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(&group))
            });
            page(call, "deviceRegistration", of_group.map(|(key, registration)| (key.as_str(), registration.to_json())))
        }
    }
}

/// A token of the policy `provisioningserviceowner` for this host, or one of Entra ID.
fn authorize(app: &App, call: &Call<'_>) -> Result<(), AzureError> {
    let admitted =
        |authorization| app.entra.as_ref().is_some_and(|entra| entra.admits(authorization, entra::DPS, call.now));
    if call.authorization().is_some_and(admitted) {
        return Ok(());
    }
    let token = call.authorization().and_then(SasToken::parse).ok_or_else(AzureError::unauthorized)?;
    let host = call.header(header::HOST.as_str()).unwrap_or_default();
    let without_port = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_ours = token.policy.as_deref() == Some(Config::POLICY)
        && [host, without_port].iter().any(|name| token.resource.eq_ignore_ascii_case(name));
    if is_ours && !token.is_expired(call.now) && token.is_signed_by(&app.service_key) {
        Ok(())
    } else {
        Err(AzureError::unauthorized())
    }
}

fn put(
    app: &App,
    state: &mut State,
    call: &Call<'_>,
    kind: Kind,
    id: &str,
    document: Value,
    if_match: Option<&str>,
) -> Result<Enrollment, AzureError> {
    let before = state.enrollments(kind).get(&key(id));
    match (before, if_match) {
        (None, None) => {}
        (Some(before), Some(if_match)) if matches(if_match, &before.etag) => {}
        // As the real service does it: without an ETag a PUT creates, and never replaces.
        (Some(_), None) => return Err(AzureError::already_exists()),
        (_, Some(_)) => return Err(AzureError::precondition_failed()),
    }
    let document = with_references(app, document)?;
    let linked: Vec<_> = app.hubs.iter().map(|hub| hub.host_name.as_str()).collect();
    let enrollment = Enrollment::from_document(kind, id, document, before, &linked, call.now)?;
    match &enrollment.credential_policy {
        Some(_) if !call.with_issuance => {
            return Err(AzureError::bad_request("This API version does not know credentialPolicyName."));
        }
        Some(policy) if !app.issuance.knows(policy) => {
            return Err(AzureError::bad_request("credentialPolicyName names no credential policy."));
        }
        _ => {}
    }
    state.enrollments_mut(kind).insert(key(id), enrollment.clone());
    Ok(enrollment)
}

/// A group that refers to the instance's own CA certificates gets them; each must be verified.
fn with_references(app: &App, mut document: Value) -> Result<Value, AzureError> {
    let Some(x509) = document.pointer_mut("/attestation/x509").and_then(Value::as_object_mut) else {
        return Ok(document);
    };
    let Some(references) = x509.remove("caReferences").filter(|references| !references.is_null()) else {
        return Ok(document);
    };
    let mut certificates = serde_json::Map::new();
    for name in ["primary", "secondary"] {
        if let Some(reference) = references.get(name).and_then(Value::as_str) {
            let der = app.certificates.verified(reference).ok_or_else(|| {
                AzureError::bad_request("A CA certificate that is referred to is not there or not verified.")
            })?;
            certificates.insert(name.into(), json!({ "certificate": STANDARD.encode(der) }));
        }
    }
    x509.insert("signingCertificates".into(), certificates.into());
    Ok(document)
}

/// `{mode, enrollments[]}` → `{isSuccessful, errors[]}`; each enrollment for itself.
fn bulk(app: &App, state: &mut State, call: &Call<'_>) -> Result<Response, AzureError> {
    let body = call.json()?.ok_or_else(|| AzureError::bad_request("The body is missing."))?;
    let mode = body.get("mode").and_then(Value::as_str).unwrap_or_default();
    let enrollments = body
        .get("enrollments")
        .and_then(Value::as_array)
        .ok_or_else(|| AzureError::bad_request("enrollments is missing."))?;
    if enrollments.is_empty() || enrollments.len() > LARGEST_BULK {
        return Err(AzureError::bad_request(format!("A bulk operation takes 1 to {LARGEST_BULK} enrollments.")));
    }
    if !["create", "update", "updateIfMatchETag", "delete"].contains(&mode) {
        return Err(AzureError::bad_request("mode is not valid."));
    }
    let mut errors = Vec::new();
    for document in enrollments {
        let id = document.get("registrationId").and_then(Value::as_str).unwrap_or_default();
        let etag = document.get("etag").and_then(Value::as_str);
        let done = match mode {
            "create" => put(app, state, call, Kind::Individual, id, document.clone(), None).map(drop),
            "update" => put(app, state, call, Kind::Individual, id, document.clone(), Some("*")).map(drop),
            "delete" => delete_in_bulk(state, id, etag),
            _ => put(app, state, call, Kind::Individual, id, document.clone(), Some(etag.unwrap_or("none"))).map(drop),
        };
        if let Err(error) = done {
            errors.push(json!({"registrationId": id, "errorCode": error.code, "errorStatus": error.message}));
        }
    }
    Ok(ok(&json!({"isSuccessful": errors.is_empty(), "errors": errors})))
}

fn delete_in_bulk(state: &mut State, id: &str, etag: Option<&str>) -> Result<(), AzureError> {
    let enrollment = find(state, Kind::Individual, id)?;
    if etag.is_some_and(|etag| !matches(etag, &enrollment.etag)) {
        return Err(AzureError::precondition_failed());
    }
    state.remove_enrollment(Kind::Individual, &key(id));
    Ok(())
}

/// The emulator answers only the query for everything: `*`, `SELECT *`, `SELECT * FROM enrollments` and the like.
fn check_query(call: &Call<'_>) -> Result<(), AzureError> {
    let body = call.json()?.unwrap_or_default();
    let query =
        body.get("query").and_then(Value::as_str).ok_or_else(|| AzureError::bad_request("query is missing."))?;
    let words: Vec<_> = query.split_whitespace().map(str::to_ascii_lowercase).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["*"] | ["select", "*"] => Ok(()),
        ["select", "*", "from", what]
            if ["enrollments", "enrollmentgroups", "registrations", "devices"].contains(what) =>
        {
            Ok(())
        }
        _ => Err(AzureError::bad_request("The emulator does not know this query.")),
    }
}

/// One page of the items, which come ordered by their key. The continuation token names the last key of the page, so that what is
/// made or deleted between two pages neither repeats nor hides another.
fn page<'a>(
    call: &Call<'_>,
    item_type: &'static str,
    items: impl Iterator<Item = (&'a str, Value)>,
) -> Result<Response, AzureError> {
    let size = match call.header("x-ms-max-item-count") {
        None | Some("") => PAGE,
        Some(text) => text
            .parse()
            .ok()
            .filter(|size| *size > 0)
            .ok_or_else(|| AzureError::bad_request("x-ms-max-item-count is not valid."))?,
    };
    let after = match call.header("x-ms-continuation") {
        None | Some("") => None,
        Some(token) => {
            let key = URL_SAFE_NO_PAD.decode(token).ok().and_then(|key| String::from_utf8(key).ok());
            Some(key.ok_or_else(|| AzureError::bad_request("x-ms-continuation is not valid."))?)
        }
    };
    let mut rest = items.filter(|(key, _)| after.as_deref().is_none_or(|after| *key > after));
    let page: Vec<_> = rest.by_ref().take(size).collect();
    let continuation = match (rest.next(), page.last()) {
        (Some(_), Some((last, _))) => Some(URL_SAFE_NO_PAD.encode(last)),
        _ => None,
    };
    let items: Vec<_> = page.into_iter().map(|(_, item)| item).collect();
    let mut response = ok(&Value::Array(items));
    let headers = response.headers_mut();
    headers.insert("x-ms-item-type", HeaderValue::from_static(item_type));
    headers.insert("x-ms-max-item-count", HeaderValue::from(size));
    if let Some(continuation) = continuation.and_then(|token| HeaderValue::from_str(&token).ok()) {
        headers.insert("x-ms-continuation", continuation);
    }
    Ok(response)
}

fn find<'a>(state: &'a State, kind: Kind, id: &str) -> Result<&'a Enrollment, AzureError> {
    state.enrollments(kind).get(&key(id)).ok_or_else(AzureError::no_such_enrollment)
}

fn check_etag(call: &Call<'_>, etag: &str) -> Result<(), AzureError> {
    match call.header(header::IF_MATCH.as_str()) {
        Some(if_match) if !matches(if_match, etag) => Err(AzureError::precondition_failed()),
        _ => Ok(()),
    }
}

fn key(id: &str) -> String {
    id.to_ascii_lowercase()
}

fn ok(body: &Value) -> Response {
    json_response(StatusCode::OK, body)
}
