//! The task that owns one peripheral.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use btleplug::api::{
    Central as _, CentralEvent, CentralState, CharPropFlags, Characteristic, Peripheral as _, WriteType,
};
use btleplug::platform::{Adapter, Peripheral, PeripheralId};
use futures::{Stream, StreamExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout, timeout_at};
use uuid::Uuid;

use super::att::{MAX_MTU, MIN_MTU, read_operations, write_operations};
use super::layout::{self, Candidate, Layout};
use super::mishap::Mishap;
use super::{AdapterProblem, MAX_VALUE, Target, find};
use crate::{Deadlines, LinkError, Traffic};

/// What the link asks of the task. Whoever drops the answer's receiver gives the command up.
pub(super) enum Command {
    Exchange { endpoint: String, request: Vec<u8>, answer: oneshot::Sender<Result<Vec<u8>, LinkError>> },
    Reconnect { answer: oneshot::Sender<Result<(), LinkError>> },
    Close { answer: oneshot::Sender<()> },
}

/// What the link wants to know without asking.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) traffic: Traffic,
    pub(super) mtu: u16,
    pub(super) rssi: Option<i16>,
    pub(super) address: String,
}

/// One attempt to connect. The kernel gives one up after 20 s (HCI_LE_CONN_TIMEOUT), which is longer than people wait; a
/// device in reach takes well under a second, and a second attempt helps more often than waiting on.
const ATTEMPT: Duration = Duration::from_secs(6);
/// Between two attempts: BlueZ answers `InProgress` or `le-connection-abort-by-local` at once while it cleans up.
const PAUSE: Duration = Duration::from_millis(250);
/// BlueZ itself waits 2 s before it ends a connection (device.c, DISCONNECT_TIMER), then the radio needs a moment.
const DISCONNECT: Duration = Duration::from_secs(5);
/// How often a pending operation asks whether the device is still there. BlueZ's signal is what is normally first; a
/// removed adapter or a restarted bluetoothd sends none.
const STILL_THERE: Duration = Duration::from_secs(1);
/// Characteristic User Description (Bluetooth Assigned Numbers, 3.7).
const USER_DESCRIPTION: Uuid = Uuid::from_u128(0x00002901_0000_1000_8000_00805f9b34fb);

/// Finds `target`, connects, and serves `commands` until they end.
pub(super) async fn serve(
    target: Target,
    deadlines: Deadlines,
    state: Arc<Mutex<State>>,
    mut opened: oneshot::Sender<Result<(), LinkError>>,
    mut commands: mpsc::Receiver<Command>,
) {
    let mut owner = Owner { target, deadlines, state, device: None, connection: None, read: BTreeMap::new() };
    let connected = tokio::select! {
        connected = owner.connect() => connected,
        () = opened.closed() => Err(LinkError::Interrupted),
    };
    let failed = connected.is_err();
    if opened.send(connected).is_err() || failed {
        owner.disconnect().await;
        return;
    }
    while let Some(command) = owner.next(&mut commands).await {
        match command {
            Command::Exchange { endpoint, request, mut answer } => {
                let answered = tokio::select! {
                    answered = owner.exchange(&endpoint, &request) => Some(answered),
                    () = answer.closed() => None,
                };
                match answered {
                    Some(answered) => {
                        let _ = answer.send(answered);
                    }
                    // Nobody knows what the device has seen.
                    None => owner.in_doubt(),
                }
            }
            Command::Reconnect { mut answer } => {
                let connected = tokio::select! {
                    connected = owner.connect() => connected,
                    () = answer.closed() => Err(LinkError::Interrupted),
                };
                let _ = answer.send(connected);
            }
            Command::Close { answer } => {
                owner.disconnect().await;
                let _ = answer.send(());
            }
        }
    }
    owner.disconnect().await;
}

struct Owner {
    target: Target,
    deadlines: Deadlines,
    state: Arc<Mutex<State>>,
    /// Found, and perhaps connected.
    device: Option<(Adapter, Peripheral)>,
    connection: Option<Connection>,
    /// The descriptors' texts that connections which were lost on the way have read, by address and characteristic: over a
    /// bad radio the next one goes on from there.
    read: BTreeMap<(String, Uuid), Vec<u8>>,
}

type Events = Pin<Box<dyn Stream<Item = CentralEvent> + Send>>;

