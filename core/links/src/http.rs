//! protocomm over HTTP, as ESP-IDF's `protocomm_httpd.c` speaks it: `POST /<endpoint>` with the raw bytes.
//!
//! One HTTP/1.1 connection, no pool, no redirects, no proxies, and nothing is ever sent twice: the device's session counts
//! its messages. The session belongs to the cookie `session=<u32>` of the first answer (a device that sends none ties it
//! to the socket). A request without it on a new connection ends the session, so the cookie is kept here by hand and
//! [`Link::reconnect`] forgets it.
//!
//! When a handler fails the device closes the socket without an answer. A device that has just died looks the same, so
//! after such a close the link connects again: if somebody accepts, it was a refusal, if not, the device is lost.

use std::fmt;

use async_trait::async_trait;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
    header::{ACCEPT, CONTENT_TYPE, COOKIE, HOST, HeaderMap, SET_COOKIE},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::AbortHandle, time::timeout};
use url::{Host, Url};

use crate::{Deadlines, Link, LinkError, Traffic};

/// The longest request and response, in bytes (`MAX_REQ_BODY_LEN` in `protocomm_httpd.c`).
pub const MAX_VALUE: usize = 4096;

/// Bytes of headers that an answer may have, and the read buffer: ESP-IDF's own limit for requests is 512 or 1024.
const MAX_HEADERS: usize = 8 * 1024;

/// protocomm over one HTTP/1.1 connection.
pub struct HttpLink {
    host: String,
    port: u16,
    /// The `Host` header: the port is left out where it is 80.
    authority: String,
    deadlines: Deadlines,
    connection: Option<Connection>,
    /// `session=<u32>`, exactly as the device compares it.
    cookie: Option<String>,
    /// The device has answered within this session.
    answered: bool,
    in_flight: bool,
    traffic: Traffic,
}

impl HttpLink {
    /// Connects to the host and port of `url`; nothing is sent yet.
    ///
    /// # Errors
    /// [`LinkError::NotFound`], [`LinkError::Timeout`].
    pub async fn open(url: &Url, deadlines: Deadlines) -> Result<Self, LinkError> {
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => return Err(LinkError::NotFound { what: url.to_string() }),
        };
        let mut link = Self {
            host,
            port: url.port_or_known_default().unwrap_or(80),
            authority: match (url.host_str().unwrap_or_default(), url.port()) {
                (host, None) => host.to_owned(),
                (host, Some(port)) => format!("{host}:{port}"),
            },
            deadlines,
            connection: None,
            cookie: None,
            answered: false,
            in_flight: false,
            traffic: Traffic::default(),
        };
        link.reconnect().await?;
        Ok(link)
    }

    async fn transact(&mut self, endpoint: &str, request: &[u8]) -> Result<Vec<u8>, LinkError> {
        let mut request = self.request(endpoint, request)?;
        // A second pass only when hyper hands the request back unsent: the idle connection closed at that moment.
        for _ in 0..2 {
            let sender = self.live_connection().await?;
            match sender.try_send_request(request).await {
                Ok(response) => return self.take_response(endpoint, response).await,
                Err(mut error) => match error.take_message() {
                    Some(unsent) => {
                        self.connection = None;
                        request = unsent;
                    }
                    None => return Err(self.no_answer(endpoint, error.error()).await),
                },
            }
        }
        Err(LinkError::Lost)
    }

    fn request(&self, endpoint: &str, body: &[u8]) -> Result<Request<Full<Bytes>>, LinkError> {
        let mut request = Request::post(format!("/{endpoint}"))
            .header(HOST, &self.authority)
            // What Espressif's own clients send; the device does not look at either.
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "text/plain");
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        request
            .body(Full::new(Bytes::copy_from_slice(body)))
            .map_err(|_| LinkError::UnknownEndpoint { endpoint: endpoint.to_owned() })
    }

    /// The connection, made anew when the device closed it between two exchanges and its session survives that.
    async fn live_connection(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, LinkError> {
        let live = match &mut self.connection {
            Some(connection) => connection.sender.ready().await.is_ok(),
            None => false,
        };
        if !live {
            self.connection = None;
            if self.answered && self.cookie.is_none() {
                return Err(LinkError::Lost);
            }
            self.connection = Some(self.connect().await.map_err(|_| LinkError::Lost)?);
        }
        self.connection.as_mut().map(|connection| &mut connection.sender).ok_or(LinkError::Lost)
    }

    async fn connect(&self) -> Result<Connection, LinkError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| {
            tracing::debug!(%error, host = self.host, port = self.port, "cannot connect");
            LinkError::NotFound { what: self.describe() }
        })?;
        stream.set_nodelay(true).map_err(|_| LinkError::Lost)?;
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(MAX_HEADERS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| LinkError::Lost)?;
        let driver = tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "HTTP connection ended");
            }
        });
        Ok(Connection { sender, driver: driver.abort_handle() })
    }

    /// The request is out, or partly out, and no answer came.
    async fn no_answer(&mut self, endpoint: &str, error: &hyper::Error) -> LinkError {
        tracing::debug!(%error, endpoint, "no answer");
        self.connection = None;
        if error.is_parse() {
            return LinkError::Garbage;
        }
        match timeout(self.deadlines.connect, self.connect()).await {
            Ok(Ok(connection)) => {
                self.connection = Some(connection);
                LinkError::Refused { endpoint: endpoint.to_owned() }
            }
            Ok(Err(_)) | Err(_) => LinkError::Lost,
        }
    }

    async fn take_response(&mut self, endpoint: &str, response: Response<Incoming>) -> Result<Vec<u8>, LinkError> {
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                // ESP-IDF's server closes after this without saying so; do not wait to find out by a lost request.
                if self.cookie.is_some() || !self.answered {
                    self.connection = None;
                } else {
                    let _ = read_body(response.into_body()).await?;
                }
                return Err(LinkError::UnknownEndpoint { endpoint: endpoint.to_owned() });
            }
            status if status.is_server_error() => {
                self.connection = None;
                return Err(LinkError::Refused { endpoint: endpoint.to_owned() });
            }
            status => {
                tracing::debug!(%status, endpoint, "no protocomm answer");
                return Err(LinkError::Garbage);
            }
        }
        if let Some(cookie) = session_cookie(response.headers()) {
            self.cookie = Some(cookie);
        }
        let body = read_body(response.into_body()).await?;
        self.answered = true;
        self.traffic.bytes_received += body.len() as u64;
        Ok(body)
    }
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

