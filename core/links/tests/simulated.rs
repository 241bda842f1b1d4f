//! The simulated BLE link, in process under a paused clock and over TCP.
// Clippy takes only functions marked #[test] for tests; this whole file is one.
#![allow(clippy::unwrap_used)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use lowtouch_links::{
    Deadlines, Link, LinkAddress, LinkError, open,
    simulated::{
        Characteristic, GattError, Peripheral, Radio, SERVICE, SimulatedLink, att_error, characteristics, serve,
    },
};
use proptest::prelude::*;
use tokio::{
    net::TcpListener,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

const ENDPOINTS: [&str; 4] = ["proto-ver", "prov-session", "dps-config", "long"];

#[derive(Default)]
struct Log {
    connects: usize,
    disconnects: usize,
    writes: Vec<Vec<u8>>,
}

/// Reads back what was written; `prov-session` fails, `long` answers with more than 512 bytes.
#[derive(Default)]
struct Echo {
    log: Arc<Mutex<Log>>,
    value: Vec<u8>,
    handling: Duration,
}

#[async_trait]
impl Peripheral for Echo {
    async fn connect(&mut self) -> Result<Vec<Characteristic>, GattError> {
        self.log.lock().unwrap().connects += 1;
        Ok(characteristics(SERVICE, ENDPOINTS))
    }

    async fn disconnect(&mut self) {
        self.log.lock().unwrap().disconnects += 1;
    }

    async fn write(&mut self, characteristic: Uuid, value: &[u8]) -> Result<(), GattError> {
        sleep(self.handling).await;
        let table = characteristics(SERVICE, ENDPOINTS);
        let endpoint = table.iter().find(|known| known.uuid == characteristic).unwrap();
        self.log.lock().unwrap().writes.push(value.to_vec());
        match endpoint.endpoint.as_str() {
            "prov-session" => return Err(GattError::Att(att_error::UNLIKELY)),
            "long" => self.value = vec![0; 513],
            _ => self.value = value.to_vec(),
        }
        Ok(())
    }

    async fn read(&mut self, _characteristic: Uuid) -> Result<Vec<u8>, GattError> {
        Ok(self.value.clone())
    }
}

async fn connect(peripheral: Echo, radio: Radio) -> Result<SimulatedLink, LinkError> {
    SimulatedLink::connect(Box::new(peripheral), radio, Deadlines::default()).await
}

#[test]
fn characteristics_have_espressifs_numbers() {
    let names = ["prov-ctrl", "prov-scan", "prov-session", "dps-config", "proto-ver", "own"];
    let uuids: Vec<String> = characteristics(SERVICE, names).iter().map(|known| known.uuid.to_string()).collect();
    let expected = ["ff4f", "ff50", "ff51", "ff54", "ff53", "ff55"]
        .map(|short| format!("1775{short}-6b43-439b-877c-060f2d9bed07"));
    assert_eq!(uuids, expected);
}

#[tokio::test(start_paused = true)]
async fn refusals_unknown_endpoints_and_long_values_are_told_apart() {
    let mut link = connect(Echo::default(), Radio::default()).await.unwrap();
    assert_eq!(link.exchange("dps-config", b"x").await.unwrap(), b"x");
    let refused = LinkError::Refused { endpoint: "prov-session".to_owned() };
    assert_eq!(link.exchange("prov-session", b"x").await, Err(refused));
    let unknown = LinkError::UnknownEndpoint { endpoint: "prov-scan".to_owned() };
    assert_eq!(link.exchange("prov-scan", b"x").await, Err(unknown));
    let too_long = LinkError::TooLong { len: 513, max: 512 };
    assert_eq!(link.exchange("dps-config", &[0; 513]).await, Err(too_long));
    assert_eq!(link.exchange("dps-config", &[7; 512]).await.unwrap(), [7; 512]);
    assert_eq!(link.exchange("long", b"x").await, Err(LinkError::Garbage));
    assert_eq!(link.exchange("dps-config", b"x").await, Err(LinkError::Interrupted));
}

#[tokio::test(start_paused = true)]
async fn a_peripheral_going_out_of_reach_costs_the_supervision_time_and_the_session() {
    let echo = Echo::default();
    let log = Arc::clone(&echo.log);
    let mut link = connect(echo, Radio::default()).await.unwrap();
    let discovering = link.traffic().att_operations;
    drop(link);
    let radio = Radio { disconnect_after: Some(discovering + 2), ..Radio::default() };
    let echo = Echo { log: Arc::clone(&log), ..Echo::default() };
    link = connect(echo, radio).await.unwrap();
    link.exchange("dps-config", b"a").await.unwrap();
    let start = Instant::now();
    assert_eq!(link.exchange("dps-config", b"b").await, Err(LinkError::Lost));
    assert_eq!(start.elapsed(), Duration::from_secs(4));
    assert_eq!(log.lock().unwrap().disconnects, 1);
    assert_eq!(link.exchange("dps-config", b"c").await, Err(LinkError::Interrupted));
    link.reconnect().await.unwrap();
    assert_eq!(link.exchange("dps-config", b"d").await.unwrap(), b"d");
    assert_eq!(log.lock().unwrap().writes, [b"a", b"d"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_lost_connection_has_learned_of_the_layout_is_not_asked_again() {
    let whole = connect(Echo::default(), Radio::default()).await.unwrap().traffic().att_operations;
    let known = Radio { layout_known: true, ..Radio::default() };
    let known = connect(Echo::default(), known).await.unwrap().traffic().att_operations;
    for lost in 0..whole {
        let radio = Radio { disconnect_after: Some(lost), ..Radio::default() };
        let mut link = SimulatedLink::new(Box::new(Echo::default()), radio, Deadlines::default()).unwrap();
        assert_eq!(link.reconnect().await, Err(LinkError::Lost), "{lost}");
        link.reconnect().await.unwrap();
        // At most one operation and what belongs to it is made twice, and connecting anew.
        let again = link.traffic().att_operations - whole;
        assert!(again <= known + 3 + 2, "{lost}: {again} operations more");
        assert_eq!(link.exchange("dps-config", b"x").await.unwrap(), b"x");
        let before = link.traffic().att_operations;
        link.reconnect().await.unwrap();
        assert_eq!(link.traffic().att_operations - before, known, "{lost}: the next connection knows it all");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_write_sometimes_reached_the_peripheral_and_sometimes_did_not() {
    let (mut reached, mut lost) = (0, 0);
    for seed in 0..60 {
        let echo = Echo::default();
        let log = Arc::clone(&echo.log);
        let radio = Radio { loss: 0.03, seed, ..Radio::default() };
        let Ok(mut link) = connect(echo, radio).await else { continue };
        let discovering = link.traffic().att_operations;
        while link.exchange("dps-config", b"x").await.is_ok() {}
        let answered = link.traffic().bytes_received;
        if (link.traffic().att_operations - discovering).is_multiple_of(2) {
            // It was the read that got lost.
            continue;
        }
        match log.lock().unwrap().writes.len() as u64 - answered {
            0 => lost += 1,
            1 => reached += 1,
            other => panic!("{other} writes without an answer"),
        }
    }
    assert!(reached > 5 && lost > 5, "{reached} reached, {lost} did not");
}

#[tokio::test(start_paused = true)]
async fn a_silent_peripheral_costs_the_deadline_and_a_dropped_exchange_poisons_the_link() {
    let echo = Echo { handling: Duration::from_secs(60), ..Echo::default() };
    let log = Arc::clone(&echo.log);
    let mut link = connect(echo, Radio::default()).await.unwrap();
    let start = Instant::now();
    let after = Deadlines::default().exchange;
    let error = link.exchange("dps-config", b"x").await;
    assert_eq!(error, Err(LinkError::Timeout { what: "exchange", after }));
    assert_eq!(start.elapsed(), after);
    link.reconnect().await.unwrap();
    let dropped = timeout(Duration::from_secs(1), link.exchange("dps-config", b"x")).await;
    assert!(dropped.is_err());
    assert_eq!(link.exchange("dps-config", b"x").await, Err(LinkError::Interrupted));
    link.close().await;
    assert_eq!(log.lock().unwrap().connects, 2);
    assert_eq!(log.lock().unwrap().disconnects, 2);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_loses_the_same_operations() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let radio = Radio { loss: 0.02, seed: 11, ..Radio::default() };
        let mut link = connect(Echo::default(), radio).await.unwrap();
        while link.exchange("dps-config", b"x").await.is_ok() {}
        runs.push(link.traffic());
    }
    assert_eq!(runs[0], runs[1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn an_exchange_takes_as_many_operations_as_its_lengths_need_and_the_time_of_them(
        mtu in 23_u16..=517,
        latency_ms in 0_u64..200,
        value in prop::collection::vec(any::<u8>(), 0..=512),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let latency = Duration::from_millis(latency_ms);
            let radio = Radio { mtu, latency, ..Radio::default() };
            let mut link = connect(Echo::default(), radio).await.unwrap();
            let before = link.traffic();
            let start = Instant::now();
            let answer = link.exchange("dps-config", &value).await;
            let elapsed = start.elapsed();
            let operations = link.traffic().att_operations - before.att_operations;

            let (len, mtu) = (value.len(), usize::from(mtu));
            prop_assert_eq!(answer.unwrap(), value);
            // Written as one, or as parts of MTU - 5 and one to execute; read in parts of MTU - 1 until one is not full.
            let written = if len <= mtu - 3 { 1 } else { len.div_ceil(mtu - 5) + 1 };
            let mut read = 1;
            while read * (mtu - 1) <= len {
                read += 1;
            }
            prop_assert_eq!(operations, (written + read) as u64);
            prop_assert_eq!(elapsed, latency * (written + read) as u32);
            Ok(())
        })?;
    }

    #[test]
    fn whatever_the_radio_does_an_exchange_ends_and_a_reconnect_mends_it(
        mtu in 23_u16..=517,
        loss in 0.0..0.3_f64,
        seed in any::<u64>(),
        disconnect_after in prop::option::of(0_u64..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let radio = Radio { mtu, loss, seed, disconnect_after, ..Radio::default() };
            let Ok(mut link) = connect(Echo::default(), radio).await else { return Ok(()) };
            for number in 0..20_u8 {
                match link.exchange("dps-config", &[number; 40]).await {
                    Ok(value) => prop_assert_eq!(value, [number; 40]),
                    Err(LinkError::Lost | LinkError::Interrupted) => {
                        let _ = link.reconnect().await;
                    }
                    Err(other) => prop_assert!(false, "{other:?}"),
                }
            }
            Ok(())
        })?;
    }
}

async fn served(peripheral: Echo) -> (String, tokio::task::JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("ble-sim://{}", listener.local_addr().unwrap());
    (address, tokio::spawn(serve(listener, peripheral)))
}

async fn open_text(address: &str) -> Result<Box<dyn Link>, LinkError> {
    let address: LinkAddress = address.parse().unwrap();
    open(&address, Deadlines::default()).await
}

#[tokio::test]
async fn a_peripheral_in_another_process_is_discovered_and_answers() {
    let echo = Echo::default();
    let log = Arc::clone(&echo.log);
    let (address, _task) = served(echo).await;
    let mut link = open_text(&format!("{address}?mtu=185&latency_ms=1")).await.unwrap();
    assert_eq!(link.exchange("dps-config", &[9; 512]).await.unwrap(), [9; 512]);
    let refused = LinkError::Refused { endpoint: "prov-session".to_owned() };
    assert_eq!(link.exchange("prov-session", b"x").await, Err(refused));
    link.reconnect().await.unwrap();
    assert_eq!(link.exchange("proto-ver", b"").await.unwrap(), b"");
    assert_eq!(log.lock().unwrap().connects, 2);
    assert_eq!(link.max_value(), 512);
    // 512 bytes at MTU 185: 3 parts and one to execute, 3 reads.
    assert!(link.traffic().att_operations > 7);
}

#[tokio::test]
async fn a_second_central_is_told_that_the_peripheral_is_busy_until_the_first_is_gone() {
    let (address, _task) = served(Echo::default()).await;
    let first = open_text(&address).await.unwrap();
    assert!(matches!(open_text(&address).await.err(), Some(LinkError::Busy { .. })));
    drop(first);
    open_text(&address).await.unwrap();
}

#[tokio::test]
async fn a_peripheral_that_dies_is_lost_and_then_not_found() {
    let (address, task) = served(Echo::default()).await;
    let mut link = open_text(&address).await.unwrap();
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(link.exchange("dps-config", b"x").await, Err(LinkError::Lost));
    assert!(matches!(link.reconnect().await, Err(LinkError::NotFound { .. })));
}

#[tokio::test]
async fn somebody_else_at_the_address_is_garbage() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("ble-sim://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        sleep(Duration::from_secs(60)).await;
    });
    assert_eq!(open_text(&address).await.err(), Some(LinkError::Garbage));
}
