//! The page's files: inside the program, or in a debug build those of `ui/dist`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use rust_embed::Embed;

/// What `cargo xtask page` builds.
#[derive(Embed)]
#[folder = "../ui/dist"]
#[allow_missing = true]
struct Files;

const INDEX: &str = "index.html";

/// Vite puts a hash into the names of what is in there.
const HASHED: &str = "assets/";

/// Whether the page is there at all.
pub(crate) fn is_built() -> bool {
    Files::get(INDEX).is_some()
}

/// The file of a path, or the page for every path that is none: the page knows its own.
pub(crate) fn answer(path: &str, headers: &HeaderMap) -> Response {
    let path = path.trim_start_matches('/');
    // No file of ours is named so; the files of a debug build are on a disk.
    // What begins with a dot is the build's own.
    let plain = !path.split('/').any(|part| part.starts_with('.')) && !path.contains(['\\', '%', '\0']);
    let name = if path.is_empty() || !plain { INDEX } else { path };
    match Files::get(name) {
        Some(file) => found(name, file, headers),
        // A name that an older page knew: the page for it would be taken for a script.
        None if name.starts_with(HASHED) => StatusCode::NOT_FOUND.into_response(),
        None => match Files::get(INDEX) {
            Some(file) => found(INDEX, file, headers),
            None => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The page is not built. In a copy of the source, `cargo xtask page` builds it.\n",
            )
                .into_response(),
        },
    }
}

fn found(name: &str, file: rust_embed::EmbeddedFile, headers: &HeaderMap) -> Response {
    let kind = file.metadata.mimetype().to_owned();
    let text = kind.starts_with("text/")
        || ["application/javascript", "application/json", "image/svg+xml", "application/manifest+json"]
            .contains(&kind.as_str());
    let takes_gzip = headers.get_all(header::ACCEPT_ENCODING).iter().any(|value| {
        value.to_str().is_ok_and(|value| value.split(',').any(|coding| coding.trim().split(';').next() == Some("gzip")))
    });
    let mut response = if text && takes_gzip {
        let mut response = Response::new(Body::from(packed(name, &file)));
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    } else {
        Response::new(Body::from(file.data.into_owned()))
    };
    let headers = response.headers_mut();
    let kind = if text { format!("{kind}; charset=utf-8") } else { kind };
    if let Ok(kind) = HeaderValue::from_str(&kind) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    let caching = if name.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    response
}

/// Packed when it is first asked for: a few hundred kB in all.
fn packed(name: &str, file: &rust_embed::EmbeddedFile) -> Vec<u8> {
    /// By name: of which file, and its bytes.
    type Packed = BTreeMap<String, ([u8; 32], Vec<u8>)>;
    static PACKED: Mutex<Packed> = Mutex::new(BTreeMap::new());
    let hash = file.metadata.sha256_hash();
    let mut all = PACKED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((of, packed)) = all.get(name)
        && *of == hash
    {
        return packed.clone();
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Into memory, which takes everything.
    let packed = encoder.write_all(&file.data).and_then(|()| encoder.finish()).unwrap_or_default();
    all.insert(name.into(), (hash, packed.clone()));
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leads_out_of_the_page_is_the_page_or_nothing() {
        for path in [
            "/../Cargo.toml",
            "/assets/../../../Cargo.toml",
            "/./../package.json",
            "/.vite/manifest.json",
            "/..%2fCargo.toml",
            "/..\\..\\Cargo.toml",
            "//etc/passwd",
        ] {
            let answer = answer(path, &HeaderMap::new());
            let kind = answer.headers().get(header::CONTENT_TYPE).unwrap().to_str().unwrap().to_owned();
            let page = answer.status() == StatusCode::OK && kind.starts_with("text/html");
            assert!(page || answer.status() == StatusCode::SERVICE_UNAVAILABLE, "{path}: {} {kind}", answer.status());
        }
        assert_eq!(answer("/assets/gone-abc123.js", &HeaderMap::new()).status(), StatusCode::NOT_FOUND);
    }
}
