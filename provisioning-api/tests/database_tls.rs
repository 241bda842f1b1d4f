//! A PostgreSQL server on another machine must prove who it is; whoever cannot is told nothing, the password least of all.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::sync::Arc;

use provisioning_api::Office;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A CA, and a server that says who it is by a certificate of that CA for this name. It knows TLS, or else not. Whoever trusts it
/// tells it their name and is then turned away in words.
struct Server {
    port: u16,
    ca_pem: String,
}

async fn server(name: &str, knows_tls: bool) -> Server {
    let ca_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.into()]).unwrap().signed_by(&key, &issuer).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let tls = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut asks_for_tls = [0; 8];
            let _ = socket.read_exact(&mut asks_for_tls).await;
            let _ = socket.write_all(if knows_tls { b"S" } else { b"N" }).await;
            let Ok(mut socket) = tls.accept(socket).await else { continue };
            let _ = socket.read(&mut [0; 1024]).await;
            // ErrorResponse (protocol 3.0): severity, SQLSTATE, words.
            let fields = b"SFATAL\0VFATAL\0C28000\0Myou are not on my list\0\0";
            let mut answer = vec![b'E'];
            answer.extend(u32::try_from(4 + fields.len()).unwrap().to_be_bytes());
            answer.extend(fields);
            let _ = socket.write_all(&answer).await;
            let _ = socket.shutdown().await;
        }
    });
    Server { port, ca_pem: ca.pem() }
}

/// What the operator is told.
async fn refusal(url: &str) -> String {
    let error = Office::open(url).await.err().unwrap();
    let mut words = error.to_string();
    let mut next = std::error::Error::source(&error);
    while let Some(error) = next {
        words += &format!("; {error}");
        next = error.source();
    }
    assert!(!words.contains("s3cret") && !format!("{error:?}").contains("s3cret"), "{words}");
    words
}

#[tokio::test]
async fn a_server_is_spoken_to_only_when_a_trusted_ca_says_that_it_is_the_one_that_was_named() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    let url = |server: &Server, parameters: &str| {
        std::fs::write(&ca, &server.ca_pem).unwrap();
        let (port, ca) = (server.port, ca.display().to_string());
        format!("postgres://api:s3cret@localhost:{port}/fleet?{}", parameters.replace("CA", &ca))
    };
    let right = server("localhost", true).await;
    let trusted = refusal(&url(&right, "sslmode=verify-full&sslrootcert=CA")).await;
    assert!(trusted.contains("you are not on my list"), "{trusted}");
    let unknown = refusal(&url(&right, "sslmode=verify-full")).await;
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");
    let other = server("db.example", true).await;
    let wrong_name = refusal(&url(&other, "sslmode=verify-full&sslrootcert=CA")).await;
    assert!(wrong_name.contains("not valid for name") || wrong_name.contains("NotValidForName"), "{wrong_name}");
    let plain = server("localhost", false).await;
    let no_tls = refusal(&url(&plain, "sslmode=verify-full&sslrootcert=CA")).await;
    assert!(no_tls.contains("does not support TLS"), "{no_tls}");
}

#[tokio::test]
async fn a_url_that_asks_for_less_than_proof_is_refused_in_words_that_say_what_to_do() {
    for mode in ["disable", "allow", "prefer", "require", "verify-ca"] {
        let words = refusal(&format!("postgres://api:s3cret@db.example/fleet?sslmode={mode}")).await;
        assert!(words.contains(&format!("sslmode={mode} would not prove whose server it is")), "{words}");
    }
    let words = refusal("postgres://api:s3cret@db.example/fleet?password2=s3cret").await;
    assert!(words.contains("no parameter password2"), "{words}");
}