struct Connection {
    events: Events,
    characteristics: BTreeMap<Uuid, Characteristic>,
    layout: Layout,
    mtu: usize,
}

/// Why an operation has no result.
#[derive(Debug)]
enum Halt {
    Mishap(Mishap),
    /// The connection ended while it ran.
    Lost,
    /// The adapter was turned off while it ran.
    Off,
    Late,
}

impl Owner {
    /// The next command; meanwhile a disconnect is noticed.
    async fn next(&mut self, commands: &mut mpsc::Receiver<Command>) -> Option<Command> {
        loop {
            let (Some(connection), Some((_, peripheral))) = (&mut self.connection, &self.device) else {
                return commands.recv().await;
            };
            let id = peripheral.id();
            tokio::select! {
                biased;
                event = connection.events.next() => {
                    if event.is_none_or(|event| ends(&event, &id)) {
                        tracing::debug!("the device disconnected");
                        self.connection = None;
                    }
                }
                command = commands.recv() => return command,
            }
        }
    }

    async fn connect(&mut self) -> Result<(), LinkError> {
        self.connection = None;
        if self.device.is_some() {
            self.disconnect().await;
        }
        if self.device.is_none() {
            self.find(self.deadlines.connect).await?;
        }
        let after = self.deadlines.connect;
        let deadline = Instant::now() + after;
        loop {
            let Some((adapter, peripheral)) = self.device.clone() else {
                let left = deadline.saturating_duration_since(Instant::now());
                self.find(left).await?;
                continue;
            };
            let halt = match self.attempt(&adapter, &peripheral, (Instant::now() + ATTEMPT).min(deadline)).await {
                Ok(connection) => {
                    self.connection = Some(connection);
                    return Ok(());
                }
                Err(Ok(error)) => {
                    self.disconnect().await;
                    return Err(error);
                }
                Err(Err(halt)) => halt,
            };
            tracing::debug!(?halt, "an attempt to connect failed");
            match halt {
                Halt::Off | Halt::Mishap(Mishap::Off) => return Err(AdapterProblem::Off.into()),
                // The service forgot the device: it is looked for again.
                Halt::Mishap(Mishap::Gone) => self.device = None,
                Halt::Mishap(mishap) => {
                    if let Some(problem) = AdapterProblem::of(&mishap) {
                        self.device = None;
                        return Err(problem.into());
                    }
                }
                Halt::Lost => {}
                // Ends an attempt that BlueZ still makes.
                Halt::Late => self.disconnect().await,
            }
            if Instant::now() + PAUSE >= deadline {
                return Err(LinkError::Timeout { what: "connect", after });
            }
            sleep(PAUSE).await;
        }
    }

    async fn find(&mut self, within: Duration) -> Result<(), LinkError> {
        let (adapter, peripheral, found) = find::locate(&self.target, within, &|_| {}).await?;
        self.update(|state| {
            state.rssi = found.rssi;
            state.address = found.address;
        });
        // A connection that another program, or our own last run, left behind: its session is not ours.
        if matches!(timeout(STILL_THERE, peripheral.is_connected()).await, Ok(Ok(true))) {
            let _ = timeout(DISCONNECT, peripheral.disconnect()).await;
        }
        self.device = Some((adapter, peripheral));
        Ok(())
    }

