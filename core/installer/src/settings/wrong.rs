use std::fmt;

use serde::{Deserialize, Serialize};

/// What is wrong with a setting or with the file. `Display` says it in plain English and [`mend`](Self::mend) what to do; a
/// page words both in its own language. Quotes no value that may be a secret; `why` is the system's or a library's own English.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields, rename = "SettingWrong"))]
#[serde(tag = "wrong", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Wrong {
    /// No value is given.
    Missing {
        /// What values look like.
        looks: String,
    },
    /// Several values for a setting that takes one.
    Several {
        /// What values look like.
        looks: String,
    },
    /// In the file: a number, a table.
    NotText {
        /// What values look like.
        looks: String,
    },
    /// In the file: a list with something else than texts in it.
    NotTexts {
        /// What values look like.
        looks: String,
    },
    /// One text for a setting that takes a list.
    NotAList,
    /// A list for a setting that takes one text.
    NotOneText,
    /// An environment variable that is no text.
    NotUnicode,
    /// A name that is empty or has spaces.
    NotAWord,
    /// Neither of the places for secrets.
    NotAPlaceForSecrets,
    /// No host.
    NotAHost,
    /// No ID scope.
    NotAScope,
    /// No level or filter of the log.
    NotAFilter,
    /// No address at all.
    NotAnAddress {
        /// As the parser says it.
        why: String,
        /// What one looks like.
        example: String,
    },
    /// An address without a host.
    NoHost {
        /// What one looks like.
        example: String,
    },
    /// An address that begins with http://.
    PlainHttp,
    /// An address that begins with something else.
    NotHttps,
    /// An API's address with a query or fragment.
    MoreThanAnAddress,
    /// A proxy of another kind.
    NotAnHttpProxy,
    /// A proxy's address with a path or more.
    MoreThanAProxy,
    /// A secret: user name or password in the API's address.
    LoginInAddress,
    /// A secret: user name or password in the proxy's address.
    LoginInProxy,
    /// A secret, by its looks.
    PrivateKey,
    /// A secret, by its looks.
    AccessKey,
    /// A secret, by its looks.
    Token,
    /// A secret, by its key's name: the proxy's password.
    ProxyPassword,
    /// A secret, by its key's name: a Wi-Fi passphrase.
    WifiPassphrase,
    /// A secret, by its key's name.
    Secret,
    /// A key that there is not.
    UnknownKey {
        /// What was probably meant.
        nearest: String,
        /// All keys that there are.
        all: Vec<String>,
    },
    /// A CA file that is no text.
    CaNotText {
        /// The file.
        file: String,
    },
    /// A CA file that cannot be read.
    CaUnreadable {
        /// The file.
        file: String,
        /// As the system says it.
        why: String,
    },
    /// A CA file without a certificate in PEM.
    CaNotPem {
        /// The file.
        file: String,
        /// As the parser says it.
        why: String,
    },
    /// A certificate that cannot be parsed.
    CaDamaged {
        /// The file.
        file: String,
        /// Which certificate in it, counted from 1.
        number: usize,
        /// As the parser says it.
        why: String,
    },
    /// The settings file cannot be read.
    Unreadable {
        /// As the system says it.
        why: String,
    },
    /// A folder stands in the settings file's place.
    Folder,
    /// Longer than settings are.
    TooLong {
        /// How long.
        bytes: u64,
    },
    /// The settings file is no UTF-8.
    NotUtf8,
    /// A line is no TOML.
    Torn {
        /// As the parser says it.
        why: String,
    },
    /// The settings file cannot be written.
    Unwritable {
        /// As the system says it.
        why: String,
    },
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Missing { .. } => f.write_str("the value is missing"),
            Wrong::Several { .. } => f.write_str("it takes one value"),
            Wrong::NotText { .. } => f.write_str("it must be text"),
            Wrong::NotTexts { .. } => f.write_str("it must be a list of texts"),
            Wrong::NotAList => f.write_str("it must be a list"),
            Wrong::NotOneText => f.write_str("it must be one text"),
            Wrong::NotUnicode => f.write_str("it is not Unicode text"),
            Wrong::NotAWord => f.write_str("it is empty or has spaces"),
            Wrong::NotAPlaceForSecrets => f.write_str("it is neither keyring nor file"),
            Wrong::NotAHost => f.write_str("it is no host name"),
            Wrong::NotAScope => f.write_str("it is no ID scope"),
            Wrong::NotAFilter => f.write_str("it is no level or filter"),
            Wrong::NotAnAddress { why, .. } => write!(f, "it is no address ({why})"),
            Wrong::NoHost { .. } => f.write_str("it has no host"),
            Wrong::PlainHttp | Wrong::NotHttps => f.write_str("it must begin with https://"),
            Wrong::MoreThanAnAddress => f.write_str("nothing may follow a ? or #"),
            Wrong::NotAnHttpProxy => f.write_str("only http:// and https:// proxies can be used"),
            Wrong::MoreThanAProxy => f.write_str("nothing may follow host and port"),
            Wrong::LoginInAddress | Wrong::LoginInProxy => {
                f.write_str("a user name or password does not belong in an address")
            }
            Wrong::PrivateKey => f.write_str("a private key does not belong in the settings"),
            Wrong::AccessKey => f.write_str("an access key does not belong in the settings"),
            Wrong::Token => f.write_str("a token does not belong in the settings"),
            Wrong::ProxyPassword | Wrong::WifiPassphrase | Wrong::Secret => {
                f.write_str("a secret does not belong in the settings")
            }
            Wrong::UnknownKey { .. } => f.write_str("there is no such setting"),
            Wrong::CaNotText { file } => write!(f, "{file}: it is not PEM text"),
            Wrong::CaUnreadable { file, why } => write!(f, "{file}: the file cannot be read ({why})"),
            Wrong::CaNotPem { file, why } => write!(f, "{file}: {why}"),
            Wrong::CaDamaged { file, number, why } => {
                write!(f, "{file}: certificate {number} of it is damaged ({why})")
            }
            Wrong::Unreadable { why } => write!(f, "the settings file cannot be read ({why})"),
            Wrong::Folder => f.write_str("this is a folder"),
            Wrong::TooLong { bytes } => write!(f, "this is no settings file: it has {bytes} bytes"),
            Wrong::NotUtf8 => f.write_str("this is not UTF-8 text"),
            Wrong::Torn { why } => f.write_str(why),
            Wrong::Unwritable { why } => write!(f, "the settings file cannot be written ({why})"),
        }
    }
}

