//! A database server that dies and comes back while apps ask: they are told to come again, and nothing is lost.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;
#[path = "common/service.rs"]
mod service;

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{emulator, finish};
use reqwest::Method;
use serde_json::json;
use service::Service;

#[tokio::test]
#[ignore = "cargo xtask test postgres"]
async fn while_the_database_restarts_apps_are_told_to_come_again_and_nothing_is_lost() {
    let (dps, _folder) = emulator().await;
    let one = Service::start(&[("north", &dps)]).await;
    let both = [one.beside().await, one];
    let restart = std::env::var("LOWTOUCH_TEST_RESTART").unwrap();
    let (kept, again) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let end = Instant::now() + Duration::from_secs(60);
    // Each goes on with a device until it is in, as an app does.
    let app = async |number: usize| {
        for device in 0..60 {
            let id = format!("sn-{number}-{device}");
            loop {
                assert!(Instant::now() < end, "the service did not come back");
                let put = both[number % 2].request(Method::PUT, &format!("/v1/devices/{id}")).json(&json!({}));
                let answer = finish(put).await;
                if answer.status.is_success() {
                    break;
                }
                let problem = answer.refused(429, provisioning_api_contract::ProblemCode::Throttled);
                assert!(answer.headers.contains_key("retry-after"), "{problem:?}");
                again.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            kept.fetch_add(1, Ordering::Relaxed);
        }
    };
    let crash = async {
        while kept.load(Ordering::Relaxed) < 40 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let restarted = tokio::task::spawn_blocking(move || Command::new("sh").args(["-c", &restart]).status());
        assert!(restarted.await.unwrap().unwrap().success());
    };
    tokio::join!(crash, app(0), app(1), app(2), app(3));
    assert!(again.load(Ordering::Relaxed) > 0, "nobody noticed the restart");
    // Our own connections broke as well.
    let fresh = common::database::pool(&common::database::url(both[0].folder.path())).await;
    let devices: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM devices").fetch_one(&fresh).await.unwrap();
    let added: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM events WHERE what = 'device added'").fetch_one(&fresh).await.unwrap();
    assert_eq!((devices, added), (240, 240));
    both[0].events_are_whole().await;
}
