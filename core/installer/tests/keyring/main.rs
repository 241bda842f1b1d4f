//! The real Secret Service (gnome-keyring on a private bus), and what a machine without a usable one looks like. Each case
//! asks from a process of its own, this very program started again, so that no test changes another's environment.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on stops")]

mod bus;
mod fake;

use std::process::Stdio;
use std::time::{Duration, Instant};

use lowtouch_installer::secrets::{Keyring, SecretStore};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::process::Command;

use bus::{Bus, GnomeKeyring};
use fake::FakeService;

/// Marked, so that a leak can be searched for.
const SECRET: &str = "marked-secret-51f0";

/// What the probe is to do, as JSON: a list of `["get"|"set"|"delete", name, value?]`, and its deadline in ms.
const JOB: &str = "KEYRING_PROBE_JOB";

/// Not a test: what [`probe`] starts.
#[tokio::test]
#[ignore = "started by the tests"]
async fn the_probe() {
    let Ok(job) = std::env::var(JOB) else { return };
    let job: Value = serde_json::from_str(&job).unwrap();
    let keyring = Keyring::with_deadline(Duration::from_millis(job["deadline"].as_u64().unwrap()));
    for step in job["steps"].as_array().unwrap() {
        let (what, name) = (step[0].as_str().unwrap(), step[1].as_str().unwrap());
        let begun = Instant::now();
        let answer = match what {
            "set" => keyring.set(name, &step[2].as_str().unwrap().to_owned().into()).await.map(|()| Value::Null),
            "delete" => keyring.delete(name).await.map(|()| Value::Null),
            _ => keyring.get(name).await.map(|found| found.map_or(Value::Null, |it| it.expose_secret().into())),
        };
        let took = begun.elapsed().as_micros();
        let line = match answer {
            Ok(value) => json!({ "ok": value, "us": took }),
            Err(error) => {
                json!({ "code": error.code(), "words": format!("{error} {error:?}"), "mend": error.mend(), "us": took })
            }
        };
        println!("\nprobe: {line}");
    }
    // A call that nobody waits for any more has a thread, for which the runtime's end would wait.
    std::process::exit(0);
}

/// Runs the steps in a process whose session bus is at `address`.
async fn probe(address: &str, deadline: Duration, steps: &[&[&str]]) -> Vec<Value> {
    let job = json!({ "deadline": u64::try_from(deadline.as_millis()).unwrap(), "steps": steps });
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_probe", "--ignored", "--nocapture"])
        .env(JOB, job.to_string())
        .env("DBUS_SESSION_BUS_ADDRESS", address)
        .env("XDG_RUNTIME_DIR", "/nonexistent")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(60), output).await.expect("the probe ends").unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("probe: "))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), steps.len(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    lines
}

/// Enough for any answer on a busy machine.
const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_secret_service_keeps_replaces_and_forgets() {
    let bus = Bus::start().await;
    let _keyring = GnomeKeyring::unlocked(&bus).await;
    let steps: &[&[&str]] = &[
        &["get", "account a"],
        &["set", "account a", SECRET],
        &["get", "account a"],
        &["set", "account a", "another"],
        &["set", "account b", "b ü €"],
        &["get", "account a"],
        &["get", "account b"],
        &["delete", "account a"],
        &["delete", "account a"],
        &["get", "account a"],
    ];
    let answers = probe(bus.address(), LONG, steps).await;
    let values: Vec<&Value> = answers.iter().map(|answer| answer.get("ok").unwrap_or(answer)).collect();
    let none = &Value::Null;
    assert_eq!(values, [none, none, &json!(SECRET), none, none, &json!("another"), &json!("b ü €"), none, none, none]);
    // The next process finds it too, and tokens of large companies fit.
    let long = "x".repeat(6000);
    let answers = probe(bus.address(), LONG, &[&["get", "account b"], &["set", "long", &long], &["get", "long"]]).await;
    assert_eq!((&answers[0]["ok"], &answers[2]["ok"]), (&json!("b ü €"), &json!(long)));
}

