//! The fixture itself.
#![allow(clippy::unwrap_used)]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oidc_fixture::{Options, Provider};
use serde_json::{Value, json};

fn part(token: &str, index: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

#[tokio::test]
#[ignore = "needs npm's packages: cargo xtask test oidc"]
async fn a_person_signs_in_and_the_key_is_rotated() {
    let options =
        Options { claims: [("ines".to_owned(), json!({ "roles": ["installer"] }))].into(), ..Options::default() };
    let mut provider = Provider::start(options).await;
    let answer = provider.tokens("ines").await;
    let token = answer["access_token"].as_str().unwrap();
    let claims = part(token, 1);
    assert_eq!(claims["iss"], provider.issuer);
    assert_eq!(claims["aud"], "lowtouch-api");
    assert_eq!(claims["sub"], "ines");
    assert_eq!(claims["roles"][0], "installer");
    assert!(answer["refresh_token"].is_string());

    let kid = provider.rotate_key().await;
    assert_ne!(part(token, 0)["kid"], kid);
    let own = provider.sign(&json!({}), &json!({ "iss": "https://elsewhere.example" })).await;
    assert_eq!(part(&own, 0)["kid"], kid);
    assert_eq!(part(&own, 1)["iss"], "https://elsewhere.example");
    assert_eq!(part(provider.tokens("anybody").await["access_token"].as_str().unwrap(), 0)["kid"], kid);
}
