//! What a token's holder may do.

use provisioning_api_contract as wire;

/// What the holder of a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Pairs devices: allocation, certificate, symmetric key, outcome, and looking a device up.
    Installer,
    /// Everything of their tenant; without one, of all.
    Administrator,
    /// Reads everything of their tenant and changes nothing; never gets a credential.
    Auditor,
    /// A device with a certificate of its own: only itself. No account has it.
    #[value(skip)]
    Device,
}

impl Role {
    /// The role's name in the database and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Installer => "installer",
            Self::Administrator => "administrator",
            Self::Auditor => "auditor",
            Self::Device => "device",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "installer" => Some(Self::Installer),
            "administrator" => Some(Self::Administrator),
            "auditor" => Some(Self::Auditor),
            _ => None,
        }
    }

    pub(crate) fn to_wire(self) -> wire::Role {
        match self {
            Self::Installer => wire::Role::Installer,
            Self::Administrator => wire::Role::Administrator,
            Self::Auditor => wire::Role::Auditor,
            Self::Device => wire::Role::Device,
        }
    }

    /// Those that an account can have.
    pub(crate) fn from_wire(role: wire::Role) -> Option<Self> {
        match role {
            wire::Role::Installer => Some(Self::Installer),
            wire::Role::Administrator => Some(Self::Administrator),
            wire::Role::Auditor => Some(Self::Auditor),
            _ => None,
        }
    }
}