    /// Connects once. The inner `Ok` of an error is final, the inner `Err` is worth another attempt.
    async fn attempt(
        &mut self,
        adapter: &Adapter,
        peripheral: &Peripheral,
        deadline: Instant,
    ) -> Result<Connection, Result<LinkError, Halt>> {
        let events = timeout_at(deadline, adapter.events()).await.map_err(|_| Err(Halt::Late))?;
        let mut watch = Watch {
            peripheral: peripheral.clone(),
            events: events.map_err(|error| Err(Halt::Mishap(error.into())))?,
            deadline,
            connected: false,
        };
        let device = peripheral.clone();
        self.count(1);
        watch.over(async move { device.connect().await }).await.map_err(Err)?;
        watch.connected = true;
        // The MTU, the services by UUID, and the end of their list.
        self.count(3);
        let device = peripheral.clone();
        watch.over(async move { device.discover_services().await }).await.map_err(Err)?;
        let mtu = peripheral.mtu().clamp(MIN_MTU, MAX_MTU);
        self.update(|state| state.mtu = mtu);
        let mtu = usize::from(mtu);
        let services = peripheral.services().into_iter().map(|service| (service.uuid, service.characteristics));
        let candidates = Candidate::among(services).map_err(Ok)?;
        let address = self.state.lock().map(|state| state.address.clone()).unwrap_or_default();
        for candidate in candidates {
            // 21 bytes each with a 128-bit UUID, as many to a response as fit, and an error for "no more".
            self.count(candidate.characteristics.len().div_ceil((mtu - 2) / 21) as u64 + 1);
            let layout = match candidate.known(&address) {
                Some(layout) => layout,
                None => {
                    let mut texts = BTreeMap::new();
                    for characteristic in &candidate.characteristics {
                        let key = (address.clone(), characteristic.uuid);
                        if let Some(text) = self.read.get(&key) {
                            texts.insert(characteristic.uuid, text.clone());
                            continue;
                        }
                        let Some(descriptor) = description(characteristic).cloned() else { continue };
                        let device = peripheral.clone();
                        match watch.over(async move { device.read_descriptor(&descriptor).await }).await {
                            Ok(text) => {
                                // Finding the descriptor, and reading it.
                                self.count(1 + read_operations(text.len(), mtu));
                                self.read.insert(key, text.clone());
                                texts.insert(characteristic.uuid, text);
                            }
                            // One that cannot be read is as one that is not there.
                            Err(Halt::Mishap(Mishap::Att | Mishap::WantsBonding)) => self.count(2),
                            Err(halt) => return Err(Err(halt)),
                        }
                    }
                    candidate.layout(&address, &texts)
                }
            };
            // Once whole, it is the kept layout's affair, which is checked against the device.
            self.read.clear();
            if layout.speaks_protocomm() {
                layout::remember(layout.clone());
                let characteristics = candidate.characteristics.into_iter().map(|found| (found.uuid, found));
                return Ok(Connection {
                    events: watch.events,
                    characteristics: characteristics.collect(),
                    layout,
                    mtu,
                });
            }
        }
        Err(Ok(LinkError::Garbage))
    }

    async fn exchange(&mut self, endpoint: &str, request: &[u8]) -> Result<Vec<u8>, LinkError> {
        let (Some(connection), Some((_, peripheral))) = (self.connection.take(), self.device.clone()) else {
            return Err(LinkError::Lost);
        };
        let found = connection.layout.characteristic(endpoint);
        let Some(characteristic) = found.and_then(|uuid| connection.characteristics.get(&uuid)).cloned() else {
            // Perhaps other firmware on the same characteristics.
            self.forget_layout();
            self.connection = Some(connection);
            return Err(LinkError::UnknownEndpoint { endpoint: endpoint.to_owned() });
        };
        debug_assert_eq!(characteristic.service_uuid, connection.layout.service());
        let after = self.deadlines.exchange;
        let mut watch = Watch {
            peripheral: peripheral.clone(),
            events: connection.events,
            deadline: Instant::now() + after,
            connected: true,
        };
        let answered = self.transact(&mut watch, &characteristic, request, connection.mtu).await;
        let connection = Connection { events: watch.events, ..connection };
        match answered {
            Ok(value) if value.len() > MAX_VALUE => Err(LinkError::TooLong { len: value.len(), max: MAX_VALUE }),
            Ok(value) => {
                self.update(|state| state.traffic.bytes_received += value.len() as u64);
                self.connection = Some(connection);
                Ok(value)
            }
            Err(Halt::Mishap(Mishap::Att)) => {
                // Perhaps other firmware that has its endpoints elsewhere.
                self.forget_layout();
                self.connection = Some(connection);
                Err(LinkError::Refused { endpoint: endpoint.to_owned() })
            }
            Err(Halt::Mishap(Mishap::WantsBonding)) => Err(LinkError::Unsupported {
                what:
                    "The device wants a Bluetooth pairing first, which Lowtouch does not make. Pair it in the system's \
                       Bluetooth settings."
                        .to_owned(),
            }),
            Err(Halt::Late) => Err(LinkError::Timeout { what: "exchange", after }),
            Err(halt) => {
                tracing::debug!(?halt, endpoint, "an exchange ended early");
                self.forget_layout();
                Err(LinkError::Lost)
            }
        }
    }

