//! What can be typed. Every text here is read by a person who wants to act on it; the tests below keep them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lowtouch_installer::LinkAddress;

use crate::exit;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "lowtouch",
    version,
    about = "Brings a field device into an Azure IoT fleet with one scan and one command",
    long_about = "Brings a field device into an Azure IoT fleet with one scan and one command.\n\n\
        It connects to the device, proves that you hold the device's label, asks the provisioning API which DPS instance \
        the device belongs to, hands over the ID scope and the credential, and stays until the device names the hub that \
        it was assigned to.",
    after_help = "Start with `lowtouch demo`: it needs no device and no account.",
    after_long_help = exit::HELP,
    propagate_version = true,
    max_term_width = 100,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Print one JSON object a line instead of text
    #[arg(long, global = true, help_heading = "Common options")]
    pub(crate) json: bool,

    /// Where the journal is kept [default: your user's data folder]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "LOWTOUCH_DATA_DIR",
        hide_env_values = true,
        help_heading = "Common options"
    )]
    pub(crate) data_dir: Option<PathBuf>,

    /// The settings file [default: lowtouch.toml in your user's folder for settings]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "LOWTOUCH_CONFIG_FILE",
        hide_env_values = true,
        help_heading = "Common options"
    )]
    pub(crate) config: Option<PathBuf>,

    /// Write a log to standard error; twice for more (LOWTOUCH_LOG sets a filter, such as debug)
    #[arg(long, short, global = true, action = clap::ArgAction::Count, help_heading = "Common options")]
    pub(crate) verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Pair a device: from its label to its assigned hub
    #[command(long_about = "Pair a device: from its label to its assigned hub.\n\n\
        Run it again after an interruption of any kind: it finishes the pairing that it began and never starts a second one.")]
    Pair(PairArgs),
    /// Give a device its Wi-Fi, and nothing else
    #[command(long_about = "Give a device its Wi-Fi, and nothing else.\n\n\
        Works with every device that speaks ESP-IDF's provisioning protocol, whether or not its firmware knows Lowtouch. \
        It needs no provisioning API. Before anything is sent, the device looks whether the Wi-Fi is there and of a kind \
        that it can join. A wrong password can be corrected at once; the device needs no factory reset.")]
    Network(NetworkArgs),
    /// Ask a device about itself
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Listen for devices over Bluetooth
    #[command(long_about = "Listen for devices over Bluetooth.\n\n\
        Shows devices that can be provisioned, strongest first. Where Bluetooth cannot be used, it says why and what to do.")]
    Scan(ScanArgs),
    /// Make and read device labels
    #[command(subcommand)]
    Label(LabelCommand),
    /// Look at what was paired from here
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Work orders: which devices are yours to pair, and their download for places without a network
    #[command(subcommand)]
    Orders(OrdersCommand),
    /// Look at the settings and change them
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Sign in at a provisioning API
    #[command(long_about = "Sign in at a provisioning API.\n\n\
        With the browser of this computer; with a code that is typed on another screen (--device-code, and by itself where \
        there is no display); or with an invite, without a browser. Whoever is still signed in is not asked again. Several \
        servers and accounts can be signed in side by side: `lowtouch accounts`. The sign-in is kept in the keyring.")]
    Login(LoginArgs),
    /// Sign out: the server ends the sign-in, and this computer forgets it
    Logout(LogoutArgs),
    /// See who is signed in where, and choose
    #[command(subcommand)]
    Accounts(AccountsCommand),
    /// Ask the provisioning API who you are there, and what you may do
    Whoami(ApiArgs),
    /// Look at everything that pairing needs, and say what to mend
    #[command(long_about = "Look at everything that pairing needs, and say what to mend.\n\n\
        Settings, network, clock, the provisioning API and its certificate, sign-in, DPS, keyring, Bluetooth, serial ports and \
        journal: each is well, skipped, needs a look, or has failed, with what to do about it. It takes less than five seconds \
        and changes nothing. The exit code says how the worst check ended: 0, 13 (needs a look) or 14 (failed).")]
    Doctor(ApiArgs),
    /// The logs of this program, for support
    #[command(subcommand)]
    Logs(LogsCommand),
    /// Serve the page of the desktop app to browsers elsewhere
    #[command(
        long_about = "Serve the page of the desktop app to browsers elsewhere: this computer is the gateway.\n\n\
        Over TLS only. Whoever opens the page types the code that is shown here, or scans it with a phone; it serves once \
        and for ten minutes. Press Enter for another one (or send SIGUSR1). Pairings run on this computer, with its \
        Bluetooth, its serial ports and its sign-in: whoever has a code may do with them what you may."
    )]
    Serve(ServeArgs),
    /// Pair simulated devices with a local cloud, to see how it works
    #[command(long_about = "Pair simulated devices with a local cloud, to see how it works.\n\n\
        Starts two local DPS instances with two hubs each, the provisioning API and three simulated devices, all on this \
        computer, and pairs the devices one after the other with the code that pairs real ones: the first over HTTP with \
        an X.509 certificate, the second over a serial line with a symmetric key, the third over simulated Bluetooth LE \
        with an X.509 certificate. Nothing is left behind.")]
    Demo(DemoArgs),
}

