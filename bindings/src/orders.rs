//! Work orders: the devices that one installer is to do at one site.

use std::time::SystemTime;

use lowtouch_installer::orders as core;
use uuid::Uuid;

use crate::failure::mirror;

mirror! {
    /// How a work order stands.
    OrderState of core::OrderState {
        /// Its installer may pair its devices, within its times.
        Open,
        /// Done.
        Closed,
        /// Called off.
        Cancelled,
    }
}

/// The hours of the day in which an order is open, by the clock on the site's wall.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct OpeningHours {
    /// `HH:MM`.
    pub from: String,
    /// `HH:MM`, the first minute that is outside.
    pub until: String,
    /// IANA name: `Europe/Berlin`.
    pub time_zone: String,
}

/// A work order.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct WorkOrder {
    /// Its ID.
    pub id: Uuid,
    /// Where.
    pub site: String,
    /// How it stands.
    pub state: OrderState,
    /// Whether its devices can be paired at this moment.
    pub open_now: bool,
    /// Not before this time.
    pub opens: Option<SystemTime>,
    /// Not from this time on.
    pub closes: Option<SystemTime>,
    /// Only in these hours of each day.
    pub hours: Option<OpeningHours>,
    /// Registration IDs of its devices, where they are named; empty in a list.
    pub devices: Vec<String>,
}

impl From<core::WorkOrder> for WorkOrder {
    fn from(order: core::WorkOrder) -> Self {
        Self {
            id: order.id,
            site: order.site,
            state: order.state.into(),
            open_now: order.open_now,
            opens: order.opens.map(SystemTime::from),
            closes: order.closes.map(SystemTime::from),
            hours: order.hours.map(|hours| OpeningHours {
                from: hours.from,
                until: hours.until,
                time_zone: hours.time_zone,
            }),
            devices: order.devices.into_iter().map(|device| device.registration_id).collect(),
        }
    }
}

/// A work order that was downloaded for a place without a network.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct DownloadedOrder {
    /// The order.
    pub order: WorkOrder,
    /// Until when it can be used.
    pub not_after: SystemTime,
    /// Registration IDs of devices that can be paired without a network.
    pub ready: Vec<String>,
}

impl From<core::OfflineOrder> for DownloadedOrder {
    fn from(downloaded: core::OfflineOrder) -> Self {
        Self {
            not_after: downloaded.not_after.into(),
            ready: downloaded.sealed.iter().map(|sealed| sealed.registration_id.clone()).collect(),
            order: downloaded.order.into(),
        }
    }
}
