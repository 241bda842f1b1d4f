//! Which Wi-Fi the device should join: said, or chosen from what the device hears.

use console::{pad_str, style};
use lowtouch_installer::pairing::{NotJoinable, Ssid, WifiAuth, WifiCredentials, WifiNetwork};
use lowtouch_installer::{ErrorCode, PairingError};

use crate::args::WifiSecretArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::input;
use crate::output::complain;

/// How often a passphrase that the network refuses is asked for in one command.
const TRIES: u8 = 3;

/// Length of a network's name, in bytes.
const NAME: std::ops::RangeInclusive<usize> = 1..=32;

/// Credentials, and whether a person can be asked for others.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) wifi: WifiCredentials,
    typed: bool,
    tries: u8,
}

impl Given {
    /// The Wi-Fi that the command line names.
    pub(crate) async fn named(ssid: &str, secret: &WifiSecretArgs) -> Result<Self, Failure> {
        let (passphrase, typed) = input::passphrase(&Ssid::from(ssid).to_string(), secret).await?;
        let wifi = if secret.wifi_hidden {
            WifiCredentials::hidden(ssid, passphrase)
        } else {
            WifiCredentials::new(ssid, passphrase)
        };
        Ok(Self { wifi, typed, tries: 1 })
    }

    /// The Wi-Fi that the person chooses.
    pub(crate) async fn chosen(networks: &[WifiNetwork], secret: &WifiSecretArgs) -> Result<Self, Failure> {
        let choices = Choices::of(networks);
        for line in choices.lines() {
            complain(&line);
        }
        let chosen = loop {
            let answer = input::line(&format!("Number (1 to {}): ", choices.last())).await?;
            match choices.pick(&answer) {
                Some(chosen) => break chosen,
                None => complain(&format!("Type a number from 1 to {}, or press Ctrl-C to stop.", choices.last())),
            }
        };
        let Some(network) = chosen else {
            let name = loop {
                let name = input::line("Name of the Wi-Fi: ").await?;
                if NAME.contains(&name.len()) {
                    break name;
                }
                complain("A name has 1 to 32 bytes.");
            };
            let secret = WifiSecretArgs { wifi_hidden: true, ..secret.clone() };
            return Self::named(&name, &secret).await;
        };
        let (passphrase, typed) = if network.auth.wants_passphrase() == Some(false) {
            (String::new().into(), false)
        } else {
            input::passphrase(&network.ssid.to_string(), secret).await?
        };
        Ok(Self { wifi: network.credentials(passphrase), typed, tries: 1 })
    }

    /// After a failure: whether the person gave another passphrase, so that it is worth another try.
    pub(crate) async fn again(&mut self, error: &PairingError) -> Result<bool, Failure> {
        use ErrorCode::{WifiInvalid, WifiSecurityDiffers, WifiWrongPassword};
        let about_the_passphrase = matches!(error.code, WifiWrongPassword | WifiInvalid | WifiSecurityDiffers)
            && NAME.contains(&self.wifi.ssid.as_bytes().len());
        if !self.typed || !about_the_passphrase || self.tries >= TRIES {
            return Ok(false);
        }
        self.tries += 1;
        let detail = error.detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
        complain(&format!("{} {}{detail}", style("✗").red().bold(), error.hint()));
        self.wifi.passphrase = input::ask_passphrase(&self.wifi.ssid.to_string()).await?;
        Ok(true)
    }
}

/// The networks as a numbered list; the last number is for a name that is not in it.
struct Choices<'a> {
    networks: &'a [WifiNetwork],
}

impl<'a> Choices<'a> {
    fn of(networks: &'a [WifiNetwork]) -> Self {
        Self { networks }
    }

    fn joinable(&self) -> impl Iterator<Item = &'a WifiNetwork> + use<'a> {
        self.networks.iter().filter(|network| network.joinable)
    }

    fn last(&self) -> usize {
        self.joinable().count() + 1
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec!["The device hears these Wi-Fi networks:".to_owned()];
        lines.extend(table(self.networks, true));
        lines.push(format!("{:>4}  another one: hidden, or not in this list", self.last()));
        lines
    }

    /// `Some(None)`: a name that is not in the list.
    fn pick(&self, answer: &str) -> Option<Option<&'a WifiNetwork>> {
        let number: usize = answer.trim().parse().ok()?;
        match number {
            0 => None,
            other if other == self.last() => Some(None),
            number => self.joinable().nth(number - 1).map(Some),
        }
    }
}