/// Which label, over which link.
#[derive(Debug, Args)]
pub(crate) struct DeviceArgs {
    /// The device's label: its text, @FILE with its text, or a picture of its QR code (PNG, JPEG)
    #[arg(
        value_name = "LABEL",
        long_help = "The device's label, in one of these forms:\n\
            \x20 '{\"ver\":\"v1\",…}'  the text in the QR code\n\
            \x20 @label.txt         a file with that text (@- reads standard input)\n\
            \x20 @label.png         a picture of the QR code, PNG or JPEG; the @ can be left out\n\n\
            A label holds the device's proof of possession. As text it is visible to other users of this computer while \
            the command runs; a file is not."
    )]
    pub(crate) label: String,

    /// How to reach the device: http://HOST[:PORT], serial:///dev/ttyUSB0, ble://NAME or ble://ADDRESS
    #[arg(
        long,
        value_name = "LINK",
        long_help = "How to reach the device:\n\
            \x20 http://192.168.4.1                   a device with its own Wi-Fi (join it first)\n\
            \x20 serial:///dev/ttyUSB0[?baud=115200]  a serial line\n\
            \x20 ble://PROV_CE03C0                    Bluetooth LE, by name or by address\n\
            \x20 ble-sim://127.0.0.1:4000             a simulated Bluetooth LE device\n\n\
            Without it, a label whose transport is ble is found by its name, and one whose transport is softap at \
            http://192.168.4.1."
    )]
    pub(crate) link: Option<LinkAddress>,

    /// Talk to a device whose label says Security 0 (no encryption, no proof of possession)
    #[arg(long)]
    pub(crate) allow_security_0: bool,

    /// Talk to a device that announces less security than its label
    #[arg(long)]
    pub(crate) allow_downgrade: bool,
}

/// Which Wi-Fi the device should join.
#[derive(Debug, Clone, Args)]
pub(crate) struct WifiSecretArgs {
    /// Read the Wi-Fi passphrase from the first line of FILE
    #[arg(
        long,
        value_name = "FILE",
        long_help = "Read the Wi-Fi passphrase from the first line of FILE. Without it, the environment variable \
            LOWTOUCH_WIFI_PASSPHRASE is used, and without that you are asked. It is never an argument, because arguments \
            are visible to other users."
    )]
    pub(crate) wifi_passphrase_file: Option<PathBuf>,

    /// The Wi-Fi is open: it has no passphrase
    #[arg(long, conflicts_with = "wifi_passphrase_file")]
    pub(crate) wifi_open: bool,

    /// The Wi-Fi is hidden: it does not tell its name, so no list shows it
    #[arg(long)]
    pub(crate) wifi_hidden: bool,
}

