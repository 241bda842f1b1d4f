//! protocomm over HTTP against a real TCP server.
// Clippy takes only functions marked #[test] for tests; this whole file is one.
#![allow(clippy::unwrap_used)]

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use lowtouch_links::{Deadlines, Link, LinkAddress, LinkError, open};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

#[derive(Debug, Clone)]
struct Seen {
    connection: usize,
    path: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

enum Reply {
    Raw(Vec<u8>),
    RawThenClose(Vec<u8>),
    Close,
    Die,
    Hang,
}

fn ok(body: &[u8], headers: &str) -> Reply {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    Reply::Raw([head.as_bytes(), body].concat())
}

struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let script = Arc::new(script);
            let mut connections = tokio::task::JoinSet::new();
            let died = Arc::new(tokio::sync::Notify::new());
            for connection in 0.. {
                let stream = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap().0,
                    () = died.notified() => return,
                };
                let (script, seen, died) = (script.clone(), recorded.clone(), died.clone());
                connections.spawn(async move {
                    if serve(stream, connection, &*script, &seen).await {
                        died.notify_one();
                        // Held until the listener is gone.
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        Self { address, seen, task }
    }

    async fn link(&self) -> Box<dyn Link> {
        self.link_with(Deadlines::default()).await
    }

    async fn link_with(&self, deadlines: Deadlines) -> Box<dyn Link> {
        let address: LinkAddress = format!("http://{}", self.address).parse().unwrap();
        open(&address, deadlines).await.unwrap()
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// True when the whole server is to die.
async fn serve(
    stream: TcpStream,
    connection: usize,
    script: &(impl Fn(usize, &Seen) -> Reply + Send + Sync),
    seen: &Mutex<Vec<Seen>>,
) -> bool {
    let mut stream = BufReader::new(stream);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return false;
            }
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let headers: HashMap<String, String> = lines[1..]
            .iter()
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut body = vec![0; headers["content-length"].parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        let request = Seen { connection, path: lines[0].clone(), headers, body };
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(request.clone());
            seen.len()
        };
        match script(number, &request) {
            // The other side may have hung up on it.
            Reply::Raw(bytes) => drop(stream.write_all(&bytes).await),
            Reply::RawThenClose(bytes) => {
                stream.write_all(&bytes).await.unwrap();
                return false;
            }
            Reply::Close => return false,
            Reply::Die => return true,
            Reply::Hang => std::future::pending().await,
        }
    }
}

fn short() -> Deadlines {
    Deadlines { connect: Duration::from_secs(5), exchange: Duration::from_millis(100) }
}

#[tokio::test]
async fn a_request_is_what_espressifs_clients_send_and_the_cookie_comes_back_on_one_connection() {
    let server = Server::start(|number, seen| match number {
        1 => ok(b"one", "Set-Cookie: session=4294967295\r\n"),
        _ => ok(&seen.body, ""),
    })
    .await;
    let mut link = server.link().await;
    assert_eq!(link.exchange("proto-ver", b"ESP").await.unwrap(), b"one");
    assert_eq!(link.exchange("prov-session", &[0, 255, 10]).await.unwrap(), [0, 255, 10]);
    let seen = server.seen();
    assert_eq!(seen[0].path, "POST /proto-ver HTTP/1.1");
    assert_eq!(seen[0].body, b"ESP");
    assert_eq!(seen[0].headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(seen[0].headers["host"], server.address.to_string());
    assert!(!seen[0].headers.contains_key("cookie"));
    assert_eq!(seen[1].headers["cookie"], "session=4294967295");
    assert_eq!(seen[1].connection, 0);
    let traffic = link.traffic();
    assert_eq!((traffic.exchanges, traffic.bytes_sent, traffic.bytes_received), (2, 6, 6));
    assert_eq!(link.max_value(), 4096);
    assert_eq!(link.describe(), format!("http://{}", server.address));
}

#[tokio::test]
async fn a_session_with_a_cookie_outlives_its_connection_and_one_without_does_not() {
    let cookie = Server::start(|_, _| match ok(b"x", "Set-Cookie: session=7; HttpOnly\r\n") {
        Reply::Raw(bytes) => Reply::RawThenClose(bytes),
        other => other,
    })
    .await;
    let mut link = cookie.link().await;
    link.exchange("proto-ver", b"-").await.unwrap();
    link.exchange("proto-ver", b"-").await.unwrap();
    assert_eq!(cookie.seen()[1].headers["cookie"], "session=7");

    let bare = Server::start(|_, _| {
        Reply::RawThenClose(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx".to_vec())
    })
    .await;
    let mut link = bare.link().await;
    link.exchange("proto-ver", b"-").await.unwrap();
    assert_eq!(link.exchange("proto-ver", b"-").await, Err(LinkError::Lost));
    assert_eq!(bare.seen().len(), 1);
}

#[tokio::test]
async fn reconnect_forgets_the_cookie_so_that_the_device_starts_a_new_session() {
    let server = Server::start(|_, _| ok(b"x", "Set-Cookie: session=7\r\n")).await;
    let mut link = server.link().await;
    link.exchange("proto-ver", b"-").await.unwrap();
    link.reconnect().await.unwrap();
    link.exchange("proto-ver", b"-").await.unwrap();
    let seen = server.seen();
    assert!(!seen[1].headers.contains_key("cookie"));
    assert_eq!(seen[1].connection, 1);
}

#[tokio::test]
async fn a_socket_closed_without_an_answer_is_a_refusal_sent_once_and_the_link_goes_on() {
    let server = Server::start(|number, _| match number {
        1 => ok(b"x", "Set-Cookie: session=7\r\n"),
        2 => Reply::Close,
        _ => ok(b"again", ""),
    })
    .await;
    let mut link = server.link().await;
    link.exchange("proto-ver", b"-").await.unwrap();
    let refused = link.exchange("prov-session", b"wrong").await;
    assert_eq!(refused, Err(LinkError::Refused { endpoint: "prov-session".to_owned() }));
    assert_eq!(link.exchange("prov-session", b"right").await.unwrap(), b"again");
    let bodies: Vec<_> = server.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, [b"-".to_vec(), b"wrong".to_vec(), b"right".to_vec()]);
}

#[tokio::test]
async fn a_device_that_dies_during_a_request_is_lost_and_not_a_refusal() {
    let server = Server::start(|_, _| Reply::Die).await;
    let mut link = server.link().await;
    assert_eq!(link.exchange("prov-session", b"-").await, Err(LinkError::Lost));
    assert_eq!(link.exchange("prov-session", b"-").await, Err(LinkError::Interrupted));
    assert!(matches!(link.reconnect().await, Err(LinkError::NotFound { .. })));
}

#[tokio::test]
async fn an_unknown_endpoint_is_said_so_and_the_session_goes_on() {
    let server = Server::start(|number, _| match number {
        1 => ok(b"x", "Set-Cookie: session=7\r\n"),
        2 => Reply::RawThenClose(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope".to_vec()),
        _ => ok(b"y", ""),
    })
    .await;
    let mut link = server.link().await;
    link.exchange("proto-ver", b"-").await.unwrap();
    let unknown = |endpoint: &str| Err(LinkError::UnknownEndpoint { endpoint: endpoint.to_owned() });
    assert_eq!(link.exchange("dps-config", b"-").await, unknown("dps-config"));
    assert_eq!(link.exchange("../secret", b"-").await, unknown("../secret"));
    assert_eq!(link.exchange("proto-ver", b"-").await.unwrap(), b"y");
    assert_eq!(server.seen()[2].headers["cookie"], "session=7");
}

#[tokio::test]
async fn a_silent_device_costs_the_deadline_and_then_the_link_must_reconnect() {
    let server = Server::start(|number, _| match number {
        1 => Reply::Hang,
        _ => ok(b"x", ""),
    })
    .await;
    let mut link = server.link_with(short()).await;
    let timed_out = link.exchange("proto-ver", b"-").await;
    assert_eq!(timed_out, Err(LinkError::Timeout { what: "exchange", after: Duration::from_millis(100) }));
    assert_eq!(link.exchange("proto-ver", b"-").await, Err(LinkError::Interrupted));
    link.reconnect().await.unwrap();
    assert_eq!(link.exchange("proto-ver", b"-").await.unwrap(), b"x");
}

#[tokio::test]
async fn a_dropped_exchange_poisons_the_link_until_it_reconnects() {
    let server = Server::start(|number, _| match number {
        1 => Reply::Hang,
        _ => ok(b"x", ""),
    })
    .await;
    let mut link = server.link().await;
    let dropped = tokio::time::timeout(Duration::from_millis(50), link.exchange("proto-ver", b"-")).await;
    assert!(dropped.is_err());
    assert_eq!(link.exchange("proto-ver", b"-").await, Err(LinkError::Interrupted));
    link.reconnect().await.unwrap();
    assert_eq!(link.exchange("proto-ver", b"-").await.unwrap(), b"x");
}

#[tokio::test]
async fn garbage_redirects_and_strange_codes_are_garbage() {
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(100_000));
    for answer in [
        "I (1234) wifi: hello\r\n\r\n",
        endless.as_str(),
        "HTTP/1.1 302 Found\r\nLocation: http://example.com/\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n",
    ] {
        let bytes = answer.as_bytes().to_vec();
        let server = Server::start(move |_, _| Reply::Raw(bytes.clone())).await;
        let mut link = server.link().await;
        assert_eq!(link.exchange("proto-ver", b"-").await, Err(LinkError::Garbage), "{answer}");
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_lost_connection() {
    let server =
        Server::start(|_, _| Reply::RawThenClose(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_vec())).await;
    let mut link = server.link().await;
    assert_eq!(link.exchange("proto-ver", b"-").await, Err(LinkError::Lost));
}

#[tokio::test]
async fn values_longer_than_4096_bytes_are_neither_sent_nor_read() {
    let server = Server::start(|number, seen| match number {
        1 => ok(&seen.body, "Set-Cookie: session=7\r\n"),
        // Announced and never sent: whoever waits for it runs into the deadline.
        2 => Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 4097\r\n\r\n".to_vec()),
        // Endless chunks: only counted while they arrive.
        _ => {
            let chunk = [b"400\r\n".as_slice(), &[7; 0x400], b"\r\n"].concat();
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            Reply::Raw([head, chunk.repeat(5)].concat())
        }
    })
    .await;
    let mut link = server.link().await;
    let longest = vec![1; 4096];
    assert_eq!(link.exchange("dps-config", &longest).await.unwrap(), longest);
    let too_long = |len| Err(LinkError::TooLong { len, max: 4096 });
    assert_eq!(link.exchange("dps-config", &[1; 4097]).await, too_long(4097));
    assert_eq!(link.exchange("dps-config", b"-").await, too_long(4097));
    link.reconnect().await.unwrap();
    assert!(matches!(link.exchange("dps-config", b"-").await, Err(LinkError::TooLong { len: 4097.., max: 4096 })));
}

#[tokio::test]
async fn nobody_listening_is_not_found() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: LinkAddress = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let error = open(&address, Deadlines::default()).await.err();
    assert_eq!(error, Some(LinkError::NotFound { what: address.to_string() }));
}
