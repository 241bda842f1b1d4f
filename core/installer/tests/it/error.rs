use lowtouch_installer::ErrorCode;

#[test]
fn the_codes_are_stable() {
    let lines: Vec<String> =
        ErrorCode::ALL.iter().map(|code| format!("{code}: {:?}: {}", code.action(), code.hint())).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn every_code_has_a_text_of_its_own_that_serde_uses_too() {
    let mut seen = std::collections::BTreeSet::new();
    for code in ErrorCode::ALL {
        assert!(seen.insert(code.as_str()), "{code}");
        assert!(code.as_str().bytes().all(|c| c.is_ascii_lowercase() || c == b'-' || c.is_ascii_digit()));
        assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        assert!(code.hint().ends_with('.'), "{code}");
    }
}
