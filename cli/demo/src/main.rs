//! `lowtouch-demo`: all that the demo starts, in one program. The first argument says as what it runs, and the rest are
//! that program's own.

fn main() -> miette::Result<()> {
    let mut arguments = std::env::args_os().skip(1).peekable();
    match arguments.peek().and_then(|name| name.to_str()) {
        Some("azure-emulator") => azure_emulator::command_line::run(arguments),
        Some("lowtouch-device") => lowtouch_device::command_line::run(arguments),
        Some("provisioning-api") => provisioning_api::command_line::run(arguments),
        _ => miette::bail!("run as what? azure-emulator, lowtouch-device or provisioning-api, then its arguments"),
    }
}
