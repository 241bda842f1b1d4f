//! What went wrong, as a stable code that says what to do next.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::events::Step;

/// What the person with the device can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Action {
    /// Run the same pairing again; it continues where it stopped.
    Retry,
    /// Wait a while (`retry_after_s` says how long, if known), then run the same pairing again.
    Wait,
    /// Sign in again: the token is missing, expired or revoked.
    SignInAgain,
    /// Give this program access to the port or radio.
    GrantPermission,
    /// Go nearer to the device, check its power and its cable.
    MoveCloser,
    /// Press the device's button (it opens a new window, or gives the device back to nobody).
    PressButton,
    /// Compare the code (proof of possession) with the label.
    CheckPop,
    /// Scan the right label again.
    CheckLabel,
    /// Check the link address that was given.
    CheckLink,
    /// Check the Wi-Fi name and passphrase.
    CheckWifi,
    /// Check this computer's or phone's own internet connection.
    CheckInternet,
    /// Check the date and time of this machine, then the server's certificate.
    CheckClock,
    /// Check the settings of this program: API address, added certificates.
    CheckSettings,
    /// Free some disk space.
    FreeDiskSpace,
    /// Install a newer version of this program.
    UpdateApp,
    /// The device needs newer firmware.
    UpdateFirmware,
    /// An administrator of the provisioning API has to change something.
    AskAdministrator,
    /// Send code and support detail to the maker's or operator's support.
    ContactSupport,
    /// Nothing to do.
    Nothing,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $variant:ident = $text:literal, $action:ident, $hint:literal;)*) => {
        /// Every way in which an operation of this crate can fail. The texts are stable: programs and support rely on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[doc = $doc])* #[serde(rename = $text)] $variant,)*
        }

        impl ErrorCode {
            /// All codes, in the order in which a pairing meets them.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant,)*];

            /// The stable text, for example `wrong-pop`.
            pub fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$variant => $text,)* }
            }

            /// The code of this text, as the journal has it.
            pub fn of(text: &str) -> Option<ErrorCode> {
                ErrorCode::ALL.iter().copied().find(|code| code.as_str() == text)
            }

            /// What to do about it.
            pub fn action(self) -> Action {
                match self { $(ErrorCode::$variant => Action::$action,)* }
            }

            /// What happened and what to do next, in plain English for the person with the device.
            pub fn hint(self) -> &'static str {
                match self { $(ErrorCode::$variant => $hint,)* }
            }
        }

        /// Gives the names of all codes, with their documentation, to a macro: for a language's own enum of them.
        #[macro_export]
        macro_rules! each_error_code {
            ($callback:ident) => { $callback! { $($(#[doc = $doc])* $variant;)* } };
        }
    };
}

codes! {
    /// Nothing was read where a label should be.
    LabelEmpty = "label-empty", CheckLabel, "The label is empty. Scan the QR code on the device, or paste its whole text.";
    /// The text is something else than a device label.
    LabelNotALabel = "label-not-a-label", CheckLabel, "This is not a device label. Scan the QR code on the device itself.";
    /// A label without something that pairing needs.
    LabelIncomplete = "label-incomplete", CheckLabel, "The label lacks something that pairing needs. It may be cut off; scan it again.";
    /// A label with a value or version that this program does not know.
    LabelUnsupported = "label-unsupported", UpdateApp, "The label is of a kind that this version cannot use.";
    /// The text is an invite.
    LabelIsInvite = "label-is-invite", SignInAgain, "This is an invite, not a device label. Sign in with it first, then scan the QR code on the device.";
    /// The file is no PNG or JPEG.
    PictureUnreadable = "picture-unreadable", CheckLabel, "The picture cannot be read. Use a PNG or JPEG file.";
    /// The picture has more pixels or bytes than are read.
    PictureTooLarge = "picture-too-large", CheckLabel, "The picture is too large. Crop it to the QR code.";
    /// No QR code in the picture.
    PictureWithoutCode = "picture-without-code", CheckLabel, "There is no readable QR code in the picture. Take it again: sharp, straight and with some white around the code.";
    /// More than one QR code in the picture.
    PictureWithSeveralCodes = "picture-with-several-codes", CheckLabel, "There are several QR codes in the picture. Crop it to the one of the device.";

    /// A page holds on to a label that this program has forgotten: it was started again, or read very many since.
    LabelForgotten = "label-forgotten", CheckLabel, "This label is not known any more. Scan it again.";
    /// The same for a pairing.
    PairingForgotten = "pairing-forgotten", Nothing, "This pairing is not known any more. The journal tells how it ended.";
    /// As many pairings run as may at once.
    TooManyPairings = "too-many-pairings", Wait, "So many devices are being paired that no other can be begun. Wait until some have ended.";
    /// The same device is being paired by this program already.
    AlreadyPairing = "already-pairing", Wait, "This device is being paired here already. Wait until that ends.";
    /// The link's address leads nowhere.
    DeviceNotFound = "device-not-found", MoveCloser, "The device was not found. Check that it has power, is near and is in its setup mode.";
    /// The operating system does not let this program use the port or radio.
    LinkPermissionDenied = "link-permission-denied", GrantPermission, "This program may not use the port or radio. Give it access, then try again.";
    /// No Bluetooth adapter can be used: none, off, blocked, or no Bluetooth service. The detail says which, and the mend.
    BluetoothUnavailable = "bluetooth-unavailable", CheckSettings, "Bluetooth cannot be used on this machine. See that there is an adapter and that it is on; the details say what is wrong.";
    /// Several devices of the label's name are in reach. The detail names their addresses.
    DeviceAmbiguous = "device-ambiguous", CheckLink, "Several devices in reach have this name. Name the right one by its address (ble://ADDRESS), or turn the others off.";
    /// Another program uses the port.
    LinkBusy = "link-busy", Retry, "Another program uses the port. Close it, then try again.";
    /// This build cannot use that kind of link.
    LinkUnsupported = "link-unsupported", CheckLink, "This kind of link cannot be used here yet.";
    /// The link went away and did not come back.
    LinkLost = "link-lost", MoveCloser, "The connection to the device was lost. Go nearer and try again; the pairing continues where it stopped.";
    /// The device did not answer in time.
    DeviceSilent = "device-silent", MoveCloser, "The device stopped answering. Check its power and distance and try again; the pairing continues where it stopped.";
    /// The device answered something that makes no sense.
    DeviceGarbage = "device-garbage", ContactSupport, "The device's answer makes no sense. It may be another kind of device, or its firmware is faulty.";
    /// The device's answer is longer than anything that is expected.
    DeviceAnswerTooLong = "device-answer-too-long", ContactSupport, "The device's answer is longer than allowed. It may be another kind of device, or its firmware is faulty.";
    /// Not a device of the kind that can be paired.
    NotADevice = "not-a-device", CheckLink, "What answers at this address is not a device that can be paired.";
    /// The firmware has no `dps-config` endpoint.
    DpsConfigMissing = "dps-config-missing", UpdateFirmware, "This device's firmware cannot take a hand-off. It needs a version with the dps-config endpoint.";

    /// The proof of possession is not the device's.
    WrongPop = "wrong-pop", CheckPop, "The code on the label does not match this device. Check that the label belongs to it and was typed in exactly.";
    /// The device refuses this security version or user name.
    WrongSecurityVersion = "wrong-security-version", CheckLabel, "The device refuses the label's security version or user name, or is closed after too many wrong codes. Check that the label belongs to this device; if it does, restart the device.";
    /// The device announces less security than its label.
    SecurityDowngrade = "security-downgrade", CheckLabel, "The device announces weaker security than its label. It may not be the device that the label belongs to, so nothing was sent.";
    /// The device has no session security and this was not allowed.
    SecurityNoneRefused = "security-none-refused", UpdateFirmware, "The device talks without any protection, so nothing was sent. Allow this explicitly only where nobody can listen.";
    /// The answer does not belong to this session.
    SessionForeign = "session-foreign", Retry, "The device answered for somebody else's session. Make sure that nobody else is pairing it, then try again.";
    /// The device holds as many sessions as it can, or too many wrong codes were tried.
    DeviceClosed = "device-closed", PressButton, "The device takes no session at the moment: too many are open, or too many wrong codes were tried. Restart it or press its button.";
    /// Too many wrong codes: the device takes the next one after a while.
    DeviceSlowedDown = "device-slowed-down", Wait, "Too many wrong codes were tried, so the device takes the next one only after a while. Check the code on the label, wait, then try again.";
    /// The device refuses to make or continue the session for a reason of its own.
    SessionFailed = "session-failed", Retry, "The secured session with the device failed. Try again.";

    /// The device calls itself something else than the journal or the API says.
    WrongDevice = "wrong-device", CheckLabel, "This is another device than the one that was expected. Check which device the label belongs to.";
    /// The device's registration ID is not one.
    RegistrationIdInvalid = "registration-id-invalid", ContactSupport, "The device's registration ID is not valid.";
    /// The device can do no attestation that this program knows.
    NoAttestation = "no-attestation", UpdateFirmware, "The device can do no kind of attestation that can be used here.";

    /// No API address was given.
    ApiNotSet = "api-not-set", CheckSettings, "No provisioning API is set. Give its https address.";
    /// The API address is no URL, or has a path or user name that it may not have.
    ApiUrlInvalid = "api-url-invalid", CheckSettings, "The provisioning API's address is not valid. It looks like https://provisioning.example.com.";
    /// The API address is not https.
    ApiNotHttps = "api-not-https", CheckSettings, "The provisioning API's address must begin with https://, because credentials travel over it.";
    /// An added certificate cannot be read.
    ApiCaInvalid = "api-ca-invalid", CheckSettings, "The added CA certificate cannot be read. It must be PEM text.";
    /// No token was given.
    ApiTokenMissing = "api-token-missing", SignInAgain, "You are not signed in. Sign in and try again.";
    /// This machine has no network at all, and none came back in time.
    Offline = "offline", CheckInternet, "This machine has no network. Connect it to Wi-Fi, a cable or a mobile network, then try again; the pairing continues where it stopped.";
    /// No connection to the API.
    ApiUnreachable = "api-unreachable", CheckInternet, "The provisioning API cannot be reached. Check the internet connection and the API's address.";
    /// The API did not answer in time.
    ApiTimeout = "api-timeout", CheckInternet, "The provisioning API did not answer in time. Check the internet connection and try again.";
    /// The API's certificate is expired or not valid yet.
    ApiTlsExpired = "api-tls-expired", CheckClock, "The provisioning API's certificate is expired or not valid yet. Check the date of this machine; if it is right, the operator must renew the certificate.";
    /// The API's certificate is from an unknown issuer or for another name.
    ApiTlsForeign = "api-tls-foreign", CheckSettings, "The provisioning API's certificate is not trusted or is for another name. Check the address; if your company has its own CA, add its certificate.";
    /// The API answered with a redirect to elsewhere.
    ApiRedirect = "api-redirect", CheckSettings, "The provisioning API sends the call elsewhere, which is not followed. Check the API's address (a captive portal does this too).";
    /// 401.
    ApiUnauthenticated = "api-unauthenticated", SignInAgain, "Your sign-in is not valid any more. Sign in again.";
    /// 403.
    ApiForbidden = "api-forbidden", AskAdministrator, "Your account may not do this. Ask an administrator for the right to pair devices.";
    /// 404 for the path.
    ApiNotFound = "api-not-found", CheckSettings, "There is no provisioning API at this address. Check the address.";
    /// 404 for the device.
    DeviceUnknown = "device-unknown", AskAdministrator, "The provisioning API does not expect this device from you. Ask an administrator to add it to the inventory and to an open work order of yours.";
    /// 409: another hand-off.
    HandoffConflict = "handoff-conflict", Wait, "Somebody else is pairing this device. Wait until that ends, or ask an administrator.";
    /// 409: not allocated.
    NotAllocated = "not-allocated", Retry, "The device's allocation has changed meanwhile. Run the pairing again.";
    /// 409: attestation.
    AttestationMismatch = "attestation-mismatch", AskAdministrator, "The device cannot do the kind of attestation that the inventory asks for. Ask an administrator.";
    /// 422: CSR.
    CsrRejected = "csr-rejected", ContactSupport, "The provisioning API refuses the device's certificate request.";
    /// 400, 405, 413, 415, 422: this program and the API do not understand each other.
    ApiRequestRejected = "api-request-rejected", UpdateApp, "The provisioning API does not understand this program. One of the two needs an update.";
    /// 429.
    ApiThrottled = "api-throttled", Wait, "The provisioning API has too much to do at the moment. Wait a little and try again.";
    /// 503: no instance.
    NoInstance = "no-instance", AskAdministrator, "No DPS instance can take this device now. Ask an administrator.";
    /// 502: DPS behind the API.
    DpsUnavailable = "dps-unavailable", Wait, "The DPS instance does not answer the provisioning API. Try again in a few minutes.";
    /// 500 and other 5xx.
    ApiInternal = "api-internal", Wait, "The provisioning API has a fault. Try again in a few minutes.";
    /// A body that cannot be what was asked for.
    ApiAnswerInvalid = "api-answer-invalid", UpdateApp, "The provisioning API's answer makes no sense. Check the address; otherwise this program needs an update.";
    /// A body longer than any answer can be.
    ApiAnswerTooLong = "api-answer-too-long", CheckSettings, "The provisioning API's answer is longer than allowed. Check the address.";

    /// The device needs a network and none was given.
    NetworkNeeded = "network-needed", CheckWifi, "The device has no network yet. Give it a Wi-Fi name and passphrase.";
    /// The name or passphrase cannot be one.
    WifiInvalid = "wifi-invalid", CheckWifi, "The Wi-Fi name or passphrase cannot be one. A name has 1 to 32 bytes; a passphrase has 8 to 63 characters (letters, digits and signs of an English keyboard), and an open network has none.";
    /// The access point refused the passphrase.
    WifiWrongPassword = "wifi-wrong-password", CheckWifi, "The Wi-Fi refused the passphrase. Check it and try again; the device needs no factory reset.";
    /// The network wants a user name or certificate.
    WifiEnterprise = "wifi-enterprise", CheckWifi, "This Wi-Fi wants a user name or a certificate (enterprise, 802.1X), which the device cannot be given this way. Use a network with a passphrase, for example one for machines or guests.";
    /// A passphrase for an open network, none for another, or WEP.
    WifiSecurityDiffers = "wifi-security-differs", CheckWifi, "The Wi-Fi protects itself otherwise than what was given for it: it is open and a passphrase was given, or it wants one and none was given, or it uses WEP. Check which network is meant; an open one with a known name may be somebody else's.";
    /// The device does not see this network.
    WifiNotFound = "wifi-not-found", CheckWifi, "The device does not see this Wi-Fi network. Check the name, and that it is in reach and on a band that the device knows (often 2.4 GHz).";
    /// The device did not get onto the network in time.
    WifiTimeout = "wifi-timeout", CheckWifi, "The device did not get onto the Wi-Fi in time. Check the name and passphrase and try again.";
    /// On the network, but without an address.
    WifiNoAddress = "wifi-no-address", CheckWifi, "The device joined the Wi-Fi but got no address there. Check that the network gives addresses (DHCP), has some left and lets new devices in.";
    /// An earlier attempt stands and cannot be cleared over the link.
    WifiResetNeeded = "wifi-reset-needed", PressButton, "The device holds on to an earlier Wi-Fi attempt, and its firmware does not let go of it over this link. Wait a minute and try again; if that does not help, use the device's own reset button.";
    /// The device did not finish its scan, or could not begin it.
    WifiScanFailed = "wifi-scan-failed", Retry, "The device could not look for Wi-Fi networks. Try again, or give the network's name.";
    /// The device has no network step, or refuses it.
    NetworkUnsupported = "network-unsupported", UpdateFirmware, "The device cannot take Wi-Fi credentials this way.";

    /// The device is registering, or holds another hand-off.
    DeviceBusy = "device-busy", Wait, "The device is busy with another hand-off. Wait until that ends and try again.";
    /// The device has another owner, or refuses the owner's signature.
    NotOwner = "not-owner", AskAdministrator, "This device belongs to somebody. Only its owner can hand it over, or its button gives it back to nobody.";
    /// The device cannot hold the configuration.
    DeviceTooSmall = "device-too-small", ContactSupport, "The device cannot hold a configuration of this size.";
    /// The device does not know an operation or attestation.
    DeviceUnsupported = "device-unsupported", UpdateFirmware, "The device's firmware cannot do what was asked.";
    /// The device refuses the credential.
    CredentialRefused = "credential-refused", ContactSupport, "The device refuses the credential: it does not fit the device's key.";
    /// The device refuses the request as malformed.
    DeviceRefused = "device-refused", ContactSupport, "The device refuses the request.";
    /// The device's digest is not ours.
    DigestMismatch = "digest-mismatch", Retry, "The device stored something else than was sent, so it was not put in force. Try again.";
    /// The hand-off was staged, and is gone.
    HandoffExpired = "handoff-expired", Retry, "The device no longer holds the staged hand-off. Run the pairing again.";
    /// Flash.
    DeviceStorage = "device-storage", ContactSupport, "The device cannot write its storage. Its old configuration is untouched.";
    /// The device's own fault.
    DeviceInternal = "device-internal", ContactSupport, "The device reports a fault of its own.";

    /// The device cannot reach DPS.
    EndpointUnreachable = "endpoint-unreachable", AskAdministrator, "The device cannot reach the cloud from its network. Check that its network lets it out (port 443). The device is on its old configuration.";
    /// The device does not trust DPS.
    EndpointTls = "endpoint-tls", AskAdministrator, "The device does not trust the cloud's certificate. The device is on its old configuration.";
    /// DPS refused the credential.
    DpsCredential = "dps-credential", AskAdministrator, "DPS refused the device's credential. The device is on its old configuration.";
    /// DPS does not know it.
    DpsNotFound = "dps-not-found", AskAdministrator, "DPS does not know this device or ID scope. The device is on its old configuration.";
    /// DPS has it disabled.
    DpsDisabled = "dps-disabled", AskAdministrator, "DPS has this device's enrollment disabled.";
    /// DPS could not assign a hub.
    DpsAssignmentFailed = "dps-assignment-failed", AskAdministrator, "DPS could not assign a hub to this device.";
    /// DPS was throttled or out of service for too long.
    DpsThrottled = "dps-throttled", Wait, "DPS has too much to do at the moment. Try again in a few minutes.";
    /// Registered, but the device could not keep the hub's name; or failed with a code that is not known here.
    DeviceFailed = "device-failed", ContactSupport, "The device reports that it could not register.";
    /// No final word within the time.
    ConfirmTimeout = "confirm-timeout", Wait, "The device has its new configuration but has not said yet that it is registered. Run the pairing again later to see.";

    /// Disk full under the journal.
    JournalDiskFull = "journal-disk-full", FreeDiskSpace, "The disk is full, so the pairing cannot be recorded. Free some space and try again; nothing is lost.";
    /// The file is something else.
    JournalNotADatabase = "journal-not-a-database", ContactSupport, "The journal file is damaged or is something else. Move it away, then try again.";
    /// Written by a newer version.
    JournalNewer = "journal-newer", UpdateApp, "The journal was written by a newer version of this program. Update this program.";
    /// Locked by another program.
    JournalLocked = "journal-locked", Retry, "Another program holds the journal. Close it and try again.";
    /// May not be written.
    JournalPermission = "journal-permission", GrantPermission, "This program may not write its journal. Check the rights of its data folder.";
    /// Any other fault of the journal.
    JournalFailed = "journal-failed", ContactSupport, "The journal cannot be written.";
    /// The device's slot is too far away to wait for.
    SlotLater = "slot-later", Wait, "This device's turn to register comes later, so that not too many register at once. Run the same pairing again at that time; it keeps its turn.";
    /// The API knows no such work order for this account.
    OrderUnknown = "order-unknown", AskAdministrator, "You have no such work order. Look at the list of your orders, or ask who gave it to you.";
    /// The work order is closed, called off, or outside its hours.
    OrderNotOpen = "order-not-open", AskAdministrator, "The work order is not open now. Come back in its opening hours, or ask its administrator.";
    /// No such entry.
    JournalNoEntry = "journal-no-entry", Nothing, "The journal has no such pairing.";

    /// The settings file cannot be read.
    SettingsUnreadable = "settings-unreadable", CheckSettings, "The settings file cannot be read. Check that it is a file that you may read.";
    /// The settings file is no TOML.
    SettingsTorn = "settings-torn", CheckSettings, "The settings file has a line that cannot be understood. Correct that line; nothing was changed.";
    /// The settings file has a key that there is not.
    SettingsUnknownKey = "settings-unknown-key", CheckSettings, "The settings have a key that is not known. Correct its spelling or take it out.";
    /// A setting has a value that cannot be.
    SettingsInvalid = "settings-invalid", CheckSettings, "A setting has a value that cannot be used. Correct it; the details say which one and how it looks.";
    /// A secret stands in the settings.
    SettingsSecret = "settings-secret", CheckSettings, "The settings hold a secret, which does not belong there. Take it out; the details say where it belongs.";
    /// The settings file cannot be written.
    SettingsUnwritable = "settings-unwritable", GrantPermission, "The settings file cannot be written. Check the rights of its folder and the free space of the disk.";

    /// The owner signs only what the API allocated.
    OverrideRefused = "override-refused", CheckSettings, "This device has an owner, who signs only what the provisioning API allocated; the settings replace a part of that. Take id-scope and global-device-endpoint out of the settings, then try again.";

    /// The proxy's address cannot be used.
    ProxyInvalid = "proxy-invalid", CheckSettings, "The proxy's address is not valid. It looks like http://proxy.example.com:3128, without user name and password.";

    /// The proxy cannot be reached.
    ProxyUnreachable = "proxy-unreachable", CheckSettings, "The proxy cannot be reached. Check the proxy's address in the settings, and whether you are on the network that it belongs to.";
    /// The proxy wants a password, or another one.
    ProxyLogin = "proxy-login", CheckSettings, "The proxy wants a user name and password, or refuses those that are set. Correct proxy-user and proxy-password in the settings.";
    /// The proxy does not connect to the server.
    ProxyRefused = "proxy-refused", CheckSettings, "The proxy does not let this program through to the server. Ask whoever runs the proxy to allow the server's address, or choose another proxy in the settings.";
    /// The proxy has a user and no password.
    ProxyPasswordMissing = "proxy-password-missing", CheckSettings, "The proxy needs a password, and none is kept. Set it in the settings; it goes to the keyring.";

    /// No D-Bus session.
    KeyringNoSession = "keyring-no-session", CheckSettings, "The keyring cannot be reached, because this login has no D-Bus session. Use a desktop login or start the program with dbus-run-session; or choose an encrypted file for secrets in the settings.";
    /// No keyring runs.
    KeyringMissing = "keyring-missing", CheckSettings, "No keyring answers on this machine. Install and start one (on Linux gnome-keyring, KWallet or KeePassXC); or choose an encrypted file for secrets in the settings.";
    /// The keyring is locked and stayed so.
    KeyringLocked = "keyring-locked", GrantPermission, "The keyring is locked. Unlock it, then try again.";
    /// The keyring has nothing to keep secrets in.
    KeyringNotSetUp = "keyring-not-set-up", CheckSettings, "The keyring has no default collection yet. Log in to the desktop once, or create a default keyring with its own program (Passwords and Keys, KWalletManager), then try again.";
    /// The person or the system said no.
    KeyringDenied = "keyring-denied", GrantPermission, "The keyring did not give access. Allow this program to use it, then try again.";
    /// The keyring did not answer, or a prompt of it was not answered.
    KeyringTimeout = "keyring-timeout", Retry, "The keyring did not answer in time. If it asks for its password, answer it, then try again; if it does not, restart it.";
    /// Any other fault of a keyring.
    KeyringFailed = "keyring-failed", ContactSupport, "The keyring failed. Restart it and try again; the details say what it reported.";
    /// The secrets file needs its passphrase.
    SecretsPassphraseMissing = "secrets-passphrase-missing", CheckSettings, "The secrets file needs its passphrase. Type it when asked, or name a file that holds it in LOWTOUCH_PASSPHRASE_FILE.";
    /// The secrets file's passphrase is another one.
    SecretsPassphraseWrong = "secrets-passphrase-wrong", CheckSettings, "The passphrase does not open the secrets file. Type it again; nothing was changed.";
    /// The secrets file is cut off or changed.
    SecretsFileDamaged = "secrets-file-damaged", ContactSupport, "The secrets file is damaged. Restore it from a backup, or move it away and sign in again.";
    /// Another program holds it.
    SecretsFileBusy = "secrets-file-busy", Retry, "Another program holds the secrets file. Try again in a moment.";
    /// It cannot be read or written.
    SecretsFileFailed = "secrets-file-failed", GrantPermission, "The secrets file cannot be read or written. Check the rights of its folder and the free space of the disk.";

    /// The API does not say where to sign in.
    SignInUnsupported = "sign-in-unsupported", CheckSettings, "This server does not say how to sign in. Check its address; an older server takes tokens that its administrator issues.";
    /// This server does not have that way of signing in.
    SignInNotOffered = "sign-in-not-offered", CheckSettings, "The server does not offer this way of signing in. Use another one: browser, device code or invite.";
    /// The API's or issuer's description of itself is wrong: other issuer, no https, no PKCE.
    SignInMetadataInvalid = "sign-in-metadata-invalid", AskAdministrator, "What the server says about signing in is not right, so it is not trusted. Ask its administrator; the details say what is wrong.";
    /// No answer from the issuer, or its own fault.
    SignInUnreachable = "sign-in-unreachable", Wait, "The server where you sign in does not answer, or is out of order. Check the internet connection; if that is well, try again in a few minutes.";
    /// The issuer or the person said no.
    SignInRefused = "sign-in-refused", SignInAgain, "The sign-in was refused or cancelled. Sign in again; if it is refused once more, ask your administrator.";
    /// Nobody signed in within the time.
    SignInExpired = "sign-in-expired", SignInAgain, "The sign-in was not finished in time. Begin it again.";
    /// The issuer's answer is not as the protocol says.
    SignInAnswerInvalid = "sign-in-answer-invalid", AskAdministrator, "The answer of the server where you sign in makes no sense. Check the address; otherwise its administrator has to look at it.";
    /// No port on the loopback interface.
    SignInBlocked = "sign-in-blocked", GrantPermission, "This program may not listen on this machine for your browser's answer. Allow it, or sign in with a device code.";
    /// The refresh token ended, was revoked or was used twice; or nobody signed in again after signing out.
    SignedOut = "signed-out", SignInAgain, "You are signed out: the sign-in has ended or was revoked. Sign in again.";
    /// The issuer knows the person, the API has no role for them.
    NoRole = "no-role", AskAdministrator, "You signed in, but this server has no role for you. Ask its administrator for the role that you need, then sign in again.";
    /// The text is no invite.
    InviteInvalid = "invite-invalid", CheckSettings, "This is no invite. Scan the invite's QR code or paste its whole text; it begins with lowtouch:invite.";
    /// Used, expired, withdrawn or unknown: the server does not say which.
    InviteRefused = "invite-refused", AskAdministrator, "The invite was used already, has expired or is unknown. Ask your administrator for a new one.";
    /// A page of the network in between came instead of an answer.
    CaptivePortal = "captive-portal", CheckInternet, "This network wants a sign-in of its own first. Open any web page in a browser, do what the network asks for, then try again.";
    /// No such account, or several that begin so.
    AccountUnknown = "account-unknown", CheckSettings, "There is no such account on this machine, or several begin with that name. Look at the list of accounts.";
    /// `accounts.toml` is damaged or newer.
    AccountsUnreadable = "accounts-unreadable", ContactSupport, "The list of accounts is damaged, or is of a newer version of this program. Move accounts.toml in the data folder away and sign in again.";
    /// It cannot be read or written.
    AccountsFailed = "accounts-failed", GrantPermission, "The list of accounts cannot be read or written. Check the rights of the data folder and the free space of the disk.";
    /// Another process holds its lock.
    AccountsBusy = "accounts-busy", Retry, "Another window of this program is busy with the same account. Try again in a moment.";

    /// The browser of this machine is not the one that shows the page.
    BrowserElsewhere = "browser-elsewhere", CheckSettings, "This page is shown by a gateway, whose own browser you do not see. Sign in with a device code or an invite.";
    /// No such command in the table: page and program are of two versions.
    CommandUnknown = "command-unknown", UpdateApp, "The page asks for something that this program does not know. Reload the page; if that does not help, update this program.";
    /// The arguments are not those of the command.
    CommandArguments = "command-arguments", UpdateApp, "The page asks for something in a way that this program does not understand. Reload the page; if that does not help, update this program.";
    /// No session with `lowtouch serve`: none yet, or it has ended.
    GatewaySessionMissing = "gateway-session-missing", SignInAgain, "This page is not signed in to its gateway, or has been for too long. Type the code that the gateway shows.";
    /// Not the code that the gateway shows, or one that was used or has ended.
    GatewayCodeWrong = "gateway-code-wrong", SignInAgain, "This is not the code that the gateway shows now. A code serves once and for a few minutes; press Enter there for a new one.";
    /// Too many wrong codes.
    GatewaySlowedDown = "gateway-slowed-down", Wait, "Too many wrong codes were tried. Wait a moment, then type the code that the gateway shows.";
    /// A Host or Origin header that is not the gateway's.
    GatewayForeign = "gateway-foreign", CheckSettings, "The gateway does not serve this address. Use an address that it shows; whoever runs it adds others with --host.";
    /// The body is longer than any command needs.
    GatewayBodyTooLong = "gateway-body-too-long", CheckLabel, "This is larger than the gateway takes. Crop the picture to the QR code.";
    /// As many connections as the gateway takes.
    GatewayFull = "gateway-full", Wait, "So many connections are open to the gateway that it takes no other one. Close pages of it that nobody needs, then load this one again.";
    /// A file that a person chose cannot be written.
    FileUnwritable = "file-unwritable", GrantPermission, "The file cannot be written there. Choose another folder, or check its rights and the free space.";
    /// The programs of the demo are not beside this one.
    DemoNotBuilt = "demo-not-built", UpdateApp, "The demo's programs are not beside this one. Install the whole package; in a copy of the source, `cargo xtask demo` builds them.";
    /// A part of the demo did not start, or ended.
    DemoFailed = "demo-failed", Retry, "A part of the demo could not run. Start the demo again; the details say what it said.";

    /// Cancelled.
    Cancelled = "cancelled", Nothing, "Cancelled. Run the pairing again to continue where it stopped.";
    /// A fault in this program.
    Internal = "internal", ContactSupport, "This program has a fault.";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a pairing (or one of its smaller siblings) ended without success.
///
/// `Display` is the hint for the person; [`detail`](Self::detail) is for support and stands apart. Neither has secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PairingError {
    /// The stable code.
    pub code: ErrorCode,
    /// What to do about it.
    pub action: Action,
    /// The step in which it happened, if a pairing was under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
    /// For support: what exactly was seen. English, no secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Seconds after which it makes sense to try again, if the other side said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// The API's name for the failed call, to be quoted to its operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Uuid>,
    /// Which role is there and which one is needed, where that is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_role: Option<Box<MissingRole>>,
    /// The call found no name server or no route: it never left this machine. For the retry layer.
    #[serde(skip)]
    pub(crate) not_left: bool,
}

/// Who is signed in, what they may do, and what was needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MissingRole {
    /// As the API knows them.
    pub person: String,
    /// The role that is there, for example `auditor`.
    pub has: String,
    /// The role that is needed, for example `installer`.
    pub needs: String,
}

impl PairingError {
    /// An error with nothing but its code.
    pub fn new(code: ErrorCode) -> Self {
        PairingError {
            code,
            action: code.action(),
            step: None,
            detail: None,
            retry_after_s: None,
            request_id: None,
            missing_role: None,
            not_left: false,
        }
    }

    /// An error with support detail. Never give it a secret.
    pub fn with_detail(code: ErrorCode, detail: impl Into<String>) -> Self {
        PairingError { detail: Some(detail.into()), ..PairingError::new(code) }
    }

    /// What happened and what to do next, in plain English.
    pub fn hint(&self) -> &'static str {
        self.code.hint()
    }

    /// Says that the call never left this machine: where there is no network, that is no failure ([`crate::retry`]).
    #[must_use]
    pub fn not_left(mut self) -> Self {
        self.not_left = true;
        self
    }

    /// Whether the call never left this machine.
    pub fn has_not_left(&self) -> bool {
        self.not_left
    }

    pub(crate) fn at(mut self, step: Step) -> Self {
        self.step.get_or_insert(step);
        self
    }
}

impl fmt::Display for PairingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hint())
    }
}

impl std::error::Error for PairingError {}

impl From<ErrorCode> for PairingError {
    fn from(code: ErrorCode) -> Self {
        PairingError::new(code)
    }
}
