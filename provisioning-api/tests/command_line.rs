//! The executable, as a demo and an operator use it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

mod common;

const PROGRAM: &str = env!("CARGO_BIN_EXE_provisioning-api");

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

#[track_caller]
fn printed(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

struct Served {
    child: Child,
    ready: serde_json::Value,
    database: String,
}

fn serve(folder: &Path) -> Served {
    let database = common::database::url(folder);
    std::fs::write(folder.join("key"), "a2V5\n").unwrap();
    let toml = "[[instance]]\nname = \"north\"\nid_scope = \"0neA\"\nservice_endpoint = \"https://127.0.0.1:1\"\nkey_file = \"key\"\n";
    std::fs::write(folder.join("dps.toml"), toml).unwrap();
    let mut command = Command::new(PROGRAM);
    command
        .args(["serve", "--database", &database, "--listen", "127.0.0.1:0", "--until-stdin-closes"])
        .arg("--tls-dir")
        .arg(folder.join("tls"))
        .arg("--dps")
        .arg(folder.join("dps.toml"));
    let (child, ready) = common::spawn(&mut command);
    Served { child, ready, database }
}

fn ends_well(mut child: Child) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return assert!(status.success(), "{status}"),
            None if Instant::now() > deadline => {
                child.kill().unwrap();
                panic!("it did not end");
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

#[tokio::test]
async fn it_serves_takes_tokens_and_devices_beside_and_ends_with_its_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let mut served = serve(folder.path());
    let database = served.database.as_str();
    let token = printed(&["token", "--database", database, "--role", "installer", "--name", "demo"]);
    printed(&["device", "add", "--database", database, "SN-1", "--model", "pump", "--attestation", "x509"]);

    let ca = std::fs::read_to_string(served.ready["ca"].as_str().unwrap()).unwrap();
    let url = format!("{}/v1/devices/sn-1", served.ready["url"].as_str().unwrap());
    let answer = common::finish(common::client(&ca).get(&url).bearer_auth(&token)).await;
    answer.refused(404, provisioning_api_contract::ProblemCode::DeviceUnknown);
    let order = ["order", "open", "--database", database, "--installer", "demo", "--site", "Plant 4"];
    let order: serde_json::Value = serde_json::from_str(&printed(
        &[&order[..], &["--device", "sn-1", "--closes", "2999-01-01T00:00:00Z"]].concat(),
    ))
    .unwrap();
    let answer = common::finish(common::client(&ca).get(&url).bearer_auth(&token)).await;
    let device: provisioning_api_contract::Device = answer.ok();
    let listed: serde_json::Value = serde_json::from_str(&printed(&["order", "list", "--database", database])).unwrap();
    assert_eq!((&listed["id"], &listed["state"]), (&order["id"], &"open".into()));
    printed(&["order", "close", "--database", database, order["id"].as_str().unwrap()]);
    assert_eq!((device.registration_id.as_str(), device.model.as_deref()), ("SN-1", Some("pump")));

    let listed: serde_json::Value =
        serde_json::from_str(&printed(&["device", "list", "--database", database])).unwrap();
    assert_eq!(listed["registrationId"], "SN-1");
    let listed: serde_json::Value = serde_json::from_str(&printed(&["token", "list", "--database", database])).unwrap();
    let id = listed["id"].as_str().unwrap();
    printed(&["token", "revoke", "--database", database, id]);
    assert!(!run(&["token", "revoke", "--database", database, id]).status.success());
    let answer = common::finish(common::client(&ca).get(&url).bearer_auth(&token)).await;
    answer.refused(401, provisioning_api_contract::ProblemCode::Unauthenticated);

    // A schedule beside the service: first what would be, then what is.
    let file = folder.path().join("devices.csv");
    std::fs::write(&file, "registrationId\nSN-7\nSN-8\n").unwrap();
    let from = "2999-01-01T00:00:00Z";
    let import = ["device", "import", "--database", database, "--schedule", "--schedule-from", from];
    let import = [&import[..], &[file.to_str().unwrap()]].concat();
    let would: serde_json::Value = serde_json::from_str(&printed(&[&import[..], &["--dry-run"]].concat())).unwrap();
    assert_eq!(would["schedule"]["slots"][1]["registrationId"], "SN-8");
    let done: serde_json::Value = serde_json::from_str(&printed(&import)).unwrap();
    assert_eq!((&done["schedule"]["scheduled"], &done["schedule"]["first"]), (&2.into(), &from.into()));
    let order = ["order", "open", "--database", database, "--installer", "demo", "--site", "x", "--device", "sn-1"];
    let order = [&order[..], &["--schedule"]].concat();
    let would: serde_json::Value = serde_json::from_str(&printed(&[&order[..], &["--dry-run"]].concat())).unwrap();
    assert!(would["devices"][0]["startsAt"].is_string(), "{would}");
    assert_eq!(printed(&["order", "list", "--database", database]).lines().count(), 1);
    let opened: serde_json::Value = serde_json::from_str(&printed(&order)).unwrap();
    assert!(opened["devices"][0]["startsAt"].is_string(), "{opened}");

    drop(served.child.stdin.take());
    ends_well(served.child);
}

#[cfg(unix)]
#[test]
fn it_ends_on_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let served = serve(folder.path());
    assert!(Command::new("kill").args(["-TERM", &served.child.id().to_string()]).status().unwrap().success());
    ends_well(served.child);
}

