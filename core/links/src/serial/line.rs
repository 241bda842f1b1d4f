use std::{collections::VecDeque, fmt, time::Duration};

use async_trait::async_trait;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, sleep_until, timeout},
};

use super::port;
use crate::{
    Deadlines, Link, LinkError, Traffic,
    serial_frame::{Decoder, Frame, Kind, MAX_BODY, MAX_ENDPOINT, VERSION, encode},
};

/// A request with no answer is sent a second time after this, or after a quarter of the deadline if that is sooner: a
/// frame of 4096 bytes takes 0.4 s at 115200 bit/s each way, and a device that is still busy ignores the repetition.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// How often `Connect` is repeated while a device starts up.
const HELLO_AGAIN: Duration = Duration::from_millis(500);

/// Frames on a serial line.
///
/// A request frame that got lost, or whose answer did, is sent once more with the same sequence number; the device
/// executes it once ([`serial_frame::Responder`](crate::serial_frame::Responder)). So a session above that counts its
/// messages stays in step, and the repetition is no retry in the sense of the caller's.
pub struct SerialLink {
    name: String,
    /// What to open; none for a link over a stream that the caller gave.
    port: Option<(String, u32)>,
    stream: Option<Box<dyn Stream>>,
    decoder: Decoder,
    frames: VecDeque<Frame>,
    heard: bool,
    connection: u16,
    sequence: u8,
    max_value: usize,
    deadlines: Deadlines,
    in_flight: bool,
    traffic: Traffic,
}

impl SerialLink {
    /// Opens the port and says hello to the device.
    ///
    /// # Errors
    /// [`LinkError::NotFound`], [`LinkError::PermissionDenied`], [`LinkError::Busy`]; [`LinkError::Timeout`] for a silent
    /// device, [`LinkError::Garbage`] for one that sends something, but no frames (often a wrong baud rate).
    pub async fn open(path: &str, baud: u32, deadlines: Deadlines) -> Result<Self, LinkError> {
        let mut link = Self::unconnected(path.to_owned(), deadlines);
        link.port = Some((path.to_owned(), baud));
        link.reconnect().await?;
        Ok(link)
    }

    /// The same over any stream of bytes: a pipe in a test, a tunnel. When the stream ends, the link is lost for good.
    ///
    /// # Errors
    /// [`LinkError::Timeout`], [`LinkError::Garbage`], [`LinkError::Lost`].
    pub async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        name: &str,
        deadlines: Deadlines,
    ) -> Result<Self, LinkError> {
        let mut link = Self::unconnected(name.to_owned(), deadlines);
        link.stream = Some(Box::new(stream));
        link.reconnect().await?;
        Ok(link)
    }

    fn unconnected(name: String, deadlines: Deadlines) -> Self {
        Self {
            name,
            port: None,
            stream: None,
            decoder: Decoder::new(),
            frames: VecDeque::new(),
            heard: false,
            connection: 0,
            sequence: 0,
            max_value: MAX_BODY,
            deadlines,
            in_flight: true,
            traffic: Traffic::default(),
        }
    }

    /// `Connect` until the device answers. The port stays open where it is: closing would drop DTR and RTS.
    async fn hello(&mut self) -> Result<(), LinkError> {
        if self.stream.is_none() {
            let (path, baud) = self.port.as_ref().ok_or(LinkError::Lost)?;
            self.stream = Some(Box::new(port::open(path, *baud)?));
        }
        let number = loop {
            let number = rand::random();
            if number != self.connection {
                break number;
            }
        };
        self.connection = number;
        self.sequence = 0;
        self.heard = false;
        let hello = self.line(Kind::Connect, "", vec![VERSION])?;
        loop {
            self.send(&hello).await?;
            let again = Instant::now() + HELLO_AGAIN;
            while let Some(frame) = self.frame_before(again).await? {
                match (frame.kind, frame.body.as_slice()) {
                    (Kind::Connected, [VERSION, low, high, ..]) => {
                        self.max_value = usize::from(u16::from_le_bytes([*low, *high])).min(MAX_BODY);
                        return Ok(());
                    }
                    (Kind::Connected, [version, ..]) => {
                        let what = format!(
                            "The device speaks version {version} of the serial framing, this program version {VERSION}"
                        );
                        return Err(LinkError::Unsupported { what });
                    }
                    _ => {}
                }
            }
        }
    }

    async fn transact(&mut self, endpoint: &str, request: &[u8]) -> Result<Vec<u8>, LinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let line = self.line(Kind::Request, endpoint, request.to_vec())?;
        self.send(&line).await?;
        let mut again = Some(Instant::now() + AGAIN_AFTER.min(self.deadlines.exchange / 4));
        loop {
            let frame = match again {
                Some(at) => match self.frame_before(at).await? {
                    Some(frame) => frame,
                    None => {
                        tracing::debug!(endpoint, "no answer yet: the request frame once more");
                        again = None;
                        self.send(&line).await?;
                        continue;
                    }
                },
                None => self.frame().await?,
            };
            match frame.kind {
                Kind::Response => return Ok(frame.body),
                Kind::Refused => {
                    return Err(LinkError::Refused { endpoint: endpoint.to_owned() });
                }
                Kind::UnknownEndpoint => {
                    return Err(LinkError::UnknownEndpoint { endpoint: endpoint.to_owned() });
                }
                Kind::NotConnected => return Err(LinkError::Lost),
                Kind::Connect | Kind::Connected | Kind::Request | Kind::Disconnect => {}
            }
        }
    }

    fn line(&self, kind: Kind, endpoint: &str, body: Vec<u8>) -> Result<Vec<u8>, LinkError> {
        let (len, endpoint) = (body.len(), endpoint.to_owned());
        let frame = Frame { kind, connection: self.connection, sequence: self.sequence, endpoint, body };
        encode(&frame).map_err(|_| LinkError::TooLong { len, max: self.max_value })
    }

    async fn send(&mut self, line: &[u8]) -> Result<(), LinkError> {
        let stream = self.stream.as_mut().ok_or(LinkError::Lost)?;
        let written = stream.write_all(line).await;
        self.or_lost(written)
    }

    async fn frame_before(&mut self, at: Instant) -> Result<Option<Frame>, LinkError> {
        tokio::select! {
            // A frame that is there wins over a clock that has just struck.
            biased;
            frame = self.frame() => frame.map(Some),
            () = sleep_until(at) => Ok(None),
        }
    }

    /// The next frame that belongs to this connection and sequence number. Cancel-safe.
    async fn frame(&mut self) -> Result<Frame, LinkError> {
        loop {
            while let Some(frame) = self.frames.pop_front() {
                if frame.connection == self.connection && frame.sequence == self.sequence {
                    return Ok(frame);
                }
            }
            let mut bytes = [0; 1024];
            let stream = self.stream.as_mut().ok_or(LinkError::Lost)?;
            let read = stream.read(&mut bytes).await;
            let read = self.or_lost(read)?;
            if read == 0 {
                self.stream = None;
                return Err(LinkError::Lost);
            }
            self.heard = true;
            self.frames.extend(self.decoder.push(bytes.get(..read).unwrap_or_default()));
        }
    }

    /// A port that fails is gone (unplugged): the next `reconnect` opens it again.
    fn or_lost<T>(&mut self, result: std::io::Result<T>) -> Result<T, LinkError> {
        result.map_err(|error| {
            tracing::debug!(%error, name = self.name, "the serial port failed");
            self.stream = None;
            LinkError::Lost
        })
    }
}

