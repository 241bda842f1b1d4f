//! As much of Azure Resource Manager as proves to the instance that somebody holds a CA's key: a CA certificate is put, a
//! verification code is asked for, and a certificate for that code's name, signed by the CA, verifies it.
//!
//! `/subscriptions/…/providers/Microsoft.Devices/provisioningServices/{name}/certificates/{certificate}` with
//! `/generateVerificationCode` and `/verify`, as Microsoft's REST reference has them (api-version 2022-12-12).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::app::Call;
use crate::error_body::{AzureError, json_response};

/// The CA certificates of the instance, by name.
#[derive(Default)]
pub(crate) struct Certificates(Mutex<BTreeMap<String, Certificate>>);

struct Certificate {
    der: Vec<u8>,
    etag: String,
    is_verified: bool,
    code: Option<String>,
}

/// Whether this path is the resource manager's.
pub(crate) fn is_resource_path(path: &str) -> bool {
    path.starts_with("/subscriptions/")
}

impl Certificates {
    /// The certificate of this name, when its key's possession was proven.
    pub(crate) fn verified(&self, name: &str) -> Option<Vec<u8>> {
        self.lock().get(name).filter(|certificate| certificate.is_verified).map(|certificate| certificate.der.clone())
    }

    pub(crate) fn respond(&self, call: &Call<'_>, method: &Method, path: &str) -> Result<Response, AzureError> {
        let (_, rest) = path.split_once("/certificates/").ok_or_else(AzureError::no_such_path)?;
        let (name, action) = rest.split_once('/').map_or((rest, None), |(name, action)| (name, Some(action)));
        let mut all = self.lock();
        match (method, action) {
            (&Method::GET, None) => {
                let certificate = all.get(name).ok_or_else(AzureError::no_such_enrollment)?;
                Ok(json_response(StatusCode::OK, &certificate.to_json(name)))
            }
            (&Method::PUT, None) => {
                let body = call.json()?.unwrap_or_default();
                let der = body.pointer("/properties/certificate").and_then(Value::as_str).and_then(der);
                let der = der.ok_or_else(|| AzureError::bad_request("properties.certificate is no certificate."))?;
                match (all.get(name), call.header(header::IF_MATCH.as_str())) {
                    (None, None) => {}
                    (Some(before), Some(etag)) if before.etag == etag => {}
                    _ => return Err(AzureError::precondition_failed()),
                }
                let certificate = Certificate { der, etag: etag(), is_verified: false, code: None };
                let answer = certificate.to_json(name);
                all.insert(name.to_owned(), certificate);
                Ok(json_response(StatusCode::OK, &answer))
            }
            (&Method::POST, Some(action)) => {
                let certificate = all.get_mut(name).ok_or_else(AzureError::no_such_enrollment)?;
                // Both ask for it, and any other version is a conflict.
                if call.header(header::IF_MATCH.as_str()) != Some(&certificate.etag) {
                    return Err(AzureError::precondition_failed());
                }
                certificate.etag = etag();
                match action {
                    "generateVerificationCode" => certificate.code = Some(etag()),
                    "verify" => certificate.verify(&call.json()?.unwrap_or_default())?,
                    _ => return Err(AzureError::no_such_path()),
                }
                Ok(json_response(StatusCode::OK, &certificate.to_json(name)))
            }
            _ => Err(AzureError::method_not_allowed()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Certificate>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Certificate {
    fn verify(&mut self, body: &Value) -> Result<(), AzureError> {
        let wrong = || AzureError::bad_request("The verification certificate does not verify the certificate.");
        let leaf = body.get("certificate").and_then(Value::as_str).and_then(der).ok_or_else(wrong)?;
        let (_, leaf) = X509Certificate::from_der(&leaf).map_err(|_| wrong())?;
        let (_, ca) = X509Certificate::from_der(&self.der).map_err(|_| wrong())?;
        let name = leaf.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        let is_named = self.code.is_some() && name == self.code.as_deref();
        if !is_named || leaf.verify_signature(Some(ca.public_key())).is_err() {
            return Err(wrong());
        }
        self.is_verified = true;
        self.code = None;
        Ok(())
    }

    fn to_json(&self, name: &str) -> Value {
        json!({
            "name": name,
            "etag": self.etag,
            "properties": {
                "certificate": STANDARD.encode(&self.der),
                "isVerified": self.is_verified,
                "verificationCode": self.code,
            },
        })
    }
}

/// Base64 of DER or of PEM; Azure takes both.
fn der(text: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(text).ok()?;
    let der = pem::parse(&bytes).map(pem::Pem::into_contents).unwrap_or(bytes);
    X509Certificate::from_der(&der).is_ok().then_some(der)
}

fn etag() -> String {
    hex::encode_upper(rand::random::<[u8; 20]>())
}
