//! GATT operations over loopback TCP. Each message is `kind (1 byte), length (2, big-endian), payload`; the central asks,
//! the peripheral answers, one at a time.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Mutex, MutexGuard},
    task::JoinSet,
    time::timeout,
};
use uuid::Uuid;

use super::{Characteristic, GattError, MAX_VALUE, Peripheral};
use crate::Deadlines;

const GREETING: &[u8] = b"lowtouch simulated GATT 1";
const UUID_LEN: usize = 16;
/// Discovery's answer is the longest message.
const MAX_MESSAGE: usize = 4096;
/// How long a new central waits for the one before it to be gone before it is told that the peripheral is busy.
const LETTING_GO: Duration = Duration::from_secs(1);

const CONNECT: u8 = 1;
const WRITE: u8 = 2;
const READ: u8 = 3;

const OK: u8 = 0;
const ATT_ERROR: u8 = 1;
const BUSY: u8 = 2;
const DISCONNECTED: u8 = 3;

/// Lets centrals in other processes reach `peripheral` (`ble-sim://`), one at a time; others are told that it is busy.
/// Runs until dropped; ends only when the listener fails.
///
/// # Errors
/// Those of `accept`.
pub async fn serve(listener: TcpListener, peripheral: impl Peripheral + 'static) -> io::Result<()> {
    let peripheral = Arc::new(Mutex::new(peripheral));
    // Dropped with this future: no central outlives it.
    let mut centrals = JoinSet::new();
    loop {
        let (stream, from) = listener.accept().await?;
        while centrals.try_join_next().is_some() {}
        let peripheral = Arc::clone(&peripheral);
        centrals.spawn(async move {
            if let Err(error) = serve_central(stream, &peripheral).await {
                tracing::debug!(%from, %error, "simulated central gone");
            }
        });
    }
}

async fn serve_central<P: Peripheral>(mut stream: TcpStream, peripheral: &Mutex<P>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match timeout(Deadlines::default().connect, receive(&mut stream)).await {
        Ok(Ok((CONNECT, greeting))) if greeting == GREETING => {}
        Ok(Err(error)) => return Err(error),
        _ => return Err(io::ErrorKind::InvalidData.into()),
    }
    let Ok(mut peripheral) = timeout(LETTING_GO, peripheral.lock()).await else {
        return send(&mut stream, BUSY, &[]).await;
    };
    match peripheral.connect().await {
        Err(error) => answer(&mut stream, Err(error)).await,
        Ok(characteristics) => {
            let served = serve_connected(&mut stream, &mut peripheral, &characteristics).await;
            peripheral.disconnect().await;
            served
        }
    }
}

async fn serve_connected<P: Peripheral>(
    stream: &mut TcpStream,
    peripheral: &mut MutexGuard<'_, P>,
    characteristics: &[Characteristic],
) -> io::Result<()> {
    let mut table = Vec::new();
    for characteristic in characteristics {
        let name = characteristic.endpoint.as_bytes();
        table.extend(characteristic.uuid.as_bytes());
        table.push(u8::try_from(name.len()).map_err(|_| io::ErrorKind::InvalidInput)?);
        table.extend(name);
    }
    send(stream, OK, &table).await?;
    loop {
        let (kind, payload) = receive(stream).await?;
        let Some((uuid, value)) = payload.split_first_chunk::<UUID_LEN>() else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let uuid = Uuid::from_bytes(*uuid);
        let result = match kind {
            WRITE => peripheral.write(uuid, value).await.map(|()| Vec::new()),
            READ => peripheral.read(uuid).await,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        answer(stream, result).await?;
    }
}

async fn answer(stream: &mut TcpStream, result: Result<Vec<u8>, GattError>) -> io::Result<()> {
    match result {
        Ok(value) => send(stream, OK, &value).await,
        Err(GattError::Att(code)) => send(stream, ATT_ERROR, &[code]).await,
        Err(GattError::Busy) => send(stream, BUSY, &[]).await,
        Err(GattError::Disconnected | GattError::Protocol) => send(stream, DISCONNECTED, &[]).await,
    }
}

/// A peripheral in another process, behind [`serve`].
#[derive(Debug)]
pub struct Remote {
    address: SocketAddr,
    deadlines: Deadlines,
    stream: Option<TcpStream>,
}

impl Remote {
    /// Does not connect yet.
    #[must_use]
    pub fn new(address: SocketAddr, deadlines: Deadlines) -> Self {
        Self { address, deadlines, stream: None }
    }

    async fn operation(&mut self, kind: u8, payload: &[u8]) -> Result<Vec<u8>, GattError> {
        // Put back only after a whole answer: a dropped future must not leave half a message to the next one.
        let mut stream = self.stream.take().ok_or(GattError::Disconnected)?;
        let exchanged = timeout(self.deadlines.exchange, async {
            send(&mut stream, kind, payload).await?;
            receive(&mut stream).await
        });
        let (status, value) = match exchanged.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(GattError::Protocol);
            }
            Ok(Err(_)) | Err(_) => return Err(GattError::Disconnected),
        };
        match status {
            OK => {
                self.stream = Some(stream);
                Ok(value)
            }
            ATT_ERROR => {
                self.stream = Some(stream);
                Err(GattError::Att(value.first().copied().unwrap_or_default()))
            }
            BUSY => Err(GattError::Busy),
            DISCONNECTED => Err(GattError::Disconnected),
            _ => Err(GattError::Protocol),
        }
    }
}

#[async_trait]
impl Peripheral for Remote {
    async fn connect(&mut self) -> Result<Vec<Characteristic>, GattError> {
        let stream = timeout(self.deadlines.connect, TcpStream::connect(self.address)).await;
        let stream = stream.ok().and_then(Result::ok).ok_or(GattError::Disconnected)?;
        stream.set_nodelay(true).map_err(|_| GattError::Disconnected)?;
        self.stream = Some(stream);
        let table = self.operation(CONNECT, GREETING).await?;
        parse_characteristics(&table).ok_or(GattError::Protocol)
    }

    async fn disconnect(&mut self) {
        self.stream = None;
    }

    async fn write(&mut self, characteristic: Uuid, value: &[u8]) -> Result<(), GattError> {
        let payload = [characteristic.as_bytes(), value].concat();
        self.operation(WRITE, &payload).await.map(drop)
    }

    async fn read(&mut self, characteristic: Uuid) -> Result<Vec<u8>, GattError> {
        self.operation(READ, characteristic.as_bytes()).await
    }
}

fn parse_characteristics(mut table: &[u8]) -> Option<Vec<Characteristic>> {
    let mut characteristics = Vec::new();
    while !table.is_empty() {
        let (uuid, rest) = table.split_first_chunk::<UUID_LEN>()?;
        let (&name_len, rest) = rest.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(name_len))?;
        let endpoint = std::str::from_utf8(name).ok()?.to_owned();
        characteristics.push(Characteristic { uuid: Uuid::from_bytes(*uuid), endpoint });
        table = rest;
    }
    Some(characteristics)
}

async fn send(stream: &mut TcpStream, kind: u8, payload: &[u8]) -> io::Result<()> {
    let len = u16::try_from(payload.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut message = vec![kind];
    message.extend(len.to_be_bytes());
    message.extend(payload);
    stream.write_all(&message).await
}

async fn receive(stream: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    const { assert!(MAX_MESSAGE > MAX_VALUE + UUID_LEN) };
    let kind = stream.read_u8().await?;
    let len = usize::from(stream.read_u16().await?);
    if len > MAX_MESSAGE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut payload = vec![0; len];
    stream.read_exact(&mut payload).await?;
    Ok((kind, payload))
}