    async fn transact(
        &mut self,
        watch: &mut Watch,
        characteristic: &Characteristic,
        request: &[u8],
        mtu: usize,
    ) -> Result<Vec<u8>, Halt> {
        self.update(|state| {
            state.traffic.exchanges += 1;
            state.traffic.bytes_sent += request.len() as u64;
            state.traffic.att_operations += write_operations(request.len(), mtu);
        });
        let (device, target, value) = (watch.peripheral.clone(), characteristic.clone(), request.to_vec());
        watch.over(async move { device.write(&target, &value, WriteType::WithResponse).await }).await?;
        if !characteristic.properties.contains(CharPropFlags::READ) {
            return Ok(Vec::new());
        }
        let (device, target) = (watch.peripheral.clone(), characteristic.clone());
        let value = watch.over(async move { device.read(&target).await }).await;
        self.count(read_operations(value.as_ref().map_or(0, Vec::len), mtu));
        value
    }

    /// The connection is not to be used any more; the next one begins with ending it.
    fn in_doubt(&mut self) {
        self.connection = None;
    }

    /// Ends the connection as the device sees it, within [`DISCONNECT`].
    async fn disconnect(&mut self) {
        self.connection = None;
        let Some((_, peripheral)) = &self.device else { return };
        let disconnected = timeout(DISCONNECT, async {
            match peripheral.is_connected().await {
                Ok(false) => Ok(()),
                _ => peripheral.disconnect().await,
            }
        });
        match disconnected.await.unwrap_or(Ok(())).map_err(Mishap::from) {
            Ok(()) => {}
            Err(mishap) => {
                tracing::debug!(?mishap, "the device cannot be disconnected");
                // Whatever it was, it is not there any more: the next connection looks for it again.
                self.device = None;
            }
        }
    }

    fn forget_layout(&self) {
        if let Ok(state) = self.state.lock() {
            layout::forget(&state.address);
        }
    }

    fn count(&self, operations: u64) {
        self.update(|state| state.traffic.att_operations += operations);
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        if let Ok(mut state) = self.state.lock() {
            change(&mut state);
        }
    }
}

/// Runs operations one after another, each under the deadline and only for as long as the connection lives.
struct Watch {
    peripheral: Peripheral,
    events: Events,
    deadline: Instant,
    connected: bool,
}

impl Watch {
    async fn over<T>(&mut self, operation: impl Future<Output = btleplug::Result<T>> + Send) -> Result<T, Halt> {
        let id = self.peripheral.id();
        let mut still_there = interval(STILL_THERE);
        still_there.set_missed_tick_behavior(MissedTickBehavior::Delay);
        still_there.reset();
        tokio::pin!(operation);
        loop {
            tokio::select! {
                biased;
                done = &mut operation => return done.map_err(|error| Halt::Mishap(error.into())),
                () = sleep_until(self.deadline) => return Err(Halt::Late),
                event = self.events.next() => match event {
                    Some(CentralEvent::StateUpdate(CentralState::PoweredOff)) => return Err(Halt::Off),
                    Some(event) if ends(&event, &id) => return Err(Halt::Lost),
                    Some(_) => {}
                    None => return Err(Halt::Lost),
                },
                _ = still_there.tick() => {
                    match timeout(STILL_THERE, self.peripheral.is_connected()).await {
                        Ok(Ok(connected)) if self.connected && !connected => return Err(Halt::Lost),
                        Ok(Err(error)) => match Mishap::from(error) {
                            mishap @ (Mishap::Gone | Mishap::NoService) => return Err(Halt::Mishap(mishap)),
                            mishap => tracing::debug!(?mishap, "the device's state cannot be read"),
                        },
                        // Still there, or the service is slow: the deadline decides.
                        Ok(Ok(_)) | Err(_) => {}
                    }
                }
            }
        }
    }
}

fn ends(event: &CentralEvent, id: &PeripheralId) -> bool {
    match event {
        CentralEvent::DeviceDisconnected(gone) => gone == id,
        CentralEvent::StateUpdate(state) => *state == CentralState::PoweredOff,
        _ => false,
    }
}

impl layout::Characteristic for Characteristic {
    fn uuid(&self) -> Uuid {
        self.uuid
    }
}

/// The characteristic's 0x2901 descriptor.
fn description(characteristic: &Characteristic) -> Option<&btleplug::api::Descriptor> {
    characteristic.descriptors.iter().find(|descriptor| descriptor.uuid == USER_DESCRIPTION)
}
