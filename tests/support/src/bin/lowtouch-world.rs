//! A [`World`] for tests in other languages: real parts in one process, asked in lines of JSON on stdin, answered on stdout.
//!
//! It says `{"api", "caPem"}` when it is ready. `{"invite": NAME}` gives an installer's invite whose order is open for all
//! devices; `{"device": {}}` makes a device that speaks simulated BLE, with its label and its address; `{"hub": ID}` says
//! which hub identities DPS has made. It ends with stdin.
#![allow(clippy::expect_used, clippy::print_stdout)] // a test that cannot set its world up has failed; stdout is its face

use std::io::BufRead as _;

use lowtouch_device::sim::{Running, SimLink};
use lowtouch_test_support::{World, any_devices, any_port};
use provisioning_api::{Office, Role};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

#[tokio::main]
async fn main() {
    let world = World::start().await;
    let mut devices: Vec<Running> = Vec::new();
    println!("{}", json!({ "api": world.api.url, "caPem": world.api.ca_pem }));
    let (lines, mut asked) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    while let Some(line) = asked.recv().await {
        let asked: Value = serde_json::from_str(&line).expect("a line of JSON");
        let answer = if let Some(name) = asked["invite"].as_str() {
            let office = world.api.office();
            office.open_order(name, None, any_devices()).await.expect("an order");
            let (_, code, _) = office.invite(Role::Installer, name, None, 15).await.expect("an invite");
            json!({ "invite": Office::invite_link(&world.api.url, &code).expose_secret() })
        } else if asked["device"].is_object() {
            let device = world.device(world.device_config(SimLink::BleSim(any_port()))).await;
            let answer = json!({
                "label": device.label(),
                "address": device.address(),
                "registrationId": device.registration_id(),
            });
            devices.push(device);
            answer
        } else if let Some(device) = asked["hub"].as_str() {
            let hubs: Vec<String> = world.hub_devices(device).into_iter().map(|device| device.hub).collect();
            json!({ "hubs": hubs })
        } else {
            json!({ "error": "unknown question" })
        };
        println!("{answer}");
    }
}
