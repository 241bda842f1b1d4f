//! The worked exchange and the sizes in docs/dps-config.md are what the code says. `UPDATE_DOCS=1 cargo test -p
//! lowtouch-handoff --test dps_config_doc` writes them again.
// The lint spares test functions, not what they call.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod simulated;

use std::{fmt::Write as _, fs, path::Path};

use lowtouch_handoff::dps_config::{
    self, Config, Request, client, client::Call, client::Progress, device::RegistrationEvent,
};
use prost::Message as _;
use simulated::{Simulated, settings, symmetric, x509};

const HANDOFF_ID: [u8; 16] = *b"\x8f\x2b\x1c\x44\x01\x9d\x4e\x77\xa0\x10\x35\x5c\xee\x02\x6b\x91";

#[test]
fn the_worked_exchange_in_the_document_is_what_both_roles_say() {
    let mut text = String::new();
    let mut device = Simulated::new(settings());
    let config = symmetric("0ne00ABCDEF");
    let (stage, digest) = client::stage(&HANDOFF_ID, 600, &config, None);
    exchange(&mut text, &mut device, "Identify, without a CSR", &client::identify(false));
    let encoded = config.encode_to_vec();
    writeln!(text, "The `Config`, {} bytes, and its SHA-256:\n\n{}", encoded.len(), block(&encoded)).unwrap();
    writeln!(text, "{}", block(&digest)).unwrap();
    exchange(&mut text, &mut device, "Stage, with a lease of 600 s", &stage);
    exchange(&mut text, &mut device, "Commit", &client::commit(&HANDOFF_ID, &digest));
    exchange(&mut text, &mut device, "Status, before the device has reached the network", &client::status());
    device.tell(RegistrationEvent::Registering).unwrap();
    device.assign("contoso-hub-7.azure-devices.net").unwrap();
    exchange(&mut text, &mut device, "Status, at the end", &client::status());
    let other = client::abort(&[0; 16]);
    exchange(&mut text, &mut device, "A refusal: abort of a hand-off that the device does not know", &other);
    let signed =
        dps_config::stage_signature_message("pump-0001", &HANDOFF_ID, &[7; 32], &config, &digest, 1_893_456_000);
    writeln!(
        text,
        "What an owner would have signed for this stage, with `signature_expires` 1893456000:\n\n{}",
        block(&signed)
    )
    .unwrap();
    in_document("exchange", text.trim_end());
}

#[test]
fn the_sizes_in_the_document_are_what_the_code_needs() {
    let mut text = String::from("| what | X.509, chain of 1.2 kB | symmetric key of 32 bytes |\n|---|---|---|\n");
    let sizes = [x509("0ne00ABCDEF"), symmetric("0ne00ABCDEF")].map(|config| sizes_of(&config));
    for (row, what) in [
        "encoded `Config`, bytes",
        "encoded stage `Request`, bytes",
        "exchanges for stage over BLE (values of 512 bytes, 16 of them for the session)",
        "record in flash, one configuration in force, bytes",
        "record in flash, another one staged beside it, bytes",
        "record in flash during a trial, bytes",
        "writes to flash per hand-off, from stage to assigned",
    ]
    .into_iter()
    .enumerate()
    {
        writeln!(text, "| {what} | {} | {} |", sizes[0][row], sizes[1][row]).unwrap();
    }
    in_document("sizes", text.trim_end());
}

fn sizes_of(config: &Config) -> [usize; 7] {
    let mut device = Simulated::new(settings());
    let (stage, digest) = client::stage(&HANDOFF_ID, 600, config, None);
    let flash = |device: &Simulated| device.flash.as_ref().unwrap().len();
    device.ask(&stage).unwrap();
    let exchanges = device.exchanges;
    device.ask(&client::commit(&HANDOFF_ID, &digest)).unwrap();
    device.assign("contoso-hub-7.azure-devices.net").unwrap();
    let (writes, in_force) = (device.writes, flash(&device));
    let second = Config { id_scope: "0ne00FEDCBA".to_owned(), ..config.clone() };
    let (stage_second, digest) = client::stage(&[2; 16], 600, &second, None);
    device.ask(&stage_second).unwrap();
    let staged = flash(&device);
    device.ask(&client::commit(&[2; 16], &digest)).unwrap();
    [config.encoded_len(), stage.encoded_len(), exchanges, in_force, staged, flash(&device), writes]
}

fn exchange(text: &mut String, device: &mut Simulated, title: &str, request: &Request) {
    let mut call = Call::new(request, device.max_plain, 1);
    let message = call.next().unwrap();
    let reply = device.exchange(&message).unwrap();
    assert!(matches!(call.handle(&reply), Ok(Progress::Done(_))), "one exchange is enough here");
    writeln!(text, "**{title}.** App to device, then device to app:\n\n{}\n{}", block(&message), block(&reply))
        .unwrap();
}

fn block(bytes: &[u8]) -> String {
    let mut text = String::from("```text\n");
    for line in bytes.chunks(32) {
        writeln!(text, "{}", hex::encode(line)).unwrap();
    }
    text + "```\n"
}

/// Compares, or writes, what stands between `<!-- NAME: … -->` and `<!-- end of NAME -->`.
fn in_document(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/dps-config.md");
    let document = fs::read_to_string(&path).unwrap();
    let (before, rest) = document.split_once(&format!("<!-- {name}: ")).expect("the begin mark");
    let (mark, rest) = rest.split_once("-->\n").unwrap();
    let (stands, after) = rest.split_once(&format!("<!-- end of {name} -->")).expect("the end mark");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{before}<!-- {name}: {mark}-->\n{text}\n<!-- end of {name} -->{after}")).unwrap();
    } else {
        assert!(stands.trim_end() == text, "docs/dps-config.md ({name}) has drifted: run with UPDATE_DOCS=1");
    }
}
