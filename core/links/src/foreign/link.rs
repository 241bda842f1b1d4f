use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use super::{Central, Characteristic, Connection, RadioError, find};
use crate::ble::att::{MAX_MTU, MIN_MTU, read_operations, write_operations};
use crate::ble::layout::{self, Candidate, Layout};
use crate::ble::{AdapterProblem, MAX_VALUE, Target, known_layout};
use crate::{Deadlines, Link, LinkError, Traffic};

/// How long the app may take for what needs no answer of a device: to begin or end a scan, to let a connection go (the radio
/// itself takes up to 2 s for that).
pub(super) const CALL: Duration = Duration::from_secs(5);

/// A connection to a peripheral by the app's own radio.
///
/// [`Traffic::att_operations`] is reckoned from the MTU and the lengths, as for a [`BleLink`](crate::ble).
pub struct ForeignLink {
    central: Arc<dyn Central>,
    target: Target,
    /// Once it is found.
    address: Option<String>,
    deadlines: Deadlines,
    connected: Option<Connected>,
    in_flight: bool,
    traffic: Traffic,
}

struct Connected {
    connection: Arc<dyn Connection>,
    /// Ready when the connection has ended by itself.
    closed: BoxFuture<'static, RadioError>,
    characteristics: BTreeMap<Uuid, Characteristic>,
    layout: Layout,
    mtu: usize,
}

/// Why an operation has no result.
enum Halt {
    Radio(RadioError),
    /// The connection ended while it ran.
    Lost,
    Late,
}

impl ForeignLink {
    /// Finds `target` within `deadlines.connect` if that is a name, then connects and discovers within
    /// `deadlines.connect`.
    ///
    /// # Errors
    /// Those of [`find`](super::find()); [`LinkError::NotFound`] and [`LinkError::Timeout`] for a device that does not let
    /// itself be connected, [`LinkError::Garbage`] for one without a provisioning service, [`LinkError::Radio`] for the
    /// app's own faults.
    pub async fn open(central: Arc<dyn Central>, target: Target, deadlines: Deadlines) -> Result<Self, LinkError> {
        let mut link = Self {
            central,
            target,
            address: None,
            deadlines,
            connected: None,
            in_flight: false,
            traffic: Traffic::default(),
        };
        link.reconnect().await?;
        Ok(link)
    }

    /// The negotiated ATT MTU in bytes, 23 to 517; 23 where there is no connection.
    #[must_use]
    pub fn mtu(&self) -> usize {
        self.connected.as_ref().map_or(usize::from(MIN_MTU), |connected| connected.mtu)
    }

    async fn connect(&mut self) -> Result<(), LinkError> {
        let address = match (&self.address, &self.target) {
            (Some(address), _) | (None, Target::Address(address)) => address.clone(),
            (None, target) => find(&*self.central, target, self.deadlines.connect, |_| {}).await?.address,
        };
        self.address = Some(address.clone());
        let after = self.deadlines.connect;
        let deadline = Instant::now() + after;
        let late = LinkError::Timeout { what: "connect", after };
        self.traffic.att_operations += 1;
        let connection = match timeout_at(deadline, self.central.connect(&address)).await {
            Ok(Ok(connection)) => Arc::<dyn Connection>::from(connection),
            Ok(Err(RadioError::NotInReach)) => return Err(LinkError::NotFound { what: format!("ble://{address}") }),
            Ok(Err(error)) => return Err(of_radio(error)),
            Err(_) => return Err(late),
        };
        let held = connection.clone();
        let mut closed: BoxFuture<'static, RadioError> = Box::pin(async move { held.closed().await });
        // Whatever ends this early also ends the connection.
        let guard = Guard(Some(connection.clone()));
        let discovered = self.discover(&address, &*connection, &mut closed, deadline).await;
        let (characteristics, layout, mtu) = match discovered {
            Ok(discovered) => discovered,
            Err(error) => {
                guard.close().await;
                return Err(match error {
                    Ok(error) => error,
                    Err(Halt::Late) => late,
                    Err(Halt::Lost) => LinkError::Lost,
                    Err(Halt::Radio(RadioError::Att { .. })) => LinkError::Garbage,
                    Err(Halt::Radio(error)) => of_radio(error),
                });
            }
        };
        guard.release();
        self.connected = Some(Connected { connection, closed, characteristics, layout, mtu });
        Ok(())
    }

