//! The table of commands with all real parts: what a page does, from a label to the hub.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use lowtouch_device::sim::{Running as Simulated, SimLink, Wifi};
use lowtouch_installer::commands::{Commands, Host, HostKind, Kind, TABLE};
use lowtouch_installer::secrets::{Memory, SecretStore};
use lowtouch_test_support::{PATIENCE, World, any_port};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

const POP: &str = "MARKEDPOP7391";
const PASSPHRASE: &str = "MARKEDWIFI5527";

fn host(folder: &Path) -> Host {
    std::fs::create_dir_all(folder).unwrap();
    let store: Arc<dyn SecretStore> = Arc::new(Memory::default());
    let host = Host::new(
        HostKind::Desktop,
        "0.0.0",
        folder,
        folder.join("lowtouch.toml"),
        Arc::new(move |_, _| store.clone()),
    );
    Host { environment: |_| None, ..host }
}

/// The commands of an app whose settings name the world's provisioning API.
fn commands(world: &World) -> Commands {
    let folder = world.data_folder("app");
    let ca = world.folder().join("api-ca.pem");
    std::fs::write(&ca, &world.api.ca_pem).unwrap();
    let host = host(&folder);
    let settings =
        format!("api = {:?}\nca-files = [{:?}]\nproxy = \"none\"\n", world.api.url, ca.display().to_string());
    std::fs::write(&host.settings_file, settings).unwrap();
    Commands::new(Host { token: Some(world.token.clone()), ..host })
}

async fn call(commands: &Commands, name: &str, args: Value) -> Value {
    commands.call(name, args).await.unwrap_or_else(|error| panic!("{name}: {error:?}"))
}

async fn refused(commands: &Commands, name: &str, args: Value) -> String {
    commands.call(name, args).await.unwrap_err().error.code.as_str().to_owned()
}

/// The device's label, read; the link is the simulated one.
async fn start(commands: &Commands, device: &Simulated, label: &str) -> Value {
    let seen = call(commands, "label_read", json!({ "text": label })).await;
    let args = json!({ "labelId": seen["labelId"], "link": device.address() });
    call(commands, "pairing_start", args).await
}

/// All events of a pairing, to its end.
async fn watched(commands: &Commands, pairing: &Value) -> Vec<Value> {
    let events = commands.stream("pairing_watch", pairing.clone()).unwrap().collect();
    tokio::time::timeout(PATIENCE, events).await.expect("the pairing ends")
}

/// Of the event that tells it.
fn handoff(events: &[Value]) -> Value {
    events.iter().find(|event| event["event"] == "started").unwrap()["handoffId"].clone()
}

