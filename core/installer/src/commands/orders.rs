//! Work orders of the account.

use jiff::Timestamp;
use provisioning_api_contract::{OnlineDevice, WorkOrder};
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
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OrdersSeen {
    /// In the order in which they were made; without their devices unless they come from a download.
    pub orders: Vec<OrderSeen>,
    /// The provisioning API could not be reached: these are the downloaded ones.
    pub offline: bool,
}

/// A work order and its download.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OrderSeen {
    /// As the provisioning API has it, or had it when it was downloaded.
    #[serde(flatten)]
    pub order: WorkOrder,
    /// Until when what was downloaded of it can be used; absent: it is not downloaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downloaded_until: Option<Timestamp>,
}

/// What a download brought.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OrderDownloaded {
    /// The order.
    pub id: Uuid,
    /// Until when it can be used.
    pub not_after: Timestamp,
    /// Registration IDs of the devices that can be paired without a network.
    pub sealed: Vec<String>,
    /// The others, and why they need one.
    pub online: Vec<OnlineDevice>,
}

impl Commands {
    /// `orders`.
    ///
    /// # Errors
    /// `api-…`, `journal-…`, and what keeps the provisioning API from being asked.
    pub async fn orders(&self, _: Nothing) -> Result<OrdersSeen, CommandError> {
        let installer = self.installer().await?;
        let downloaded = installer.downloaded_orders().await?;
        let until = |id: Uuid| downloaded.iter().find(|kept| kept.order.id == id).map(|kept| kept.not_after);
        let seen = |order: WorkOrder| OrderSeen { downloaded_until: until(order.id), order };
        let api = installer.api().ok_or(ErrorCode::ApiNotSet)?;
        match api.work_orders().await {
            Ok(list) => Ok(OrdersSeen { orders: list.work_orders.into_iter().map(seen).collect(), offline: false }),
            // What was downloaded is there for places without a network.
            Err(error)
                if matches!(error.code, ErrorCode::ApiUnreachable | ErrorCode::ApiTimeout | ErrorCode::Offline)
                    && !downloaded.is_empty() =>
            {
                let orders = downloaded.iter().map(|kept| seen(kept.order.clone())).collect();
                Ok(OrdersSeen { orders, offline: true })
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
        let downloaded_until = downloaded.iter().find(|kept| kept.order.id == args.id).map(|kept| kept.not_after);
        let order = installer.api().ok_or(ErrorCode::ApiNotSet)?.work_order(args.id).await?;
        Ok(OrderSeen { order, downloaded_until })
    }

    /// `order_download`.
    ///
    /// # Errors
    /// As [`Installer::download_order`](crate::Installer::download_order).
    pub async fn order_download(&self, args: OrderRef) -> Result<OrderDownloaded, CommandError> {
        let order = self.installer().await?.download_order(args.id).await?;
        Ok(OrderDownloaded {
            id: args.id,
            not_after: order.not_after,
            sealed: order.sealed.into_iter().map(|device| device.registration_id).collect(),
            online: order.online,
        })
    }
}
