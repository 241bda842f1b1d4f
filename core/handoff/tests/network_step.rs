//! prov-config, prov-ctrl and prov-scan, held to what ESP-IDF's own code was recorded saying.
// The lint spares test functions, not what they call.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use lowtouch_handoff::{
    prov_config::{
        self, AuthMode, FailReason, ReplyError, Status, WifiConnected, WifiCredentials, WifiCredentialsError,
        client::{self, WifiStatus},
        device::{Effect, Station, StationEvent, Step},
    },
    prov_scan::{
        AccessPoint,
        client::{self as scan_client, Scan, ScanStep},
        device::{self as scan_device, ScanOutcome, Scanner},
    },
    wire::dps_config::Network,
};
use proptest::prelude::*;

fn home() -> WifiCredentials {
    WifiCredentials::new(b"HomeNet", b"secret pass")
}

fn connected() -> WifiConnected {
    WifiConnected {
        ip4_addr: "192.168.7.42".to_owned(),
        auth_mode: AuthMode::Wpa2Psk.into(),
        ssid: b"HomeNet".to_vec(),
        bssid: vec![2, 0x11, 0x22, 0x33, 0x44, 0x55],
        channel: 6,
    }
}

/// What the recorded device heard.
fn heard() -> Vec<AccessPoint> {
    let access_point = |ssid: &str, channel, rssi, last, auth: AuthMode| AccessPoint {
        ssid: ssid.as_bytes().to_vec(),
        channel,
        rssi,
        bssid: vec![2, 0, 0, 0, 0, last],
        auth: auth.into(),
    };
    vec![
        access_point("HomeNet", 1, -41, 1, AuthMode::Wpa2Psk),
        access_point("Guest", 6, -63, 2, AuthMode::Open),
        access_point("caf\u{e9}-\u{7f51}", 11, -70, 3, AuthMode::WpaWpa2Psk),
        access_point("", 11, -77, 4, AuthMode::Wpa2Psk),
        access_point("exactly-32-bytes-long-ssid-00001", 13, -88, 5, AuthMode::Wpa3Psk),
        access_point("WPA23", 36, -90, 6, AuthMode::Wpa2Wpa3Psk),
    ]
}

/// Every recorded (endpoint, request, response) in plaintext.
fn recorded() -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let mut plain = Vec::new();
    for version in ["v5.4", "v5.5.5"] {
        let path = format!("{}/tests/vectors/protocomm-esp-idf-{version}.json", env!("CARGO_MANIFEST_DIR"));
        let vectors: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for session in vectors["sessions"].as_array().unwrap() {
            for exchange in session["log"].as_array().unwrap() {
                let text = |key: &str| exchange[key].as_str().map(|text| hex::decode(text).unwrap());
                if let (Some(request), Some(response)) = (text("plain_req"), text("plain_resp")) {
                    plain.push((exchange["ep"].as_str().unwrap().to_owned(), request, response));
                }
            }
        }
    }
    plain
}

#[test]
fn every_recorded_network_exchange_is_what_both_roles_say_byte_for_byte() {
    let mut seen = 0;
    let mut station = Station::default();
    let mut scanner = Scanner::default();
    for (endpoint, request, response) in recorded() {
        let (ours, answer) = match endpoint.as_str() {
            "prov-config" => {
                // Each recorded session starts with a set.
                if request[..2] == [0x08, 0x02] {
                    station = Station::default();
                }
                let ours = match request[..2] {
                    [0x08, 0x02] => client::set(&home()).unwrap(),
                    [0x08, 0x04] => client::apply(),
                    _ => client::get_status(),
                };
                let answer = match station.handle(&request) {
                    Step::Reply(reply) => reply,
                    Step::Perform(Effect::Connect(wanted)) => {
                        assert_eq!(wanted.ssid, b"HomeNet");
                        station.resume(true).unwrap()
                    }
                    step => panic!("{step:?}"),
                };
                // The recorded device was connected after it had said once that it was connecting.
                if request == [0x52, 0x00] {
                    station.event(StationEvent::Connected(connected()));
                }
                (ours, answer)
            }
            "prov-scan" => {
                let ours = match request[..2] {
                    [0x08, 0x02] => scan_client::status(),
                    [0x08, 0x04] => scan_client::results(0, 6),
                    _ => scan_client::start(true, false, 0, 120),
                };
                let answer = match scanner.handle(&request, 4096) {
                    scan_device::Step::Reply(reply) => reply,
                    scan_device::Step::Perform(_) => scanner.resume(ScanOutcome::Heard(heard())).unwrap(),
                    step => panic!("{step:?}"),
                };
                (ours, answer)
            }
            _ => continue,
        };
        assert_eq!(hex::encode(ours), hex::encode(&request), "{endpoint} request");
        assert_eq!(hex::encode(answer), hex::encode(&response), "{endpoint} response");
        seen += 1;
    }
    assert_eq!(seen, 96);
}