/// One line a network.
pub(crate) fn table(networks: &[WifiNetwork], numbered: bool) -> Vec<String> {
    let name = |network: &WifiNetwork| match network.reason {
        Some(NotJoinable::Hidden) => "(hidden)".to_owned(),
        _ => network.ssid.to_string(),
    };
    let width = networks.iter().map(|network| console::measure_text_width(&name(network))).max().unwrap_or(0);
    let mut number = 0;
    networks
        .iter()
        .map(|network| {
            number += usize::from(network.joinable);
            let first = match (numbered, network.joinable) {
                (false, _) => "  ".to_owned(),
                (true, true) => format!("{number:>4}  "),
                (true, false) => "   -  ".to_owned(),
            };
            let name = pad_str(&name(network), width, console::Alignment::Left, None).into_owned();
            let signal = format!("{} ({} dBm)", signal(network.rssi), network.rssi);
            format!("{first}{name}  {signal:<21}  {}", kind(network))
        })
        .collect()
}

fn signal(rssi: i32) -> &'static str {
    match rssi {
        -55.. => "strong",
        -70.. => "good",
        -80.. => "weak",
        _ => "very weak",
    }
}

fn kind(network: &WifiNetwork) -> String {
    let auth = match network.auth {
        WifiAuth::Open => "open: everybody can read along",
        WifiAuth::Wep => "WEP",
        WifiAuth::Wpa => "WPA",
        WifiAuth::Wpa2 => "WPA2",
        WifiAuth::WpaWpa2 => "WPA/WPA2",
        WifiAuth::Wpa3 => "WPA3",
        WifiAuth::Wpa2Wpa3 => "WPA2/WPA3",
        WifiAuth::Enterprise => "enterprise",
        _ => "of an unknown kind",
    };
    match network.reason {
        Some(NotJoinable::Enterprise) => format!("{auth}: wants a user name or a certificate, cannot be used"),
        Some(NotJoinable::Wep) => format!("{auth}: protects nothing, cannot be used"),
        Some(NotJoinable::Hidden) => format!("{auth}: tells no name, so give it"),
        _ => auth.to_owned(),
    }
}

/// A command that must know the Wi-Fi and cannot ask.
pub(crate) fn missing() -> Failure {
    Failure::new(Exit::Usage, "wifi-missing", "It is not clear which Wi-Fi the device should join.").help(
        "Say it with --wifi SSID; --scan lists what the device hears. On a terminal you can choose from that list.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks() -> Vec<WifiNetwork> {
        vec![
            WifiNetwork::heard(b"Plant 4", -48, 3),
            WifiNetwork::heard(b"Office", -58, 5),
            WifiNetwork::heard("Caf\u{e9} \u{1b}[2J guest".as_bytes(), -83, 0),
            WifiNetwork::heard(b"", -66, 3),
        ]
    }

    #[test]
    fn the_list_is_plain_text_whose_numbers_are_what_can_be_used() {
        let networks = networks();
        let choices = Choices::of(&networks);
        assert_eq!(
            choices.lines(),
            [
                "The device hears these Wi-Fi networks:",
                "   1  Plant 4               strong (-48 dBm)       WPA2",
                "   -  Office                good (-58 dBm)         enterprise: wants a user name or a certificate, \
                 cannot be used",
                "   2  Caf\u{e9} \\u{1b}[2J guest  very weak (-83 dBm)    open: everybody can read along",
                "   -  (hidden)              good (-66 dBm)         WPA2: tells no name, so give it",
                "   3  another one: hidden, or not in this list",
            ]
        );
        let picked = |answer: &str| choices.pick(answer).map(|network| network.map(|n| n.ssid.to_string()));
        assert_eq!(picked("1"), Some(Some("Plant 4".into())));
        assert_eq!(picked(" 2 \n"), Some(Some(r"Caf\u{e9} \u{1b}[2J guest".replace(r"\u{e9}", "\u{e9}"))));
        assert_eq!(picked("3"), Some(None));
        for nonsense in ["", "0", "4", "-1", "Plant 4", "99999999999999999999999"] {
            assert_eq!(picked(nonsense), None, "{nonsense:?}");
        }
    }
}
