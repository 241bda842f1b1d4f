use std::time::Duration;

use super::{Check, Seen, Status, Topic};
use crate::error::PairingError;

macro_rules! findings {
    ($($(#[doc = $doc:literal])* $variant:ident = $code:literal, $topic:ident, $status:ident, $text:literal, $mend:expr;)*) => {
        /// Everything that the doctor can find of its own. The codes are stable: programs and support rely on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Finding {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Finding {
            /// All of them, by topic.
            pub const ALL: &'static [Finding] = &[$(Finding::$variant,)*];

            /// The stable code, for example `network-none`.
            pub fn code(self) -> &'static str {
                match self { $(Finding::$variant => $code,)* }
            }

            /// What it is about.
            pub fn topic(self) -> Topic {
                match self { $(Finding::$variant => Topic::$topic,)* }
            }

            /// How bad it is.
            pub fn status(self) -> Status {
                match self { $(Finding::$variant => Status::$status,)* }
            }

            /// What it means.
            pub fn text(self) -> &'static str {
                match self { $(Finding::$variant => $text,)* }
            }

            /// What to do about it, where there is something to do.
            pub fn mend(self) -> Option<&'static str> {
                match self { $(Finding::$variant => $mend,)* }
            }
        }
    };
}

findings! {
    /// The file is as it should be.
    SettingsOk = "settings-ok", Settings, Ok, "The settings can be read.", None;
    /// No file.
    SettingsNone = "settings-none", Settings, Ok, "There is no settings file, so the defaults hold.", None;
    /// Valid, but with consequences.
    SettingsOverride = "settings-override", Settings, Warning, "Settings change what devices are given.", Some("Unset them with `lowtouch config unset`, unless you were told to set them.");
    /// A mistake. The mend is the mistake's own.
    SettingsWrong = "settings-wrong", Settings, Failed, "There is a mistake in the settings.", Some("Correct the line that is named; `lowtouch config list` shows what holds.");
    /// Nobody read them.
    SettingsUnread = "settings-unread", Settings, Skipped, "The settings were not looked at.", None;

    /// The API's host answers.
    NetworkOk = "network-ok", Network, Ok, "This machine has a network, and the provisioning API's host answers.", None;
    /// There is a route, and no API to try it on.
    NetworkRoute = "network-route", Network, Ok, "This machine has a network.", None;
    /// No route.
    NetworkNone = "network-none", Network, Failed, "This machine has no network.", Some("Connect it to Wi-Fi, a cable or a mobile network.");
    /// The name is not found.
    NetworkName = "network-name", Network, Failed, "The provisioning API's name was not found.", Some("Check the address. If it is right, this network has no internet (a device's own Wi-Fi has none): use another one.");
    /// Nobody listens, or a firewall says so.
    NetworkUnreachable = "network-unreachable", Network, Failed, "Nobody answers at the provisioning API's address.", Some("Check the address, and that this network lets calls out to it (a firewall may not).");
    /// Silence.
    NetworkTimeout = "network-timeout", Network, Failed, "The provisioning API did not answer in time.", Some("Check the internet connection, and that this network lets calls out to the address (a firewall may swallow them).");
    /// A proxy is set, and no way leads through it.
    NetworkProxy = "network-proxy", Network, Failed, "No way leads through the proxy.", Some("Check the proxy's address, user and password in the settings (proxy, proxy-user) or in HTTPS_PROXY.");
    /// A page of the network itself.
    CaptivePortal = "captive-portal", Network, Failed, "This network wants a sign-in of its own first (a captive portal).", Some("Open any web page in a browser, do what the network asks for, then try again.");

    /// Within two minutes.
    TimeOk = "time-ok", Time, Ok, "This machine's clock is right.", None;
    /// More than two minutes.
    TimeOff = "time-off", Time, Warning, "This machine's clock is a little off.", Some("Have the system set the time by itself (on Linux: sudo timedatectl set-ntp true).");
    /// More than ten minutes: certificates and tokens may be refused for it.
    TimeWrong = "time-wrong", Time, Failed, "This machine's clock is wrong.", Some("Have the system set date and time by itself (on Linux: sudo timedatectl set-ntp true), and check the time zone.");
    /// Nobody to compare it with.
    TimeUnknown = "time-unknown", Time, Skipped, "No server that is to be trusted said what time it is.", None;

    /// Verified.
    TlsOk = "tls-ok", Tls, Ok, "The provisioning API's certificate is trusted.", None;
    /// Ends within a week.
    TlsEndsSoon = "tls-ends-soon", Tls, Warning, "The provisioning API's certificate ends soon.", Some("Tell its operator to renew it.");
    /// Over.
    TlsExpired = "tls-expired", Tls, Failed, "The provisioning API's certificate has expired.", Some("Check the date of this machine. If it is right, the API's operator must renew the certificate.");
    /// Not begun.
    TlsNotYet = "tls-not-yet", Tls, Failed, "The provisioning API's certificate is not valid yet.", Some("Check the date of this machine: it is probably in the past.");
    /// Somebody else's name.
    TlsName = "tls-name", Tls, Failed, "The certificate is for another name than the provisioning API's.", Some("Check the address.");
    /// Nobody that this machine trusts.
    TlsUntrusted = "tls-untrusted", Tls, Failed, "This machine does not trust who issued the provisioning API's certificate.", Some("If the issuer that is named is your company's or the API's own CA, get its certificate from your administrator and add it (ca-files in the settings, or --ca FILE). Otherwise somebody is in between: do not go on.");
    /// By a proxy that opens TLS.
    TlsIntercepted = "tls-intercepted", Tls, Failed, "A proxy or security program opens the encrypted connection and answers in the provisioning API's place.", Some("Ask whoever runs it to let the API's address through unopened, or for the certificate of the issuer that is named, and add it (ca-files in the settings, or --ca FILE).");
    /// Anything else.
    TlsFailed = "tls-failed", Tls, Failed, "No encrypted connection to the provisioning API could be made.", Some("Something in between may break it: a proxy or a firewall. Try another network, and show this to your administrator.");
    /// It did not come to that.
    TlsUnseen = "tls-unseen", Tls, Skipped, "No certificate was seen: see network.", None;

    /// Well.
    ApiOk = "api-ok", Api, Ok, "The provisioning API is well.", None;
    /// Slow.
    ApiSlow = "api-slow", Api, Warning, "The provisioning API is slow.", Some("A weak connection does this too. Pairing works, and takes longer.");
    /// An older one.
    ApiWithoutSignIn = "api-without-sign-in", Api, Warning, "The provisioning API does not say where to sign in.", Some("Only a token from a file works with it (--token-file). Its operator can update it.");
    /// It says itself that it is not well.
    ApiUnwell = "api-unwell", Api, Failed, "The provisioning API has a fault.", Some("Try again in a few minutes; if it stays, tell its operator.");
    /// Something else answers.
    ApiForeign = "api-foreign", Api, Failed, "What answers at this address is not a provisioning API.", Some("Check the address.");
    /// The address cannot be one.
    ApiAddress = "api-address", Api, Failed, "The provisioning API's address is not valid.", Some("It looks like https://provisioning.example.com. Set it with `lowtouch config set api URL`.");
    /// None.
    ApiNotSet = "api-not-set", Api, Skipped, "No provisioning API is set.", Some("Sign in with `lowtouch login`, or set it with `lowtouch config set api URL`.");
    /// It did not come to that.
    ApiUnseen = "api-unseen", Api, Skipped, "The provisioning API was not reached: see network and tls.", None;

    /// The API knows who it is, and the role pairs.
    SignInOk = "sign-in-ok", SignIn, Ok, "You are signed in.", None;
    /// Nobody.
    SignInNone = "sign-in-none", SignIn, Failed, "You are not signed in.", Some("Sign in with `lowtouch login`.");
    /// Not valid any more.
    SignInEnded = "sign-in-ended", SignIn, Failed, "Your sign-in is not valid any more.", Some("Sign in again with `lowtouch login`; a token of a file has to be replaced.");
    /// Cannot pair.
    SignInRole = "sign-in-role", SignIn, Warning, "You are signed in, but your account may not pair devices.", Some("Ask an administrator of the provisioning API for the role installer.");
    /// An older API cannot tell.
    SignInUntold = "sign-in-untold", SignIn, Skipped, "This provisioning API does not tell whose the token is.", None;
    /// Anything else; code and mend are the error's.
    SignInFailed = "sign-in-failed", SignIn, Failed, "It could not be found out whether you are signed in.", Some("See the details.");
    /// The API was not reached.
    SignInUnseen = "sign-in-unseen", SignIn, Skipped, "The provisioning API was not reached, so it could not be asked.", None;

    /// It answers.
    DpsOk = "dps-ok", Dps, Ok, "The global device endpoint answers.", None;
    /// It does not; that matters where devices use this network.
    DpsUnreachable = "dps-unreachable", Dps, Warning, "The global device endpoint cannot be reached from here.", Some("Only devices need it. If they use this network, let it out to this address (port 443).");
    /// It answers with somebody else's certificate.
    DpsTls = "dps-tls", Dps, Warning, "The global device endpoint's certificate is not trusted here.", Some("Devices on this network will not trust it either: a proxy that opens TLS must let this address through unopened.");
    /// No network at all.
    DpsUnseen = "dps-unseen", Dps, Skipped, "Not looked at: see network.", None;

    /// It answers.
    KeyringOk = "keyring-ok", Keyring, Ok, "Secrets can be kept.", None;
    /// It does not, and a sign-in is kept there. Code and mend are the keyring's own.
    KeyringFailed = "keyring-unusable", Keyring, Failed, "Secrets cannot be kept.", Some("See the details.");
    /// It does not, and nobody needs it now.
    KeyringSpare = "keyring-unneeded", Keyring, Warning, "Secrets cannot be kept; the token that is used now comes from elsewhere.", Some("See the details.");
    /// Nobody named one.
    KeyringUnset = "keyring-unset", Keyring, Skipped, "No keyring was named.", None;

    /// An adapter is on.
    AdapterOk = "adapter-ok", Adapter, Ok, "Bluetooth can be used.", None;
    /// None can be used. Seen and mend say why.
    AdapterUnusable = "adapter-unusable", Adapter, Warning, "Bluetooth cannot be used.", Some("See that there is an adapter and that it is on.");
    /// On a phone the app itself uses it.
    AdapterElsewhere = "adapter-elsewhere", Adapter, Skipped, "On this system the app itself uses Bluetooth.", None;

    /// Usable ones.
    PortsOk = "ports-ok", Ports, Ok, "There are serial ports that can be used.", None;
    /// None; not everybody needs one.
    PortsNone = "ports-none", Ports, Skipped, "There is no serial port. A USB adapter makes one.", None;
    /// Not this user.
    PortsDenied = "ports-denied", Ports, Warning, "This user may not use the serial ports.", Some("Add yourself to the group that may (on Linux mostly dialout), and log in again.");
    /// Other programs.
    PortsBusy = "ports-busy", Ports, Warning, "Other programs use all serial ports.", Some("Close them: a serial monitor, for example.");

    /// Whole.
    JournalOk = "journal-ok", Journal, Ok, "The journal is whole, and its disk has room.", None;
    /// None yet.
    JournalNew = "journal-new", Journal, Ok, "There is no journal yet; it can be made.", None;
    /// Less than 100 MB.
    JournalDiskLow = "journal-disk-low", Journal, Warning, "The journal's disk has little room left.", Some("Free some disk space.");
    /// Less than 5 MB.
    JournalDiskFull = "journal-no-room", Journal, Failed, "The journal's disk is full.", Some("Free some disk space; without it no pairing can begin.");
    /// It cannot be opened. Code and mend are the journal's own.
    JournalFailed = "journal-unusable", Journal, Failed, "The journal cannot be used.", Some("See the details.");
    /// It opens, and its content is damaged.
    JournalDamaged = "journal-damaged", Journal, Failed, "The journal is damaged.", Some("Move journal.sqlite away (keep it for support), then try again: a new one is made.");
}

