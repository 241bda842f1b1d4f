use std::net::Ipv4Addr;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use lowtouch_installer::api::{Client, ProvisioningApi, verdict};
use lowtouch_installer::net::{Net, NetSettings};
use lowtouch_installer::retry::Verdict;
use lowtouch_installer::{Action, ErrorCode};
use provisioning_api_contract as wire;
use secrecy::SecretString;

use crate::fake::code;
use crate::server::{ca, client, serve, tls};

async fn answering(respond: impl Fn(HeaderMap, String) -> Response + Clone + Send + Sync + 'static) -> Client {
    let ca = ca();
    let handler = move |request: Request| {
        let respond = respond.clone();
        async move { respond(request.headers().clone(), request.uri().to_string()) }
    };
    let address = serve(tls(&ca, "localhost", false), Router::new().fallback(any(handler))).await;
    client(address, Some(&ca))
}

fn problem(status: u16, problem_code: &str) -> Response {
    let body = serde_json::json!({
        "status": status, "title": "Title", "detail": "Detail", "code": problem_code,
        "requestId": "6f1c0e0e-2f1e-4c58-93c8-5a2f7f3a0b11",
    });
    let status = StatusCode::from_u16(status).unwrap();
    (status, [("content-type", "application/problem+json"), ("retry-after", "7")], body.to_string()).into_response()
}

#[tokio::test]
async fn each_status_and_problem_has_a_code_and_an_action() {
    for (status, problem_code, expected, action) in [
        (401, "unauthenticated", ErrorCode::ApiUnauthenticated, Action::SignInAgain),
        (403, "forbidden", ErrorCode::ApiForbidden, Action::AskAdministrator),
        (404, "device-unknown", ErrorCode::DeviceUnknown, Action::AskAdministrator),
        (404, "not-found", ErrorCode::ApiNotFound, Action::CheckSettings),
        (409, "handoff-conflict", ErrorCode::HandoffConflict, Action::Wait),
        (409, "attestation-mismatch", ErrorCode::AttestationMismatch, Action::AskAdministrator),
        (422, "csr-rejected", ErrorCode::CsrRejected, Action::ContactSupport),
        (429, "throttled", ErrorCode::ApiThrottled, Action::Wait),
        (500, "internal", ErrorCode::ApiInternal, Action::Wait),
        (502, "dps-unavailable", ErrorCode::DpsUnavailable, Action::Wait),
        (409, "no-instance", ErrorCode::NoInstance, Action::AskAdministrator),
        (418, "some-code-of-the-future", ErrorCode::ApiRequestRejected, Action::UpdateApp),
    ] {
        let client = answering(move |_, _| problem(status, problem_code)).await;
        let error = client.device("d", false).await.unwrap_err();
        assert_eq!((error.code, error.action), (expected, action), "{status} {problem_code}");
        assert_eq!(error.retry_after_s, Some(7));
        assert!(error.request_id.is_some());
    }
}

#[tokio::test]
async fn calls_carry_the_token_and_their_path_and_answers_are_read() {
    let client = answering(|headers, uri| {
        assert_eq!(headers["authorization"], "Bearer marked-token");
        assert_eq!(uri, "/v1/devices/a:b.c/symmetric-key");
        axum::Json(serde_json::json!({ "key": "QUJD" })).into_response()
    })
    .await;
    let ask = wire::SymmetricKeyRequest { handoff_id: uuid::Uuid::nil() };
    assert_eq!(client.symmetric_key("a:b.c", &ask).await.unwrap().key, "QUJD");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let client = answering(|_, _| (StatusCode::FOUND, [("location", "https://example.com/")]).into_response()).await;
    assert_eq!(code(client.instances().await), ErrorCode::ApiRedirect);
}

#[tokio::test]
async fn answers_that_are_no_json_or_without_end_are_refused() {
    for (answer, code) in
        [("marked, no JSON", ErrorCode::ApiAnswerInvalid), ("<html>marked</html>", ErrorCode::CaptivePortal)]
    {
        let client = answering(move |_, _| answer.into_response()).await;
        let error = client.instances().await.unwrap_err();
        assert_eq!(error.code, code);
        assert!(!format!("{error:?}").contains("marked"));
    }
    let client = answering(|_, _| {
        let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 8192]));
        Body::from_stream(endless).into_response()
    })
    .await;
    assert_eq!(code(client.instances().await), ErrorCode::ApiAnswerTooLong);
}

#[tokio::test]
async fn an_expired_and_a_foreign_certificate_are_told_apart() {
    let ca = ca();
    let expired = serve(tls(&ca, "localhost", true), Router::new()).await;
    assert_eq!(code(client(expired, Some(&ca)).instances().await), ErrorCode::ApiTlsExpired);
    let foreign = serve(tls(&ca, "localhost", false), Router::new()).await;
    assert_eq!(code(client(foreign, None).instances().await), ErrorCode::ApiTlsForeign);
    let other_name = serve(tls(&ca, "example.com", false), Router::new()).await;
    assert_eq!(code(client(other_name, Some(&ca)).instances().await), ErrorCode::ApiTlsForeign);
}

#[tokio::test]
async fn nobody_there_and_nobody_answering_are_told_apart() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let silent = listener.local_addr().unwrap();
    assert_eq!(code(client(silent, None).instances().await), ErrorCode::ApiTimeout);
    drop(listener);
    assert_eq!(code(client(silent, None).instances().await), ErrorCode::ApiUnreachable);
}

#[test]
fn settings_that_cannot_work_are_refused_before_anything_is_sent() {
    let token = || Some(SecretString::from("t".to_owned()));
    let net = || Net::new(&NetSettings::default()).unwrap();
    for (url, expected) in [
        ("http://api.example.com", ErrorCode::ApiNotHttps),
        ("api.example.com", ErrorCode::ApiUrlInvalid),
        ("ftp://api.example.com", ErrorCode::ApiUrlInvalid),
        ("https://user:pass@api.example.com", ErrorCode::ApiUrlInvalid),
        ("https://api.example.com/?token=x", ErrorCode::ApiUrlInvalid),
    ] {
        assert_eq!(Client::new(url, token(), net()).err().unwrap().code, expected, "{url}");
    }
    assert_eq!(Client::new("https://a.example", None, net()).err().unwrap().code, ErrorCode::ApiTokenMissing);
    let not_pem = Net::new(&NetSettings { extra_ca_pem: Some("not PEM".into()), ..NetSettings::default() });
    assert_eq!(not_pem.err().unwrap().code, ErrorCode::ApiCaInvalid);
}

#[test]
fn only_what_may_pass_is_tried_again() {
    assert_eq!(verdict(&ErrorCode::ApiThrottled.into()), Verdict::Throttled);
    assert_eq!(verdict(&ErrorCode::ApiUnreachable.into()), Verdict::Again);
    for fatal in
        [ErrorCode::ApiUnauthenticated, ErrorCode::ApiTlsExpired, ErrorCode::DeviceUnknown, ErrorCode::CsrRejected]
    {
        assert_eq!(verdict(&fatal.into()), Verdict::GiveUp, "{fatal}");
    }
}
