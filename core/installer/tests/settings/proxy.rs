//! A real CONNECT proxy in front of a real TLS server: honest, asking for a password, refusing, and opening TLS.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use lowtouch_installer::api::Client;
use lowtouch_installer::net::{Net, NetSettings, Proxy};
use lowtouch_installer::{Action, ErrorCode, PairingError};
use secrecy::SecretString;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::server::{Ca, TOKEN, ca, serve, tls};

/// What the proxy does with a CONNECT.
#[derive(Clone, Copy)]
enum Does {
    /// Passes the bytes on.
    Pass,
    /// The same, for whoever has the password.
    AskForPassword,
    /// Says no.
    Refuse,
    /// Connects to this server instead, which has a certificate of the proxy's own CA.
    Open(SocketAddr),
}

/// Its address, and the CONNECT requests that it got.
async fn proxy(does: Does) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let log = log.clone();
            tokio::spawn(async move {
                let _ = answer(stream, does, &log).await;
            });
        }
    });
    (address, asked)
}

async fn answer(stream: TcpStream, does: Does, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut client = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if client.read_line(&mut head).await? == 0 {
            return Ok(());
        }
    }
    log.lock().unwrap().push(head.clone());
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    // "me:marked-proxy-word" in base64.
    let allowed = head.to_lowercase().contains("proxy-authorization: basic bwu6bwfya2vklxbyb3h5lxdvcmq=");
    let to = match does {
        Does::Refuse => {
            return client.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
        }
        Does::AskForPassword if !allowed => {
            let asks = b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"p\"\r\ncontent-length: 0\r\n\r\n";
            return client.write_all(asks).await;
        }
        Does::Open(own) => TcpStream::connect(own).await?,
        _ => TcpStream::connect(target.replace("localhost", "127.0.0.1")).await?,
    };
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    let (mut from, mut to) = (client, to);
    let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
    Ok(())
}

async fn api(authority: &Ca, expired: bool) -> SocketAddr {
    let list = || async { axum::Json(serde_json::json!({ "instances": [] })) };
    serve(tls(authority, "localhost", expired), Router::new().route("/v1/instances", get(list))).await
}

fn client(api: SocketAddr, trusted: Option<&Ca>, proxy: Proxy) -> Client {
    let settings = NetSettings {
        extra_ca_pem: trusted.map(|authority| authority.pem.clone()),
        proxy,
        connect_timeout: Duration::from_secs(10),
        call_timeout: Duration::from_secs(20),
        ..NetSettings::default()
    };
    let token = Some(SecretString::from(TOKEN.to_owned()));
    Client::new(&format!("https://localhost:{}", api.port()), token, Net::new(&settings).unwrap()).unwrap()
}

fn through(address: SocketAddr, login: Option<(&str, &str)>) -> Proxy {
    Proxy::Through {
        url: format!("http://{address}").parse().unwrap(),
        login: login.map(|(user, password)| (user.to_owned(), password.to_owned().into())),
    }
}

fn error<T>(answer: Result<T, PairingError>) -> PairingError {
    answer.err().unwrap()
}

#[tokio::test]
async fn tls_goes_through_a_proxy_end_to_end() {
    let authority = ca();
    let api = api(&authority, false).await;
    let (address, asked) = proxy(Does::Pass).await;
    client(api, Some(&authority), through(address, None)).instances().await.unwrap();
    let seen = asked.lock().unwrap().join("\n");
    assert!(seen.starts_with(&format!("CONNECT localhost:{}", api.port())), "{seen}");
    // The proxy sees host and port, and nothing of the call.
    assert!(!seen.contains(TOKEN) && !seen.contains("instances"), "{seen}");
    // Without it, it is not asked.
    client(api, Some(&authority), Proxy::Direct).instances().await.unwrap();
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_proxy_that_breaks_tls_is_refused_and_whose_certificate_it_is_is_said() {
    let authority = ca();
    let api_address = api(&authority, false).await;
    let foreign = ca();
    let man_in_the_middle = api(&foreign, false).await;
    let (address, _) = proxy(Does::Open(man_in_the_middle)).await;
    let refused = error(client(api_address, Some(&authority), through(address, None)).instances().await);
    assert_eq!((refused.code, refused.action), (ErrorCode::ApiTlsForeign, Action::CheckSettings));
    let detail = refused.detail.clone().unwrap();
    assert!(detail.contains("issued by"), "{detail}");
    assert!(refused.hint().contains("add its certificate"), "{}", refused.hint());
    // The mend works: with the proxy's CA added, the call goes through.
    client(api_address, Some(&foreign), through(address, None)).instances().await.unwrap();
}

#[tokio::test]
async fn a_proxy_that_wants_a_password_refuses_or_is_not_there_is_named() {
    let authority = ca();
    let api = api(&authority, false).await;
    let (address, _) = proxy(Does::AskForPassword).await;
    let login = Some(("me", "marked-proxy-word"));
    client(api, Some(&authority), through(address, login)).instances().await.unwrap();
    for login in [None, Some(("me", "marked-wrong-word"))] {
        let refused = error(client(api, Some(&authority), through(address, login)).instances().await);
        assert_eq!((refused.code, refused.action), (ErrorCode::ProxyLogin, Action::CheckSettings), "{refused:?}");
        assert!(!format!("{refused:?}").contains("marked"), "{refused:?}");
    }
    let (address, _) = proxy(Does::Refuse).await;
    let refused = error(client(api, Some(&authority), through(address, None)).instances().await);
    assert_eq!(refused.code, ErrorCode::ProxyRefused, "{refused:?}");
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = error(client(api, Some(&authority), through(gone, None)).instances().await);
    assert_eq!(refused.code, ErrorCode::ProxyUnreachable, "{refused:?}");
}

#[tokio::test]
async fn an_expired_certificate_is_said_with_its_date() {
    let authority = ca();
    let api = api(&authority, true).await;
    let refused = error(client(api, Some(&authority), Proxy::Direct).instances().await);
    assert_eq!((refused.code, refused.action), (ErrorCode::ApiTlsExpired, Action::CheckClock));
    // As tests/it/server.rs makes it.
    let detail = refused.detail.unwrap();
    assert!(detail.contains("2020-01-01") && detail.contains("2020-02-01"), "{detail}");
}

#[tokio::test]
async fn a_proxy_that_is_silent_ends_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut some = [0; 16];
            let _ = stream.read(&mut some).await;
            held.push(stream);
        }
    });
    let settings = NetSettings {
        proxy: through(address, None),
        connect_timeout: Duration::from_millis(500),
        call_timeout: Duration::from_millis(800),
        ..NetSettings::default()
    };
    let net = Net::new(&settings).unwrap();
    let client = Client::new("https://localhost:9", Some(SecretString::from(TOKEN.to_owned())), net).unwrap();
    let late = error(client.instances().await);
    assert_eq!(late.code, ErrorCode::ApiTimeout, "{late:?}");
}