/// A finding with what was seen.
#[derive(Debug, Clone)]
pub(super) struct Found {
    topic: Topic,
    status: Status,
    code: &'static str,
    text: String,
    seen: Vec<Seen>,
    mend: Option<String>,
}

impl From<Finding> for Found {
    fn from(finding: Finding) -> Self {
        Found {
            topic: finding.topic(),
            status: finding.status(),
            code: finding.code(),
            text: finding.text().into(),
            seen: Vec::new(),
            mend: finding.mend().map(str::to_owned),
        }
    }
}

impl Finding {
    pub(super) fn seen(self, seen: impl IntoIterator<Item = Seen>) -> Found {
        Found { seen: seen.into_iter().collect(), ..Found::from(self) }
    }

    /// With the error's own code and mend.
    pub(super) fn because(self, error: &PairingError) -> Found {
        let mend = error.hint().split_once(". ").map(|(_, mend)| mend).filter(|mend| !mend.is_empty()).or(self.mend());
        let mend = mend.map(str::to_owned);
        Found { code: error.code.as_str(), seen: vec![Seen::error(error)], mend, ..Found::from(self) }
    }
}

impl Found {
    pub(super) fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    /// A check that did not end in time. Never a failure: the finding may have nothing to do with pairing.
    pub(super) fn late(topic: Topic, after: Duration) -> Self {
        Found {
            topic,
            status: Status::Warning,
            code: "not-in-time",
            text: "This check did not end in time.".into(),
            seen: vec![Seen::NoAnswer { seconds: after.as_secs() }],
            mend: Some("Try again; if it stays, something that this check asks hangs.".into()),
        }
    }

    pub(super) fn check(self, seconds: f64) -> Check {
        let Found { topic, status, code, text, seen: details, mend } = self;
        let words: Vec<String> = details.iter().map(Seen::to_string).collect();
        let seen = (!words.is_empty()).then(|| shown(&words.join("; ")));
        Check { topic, status, code: code.into(), text, seen, details, mend, seconds }
    }
}

/// Others' words: no control characters, not without end, no secret.
pub(super) fn shown(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !c.is_control()).take(400).collect();
    crate::logs::redact(&plain).into_owned()
}
