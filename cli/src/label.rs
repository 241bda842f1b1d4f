//! `lowtouch label make|read`.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use lowtouch_installer::error::PairingError;
use lowtouch_installer::label::{
    self, Label, LabelError, MadeLabel, Network, NewLabel, SaltAndVerifier, Security, Transport,
};
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::args::{LabelMakeArgs, LabelReadArgs, TransportArg};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::input;
use crate::output::{print, print_json};

/// `lowtouch label make`.
pub(crate) fn make(arguments: &LabelMakeArgs, json: bool) -> Result<(), Failure> {
    let pop = arguments.pop_file.as_deref().map(|path| input::first_line("PoP file", path)).transpose()?;
    let security = match arguments.security {
        0 => Security::None,
        1 => Security::X25519,
        _ => Security::Srp6a,
    };
    if arguments.header.is_some() && security != Security::Srp6a {
        return Err(Failure::new(Exit::Usage, "no-verifier", "Only Security 2 has a salt and a verifier.")
            .help("Leave --header out, or use --security 2."));
    }
    let mut made = label::make(NewLabel {
        name: arguments.name.clone(),
        username: Some(arguments.username.clone()),
        pop,
        transport: match arguments.transport {
            TransportArg::Ble => Transport::Ble,
            TransportArg::Softap => Transport::Softap,
            TransportArg::Serial => Transport::Serial,
        },
        security,
    })
    .map_err(cannot_make)?;
    if let Some(path) = &arguments.softap_passphrase_file {
        made.label.softap_password = Some(input::first_line("passphrase file", path)?);
    }

    let text = made.label.to_text();
    for path in &arguments.qr {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let content = match extension.as_str() {
            "svg" => label::qr_svg(&text).map_err(cannot_make)?.into_bytes(),
            "png" => label::qr_png(&text).map_err(cannot_make)?,
            "txt" | "json" => text.expose_secret().as_bytes().to_vec(),
            _ => {
                let message = format!("{} has an ending that says no format.", path.display());
                return Err(Failure::new(Exit::Usage, "unknown-format", message).help("Use .svg, .png or .txt."));
            }
        };
        write_file(path, &content, arguments.force)?;
    }
    if let (Some(path), Some(secret)) = (&arguments.header, &made.srp6a) {
        write_file(path, header(&made.label, secret).as_bytes(), arguments.force)?;
    }

    if json {
        print_json(&json!({
            "event": "label",
            "label": text.expose_secret(),
            "salt": made.srp6a.as_ref().map(|secret| hex::encode(&secret.salt)),
            "verifier": made.srp6a.as_ref().map(|secret| hex::encode(&secret.verifier)),
        }));
        return Ok(());
    }
    show(&made, arguments)
}

fn show(made: &MadeLabel, arguments: &LabelMakeArgs) -> Result<(), Failure> {
    let text = made.label.to_text();
    // A QR code is for eyes and cameras; a pipe gets the text alone.
    if arguments.qr.is_empty() && std::io::stdout().is_terminal() {
        print(&label::qr_terminal(&text).map_err(cannot_make)?);
    }
    print(text.expose_secret());
    for path in arguments.qr.iter().chain(&arguments.header) {
        print(&format!("written: {}", path.display()));
    }
    if let (Some(secret), None) = (&made.srp6a, &arguments.header) {
        print(&format!("salt:     {}", hex::encode(&secret.salt)));
        print(&format!("verifier: {}", hex::encode(&secret.verifier)));
    }
    Ok(())
}

fn cannot_make(error: LabelError) -> Failure {
    let message = match &error {
        LabelError::CannotMake(why) => format!("This label cannot be made: {why}."),
        other => format!("This label cannot be made: {other}."),
    };
    Failure::from(PairingError::from(error)).message(message).help("Change what the label is made of, then try again.")
}

/// A C header in the form that ESP-IDF's `protocomm_security2_params_t` takes.
fn header(label: &Label, secret: &SaltAndVerifier) -> String {
    let mut text = format!(
        "// Security 2 of the device {}. Made by lowtouch {}; the PoP is on the label only.\n\
         // Whoever reads this can try out PoPs without the device: keep it inside the firmware.\n\
         #pragma once\n\n",
        // The name stands in a comment, which a line break would end.
        label.name.replace(|c: char| c.is_control(), " "),
        env!("CARGO_PKG_VERSION"),
    );
    for (name, bytes) in [("sec2_salt", &secret.salt), ("sec2_verifier", &secret.verifier)] {
        let _ = writeln!(text, "static const char {name}[{}] = {{", bytes.len());
        for line in bytes.chunks(16) {
            let line: Vec<_> = line.iter().map(|byte| format!("0x{byte:02x}")).collect();
            let _ = writeln!(text, "    {},", line.join(", "));
        }
        text.push_str("};\n\n");
    }
    text.push_str(
        "// protocomm_security2_params_t sec2_params = {\n\
         //     .salt = sec2_salt, .salt_len = sizeof(sec2_salt),\n\
         //     .verifier = sec2_verifier, .verifier_len = sizeof(sec2_verifier),\n\
         // };\n",
    );
    text
}

/// Both kinds of file hold secrets: readable for their owner alone.
fn write_file(path: &Path, content: &[u8], force: bool) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let written = options.open(path).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written.map_err(|error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            Failure::new(Exit::Usage, "file-exists", format!("{} exists already.", path.display()))
                .help("Choose another name, or replace it with --force.")
        } else {
            Failure::unwritable(path, error)
        }
    })
}

/// `lowtouch label read`.
pub(crate) fn read(arguments: &LabelReadArgs, json: bool) -> Result<(), Failure> {
    let label = input::read_label(&arguments.label)?;
    let pop = label.pop.as_ref().map(|pop| if arguments.show_pop { pop.expose_secret() } else { "(hidden)" });
    let network = match label.network {
        Network::Wifi => "wifi",
        Network::Thread => "thread",
        _ => "other",
    };
    let transport = label.transport.as_ref().map(Transport::as_str);
    if json {
        print_json(&json!({
            "event": "label",
            "name": label.name,
            "username": label.username,
            "pop": label.pop.as_ref().filter(|_| arguments.show_pop).map(|pop| pop.expose_secret()),
            "hasPop": label.pop.is_some(),
            "transport": transport,
            "security": u8::from(label.security),
            "hasSoftapPassphrase": label.softap_password.is_some(),
            "network": network,
        }));
        return Ok(());
    }
    let line = |name: &str, value: &str| print(&format!("{name:<22}{value}"));
    line("name", &label.name);
    line("transport", transport.unwrap_or("not said: give --link"));
    line("security", security_text(label.security));
    if label.security == Security::Srp6a {
        line("user name", &label.username);
    }
    line("proof of possession", pop.unwrap_or("none"));
    if label.softap_password.is_some() {
        line("SoftAP passphrase", "(hidden)");
    }
    line("network", network);
    Ok(())
}

fn security_text(security: Security) -> &'static str {
    match security {
        Security::None => "0: none; anyone nearby can read and change everything",
        Security::X25519 => "1: encrypted, without protection against changes on the way",
        Security::Srp6a => "2: encrypted and authenticated both ways",
    }
}
