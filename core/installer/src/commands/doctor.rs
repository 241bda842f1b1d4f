//! The doctor's report, and the bundle for support.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::own::Identity as Who;
use super::{CommandError, Commands, Nothing};
use crate::doctor::{Examination, GLOBAL_DEVICE_ENDPOINT, Identity, Report, SettingsSeen};
use crate::error::{ErrorCode, PairingError};
use crate::logs::{self, Bundle, Content, LeftOut};
use crate::net::NetSettings;
use crate::sign_in::SignIn;

/// The settings may have to ask the keyring for a proxy's password, before anything else can be looked at.
const ASKING: Duration = Duration::from_secs(1);

/// A zip file for support.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LogsBundle {
    /// What to call it.
    pub file_name: String,
    /// Its bytes in base64.
    pub base64: String,
    /// What is in it.
    pub contents: Vec<Content>,
    /// What is not in it, and why.
    pub left_out: Vec<LeftOut>,
}

impl Commands {
    /// `doctor`.
    ///
    /// # Errors
    /// None: what cannot be looked at is a finding.
    pub async fn doctor(&self, _: Nothing) -> Result<Report, CommandError> {
        Ok(self.examination().await.run().await)
    }

    /// `logs_bundle`.
    ///
    /// # Errors
    /// `internal`.
    pub async fn logs_bundle(&self, _: Nothing) -> Result<LogsBundle, CommandError> {
        let report = self.examination().await.run().await;
        let host = &self.0.host;
        let settings = std::fs::read_to_string(&host.settings_file).ok();
        // Of this machine, also while the demo is on.
        let journal = logs::newest_rows(&host.data_dir).await;
        let versions: BTreeMap<String, String> = [
            ("lowtouch", host.version.as_str()),
            ("system", std::env::consts::OS),
            ("processor", std::env::consts::ARCH),
        ]
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
        .into();
        let data_dir = host.data_dir.clone();
        // Packs megabytes.
        let packed = tokio::task::spawn_blocking(move || {
            let mut zip = Cursor::new(Vec::new());
            let bundle = Bundle { data_dir, report: Some(&report), settings, journal, versions };
            bundle.write(&mut zip).map(|contents| (contents, zip.into_inner()))
        });
        let internal = |text: String| PairingError::with_detail(ErrorCode::Internal, text);
        let (contents, zip) = packed
            .await
            .map_err(|stopped| internal(stopped.to_string()))?
            .map_err(|error| internal(error.to_string()))?;
        Ok(LogsBundle {
            file_name: Bundle::file_name(),
            base64: STANDARD.encode(zip),
            contents: contents.files,
            left_out: contents.left_out,
        })
    }

    /// What is looked at, from settings that may themselves be ill.
    async fn examination(&self) -> Examination {
        let host = &self.0.host;
        let (settings, mut problems) = host.read_settings();
        let store = self.store(&settings);
        problems.extend(settings.extra_ca_pem().err());
        let net = tokio::time::timeout(ASKING, settings.net(store.as_ref(), &host.environment)).await;
        let net = net.ok().and_then(Result::ok).unwrap_or_else(|| NetSettings {
            extra_ca_pem: settings.extra_ca_pem().ok().flatten(),
            ..NetSettings::default()
        });
        let sign_in = SignIn::new(&host.data_dir, store.clone(), net.clone());
        let (identity, api) = match (self.identity(&settings), &host.token) {
            (Ok(Who::Token), Some(token)) => (Identity::Token(token.clone()), settings.api()),
            (Ok(Who::Account(account)), _) => {
                let api = account.server.to_string();
                (Identity::Account(sign_in, Some(account.name)), Some(api))
            }
            _ => (Identity::Nobody, settings.api()),
        };
        let kept = self.0.own.made().await;
        Examination {
            api,
            net,
            identity,
            secrets: Some(store),
            device_endpoint: settings
                .overrides()
                .global_device_endpoint
                .unwrap_or_else(|| GLOBAL_DEVICE_ENDPOINT.into()),
            settings: Some(SettingsSeen { file: host.settings_file.clone(), problems, warnings: settings.warnings() }),
            circuits: kept.map(|installer| installer.circuits()).unwrap_or_default(),
            ..Examination::new(&host.data_dir)
        }
    }
}
