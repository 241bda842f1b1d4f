use std::{fmt, net::SocketAddr, str::FromStr, time::Duration};

use url::Url;

use crate::simulated::Radio;

/// Where a device is. Parses from and prints as a URL.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum LinkAddress {
    /// `http://HOST[:PORT]`: protocomm over HTTP. Plain HTTP is right here: a SoftAP has no TLS, protocomm itself
    /// encrypts.
    Http(Url),
    /// `serial:///dev/ttyUSB0[?baud=115200]` or `serial:COM3`.
    Serial {
        /// The port's path or name.
        path: String,
        /// Bits per second.
        baud: u32,
    },
    /// `ble-sim://ADDR:PORT[?mtu=..&latency_ms=..&loss=..&disconnect_after=..&seed=..]`.
    BleSim {
        /// Where [`simulated::serve`](crate::simulated::serve) listens.
        peripheral: SocketAddr,
        /// How good the simulated radio is.
        radio: Radio,
    },
    /// `ble://NAME` or `ble://AA:BB:CC:DD:EE:FF`: a real peripheral.
    Ble {
        /// The advertised name, or the address.
        target: String,
    },
}

/// Baud rate of the ESP-IDF console, and of a [`LinkAddress::Serial`] that names none.
pub const DEFAULT_BAUD: u32 = 115_200;

/// The text is no link address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no link address: {why}. Use http://HOST, serial:///dev/PORT, ble-sim://IP:PORT or ble://NAME")]
#[non_exhaustive]
pub struct AddressError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl FromStr for LinkAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = |why| AddressError { text: text.to_owned(), why };
        let (scheme, rest) = text.split_once(':').ok_or(error("it has no scheme"))?;
        match scheme.to_ascii_lowercase().as_str() {
            "http" => parse_http(text).map_err(error),
            "https" => Err(error("devices speak plain HTTP; their session is encrypted inside it")),
            "serial" => parse_serial(rest).map_err(error),
            "ble-sim" => parse_ble_sim(rest).map_err(error),
            "ble" => match rest.strip_prefix("//").unwrap_or(rest) {
                "" => Err(error("the name is missing")),
                target => Ok(Self::Ble { target: target.to_owned() }),
            },
            _ => Err(error("the scheme is unknown")),
        }
    }
}

impl fmt::Display for LinkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => write!(f, "{}", url.as_str().trim_end_matches('/')),
            Self::Serial { path, baud: DEFAULT_BAUD } => write!(f, "serial://{path}"),
            Self::Serial { path, baud } => write!(f, "serial://{path}?baud={baud}"),
            Self::BleSim { peripheral, radio } => {
                let settings = radio.to_query();
                let mark = if settings.is_empty() { "" } else { "?" };
                write!(f, "ble-sim://{peripheral}{mark}{settings}")
            }
            Self::Ble { target } => write!(f, "ble://{target}"),
        }
    }
}

fn parse_http(text: &str) -> Result<LinkAddress, &'static str> {
    let url = Url::parse(text).map_err(|_| "the URL cannot be read")?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err("the host is missing");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a user name or password does not belong in it");
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err("nothing may follow the host and port");
    }
    Ok(LinkAddress::Http(url))
}

fn parse_serial(rest: &str) -> Result<LinkAddress, &'static str> {
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if path.is_empty() {
        return Err("the port is missing");
    }
    let mut baud = DEFAULT_BAUD;
    for (key, value) in pairs(query) {
        match key {
            "baud" => {
                baud = value.parse().ok().filter(|baud| *baud > 0).ok_or("baud is no number")?;
            }
            _ => return Err("a setting after ? is unknown"),
        }
    }
    Ok(LinkAddress::Serial { path: path.to_owned(), baud })
}

fn parse_ble_sim(rest: &str) -> Result<LinkAddress, &'static str> {
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (peripheral, query) = rest.split_once('?').unwrap_or((rest, ""));
    let peripheral = peripheral.trim_end_matches('/').parse().map_err(|_| "it needs an IP address and a port")?;
    let mut radio = Radio::default();
    for (key, value) in pairs(query) {
        let number = value.parse::<u64>().map_err(|_| "a setting is no number");
        match key {
            "mtu" => radio.mtu = u16::try_from(number?).map_err(|_| "mtu is 23 to 517")?,
            "latency_ms" => radio.latency = Duration::from_millis(number?),
            "supervision_ms" => radio.supervision = Duration::from_millis(number?),
            "loss" => radio.loss = value.parse().map_err(|_| "loss is no number")?,
            "disconnect_after" => radio.disconnect_after = Some(number?),
            "layout_known" => radio.layout_known = number? != 0,
            "seed" => radio.seed = number?,
            _ => return Err("a setting after ? is unknown"),
        }
    }
    radio.check()?;
    Ok(LinkAddress::BleSim { peripheral, radio })
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> LinkAddress {
        text.parse().unwrap()
    }

    #[test]
    fn every_address_prints_as_it_was_written() {
        for text in [
            "http://192.168.4.1",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "serial:///dev/ttyUSB0",
            "serial:///dev/ttyACM1?baud=921600",
            "ble-sim://127.0.0.1:4000",
            "ble-sim://127.0.0.1:4000?mtu=23&latency_ms=30&loss=0.25&supervision_ms=6000&disconnect_after=9&layout_known=1&seed=7",
            "ble://PROV_CE03C0",
            "ble://A0:B1:C2:D3:E4:F5",
        ] {
            assert_eq!(parse(text).to_string(), text);
        }
    }

    #[test]
    fn serial_takes_windows_names_and_the_default_rate() {
        assert_eq!(parse("serial:COM3"), LinkAddress::Serial { path: "COM3".to_owned(), baud: DEFAULT_BAUD });
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (text, why) in [
            ("192.168.4.1", "no scheme"),
            ("ftp://x", "unknown"),
            ("https://192.168.4.1", "plain HTTP"),
            ("http://", "cannot be read"),
            ("http://device/path", "nothing may follow"),
            ("http://user:secret@device", "does not belong"),
            ("serial://", "port is missing"),
            ("serial:///dev/ttyUSB0?baud=fast", "no number"),
            ("serial:///dev/ttyUSB0?baud=0", "no number"),
            ("serial:///dev/ttyUSB0?speed=9", "unknown"),
            ("ble-sim://somewhere", "IP address"),
            ("ble-sim://127.0.0.1:1?mtu=22", "23 to 517"),
            ("ble-sim://127.0.0.1:1?mtu=99999", "23 to 517"),
            ("ble-sim://127.0.0.1:1?loss=2", "0 to 1"),
            ("ble-sim://127.0.0.1:1?loss=NaN", "0 to 1"),
            ("ble-sim://127.0.0.1:1?magic=2", "unknown"),
            ("ble://", "name is missing"),
            ("", "no scheme"),
        ] {
            let error = text.parse::<LinkAddress>().unwrap_err();
            assert!(error.to_string().contains(why), "{text}: {error}");
        }
    }
}