/// `lowtouch pair`.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n\
        \x20 lowtouch pair @label.png                              as whoever is signed in\n\
        \x20 lowtouch pair @label.png --link http://192.168.4.1 \\\n\
        \x20     --api https://provisioning.example.com --token-file token\n\
        \x20 LOWTOUCH_TOKEN=… LOWTOUCH_API=https://provisioning.example.com \\\n\
        \x20     lowtouch pair @label.png --link serial:///dev/ttyUSB0\n\n\
        The exit code says what to do next; see lowtouch --help.")]
pub(crate) struct PairArgs {
    #[command(flatten)]
    pub(crate) device: DeviceArgs,

    #[command(flatten)]
    pub(crate) api: ApiArgs,

    /// Also have the device join this Wi-Fi
    #[arg(long, value_name = "SSID")]
    pub(crate) wifi: Option<String>,

    #[command(flatten)]
    pub(crate) wifi_secret: WifiSecretArgs,
}

/// Which provisioning API, and as whom.
#[derive(Debug, Default, Args)]
pub(crate) struct ApiArgs {
    /// The provisioning API's address; always https [default: LOWTOUCH_API, else the account's, else the setting api]
    #[arg(long, value_name = "URL", help_heading = "Provisioning API")]
    pub(crate) api: Option<String>,

    /// As which account; the beginning of its name is enough [default: the current one, see lowtouch accounts]
    #[arg(long, value_name = "NAME", conflicts_with = "token_file", help_heading = "Provisioning API")]
    pub(crate) account: Option<String>,

    /// Also trust the certificates (PEM) in FILE for the API, beside the system's; repeatable [default: the setting ca-files]
    #[arg(long, value_name = "FILE", help_heading = "Provisioning API")]
    pub(crate) ca: Vec<PathBuf>,

    /// Use the API token in the first line of FILE, or the one in LOWTOUCH_TOKEN, instead of an account
    #[arg(long, value_name = "FILE", help_heading = "Provisioning API")]
    pub(crate) token_file: Option<PathBuf>,
}

/// `lowtouch logs …`.
#[derive(Debug, Subcommand)]
pub(crate) enum LogsCommand {
    /// Print where the logs are
    Path,
    /// Pack logs, doctor's report, settings and journal into one file for support
    #[command(long_about = "Pack logs, doctor's report, settings and journal into one file for support.\n\n\
        Nothing is sent anywhere: you get a zip file, and a list of what is in it and what was left out. Tokens, keys, \
        passphrases and labels are not in it; what looks like one is replaced by [redacted].")]
    Bundle(LogsBundleArgs),
}

/// `lowtouch logs bundle`.
#[derive(Debug, Args)]
pub(crate) struct LogsBundleArgs {
    /// The file to write [default: lowtouch-logs-TIME.zip in this folder]
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// Replace FILE if it exists
    #[arg(long)]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) api: ApiArgs,
}

/// `lowtouch network`.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n\
        \x20 lowtouch network @label.png --link http://192.168.4.1\n\
        \x20 lowtouch network @label.png --link http://192.168.4.1 --wifi 'Plant 4'\n\
        \x20 lowtouch network @label.png --link http://192.168.4.1 --scan --json")]
pub(crate) struct NetworkArgs {
    #[command(flatten)]
    pub(crate) device: DeviceArgs,

    /// The Wi-Fi that the device should join; without it you choose from those that the device hears
    #[arg(long, value_name = "SSID")]
    pub(crate) wifi: Option<String>,

    /// Only list the Wi-Fi networks that the device hears; changes nothing on it
    #[arg(long, conflicts_with_all = ["wifi", "wifi_passphrase_file", "wifi_open", "wifi_hidden"])]
    pub(crate) scan: bool,

    #[command(flatten)]
    pub(crate) wifi_secret: WifiSecretArgs,
}

/// `lowtouch device …`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// Print the device's registration ID, model, firmware and state; changes nothing on it
    Info(DeviceInfoArgs),

    /// Take configuration, credential and owner from the device, with its owner's signature
    Reset(DeviceResetArgs),
}

/// `lowtouch device reset`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "The device belongs to nobody then and can be paired anew. It keeps its registration ID, label and key. The \
                       provisioning API signs for the devices of its owner; the button on any device does the same without it."
)]
pub(crate) struct DeviceResetArgs {
    #[command(flatten)]
    pub(crate) device: DeviceArgs,