impl Wrong {
    /// What to do about it: whole sentences.
    pub fn mend(&self) -> String {
        match self {
            Wrong::Missing { looks } | Wrong::Several { looks } => format!("It looks like: {looks}."),
            Wrong::NotText { looks } | Wrong::NotTexts { looks } => {
                format!("Write it in quotes. It looks like: {looks}.")
            }
            Wrong::NotAList => "Write it as [\"/path/one.pem\", \"/path/two.pem\"].".into(),
            Wrong::NotOneText => "Write it in quotes, not in brackets.".into(),
            Wrong::NotUnicode => "Write it again.".into(),
            Wrong::NotAWord => "Write the name alone.".into(),
            Wrong::NotAPlaceForSecrets => "Write \"keyring\" or \"file\".".into(),
            Wrong::NotAHost => {
                "Write a host alone, such as global.azure-devices-provisioning.net, without https:// and path.".into()
            }
            Wrong::NotAScope => {
                "An ID scope looks like 0ne0012ABCD; it is on the overview page of the DPS instance.".into()
            }
            Wrong::NotAFilter => "Use off, error, warn, info, debug or trace, or parts with levels such as \
                info,lowtouch_installer=debug."
                .into(),
            Wrong::NotAnAddress { example, .. } | Wrong::NoHost { example } => format!("It looks like {example}."),
            Wrong::PlainHttp => "Credentials travel over it; there is no other way.".into(),
            Wrong::NotHttps => "It looks like https://provisioning.example.com.".into(),
            Wrong::MoreThanAnAddress => "Delete it from there on.".into(),
            Wrong::NotAnHttpProxy => "Ask for the HTTP proxy's address.".into(),
            Wrong::MoreThanAProxy => "Write it as http://proxy.example.com:3128.".into(),
            Wrong::LoginInAddress => "Sign in instead; delete what is before the @.".into(),
            Wrong::LoginInProxy => "Delete what is before the @; the user name goes into proxy-user, and `lowtouch \
                config set proxy-password` asks for the password."
                .into(),
            Wrong::PrivateKey | Wrong::AccessKey | Wrong::Token => "Delete it there; sign in instead, or name a file \
                with --token-file. If others could read the file, have it revoked."
                .into(),
            Wrong::ProxyPassword => {
                "Delete the line; `lowtouch config set proxy-password` asks for it and keeps it in \
                the secret store."
                    .into()
            }
            Wrong::WifiPassphrase => {
                "Delete the line; a Wi-Fi passphrase goes into --wifi-passphrase-file FILE, or you are asked.".into()
            }
            Wrong::Secret => {
                "Delete the line; sign in instead, or name a file with --token-file. Secrets are kept in the keyring."
                    .into()
            }
            Wrong::UnknownKey { nearest, all } => {
                format!("The nearest one is {nearest}. The settings are {}.", all.join(", "))
            }
            Wrong::CaNotText { .. } | Wrong::CaNotPem { .. } => "It must be PEM text with \
                -----BEGIN CERTIFICATE-----. A binary .cer or .der file is turned into it by `openssl x509 -inform der \
                -in FILE -out FILE.pem`."
                .into(),
            Wrong::CaUnreadable { .. } => "Check the name and that you may read the file.".into(),
            Wrong::CaDamaged { .. } => "Ask whoever gave it to you for it again.".into(),
            Wrong::Unreadable { .. } | Wrong::Folder | Wrong::TooLong { .. } => {
                "Check the name and that you may read the file; --config FILE names another one.".into()
            }
            Wrong::NotUtf8 => "Save the file as UTF-8.".into(),
            Wrong::Torn { .. } => "Correct the line, or restore it; the file is left as it is.".into(),
            Wrong::Unwritable { .. } => "Check the rights of its folder and the free space of the disk.".into(),
        }
    }
}
