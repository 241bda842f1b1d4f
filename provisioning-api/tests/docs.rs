//! The page at `/docs`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::{Api, nobody};
use reqwest::Method;

#[tokio::test]
async fn the_description_can_be_read_as_a_page_that_fetches_nothing_from_elsewhere() {
    let api = Api::start(vec![nobody("one")]).await;
    let page = api.send(Method::GET, "/docs/", None, None).await;
    assert_eq!(page.status, 200);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    let html = String::from_utf8(page.body).unwrap();
    assert!(html.contains("swagger-ui") && !html.contains("http://") && !html.contains("https://"), "{html}");
    for file in html.split(['"', '\'']).filter(|part| part.ends_with(".js") || part.ends_with(".css")) {
        let path = format!("/docs/{}", file.trim_start_matches("./"));
        assert_eq!(api.send(Method::GET, &path, None, None).await.status, 200, "{path}");
    }
    let start = api.send(Method::GET, "/docs/swagger-initializer.js", None, None).await;
    assert!(String::from_utf8(start.body).unwrap().contains("/v1/openapi.json"));
    assert_eq!(api.send(Method::GET, "/docs/../api.db", None, None).await.status, 404);
}
