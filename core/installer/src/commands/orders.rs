//! Work orders of the account.

use jiff::Timestamp;
use provisioning_api_contract::{OfflineOrder, OnlineDevice, WorkOrder};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{CommandError, Commands, Nothing};
use crate::error::ErrorCode;

/// A work order.
#[derive(Debug, Clone, Copy, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct OrderRef {
    /// Its ID.
    pub id: Uuid,
}

/// The account's work orders.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OrdersSeen {
    /// In the order in which they were made; with their devices where they are downloaded.
    pub orders: Vec<OrderSeen>,
    /// Whether the provisioning API was reached; if not, these are the downloaded ones.
    pub asked: bool,
    /// Why it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<CommandError>,
}

/// A work order and its download.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[non_exhaustive]
pub struct OrderSeen {
    /// As the provisioning API has it, or had it when it was downloaded.
    pub order: WorkOrder,
    /// What was downloaded of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downloaded: Option<OrderDownloaded>,
}

/// What of a work order is here, for use without a network.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OrderDownloaded {
    /// Until when it can be used.
    pub not_after: Timestamp,
    /// Registration IDs of the devices that can be paired without a network.
    pub sealed: Vec<String>,
    /// The others, and why they need one.
    pub online: Vec<OnlineDevice>,
}

impl OrderDownloaded {
    fn of(kept: OfflineOrder) -> Self {
        OrderDownloaded {
            not_after: kept.not_after,
            sealed: kept.sealed.into_iter().map(|device| device.registration_id).collect(),
            online: kept.online,
        }
    }
}

/// With the devices of the download where a list has none.
fn seen(mut order: WorkOrder, downloaded: &[OfflineOrder]) -> OrderSeen {
    let kept = downloaded.iter().find(|kept| kept.order.id == order.id).cloned();
    if let Some(kept) = &kept
        && order.devices.is_empty()
    {
        order.devices.clone_from(&kept.order.devices);
    }
    OrderSeen { order, downloaded: kept.map(OrderDownloaded::of) }
}

impl Commands {
    /// `orders`.
    ///
    /// # Errors
    /// `api-…`, `journal-…`, and what keeps the provisioning API from being asked.
    pub async fn orders(&self, _: Nothing) -> Result<OrdersSeen, CommandError> {
        let installer = self.installer().await?;
        let downloaded = installer.downloaded_orders().await?;
        let api = installer.api().ok_or(ErrorCode::ApiNotSet)?;
        match api.work_orders().await {
            Ok(list) => {
                let orders = list.work_orders.into_iter().map(|order| seen(order, &downloaded)).collect();
                Ok(OrdersSeen { orders, asked: true, error: None })
            }
            // What was downloaded is there for places without a network.
            Err(error)
                if matches!(error.code, ErrorCode::ApiUnreachable | ErrorCode::ApiTimeout | ErrorCode::Offline)
                    && !downloaded.is_empty() =>
            {
                let orders = downloaded.iter().map(|kept| seen(kept.order.clone(), &downloaded)).collect();
                Ok(OrdersSeen { orders, asked: false, error: Some(error.into()) })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// `order`.
    ///
    /// # Errors
    /// `order-unknown`, and as [`orders`](Self::orders).
    pub async fn order(&self, args: OrderRef) -> Result<OrderSeen, CommandError> {
        let installer = self.installer().await?;
        let downloaded = installer.downloaded_orders().await?;
        let order = installer.api().ok_or(ErrorCode::ApiNotSet)?.work_order(args.id).await?;
        Ok(seen(order, &downloaded))
    }

    /// `order_download`.
    ///
    /// # Errors
    /// As [`Installer::download_order`](crate::Installer::download_order).
    pub async fn order_download(&self, args: OrderRef) -> Result<OrderDownloaded, CommandError> {
        Ok(OrderDownloaded::of(self.installer().await?.download_order(args.id).await?))
    }
}