    #[command(flatten)]
    pub(crate) api: ApiArgs,

    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

/// `lowtouch device info`.
#[derive(Debug, Args)]
#[command(after_long_help = "Without a label it says only what the device tells everybody: protocol and capabilities.")]
pub(crate) struct DeviceInfoArgs {
    /// The device's label: its text, @FILE with its text, or a picture of its QR code (PNG, JPEG)
    #[arg(value_name = "LABEL")]
    pub(crate) label: Option<String>,

    /// How to reach the device: http://HOST[:PORT], serial:///dev/ttyUSB0, ble://NAME or ble://ADDRESS
    #[arg(long, value_name = "LINK")]
    pub(crate) link: Option<LinkAddress>,

    /// Talk to a device whose label says Security 0 (no encryption, no proof of possession)
    #[arg(long)]
    pub(crate) allow_security_0: bool,
}

/// `lowtouch scan`.
#[derive(Debug, Args)]
pub(crate) struct ScanArgs {
    /// How long to listen
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) seconds: u64,

    /// Show devices of every kind
    #[arg(long)]
    pub(crate) all: bool,
}

/// `lowtouch label …`.
#[derive(Debug, Subcommand)]
pub(crate) enum LabelCommand {
    /// Make a device's label and the salt and verifier that its firmware needs
    #[command(long_about = "Make a device's label and the salt and verifier that its firmware needs.\n\n\
        The label holds the proof of possession (PoP) and goes onto the device as a QR code. The salt and verifier go into \
        the firmware (Security 2): they prove the PoP without holding it.")]
    Make(LabelMakeArgs),
    /// Say what a label means
    Read(LabelReadArgs),
}

/// `lowtouch label make`.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n\
        \x20 lowtouch label make --name PROV_CE03C0 --transport softap --qr label.svg --header protocomm_sec2.h")]
pub(crate) struct LabelMakeArgs {
    /// The name under which the device appears (BLE name or SoftAP SSID)
    #[arg(long)]
    pub(crate) name: String,

    /// The Security 2 user name
    #[arg(long, default_value = "wifiprov")]
    pub(crate) username: String,

    /// Read the PoP from the first line of FILE; without it a random one is made
    #[arg(long, value_name = "FILE")]
    pub(crate) pop_file: Option<PathBuf>,

    /// How the device is reached
    #[arg(long, value_enum, default_value_t = TransportArg::Ble)]
    pub(crate) transport: TransportArg,

    /// The protocomm security version that the firmware uses
    #[arg(long, value_name = "0|1|2", default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) security: u8,

    /// Read the passphrase of the device's own Wi-Fi (SoftAP) from the first line of FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) softap_passphrase_file: Option<PathBuf>,

    /// Write the QR code to FILE: .svg, .png, or .txt with its text; repeatable. Without it, the terminal shows it
    #[arg(long, value_name = "FILE")]
    pub(crate) qr: Vec<PathBuf>,

    /// Write salt and verifier as a C header to FILE (Security 2)
    #[arg(long, value_name = "FILE")]
    pub(crate) header: Option<PathBuf>,

    /// Replace files that exist
    #[arg(long)]
    pub(crate) force: bool,
}

/// A label's `transport`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TransportArg {
    /// Bluetooth LE
    Ble,
    /// The device's own Wi-Fi
    Softap,
    /// A serial line
    Serial,
}

/// `lowtouch label read`.
#[derive(Debug, Args)]
pub(crate) struct LabelReadArgs {
    /// The label: its text, @FILE with its text, or a picture of its QR code (PNG, JPEG)
    #[arg(value_name = "LABEL")]
    pub(crate) label: String,

    /// Also print the PoP
    #[arg(long)]
    pub(crate) show_pop: bool,
}

