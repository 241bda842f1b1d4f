use async_trait::async_trait;
use uuid::Uuid;

/// ESP-IDF's default provisioning service.
pub const SERVICE: Uuid = Uuid::from_u128(0x1775244d_6b43_439b_877c_060f2d9bed07);
/// The service of Espressif's examples, common in the field.
pub const SERVICE_COMMON: Uuid = Uuid::from_u128(0x021a9004_0382_4aea_bff4_6b3f1c5adfb4);

/// A GATT server as its central sees it; one central at a time.
///
/// A transaction is a write with response and then a read of the same characteristic. The request is handled within
/// `write`; a handler's failure is its ATT error ([`att_error::UNLIKELY`] as ESP-IDF answers).
#[async_trait]
pub trait Peripheral: Send {
    /// A central connects and discovers the characteristics. The device's secured session starts afresh.
    async fn connect(&mut self) -> Result<Vec<Characteristic>, GattError>;
    /// The central is gone, or out of reach. Called at most once per connection.
    async fn disconnect(&mut self);
    /// A whole value of at most 512 bytes (prepared writes are already joined).
    async fn write(&mut self, characteristic: Uuid, value: &[u8]) -> Result<(), GattError>;
    /// The whole value of at most 512 bytes.
    async fn read(&mut self, characteristic: Uuid) -> Result<Vec<u8>, GattError>;
}

/// One characteristic of a protocomm service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Characteristic {
    /// Its UUID.
    pub uuid: Uuid,
    /// The text of its 0x2901 descriptor: the endpoint's name.
    pub endpoint: String,
}

/// Why a GATT operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GattError {
    /// The server answered with this ATT error code.
    #[error("ATT error {0:#04x}")]
    Att(u8),
    /// Nobody there, or no longer.
    #[error("not connected")]
    Disconnected,
    /// Another central is connected.
    #[error("another central is connected")]
    Busy,
    /// Somebody answers who is no peripheral.
    #[error("not a simulated peripheral")]
    Protocol,
}

/// ATT error codes (Bluetooth Core, Vol 3, Part F, 3.4.1.1).
pub mod att_error {
    /// The attribute does not exist.
    pub const INVALID_HANDLE: u8 = 0x01;
    /// The value is longer than the attribute holds.
    pub const INVALID_LENGTH: u8 = 0x0d;
    /// The handler failed.
    pub const UNLIKELY: u8 = 0x0e;
}

/// The characteristics of a protocomm service with these endpoints: the service's UUID with hex digits 5 to 8
/// replaced by `ff4f` (prov-ctrl) to `ff53` (proto-ver), custom endpoints counting up from `ff54` in the order given.
pub fn characteristics<'a>(service: Uuid, endpoints: impl IntoIterator<Item = &'a str>) -> Vec<Characteristic> {
    let mut custom = 0xff54_u16;
    endpoints
        .into_iter()
        .map(|endpoint| {
            let short = match endpoint {
                "prov-ctrl" => 0xff4f,
                "prov-scan" => 0xff50,
                "prov-session" => 0xff51,
                "prov-config" => 0xff52,
                "proto-ver" => 0xff53,
                _ => {
                    let own = custom;
                    custom = custom.wrapping_add(1);
                    own
                }
            };
            Characteristic { uuid: derive(service, short), endpoint: endpoint.to_owned() }
        })
        .collect()
}

fn derive(service: Uuid, short: u16) -> Uuid {
    const DIGITS_5_TO_8: u128 = 0xffff << 96;
    Uuid::from_u128((service.as_u128() & !DIGITS_5_TO_8) | (u128::from(short) << 96))
}
