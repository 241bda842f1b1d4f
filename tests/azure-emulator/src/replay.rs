//! Replays every request that Microsoft's Node SDKs made when `vectors/azure-node-sdk.jsonl` was recorded.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::app::App;
use crate::certificates::{ShownCertificates, enrolled_certificate};
use crate::config::{Clock, Config, Hub};
use crate::device_identity::SigningCa;
use crate::enrollment::{Enrollment, Kind};
use crate::faults::Faults;
use crate::issuance::Issuance;
use crate::tls::Peer;

/// Shortly before the recorded tokens expire.
const RECORDED_AT: i64 = 1_795_219_000;

fn app() -> Arc<App> {
    let mut config = Config::new("unused");
    config.id_scope = "0ne00000001".into();
    config.hubs = vec![Hub::new("hub-1"), Hub::new("hub-2")];
    config.clock = Clock::from_fn(|| Timestamp::from_second(RECORDED_AT).unwrap());
    Arc::new(App::new(config, vec![9; 64], Issuance::new(Vec::new()).unwrap(), Arc::new(Faults::default())))
}

fn put(app: &App, kind: Kind, id: &str, attestation: Value) {
    let document = json!({"attestation": attestation});
    let enrollment = Enrollment::from_document(kind, id, document, None, &[], app.clock.now()).unwrap();
    app.state.lock().enrollments_mut(kind).insert(id.to_owned(), enrollment);
}

