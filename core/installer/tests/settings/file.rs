//! The settings: who stands above whom, what is refused and where it says so, what an edit leaves alone.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use lowtouch_installer::ErrorCode;
use lowtouch_installer::net::Proxy;
use lowtouch_installer::secrets::{Memory, SecretStore};
use lowtouch_installer::settings::{self, Key, PROXY_PASSWORD, SecretsIn, Settings, SettingsError, Source};
use proptest::prelude::*;
use secrecy::ExposeSecret;

use crate::server::ca;

/// Marked, so that a leak can be searched for.
const SECRET: &str = "marked-setting-7c21";

fn nothing(_: &str) -> Option<OsString> {
    None
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(text: &str) -> (Folder, PathBuf) {
        let folder = Folder(tempfile::tempdir().unwrap());
        let file = folder.0.path().join(settings::FILE_NAME);
        std::fs::write(&file, text).unwrap();
        (folder, file)
    }
}

fn read(text: &str) -> Result<Settings, SettingsError> {
    let (_folder, file) = Folder::with(text);
    Settings::load(&file, &nothing)
}

fn problem(text: &str) -> SettingsError {
    read(text).unwrap_err()
}

fn place(error: &SettingsError) -> (usize, usize) {
    match &error.source {
        Source::File { line, column, .. } => (*line, *column),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_option_stands_above_the_environment_the_environment_above_the_file_and_the_file_above_the_default() {
    let (_folder, file) = Folder::with("api = \"https://file.example\"\nsecrets = \"file\"\n");
    let none = Settings::load(&file.with_file_name("absent.toml"), &nothing).unwrap();
    assert_eq!((none.api(), none.secrets()), (None, SecretsIn::Keyring));
    assert_eq!(none.get(Key::Secrets).source, Source::Default);

    let only_file = Settings::load(&file, &nothing).unwrap();
    assert_eq!(only_file.api().unwrap(), "https://file.example");
    assert_eq!(only_file.get(Key::Api).source, Source::File { path: file.clone(), line: 1, column: 1 });
    assert_eq!(only_file.secrets(), SecretsIn::File);

    let environment = |name: &str| (name == "LOWTOUCH_API").then(|| OsString::from("https://environment.example"));
    let mut above = Settings::load(&file, &environment).unwrap();
    assert_eq!(above.api().unwrap(), "https://environment.example");
    assert_eq!(above.get(Key::Api).source, Source::Environment("LOWTOUCH_API"));
    assert_eq!(above.secrets(), SecretsIn::File);

    above.put_flag(Key::Api, "--api", &["https://flag.example".into()]).unwrap();
    assert_eq!(above.api().unwrap(), "https://flag.example");
    assert_eq!(above.get(Key::Api).source, Source::Flag("--api"));
}

#[test]
fn an_environment_variable_that_is_empty_is_not_set_and_one_that_is_wrong_is_named() {
    let (_folder, file) = Folder::with("api = \"https://file.example\"\n");
    let empty = |name: &str| (name == "LOWTOUCH_API").then(OsString::new);
    assert_eq!(Settings::load(&file, &empty).unwrap().api().unwrap(), "https://file.example");
    let wrong = |name: &str| (name == "LOWTOUCH_API").then(|| OsString::from("http://a.example"));
    let error = Settings::load(&file, &wrong).unwrap_err();
    assert_eq!((error.code, error.source.clone()), (ErrorCode::ApiNotHttps, Source::Environment("LOWTOUCH_API")));
    assert!(error.to_string().starts_with("LOWTOUCH_API: api: it must begin with https://"), "{error}");
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_one() {
    for (text, line, nearest) in [
        ("# mine\n\napi_url = \"https://a.example\"\n", 3, "api"),
        ("apii = \"https://a.example\"\n", 1, "api"),
        ("secrets = \"file\"\nca_file = [\"a.pem\"]\n", 2, "ca-files"),
        ("proxi = \"none\"\n", 1, "proxy"),
        ("id_scope = \"0ne1\"\n", 1, "id-scope"),
        ("endpoint = \"a\"\n", 1, "global-device-endpoint"),
        ("\n[logs]\nlevel = \"info\"\n", 2, "log"),
    ] {
        let error = problem(text);
        assert_eq!(error.code, ErrorCode::SettingsUnknownKey, "{text}");
        assert_eq!(place(&error).0, line, "{text}: {error}");
        assert!(
            error.wrong.mend().starts_with(&format!("The nearest one is {nearest}.")),
            "{text}: {}",
            error.wrong.mend()
        );
    }
}

#[test]
fn a_torn_line_is_named_with_line_column_and_what_was_expected() {
    for (text, at) in [
        ("api = \"https://a.exam", 1),
        ("secrets = \"file\"\napi = \n", 2),
        ("secrets = \"file\"\napi \"https://a.example\"\n", 2),
        ("secrets = \"file\"\nca-files = [\"a.pem\",\n", 2),
        ("secrets = \"file\"\n\n\u{0}\u{0}\u{0}", 3),
        ("api = \"https://a.example\"\napi = \"https://b.example\"\n", 2),
    ] {
        let error = problem(text);
        assert_eq!(error.code, ErrorCode::SettingsTorn, "{text:?}: {error}");
        let (line, column) = place(&error);
        assert!(line >= at && line <= text.lines().count().max(1) + 1 && column >= 1, "{text:?}: {error}");
        assert!(!error.wrong.to_string().is_empty() && !error.wrong.mend().is_empty());
    }
    assert!(problem("api = \n").wrong.to_string().contains("expected"), "{}", problem("api = \n"));
    let (_folder, file) = Folder::with("");
    std::fs::write(&file, b"log = \"info\"\nlog\xff").unwrap();
    let error = Settings::load(&file, &nothing).unwrap_err();
    assert_eq!((error.code, place(&error)), (ErrorCode::SettingsTorn, (2, 4)));
}

#[test]
fn a_value_that_cannot_be_is_refused_with_what_it_looks_like() {
    for text in [
        "api = \"http://a.example\"",
        "api = \"a.example\"",
        "api = \"https://a.example/?x=1\"",
        "api = 7",
        "api = [\"https://a.example\"]",
        "ca-files = \"a.pem\"",
        "ca-files = [1]",
        "proxy = \"socks5://a.example\"",
        "proxy = \"on\"",
        "proxy = \"http://a.example/path\"",
        "proxy-user = \"a b\"",
        "secrets = \"nowhere\"",
        "global-device-endpoint = \"https://a.example\"",
        "id-scope = \"0 ne\"",
        "log = \"loud\"",
        "log = \"lowtouch=loud\"",
    ] {
        let error = problem(text);
        let expected = match text {
            "api = \"http://a.example\"" => ErrorCode::ApiNotHttps,
            text if text.starts_with("api = \"") => ErrorCode::ApiUrlInvalid,
            text if text.starts_with("proxy = ") => ErrorCode::ProxyInvalid,
            _ => ErrorCode::SettingsInvalid,
        };
        assert_eq!(error.code, expected, "{text}: {error}");
        assert!(error.wrong.mend().len() > 10, "{text}");
    }
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_repeated() {
    for text in [
        format!("token = \"{SECRET}\""),
        format!("proxy-password = \"{SECRET}\""),
        format!("wifi_passphrase = \"{SECRET}\""),
        format!("pop = \"{SECRET}\""),
        format!("api = \"https://me:{SECRET}@a.example\""),
        format!("proxy = \"http://me:{SECRET}@a.example:3128\""),
        format!("api = \"lowtouch_{SECRET}\""),
        format!("proxy-user = \"eyJ{SECRET}.a.b\""),
        format!("id-scope = \"HostName=a;SharedAccessKey={SECRET}\""),
        format!("ca-files = [\"-----BEGIN PRIVATE KEY----- {SECRET}\"]"),
    ] {
        let error = problem(&text);
        assert_eq!(error.code, ErrorCode::SettingsSecret, "{text}: {error}");
        let said = format!(
            "{error} {error:?} {} {:?}",
            error.wrong.mend(),
            lowtouch_installer::PairingError::from(error.clone())
        );
        assert!(!said.contains(SECRET), "{said}");
        assert!(error.wrong.mend().contains("elete"), "{}", error.wrong.mend());
    }
}

#[test]
fn an_edit_keeps_comments_order_and_everything_else() {
    let before = "# Plant 4\n\nsecrets = \"file\"   # the gateway has no keyring\n\n# the new one\napi = 'https://old.example' # since May\n# the end\n";
    let (_folder, file) = Folder::with(before);
    settings::set(&file, Key::Api, &["https://new.example".into()]).unwrap();
    let after = std::fs::read_to_string(&file).unwrap();
    assert_eq!(after, before.replace("'https://old.example'", "\"https://new.example\""));
    settings::set(&file, Key::Log, &["debug".into()]).unwrap();
    let after = std::fs::read_to_string(&file).unwrap();
    assert!(
        after.starts_with("# Plant 4\n\nsecrets = \"file\"   # the gateway has no keyring\n\n# the new one\napi = "),
        "{after}"
    );
    assert!(after.contains("log = \"debug\"\n"), "{after}");
    assert!(settings::unset(&file, "secrets").unwrap());
    let after = std::fs::read_to_string(&file).unwrap();
    assert!(after.starts_with("# Plant 4\n") && after.contains("# the new one\napi"), "{after}");
    assert!(!settings::unset(&file, "secrets").unwrap());
    assert!(settings::unset(&file, "log").unwrap() && settings::unset(&file, "api").unwrap());
    let after = std::fs::read_to_string(&file).unwrap();
    assert!(after.contains("# Plant 4") && after.contains("# the end") && !after.contains('='), "{after}");
}

#[test]
fn a_new_file_says_what_it_is_and_folders_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a/b").join(settings::FILE_NAME);
    settings::set(&file, Key::Proxy, &["none".into()]).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# Settings of lowtouch.") && text.ends_with("proxy = \"none\"\n"), "{text}");
    assert_eq!(Settings::load(&file, &nothing).unwrap().get(Key::Proxy).to_string(), "none");
}

#[test]
fn nothing_is_written_over_a_file_that_cannot_be_read() {
    for (text, code) in [
        ("api = \"https://a.exam", ErrorCode::SettingsTorn),
        ("apii = \"https://a.example\"\n", ErrorCode::SettingsUnknownKey),
        ("secrets = \"nowhere\"\n", ErrorCode::SettingsInvalid),
        ("token = \"x\"\n", ErrorCode::SettingsSecret),
    ] {
        let (_folder, file) = Folder::with(text);
        assert_eq!(settings::set(&file, Key::Log, &["info".into()]).unwrap_err().code, code, "{text}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }
    // What is wrong with single keys can be taken out.
    let (_folder, file) = Folder::with("# mine\napii = \"https://a.example\"\nlog = \"info\"\n");
    assert!(settings::unset(&file, "apii").unwrap());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "# mine\nlog = \"info\"\n");
    let (_folder, file) = Folder::with("api = \"https://a.exam");
    assert_eq!(settings::unset(&file, "api").unwrap_err().code, ErrorCode::SettingsTorn);
}

#[test]
fn a_value_that_is_refused_changes_nothing() {
    let (_folder, file) = Folder::with("log = \"info\"\n");
    for (key, values) in [
        (Key::Api, vec!["http://a.example".to_owned()]),
        (Key::Api, vec![]),
        (Key::Log, vec!["info".into(), "debug".into()]),
        (Key::CaFiles, vec!["/nowhere/ca.pem".into()]),
        (Key::Proxy, vec![format!("http://me:{SECRET}@a.example")]),
    ] {
        let error = settings::set(&file, key, &values).unwrap_err();
        let codes = [ErrorCode::SettingsInvalid, ErrorCode::SettingsSecret, ErrorCode::ApiNotHttps];
        assert!(codes.contains(&error.code), "{error}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "log = \"info\"\n");
}

#[cfg(unix)]
#[test]
fn a_settings_file_behind_a_link_stays_behind_it_and_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, file) = Folder::with("log = \"info\"\n");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let link = folder.0.path().join("link.toml");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    settings::set(&link, Key::Log, &["debug".into()]).unwrap();
    assert!(link.is_symlink());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "log = \"debug\"\n");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn certificates_are_read_when_they_are_set_and_files_that_are_none_are_refused() {
    let (folder, file) = Folder::with("");
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let authority = ca();
    let good = put("good.pem", authority.pem.as_bytes());
    let der = rustls_pem(&authority.pem);
    for (name, bytes) in [
        ("text.pem", b"not PEM".to_vec()),
        ("der.pem", der.clone()),
        ("torn.pem", authority.pem.as_bytes()[..authority.pem.len() / 2].to_vec()),
        ("empty.pem", Vec::new()),
        ("noise.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec()),
    ] {
        let bad = put(name, &bytes);
        let error = settings::set(&file, Key::CaFiles, &[good.clone(), bad]).unwrap_err();
        assert_eq!(error.code, ErrorCode::ApiCaInvalid, "{name}: {error}");
        assert!(error.to_string().contains(name) && error.wrong.mend().len() > 20, "{error}: {}", error.wrong.mend());
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "");
    settings::set(&file, Key::CaFiles, std::slice::from_ref(&good)).unwrap();
    let pem = Settings::load(&file, &nothing).unwrap().extra_ca_pem().unwrap().unwrap();
    assert_eq!(pem.trim(), authority.pem.trim());
    // A name without a folder starts at the file's folder.
    std::fs::write(&file, "ca-files = [\"good.pem\"]\n").unwrap();
    assert!(Settings::load(&file, &nothing).unwrap().extra_ca_pem().unwrap().is_some());
    std::fs::remove_file(good).unwrap();
    let error = Settings::load(&file, &nothing).unwrap().extra_ca_pem().unwrap_err();
    assert_eq!((error.code, place(&error).0), (ErrorCode::SettingsInvalid, 1));
}

fn rustls_pem(pem: &str) -> Vec<u8> {
    lowtouch_installer::net::certificates(pem).unwrap().remove(0).to_vec()
}

#[tokio::test]
async fn the_proxys_password_is_the_environments_or_the_stores_and_is_asked_for_only_with_a_user() {
    let (_folder, file) = Folder::with("proxy = \"http://proxy.example:3128\"\n");
    let store = Memory::new();
    let settings = Settings::load(&file, &nothing).unwrap();
    assert!(matches!(settings.net(&store, &nothing).await.unwrap().proxy, Proxy::Through { login: None, .. }));

    settings::set(&file, Key::ProxyUser, &["me".into()]).unwrap();
    let settings = Settings::load(&file, &nothing).unwrap();
    assert_eq!(settings.net(&store, &nothing).await.unwrap_err().code, ErrorCode::ProxyPasswordMissing);
    store.set(PROXY_PASSWORD, &"of-store".to_owned().into()).await.unwrap();
    let password = |proxy| match proxy {
        Proxy::Through { login: Some((user, password)), .. } => (user, password.expose_secret().to_owned()),
        other => panic!("{other:?}"),
    };
    let net = settings.net(&store, &nothing).await.unwrap();
    assert!(!format!("{net:?}").contains("of-store"));
    assert_eq!(password(net.proxy), ("me".into(), "of-store".into()));
    let environment: HashMap<&str, &str> = HashMap::from([("LOWTOUCH_PROXY_PASSWORD", "of-environment")]);
    let net = settings.net(&store, &|name| environment.get(name).map(Into::into)).await.unwrap();
    assert_eq!(password(net.proxy).1, "of-environment");
}

#[test]
fn what_breaks_the_allocation_is_warned_of() {
    let settings = read("id-scope = \"0ne0000000B\"\nglobal-device-endpoint = \"dps.example:8443\"\n").unwrap();
    let warned: Vec<Key> = settings.warnings().into_iter().map(|(key, _)| key).collect();
    assert_eq!(warned, [Key::IdScope, Key::GlobalDeviceEndpoint]);
    assert_eq!(settings.overrides().id_scope.as_deref(), Some("0ne0000000B"));
    assert!(read("log = \"info,lowtouch_installer=trace\"").unwrap().warnings().is_empty());
}

#[test]
fn the_documentation_has_every_key() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let mut table = "| Key | Value | Default | Environment | What it is for |\n|---|---|---|---|---|\n".to_owned();
    for &key in Key::ALL {
        let default = key.default().map_or("none".to_owned(), |default| format!("`{default}`"));
        let (looks, variable, about) = (key.looks(), key.variable(), key.about().replace("  ", " "));
        table += &format!("| `{key}` | {looks} | {default} | `{variable}` | {about} |\n");
    }
    let text = std::fs::read_to_string(&page).unwrap();
    let (begin, end) = ("<!-- keys -->\n", "<!-- /keys -->");
    let (before, rest) = text.split_once(begin).unwrap();
    let (old, after) = rest.split_once(end).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&page, format!("{before}{begin}{table}{end}{after}")).unwrap();
    } else {
        assert_eq!(old, table, "regenerate with UPDATE_DOCS=1");
    }
}

proptest! {
    #[test]
    fn whatever_is_in_the_file_reading_it_ends_with_settings_or_with_a_place(text in "\\PC{0,60}(\n\\PC{0,60}){0,4}") {
        let (_folder, file) = Folder::with(&text);
        let (_, problems) = Settings::read(&file, &nothing);
        for problem in problems {
            let (line, column) = place(&problem);
            prop_assert!(line >= 1 && column >= 1, "{problem}");
        }
    }

    #[test]
    fn what_was_set_is_what_is_read_and_the_rest_stays(
        level in prop::sample::select(vec!["off", "warn", "trace"]),
        host in "[a-z]{1,12}\\.example",
        comment in "[ -~]{0,40}",
    ) {
        let (_folder, file) = Folder::with(&format!("# {comment}\nproxy = \"none\" # {comment}\n"));
        settings::set(&file, Key::Log, &[level.into()]).unwrap();
        settings::set(&file, Key::GlobalDeviceEndpoint, std::slice::from_ref(&host)).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let start = format!("# {comment}\nproxy = \"none\" # {comment}\n");
        prop_assert!(text.starts_with(&start));
        let read = Settings::load(&file, &nothing).unwrap();
        prop_assert_eq!(read.log().unwrap(), level);
        prop_assert_eq!(read.overrides().global_device_endpoint.unwrap(), host);
    }
}

/// A socket stands for whatever is no file; a test must not try it with the machine's devices.
#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_not_replaced() {
    use std::os::unix::fs::FileTypeExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let error = settings::set(&path, Key::Secrets, &["file".into()]).unwrap_err();
    assert_eq!(error.code, ErrorCode::SettingsUnwritable);
    assert!(std::fs::symlink_metadata(&path).unwrap().file_type().is_socket());
}
