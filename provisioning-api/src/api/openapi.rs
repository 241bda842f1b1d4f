//! The API's description of itself, made from the handlers and the contract.

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::api::oauth::well_known;
use crate::api::{allocations, authorities, events, handlers, imports, invites, life_cycle, me, oauth, work_orders};

#[derive(OpenApi)]
#[openapi(
    info(title = "Lowtouch provisioning API", description = "Tells an installer's app which DPS instance a device belongs to."),
    paths(
        handlers::health,
        handlers::allocation,
        handlers::certificate,
        handlers::symmetric_key,
        handlers::owner_signature,
        handlers::outcome,
        handlers::device,
        handlers::put_device,
        allocations::list,
        allocations::change,
        allocations::dry_run,
        work_orders::open,
        work_orders::list,
        work_orders::one,
        work_orders::change,
        work_orders::offline,
        imports::import,
        imports::one,
        imports::list_problems,
        life_cycle::reprovision,
        life_cycle::move_device,
        life_cycle::decommission,
        life_cycle::bulk,
        life_cycle::offer,
        life_cycle::transfers,
        life_cycle::accept,
        life_cycle::decline,
        life_cycle::withdraw,
        events::list,
        events::of_device,
        authorities::list,
        authorities::prepare,
        authorities::activate,
        authorities::remove,
        me::me,
        invites::make,
        invites::list,
        invites::withdraw,
        well_known::protected_resource,
        well_known::authorization_server,
        oauth::invite,
        oauth::token,
        oauth::revoke,
        oauth::authorize,
        oauth::submit,
        oauth::begin,
        oauth::page,
        oauth::approve
    ),
    modifiers(&Bearer),
    security(("bearer" = []))
)]
struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

/// OpenAPI 3.1 in JSON, ending in a line feed.
pub(crate) fn description() -> String {
    let mut text = serde_json::to_string_pretty(&Description::openapi()).unwrap_or_default();
    text.push('\n');
    text
}

pub(super) async fn serve() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], description())
}
