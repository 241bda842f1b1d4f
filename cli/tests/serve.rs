//! The gateway, over real TLS, as a browser and as somebody who is none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod gateway;

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use gateway::{Gateway, builder, cookie};
use reqwest::header;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn a_code_lets_one_browser_in_once_and_signing_out_ends_that() {
    let mut gateway = Gateway::start();
    let (status, error) = gateway.call("", "about", &json!({})).await;
    assert_eq!((status, error["code"].as_str()), (StatusCode::UNAUTHORIZED, Some("gateway-session-missing")));
    let stream = gateway.post("/api/stream/standing", &json!({})).send().await.unwrap();
    assert_eq!(stream.status(), StatusCode::UNAUTHORIZED);

    let answer = gateway.sign_in(&gateway.code).await;
    let set = cookie(answer.headers());
    for attribute in ["__Host-lowtouch=", "; Path=/;", "; Secure", "; HttpOnly", "; SameSite=Strict"] {
        assert!(set.contains(attribute), "{set}");
    }
    assert!(!set.to_lowercase().contains("domain"), "{set}");
    let session = set.split(';').next().unwrap().to_owned();
    assert_eq!(gateway.line("signed-in")["from"], "127.0.0.1");

    let again = gateway.sign_in(&gateway.code).await;
    assert_eq!(again.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(again.json::<Value>().await.unwrap()["code"], "gateway-code-wrong");

    let (status, about) = gateway.call(&session, "about", &json!({})).await;
    assert_eq!((status, about["host"].as_str()), (StatusCode::OK, Some("gateway")));

    // Whoever signs out ends the streams of that session.
    let request = gateway.post("/api/stream/standing", &json!({})).header(header::COOKIE, &session);
    let mut stream = request.send().await.unwrap();
    assert_eq!(stream.headers()[header::CONTENT_TYPE], "text/event-stream");
    assert!(stream.chunk().await.unwrap().unwrap().starts_with(b"data: {"));
    let out = gateway.post("/api/session/end", &json!({})).header(header::COOKIE, &session).send().await.unwrap();
    assert!(cookie(out.headers()).contains("Max-Age=0"));
    while stream.chunk().await.unwrap().is_some() {}
    assert_eq!(gateway.call(&session, "about", &json!({})).await.0, StatusCode::UNAUTHORIZED);

    // Enter shows another code.
    gateway.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    let code = gateway.line("code")["code"].as_str().unwrap().to_owned();
    assert_ne!(code, gateway.code);
    assert_eq!(gateway.sign_in(&code).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn wrong_codes_are_slowed_down() {
    let gateway = Gateway::start();
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let answer = gateway.sign_in("0000-0000").await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert!(answer.headers().contains_key(header::RETRY_AFTER));
            let error: Value = answer.json().await.unwrap();
            assert_eq!(error["code"], "gateway-slowed-down");
            assert!(error["retryAfterS"].as_u64().unwrap() >= 1);
            statuses.push(StatusCode::TOO_MANY_REQUESTS);
        } else {
            statuses.push(answer.status());
        }
    }
    assert_eq!(statuses[..3], [StatusCode::UNAUTHORIZED; 3]);
    assert!(statuses.contains(&StatusCode::TOO_MANY_REQUESTS), "{statuses:?}");
    // The right one waits too.
    assert_eq!(gateway.sign_in(&gateway.code).await.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn foreign_names_and_foreign_pages_are_refused() {
    let gateway = Gateway::start();
    let session = gateway.signed_in().await;
    let foreign = gateway.client.get(&gateway.url).header(header::HOST, "evil.example").send().await.unwrap();
    assert_eq!(foreign.status(), StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(foreign.json::<Value>().await.unwrap()["code"], "gateway-foreign");

    let about = |origin: Option<&str>| {
        let url = format!("{}/api/call/about", gateway.url);
        let request = gateway.client.post(url).header(header::COOKIE, &session).json(&json!({}));
        origin.map_or_else(
            || request.try_clone().unwrap(),
            |origin| request.try_clone().unwrap().header(header::ORIGIN, origin),
        )
    };
    for origin in [None, Some("https://evil.example"), Some("null"), Some("http://127.0.0.1")] {
        assert_eq!(about(origin).send().await.unwrap().status(), StatusCode::FORBIDDEN, "{origin:?}");
    }
    assert_eq!(about(Some(&gateway.url)).send().await.unwrap().status(), StatusCode::OK);
    // A form can post without a script, but not with our content type.
    let form = gateway.client.post(format!("{}/api/call/about", gateway.url)).header(header::COOKIE, &session);
    let form = form.header(header::ORIGIN, &gateway.url).header(header::CONTENT_TYPE, "text/plain").body("{}");
    let form = form.send().await.unwrap();
    assert_eq!(form.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let put = gateway.client.put(&gateway.url).send().await.unwrap();
    assert_eq!(put.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn every_answer_has_the_policy_that_allows_files_of_the_gateway_alone() {
    let gateway = Gateway::start();
    let page = gateway.client.get(format!("{}/journal", gateway.url)).send().await.unwrap();
    let refused = gateway.sign_in("wrong").await;
    for answer in [page, refused] {
        let headers = answer.headers();
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[header::REFERRER_POLICY], "no-referrer");
        assert!(headers[header::CACHE_CONTROL].to_str().unwrap().starts_with("no-"));
    }
}

#[tokio::test]
async fn what_is_asked_wrongly_is_said_with_a_code_and_quotes_nothing() {
    let gateway = Gateway::start();
    let session = gateway.signed_in().await;
    let asked = |name: &'static str, args: Value| {
        let (gateway, session) = (&gateway, &session);
        async move {
            let (status, error) = gateway.call(session, name, &args).await;
            assert!(!error.to_string().contains("MARKED"), "{error}");
            (status.as_u16(), error["code"].as_str().unwrap_or_default().to_owned())
        }
    };
    assert_eq!(asked("no_such", json!({})).await, (404, "command-unknown".into()));
    assert_eq!(asked("label_read", json!({})).await, (400, "command-arguments".into()));
    assert_eq!(asked("label_read", json!({ "text": { "pop": "MARKED" } })).await, (400, "command-arguments".into()));
    assert_eq!(asked("label_read", json!({ "MARKED": "MARKED" })).await, (400, "command-arguments".into()));
    assert_eq!(asked("label_read", json!({ "text": "MARKED" })).await, (422, "label-not-a-label".into()));
    assert_eq!(
        asked("label_read", json!({ "text": "lowtouch:invite#server=https://a&code=MARKED" })).await,
        (422, "label-is-invite".into())
    );
    assert_eq!(asked("label_read", json!({ "text": "x".repeat(70_000) })).await, (413, "gateway-body-too-long".into()));
    assert_eq!(asked("pairing_start", json!({ "labelId": "00000000-0000-4000-8000-000000000000" })).await.0, 404);
    let broken = gateway.post("/api/call/about", &json!({})).header(header::COOKIE, &session).body("{\"MARKED");
    let broken = broken.send().await.unwrap();
    assert_eq!(broken.status(), StatusCode::BAD_REQUEST);
    assert!(!broken.text().await.unwrap().contains("MARKED"));
    // A code in a path or query is no way in.
    let url = format!("{}/?code={}", gateway.url, gateway.code);
    assert!(!gateway.client.get(url).send().await.unwrap().headers().contains_key(header::SET_COOKIE));
    // A browser that is signed in sees no other way of signing in than those that work from afar.
    assert_eq!(asked("sign_in", json!({})).await.0, 404);
}

#[tokio::test]
async fn it_ends_with_its_standard_input_and_takes_its_streams_along() {
    let mut gateway = Gateway::start();
    let session = gateway.signed_in().await;
    let request = gateway.post("/api/stream/standing", &json!({})).header(header::COOKIE, &session);
    let mut stream = request.send().await.unwrap();
    stream.chunk().await.unwrap().unwrap();
    drop(gateway.stdin.take());
    while let Ok(Some(_)) = stream.chunk().await {}
    assert!(gateway.child.wait().unwrap().success());
}

/// A client that holds one connection from this address, which the machine has.
fn from(gateway: &Gateway, address: [u8; 4]) -> Client {
    builder(&gateway.ca).local_address(IpAddr::from(address)).build().unwrap()
}

/// One more connection from `address`, held by a stream.
async fn stream_from(gateway: &Gateway, cookie: &str, address: [u8; 4]) -> reqwest::Response {
    let request = from(gateway, address).post(format!("{}/api/stream/standing", gateway.url));
    let request = request.header(header::ORIGIN, &gateway.url).header(header::COOKIE, cookie).json(&json!({}));
    request.send().await.unwrap()
}

/// The whole of 127.0.0.0/8 is this machine's on Linux alone.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_gateway_that_is_full_says_so_at_once_and_serves_again_when_somebody_goes() {
    let [one, other, third_address] = [[127, 0, 0, 1], [127, 0, 0, 2], [127, 0, 0, 3]];
    let gateway = Gateway::start();
    let session = gateway.signed_in().await;
    let mut streams = Vec::new();
    // One address gets half of the places, and no more.
    let refused = loop {
        let answer = stream_from(&gateway, &session, one).await;
        if answer.status() != StatusCode::OK {
            break answer;
        }
        streams.push(answer);
        assert!(streams.len() <= 128, "there is a limit");
    };
    assert!(streams.len() >= 126, "{} connections", streams.len());
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()[header::CONNECTION], "close");
    assert!(refused.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "gateway-full");
    // Others come in, until there is no place at all.
    for _ in 0..128 {
        let answer = stream_from(&gateway, &session, other).await;
        assert_eq!(answer.status(), StatusCode::OK);
        streams.push(answer);
    }
    let page = from(&gateway, third_address).get(&gateway.url).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::SERVICE_UNAVAILABLE);
    // Somebody goes: there is room for the third, on the connection that was told to wait as on a new one.
    drop(streams.split_off(140));
    let third = from(&gateway, third_address);
    let served = async {
        while third.get(&gateway.url).send().await.unwrap().status() == StatusCode::SERVICE_UNAVAILABLE {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), served).await.expect("there is room again");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn who_comes_on_top_of_those_that_are_told_is_turned_away_at_once() {
    let gateway = Gateway::start();
    let address: SocketAddr = gateway.url.strip_prefix("https://").unwrap().parse().unwrap();
    // They connect and say nothing: 128 take places, 32 wait to be told.
    let silent: Vec<_> = (0..161).map(|_| TcpStream::connect(address).unwrap()).collect();
    let ends = |mut stream: &TcpStream| {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        match std::io::Read::read(&mut stream, &mut [0]) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    };
    assert!(ends(&silent[160]));
    // Another address is served all the while.
    let page = from(&gateway, [127, 0, 0, 2]).get(&gateway.url).send().await.unwrap();
    assert_ne!(page.status(), StatusCode::SERVICE_UNAVAILABLE);
}

/// A device that takes connections and never says a word.
fn silent_device() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let link = format!("http://{}", listener.local_addr().unwrap());
    (listener, link)
}

#[tokio::test]
async fn as_many_pairings_as_there_may_be_run_and_the_next_is_asked_to_wait() {
    let gateway = Gateway::start_with(|prepared| {
        prepared.command.env("LOWTOUCH_TOKEN", "not asked for: no device answers");
        prepared.command.env("LOWTOUCH_API", "https://127.0.0.1:1");
    });
    let session = gateway.signed_in().await;
    let (_device, link) = silent_device();
    let mut started = Vec::new();
    let (status, error) = loop {
        let label = json!({ "name": format!("PROV_{}", started.len()), "pop": "a-code", "link": link });
        let (status, label) = gateway.call(&session, "label_from_code", &label).await;
        assert_eq!(status, StatusCode::OK, "{label}");
        let begun = gateway.call(&session, "pairing_start", &json!({ "labelId": label["labelId"] })).await;
        if begun.0 != StatusCode::OK {
            break begun;
        }
        started.push(begun.1["pairingId"].clone());
        assert!(started.len() <= 64, "there is a limit");
    };
    assert_eq!((status, error["code"].as_str()), (StatusCode::TOO_MANY_REQUESTS, Some("too-many-pairings")));
    assert_eq!(started.len(), 64);
    // One that is cancelled makes room.
    let (status, _) = gateway.call(&session, "pairing_cancel", &json!({ "pairingId": started[0] })).await;
    assert_eq!(status, StatusCode::OK);
    let label = json!({ "name": "PROV_next", "pop": "a-code", "link": link });
    let (_, label) = gateway.call(&session, "label_from_code", &label).await;
    let begun = async {
        while gateway.call(&session, "pairing_start", &json!({ "labelId": label["labelId"] })).await.0 != StatusCode::OK
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), begun).await.expect("there is room again");
}

/// Two accounts, as sign-ins left them; their tokens are nowhere.
const ACCOUNTS: &str = r#"version = 1
current = "ada@one.example"

[[account]]
name = "ada@one.example"
id = "00000000-0000-4000-8000-000000000001"
server = "https://one.example/"
issuer = "https://one.example"
clientId = "lowtouch"
tokenEndpoint = "https://one.example/oauth/token"
accountId = "1"
person = "ada"
role = "installer"
signedInAt = "2026-01-01T00:00:00Z"

[[account]]
name = "ines@two.example"
id = "00000000-0000-4000-8000-000000000002"
server = "https://two.example/"
issuer = "https://two.example"
clientId = "lowtouch"
tokenEndpoint = "https://two.example/oauth/token"
accountId = "2"
person = "ines"
role = "installer"
signedInAt = "2026-01-01T00:00:00Z"
"#;

#[tokio::test]
async fn the_account_that_was_named_counts_until_another_is_chosen_on_the_page() {
    let mut file = None;
    let gateway = Gateway::start_with(|prepared| {
        let path = prepared.data.join("accounts.toml");
        std::fs::write(&path, ACCOUNTS).unwrap();
        file = Some(path);
        prepared.command.args(["--account", "ines"]);
        // A token of the environment does not stand in the way of an account that was named.
        prepared.command.env("LOWTOUCH_TOKEN", "another's");
    });
    let session = gateway.signed_in().await;
    let current = async || gateway.call(&session, "accounts", &json!({})).await.1["current"].clone();
    assert_eq!(current().await, "ines@two.example");
    let request = gateway.post("/api/stream/standing", &json!({})).header(header::COOKIE, &session);
    let standing = request.send().await.unwrap().chunk().await.unwrap().unwrap();
    let standing: Value = serde_json::from_slice(standing.strip_prefix(b"data: ").unwrap()).unwrap();
    assert_eq!(standing["account"]["name"], "ines@two.example");
    assert_eq!(std::fs::read_to_string(file.as_ref().unwrap()).unwrap(), ACCOUNTS, "other programs keep theirs");

    let (status, _) = gateway.call(&session, "account_use", &json!({ "name": "ada@one.example" })).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(current().await, "ada@one.example");
}

#[test]
fn an_account_that_is_not_there_is_said_before_anything_is_served() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("accounts.toml"), ACCOUNTS).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_lowtouch"))
        .env_remove("LOWTOUCH_TOKEN")
        .env("LOWTOUCH_DATA_DIR", folder.path())
        .env("LOWTOUCH_CONFIG_FILE", folder.path().join("lowtouch.toml"))
        .args(["serve", "--json", "--listen", "127.0.0.1:0", "--account", "nobody"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("account-unknown") && said.contains("ines@two.example"), "{said}");
}

