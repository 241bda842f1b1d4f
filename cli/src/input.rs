//! What the command line names rather than holds: labels, tokens, passphrases.

use std::fs::File;
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use lowtouch_installer::error::PairingError;
use lowtouch_installer::label::{self, Label, MAX_PICTURE_BYTES};
use lowtouch_installer::sign_in::Invite;
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::args::WifiSecretArgs;
use crate::exit::Exit;
use crate::failure::Failure;

/// The environment's token.
pub(crate) const TOKEN_VARIABLE: &str = "LOWTOUCH_TOKEN";
/// The environment's Wi-Fi passphrase.
pub(crate) const PASSPHRASE_VARIABLE: &str = "LOWTOUCH_WIFI_PASSPHRASE";

/// Longest secret that is read, in bytes. Tokens of large companies have some thousand.
const MAX_SECRET: u64 = 64 << 10;

/// Reads a label argument: text, `@FILE`, `@-`, or the name of a picture.
pub(crate) fn read_label(argument: &str) -> Result<Label, Failure> {
    if let Some(file) = argument.strip_prefix('@') {
        return label_file(Path::new(file));
    }
    let path = Path::new(argument);
    let is_text = argument.trim_start().starts_with('{');
    if !is_text && path.is_file() {
        return label_file(path);
    }
    let named_like_a_file = path.extension().is_some_and(|extension| {
        ["png", "jpg", "jpeg", "txt", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    });
    if !is_text && named_like_a_file {
        return Err(label_unreadable(path, std::io::ErrorKind::NotFound.into()));
    }
    Ok(label::parse(argument).map_err(PairingError::from)?)
}

/// Reads an invite argument: text, `@FILE`, `@-`, the name of a picture, or the code alone where the server is named.
pub(crate) fn read_invite(argument: &str, server: Option<&str>) -> Result<Invite, Failure> {
    let argument = argument.trim();
    let path = Path::new(argument.strip_prefix('@').unwrap_or(argument));
    if argument.starts_with('@') || path.is_file() {
        let bytes = bytes(path).map_err(|error| Failure::unreadable("invite", path, error))?;
        return Ok(match std::str::from_utf8(&bytes) {
            Ok(text) if !is_picture(&bytes) => Invite::parse(text)?,
            _ => Invite::from_picture(&bytes)?,
        });
    }
    match server {
        Some(server) if !argument.contains(':') => Ok(Invite::new(server, argument.to_owned().into())?),
        _ => Ok(Invite::parse(argument)?),
    }
}

fn is_picture(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x89PNG") || bytes.starts_with(b"\xff\xd8\xff")
}

fn bytes(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    // One byte more than is accepted, so that the one who judges the size sees that it is too large.
    let limit = MAX_PICTURE_BYTES as u64 + 1;
    if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn label_file(path: &Path) -> Result<Label, Failure> {
    let bytes = bytes(path).map_err(|error| label_unreadable(path, error))?;
    let label = match std::str::from_utf8(&bytes) {
        Ok(text) if !is_picture(&bytes) => label::parse(text),
        _ => label::from_picture(&bytes),
    };
    Ok(label.map_err(PairingError::from)?)
}

fn label_unreadable(path: &Path, error: std::io::Error) -> Failure {
    Failure::new(Exit::Label, "label-file-unreadable", format!("The label {} cannot be read.", path.display()))
        .help("Check the file's name. A label is the text in the QR code, @FILE, or a picture of the QR code.")
        .because(error)
}

/// Certificates that the command line names, as one PEM text.
pub(crate) fn certificates(files: &[PathBuf]) -> Result<Option<String>, Failure> {
    let mut all = String::new();
    for path in files {
        all += &std::fs::read_to_string(path).map_err(|error| Failure::unreadable("CA file", path, error))?;
        all.push('\n');
    }
    Ok((!files.is_empty()).then_some(all))
}

/// Whether a person sits before standard input.
pub(crate) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// The Wi-Fi passphrase, empty for an open network: from the file, the environment or, on a terminal, the person; and
/// whether the person typed it.
pub(crate) async fn passphrase(ssid: &str, arguments: &WifiSecretArgs) -> Result<(SecretString, bool), Failure> {
    if arguments.wifi_open {
        return Ok((String::new().into(), false));
    }
    if let Some(path) = &arguments.wifi_passphrase_file {
        return Ok((first_line("passphrase file", path)?, false));
    }
    if let Ok(passphrase) = std::env::var(PASSPHRASE_VARIABLE) {
        return Ok((passphrase.into(), false));
    }
    if can_ask() {
        return Ok((ask_passphrase(ssid).await?, true));
    }
    Err(Failure::new(Exit::Usage, "passphrase-missing", format!("The passphrase of the Wi-Fi \"{ssid}\" is missing."))
        .help(format!(
            "Name a file with --wifi-passphrase-file, set {PASSPHRASE_VARIABLE}, or say --wifi-open for a network without \
             one. On a terminal you are asked."
        )))
}

/// Asks for the passphrase.
pub(crate) async fn ask_passphrase(ssid: &str) -> Result<SecretString, Failure> {
    ask(&format!("Passphrase of the Wi-Fi \"{ssid}\" (not shown; empty if it is open): ")).await
}

/// Asks for a secret other than a Wi-Fi passphrase.
pub(crate) async fn secret(question: &str) -> Result<SecretString, Failure> {
    ask(question).await
}

/// The first line of standard input, where no person sits before it.
pub(crate) fn piped_secret() -> std::io::Result<SecretString> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().lock().take(MAX_SECRET).read_to_string(&mut text)?;
    Ok(text.lines().next().unwrap_or_default().trim_end().to_owned().into())
}

/// Asks for a line that is no secret.
pub(crate) async fn line(question: &str) -> Result<String, Failure> {
    let terminal = console::Term::stderr();
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Usage, "wifi-missing", "You cannot be asked here.")
            .help("Say it with --wifi SSID.")
            .because(error)
    };
    terminal.write_str(question).map_err(failed)?;
    // Standard input in its usual mode: the terminal itself edits the line and shows it.
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|read| (read > 0).then_some(line))
    });
    tokio::select! {
        answer = answer => match answer {
            Ok(Ok(Some(line))) => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
            // Ctrl-D.
            Ok(Ok(None)) | Err(_) => Err(Failure::cancelled()),
            Ok(Err(error)) => Err(failed(error)),
        },
        _ = tokio::signal::ctrl_c() => {
            let _ = console::Term::stderr().write_line("");
            Err(Failure::cancelled())
        }
    }
}

