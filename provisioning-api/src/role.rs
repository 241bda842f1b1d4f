//! What a token's holder may do.

/// What the holder of a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Pairs devices: allocation, certificate, symmetric key, outcome, and looking a device up.
    Installer,
    /// Everything.
    Administrator,
}

impl Role {
    /// The role's name in the database and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Installer => "installer",
            Self::Administrator => "administrator",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "installer" => Some(Self::Installer),
            "administrator" => Some(Self::Administrator),
            _ => None,
        }
    }
}