    /// The inner `Ok` of an error is final.
    async fn discover(
        &mut self,
        address: &str,
        connection: &dyn Connection,
        closed: &mut BoxFuture<'static, RadioError>,
        deadline: Instant,
    ) -> Result<(BTreeMap<Uuid, Characteristic>, Layout, usize), Result<LinkError, Halt>> {
        // The MTU, the services by UUID, and the end of their list.
        self.traffic.att_operations += 3;
        let mtu = match over(closed, deadline, connection.request_mtu(MAX_MTU)).await {
            Ok(mtu) => usize::from(mtu.clamp(MIN_MTU, MAX_MTU)),
            Err(Halt::Radio(error @ (RadioError::Failed { .. } | RadioError::Att { .. }))) => {
                tracing::debug!(%error, "the MTU stays as it is");
                usize::from(MIN_MTU)
            }
            Err(halt) => return Err(Err(halt)),
        };
        let mut descriptions = known_layout(address).is_none();
        loop {
            let services = over(closed, deadline, connection.discover(descriptions)).await.map_err(Err)?;
            let services = services.into_iter().map(|service| (service.uuid, service.characteristics));
            let candidates = Candidate::among(services).map_err(Ok)?;
            for candidate in candidates {
                // 21 bytes each with a 128-bit UUID, as many to a response as fit, and an error for "no more".
                self.traffic.att_operations += candidate.characteristics.len().div_ceil((mtu - 2) / 21) as u64 + 1;
                let layout = match candidate.known(address) {
                    Some(layout) => layout,
                    // Other firmware than the one that is known.
                    None if !descriptions => continue,
                    None => {
                        let mut texts = BTreeMap::new();
                        for characteristic in &candidate.characteristics {
                            if let Some(text) = &characteristic.description {
                                // Finding the descriptor, and reading it.
                                self.traffic.att_operations += 1 + read_operations(text.len(), mtu);
                                texts.insert(characteristic.id.uuid, text.clone());
                            }
                        }
                        candidate.layout(address, &texts)
                    }
                };
                if layout.speaks_protocomm() {
                    layout::remember(layout.clone());
                    let characteristics = candidate.characteristics.into_iter().map(|found| (found.id.uuid, found));
                    return Ok((characteristics.collect(), layout, mtu));
                }
            }
            if descriptions {
                return Err(Ok(LinkError::Garbage));
            }
            descriptions = true;
        }
    }

    async fn transact(
        &mut self,
        connected: &mut Connected,
        characteristic: &Characteristic,
        request: &[u8],
        deadline: Instant,
    ) -> Result<Vec<u8>, Halt> {
        let (connection, closed) = (&connected.connection, &mut connected.closed);
        self.traffic.att_operations += write_operations(request.len(), connected.mtu);
        over(closed, deadline, connection.write(&characteristic.id, request.to_vec())).await?;
        if !characteristic.readable {
            return Ok(Vec::new());
        }
        let value = over(closed, deadline, connection.read(&characteristic.id)).await;
        self.traffic.att_operations += read_operations(value.as_ref().map_or(0, Vec::len), connected.mtu);
        value
    }

    fn forget_layout(&self) {
        if let Some(address) = &self.address {
            layout::forget(address);
        }
    }

    async fn disconnect(&mut self) {
        if let Some(connected) = self.connected.take() {
            Guard(Some(connected.connection)).close().await;
        }
    }
}

/// Runs one operation under the deadline and only for as long as the connection lives.
async fn over<T>(
    closed: &mut BoxFuture<'static, RadioError>,
    deadline: Instant,
    operation: impl Future<Output = Result<T, RadioError>> + Send,
) -> Result<T, Halt> {
    let work = async {
        tokio::select! {
            biased;
            done = operation => done.map_err(|error| match error {
                RadioError::Disconnected { .. } => Halt::Lost,
                error => Halt::Radio(error),
            }),
            why = &mut *closed => {
                tracing::debug!(%why, "the device disconnected");
                *closed = Box::pin(std::future::ready(why));
                Err(Halt::Lost)
            }
        }
    };
    timeout_at(deadline, work).await.unwrap_or(Err(Halt::Late))
}

/// Ends a connection, also when it is dropped.
struct Guard(Option<Arc<dyn Connection>>);

impl Guard {
    fn release(mut self) {
        self.0 = None;
    }

    async fn close(mut self) {
        if let Some(connection) = &self.0 {
            let _ = timeout(CALL, connection.close()).await;
        }
        self.0 = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let (Some(connection), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                let _ = timeout(CALL, connection.close()).await;
            });
        }
    }
}

impl layout::Characteristic for Characteristic {
    fn uuid(&self) -> Uuid {
        self.id.uuid
    }
}

