use std::error::Error;
use std::io;

use rustls::CertificateError;

use crate::error::{ErrorCode, PairingError};

/// Longest text that goes into an error's support detail, in characters.
const MAX_DETAIL: usize = 300;

/// The code for a call without an answer: who could not be reached, or not be trusted. Holds no address.
pub fn of_reqwest(error: reqwest::Error) -> PairingError {
    let error = error.without_url();
    let tls = in_chain(&error);
    let code = match tls {
        Some(rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        )) => ErrorCode::ApiTlsExpired,
        Some(rustls::Error::InvalidCertificate(_)) => ErrorCode::ApiTlsForeign,
        _ if error.is_timeout() => ErrorCode::ApiTimeout,
        _ if error.is_redirect() => ErrorCode::ApiRedirect,
        _ if error.is_builder() => ErrorCode::ApiUrlInvalid,
        _ if error.is_decode() => ErrorCode::ApiAnswerInvalid,
        _ => ErrorCode::ApiUnreachable,
    };
    // The innermost words are the ones that tell something: "connection refused", "certificate expired".
    let mut innermost: &dyn Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let detail = match tls {
        Some(tls) => tls.to_string(),
        None => innermost.to_string(),
    };
    PairingError::with_detail(code, detail.chars().take(MAX_DETAIL).collect::<String>())
}

fn in_chain<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && let Some(tls) = in_chain(inner)
        {
            return Some(tls);
        }
        next = error.source();
    }
    None
}
