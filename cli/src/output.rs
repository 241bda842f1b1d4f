//! Standard output. A reader that goes away (`lowtouch … | head`) ends the output, not the work.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is where a command line speaks")]

use std::io::Write as _;

use comfy_table::{ContentArrangement, Table};
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

/// A table: as wide as its content where that fits, folded where it does not.
pub(crate) fn print_table(mut table: Table) {
    table.set_content_arrangement(ContentArrangement::Disabled);
    let needed = table.lines().map(|line| console::measure_text_width(&line)).max().unwrap_or(0);
    // A terminal that does not know its width says 0, or nothing.
    let width = console::Term::stdout().size_checked().map_or(0, |(_, columns)| usize::from(columns));
    if width >= NARROWEST && width < needed {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(u16::try_from(width).unwrap_or(u16::MAX));
    }
    print(&table.to_string());
}

/// Below this a folded table is a column of letters; the terminal's own line breaks are better.
const NARROWEST: usize = 60;
