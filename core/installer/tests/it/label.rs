use lowtouch_installer::ErrorCode;
use lowtouch_installer::PairingError;
use lowtouch_installer::label::{
    LabelError, NewLabel, POP_ALPHABET, POP_LENGTH, ReadInstead, Security, Transport, from_picture, make, parse,
    qr_png, qr_svg, qr_terminal,
};
use proptest::prelude::*;
use secrecy::{ExposeSecret, SecretString};

#[test]
fn espressifs_own_example_is_read() {
    let label =
        parse(r#"{"ver":"v1","name":"PROV_CE03C0","username":"wifiprov","pop":"abcd1234","transport":"ble"}"#).unwrap();
    assert_eq!(label.name, "PROV_CE03C0");
    assert_eq!(label.security, Security::Srp6a);
    assert_eq!(label.transport, Some(Transport::Ble));
    assert_eq!(label.pop.unwrap().expose_secret(), "abcd1234");
}

#[test]
fn what_is_no_label_is_named() {
    for (text, read) in [
        ("https://example.com/d/123", ReadInstead::WebAddress),
        ("HTTP://EXAMPLE.COM", ReadInstead::WebAddress),
        ("WIFI:T:WPA;S:home;P:secret;;", ReadInstead::WifiCode),
        ("MT:Y.K9042C00KA0648G00", ReadInstead::MatterCode),
        ("X-HM://0023ISYWY9T9O", ReadInstead::HomeKitCode),
        ("DPP:V:2;K:MDkw;;", ReadInstead::EasyConnectCode),
        ("BEGIN:VCARD\nFN:A\nEND:VCARD", ReadInstead::ContactOrEvent),
        ("SN-0042-A7", ReadInstead::SerialNumber),
        ("12345", ReadInstead::SerialNumber),
        (r#"{"type":"ticket"}"#, ReadInstead::OtherJson),
        ("[1,2]", ReadInstead::OtherText),
        ("hello, world", ReadInstead::OtherText),
        (r#"{"ver":"v1","name":"#, ReadInstead::OtherText),
    ] {
        assert_eq!(parse(text).unwrap_err(), LabelError::NotALabel(read), "{text}");
    }
    assert_eq!(parse("  \n").unwrap_err(), LabelError::Empty);
    assert_eq!(parse(&"x".repeat(5000)).unwrap_err(), LabelError::NotALabel(ReadInstead::TooLong));
}

#[test]
fn what_a_label_lacks_is_named() {
    for (text, error) in [
        (r#"{"name":"P","pop":"x"}"#, LabelError::Incomplete("ver")),
        (r#"{"ver":"v1","pop":"x"}"#, LabelError::Incomplete("name")),
        (r#"{"ver":"v1","name":"P"}"#, LabelError::Incomplete("pop")),
        (r#"{"ver":"v1","name":"P","pop":7}"#, LabelError::Incomplete("pop")),
        (r#"{"ver":"v2","name":"P","pop":"x"}"#, LabelError::Unsupported { key: "ver" }),
        (r#"{"ver":"v1","name":"P","pop":"x","security":3}"#, LabelError::Unsupported { key: "security" }),
        (r#"{"ver":"v1","name":"P","pop":"x","network":"lora"}"#, LabelError::Unsupported { key: "network" }),
    ] {
        assert_eq!(parse(text).unwrap_err(), error, "{text}");
    }
    assert!(parse(r#"{"ver":"v1","name":"P","security":1}"#).unwrap().pop.is_none());
    assert!(parse(r#"{"ver":"v1","name":"P","security":"0"}"#).is_ok());
}

#[test]
fn a_made_label_survives_its_picture() {
    let made = make(NewLabel {
        name: "PROV_7".into(),
        username: None,
        pop: None,
        transport: Transport::Softap,
        security: Security::Srp6a,
    })
    .unwrap();
    let pop = made.label.pop.as_ref().unwrap().expose_secret().to_owned();
    assert_eq!(pop.len(), POP_LENGTH);
    assert!(pop.bytes().all(|c| POP_ALPHABET.contains(&c)));
    let srp6a = made.srp6a.unwrap();
    assert_eq!((srp6a.salt.len(), srp6a.verifier.len()), (16, 384));

    let text = made.label.to_text();
    let read = from_picture(&qr_png(&text).unwrap()).unwrap();
    assert_eq!(read.to_text().expose_secret(), text.expose_secret());
    assert!(qr_svg(&text).unwrap().contains("<svg"));
    assert!(qr_terminal(&text).unwrap().lines().count() > 10);
    assert!(!format!("{:?}", made.label).contains(&pop));
}

#[test]
fn pictures_without_a_code_or_with_several_or_too_large_are_told_apart() {
    use image::{GrayImage, ImageFormat, Luma};
    let png = |picture: &GrayImage| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    assert!(matches!(from_picture(b"GIF89a"), Err(LabelError::Picture(_))));
    assert!(matches!(from_picture(b"\x89PNG\r\n\x1a\nxxxx"), Err(LabelError::Picture(_))));
    assert!(matches!(from_picture(b""), Err(LabelError::Picture(_))));
    let white = GrayImage::from_pixel(200, 200, Luma([255]));
    assert_eq!(from_picture(&png(&white)).unwrap_err(), LabelError::NoCode);

    let code = |text: &str| {
        let png = qr_png(&SecretString::from(text.to_owned())).unwrap();
        image::load_from_memory(&png).unwrap().into_luma8()
    };
    let (a, b) = (code("first"), code("second"));
    let mut both = GrayImage::from_pixel(a.width() + b.width(), a.height().max(b.height()), Luma([255]));
    image::imageops::replace(&mut both, &a, 0, 0);
    image::imageops::replace(&mut both, &b, i64::from(a.width()), 0);
    assert_eq!(from_picture(&png(&both)).unwrap_err(), LabelError::SeveralCodes(2));
    assert_eq!(
        from_picture(&png(&code("https://example.com"))).unwrap_err(),
        LabelError::NotALabel(ReadInstead::WebAddress)
    );

    // Only the header of a picture of 60,000 × 60,000 pixels: refused before anything is allocated.
    let mut huge = png(&white);
    huge[16..20].copy_from_slice(&60_000u32.to_be_bytes());
    huge[20..24].copy_from_slice(&60_000u32.to_be_bytes());
    let error = from_picture(&huge).unwrap_err();
    assert!(matches!(error, LabelError::PictureTooLarge(_) | LabelError::Picture(_)), "{error}");
}

#[test]
fn a_jpeg_photo_that_is_larger_than_the_search_width_is_read() {
    let text = SecretString::from(r#"{"ver":"v1","name":"P","pop":"x","transport":"ble"}"#.to_owned());
    let code = image::load_from_memory(&qr_png(&text).unwrap()).unwrap();
    let large = code.resize(2400, 2400, image::imageops::FilterType::Triangle).into_rgb8();
    let mut jpeg = std::io::Cursor::new(Vec::new());
    large.write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    assert_eq!(from_picture(&jpeg.into_inner()).unwrap().name, "P");
}

#[test]
fn errors_become_codes_and_never_repeat_the_text() {
    let error = PairingError::from(parse("WIFI:T:WPA;S:home;P:hunter22;;").unwrap_err());
    assert_eq!(error.code, ErrorCode::LabelNotALabel);
    assert!(!format!("{error:?}").contains("hunter22"));
    let error = PairingError::from(parse(r#"{"ver":"v1","name":["hunter22"]}"#).unwrap_err());
    assert!(!format!("{error:?}").contains("hunter22"));
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,300}") {
        let _ = parse(&text);
    }

    #[test]
    fn every_label_survives_its_text(
        name in "[^\u{0}]{1,40}",
        username in "[a-zA-Z0-9]{1,20}",
        pop in "[^\u{0}]{1,40}",
        security in 0u8..3,
    ) {
        let json = serde_json::json!({
            "ver": "v1", "name": name, "username": username, "pop": pop, "transport": "ble", "security": security,
        });
        let label = parse(&json.to_string()).unwrap();
        let again = parse(label.to_text().expose_secret()).unwrap();
        prop_assert_eq!(&again.name, &name);
        let again_pop = again.pop.unwrap();
        prop_assert_eq!(again_pop.expose_secret(), pop.as_str());
        prop_assert_eq!(u8::from(again.security), security);
    }
}

#[test]
fn a_label_says_itself_how_its_device_is_reached_where_it_names_a_transport() {
    let link = |transport: &str| {
        let text = format!(r#"{{"ver":"v1","name":"PROV_1","pop":"abcd1234"{transport}}}"#);
        parse(&text).unwrap().link().map(|link| link.to_string())
    };
    assert_eq!(link(r#","transport":"softap""#).as_deref(), Some("http://192.168.4.1"));
    assert_eq!(link(r#","transport":"ble""#).as_deref(), Some("ble://PROV_1"));
    assert_eq!(link(""), None);
}
