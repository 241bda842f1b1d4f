//! What went wrong below btleplug, sorted by what to do about it.

/// One failed operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mishap {
    /// The device answered with an ATT error: its handler failed.
    Att,
    /// The device wants a Bluetooth pairing (an encrypted or authenticated connection) first.
    WantsBonding,
    /// The connection, or the object it belonged to, is gone.
    Gone,
    /// The Bluetooth service is not there (any more).
    NoService,
    /// The system does not let this user.
    Denied,
    /// A kill switch.
    Blocked,
    /// The adapter is off.
    Off,
    /// The service did not answer in time.
    Silent,
    /// Anything else; worth another try where trying is right.
    Other(String),
}

impl From<btleplug::Error> for Mishap {
    fn from(error: btleplug::Error) -> Self {
        match &error {
            btleplug::Error::PermissionDenied => Self::Denied,
            btleplug::Error::DeviceNotFound | btleplug::Error::NotConnected => Self::Gone,
            btleplug::Error::TimedOut(_) => Self::Silent,
            #[cfg(target_os = "linux")]
            btleplug::Error::Other(inner) => match inner.downcast_ref::<bluez_async::BluetoothError>() {
                Some(bluez_async::BluetoothError::DbusError(error)) => {
                    of_dbus(error.name().unwrap_or_default(), error.message().unwrap_or_default())
                }
                _ => Self::Other(error.to_string()),
            },
            _ => Self::Other(error.to_string()),
        }
    }
}

/// Names: dbus-protocol.h and BlueZ 5.66, src/error.c. GATT failures: src/gatt-client.c, `create_gatt_dbus_error`.
#[cfg(any(target_os = "linux", test))]
fn of_dbus(name: &str, message: &str) -> Mishap {
    let (family, short) = name.rsplit_once('.').unwrap_or(("", name));
    match (family, short) {
        ("org.freedesktop.DBus.Error", "AccessDenied" | "AuthFailed") => Mishap::Denied,
        (
            "org.freedesktop.DBus.Error",
            "ServiceUnknown" | "NameHasNoOwner" | "NoServer" | "FileNotFound" | "Disconnected" | "NoReply" | "Timeout"
            | "TimedOut" | "BadAddress",
        ) if !(short == "NoReply" && message.contains("timeout")) => Mishap::NoService,
        ("org.freedesktop.DBus.Error", "NoReply") => Mishap::Silent,
        ("org.freedesktop.DBus.Error", "UnknownObject" | "UnknownMethod" | "UnknownInterface") => Mishap::Gone,
        ("org.bluez.Error", "Blocked") => Mishap::Blocked,
        ("org.bluez.Error", "NotReady") => Mishap::Off,
        ("org.bluez.Error", "NotConnected" | "DoesNotExist") => Mishap::Gone,
        ("org.bluez.Error", "NotPermitted") if message.contains("Not paired") => Mishap::WantsBonding,
        (
            "org.bluez.Error",
            "NotPermitted" | "NotSupported" | "NotAuthorized" | "InvalidOffset" | "InvalidArguments",
        ) => Mishap::Att,
        ("org.bluez.Error", "Failed") if message.contains("ATT error") => Mishap::Att,
        ("org.bluez.Error", "Failed") if message.eq_ignore_ascii_case("not connected") => Mishap::Gone,
        ("org.bluez.Error", "Failed") if message.to_ascii_lowercase().contains("rfkill") => Mishap::Blocked,
        _ => Mishap::Other(format!("{name}: {message}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bluez_says_is_sorted_by_what_to_do() {
        for (name, message, mishap) in [
            ("org.bluez.Error.Failed", "Operation failed with ATT error: 0x0e", Mishap::Att),
            ("org.bluez.Error.Failed", "Operation failed with ATT error: 0x80 (Application error)", Mishap::Att),
            ("org.bluez.Error.InvalidArguments", "Invalid Length", Mishap::Att),
            ("org.bluez.Error.NotPermitted", "Write not permitted", Mishap::Att),
            ("org.bluez.Error.NotPermitted", "Not paired", Mishap::WantsBonding),
            ("org.bluez.Error.Failed", "Not connected", Mishap::Gone),
            ("org.bluez.Error.NotConnected", "Not Connected", Mishap::Gone),
            ("org.bluez.Error.Blocked", "Blocked through rfkill", Mishap::Blocked),
            ("org.bluez.Error.NotReady", "Resource Not Ready", Mishap::Off),
            ("org.freedesktop.DBus.Error.UnknownObject", "Method \"WriteValue\" doesn't exist", Mishap::Gone),
            ("org.freedesktop.DBus.Error.UnknownMethod", "", Mishap::Gone),
            ("org.freedesktop.DBus.Error.ServiceUnknown", "org.bluez was not provided", Mishap::NoService),
            ("org.freedesktop.DBus.Error.NoReply", "Message recipient disconnected", Mishap::NoService),
            ("org.freedesktop.DBus.Error.AccessDenied", "Rejected send message", Mishap::Denied),
        ] {
            assert_eq!(of_dbus(name, message), mishap, "{name} {message}");
        }
        let other = of_dbus("org.bluez.Error.Failed", "le-connection-abort-by-local");
        assert_eq!(other, Mishap::Other("org.bluez.Error.Failed: le-connection-abort-by-local".into()));
    }
}