#[test]
fn mistakes_on_the_command_line_are_told_and_leave_no_ready_line() {
    let folder = tempfile::tempdir().unwrap();
    let database = common::database::url(folder.path());
    let output = run(&["device", "add", "--database", &database, "not allowed"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("registration ID"));
    let output = run(&["serve", "--database", &database, "--tls-dir", "x", "--dps", "does-not-exist.toml"]);
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("does-not-exist.toml"));
    assert!(!run(&["token", "--database", &database]).status.success());
}

#[tokio::test]
async fn what_was_put_into_the_record_by_hand_is_named_whatever_else_opens_the_database_before() {
    let folder = tempfile::tempdir().unwrap();
    let database = common::database::url(folder.path());
    printed(&["tenant", "add", "--database", &database, "north"]);
    let verify = ["audit", "verify", "--database", &database];
    let report: serde_json::Value = serde_json::from_str(&printed(&verify)).unwrap();
    let (last, head) = (report["last"].as_i64().unwrap(), report["head"].as_str().unwrap().to_owned());
    let pool = common::database::pool(&database).await;
    sqlx::query("INSERT INTO events (id, at, who, what) VALUES ($1, 0, 'Eve', 'was never here')")
        .bind(last + 1)
        .execute(&pool)
        .await
        .unwrap();
    let is_named = |arguments: &[&str]| {
        let output = run(arguments);
        let words = String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(!output.status.success() && words.contains(&format!("event {} has no hash", last + 1)), "{words}");
    };
    is_named(&verify);
    is_named(&verify);
    // Neither whoever opens the database, nor the next event, makes it a part of the chain.
    printed(&["tenant", "list", "--database", &database]);
    is_named(&verify);
    printed(&["tenant", "add", "--database", &database, "south"]);
    is_named(&verify);
    is_named(&[&verify[..], &["--head", &head]].concat());
}

#[tokio::test]
async fn a_copy_that_cannot_be_written_is_verified_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("api.db").display());
    printed(&["tenant", "add", "--database", &database, "north"]);
    // All of it is in the one file.
    let pool = common::database::pool(&database).await;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&pool).await.unwrap();
    pool.close().await;
    let evidence = folder.path().join("evidence");
    std::fs::create_dir(&evidence).unwrap();
    let copy = evidence.join("api.db");
    std::fs::copy(folder.path().join("api.db"), &copy).unwrap();
    let bytes = std::fs::read(&copy).unwrap();
    let lock = |file: &Path, locked: bool| {
        let mut permissions = std::fs::metadata(file).unwrap().permissions();
        permissions.set_readonly(locked);
        std::fs::set_permissions(file, permissions).unwrap();
    };
    lock(&copy, true);
    lock(&evidence, true);
    let url = format!("sqlite:{}", copy.display());
    let report: serde_json::Value = serde_json::from_str(&printed(&["audit", "verify", "--database", &url])).unwrap();
    assert_eq!(report["checked"], 1);
    lock(&evidence, false);
    assert_eq!(std::fs::read(&copy).unwrap(), bytes);

    // One that is not there is not made.
    let nowhere = folder.path().join("nowhere.db");
    let output = run(&["audit", "verify", "--database", &format!("sqlite:{}", nowhere.display())]);
    assert!(!output.status.success() && !nowhere.exists());
}

