//! The browser that a sign-in opens.

use lowtouch_installer::sign_in::Ask;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What a browser does with the page to open: the issuer sends it back with these parameters.
pub(crate) async fn come_back(ask: Ask, parameters: &[(&str, &str)]) -> String {
    let Ask::Open { url } = ask else { panic!("{ask:?}") };
    let query: std::collections::HashMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!((query["response_type"].as_str(), query["code_challenge_method"].as_str()), ("code", "S256"));
    assert!(query["code_challenge"].len() >= 43 && query["client_id"] == "lowtouch", "{query:?}");
    let mut back: url::Url = query["redirect_uri"].parse().unwrap();
    assert!(back.as_str().starts_with("http://127.0.0.1:"), "{back}");
    back.query_pairs_mut().append_pair("state", &query["state"]).extend_pairs(parameters);
    let mut browser = tokio::net::TcpStream::connect(("127.0.0.1", back.port().unwrap())).await.unwrap();
    let target = &back[url::Position::BeforePath..];
    let request = format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", back.port().unwrap());
    browser.write_all(request.as_bytes()).await.unwrap();
    let mut page = String::new();
    browser.read_to_string(&mut page).await.unwrap();
    page
}
