//! The demo's cloud: two local DPS instances and the provisioning API in front of them.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::try_join_all;
use secrecy::SecretString;
use serde_json::Value;

use super::process_tree::{ProcessError, ProcessTree};

/// What is running.
#[derive(Debug)]
pub struct Cloud {
    /// The local DPS instances.
    pub instances: Vec<Instance>,
    /// The provisioning API's address.
    pub api: String,
    /// The file of its root certificate.
    pub ca_file: PathBuf,
    /// Its root certificate.
    pub ca_pem: String,
    /// An installer's token.
    pub token: SecretString,
    /// The file that holds the token.
    pub token_file: PathBuf,
    database: String,
}

/// One local DPS instance.
#[derive(Debug)]
pub struct Instance {
    /// Its name at the provisioning API.
    pub name: &'static str,
    /// `0ne…`.
    pub id_scope: String,
    /// `127.0.0.1:PORT`
    pub address: String,
    /// Its hubs.
    pub hubs: [&'static str; 2],
}

const INSTANCES: [(&str, &str, [&str; 2]); 2] = [
    ("north", "0ne000A0001", ["north-hub-1", "north-hub-2"]),
    ("south", "0ne000B0002", ["south-hub-1", "south-hub-2"]),
];

/// Why the cloud did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloudError {
    /// A process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A ready line that lacks something.
    #[error("{name} said that it is ready, but not where ({said})")]
    ReadyLine {
        /// Of which process.
        name: String,
        /// What it said.
        said: Value,
    },
    /// A file of the demo's folder.
    #[error("{} could not be used", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The system gives no random numbers.
    #[error("no random numbers could be had")]
    Random(#[source] getrandom::Error),
}

impl Cloud {
    /// Starts all of it and returns when the API answers.
    ///
    /// # Errors
    /// [`CloudError`].
    pub async fn start(tree: &mut ProcessTree, program: &Path) -> Result<Self, CloudError> {
        let mut starting = Vec::new();
        for (name, id_scope, hubs) in INSTANCES {
            starting.push(start_instance(tree, program, name, id_scope, hubs)?);
        }
        let ready = try_join_all(starting.into_iter().map(|(starting, files)| async move {
            let ready = starting.ready().await?;
            Ok::<_, CloudError>((ready, files))
        }))
        .await?;

        let mut instances = Vec::new();
        let mut dps = Vec::new();
        for ((name, id_scope, hubs), (ready, files)) in INSTANCES.into_iter().zip(ready) {
            let address = text(name, &ready, "https")?.trim_start_matches("https://").trim_end_matches('/').to_owned();
            let toml = tree.dir().join(format!("dps-{name}.toml"));
            // Every value is of our own making and needs no escaping, the folder's path excepted.
            write(
                &toml,
                &format!(
                    "[[instance]]\nname = \"{name}\"\nid_scope = \"{id_scope}\"\nservice_endpoint = \"https://{address}\"\n\
                     global_device_endpoint = \"{address}\"\npolicy = \"provisioningserviceowner\"\nkey_file = {}\n\
                     ca_file = {}\ncapacity = 1000000\nstate = \"active\"\n",
                    quoted(&files.key),
                    quoted(&files.ca),
                ),
            )?;
            dps.push(toml);
            instances.push(Instance { name, id_scope: id_scope.into(), address, hubs });
        }

        let database = format!("sqlite:{}", tree.dir().join("provisioning-api.sqlite").display());
        let tls = tree.make_dir("provisioning-api")?;
        let mut arguments: Vec<String> =
            ["provisioning-api", "serve", "--database", &database, "--listen", "127.0.0.1:0", "--tls-dir"]
                .map(str::to_owned)
                .to_vec();
        arguments.push(tls.display().to_string());
        for file in &dps {
            arguments.extend(["--dps".to_owned(), file.display().to_string()]);
        }
        arguments.push("--until-stdin-closes".into());
        let ready = tree.start("provisioning-api", program, arguments)?.ready().await?;
        let api = text("provisioning-api", &ready, "url")?.to_owned();
        let ca_file = ready["caPem"].as_str().map_or_else(|| tls.join("ca.pem"), PathBuf::from);
        let ca_pem =
            std::fs::read_to_string(&ca_file).map_err(|source| CloudError::File { path: ca_file.clone(), source })?;

        let arguments = ["provisioning-api", "token", "--database", &database, "--role", "installer", "--name", "demo"];
        let token = tree.run("provisioning-api", program, arguments).await?.trim().to_owned();
        // An installer reaches the devices of their open work orders: here, all that the demo makes.
        let arguments = [
            "provisioning-api",
            "order",
            "open",
            "--database",
            &database,
            "--installer",
            "demo",
            "--site",
            "Demo",
            "--any-model",
            "--at-most",
            "1000000",
        ];
        tree.run("provisioning-api", program, arguments).await?;
        let token_file = tree.dir().join("token");
        write(&token_file, &token)?;
        Ok(Self { instances, api, ca_file, ca_pem, token: token.into(), token_file, database })
    }

    /// Puts a device into the inventory.
    ///
    /// # Errors
    /// [`CloudError`].
    pub async fn expect_device(
        &self,
        tree: &ProcessTree,
        program: &Path,
        registration_id: &str,
        attestation: &str,
    ) -> Result<(), CloudError> {
        let arguments = [
            "provisioning-api",
            "device",
            "add",
            "--database",
            &self.database,
            registration_id,
            "--attestation",
            attestation,
            "--model",
            "demo-pump",
        ];
        tree.run("provisioning-api", program, arguments).await?;
        Ok(())
    }
}

struct InstanceFiles {
    key: PathBuf,
    ca: PathBuf,
}

fn start_instance(
    tree: &mut ProcessTree,
    program: &Path,
    name: &str,
    id_scope: &str,
    hubs: [&str; 2],
) -> Result<(super::process_tree::Starting, InstanceFiles), CloudError> {
    let process = format!("azure-emulator-{name}");
    let tls = tree.make_dir(&process)?;
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(CloudError::Random)?;
    let key = STANDARD.encode(key);
    let key_file = tree.dir().join(format!("dps-{name}.key"));
    write(&key_file, &key)?;
    let mut arguments: Vec<String> =
        ["azure-emulator", "--https", "127.0.0.1:0", "--id-scope", id_scope, "--service-key", &key, "--tls-dir"]
            .map(str::to_owned)
            .to_vec();
    arguments.push(tls.display().to_string());
    for hub in hubs {
        arguments.extend(["--hub".to_owned(), hub.to_owned()]);
    }
    arguments.push("--until-stdin-closes".into());
    let starting = tree.start(&process, program, arguments)?;
    Ok((starting, InstanceFiles { key: key_file, ca: tls.join("ca.pem") }))
}

/// A text in a `ready {json}` line.
pub(super) fn text<'a>(name: &str, ready: &'a Value, field: &str) -> Result<&'a str, CloudError> {
    ready[field].as_str().ok_or_else(|| CloudError::ReadyLine { name: name.into(), said: ready.clone() })
}

fn quoted(path: &Path) -> String {
    // A JSON string is also a TOML basic string.
    Value::from(path.display().to_string()).to_string()
}

fn write(path: &Path, content: &str) -> Result<(), CloudError> {
    std::fs::write(path, content).map_err(|source| CloudError::File { path: path.into(), source })
}
