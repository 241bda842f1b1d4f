//! Does with a real `ble://` link what its standard input says, one JSON object a line, and prints what came of it.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::Duration;

use lowtouch_installer::pairing::PairRequest;
use lowtouch_installer::{Config, Installer, label};
use lowtouch_links::{Deadlines, Link as _, LinkError, ble};
use serde_json::{Value, json};
use tokio::time::timeout;

/// bluez-async 0.9 unwraps in a task that it spawns when an event stream is dropped: where a message arrives meanwhile, dbus
/// has removed the match already. Nobody waits for that task, so its panic ends nothing.
const DROP_RACE: &str = "bluez-async-0.9.0/src/messagestream.rs";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // Shown with the output of a test that fails.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .init();
    // A panic in any task, btleplug's included, is the end: a test must not overlook it.
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        print(info);
        if !info.location().is_some_and(|place| place.file().ends_with(DROP_RACE)) {
            std::process::exit(101);
        }
    }));
    let mut link = None;
    // Blocks this thread's runtime, as a program may: the radio has its own.
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let command: Value = serde_json::from_str(&line).unwrap();
        match perform(&command, &mut link).await {
            Ok(value) => println!("{}", json!({ "ok": value })),
            Err(error) => println!("{}", json!({ "error": format!("{error:?}"), "words": error.to_string() })),
        }
    }
    if let Some(mut link) = link {
        link.close().await;
    }
}

async fn perform(command: &Value, link: &mut Option<ble::BleLink>) -> Result<Value, LinkError> {
    let text = |key: &str| command[key].as_str().unwrap();
    let time = |key: &str| Duration::from_millis(command[key].as_u64().unwrap());
    match text("do") {
        "open" => {
            let deadlines = Deadlines { connect: time("connect"), exchange: time("exchange") };
            *link = None;
            *link = Some(ble::BleLink::open(ble::Target::parse(text("address")), deadlines).await?);
            Ok(Value::Null)
        }
        "scan" => {
            let found = ble::scan(time("duration")).await?.into_iter().map(|found| {
                json!({
                    "name": found.name, "address": found.address, "rssi": found.rssi,
                    "kind": found.kind.as_str(), "provisioned": found.provisioned,
                })
            });
            Ok(found.collect())
        }
        "pair" => Ok(pair(command).await),
        "find" => {
            let (told, heard) = std::sync::mpsc::channel();
            let target = ble::Target::parse(text("address"));
            let found = ble::find(target, time("within"), move |progress| told.send(format!("{progress:?}")).unwrap());
            let address = found.await?.address;
            Ok(json!({ "address": address, "progress": heard.iter().collect::<Vec<_>>() }))
        }
        "exchange" => {
            let request = hex::decode(text("request")).unwrap();
            let response = link.as_mut().unwrap().exchange(text("endpoint"), &request).await?;
            Ok(hex::encode(response).into())
        }
        "drop" => {
            let request = hex::decode(text("request")).unwrap();
            let exchange = link.as_mut().unwrap().exchange(text("endpoint"), &request);
            assert!(timeout(time("after"), exchange).await.is_err(), "it was to be dropped");
            Ok(Value::Null)
        }
        "reconnect" => link.as_mut().unwrap().reconnect().await.map(|()| Value::Null),
        "close" => {
            link.take().unwrap().close().await;
            Ok(Value::Null)
        }
        "facts" => {
            let link = link.as_ref().unwrap();
            let operations = link.traffic().att_operations;
            Ok(json!({"mtu": link.mtu(), "address": link.address(), "rssi": link.rssi(), "operations": operations}))
        }
        other => panic!("{other}"),
    }
}

/// A whole pairing by label alone: its events.
async fn pair(command: &Value) -> Value {
    let text = |key: &str| command[key].as_str().unwrap();
    let config = Config {
        api_url: Some(text("api").to_owned()),
        token: Some(text("token").into()),
        extra_ca_pem: Some(text("ca").to_owned()),
        ..Config::new(text("folder"))
    };
    let label = label::parse(text("label")).unwrap();
    let link = format!("ble://{}", label.name).parse().unwrap();
    let pairing = Installer::new(config).await.unwrap().pair(PairRequest::new(label, link));
    let mut events = pairing.events();
    let mut told = Vec::new();
    while let Some(event) = events.next().await {
        told.push(serde_json::to_value(event).unwrap());
    }
    told.into()
}
