//! The paths of imports. An upload has its own bounds: it may be long, but must not be slow.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use futures::StreamExt as _;
use jiff::Timestamp;
use provisioning_api_contract::{ImportProblemList, ImportReport, ImportState, Problem, ProblemCode};
use serde::Deserialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use tokio::time::Instant;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::api::ApiError;
use crate::api::auth::{Administrator, Auditor};
use crate::api::body::{Answer, IdPath, Parameters};
use crate::app::App;
use crate::devices::DEFAULT_TENANT;
use crate::import::{self, Import, ImportFormat, Order, Schedule};
use crate::instances::knows_name;
use crate::schedule::MINUTE;
use crate::store::now;
use crate::tokens::Caller;
use crate::words::from_word;

/// The longest page of problems.
const MAX_PAGE: u32 = 1000;

/// No schedule begins later than that from now on.
const FURTHEST: i64 = 365 * 24 * 60 * MINUTE;

/// Of a file that is refused early so much is read, and for so long.
const DRAINED: u64 = 64 * 1024 * 1024;
const DRAIN: Duration = Duration::from_secs(10);

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImportParameters {
    /// Whose devices these are; for callers of no tenant. Absent: the caller's, or `default`.
    tenant: Option<String>,
    /// True: the devices start in slots, so that no DPS instance gets more registrations a minute than it may.
    #[serde(default)]
    schedule: bool,
    /// With `schedule`: no slot before this time, within a year. Absent: from now on.
    schedule_from: Option<Timestamp>,
    /// True: the file is only looked through.
    #[serde(default)]
    dry_run: bool,
}

/// Puts the devices of a file into the inventory. For administrators.
///
/// In batches of 1,000 rows, each wholly or not at all, up to the first bad row. Uploaded again under the same ID, the
/// file is taken up after the last committed row. docs/import.md has the columns.
#[utoipa::path(
    post,
    path = "/v1/imports",
    tag = "inventory",
    params(
        ("Idempotency-Key" = Uuid, Header, description = "The import's ID, chosen by the client: the same for the same file"),
        ImportParameters,
    ),
    request_body(content(
        (String = "text/csv"),
        (String = "application/jsonl"),
    ), description = "A CSV file with a header, or a JSON object a line; UTF-8"),
    responses(
        (status = 200, description = "How far the import is, and what is wrong with the file", body = ImportReport),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn import(
    Administrator(caller): Administrator,
    State(app): State<Arc<App>>,
    Parameters(parameters): Parameters<ImportParameters>,
    headers: HeaderMap,
    body: Body,
) -> Answer<ImportReport> {
    let wrong = |text: &str| ApiError::new(ProblemCode::BadRequest).detail(text);
    let key = headers.get("idempotency-key").and_then(|value| value.to_str().ok());
    let id = key.and_then(|key| key.trim().parse::<Uuid>().ok());
    let id = id.ok_or_else(|| wrong("Idempotency-Key must be a UUID: the import's ID"))?;
    let tenant = match (&caller.tenant, parameters.tenant) {
        (Some(own), Some(asked)) if *own != asked => return Err(ApiError::new(ProblemCode::Forbidden)),
        (Some(own), _) => own.clone(),
        (None, asked) => asked.unwrap_or_else(|| DEFAULT_TENANT.into()),
    };
    let order = Order {
        id,
        tenant,
        format: format(&headers)?,
        dry_run: parameters.dry_run,
        instances: app.instances.keys().filter(|name| knows_name(&app, &caller, name)).cloned().collect(),
        caller,
        schedule: schedule(parameters.schedule, parameters.schedule_from)?,
        app: Some(app.clone()),
    };
    let busy = || {
        let text = "as many imports go on as may";
        ApiError::new(ProblemCode::Throttled).detail(text).retry_after(Some(Duration::from_secs(5)))
    };
    let _turn = app.imports.try_acquire().map_err(|_| busy())?;
    let mut upload = Upload::new(&app, body);
    let mut import = match Import::begin(&app.store, order).await {
        Ok(import) => import,
        Err(error) => return upload.refuse(error).await,
    };
    while import.wants_more() {
        let bytes = match upload.next().await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return import.finish().await.map(Json),
            Err(error) if error.code() == ProblemCode::TooLarge => return upload.refuse(error).await,
            Err(error) => return Err(error),
        };
        if let Err(error) = import.push(&bytes).await {
            return upload.refuse(error).await;
        }
    }
    let report = import.finish().await?;
    upload.drain().await;
    Ok(Json(report))
}

