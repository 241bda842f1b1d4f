use std::fmt;

/// Which peripheral is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// The advertised name, exactly.
    Name(String),
    /// `AA:BB:CC:DD:EE:FF`; capitals when parsed.
    Address(String),
}

impl Target {
    /// An address when it reads as one, else a name.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let bytes: Vec<_> = text.split(':').collect();
        let is_byte = |part: &&str| part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
        if bytes.len() == 6 && bytes.iter().all(is_byte) {
            Self::Address(text.to_ascii_uppercase())
        } else {
            Self::Name(text.to_owned())
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(text) | Self::Address(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_from_a_name() {
        assert_eq!(Target::parse("aa:bb:CC:dd:ee:0f"), Target::Address("AA:BB:CC:DD:EE:0F".into()));
        for name in ["PROV_CE03C0", "AA:BB:CC:DD:EE", "AA:BB:CC:DD:EE:FG", "A:BB:CC:DD:EE:FFF", "AA:BB:CC:DD:EE:+F"] {
            assert_eq!(Target::parse(name), Target::Name(name.into()));
        }
    }
}