#[async_trait]
impl Link for HttpLink {
    async fn exchange(&mut self, endpoint: &str, request: &[u8]) -> Result<Vec<u8>, LinkError> {
        if self.in_flight {
            return Err(LinkError::Interrupted);
        }
        if request.len() > MAX_VALUE {
            return Err(LinkError::TooLong { len: request.len(), max: MAX_VALUE });
        }
        let name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if endpoint.is_empty() || !endpoint.bytes().all(name) {
            return Err(LinkError::UnknownEndpoint { endpoint: endpoint.to_owned() });
        }
        self.in_flight = true;
        self.traffic.exchanges += 1;
        self.traffic.bytes_sent += request.len() as u64;
        let after = self.deadlines.exchange;
        let exchanged = timeout(after, self.transact(endpoint, request)).await;
        let result = exchanged.unwrap_or(Err(LinkError::Timeout { what: "exchange", after }));
        match &result {
            Ok(_) | Err(LinkError::Refused { .. } | LinkError::UnknownEndpoint { .. }) => {
                self.in_flight = false;
            }
            Err(_) => self.connection = None,
        }
        result
    }

    fn max_value(&self) -> usize {
        MAX_VALUE
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }

    async fn reconnect(&mut self) -> Result<(), LinkError> {
        self.in_flight = true;
        self.connection = None;
        self.cookie = None;
        self.answered = false;
        let after = self.deadlines.connect;
        let connection = timeout(after, self.connect()).await;
        self.connection = Some(connection.map_err(|_| LinkError::Timeout { what: "connect", after })??);
        self.in_flight = false;
        Ok(())
    }

    async fn close(&mut self) {
        self.connection = None;
        self.in_flight = true;
    }

    fn describe(&self) -> String {
        if self.host.contains(':') {
            format!("http://[{}]:{}", self.host, self.port)
        } else {
            format!("http://{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for HttpLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpLink")
            .field("authority", &self.authority)
            .field("connected", &self.connection.is_some())
            .field("traffic", &self.traffic)
            .finish_non_exhaustive()
    }
}

async fn read_body(mut body: Incoming) -> Result<Vec<u8>, LinkError> {
    let too_long = |len| LinkError::TooLong { len, max: MAX_VALUE };
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > MAX_VALUE {
        return Err(too_long(announced));
    }
    let mut value = Vec::with_capacity(announced);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            tracing::debug!(%error, "the answer broke off");
            LinkError::Lost
        })?;
        if let Ok(data) = frame.into_data() {
            if value.len() + data.len() > MAX_VALUE {
                return Err(too_long(value.len() + data.len()));
            }
            value.extend_from_slice(&data);
        }
    }
    Ok(value)
}

/// `session=<u32>` without the attributes that may follow.
fn session_cookie(headers: &HeaderMap) -> Option<String> {
    headers.get_all(SET_COOKIE).iter().find_map(|value| {
        let number = value.to_str().ok()?.split(';').next()?.trim().strip_prefix("session=")?;
        number.parse::<u32>().ok()?;
        Some(format!("session={number}"))
    })
}