fn schedule(wanted: bool, from: Option<Timestamp>) -> Result<Option<Schedule>, ApiError> {
    let wrong = |text: &str| ApiError::new(ProblemCode::BadRequest).detail(text);
    let from = from.map(Timestamp::as_millisecond);
    match (wanted, from) {
        (false, None) => Ok(None),
        (false, Some(_)) => Err(wrong("scheduleFrom goes with schedule")),
        (true, Some(from)) if from > now().saturating_add(FURTHEST) => {
            Err(wrong("scheduleFrom must lie within a year"))
        }
        (true, from) => Ok(Some(Schedule { from })),
    }
}

fn format(headers: &HeaderMap) -> Result<ImportFormat, ApiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = kind.split(';').map(|part| part.trim().to_ascii_lowercase());
    let format = match parts.next().as_deref() {
        Some("text/csv") => ImportFormat::Csv,
        Some("application/jsonl" | "application/x-ndjson" | "application/json-lines") => ImportFormat::JsonLines,
        _ => return Err(unsupported("the file must be text/csv or application/jsonl")),
    };
    let charset =
        parts.find_map(|part| part.strip_prefix("charset=").map(|charset| charset.trim_matches('"').to_owned()));
    match charset.as_deref() {
        None | Some("utf-8" | "utf8" | "us-ascii") => Ok(format),
        Some(_) => Err(unsupported("the file must be UTF-8")),
    }
}

fn unsupported(text: &str) -> ApiError {
    ApiError::new(ProblemCode::UnsupportedMediaType).detail(text)
}

/// The body as it comes, within its bounds.
struct Upload<'a> {
    app: &'a App,
    body: axum::body::BodyDataStream,
    bytes: u64,
    /// How long the client let us wait, in all.
    waited: Duration,
}

impl<'a> Upload<'a> {
    fn new(app: &'a App, body: Body) -> Self {
        Self { app, body: body.into_data_stream(), bytes: 0, waited: Duration::ZERO }
    }

    /// The next bytes; `None`: the file is at its end.
    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        let limits = &self.app.limits;
        // Only the client's time counts, not ours: a moment to begin with, and more the more it sends.
        let allowed = limits.import_patience + Duration::from_secs(self.bytes / limits.import_bytes_per_second.max(1));
        let from = Instant::now();
        let next = tokio::time::timeout(allowed.saturating_sub(self.waited), self.body.next()).await;
        self.waited += from.elapsed();
        let slow =
            || ApiError::new(ProblemCode::BadRequest).detail("the file comes too slowly; upload it again to go on");
        let broken = |_| ApiError::new(ProblemCode::BadRequest).detail("the file broke off; upload it again to go on");
        let Some(bytes) = next.map_err(|_| slow())?.transpose().map_err(broken)? else { return Ok(None) };
        self.bytes += bytes.len() as u64;
        if self.bytes > limits.import_bytes {
            return Err(
                ApiError::new(ProblemCode::TooLarge).detail("the file is larger than an import may be; divide it")
            );
        }
        Ok(Some(bytes))
    }

    async fn refuse(&mut self, error: ApiError) -> Answer<ImportReport> {
        self.drain().await;
        Err(error)
    }

    /// Reads what comes of the rest, for a while, so that the client reads our answer and not a broken pipe.
    async fn drain(&mut self) {
        let end = Instant::now() + DRAIN;
        let mut left = DRAINED;
        while left > 0 {
            match tokio::time::timeout_at(end, self.body.next()).await {
                Ok(Some(Ok(bytes))) => left = left.saturating_sub(bytes.len() as u64),
                _ => return,
            }
        }
    }
}