#[test]
fn it_prints_its_description() {
    assert_eq!(printed(&["openapi"]), provisioning_api::openapi().trim_end());
}

#[test]
fn an_invite_is_a_link_and_a_picture_and_can_be_withdrawn() {
    let folder = tempfile::tempdir().unwrap();
    let database = common::database::url(folder.path());
    let invite = ["invite", "--database", &database, "--role", "installer", "--name", "Ida"];
    // Nobody has said yet where the service is.
    assert!(!run(&invite).status.success());
    let picture = folder.path().join("invite.svg");
    let with_server = [&invite[..], &["--server", "https://api.example", "--qr", picture.to_str().unwrap()]].concat();
    let link = printed(&with_server);
    assert!(link.starts_with("lowtouch:invite#server=https%3A%2F%2Fapi.example&code="), "{link}");
    assert!(std::fs::read_to_string(&picture).unwrap().contains("<svg"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&picture).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let listed: serde_json::Value =
        serde_json::from_str(&printed(&["invite", "list", "--database", &database])).unwrap();
    assert_eq!((&listed["name"], &listed["role"]), (&"Ida".into(), &"installer".into()));
    assert!(!listed.to_string().contains(link.rsplit('=').next().unwrap()));
    let id = listed["id"].as_str().unwrap();
    printed(&["invite", "withdraw", "--database", &database, id]);
    assert!(!run(&["invite", "withdraw", "--database", &database, id]).status.success());

    let unknown = run(&[&with_server[..], &["--tenant", "north"]].concat());
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no tenant named north"));
    printed(&["tenant", "add", "--database", &database, "north"]);
    printed(&[&with_server[..], &["--tenant", "north"]].concat());
    let accounts = printed(&["account", "list", "--database", &database]);
    let accounts: Vec<serde_json::Value> = accounts.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        accounts.iter().map(|account| account["tenant"].clone()).collect::<Vec<_>>(),
        [().into(), "north".into()] as [serde_json::Value; 2]
    );
    let id = accounts[0]["id"].as_str().unwrap();
    printed(&["account", "disable", "--database", &database, id]);
    assert!(!run(&["account", "disable", "--database", &database, id]).status.success());
    printed(&["account", "enable", "--database", &database, id]);
}

#[test]
fn so_many_replicas_that_none_may_ask_dps_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), "a2V5\n").unwrap();
    let toml = "[[instance]]\nname = \"north\"\nid_scope = \"0neA\"\nservice_endpoint = \"https://127.0.0.1:1\"\nkey_file = \"key\"\noperations_per_minute = 100\n";
    std::fs::write(folder.path().join("dps.toml"), toml).unwrap();
    let mut serve = Command::new(PROGRAM);
    serve.args(["serve", "--listen", "127.0.0.1:0", "--replicas", "11", "--database"]);
    serve.arg(common::database::url(folder.path())).arg("--tls-dir").arg(folder.path().join("tls"));
    let output = serve.arg("--dps").arg(folder.path().join("dps.toml")).stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success());
    let words = String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("north: operations_per_minute must be at least 10 for each"), "{words}");
}

#[test]
fn a_database_server_that_is_not_there_is_told_at_once_and_without_its_password() {
    let output = run(&["tenant", "list", "--database", "postgres://api:s3cret@127.0.0.1:1/fleet"]);
    assert!(!output.status.success());
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("Connection refused"), "{words}");
    assert!(!words.contains("s3cret"), "{words}");
}
