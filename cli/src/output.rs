//! Standard output. A reader that goes away (`lowtouch … | head`) ends the output, not the work.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is where a command line speaks")]

use std::io::Write as _;

use serde::Serialize;

/// A line of text.
pub(crate) fn print(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// A line of JSON.
pub(crate) fn print_json(value: &impl Serialize) {
    if let Ok(text) = serde_json::to_string(value) {
        let mut stdout = std::io::stdout().lock();
        let _ = writeln!(stdout, "{text}");
        let _ = stdout.flush();
    }
}

/// A line for the person beside the output, or a whole error.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
