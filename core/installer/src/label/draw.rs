//! Draws a label's text as a QR code.

use qrcode::render::{svg, unicode};
use qrcode::{EcLevel, QrCode};
use secrecy::{ExposeSecret, SecretString};

use super::LabelError;

/// As SVG, black on white, with the quiet zone of four modules that readers want.
///
/// # Errors
/// [`LabelError::CannotMake`] for a text that fits no QR code.
pub fn qr_svg(text: &SecretString) -> Result<String, LabelError> {
    Ok(code(text)?.render::<svg::Color<'_>>().min_dimensions(240, 240).build())
}

/// As PNG, eight pixels a module.
///
/// # Errors
/// [`LabelError::CannotMake`] for a text that fits no QR code.
pub fn qr_png(text: &SecretString) -> Result<Vec<u8>, LabelError> {
    let picture = code(text)?.render::<image::Luma<u8>>().module_dimensions(8, 8).build();
    let mut png = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut png, image::ImageFormat::Png)
        .map_err(|_| LabelError::CannotMake("the PNG cannot be written"))?;
    Ok(png.into_inner())
}

/// As text for a terminal, two modules a character. Drawn for a dark background; readers take the inverse as well.
///
/// # Errors
/// [`LabelError::CannotMake`] for a text that fits no QR code.
pub fn qr_terminal(text: &SecretString) -> Result<String, LabelError> {
    Ok(code(text)?
        .render::<unicode::Dense1x2>()
        .dark_color(unicode::Dense1x2::Light)
        .light_color(unicode::Dense1x2::Dark)
        .build())
}

fn code(text: &SecretString) -> Result<QrCode, LabelError> {
    QrCode::with_error_correction_level(text.expose_secret(), EcLevel::M)
        .map_err(|_| LabelError::CannotMake("the text is too long for a QR code"))
}