#[tokio::test]
async fn no_bus_no_service_and_a_keyring_that_is_not_set_up_are_told_apart() {
    let one = |answers: Vec<Value>| (answers[0]["code"].as_str().unwrap().to_owned(), answers[0].clone());
    for address in ["unix:path=/nonexistent/bus", "", "nonsense", "unix:path=/dev/null"] {
        let (code, answer) = one(probe(address, LONG, &[&["get", "a"]]).await);
        assert_eq!(code, "keyring-no-session", "{address:?}: {answer}");
        assert!(answer["mend"].as_str().unwrap().contains("dbus-run-session"), "{answer}");
    }
    let bus = Bus::start().await;
    let (code, answer) = one(probe(bus.address(), LONG, &[&["get", "a"]]).await);
    assert_eq!(code, "keyring-missing", "{answer}");
    assert!(answer["mend"].as_str().unwrap().contains("gnome-keyring"), "{answer}");

    let _keyring = GnomeKeyring::without_login(&bus).await;
    let (code, answer) = one(probe(bus.address(), LONG, &[&["set", "a", SECRET]]).await);
    assert_eq!(code, "keyring-not-set-up", "{answer}");
    assert!(!answer.to_string().contains(SECRET));
}

#[tokio::test]
async fn a_locked_keyring_says_so_and_what_is_in_it_comes_back_when_it_is_unlocked() {
    let bus = Bus::start().await;
    let keyring = GnomeKeyring::unlocked(&bus).await;
    probe(bus.address(), LONG, &[&["set", "a", SECRET]]).await;
    keyring.lock().await;
    // Nothing on this bus can show the prompt for the keyring's password, so it is dismissed.
    let answers = probe(bus.address(), LONG, &[&["get", "a"], &["set", "a", "b"], &["delete", "a"]]).await;
    for answer in &answers {
        assert_eq!(answer["code"], "keyring-locked", "{answer}");
        assert!(!answer.to_string().contains(SECRET));
    }
    let home = keyring.stop().await;
    let _again = GnomeKeyring::unlocked_in(&bus, home).await;
    assert_eq!(probe(bus.address(), LONG, &[&["get", "a"]]).await[0]["ok"], SECRET);
}

#[tokio::test]
async fn a_keyring_that_answers_late_or_a_prompt_that_nobody_answers_ends_at_the_deadline() {
    let short = Duration::from_millis(400);
    for fake in [FakeService::NeverOpensASession, FakeService::PromptsForever] {
        let bus = Bus::start().await;
        let _fake = fake.serve(&bus).await;
        // More calls than may wait at once: none of them hangs.
        let steps: Vec<&[&str]> = vec![&["get", "a"]; 6];
        for answer in probe(bus.address(), short, &steps).await {
            assert_eq!(answer["code"], "keyring-timeout", "{fake:?}: {answer}");
            let took = Duration::from_micros(answer["us"].as_u64().unwrap());
            assert!(took >= short && took < Duration::from_secs(10), "{took:?}");
            assert!(answer["mend"].as_str().unwrap().contains("answer it"), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_service_that_refuses_is_not_one_that_is_missing() {
    let bus = Bus::start().await;
    let _fake = FakeService::Refuses.serve(&bus).await;
    let answer = probe(bus.address(), LONG, &[&["get", "a"]]).await.remove(0);
    assert_eq!(answer["code"], "keyring-denied", "{answer}");
}

/// `cargo test -p lowtouch-installer --release --test keyring -- --ignored measured --nocapture`
#[tokio::test]
#[ignore = "a measurement"]
async fn measured() {
    let bus = Bus::start().await;
    let _keyring = GnomeKeyring::unlocked(&bus).await;
    let value = "t".repeat(400);
    let round: [&[&str]; 3] = [&["set", "m", &value], &["get", "m"], &["delete", "m"]];
    let mut steps: Vec<&[&str]> = vec![&["get", "first"]];
    for _ in 0..100 {
        steps.extend(round);
    }
    let answers = probe(bus.address(), LONG, &steps).await;
    let ms = |answer: &Value| answer["us"].as_f64().unwrap() / 1000.0;
    println!("first call, connection and key exchange included: {:.1} ms", ms(&answers[0]));
    for (offset, what) in ["set", "get", "delete"].into_iter().enumerate() {
        let mut all: Vec<f64> = answers[1..].iter().skip(offset).step_by(3).map(ms).collect();
        all.sort_by(f64::total_cmp);
        println!("{what}: median {:.2} ms, 95 of 100 under {:.2} ms", all[50], all[95]);
    }
}
