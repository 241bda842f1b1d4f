//! Labels: read once, kept here, named by an ID.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use lowtouch_links::LinkAddress;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{CommandError, Commands};
use crate::error::{ErrorCode, PairingError};
use crate::events::Step;
use crate::installer::{device_info, wifi_scan};
use crate::journal::State;
use crate::label::{self, DEFAULT_USERNAME, Label, LabelError, Network, Security, Transport};
use crate::pairing::{DeviceInfo, SecurityFlags, WifiNetwork};

/// How many labels are kept; the oldest goes first.
const MOST: usize = 1000;

/// `label_read`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct LabelText {
    /// What the QR code holds.
    #[cfg_attr(feature = "typescript", ts(type = "string"))]
    pub text: SecretString,
}

/// `label_read_picture`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct LabelPicture {
    /// PNG or JPEG in base64.
    #[cfg_attr(feature = "typescript", ts(type = "string"))]
    pub base64: SecretString,
}

/// `label_from_code`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelCode {
    /// What the device calls itself.
    pub name: String,
    /// The code on the label, where it has one.
    #[cfg_attr(feature = "typescript", ts(as = "Option<String>"))]
    pub pop: Option<SecretString>,
    /// How it is reached, for example `http://192.168.4.1`.
    pub link: String,
    /// The Security 2 user name; ESP-IDF's where there is none.
    pub username: Option<String>,
    /// 0, 1 or 2; 2 where there is a code, else 1.
    pub security: Option<u8>,
}

/// A label as the page sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LabelSeen {
    /// Names the label from here on.
    pub label_id: Uuid,
    /// What the device calls itself.
    pub name: String,
    /// `ble`, `softap`, `serial` or something that this version does not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// 0, 1 or 2.
    pub security: u8,
    /// Whether it has a code (PoP).
    pub has_pop: bool,
    /// Which network the device wants: `wifi` or `thread`.
    pub network: &'static str,
    /// How it would be reached; absent where the label does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// A pairing of this name that was interrupted, which the next one finishes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<Unfinished>,
}

/// An interrupted pairing.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Unfinished {
    /// Names it in the journal.
    pub handoff_id: Uuid,
    /// When its first run began.
    pub started_at: Timestamp,
    /// Where its last run stopped, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Why, a code of the errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whether the device has its new configuration already.
    pub committed: bool,
}

/// `wifi_networks`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WifiNetworksOf {
    /// Of the device.
    pub label_id: Uuid,
    /// How to reach it, where not as the label says.
    pub link: Option<String>,
    /// Talk to a device without any protection.
    #[serde(default)]
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<bool>"))]
    pub allow_security0: bool,
    /// Talk to a device that announces less security than its label.
    #[serde(default)]
    #[cfg_attr(feature = "typescript", ts(optional, as = "Option<bool>"))]
    pub allow_downgrade: bool,
}

/// `device_info`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceInfoOf {
    /// How to reach it.
    pub link: String,
    /// Its label: then it also says who it is.
    pub label_id: Option<Uuid>,
}

/// The labels that were read.
#[derive(Default)]
pub(super) struct Labels(Mutex<VecDeque<(Uuid, Kept)>>);

/// A label and where its device is.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) label: Label,
    pub(super) link: Option<LinkAddress>,
}

impl Labels {
    pub(super) fn keep(&self, kept: Kept) -> Uuid {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == MOST {
            all.pop_front();
        }
        let id = Uuid::new_v4();
        all.push_back((id, kept));
        id
    }

    pub(super) fn get(&self, id: Uuid) -> Result<Kept, CommandError> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.iter().find(|(known, _)| *known == id);
        found.map(|(_, kept)| kept.clone()).ok_or_else(|| ErrorCode::LabelForgotten.into())
    }

    pub(super) fn forget(&self, ids: &[Uuid]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(id, _)| !ids.contains(id));
    }
}

impl Commands {
    /// `label_read`.
    ///
    /// # Errors
    /// `label-…`; `label-is-invite` for an invite.
    pub async fn label_read(&self, args: LabelText) -> Result<LabelSeen, CommandError> {
        let label = label::parse(args.text.expose_secret()).map_err(PairingError::from)?;
        self.seen(label, None).await
    }

    /// `label_read_picture`.
    ///
    /// # Errors
    /// `picture-…`, and as [`label_read`](Self::label_read).
    pub async fn label_read_picture(&self, args: LabelPicture) -> Result<LabelSeen, CommandError> {
        let bytes = picture(&args.base64)?;
        // Megapixels take a while.
        let read = tokio::task::spawn_blocking(move || label::from_picture(&bytes)).await;
        let read = read.map_err(|stopped| PairingError::with_detail(ErrorCode::Internal, stopped.to_string()))?;
        self.seen(read.map_err(PairingError::from)?, None).await
    }

