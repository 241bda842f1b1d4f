//! Finds and reads the QR code in a photo or drawing of a label.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, ImageReader};
use secrecy::{ExposeSecret, SecretString};

use super::{Label, LabelError, parse};

/// Largest picture file that is read, in bytes.
pub const MAX_PICTURE_BYTES: usize = 32 << 20;

/// Largest picture that is read, in pixels: more than today's phone cameras make by default.
pub const MAX_PICTURE_PIXELS: u64 = 50_000_000;

/// Widths at which codes are looked for, in pixels: large photos are read faster and better when made smaller first.
const WIDTHS: [u32; 3] = [1000, 2000, 4000];

/// Reads the label in a picture (PNG or JPEG).
///
/// # Errors
/// When the picture cannot be read, is too large, or has no QR code or several; else as [`parse`].
pub fn from_picture(bytes: &[u8]) -> Result<Label, LabelError> {
    parse(text_from_picture(bytes)?.expose_secret())
}

/// Reads the text of the only QR code in a picture (PNG or JPEG).
///
/// # Errors
/// When the picture cannot be read, is too large, or has no QR code or several.
pub fn text_from_picture(bytes: &[u8]) -> Result<SecretString, LabelError> {
    let picture = decode(bytes)?;
    for (index, width) in WIDTHS.into_iter().enumerate() {
        if index > 0 && picture.width().max(picture.height()) <= WIDTHS[index - 1] {
            break;
        }
        let grey = if picture.width().max(picture.height()) > width {
            picture.thumbnail(width, width).into_luma8()
        } else {
            picture.to_luma8()
        };
        for inverted in [false, true] {
            let (width, height) = (grey.width() as usize, grey.height() as usize);
            let mut prepared = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| {
                // Within a picture of at most 4,000 pixels a side, so nothing is cut off.
                let shade = grey.get_pixel(x as u32, y as u32).0[0];
                if inverted { 255 - shade } else { shade }
            });
            let mut texts: Vec<String> = Vec::new();
            for grid in prepared.detect_grids() {
                if let Ok((_, text)) = grid.decode()
                    && !texts.contains(&text)
                {
                    texts.push(text);
                }
            }
            match texts.len() {
                0 => {}
                1 => return Ok(texts.remove(0).into()),
                several => return Err(LabelError::SeveralCodes(several)),
            }
        }
    }
    Err(LabelError::NoCode)
}

fn decode(bytes: &[u8]) -> Result<DynamicImage, LabelError> {
    if bytes.len() > MAX_PICTURE_BYTES {
        return Err(LabelError::PictureTooLarge(format!("{} bytes; at most {MAX_PICTURE_BYTES}", bytes.len())));
    }
    let reader = || -> Result<ImageReader<Cursor<&[u8]>>, LabelError> {
        let reader = ImageReader::new(Cursor::new(bytes))
            .with_guessed_format()
            .map_err(|error| LabelError::Picture(error.to_string()))?;
        match reader.format() {
            Some(ImageFormat::Png | ImageFormat::Jpeg) => Ok(reader),
            _ => Err(LabelError::Picture("it is neither PNG nor JPEG".into())),
        }
    };
    // The size is looked at before anything of that size is allocated.
    let (width, height) = reader()?.into_dimensions().map_err(|error| LabelError::Picture(error.to_string()))?;
    if u64::from(width) * u64::from(height) > MAX_PICTURE_PIXELS {
        return Err(LabelError::PictureTooLarge(format!("{width} × {height}; at most {MAX_PICTURE_PIXELS} pixels")));
    }
    let mut reader = reader()?;
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MAX_PICTURE_PIXELS * 8);
    reader.limits(limits);
    reader.decode().map_err(|error| LabelError::Picture(error.to_string()))
}
