//! Registration IDs: at most 128 of `[A-Za-z0-9-._:]`, the last one alphanumeric or a dash (PROTOCOLS.md).

/// A registration ID that keeps its spelling; [`RegistrationId::name`] is what it is compared by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RegistrationId(String);

impl RegistrationId {
    /// `None` when it breaks the rules.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        let last = *text.as_bytes().last()?;
        let good = text.len() <= 128 && text.bytes().all(allowed) && (last.is_ascii_alphanumeric() || last == b'-');
        good.then(|| Self(text.to_owned()))
    }

    /// In lower case: DPS does not tell cases apart. Each tenant may have a device of this name.
    pub(crate) fn name(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_dps_takes_is_a_registration_id() {
        for good in ["a", "SN-1", "a.b:c_d-", "0", &"x".repeat(128)] {
            assert!(RegistrationId::parse(good).is_some(), "{good}");
        }
        for bad in ["", "a.", "a:", "a_", "a b", "ä", "a/b", "a\n", "a%20", &"x".repeat(129)] {
            assert!(RegistrationId::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_spelling_is_kept_and_the_name_is_the_same_for_all_spellings() {
        let id = RegistrationId::parse("Sn-1").unwrap();
        assert_eq!(id.as_str(), "Sn-1");
        assert_eq!(id.name(), RegistrationId::parse("sN-1").unwrap().name());
    }
}