#[test]
fn the_recorded_answers_are_understood() {
    let reply = |text: &str| hex::decode(text).unwrap();
    assert_eq!(client::parse_set(&reply("08036a00")), Ok(()));
    assert_eq!(client::parse_apply(&reply("08057a00")), Ok(()));
    assert_eq!(client::parse_status(&reply("08015a021001")), Ok(WifiStatus::Connecting { attempts_remaining: None }));
    for (endpoint, request, response) in recorded() {
        match (endpoint.as_str(), request.as_slice()) {
            ("prov-scan", [0x52, ..]) => assert_eq!(scan_client::parse_start(&response), Ok(())),
            ("prov-scan", [0x08, 0x02]) => assert_eq!(scan_client::parse_status(&response).unwrap().count, 6),
            ("prov-scan", _) => assert_eq!(scan_client::parse_results(&response), Ok(heard())),
            ("prov-config", [0x52, 0x00]) if response.len() > 6 => {
                assert_eq!(client::parse_status(&response), Ok(WifiStatus::Connected(connected())));
            }
            _ => {}
        }
    }
}

#[test]
fn firmware_that_was_not_told_to_connect_is_not_taken_for_connected() {
    assert_eq!(client::parse_status(&[0x08, 0x01, 0x5a, 0x00]), Ok(WifiStatus::Disconnected));
}

#[test]
fn a_wrong_password_is_cleared_and_tried_again_without_a_factory_reset() {
    let mut station = Station::default();
    assert_eq!(station.network(), Network::Needed);
    let ask = |station: &mut Station, request: &[u8]| match station.handle(request) {
        Step::Reply(reply) => reply,
        Step::Perform(_) => station.resume(true).unwrap(),
        Step::Fail => panic!("the handler failed"),
    };
    let clear = |station: &mut Station, request: &[u8]| match station.handle_ctrl(request) {
        Step::Reply(reply) => reply,
        Step::Perform(_) => station.resume(true).unwrap(),
        Step::Fail => panic!("the handler failed"),
    };
    let refused = Err(ReplyError::Refused(Status::InternalError));
    assert_eq!(client::parse_apply(&ask(&mut station, &client::apply())), refused, "nothing is set");
    assert_eq!(client::parse_ctrl(&clear(&mut station, &client::reset())), refused, "nothing has failed");
    for reason in [FailReason::Auth, FailReason::NotFound] {
        assert_eq!(client::parse_set(&ask(&mut station, &client::set(&home()).unwrap())), Ok(()));
        assert_eq!(client::parse_apply(&ask(&mut station, &client::apply())), Ok(()));
        station.event(StationEvent::Connecting { attempts_remaining: Some(2) });
        assert_eq!(
            client::parse_status(&ask(&mut station, &client::get_status())),
            Ok(WifiStatus::Connecting { attempts_remaining: Some(2) })
        );
        station.event(StationEvent::Failed(reason));
        assert_eq!(client::parse_status(&ask(&mut station, &client::get_status())), Ok(WifiStatus::Failed(reason)));
        assert_eq!(station.network(), Network::Needed);
        assert_eq!(client::parse_apply(&ask(&mut station, &client::apply())), refused, "first it must be cleared");
        assert_eq!(client::parse_ctrl(&clear(&mut station, &client::reset())), Ok(()));
        assert_eq!(client::parse_status(&ask(&mut station, &client::get_status())), Ok(WifiStatus::Disconnected));
    }
    ask(&mut station, &client::set(&home()).unwrap());
    ask(&mut station, &client::apply());
    station.event(StationEvent::Connected(connected()));
    assert_eq!(station.network(), Network::Connected);
    assert_eq!(client::parse_ctrl(&clear(&mut station, &client::reset())), refused, "it is connected");
    assert_eq!(client::parse_ctrl(&clear(&mut station, &client::reprovision())), Ok(()));
    assert_eq!(station.network(), Network::Needed);
}