/// `lowtouch config …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every setting, its value and where it came from
    List,
    /// Print one value
    Get {
        /// The setting
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Write a value into the settings file
    #[command(after_help = "Examples:\n\
        \x20 lowtouch config set api https://provisioning.example.com\n\
        \x20 lowtouch config set ca-files company-root.pem\n\
        \x20 lowtouch config set proxy http://proxy.example.com:3128\n\
        \x20 lowtouch config set proxy-password    (asks for it; it goes to the keyring)")]
    Set {
        /// The setting
        #[arg(value_name = "KEY")]
        key: String,
        /// Its value; several for a list
        #[arg(value_name = "VALUE")]
        values: Vec<String>,
    },
    /// Take a key out of the settings file
    Unset {
        /// The setting
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Print where the settings file is
    Path,
    /// Read everything, the CA files too, and name all that is wrong
    Check,
}

/// `lowtouch journal …`.
#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// List the pairings, newest first
    List(JournalListArgs),
    /// Show one pairing: what the API gave, what the device acknowledged, what it was assigned
    Show(JournalShowArgs),
    /// Tell the provisioning API of pairings that ended while it could not be reached
    Sync(ApiArgs),
}

/// `lowtouch orders …`.
#[derive(Debug, Subcommand)]
pub(crate) enum OrdersCommand {
    /// List your work orders
    List(ApiArgs),
    /// Show one order with its devices and their turns
    Show {
        /// The order's ID, as `lowtouch orders list` shows it
        #[arg(value_name = "ORDER")]
        id: uuid::Uuid,
        #[command(flatten)]
        api: ApiArgs,
    },
    /// Download an order for a place without a network: sealed, for this app alone
    Download {
        /// The order's ID, as `lowtouch orders list` shows it
        #[arg(value_name = "ORDER")]
        id: uuid::Uuid,
        #[command(flatten)]
        api: ApiArgs,
    },
}

/// `lowtouch journal list`.
#[derive(Debug, Args)]
pub(crate) struct JournalListArgs {
    /// Show at most N pairings
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    pub(crate) limit: u32,
}

/// `lowtouch journal show`.
#[derive(Debug, Args)]
pub(crate) struct JournalShowArgs {
    /// A hand-off ID (its first characters are enough) or a registration ID, as `lowtouch journal list` shows them
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

/// `lowtouch login`.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n\
        \x20 lowtouch login --api https://provisioning.example.com\n\
        \x20 lowtouch login --api https://provisioning.example.com --device-code\n\
        \x20 lowtouch login --invite @invite.png")]
pub(crate) struct LoginArgs {
    /// The provisioning API's address; always https [default: LOWTOUCH_API, else the setting api, else the current account's]
    #[arg(long, value_name = "URL")]
    pub(crate) api: Option<String>,

    /// Also trust the certificates (PEM) in FILE for this server, beside the system's; kept with the account; repeatable
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Vec<PathBuf>,

    /// Use an invite: its text, @FILE with its text, or a picture of its QR code (PNG, JPEG)
    #[arg(
        long,
        value_name = "INVITE",
        long_help = "Use an invite, in one of these forms:\n\
            \x20 'lowtouch:invite#…'  the text in the QR code\n\
            \x20 @invite.txt         a file with that text (@- reads standard input)\n\
            \x20 @invite.png         a picture of the QR code, PNG or JPEG; the @ can be left out\n\
            \x20 ABCD-EFGH-…         the code alone, together with --api\n\n\
            An invite lets one app sign in, once. As text it is visible to other users of this computer while the command \
            runs; a file is not."
    )]
    pub(crate) invite: Option<String>,

    /// Sign in on another screen: shows a page and a code to type there
    #[arg(long, conflicts_with = "invite")]
    pub(crate) device_code: bool,

    /// Sign in with a browser of this computer, even if there seems to be none
    #[arg(long, conflicts_with_all = ["invite", "device_code"])]
    pub(crate) browser: bool,

    /// Sign in although somebody is signed in at this server already
    #[arg(long)]
    pub(crate) another: bool,
}

/// `lowtouch logout`.
#[derive(Debug, Args)]
pub(crate) struct LogoutArgs {
    /// Which account; the beginning of its name is enough [default: the current one]
    #[arg(long, value_name = "NAME")]
    pub(crate) account: Option<String>,

