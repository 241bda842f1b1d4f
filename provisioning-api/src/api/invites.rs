//! `/v1/invites`: administrators let people in.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use provisioning_api_contract::{Invite, InviteList, InviteRequest, NewInvite, Problem, ProblemCode};
use secrecy::ExposeSecret as _;

use crate::accounts;
use crate::api::ApiError;
use crate::api::auth::{Administrator, Auditor};
use crate::api::body::{Answer, JsonBody};
use crate::app::App;
use crate::role::Role;
use crate::sign_in::codes;
use crate::sign_in::invites::{self, Guest};

/// A name of an account has at most so many characters.
const MAX_NAME: usize = 128;

/// An invite lasts at most a week.
const MAX_MINUTES: u32 = 7 * 24 * 60;

/// Makes an invite: one app signs in with it, once. Its code is in this answer and nowhere else.
#[utoipa::path(
    post,
    path = "/v1/invites",
    tag = "sign-in",
    request_body = InviteRequest,
    responses(
        (status = 201, description = "The invite", body = NewInvite),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn make(
    Administrator(caller): Administrator,
    State(app): State<Arc<App>>,
    JsonBody(request): JsonBody<InviteRequest>,
) -> Result<(StatusCode, Json<NewInvite>), ApiError> {
    let wrong = |detail: &str| ApiError::new(ProblemCode::BadRequest).detail(detail);
    let role =
        Role::from_wire(request.role).ok_or_else(|| wrong("role must be installer, administrator or auditor"))?;
    let name = request.name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(wrong("name must have 1 to 128 characters, none of them a control character"));
    }
    let minutes = request.minutes.unwrap_or(app.limits.invite_minutes);
    if minutes == 0 || minutes > MAX_MINUTES {
        return Err(wrong("minutes must be 1 to 10080"));
    }
    let mut tx = app.store.begin().await?;
    let tenant = request.tenant.or(caller.tenant.clone());
    if let Some(name) = &tenant {
        // Another's tenant is as unknown as one that does not exist.
        if !caller.sees(name) || !accounts::is_tenant(&mut tx, name).await? {
            return Err(wrong("there is no such tenant"));
        }
    }
    let guest = Guest { role, name, tenant: tenant.as_deref(), minutes };
    let made = invites::make(&mut tx, &guest, &caller.who()).await?;
    tx.commit().await?;
    let link = codes::invite_link(&app.public_url, &made.code);
    Ok((
        StatusCode::CREATED,
        Json(NewInvite {
            id: made.id,
            code: made.code.expose_secret().to_owned(),
            link: link.expose_secret().to_owned(),
            expires_at: made.expires_at,
        }),
    ))
}

/// The invites of the last week, newest first, without their codes.
#[utoipa::path(
    get,
    path = "/v1/invites",
    tag = "sign-in",
    responses(
        (status = 200, description = "The invites", body = InviteList),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(Auditor(caller): Auditor, State(app): State<Arc<App>>) -> Answer<InviteList> {
    let known = invites::list(&app.store, &caller).await?;
    let invites = known.into_iter().filter_map(|invite| {
        Some(Invite {
            role: Role::parse(&invite.role)?.to_wire(),
            id: invite.id,
            account_id: invite.account_id,
            name: invite.name,
            tenant: invite.tenant,
            made_by: invite.made_by,
            created_at: invite.created_at,
            expires_at: invite.expires_at,
            used_at: invite.used_at,
            withdrawn_at: invite.withdrawn_at,
        })
    });
    Ok(Json(InviteList { invites: invites.collect() }))
}

/// Withdraws an invite that nobody has used.
#[utoipa::path(
    delete,
    path = "/v1/invites/{inviteId}",
    tag = "sign-in",
    params(("inviteId" = String, Path, description = "As the list shows it")),
    responses(
        (status = 204, description = "It lets nobody in any more"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn withdraw(
    Administrator(caller): Administrator,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    if invites::withdraw(&app.store, &id, &caller).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::new(ProblemCode::NotFound).detail("there is no unused invite of that ID"))
    }
}
