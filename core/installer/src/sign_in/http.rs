//! Calls of sign-in: OAuth's requests over our own client, answers of bounded length, faults as codes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use oauth2::{AsyncHttpClient, HttpRequest, HttpResponse};
use reqwest::StatusCode;
use serde::de::DeserializeOwned;
use url::Url;

use crate::api::{MAX_ANSWER, retry_after};
use crate::clock::Clock;
use crate::error::{ErrorCode, PairingError};
use crate::net::{Net, captive_portal, of_reqwest};

/// A client that counts its calls and looks at the other side's clock. Clones share both.
#[derive(Clone)]
pub(super) struct Http {
    net: Net,
    calls: Arc<AtomicU32>,
    /// Seconds by which the other side's clock is ahead of ours; `i64::MIN`: not known.
    ahead: Arc<AtomicI64>,
    clock: Clock,
}

impl Http {
    pub(super) fn new(net: Net, clock: Clock) -> Http {
        Http { net, calls: Arc::default(), ahead: Arc::new(AtomicI64::new(i64::MIN)), clock }
    }

    pub(super) fn net(&self) -> &Net {
        &self.net
    }

    /// Calls so far.
    pub(super) fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    /// How many seconds the other side's clock is ahead of ours, by its last answer.
    pub(super) fn ahead_s(&self) -> Option<i64> {
        Some(self.ahead.load(Ordering::Relaxed)).filter(|ahead| *ahead != i64::MIN)
    }

    /// One call. Answers of any status come back but those that say nothing of the question: a redirect, a fault of the
    /// server, a page of the network in between.
    pub(super) async fn send(&self, request: HttpRequest) -> Result<HttpResponse, PairingError> {
        let request = reqwest::Request::try_from(request)
            .map_err(|error| PairingError::with_detail(ErrorCode::Internal, error.without_url().to_string()))?;
        tracing::debug!(host = request.url().host_str(), path = request.url().path(), "sign-in call");
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mut response = self.net.client().execute(request).await.map_err(unreachable)?;
        let status = response.status();
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        if let Some(date) = header("date").and_then(|date| jiff::fmt::rfc2822::parse(&date).ok()) {
            let ahead = date.timestamp().duration_since(self.clock.now()).as_secs();
            self.ahead.store(ahead, Ordering::Relaxed);
        }
        let (content_type, wait) = (header("content-type"), header("retry-after"));
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(unreachable)? {
            if body.len() + part.len() > MAX_ANSWER {
                return Err(invalid(format!("more than {MAX_ANSWER} bytes")));
            }
            body.extend_from_slice(&part);
        }
        tracing::debug!(status = status.as_u16(), bytes = body.len(), "sign-in answer");
        if captive_portal(status, content_type.as_deref(), &body) {
            return Err(ErrorCode::CaptivePortal.into());
        }
        let said = format!("HTTP {}", status.as_u16());
        let fault = match status {
            _ if status.is_redirection() => Some(ErrorCode::ApiRedirect),
            StatusCode::TOO_MANY_REQUESTS => Some(ErrorCode::ApiThrottled),
            _ if status.is_server_error() => Some(ErrorCode::SignInUnreachable),
            _ => None,
        };
        if let Some(code) = fault {
            let mut error = PairingError::with_detail(code, said);
            error.retry_after_s = wait.as_deref().and_then(|text| retry_after(text, self.clock.now()));
            return Err(error);
        }
        let mut answer = HttpResponse::new(body);
        *answer.status_mut() = status;
        if let Some(value) = content_type.and_then(|text| text.parse().ok()) {
            answer.headers_mut().insert("content-type", value);
        }
        Ok(answer)
    }

    /// A JSON document, `None` where there is none (404).
    pub(super) async fn document<A: DeserializeOwned>(&self, url: &Url) -> Result<Option<A>, PairingError> {
        let request = oauth2::http::Request::get(url.as_str())
            .header("accept", "application/json")
            .body(Vec::new())
            .map_err(|error| PairingError::with_detail(ErrorCode::Internal, error.to_string()))?;
        let answer = self.send(request).await?;
        match answer.status() {
            StatusCode::OK => serde_json::from_slice(answer.body())
                .map(Some)
                .map_err(|error| invalid(format!("{}: line {}, column {}", url.path(), error.line(), error.column()))),
            StatusCode::NOT_FOUND => Ok(None),
            other => Err(invalid(format!("HTTP {} for {}", other.as_u16(), url.path()))),
        }
    }

    /// A form, and the JSON that answers it; the status comes with it.
    pub(super) async fn form(&self, url: &Url, fields: &[(&str, &str)]) -> Result<HttpResponse, PairingError> {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = oauth2::http::Request::post(url.as_str())
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.into_bytes())
            .map_err(|error| PairingError::with_detail(ErrorCode::Internal, error.to_string()))?;
        self.send(request).await
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = PairingError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, PairingError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

/// An answer that is not as the protocol says. `why` holds nothing of its content.
pub(super) fn invalid(why: impl Into<String>) -> PairingError {
    PairingError::with_detail(ErrorCode::SignInAnswerInvalid, why)
}

/// The words for who cannot be reached differ from those for the API: it may be another server.
fn unreachable(error: reqwest::Error) -> PairingError {
    let mut error = of_reqwest(error);
    if matches!(error.code, ErrorCode::ApiUnreachable | ErrorCode::ApiTimeout) {
        error.code = ErrorCode::SignInUnreachable;
        error.action = error.code.action();
    }
    error
}
