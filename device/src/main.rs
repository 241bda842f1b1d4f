//! `lowtouch-device`: plays a device, for demos, tests and work on an app without hardware.

fn main() -> miette::Result<()> {
    lowtouch_device::command_line::run(std::env::args_os())
}