#[tokio::test]
async fn a_label_becomes_a_pairing_that_every_page_sees_from_its_first_event_on() {
    let world = World::start().await;
    let device = world.device(world.device_config(SimLink::Http(any_port()))).await;
    let commands = commands(&world);

    let pairing = start(&commands, &device, device.label()).await;
    let (first, second) = tokio::join!(watched(&commands, &pairing), watched(&commands, &pairing));
    assert_eq!(first, second);
    assert_eq!(first[0]["event"], "step-started");
    let last = first.last().unwrap();
    assert_eq!(last["event"], "finished", "{last}");
    // A page that is loaded again after the end.
    assert_eq!(watched(&commands, &pairing).await, first);

    let all = call(&commands, "pairings", json!({})).await;
    assert_eq!((&all[0]["state"], &all[0]["hub"]), (&json!("finished"), &last["hub"]));
    let journal = call(&commands, "journal", json!({ "limit": 10, "state": "assigned", "text": "DEVICE-" })).await;
    assert_eq!(journal["total"], 1);
    assert_eq!(journal["entries"][0]["deviceSaid"]["hub"], last["hub"]);
    assert_eq!(journal["entries"][0]["labelId"], all[0]["labelId"]);
    let entry = call(&commands, "journal_entry", json!({ "handoffId": handoff(&first) })).await;
    assert_eq!(entry, journal["entries"][0]);
    let none = call(&commands, "journal", json!({ "limit": 10, "text": "%" })).await;
    assert_eq!((&none["total"], &none["counts"]["all"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn a_wrong_code_is_said_as_such_and_the_right_one_works_afterwards() {
    let world = World::start().await;
    let device = world.device(world.device_config(SimLink::Http(any_port()))).await;
    let commands = commands(&world);
    let label: Value = serde_json::from_str(device.label()).unwrap();
    let typed = |pop: &str| json!({ "name": label["name"], "pop": pop, "link": device.address() });

    let seen = call(&commands, "label_from_code", typed("not-this-one")).await;
    assert_eq!((&seen["security"], &seen["hasPop"]), (&json!(2), &json!(true)));
    let pairing = call(&commands, "pairing_start", json!({ "labelId": seen["labelId"] })).await;
    let last = watched(&commands, &pairing).await.pop().unwrap();
    assert_eq!((&last["event"], &last["code"]), (&json!("failed"), &json!("wrong-pop")));
    let all = call(&commands, "pairings", json!({})).await;
    assert_eq!((&all[0]["state"], &all[0]["code"]), (&json!("failed"), &json!("wrong-pop")));

    let seen = call(&commands, "label_from_code", typed(label["pop"].as_str().unwrap())).await;
    assert!(seen["unfinished"]["handoffId"].is_string(), "{seen}");
    let pairing = call(&commands, "pairing_start", json!({ "labelId": seen["labelId"] })).await;
    assert_eq!(watched(&commands, &pairing).await.pop().unwrap()["event"], "finished");
}

#[tokio::test]
async fn a_pairing_is_cancelled_by_its_name_and_when_the_program_ends_but_not_by_a_page_that_goes() {
    let world = World::start().await;
    let commands = commands(&world);
    // Nobody answers there: each pairing waits for its device.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let link = format!("http://{}", silent.local_addr().unwrap());
    let args = json!({ "name": "PROV_1", "pop": "abcd1234", "link": link });
    let seen = call(&commands, "label_from_code", args.clone()).await;
    let pairing = call(&commands, "pairing_start", json!({ "labelId": seen["labelId"] })).await;

    let mut watch = commands.stream("pairing_watch", pairing.clone()).unwrap();
    watch.next().await.unwrap();
    drop(watch);
    let all = call(&commands, "pairings", json!({})).await;
    assert_eq!(all[0]["state"], "running");
    call(&commands, "pairing_cancel", pairing.clone()).await;
    let last = watched(&commands, &pairing).await.pop().unwrap();
    assert_eq!(last["code"], "cancelled");

    let mut standing = commands.stream("standing", json!({})).unwrap();
    let pairing = call(&commands, "pairing_start", json!({ "labelId": seen["labelId"] })).await;
    let running = async { while standing.next().await.unwrap()["running"] != 1 {} };
    tokio::time::timeout(PATIENCE, running).await.unwrap();
    tokio::time::timeout(PATIENCE, commands.end()).await.expect("it ends");
    assert_eq!(watched(&commands, &pairing).await.pop().unwrap()["code"], "cancelled");
}

#[tokio::test]
async fn what_there_is_not_has_a_code_each() {
    let folder = tempfile::tempdir().unwrap();
    let commands = Commands::new(host(folder.path()));
    let nobody = "00000000-0000-4000-8000-000000000000";
    for (name, args, code) in [
        ("no_such", json!({}), "command-unknown"),
        ("standing", json!({}), "command-unknown"),
        ("label_read", json!({}), "command-arguments"),
        ("label_read", json!({ "text": 7 }), "command-arguments"),
        ("label_read", json!({ "text": "x", "more": 1 }), "command-arguments"),
        ("label_read", json!({ "text": "" }), "label-empty"),
        ("label_read", json!({ "text": "lowtouch:invite#server=https://a.example&code=A" }), "label-is-invite"),
        ("label_read_picture", json!({ "base64": "%%%" }), "picture-unreadable"),
        ("label_from_code", json!({ "name": "a", "link": "somewhere" }), "link-unsupported"),
        ("label_from_code", json!({ "name": " ", "link": "http://192.168.4.1" }), "label-incomplete"),
        ("pairing_start", json!({ "labelId": nobody }), "label-forgotten"),
        ("pairing_cancel", json!({ "pairingId": nobody }), "pairing-forgotten"),
        ("journal_entry", json!({ "handoffId": nobody }), "journal-no-entry"),
        ("journal_tell", Value::Null, "api-token-missing"),
        ("account_use", json!({ "name": "nobody" }), "account-unknown"),
        ("invite_read", json!({ "text": "no invite" }), "invite-invalid"),
        ("setting_set", json!({ "key": "color", "values": ["red"] }), "settings-unknown-key"),
        ("setting_set", json!({ "key": "api", "values": ["http://a.example"] }), "api-not-https"),
    ] {
        assert_eq!(refused(&commands, name, args).await, code, "{name}");
    }
    let refused = |name: &str, args: Value| commands.stream(name, args).err().unwrap().error.code.as_str().to_owned();
    assert_eq!(refused("about", json!({})), "command-unknown");
    assert_eq!(refused("pairing_watch", json!({ "pairingId": nobody })), "pairing-forgotten");
    assert_eq!(refused("demo_start", json!({ "devices": 33 })), "command-arguments");
    assert_eq!(refused("sign_in", json!({ "way": "invite" })), "invite-invalid");
    let gateway = Commands::new(Host { kind: HostKind::Gateway, ..host(folder.path()) });
    let browser = gateway.stream("sign_in", json!({ "way": "browser", "server": "https://a.example" }));
    assert_eq!(browser.err().unwrap().error.code.as_str(), "browser-elsewhere");
}

#[tokio::test]
async fn settings_are_written_and_their_secret_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let commands = Commands::new(host(folder.path()));
    let set = call(&commands, "setting_set", json!({ "key": "proxy-user", "values": ["mia"] })).await;
    assert_eq!((&set["value"], &set["source"]["from"]), (&json!("mia"), &json!("file")));
    let set = call(&commands, "setting_set", json!({ "key": "proxy-password", "values": [PASSPHRASE] })).await;
    assert_eq!((&set["secret"], &set["isSet"]), (&json!(true), &json!(true)));
    std::fs::write(folder.path().join("lowtouch.toml"), "proxy-user = \"mia\"\ncolour = \"red\"\n").unwrap();
    let all = call(&commands, "settings", json!({})).await;
    assert!(!all.to_string().contains(PASSPHRASE));
    assert_eq!(all["problems"][0]["key"], "colour");
    call(&commands, "setting_unset", json!({ "key": "colour" })).await;
    call(&commands, "setting_unset", json!({ "key": "proxy-password" })).await;
    let all = call(&commands, "settings", json!({})).await;
    assert_eq!(all["problems"], json!([]));
    let password = all["settings"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&password["key"], &password["isSet"]), (&json!("proxy-password"), &json!(false)));
}

#[tokio::test]
async fn no_secret_comes_out_of_any_command() {
    let world = World::start().await;
    let mut config = world.device_config(SimLink::Http(any_port()));
    config.pop = Some(POP.to_owned().into());
    config.wifi = Some(Wifi { ssid: "site".into(), passphrase: PASSPHRASE.to_owned().into() });
    let device = world.device(config).await;
    let commands = commands(&world);
    let mut said = Vec::new();

    let seen = call(&commands, "label_read", json!({ "text": device.label() })).await;
    let wifi = json!({ "ssid": "site", "passphrase": PASSPHRASE });
    let args = json!({ "labelId": seen["labelId"], "link": device.address(), "wifi": wifi });
    let pairing = call(&commands, "pairing_start", args).await;
    said.extend(watched(&commands, &pairing).await);
    assert_eq!(said.last().unwrap()["event"], "finished");
    let handoff = handoff(&said);

    // Every call, with what makes it answer, or with the secrets where they do not belong.
    for command in TABLE {
        let args = match command.name {
            "label_read" => json!({ "text": device.label() }),
            "label_read_picture" | "invite_read_picture" => json!({ "base64": POP }),
            "label_from_code" => json!({ "name": "PROV_1", "pop": POP, "link": device.address() }),
            "wifi_networks" => json!({ "labelId": seen["labelId"], "link": device.address() }),
            "device_info" => json!({ "labelId": seen["labelId"], "link": device.address() }),
            "pairing_start" => json!({ "labelId": seen["labelId"], "wifi": { "ssid": "", "passphrase": PASSPHRASE } }),
            "pairing_cancel" | "pairing_watch" => pairing.clone(),
            "journal" => json!({ "limit": 500 }),
            "journal_entry" => json!({ "handoffId": handoff }),
            "order" | "order_download" => json!({ "id": handoff }),
            "invite_read" => json!({ "text": format!("lowtouch:invite#server=https://a.example&code={POP}") }),
            "setting_set" => json!({ "key": "proxy-password", "values": [PASSPHRASE] }),
            "setting_unset" => json!({ "key": "log" }),
            "account_use" | "account_sign_out" | "account_remove" => json!({ "name": "nobody" }),
            "sign_in" => json!({ "way": "invite", "invite": { "pop": POP } }),
            "demo_start" => json!({ "devices": POP }),
            _ => json!({}),
        };
        match command.kind {
            Kind::Call => said.push(match commands.call(command.name, args).await {
                Ok(answer) => answer,
                Err(error) => json!([serde_json::to_value(&error).unwrap(), format!("{error:?}")]),
            }),
            Kind::Stream => match commands.stream(command.name, args) {
                Ok(stream) => {
                    let some = stream.take_until(tokio::time::sleep(Duration::from_millis(500))).take(50);
                    said.extend(some.collect::<Vec<_>>().await);
                }
                Err(error) => said.push(json!([serde_json::to_value(&error).unwrap(), format!("{error:?}")])),
            },
        }
    }
    assert!(said.len() > TABLE.len());
    for value in &said {
        let text = value.to_string();
        for secret in [POP, PASSPHRASE, world.token.expose_secret()] {
            assert!(!text.contains(secret), "a secret is in {text}");
        }
    }
}

#[tokio::test]
async fn labels_are_kept_in_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let commands = Commands::new(host(folder.path()));
    let args = json!({ "name": "PROV_1", "pop": "abcd1234", "link": "http://127.0.0.1:9" });
    let first = call(&commands, "label_from_code", args.clone()).await;
    for _ in 0..1000 {
        call(&commands, "label_from_code", args.clone()).await;
    }
    let again = json!({ "labelId": first["labelId"] });
    assert_eq!(refused(&commands, "pairing_start", again).await, "label-forgotten");
}