/// How far an import is. For administrators and auditors.
#[utoipa::path(
    get,
    path = "/v1/imports/{importId}",
    tag = "inventory",
    params(("importId" = Uuid, Path, description = "The import")),
    responses(
        (status = 200, description = "The import, with its first problems", body = ImportReport),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn one(
    Auditor(caller): Auditor,
    State(app): State<Arc<App>>,
    IdPath(id): IdPath,
) -> Answer<ImportReport> {
    let row = find(&app, &caller, id).await?;
    let key: String = row.try_get("id")?;
    let (problems, _) = import::problems(&app.store, &key, (-1, ""), 100).await?;
    let count = |column: &str| -> Result<u64, sqlx::Error> { Ok(row.try_get::<i64, _>(column)?.max(0) as u64) };
    Ok(Json(ImportReport {
        import_id: id,
        tenant: row.try_get("tenant")?,
        state: from_word(row.try_get("state")?).unwrap_or(ImportState::Open),
        dry_run: false,
        committed_rows: count("committed_rows")?,
        rows: count("rows_seen")?,
        added: count("added")?,
        already_there: count("already_there")?,
        bad_rows: count("bad_rows")?,
        schedule: import::schedule(&mut *app.store.read().acquire().await?, &key).await?,
        problems,
    }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProblemParameters {
    /// `next` of the page before.
    cursor: Option<String>,
    /// At most so many, up to 1,000.
    limit: Option<u32>,
}

/// What is wrong with the rows of an import's last upload. For administrators and auditors.
#[utoipa::path(
    get,
    path = "/v1/imports/{importId}/problems",
    tag = "inventory",
    params(("importId" = Uuid, Path, description = "The import"), ProblemParameters),
    responses(
        (status = 200, description = "A page of problems, by row", body = ImportProblemList),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list_problems(
    Auditor(caller): Auditor,
    State(app): State<Arc<App>>,
    IdPath(id): IdPath,
    Parameters(parameters): Parameters<ProblemParameters>,
) -> Answer<ImportProblemList> {
    let row = find(&app, &caller, id).await?;
    let wrong = || ApiError::new(ProblemCode::BadRequest).detail("cursor must be next of a page");
    let cursor = match &parameters.cursor {
        None => (-1, ""),
        Some(cursor) => {
            let (row, column) = cursor.split_once('.').ok_or_else(wrong)?;
            (row.parse::<i64>().map_err(|_| wrong())?, column)
        }
    };
    let limit = parameters.limit.unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE);
    let (problems, more) = import::problems(&app.store, row.try_get("id")?, cursor, limit).await?;
    let next = problems.last().filter(|_| more).map(|last| format!("{}.{}", last.row, last.column));
    Ok(Json(ImportProblemList { problems, next }))
}

async fn find(app: &App, caller: &Caller, id: Uuid) -> Result<AnyRow, ApiError> {
    let rows = match &caller.tenant {
        Some(tenant) => sqlx::query("SELECT * FROM imports WHERE id = $1").bind(import::key(tenant, id)),
        None => sqlx::query("SELECT * FROM imports WHERE substr(id, length(id) - 35) = $1").bind(id.to_string()),
    };
    let mut rows = rows.fetch_all(app.store.read()).await?;
    if rows.len() > 1 {
        let text = "several tenants have an import of this ID; say which one with ?tenant=";
        return Err(ApiError::new(ProblemCode::BadRequest).detail(text));
    }
    rows.pop().ok_or_else(|| ApiError::new(ProblemCode::ImportUnknown))
}
