use reqwest::StatusCode;

/// Whether an answer is a page of the network in between (a hotel's or guest Wi-Fi's own sign-in) where a server's was due.
/// A proxy's or server's error page is none: its status says what it is.
pub(crate) fn captive_portal(status: StatusCode, content_type: Option<&str>, body: &[u8]) -> bool {
    if status == StatusCode::NETWORK_AUTHENTICATION_REQUIRED {
        return true;
    }
    let start: Vec<u8> = body.trim_ascii_start().iter().take(15).map(u8::to_ascii_lowercase).collect();
    let page = content_type.is_some_and(|text| text.trim().to_ascii_lowercase().starts_with("text/html"))
        || start.starts_with(b"<!doctype html")
        || start.starts_with(b"<html");
    page && status.is_success()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_where_an_answer_was_due_is_the_networks_own() {
        for (status, content_type, body, portal) in [
            (200, Some("text/html; charset=utf-8"), "<p>Welcome", true),
            (200, None, "\n<!DOCTYPE HTML><title>Welcome", true),
            (200, Some("text/plain"), "<html>", true),
            (511, Some("application/json"), "{}", true),
            (502, Some("text/html"), "<html>Bad gateway", false),
            (404, Some("text/html"), "<html>Not found", false),
            (200, Some("application/json"), "{\"a\":\"<html>\"}", false),
            (200, None, "", false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(captive_portal(status, content_type, body.as_bytes()), portal, "{status} {body}");
        }
    }
}
