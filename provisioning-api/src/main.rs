//! `provisioning-api`: serves the API, and administers its database.

fn main() -> miette::Result<()> {
    provisioning_api::command_line::run(std::env::args_os())
}
