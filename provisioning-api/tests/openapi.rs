//! The description that is checked in is the one that the service gives.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::Api;

#[test]
fn the_checked_in_description_has_not_drifted() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let now = provisioning_api::openapi();
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(path, &now).unwrap();
    }
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        checked_in == now,
        "openapi.json has drifted: run this test with UPDATE_OPENAPI=1 and look at the difference"
    );
}

#[tokio::test]
async fn the_service_describes_itself_to_anybody() {
    let api = Api::start(vec![]).await;
    let served = api.send(reqwest::Method::GET, "/v1/openapi.json", None, None).await;
    assert_eq!(served.body, provisioning_api::openapi().into_bytes());
    let description: serde_json::Value = served.ok();
    assert_eq!(description["openapi"].as_str().unwrap().split('.').take(2).collect::<Vec<_>>(), ["3", "1"]);
    for path in ["allocation", "certificate", "symmetric-key", "outcome"] {
        assert!(description["paths"][format!("/v1/devices/{{registrationId}}/{path}")]["post"].is_object(), "{path}");
    }
}

/// Every answer must have words (OpenAPI 3.1, Response Object).
#[test]
fn every_answer_is_described() {
    let description: serde_json::Value = serde_json::from_str(&provisioning_api::openapi()).unwrap();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            for (status, answer) in operation["responses"].as_object().unwrap() {
                assert!(
                    answer["description"].as_str().is_some_and(|text| !text.is_empty()),
                    "{method} {path} {status}"
                );
            }
        }
    }
}

/// utoipa reads serde's attributes by itself and does not know them all.
#[test]
fn the_description_names_fields_as_they_are_on_the_wire() {
    let description: serde_json::Value = serde_json::from_str(&provisioning_api::openapi()).unwrap();
    let mut names = Vec::new();
    let ours = description["components"]["schemas"].as_object().unwrap().iter();
    // Those of the OAuth RFCs are spelled as the RFCs do.
    ours.filter(|(name, _)| !name.starts_with("Oauth")).for_each(|(_, schema)| collect(schema, &mut names));
    assert!(names.contains(&"assignedHub".to_owned()) && names.contains(&"handoffId".to_owned()));
    assert!(names.iter().all(|name| !name.contains('_')), "{names:?}");
}

fn collect(schema: &serde_json::Value, names: &mut Vec<String>) {
    match schema {
        serde_json::Value::Object(object) => {
            for (key, value) in object {
                if let ("properties", Some(properties)) = (key.as_str(), value.as_object()) {
                    names.extend(properties.keys().cloned());
                }
                collect(value, names);
            }
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| collect(value, names)),
        _ => {}
    }
}
