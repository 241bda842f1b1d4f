//! The demo: a local cloud and simulated devices, the real programs, in processes of their own that end with this one.
//!
//! They are one executable, `lowtouch-demo`, looked for beside this program's own.

mod cloud;
mod devices;
mod process_tree;
mod program;

pub use cloud::{Cloud, CloudError, Instance};
pub use devices::{DemoDevice, Kind, WIFI_PASSPHRASE, WIFI_SSID, start as start_devices};
pub use process_tree::{ProcessError, ProcessTree, Starting};
pub use program::{Missing, find_program};