#[test]
fn a_connection_that_comes_before_its_apply_is_answered_is_not_forgotten() {
    let mut station = Station::default();
    station.handle(&client::set(&home()).unwrap());
    assert!(matches!(station.handle(&client::apply()), Step::Perform(_)));
    station.event(StationEvent::Connected(connected()));
    station.resume(true).unwrap();
    assert_eq!(station.network(), Network::Connected);
}

#[test]
fn lengths_outside_the_standard_are_refused_by_both_sides() {
    let set =
        |ssid: usize, passphrase: usize| client::set(&WifiCredentials::new(&vec![b'a'; ssid], &vec![b'b'; passphrase]));
    assert_eq!(set(0, 8), Err(WifiCredentialsError::Ssid));
    assert_eq!(set(33, 8), Err(WifiCredentialsError::Ssid));
    assert_eq!(set(32, 64), Err(WifiCredentialsError::Passphrase));
    assert!(set(32, 63).is_ok() && set(1, 0).is_ok());
    for (ssid, passphrase, bssid, ok) in
        [(32, 63, 6, true), (1, 0, 0, true), (33, 8, 0, false), (0, 8, 0, false), (8, 64, 0, false), (8, 8, 5, false)]
    {
        // SetWifi by hand, because our own client would not say it.
        let mut body = vec![0x0a, ssid];
        body.extend(vec![b'a'; ssid.into()]);
        body.extend([0x12, passphrase]);
        body.extend(vec![b'b'; passphrase.into()]);
        body.extend([0x1a, bssid]);
        body.extend(vec![1; bssid.into()]);
        let mut request = vec![0x08, 0x02, 0x62, u8::try_from(body.len()).unwrap()];
        request.extend(body);
        let Step::Reply(reply) = Station::default().handle(&request) else { panic!() };
        let expected = if ok { Ok(()) } else { Err(ReplyError::Refused(Status::InvalidArgument)) };
        assert_eq!(client::parse_set(&reply), expected, "{ssid} {passphrase} {bssid}");
    }
}

#[test]
fn a_whole_scan_never_asks_past_the_count_and_fits_the_link() {
    for max_plain in [64, 200, 496, 4096] {
        let mut scanner = Scanner::default();
        let mut scan = Scan::new(max_plain);
        let found = loop {
            let request = scan.next().unwrap();
            let reply = match scanner.handle(&request, max_plain) {
                scan_device::Step::Reply(reply) => reply,
                scan_device::Step::Perform(_) => scanner.resume(ScanOutcome::Heard(heard())).unwrap(),
                scan_device::Step::Fail => panic!(),
            };
            assert!(reply.len() <= max_plain, "{} of {max_plain}", reply.len());
            match scan.handle(&reply).expect("never past the count") {
                ScanStep::More => {}
                ScanStep::Wait => panic!("it was blocking"),
                ScanStep::Done(found) => break found,
            }
        };
        assert_eq!(found, heard());
    }
}

#[test]
fn a_scan_that_is_only_begun_is_waited_for() {
    let mut scanner = Scanner::default();
    let mut scan = Scan::new(496);
    scanner.handle(&scan.next().unwrap(), 496);
    assert_eq!(scan.handle(&scanner.resume(ScanOutcome::Begun).unwrap()), Ok(ScanStep::More));
    let ask = |scanner: &mut Scanner, request: &[u8]| match scanner.handle(request, 496) {
        scan_device::Step::Reply(reply) => reply,
        step => panic!("{step:?}"),
    };
    let reply = ask(&mut scanner, &scan.next().unwrap());
    assert_eq!(scan.handle(&reply), Ok(ScanStep::Wait));
    scanner.finished(Vec::new());
    let reply = ask(&mut scanner, &scan.next().unwrap());
    assert_eq!(scan.handle(&reply), Ok(ScanStep::Done(Vec::new())));
}