#[async_trait]
impl Link for SerialLink {
    async fn exchange(&mut self, endpoint: &str, request: &[u8]) -> Result<Vec<u8>, LinkError> {
        if self.in_flight {
            return Err(LinkError::Interrupted);
        }
        if request.len() > self.max_value {
            return Err(LinkError::TooLong { len: request.len(), max: self.max_value });
        }
        if endpoint.is_empty() || endpoint.len() > MAX_ENDPOINT {
            return Err(LinkError::UnknownEndpoint { endpoint: endpoint.to_owned() });
        }
        self.in_flight = true;
        self.traffic.exchanges += 1;
        self.traffic.bytes_sent += request.len() as u64;
        let after = self.deadlines.exchange;
        let exchanged = timeout(after, self.transact(endpoint, request)).await;
        let result = exchanged.unwrap_or(Err(LinkError::Timeout { what: "exchange", after }));
        if let Ok(response) = &result {
            self.traffic.bytes_received += response.len() as u64;
        }
        self.in_flight = !matches!(result, Ok(_) | Err(LinkError::Refused { .. } | LinkError::UnknownEndpoint { .. }));
        result
    }

    fn max_value(&self) -> usize {
        self.max_value
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }

    async fn reconnect(&mut self) -> Result<(), LinkError> {
        self.in_flight = true;
        let after = self.deadlines.connect;
        match timeout(after, self.hello()).await {
            Ok(result) => result?,
            Err(_) if self.heard => return Err(LinkError::Garbage),
            Err(_) => return Err(LinkError::Timeout { what: "connect", after }),
        }
        self.in_flight = false;
        Ok(())
    }

    async fn close(&mut self) {
        if let Ok(goodbye) = self.line(Kind::Disconnect, "", Vec::new()) {
            // A device that does not take it forgets the session with the next `Connect`.
            let _ = timeout(self.deadlines.exchange, self.send(&goodbye)).await;
        }
        self.stream = None;
        self.in_flight = true;
    }

    fn describe(&self) -> String {
        format!("serial://{}", self.name)
    }
}

impl fmt::Debug for SerialLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SerialLink")
            .field("name", &self.name)
            .field("open", &self.stream.is_some())
            .field("traffic", &self.traffic)
            .finish_non_exhaustive()
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