/// What the radio says before a device is connected.
pub(super) fn of_radio(error: RadioError) -> LinkError {
    match error {
        RadioError::PermissionMissing { permissions } => {
            LinkError::PermissionDenied { mend: format!("Allow this app to use {}.", permissions.join(", ")) }
        }
        RadioError::AdapterOff => AdapterProblem::Off.into(),
        RadioError::NoAdapter => AdapterProblem::NoAdapter.into(),
        RadioError::LocationOff => AdapterProblem::LocationOff.into(),
        RadioError::ScanThrottled => LinkError::Busy { what: "the phone's Bluetooth scanner".to_owned() },
        RadioError::Disconnected { .. } => LinkError::Lost,
        RadioError::NotInReach => LinkError::NotFound { what: "ble".to_owned() },
        RadioError::Att { .. } => LinkError::Garbage,
        RadioError::WantsBonding => LinkError::Unsupported {
            what: "The device wants a Bluetooth pairing first, which Lowtouch does not make. Pair it in the phone's \
                   Bluetooth settings."
                .to_owned(),
        },
        RadioError::Failed { detail } => LinkError::Radio { detail },
    }
}

#[async_trait]
impl Link for ForeignLink {
    async fn exchange(&mut self, endpoint: &str, request: &[u8]) -> Result<Vec<u8>, LinkError> {
        if self.in_flight {
            return Err(LinkError::Interrupted);
        }
        if request.len() > MAX_VALUE {
            return Err(LinkError::TooLong { len: request.len(), max: MAX_VALUE });
        }
        let Some(connected) = &self.connected else { return Err(LinkError::Interrupted) };
        let found = connected.layout.characteristic(endpoint);
        let Some(characteristic) = found.and_then(|uuid| connected.characteristics.get(&uuid)).cloned() else {
            // Perhaps other firmware on the same characteristics.
            self.forget_layout();
            return Err(LinkError::UnknownEndpoint { endpoint: endpoint.to_owned() });
        };
        self.in_flight = true;
        let Some(connected) = self.connected.take() else { return Err(LinkError::Interrupted) };
        // Dropped half-way, or failed: nobody knows what the device has seen, so the connection is ended.
        let guard = Guard(Some(connected.connection.clone()));
        let mut connected = connected;
        self.traffic.exchanges += 1;
        self.traffic.bytes_sent += request.len() as u64;
        let after = self.deadlines.exchange;
        let answered = self.transact(&mut connected, &characteristic, request, Instant::now() + after).await;
        let response = match answered {
            Ok(value) if value.len() > MAX_VALUE => Err(LinkError::TooLong { len: value.len(), max: MAX_VALUE }),
            Ok(value) => {
                self.traffic.bytes_received += value.len() as u64;
                Ok(value)
            }
            Err(Halt::Radio(RadioError::Att { code })) => {
                tracing::debug!(endpoint, code, "the device answered with an ATT error");
                // Perhaps other firmware that has its endpoints elsewhere.
                self.forget_layout();
                Err(LinkError::Refused { endpoint: endpoint.to_owned() })
            }
            Err(Halt::Radio(error @ RadioError::WantsBonding)) => Err(of_radio(error)),
            Err(Halt::Late) => Err(LinkError::Timeout { what: "exchange", after }),
            Err(Halt::Lost) => Err(LinkError::Lost),
            Err(Halt::Radio(error)) => {
                tracing::debug!(%error, endpoint, "an exchange ended early");
                self.forget_layout();
                Err(LinkError::Lost)
            }
        };
        if matches!(response, Ok(_) | Err(LinkError::Refused { .. })) {
            guard.release();
            self.connected = Some(connected);
            self.in_flight = false;
        } else {
            guard.close().await;
        }
        response
    }

    fn max_value(&self) -> usize {
        MAX_VALUE
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }

    async fn reconnect(&mut self) -> Result<(), LinkError> {
        // Stays so when this future is dropped or fails.
        self.in_flight = true;
        self.disconnect().await;
        self.connect().await?;
        self.in_flight = false;
        Ok(())
    }

    async fn close(&mut self) {
        self.in_flight = true;
        self.disconnect().await;
    }

    fn describe(&self) -> String {
        format!("ble://{}", self.target)
    }
}

impl Drop for ForeignLink {
    fn drop(&mut self) {
        if let Some(connected) = self.connected.take() {
            drop(Guard(Some(connected.connection)));
        }
    }
}

impl fmt::Debug for ForeignLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignLink")
            .field("target", &self.target)
            .field("connected", &self.connected.is_some())
            .field("traffic", &self.traffic)
            .finish_non_exhaustive()
    }
}
