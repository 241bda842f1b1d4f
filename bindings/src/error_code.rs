//! The core's codes, from the core's own list.

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $variant:ident;)*) => {
        /// Every way in which something can fail. The order is the one in which a pairing meets them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
        pub enum ErrorCode {
            $($(#[doc = $doc])* $variant,)*
            /// One that these bindings do not know.
            Unknown,
        }

        impl From<lowtouch_installer::ErrorCode> for ErrorCode {
            fn from(code: lowtouch_installer::ErrorCode) -> Self {
                match code {
                    $(lowtouch_installer::ErrorCode::$variant => Self::$variant,)*
                    _ => Self::Unknown,
                }
            }
        }

        const ALL: &[(ErrorCode, lowtouch_installer::ErrorCode)] =
            &[$((ErrorCode::$variant, lowtouch_installer::ErrorCode::$variant),)*];
    };
}

lowtouch_installer::each_error_code!(codes);

/// A code with what belongs to it, for tables of words.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct ErrorCodeWords {
    /// The code.
    pub code: ErrorCode,
    /// Its stable text, for example `wrong-pop`: the key of translations.
    pub key: String,
    /// What to do about it.
    pub action: crate::Action,
    /// What happened and what to do next, in plain English.
    pub hint: String,
}

/// All codes.
#[uniffi::export]
pub fn error_codes() -> Vec<ErrorCodeWords> {
    let words = |(code, core): &(ErrorCode, lowtouch_installer::ErrorCode)| ErrorCodeWords {
        code: *code,
        key: core.as_str().to_owned(),
        action: core.action().into(),
        hint: core.hint().to_owned(),
    };
    ALL.iter().map(words).collect()
}
