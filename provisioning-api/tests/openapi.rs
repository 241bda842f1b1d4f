//! The description that is checked in is the one that the service gives.

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
    assert!(checked_in == now, "openapi.json has drifted: run this test with UPDATE_OPENAPI=1 and look at the difference");
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