/// The demo's executable is beside this one once the workspace was built.
#[tokio::test]
async fn the_demo_comes_up_over_the_gateway_part_by_part_and_ends_when_it_is_told_to() {
    let gateway = Gateway::start();
    let session = gateway.signed_in().await;
    let events = gateway.stream(&session, "demo_start", &json!({ "devices": 2 })).await;
    let named: Vec<_> = events.iter().filter(|event| event["event"] == "part-started").collect();
    let ready = events.last().unwrap();
    assert_eq!(ready["event"], "ready", "{ready}; `cargo build --workspace` builds what the demo needs");
    assert_eq!(ready["devices"].as_array().unwrap().len(), 2);
    // Two DPS, the API, and the devices.
    assert!(named.len() >= 5, "{named:?}");
    // A second browser that asks for the same takes the one that is on.
    let again = gateway.stream(&session, "demo_start", &json!({ "devices": 2 })).await;
    assert_eq!(again.last().unwrap(), ready);

    let (status, seen) = gateway.call(&session, "demo_stop", &json!({})).await;
    assert_eq!(status, StatusCode::OK, "{seen}");
    let request = gateway.post("/api/stream/standing", &json!({})).header(header::COOKIE, &session);
    let standing = request.send().await.unwrap().chunk().await.unwrap().unwrap();
    let standing: Value = serde_json::from_slice(standing.strip_prefix(b"data: ").unwrap()).unwrap();
    assert_eq!(standing["demo"]["state"], "off");
}
