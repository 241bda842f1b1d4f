//! The page at `/docs`: the description, to be read and tried out.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::map_response;
use axum::response::Response;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::app::App;

/// Its scripts are files of ours; it styles its own elements, and draws its icons from data.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// `/docs` and what belongs to it.
pub(super) fn routes() -> Router<Arc<App>> {
    let page = SwaggerUi::new("/docs").config(
        Config::new(["/v1/openapi.json"]).persist_authorization(false).try_it_out_enabled(true).validator_url("none"),
    );
    Router::from(page).layer(map_response(async |mut response: Response| {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY);
        response
            .headers_mut()
            .insert(HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer"));
        response
    }))
}
