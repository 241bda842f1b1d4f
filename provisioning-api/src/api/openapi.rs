//! The API's description of itself, made from the handlers and the contract.

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::Type;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ObjectBuilder, Required};
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
        handlers::renewal,
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
    modifiers(&Bearer, &WithinTenant),
    security(("bearer" = []))
)]
struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        let description = Some("The device's own certificate, shown in TLS".to_owned());
        components.add_security_scheme(
            "deviceCertificate",
            SecurityScheme::MutualTls { description, extensions: None, deprecated: None },
        );
    }
}

struct WithinTenant;

impl Modify for WithinTenant {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let parameter = ParameterBuilder::new()
            .name("tenant")
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(
                "Within which tenant; for callers of no tenant, when several have a device of this registration ID",
            ))
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
            .build();
        for (path, item) in &mut api.paths.paths {
            let operations = [&mut item.get, &mut item.put, &mut item.post];
            for operation in operations.into_iter().flatten().filter(|_| path.contains("{registrationId}")) {
                operation.parameters.get_or_insert_default().push(parameter.clone().into());
            }
        }
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
