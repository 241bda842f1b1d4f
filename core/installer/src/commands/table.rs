//! What the table is made of.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::CommandError;
use crate::error::{ErrorCode, PairingError};

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Command {
    /// In snake_case.
    pub name: &'static str,
    /// What it does, in a sentence or two.
    pub doc: &'static str,
    /// How it answers.
    pub kind: Kind,
}

/// How a command answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Once.
    Call,
    /// As often as there is news, until it ends or is dropped.
    Stream,
}

/// Makes of each row an arm of the dispatch, which calls the method of [`Commands`](super::Commands) of that name.
macro_rules! command_table {
    (
        calls { $($(#[doc = $call_doc:literal])* $call:ident($args:ty) -> $result:ty;)* }
        streams { $($(#[doc = $stream_doc:literal])* $stream:ident($stream_args:ty) -> $event:ty;)* }
    ) => {
        /// Every command, calls first.
        pub const TABLE: &[Command] = &[
            $(Command { name: stringify!($call), doc: concat!($($call_doc,)*).trim_ascii(), kind: Kind::Call },)*
            $(Command { name: stringify!($stream), doc: concat!($($stream_doc,)*).trim_ascii(), kind: Kind::Stream },)*
        ];

        impl Commands {
            /// Runs a call of the table. Dropping the future ends what can be ended.
            ///
            /// # Errors
            /// The command's own; `command-unknown`, `command-arguments`.
            pub async fn call(&self, name: &str, args: serde_json::Value) -> Result<serde_json::Value, CommandError> {
                match name {
                    $(stringify!($call) => {
                        let args: $args = table::arguments(args)?;
                        let answer: $result = Box::pin(self.$call(args)).await?;
                        table::value(&answer)
                    })*
                    _ => Err(table::unknown()),
                }
            }

            /// Begins a stream of the table. Must be called within a tokio runtime; dropping the stream cancels.
            ///
            /// # Errors
            /// What keeps it from beginning; `command-unknown`, `command-arguments`.
            pub fn stream(
                &self,
                name: &str,
                args: serde_json::Value,
            ) -> Result<futures::stream::BoxStream<'static, serde_json::Value>, CommandError> {
                use futures::StreamExt as _;
                match name {
                    $(stringify!($stream) => {
                        let args: $stream_args = table::arguments(args)?;
                        let events: futures::stream::BoxStream<'static, $event> = self.$stream(args)?;
                        Ok(events.map(|event| table::value(&event).unwrap_or_default()).boxed())
                    })*
                    _ => Err(table::unknown()),
                }
            }
        }

        #[cfg(feature = "typescript")]
        impl typescript::Signatures {
            /// As the table has them.
            pub(super) fn of_table() -> Self {
                let mut signatures = Self::default();
                $(signatures.call::<$args, $result>(stringify!($call), concat!($($call_doc,)*).trim_ascii());)*
                $(signatures.stream::<$stream_args, $event>(stringify!($stream), concat!($($stream_doc,)*).trim_ascii());)*
                signatures
            }
        }
    };
}
pub(super) use command_table;

/// A page that sends nothing means `{}`.
pub(super) fn arguments<T: DeserializeOwned>(args: Value) -> Result<T, CommandError> {
    let args = if args.is_null() { Value::Object(serde_json::Map::new()) } else { args };
    serde_json::from_value(args).map_err(|error| {
        PairingError::with_detail(ErrorCode::CommandArguments, without_values(&error.to_string())).into()
    })
}

/// serde quotes what it did not expect, which may be a secret in the wrong place. What it expected is our own word.
fn without_values(said: &str) -> String {
    let expected = said.split_once(", expected ").map(|(_, expected)| format!("expected {expected}"));
    let missing = said.starts_with("missing field").then(|| said.to_owned());
    expected.or(missing).unwrap_or_else(|| "a value of another shape was expected".into())
}

pub(super) fn value(answer: &impl Serialize) -> Result<Value, CommandError> {
    serde_json::to_value(answer)
        .map_err(|error| PairingError::with_detail(ErrorCode::Internal, error.to_string()).into())
}

pub(super) fn unknown() -> CommandError {
    ErrorCode::CommandUnknown.into()
}