fn recorded() -> Vec<Value> {
    include_str!("../vectors/azure-node-sdk.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the recorded server made up (ETags, operation IDs, continuation tokens) → what we made up.
#[derive(Default)]
struct Dictionary(HashMap<String, String>);

impl Dictionary {
    fn learn(&mut self, recorded: &Value, ours: &Value) {
        for name in ["etag", "operationId"] {
            if let (Some(Value::String(recorded)), Some(Value::String(ours))) = (recorded.get(name), ours.get(name)) {
                self.0.insert(recorded.clone(), ours.clone());
                self.0.insert(recorded.replace('"', "\\\""), ours.replace('"', "\\\""));
            }
        }
    }

    fn translate(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (recorded, ours)| text.replace(recorded, ours))
    }
}

async fn play(
    router: &Router,
    dictionary: &mut Dictionary,
    exchange: &Value,
    peer: Peer,
) -> (StatusCode, HeaderMap, Value) {
    let request = &exchange["request"];
    let line = dictionary.translate(request["line"].as_str().unwrap());
    let mut words = line.split(' ');
    let mut builder = Request::builder().method(words.next().unwrap()).uri(words.next().unwrap()).extension(peer);
    for header in request["headers"].as_array().unwrap() {
        let (name, value) = (header[0].as_str().unwrap(), header[1].as_str().unwrap());
        let value = match name.to_ascii_lowercase().as_str() {
            "content-length" => continue,
            // Alone in its header, so that the recorded "2" is not looked for in other texts.
            "x-ms-continuation" => dictionary.0.get(&format!("continuation {value}")).unwrap().clone(),
            _ => dictionary.translate(value),
        };
        builder = builder.header(name, value);
    }
    let body = dictionary.translate(request["body"].as_str().unwrap());
    let response: Response<Body> = router.clone().oneshot(builder.body(Body::from(body)).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    let answer = &exchange["response"];
    dictionary.learn(&answer["body"], &body);
    if let (Some(Value::String(recorded)), Some(ours)) =
        (answer["headers"].get("x-ms-continuation"), parts.headers.get("x-ms-continuation"))
    {
        dictionary.0.insert(format!("continuation {recorded}"), ours.to_str().unwrap().to_owned());
    }
    (parts.status, parts.headers, body)
}

/// Our answer has everything that the recorded one has; of what a server makes up itself, only the presence counts.
fn assert_covers(ours: &Value, recorded: &Value, at: &str) {
    match (ours, recorded) {
        (Value::Object(ours), Value::Object(recorded)) => {
            for (name, value) in recorded {
                let at = format!("{at}.{name}");
                // The recording server echoed the payload and called every attestation x509; DPS does neither.
                if ["payload", "x509"].contains(&name.as_str()) {
                    continue;
                }
                let ours = ours.get(name).unwrap_or_else(|| panic!("{at} is missing"));
                let made_up = [
                    "etag",
                    "operationId",
                    "trackingId",
                    "timestampUtc",
                    "message",
                    "createdDateTimeUtc",
                    "lastUpdatedDateTimeUtc",
                    "primaryKey",
                    "secondaryKey",
                ];
                if made_up.contains(&name.as_str()) {
                    assert!(ours.is_string(), "{at}");
                } else {
                    assert_covers(ours, value, &at);
                }
            }
        }
        (Value::Array(ours), Value::Array(recorded)) => {
            assert_eq!(ours.len(), recorded.len(), "{at}");
            for (n, (ours, recorded)) in ours.iter().zip(recorded).enumerate() {
                assert_covers(ours, recorded, &format!("{at}[{n}]"));
            }
        }
        _ => assert_eq!(ours, recorded, "{at}"),
    }
}

fn assert_answers(exchange: &Value, (status, headers, body): &(StatusCode, HeaderMap, Value)) {
    let (line, answer) = (exchange["request"]["line"].as_str().unwrap(), &exchange["response"]);
    assert_eq!(u64::from(status.as_u16()), answer["status"].as_u64().unwrap(), "{line}: {body}");
    for (name, value) in answer["headers"].as_object().unwrap() {
        let ours = headers.get(name).unwrap_or_else(|| panic!("{line}: no header {name}"));
        if name != "x-ms-continuation" {
            assert_eq!(ours.to_str().unwrap(), value.as_str().unwrap(), "{line}: {name}");
        }
    }
    assert_covers(body, &answer["body"], line);
}

#[tokio::test]
async fn every_recorded_request_of_the_node_device_sdk_is_answered_as_recorded() {
    let app = app();
    put(
        &app,
        Kind::Individual,
        "dev-1",
        json!({"type": "symmetricKey", "symmetricKey": {"primaryKey": STANDARD.encode([7; 64])}}),
    );
    // The certificates must be valid at the recorded time, whenever this test runs.
    let long_valid = |params: &mut rcgen::CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    };
    let ca = SigningCa::new_with("group", long_valid).unwrap();
    let signing = json!({"signingCertificates": {"primary": {"certificate": ca.certificate_pem()}}});
    // Everything gets hub-1, as in the recording.
    put(&app, Kind::Group, "x509", json!({"type": "x509", "x509": signing}));
    let only_hub_1 = |enrollment: &mut Enrollment| enrollment.allocation.hubs = vec!["hub-1.azure-devices.net".into()];
    app.state.lock().individuals.values_mut().for_each(only_hub_1);
    app.state.lock().groups.values_mut().for_each(only_hub_1);
    let device = ca.device_with("dev-x509-1", long_valid).unwrap();
    let leaf = enrolled_certificate(&device.chain_pem).unwrap();

    let router = Arc::clone(&app).router();
    let mut dictionary = Dictionary::default();
    let mut played = 0;
    for exchange in recorded().iter().take(6) {
        let shown = if exchange["request"]["client_cert_subject"].is_null() { Vec::new() } else { vec![leaf.clone()] };
        let peer = Peer::with_certificates(ShownCertificates(shown));
        let answer = play(&router, &mut dictionary, exchange, peer).await;
        assert_answers(exchange, &answer);
        played += 1;
    }
    assert_eq!(played, 6);
    assert_eq!(app.state.lock().hub_devices().len(), 2);
}

#[tokio::test]
async fn every_recorded_request_of_the_node_service_sdk_is_answered_as_recorded() {
    let app = app();
    let router = Arc::clone(&app).router();
    let mut dictionary = Dictionary::default();
    let exchanges = recorded();
    let mut played = 0;
    for exchange in exchanges.iter().skip(6) {
        if exchange["request"]["line"].as_str().unwrap().starts_with("POST /registrations/grp-1/query") {
            // The recording server had two registrations by now.
            let mut state = app.state.lock();
            let group = state.groups["grp-1"].clone();
            for registration_id in ["dev-1", "dev-x509-1"] {
                let who = crate::state::Registering {
                    registration_id,
                    enrollment: &group,
                    kind: Kind::Group,
                    attestation: "symmetricKey",
                    hub_key: None,
                    issued: Vec::new(),
                };
                let operation_id = state.register(&who, &app.hubs, 0, None, app.clock.now());
                state.poll(registration_id, &operation_id, app.clock.now());
            }
        }
        let answer = play(&router, &mut dictionary, exchange, Peer::default()).await;
        assert_answers(exchange, &answer);
        played += 1;
    }
    assert_eq!(played, 22);
}

#[tokio::test]
async fn every_recorded_token_is_refused_once_it_has_expired_and_when_its_signature_is_changed() {
    for (tamper, at) in [(false, 1_795_300_000), (true, RECORDED_AT)] {
        let mut config = Config::new("unused");
        config.id_scope = "0ne00000001".into();
        config.clock = Clock::from_fn(move || Timestamp::from_second(at).unwrap());
        let app =
            Arc::new(App::new(config, vec![9; 64], Issuance::new(Vec::new()).unwrap(), Arc::new(Faults::default())));
        put(
            &app,
            Kind::Individual,
            "dev-1",
            json!({"type": "symmetricKey", "symmetricKey": {"primaryKey": STANDARD.encode([7; 64])}}),
        );
        let router = Arc::clone(&app).router();
        for mut exchange in recorded() {
            if exchange["request"]["sas"].is_null() {
                continue;
            }
            if tamper {
                let text = exchange["request"]["headers"].to_string().replace("&se=179521", "&se=179522");
                exchange["request"]["headers"] = serde_json::from_str(&text).unwrap();
            }
            let mut dictionary = Dictionary::default();
            for token in ["2", "4"] {
                dictionary.0.insert(format!("continuation {token}"), "x".into());
            }
            let (status, _, body) = play(&router, &mut dictionary, &exchange, Peer::default()).await;
            assert_eq!(
                (status, &body["errorCode"]),
                (StatusCode::UNAUTHORIZED, &json!(401_002)),
                "{}",
                exchange["request"]["line"]
            );
        }
    }
}
