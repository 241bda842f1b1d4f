//! `provisioning-api serve` as a process, and others beside it on the same database.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use provisioning_api::{Office, Role};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use sqlx::AnyPool;
use tempfile::TempDir;

use crate::common::{self, Answer, client, database};

/// The process over its folder, and what looks into its database beside it.
pub struct Service {
    pub child: Child,
    pub url: String,
    pub http: reqwest::Client,
    pub token: String,
    pub database: AnyPool,
    pub folder: Arc<TempDir>,
    /// Its own certificate is there; keys are all replicas'.
    tls: &'static str,
}

impl Service {
    pub async fn start(dps: &[(&str, &azure_emulator::Running)]) -> Self {
        Self::start_with(dps, "").await
    }

    /// With lines of configuration for each DPS instance.
    pub async fn start_with(dps: &[(&str, &azure_emulator::Running)], lines: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let mut toml = String::new();
        let pace = if lines.contains("operations_per_minute") { "" } else { "operations_per_minute = 100000\n" };
        for (name, dps) in dps {
            let file = |ending: &str| folder.path().join(format!("{name}.{ending}"));
            std::fs::write(file("key"), &dps.service_key).unwrap();
            std::fs::write(file("pem"), &dps.ca_pem).unwrap();
            toml += &format!(
                "[[instance]]\nname = \"{name}\"\nid_scope = \"{}\"\nservice_endpoint = \"{}\"\nglobal_device_endpoint = \"{}\"\n\
                 key_file = \"{name}.key\"\nca_file = \"{name}.pem\"\n{pace}{lines}\n",
                dps.id_scope,
                dps.url(),
                dps.endpoint(),
            );
        }
        std::fs::write(folder.path().join("dps.toml"), toml).unwrap();
        let url = database::url(folder.path());
        let office = Office::open(&url).await.unwrap();
        let (_, token) = office.issue_token(Role::Administrator, "Ada", 1).await.unwrap();
        office.close().await;
        let (child, ready) = spawn(folder.path(), "tls");
        Self {
            child,
            http: client(&std::fs::read_to_string(ready["ca"].as_str().unwrap()).unwrap()),
            url: ready["url"].as_str().unwrap().to_owned(),
            token: token.expose_secret().to_owned(),
            database: database::pool(&url).await,
            folder,
            tls: "tls",
        }
    }

    /// Another process on the same database.
    pub async fn beside(&self) -> Self {
        let (child, ready) = spawn(self.folder.path(), "other-tls");
        Self {
            child,
            http: client(&std::fs::read_to_string(ready["ca"].as_str().unwrap()).unwrap()),
            url: ready["url"].as_str().unwrap().to_owned(),
            token: self.token.clone(),
            database: self.database.clone(),
            folder: self.folder.clone(),
            tls: "other-tls",
        }
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        assert_eq!(self.child.wait().unwrap().signal(), Some(9), "it had ended before");
    }

    pub fn start_again(&mut self) {
        let (child, ready) = spawn(self.folder.path(), self.tls);
        self.child = child;
        self.url = ready["url"].as_str().unwrap().to_owned();
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token)
    }

    pub async fn post(&self, path: &str, body: Value) -> Result<Answer, reqwest::Error> {
        let response = self.request(Method::POST, path).header("if-match", "*").json(&body).send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await?.to_vec() })
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.database).await.unwrap()
    }

    pub async fn reaches(&self, sql: &'static str, least: i64) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while self.count(sql).await < least {
            assert!(Instant::now() < deadline, "{sql} is {}, not {least}", self.count(sql).await);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub async fn events_are_whole(&self) {
        let office = Office::open(&database::url(self.folder.path())).await.unwrap();
        assert_eq!(office.verify_events(None, None).await.unwrap().fault, None);
        office.close().await;
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &Path, tls: &str) -> (Child, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_provisioning-api"));
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--until-stdin-closes", "--database"])
        .arg(database::url(folder))
        .arg("--tls-dir")
        .arg(folder.join(tls))
        .arg("--key-file")
        .arg(folder.join("at-rest.key"))
        .args(["--replicas", "2"])
        .arg("--dps")
        .arg(folder.join("dps.toml"));
    common::spawn(&mut command)
}