    /// `label_from_code`.
    ///
    /// # Errors
    /// `link-unsupported` for the link, `label-incomplete`, `label-unsupported`.
    pub async fn label_from_code(&self, args: LabelCode) -> Result<LabelSeen, CommandError> {
        let link = address(&args.link)?;
        let pop = args.pop.filter(|pop| !pop.expose_secret().trim().is_empty());
        let pop = pop.map(|pop| SecretString::from(pop.expose_secret().trim()));
        let name = args.name.trim().to_owned();
        let security = match args.security {
            Some(number) => Security::try_from(number).map_err(|_| LabelError::Unsupported { key: "security" }),
            None => Ok(if pop.is_some() { Security::Srp6a } else { Security::X25519 }),
        };
        let security = security.map_err(PairingError::from)?;
        let incomplete = |key| PairingError::from(LabelError::Incomplete(key));
        if name.is_empty() {
            return Err(incomplete("name").into());
        }
        if security == Security::Srp6a && pop.is_none() {
            return Err(incomplete("pop").into());
        }
        let transport = match &link {
            LinkAddress::Http(_) => Transport::Softap,
            LinkAddress::Serial { .. } => Transport::Serial,
            _ => Transport::Ble,
        };
        let username = args.username.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        let label = Label {
            name,
            username: username.unwrap_or_else(|| DEFAULT_USERNAME.into()),
            pop,
            transport: Some(transport),
            security,
            softap_password: None,
            network: Network::Wifi,
        };
        self.seen(label, Some(link)).await
    }

    /// `wifi_networks`.
    ///
    /// # Errors
    /// `label-forgotten`; as [`wifi_scan`].
    pub async fn wifi_networks(&self, args: WifiNetworksOf) -> Result<Vec<WifiNetwork>, CommandError> {
        let kept = self.0.labels.get(args.label_id)?;
        let link = link_of(&kept, args.link.as_deref())?;
        let allowed = SecurityFlags { allow_none: args.allow_security0, allow_downgrade: args.allow_downgrade };
        Ok(wifi_scan(&link, kept.label, allowed).await?)
    }

    /// `device_info`.
    ///
    /// # Errors
    /// `label-forgotten`; as [`device_info`](crate::device_info).
    pub async fn device_info(&self, args: DeviceInfoOf) -> Result<DeviceInfo, CommandError> {
        let label = args.label_id.map(|id| self.0.labels.get(id)).transpose()?.map(|kept| kept.label);
        Ok(device_info(&address(&args.link)?, label, SecurityFlags::default()).await?)
    }

    async fn seen(&self, label: Label, link: Option<LinkAddress>) -> Result<LabelSeen, CommandError> {
        let unfinished = self.unfinished(&label).await;
        let link = link.or_else(|| label.link());
        let seen = LabelSeen {
            label_id: Uuid::nil(),
            name: label.name.clone(),
            transport: label.transport.as_ref().map(|transport| transport.as_str().to_owned()),
            security: label.security.into(),
            has_pop: label.pop.is_some(),
            network: match label.network {
                Network::Wifi => "wifi",
                Network::Thread => "thread",
            },
            link: link.as_ref().map(LinkAddress::to_string),
            unfinished,
        };
        Ok(LabelSeen { label_id: self.0.labels.keep(Kept { label, link }), ..seen })
    }

    /// What the journal has of this label. A journal that cannot be read is said by the pairing itself.
    async fn unfinished(&self, label: &Label) -> Option<Unfinished> {
        let journal = self.journal_now().await.ok()?;
        let entry = journal.open_of(label).await.ok()??;
        debug_assert_eq!(entry.state, State::Open);
        let committed = entry.acknowledged.committed_at.is_some();
        let (step, code) = entry.error.map_or((None, None), |error| (error.step, Some(error.code)));
        let step = step.or_else(|| committed.then(|| Step::Confirm.as_str().to_owned()));
        Some(Unfinished { handoff_id: entry.handoff_id, started_at: entry.started_at, step, code, committed })
    }
}

/// Of a camera's picture, or with the head of a data: URL.
pub(super) fn picture(base64: &SecretString) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    let text = base64.expose_secret();
    let text = text.split_once("base64,").map_or(text, |(_, text)| text);
    let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new);
    bytes.map_err(|_| PairingError::from(LabelError::Picture("it is not in base64".into())).into())
}

/// The link that was given, or else the label's own.
pub(super) fn link_of(kept: &Kept, given: Option<&str>) -> Result<LinkAddress, CommandError> {
    match given.map(str::trim).filter(|given| !given.is_empty()) {
        Some(given) => address(given),
        None => kept.link.clone().ok_or_else(|| {
            PairingError::with_detail(ErrorCode::LinkUnsupported, "the label does not say how the device is reached")
                .into()
        }),
    }
}

pub(super) fn address(text: &str) -> Result<LinkAddress, CommandError> {
    text.trim().parse().map_err(|error: lowtouch_links::AddressError| {
        PairingError::with_detail(ErrorCode::LinkUnsupported, error.to_string()).into()
    })
}