/// The first line of a file, as a secret.
pub(crate) fn first_line(what: &str, path: &Path) -> Result<SecretString, Failure> {
    let mut text = Zeroizing::new(String::new());
    File::open(path)
        .and_then(|file| file.take(MAX_SECRET).read_to_string(&mut text))
        .map_err(|error| Failure::unreadable(what, path, error))?;
    Ok(text.lines().next().unwrap_or_default().trim_end().to_owned().into())
}

/// Asks on the terminal, which shows nothing of the answer.
async fn ask(question: &str) -> Result<SecretString, Failure> {
    let terminal = console::Term::stderr();
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Usage, "passphrase-missing", "The passphrase cannot be asked for here.")
            .help("Name a file with --wifi-passphrase-file.")
            .because(error)
    };
    terminal.write_str(question).map_err(failed)?;
    #[cfg(unix)]
    let before = nix::sys::termios::tcgetattr(std::io::stdin()).ok();
    let answer = tokio::task::spawn_blocking(move || terminal.read_secure_line());
    tokio::select! {
        answer = answer => match answer {
            Ok(Ok(passphrase)) => Ok(passphrase.into()),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(Failure::cancelled()),
        },
        _ = tokio::signal::ctrl_c() => {
            // The reader is still at it with the echo off; the terminal gets back what it had.
            #[cfg(unix)]
            if let Some(before) = before {
                let _ = nix::sys::termios::tcsetattr(std::io::stdin(), nix::sys::termios::SetArg::TCSANOW, &before);
            }
            let _ = console::Term::stderr().write_line("");
            Err(Failure::cancelled())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    const TEXT: &str = r#"{"ver":"v1","name":"PROV_1","pop":"abcd1234","transport":"softap"}"#;

    #[test]
    fn a_label_is_read_as_text_from_a_text_file_and_from_a_picture() {
        let folder = tempfile::tempdir().unwrap();
        let text_file = folder.path().join("label.txt");
        std::fs::write(&text_file, format!("{TEXT}\n")).unwrap();
        let picture = folder.path().join("label.PNG");
        std::fs::write(&picture, label::qr_png(&TEXT.to_owned().into()).unwrap()).unwrap();
        for argument in [
            TEXT.to_owned(),
            format!("@{}", text_file.display()),
            format!("@{}", picture.display()),
            picture.display().to_string(),
        ] {
            let label = read_label(&argument).unwrap();
            assert_eq!(label.name, "PROV_1");
            assert_eq!(label.pop.unwrap().expose_secret(), "abcd1234");
        }
    }

    #[test]
    fn what_is_no_label_ends_with_the_label_exit_code() {
        for argument in ["", "https://example.com", "@/nowhere/label.png", "label.png", "@/dev/null", r#"{"a":1}"#] {
            assert_eq!(read_label(argument).unwrap_err().exit, Exit::Label, "{argument}");
        }
    }

    #[test]
    fn a_secret_is_the_first_line_of_its_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "s3cret\r\nmore\n").unwrap();
        assert_eq!(first_line("token file", file.path()).unwrap().expose_secret(), "s3cret");
    }
}