/// Answers of `prov-scan` by hand, because our own device role would not lie.
fn scan_answer(msg: u8, field: u8, body: &[u8]) -> Vec<u8> {
    let mut answer = vec![0x08, msg, field, u8::try_from(body.len()).unwrap()];
    answer.extend(body);
    answer
}

fn scan_announcing(count: &[u8]) -> Scan {
    let mut scan = Scan::new(496);
    scan.next();
    assert_eq!(scan.handle(&scan_answer(1, 0x5a, &[])), Ok(ScanStep::More));
    scan.next();
    let status = [&[0x08, 1, 0x10], count].concat();
    let step = scan.handle(&scan_answer(3, 0x6a, &status)).unwrap();
    assert_eq!(step == ScanStep::Done(Vec::new()), count == [0], "{step:?}");
    scan
}

#[test]
fn a_count_of_nothing_ends_the_scan_without_another_request() {
    assert_eq!(scan_announcing(&[0]).next(), None);
}

#[test]
fn a_count_that_lies_neither_keeps_the_scan_going_nor_loses_what_was_delivered() {
    // Four thousand million are announced, one is delivered, then none.
    let mut scan = scan_announcing(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(scan.next(), Some(scan_client::results(0, 4)));
    let shed = [0x0a, 6, 0x0a, 4, b'S', b'h', b'e', b'd'];
    assert_eq!(scan.handle(&scan_answer(5, 0x7a, &shed)), Ok(ScanStep::More));
    assert_eq!(scan.next(), Some(scan_client::results(1, 4)));
    let Ok(ScanStep::Done(found)) = scan.handle(&scan_answer(5, 0x7a, &[])) else { panic!() };
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].ssid, b"Shed");
    // More than asked for is no answer to this request.
    let mut scan = scan_announcing(&[1]);
    assert_eq!(scan.next(), Some(scan_client::results(0, 1)));
    assert_eq!(scan.handle(&scan_answer(5, 0x7a, &shed.repeat(2))), Err(ReplyError::WrongMessage));
}

#[test]
fn a_device_that_delivers_for_ever_is_left_after_the_most_that_a_device_can_hear() {
    let mut scan = scan_announcing(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
    let four = [0x0a, 6, 0x0a, 4, b'S', b'h', b'e', b'd'].repeat(4);
    let mut pages = 0;
    loop {
        scan.next().unwrap();
        pages += 1;
        match scan.handle(&scan_answer(5, 0x7a, &four)).unwrap() {
            ScanStep::Done(found) => break assert_eq!(found.len(), 256),
            step => assert_eq!(step, ScanStep::More),
        }
    }
    assert_eq!(pages, 64);
}

#[test]
fn asking_past_the_count_is_refused_and_harms_nothing() {
    let mut scanner = Scanner::default();
    scanner.finished(heard());
    for (start, count) in [(6, 1), (0, 7), (u32::MAX, u32::MAX), (5, 2)] {
        let scan_device::Step::Reply(reply) = scanner.handle(&scan_client::results(start, count), 496) else {
            panic!()
        };
        assert_eq!(scan_client::parse_results(&reply), Err(ReplyError::Refused(Status::InternalError)));
    }
}

#[test]
fn the_password_is_not_printed() {
    let printed = format!("{:?}", home());
    assert!(printed.contains("HomeNet") && !printed.contains("secret"), "{printed}");
    assert_eq!(prov_config::ENDPOINT, "prov-config");
}

proptest! {
    #[test]
    fn no_bytes_make_either_role_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut station = Station::default();
        let mut scanner = Scanner::default();
        scanner.finished(heard());
        station.handle(&bytes);
        station.handle_ctrl(&bytes);
        scanner.handle(&bytes, 496);
        let _ = (client::parse_set(&bytes), client::parse_apply(&bytes), client::parse_status(&bytes));
        let _ = (client::parse_ctrl(&bytes), scan_client::parse_start(&bytes));
        let _ = (scan_client::parse_status(&bytes), scan_client::parse_results(&bytes));
        let mut scan = Scan::new(496);
        scan.next();
        let _ = scan.handle(&bytes);
    }
}
