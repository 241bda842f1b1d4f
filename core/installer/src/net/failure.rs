use std::error::Error;
use std::io;

use rustls::CertificateError;

use super::verifier;
use crate::error::{ErrorCode, PairingError};

/// Longest text that goes into an error's support detail, in characters.
const MAX_DETAIL: usize = 300;

/// The code for a call without an answer: who could not be reached, or not be trusted. Holds no address.
pub fn of_reqwest(error: reqwest::Error) -> PairingError {
    let error = error.without_url();
    let tls = in_chain(&error);
    let code = match tls.and_then(verifier::reason) {
        Some(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => ErrorCode::ApiTlsExpired,
        Some(_) => ErrorCode::ApiTlsForeign,
        _ if error.is_timeout() => ErrorCode::ApiTimeout,
        _ if error.is_redirect() => ErrorCode::ApiRedirect,
        _ if error.is_builder() => ErrorCode::ApiUrlInvalid,
        _ if error.is_decode() => ErrorCode::ApiAnswerInvalid,
        _ => of_tunnel(&error).unwrap_or(ErrorCode::ApiUnreachable),
    };
    // The innermost words are the ones that tell something: "connection refused", "certificate expired".
    let mut innermost: &dyn Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let detail = match tls {
        Some(tls) => verifier::told(tls).map_or_else(|| tls.to_string(), ToString::to_string),
        None => innermost.to_string(),
    };
    let unreachable = matches!(code, ErrorCode::ApiUnreachable | ErrorCode::ProxyUnreachable);
    let found_no_way = unreachable && found_no_way(&error);
    let error = PairingError::with_detail(code, detail.chars().take(MAX_DETAIL).collect::<String>());
    if found_no_way { error.not_left() } else { error }
}

/// What a proxy said, or that there is none. hyper-util has a type for it that it does not give out, so these are its words;
/// tests/settings/proxy.rs keeps them.
fn of_tunnel(error: &(dyn Error + 'static)) -> Option<ErrorCode> {
    let mut next = Some(error);
    while let Some(error) = next {
        match error.to_string().strip_prefix("tunnel error: ") {
            Some("proxy authorization required") => return Some(ErrorCode::ProxyLogin),
            Some("failed to create underlying connection") => return Some(ErrorCode::ProxyUnreachable),
            Some(_) => return Some(ErrorCode::ProxyRefused),
            None => next = error.source(),
        }
    }
    None
}

/// Neither a name server nor a route was found, so nothing left this machine.
fn found_no_way(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && matches!(
                error.kind(),
                io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown | io::ErrorKind::HostUnreachable
            )
        {
            return true;
        }
        // hyper-util's word; it has no type for it. A test below keeps it.
        if error.to_string().starts_with("dns error") {
            return true;
        }
        next = error.source();
    }
    false
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_nobody_knows_never_left_this_machine_and_a_refused_connection_did() {
        let client = crate::net::Net::new(&crate::net::NetSettings {
            proxy: crate::net::Proxy::Direct,
            ..crate::net::NetSettings::default()
        })
        .unwrap();
        // RFC 6761: resolves nowhere, and every resolver knows that.
        let error = of_reqwest(client.client().get("https://lowtouch.invalid/").send().await.unwrap_err());
        assert_eq!((error.code, error.has_not_left()), (ErrorCode::ApiUnreachable, true), "{error:?}");
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = of_reqwest(client.client().get(format!("https://{closed}/")).send().await.unwrap_err());
        assert_eq!((error.code, error.has_not_left()), (ErrorCode::ApiUnreachable, false), "{error:?}");
    }
}
