//! The HTTP shell's manners, byte by byte, against what ESP-IDF's server does.
// Helpers of tests may panic as tests do; clippy's own exception sees only the test functions.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use lowtouch_device::sim::{Running, SimConfig, SimLink, Simulated};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn device() -> (TempDir, Running) {
    let folder = TempDir::new().unwrap();
    let link = SimLink::Http("127.0.0.1:0".parse().unwrap());
    let device = Simulated::start(SimConfig::new(link, folder.path())).await.unwrap();
    (folder, device)
}

async fn connect(device: &Running) -> TcpStream {
    TcpStream::connect(device.address().strip_prefix("http://").unwrap()).await.unwrap()
}

/// Sends a request and returns the answer's head; empty when the device closes.
async fn ask(stream: &mut TcpStream, method: &str, path: &str, cookie: Option<&str>, body: &[u8]) -> String {
    let cookie = cookie.map(|cookie| format!("Cookie: {cookie}\r\n")).unwrap_or_default();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: device\r\n{cookie}Content-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    // The device may close before it has read everything.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let read = async {
        loop {
            let mut buffer = [0; 4096];
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(read) => answer.extend_from_slice(&buffer[..read]),
            }
            let text = String::from_utf8_lossy(&answer).to_lowercase();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
                if body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0) {
                    return;
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), read).await.expect("the device neither answers nor closes");
    String::from_utf8_lossy(&answer).into_owned()
}

fn cookie(answer: &str) -> Option<String> {
    let line = answer.lines().find(|line| line.to_lowercase().starts_with("set-cookie:"))?;
    Some(line.split_once(' ')?.1.trim().to_owned())
}

#[tokio::test]
async fn an_unknown_endpoint_is_404_and_another_method_is_405() {
    let (_folder, device) = device().await;
    let mut stream = connect(&device).await;
    assert!(ask(&mut stream, "POST", "/nothing", None, b"x").await.starts_with("HTTP/1.1 404"));
    assert!(ask(&mut stream, "GET", "/proto-ver", None, b"").await.starts_with("HTTP/1.1 405"));
    assert!(ask(&mut stream, "POST", "/proto-ver", None, b"---").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn the_first_answer_sets_a_cookie_and_the_next_on_that_connection_does_not() {
    let (_folder, device) = device().await;
    let mut stream = connect(&device).await;
    let first = ask(&mut stream, "POST", "/proto-ver", None, b"---").await;
    let number = cookie(&first).unwrap().strip_prefix("session=").unwrap().parse::<u32>();
    assert!(number.is_ok());
    assert!(cookie(&ask(&mut stream, "POST", "/proto-ver", None, b"---").await).is_none());
}

#[tokio::test]
async fn a_new_connection_with_the_cookie_goes_on_and_one_without_begins_anew() {
    let (_folder, device) = device().await;
    let mut stream = connect(&device).await;
    let session = cookie(&ask(&mut stream, "POST", "/proto-ver", None, b"---").await).unwrap();
    let mut other = connect(&device).await;
    assert!(cookie(&ask(&mut other, "POST", "/proto-ver", Some(&session), b"---").await).is_none());
    let mut third = connect(&device).await;
    let replaced = cookie(&ask(&mut third, "POST", "/proto-ver", None, b"---").await).unwrap();
    assert_ne!(replaced, session);
    assert_eq!(ask(&mut other, "POST", "/dps-config", Some(&session), b"sealed").await, "", "that session is over");
}

#[tokio::test]
async fn the_proof_of_a_session_that_another_one_displaced_is_answered_as_such_and_disturbs_nobody() {
    let (_folder, device) = device().await;
    let mut first = connect(&device).await;
    let displaced = cookie(&ask(&mut first, "POST", "/proto-ver", None, b"---").await).unwrap();
    let mut second = connect(&device).await;
    let current = cookie(&ask(&mut second, "POST", "/proto-ver", None, b"---").await).unwrap();

    // SessionData{sec_ver 2, sec2{msg Command1, sc1{client_proof 64 bytes}}}
    let proof = [&[0x10, 2, 0x62, 0x47, 8, 2, 0xb2, 1, 0x42, 0x0a, 0x40][..], &[7; 64]].concat();
    let answer = ask(&mut first, "POST", "/prov-session", Some(&displaced), &proof).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("\u{8}\u{7}"), "status 7, InvalidSession: {answer:?}");

    let mut third = connect(&device).await;
    assert!(cookie(&ask(&mut third, "POST", "/proto-ver", Some(&current), b"---").await).is_none());
}

#[tokio::test]
async fn a_handler_that_fails_and_a_body_that_is_too_long_close_the_socket_without_an_answer() {
    let (_folder, device) = device().await;
    let mut stream = connect(&device).await;
    assert_eq!(ask(&mut stream, "POST", "/dps-config", None, b"no session").await, "");
    let mut stream = connect(&device).await;
    assert_eq!(ask(&mut stream, "POST", "/proto-ver", None, &[0; 4097]).await, "");
    let mut stream = connect(&device).await;
    assert!(ask(&mut stream, "POST", "/proto-ver", None, &[0; 4096]).await.starts_with("HTTP/1.1 200"));
}
