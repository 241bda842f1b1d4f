//! The listener: slow and idle clients, too many of them, and a certificate that changes while it runs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Api, client, finish};
use reqwest::Method;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const PATIENCE: Duration = Duration::from_secs(20);

/// A connection of HTTP/1.1, on which a test says whatever it likes.
async fn connect(api: &Api) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(api.running.ca_pem.as_bytes()).unwrap()).unwrap();
    let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(api.running.url.strip_prefix("https://").unwrap()).await?;
    TlsConnector::from(Arc::new(tls)).connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await
}

/// All that still comes until the server closes; fails when it does not.
async fn until_closed(stream: &mut TlsStream<TcpStream>) -> String {
    let mut bytes = Vec::new();
    // A connection that is cut without TLS's goodbye is closed, too.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("it is closed");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn who_does_not_finish_a_request_is_cut_off() {
    let api = Api::start_with(vec![], |options| {
        options.limits.header_timeout = Duration::from_millis(300);
        options.limits.request_timeout = Duration::from_millis(600);
    })
    .await;
    let started = Instant::now();
    // Nothing at all, half a head, and half a body.
    let mut silent = connect(&api).await.unwrap();
    until_closed(&mut silent).await;
    let mut head = connect(&api).await.unwrap();
    head.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
    until_closed(&mut head).await;
    let mut body = connect(&api).await.unwrap();
    body.write_all(
        b"POST /oauth/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 100\r\n\r\ngrant",
    )
    .await
    .unwrap();
    assert!(until_closed(&mut body).await.starts_with("HTTP/1.1 "));
    assert!(started.elapsed() < PATIENCE);
    // No TLS at all.
    let mut plain = TcpStream::connect(api.running.url.strip_prefix("https://").unwrap()).await.unwrap();
    let _ = tokio::time::timeout(PATIENCE, plain.read_to_end(&mut Vec::new())).await.expect("it is closed");
    api.send(Method::GET, "/healthz", None, None).await.done();
}

#[tokio::test]
async fn who_comes_when_all_places_are_taken_is_turned_away_and_those_inside_go_on() {
    let api = Api::start_with(vec![], |options| options.limits.connections = 2).await;
    let mut held = vec![connect(&api).await.unwrap(), connect(&api).await.unwrap()];
    assert!(connect(&api).await.is_err());
    let first = &mut held[0];
    first.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(until_closed(first).await.starts_with("HTTP/1.1 204"));
    held.clear();
    let deadline = Instant::now() + PATIENCE;
    while connect(&api).await.is_err() {
        assert!(Instant::now() < deadline, "a place is free again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn heads_that_are_too_large_or_torn_are_refused_and_nothing_of_them_comes_back() {
    let api = Api::start_with(vec![], |options| options.limits.header_timeout = Duration::from_secs(2)).await;
    for head in [
        format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(600_000)),
        "GET /healthz HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n".to_owned(),
        "GET /v1/me HTTP/1.1\r\nhost: x\r\nauthorization: Bearer a\r\n b\r\n\r\n".to_owned(),
        "POST /oauth/token HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n0\r\n\r\n".to_owned(),
    ] {
        let mut stream = connect(&api).await.unwrap();
        // The server may close before it has read all.
        let _ = stream.write_all(head.as_bytes()).await;
        let answer = until_closed(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        assert!(!answer.contains("bad header"), "{answer}");
    }
    api.send(Method::GET, "/healthz", None, None).await.done();
}

/// A CA and a certificate for 127.0.0.1 under it, as an operator brings them: CA, chain, key (PEM).
fn operators_own() -> (String, String, String) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let chain = params.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap().pem();
    (ca_pem, chain, key.serialize_pem())
}

#[tokio::test]
async fn a_certificate_that_the_operator_replaces_is_served_without_a_restart() {
    let api = Api::start_with(vec![], |options| options.limits.tls_check = Duration::from_millis(20)).await;
    let folder = api.folder.path().join("tls");
    let (ca, chain, key) = operators_own();
    // The chain comes first: until the key is there, the two do not fit, and the old certificate is served.
    std::fs::write(folder.join("server.pem"), &chain).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let http = client(&api.running.ca_pem);
    finish(http.get(format!("{}/healthz", api.running.url))).await.done();
    std::fs::write(folder.join("server.key"), &key).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        match client(&ca).get(format!("{}/healthz", api.running.url)).send().await {
            Ok(answer) => break assert_eq!(answer.status(), 204),
            Err(_) => assert!(Instant::now() < deadline, "the new certificate is served"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Whoever is connected goes on.
    finish(http.get(format!("{}/healthz", api.running.url))).await.done();
}
