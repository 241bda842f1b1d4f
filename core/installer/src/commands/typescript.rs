//! The page's side of the table: `ui/src/platform/generated.ts`.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use ts_rs::{Config, TS, TypeVisitor};

use super::CommandError;
use crate::error::{Action, ErrorCode};

/// What the table says, in TypeScript.
#[derive(Default)]
pub struct Signatures {
    types: Types,
    calls: Vec<Signature>,
    streams: Vec<Signature>,
}

struct Signature {
    name: &'static str,
    doc: &'static str,
    args: String,
    answer: String,
}

#[derive(Default)]
struct Types {
    seen: BTreeSet<TypeId>,
    /// By name, each with its doc comment.
    declared: BTreeMap<String, String>,
}

/// Numbers of 64 bits are counts, seconds and bytes here, well below 2⁵³.
fn config() -> Config {
    Config::new().with_large_int("number")
}

impl TypeVisitor for Types {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        if !self.seen.insert(TypeId::of::<T>()) {
            return;
        }
        T::visit_dependencies(self);
        T::visit_generics(self);
        // Numbers, texts and lists are TypeScript's own.
        if T::output_path().is_some() {
            let doc = T::docs().unwrap_or_default();
            self.declared.insert(T::ident(&config()), tidy(&format!("{doc}export {}", T::decl(&config()))));
        }
    }
}

/// A field a line, and comments of one line on one.
fn tidy(declaration: &str) -> String {
    let mut text = String::new();
    let mut lines = declaration.lines().map(str::trim).peekable();
    let mut depth = 0_usize;
    while let Some(line) = lines.next() {
        let indent = if depth > 0 { "  " } else { "" };
        if line == "/**" {
            let doc: Vec<&str> = lines
                .by_ref()
                .take_while(|line| *line != "*/")
                .map(|line| line.trim_start_matches('*').trim())
                .collect();
            let _ = writeln!(text, "{indent}/** {} */", doc.join(" "));
            continue;
        }
        let _ = writeln!(text, "{indent}{line}");
        depth = (depth + line.matches('{').count()).saturating_sub(line.matches('}').count());
    }
    text
}

impl Signatures {
    pub(super) fn call<A: TS + 'static, R: TS + 'static>(&mut self, name: &'static str, doc: &'static str) {
        let signature = self.signature::<A, R>(name, doc);
        self.calls.push(signature);
    }

    pub(super) fn stream<A: TS + 'static, E: TS + 'static>(&mut self, name: &'static str, doc: &'static str) {
        let signature = self.signature::<A, E>(name, doc);
        self.streams.push(signature);
    }

    fn signature<A: TS + 'static, R: TS + 'static>(&mut self, name: &'static str, doc: &'static str) -> Signature {
        self.types.visit::<A>();
        self.types.visit::<R>();
        Signature { name, doc, args: A::name(&config()), answer: R::name(&config()) }
    }
}

/// The whole file.
pub fn file() -> String {
    let mut signatures = Signatures::of_table();
    signatures.types.visit::<CommandError>();
    signatures.types.visit::<ErrorCode>();
    signatures.types.visit::<Action>();
    let mut text = String::from(
        "// Written by core/installer/src/commands/typescript.rs from the table of commands. Do not edit: change the Rust\n\
         // types and run `UPDATE_TYPESCRIPT=1 cargo test -p lowtouch-e2e --test typescript`.\n",
    );
    for declaration in signatures.types.declared.values() {
        let _ = write!(text, "\n{}\n", declaration.trim_end());
    }
    interface(&mut text, "Calls", "Every call: its arguments and its answer.", "result", &signatures.calls);
    interface(&mut text, "Streams", "Every stream: its arguments and what it tells.", "event", &signatures.streams);
    names(&mut text, "callNames", "Calls", &signatures.calls);
    names(&mut text, "streamNames", "Streams", &signatures.streams);
    values(&mut text, "errorCodes", "ErrorCode", ErrorCode::ALL.iter().map(|code| code.as_str()));
    text
}

fn interface(text: &mut String, name: &str, doc: &str, answer: &str, rows: &[Signature]) {
    let _ = write!(text, "\n/** {doc} */\nexport interface {name} {{\n");
    for row in rows {
        let _ = writeln!(text, "  /** {} */", row.doc);
        let _ = writeln!(text, "  {}: {{ args: {}; {answer}: {} }};", row.name, row.args, row.answer);
    }
    text.push_str("}\n");
}

fn names(text: &mut String, name: &str, of: &str, rows: &[Signature]) {
    values(text, name, &format!("keyof {of}"), rows.iter().map(|row| row.name));
}

fn values(text: &mut String, name: &str, of: &str, values: impl Iterator<Item = &'static str>) {
    let values: Vec<String> = values.map(|value| format!("  \"{value}\",\n")).collect();
    let _ = write!(text, "\nexport const {name} = [\n{}] as const satisfies readonly ({of})[];\n", values.concat());
}
