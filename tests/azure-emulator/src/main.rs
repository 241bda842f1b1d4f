//! `azure-emulator`: one emulated DPS instance with its hubs, until it is told to end.

fn main() -> miette::Result<()> {
    azure_emulator::command_line::run(std::env::args_os())
}