    /// Every account
    #[arg(long, conflicts_with = "account")]
    pub(crate) all: bool,
}

/// `lowtouch accounts …`.
#[derive(Debug, Subcommand)]
pub(crate) enum AccountsCommand {
    /// List the accounts; an arrow marks the current one
    List,
    /// Make an account the current one
    Use(AccountArgs),
    /// Sign out and take the account from the list
    Remove(AccountArgs),
}

/// One account.
#[derive(Debug, Args)]
pub(crate) struct AccountArgs {
    /// The account; the beginning of its name is enough
    #[arg(value_name = "NAME")]
    pub(crate) account: String,
}

/// `lowtouch serve`.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n\
        \x20 lowtouch serve --demo\n\
        \x20 lowtouch serve --listen 0.0.0.0:8470 --host gateway.example.com\n\
        \x20 lowtouch serve --listen [::]:443 --tls-cert chain.pem --tls-key key.pem --host gateway.example.com")]
pub(crate) struct ServeArgs {
    /// Where to listen; 0.0.0.0 or [::] for every interface
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8470")]
    pub(crate) listen: std::net::SocketAddr,

    /// A further name or address under which browsers reach this computer; repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,

    /// The certificate chain (PEM) [default: one that is made here, under a CA of this computer's own]
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Start with the demo on: a local cloud and N simulated devices
    #[arg(
        long,
        value_name = "N",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "3",
        value_parser = clap::value_parser!(u16).range(1..=32)
    )]
    pub(crate) demo: Option<u16>,

    /// End when standard input closes; for whoever starts this as a part of something
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,

    /// The provisioning API's address; always https [default: LOWTOUCH_API, else the account's, else the setting api]
    #[arg(long, value_name = "URL", help_heading = "Provisioning API")]
    pub(crate) api: Option<String>,

    /// As which account to begin; the beginning of its name is enough. The page can choose another [default: the current one,
    /// see lowtouch accounts]
    #[arg(long, value_name = "NAME", conflicts_with = "token_file", help_heading = "Provisioning API")]
    pub(crate) account: Option<String>,

    /// Also trust the certificates (PEM) in FILE for the API, beside the system's; repeatable [default: the setting ca-files]
    #[arg(long, value_name = "FILE", help_heading = "Provisioning API")]
    pub(crate) ca: Vec<PathBuf>,

    /// Use the API token in the first line of FILE, or the one in LOWTOUCH_TOKEN, instead of an account
    #[arg(long, value_name = "FILE", help_heading = "Provisioning API")]
    pub(crate) token_file: Option<PathBuf>,
}

impl ServeArgs {
    /// As for the other commands.
    pub(crate) fn api(&self) -> ApiArgs {
        ApiArgs {
            api: self.api.clone(),
            account: self.account.clone(),
            ca: self.ca.clone(),
            token_file: self.token_file.clone(),
        }
    }
}

/// `lowtouch demo`.
#[derive(Debug, Args)]
#[command(after_long_help = "Run it with `cargo xtask demo`, which builds what it needs.")]
pub(crate) struct DemoArgs {
    /// How many devices to pair
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub(crate) devices: u16,

    /// Leave everything running until Ctrl-C, and print the addresses
    #[arg(long)]
    pub(crate) keep: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn each(command: &mut clap::Command, path: &str, see: &mut impl FnMut(&str, String)) {
        see(path, command.render_long_help().to_string());
        let names: Vec<_> = command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
        for name in names.iter().filter(|name| *name != "help") {
            if let Some(inner) = command.find_subcommand_mut(name) {
                each(inner, &format!("{path}-{name}"), see);
            }
        }
    }

    #[test]
    fn the_help_of_every_command_is_as_it_was_read_last() {
        let mut command = Cli::command().term_width(100);
        command.build();
        each(&mut command, "lowtouch", &mut |path, text| {
            // Trailing blanks are no words.
            let text = text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
            insta::assert_snapshot!(path.to_owned(), text);
        });
    }

    #[test]
    fn the_command_line_does_not_contradict_itself() {
        Cli::command().debug_assert();
    }
}
