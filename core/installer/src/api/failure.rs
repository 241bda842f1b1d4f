//! From what went wrong in a call to a code that says what to do.

use std::time::Duration;

use jiff::Timestamp;
use provisioning_api_contract::{Problem, ProblemCode};
use reqwest::StatusCode;

use crate::error::{ErrorCode, PairingError};
use crate::retry::{LONGEST_RETRY_AFTER, Verdict};

/// Longest text of the API that goes into an error's support detail, in characters.
const MAX_DETAIL: usize = 300;

/// What a failed call means for the next try.
pub fn verdict(error: &PairingError) -> Verdict {
    match error.code {
        ErrorCode::ApiThrottled
        | ErrorCode::ApiInternal
        | ErrorCode::DpsUnavailable
        | ErrorCode::ApiUnreachable
        | ErrorCode::ProxyUnreachable
        | ErrorCode::ApiTimeout
        | ErrorCode::SignInUnreachable => match error.retry_after_s {
            Some(seconds) => Verdict::After(Duration::from_secs(seconds)),
            None if error.code == ErrorCode::ApiThrottled => Verdict::Throttled,
            None => Verdict::Again,
        },
        // The API says when an instance may have room again; without that word only an administrator can help.
        ErrorCode::NoInstance => match error.retry_after_s {
            Some(seconds) => Verdict::After(Duration::from_secs(seconds)),
            None => Verdict::GiveUp,
        },
        _ => Verdict::GiveUp,
    }
}

/// For an answer that is no success.
pub(super) fn of_answer(status: StatusCode, retry_after: Option<&str>, body: &[u8]) -> PairingError {
    let problem: Option<Problem> = serde_json::from_slice(body).ok();
    let code = problem.as_ref().and_then(|problem| of_problem(problem.code)).unwrap_or_else(|| of_status(status));
    let mut error = PairingError::with_detail(
        code,
        match &problem {
            Some(problem) => {
                let detail = problem.detail.as_deref().unwrap_or("no detail");
                let text = format!("HTTP {}: {}: {detail}", status.as_u16(), problem.title);
                text.chars().filter(|c| !c.is_control()).take(MAX_DETAIL).collect()
            }
            None => format!("HTTP {}, {} bytes that are no problem details", status.as_u16(), body.len()),
        },
    );
    error.request_id = problem.map(|problem| problem.request_id);
    if let Some(asked) = retry_after.and_then(|text| asked(text, Timestamp::now())) {
        error.retry_after_s = Some(asked.min(LONGEST_RETRY_AFTER.as_secs()));
        if asked > LONGEST_RETRY_AFTER.as_secs() {
            let detail = error.detail.take().unwrap_or_default();
            let cap = LONGEST_RETRY_AFTER.as_secs();
            error.detail = Some(format!("{detail} (it asks to wait for {asked} s; taken as {cap} s)"));
        }
    }
    error
}

fn of_problem(code: ProblemCode) -> Option<ErrorCode> {
    Some(match code {
        ProblemCode::Unauthenticated => ErrorCode::ApiUnauthenticated,
        ProblemCode::Forbidden => ErrorCode::ApiForbidden,
        ProblemCode::DeviceUnknown => ErrorCode::DeviceUnknown,
        ProblemCode::OrderUnknown => ErrorCode::OrderUnknown,
        ProblemCode::OrderNotOpen => ErrorCode::OrderNotOpen,
        ProblemCode::NotFound => ErrorCode::ApiNotFound,
        ProblemCode::HandoffConflict => ErrorCode::HandoffConflict,
        ProblemCode::NotAllocated => ErrorCode::NotAllocated,
        ProblemCode::AttestationMismatch => ErrorCode::AttestationMismatch,
        ProblemCode::CsrRejected => ErrorCode::CsrRejected,
        ProblemCode::BadRequest
        | ProblemCode::MethodNotAllowed
        | ProblemCode::TooLarge
        | ProblemCode::UnsupportedMediaType => ErrorCode::ApiRequestRejected,
        ProblemCode::Throttled => ErrorCode::ApiThrottled,
        ProblemCode::NoInstance => ErrorCode::NoInstance,
        ProblemCode::DpsUnavailable => ErrorCode::DpsUnavailable,
        ProblemCode::Internal => ErrorCode::ApiInternal,
        // A newer API: its status still says what to do.
        _ => return None,
    })
}

fn of_status(status: StatusCode) -> ErrorCode {
    match status.as_u16() {
        300..=399 => ErrorCode::ApiRedirect,
        401 => ErrorCode::ApiUnauthenticated,
        403 => ErrorCode::ApiForbidden,
        404 | 410 => ErrorCode::ApiNotFound,
        408 => ErrorCode::ApiTimeout,
        409 => ErrorCode::HandoffConflict,
        429 => ErrorCode::ApiThrottled,
        400..=499 => ErrorCode::ApiRequestRejected,
        502 | 504 => ErrorCode::DpsUnavailable,
        500..=599 => ErrorCode::ApiInternal,
        _ => ErrorCode::ApiAnswerInvalid,
    }
}

/// Seconds to wait. `Retry-After` is seconds or a date (RFC 9110, 10.2.3).
pub(crate) fn asked(text: &str, now: Timestamp) -> Option<u64> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit()) {
        // More digits than a number holds are still a number.
        return Some(text.parse().unwrap_or(u64::MAX));
    }
    let then = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    u64::try_from(then.duration_since(now).as_secs()).ok().or(Some(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        assert_eq!(asked("7", now), Some(7));
        assert_eq!(asked("Sat, 21 Nov 2026 10:00:30 GMT", now), Some(30));
        assert_eq!(asked("Sat, 21 Nov 2026 09:00:00 GMT", now), Some(0));
        assert_eq!(asked("soon", now), None);
        assert_eq!(asked("-3", now), None);
        assert_eq!(asked("", now), None);
        assert_eq!(asked("99999999999999999999999999", now), Some(u64::MAX));
    }

    #[test]
    fn an_absurd_retry_after_is_capped_and_that_is_said() {
        for absurd in ["4000000000", "99999999999999999999999999", "Mon, 21 Nov 2355 10:00:30 GMT"] {
            let error = of_answer(StatusCode::TOO_MANY_REQUESTS, Some(absurd), b"");
            assert_eq!(error.retry_after_s, Some(24 * 3600), "{absurd}");
            assert!(error.detail.as_deref().unwrap_or_default().contains("taken as 86400 s"), "{error:?}");
        }
        let error = of_answer(StatusCode::TOO_MANY_REQUESTS, Some("60"), b"");
        assert_eq!(error.retry_after_s, Some(60));
        assert!(!error.detail.unwrap_or_default().contains("taken as"));
    }

    #[test]
    fn an_answer_without_problem_details_is_judged_by_its_status() {
        for (status, code) in [
            (301, ErrorCode::ApiRedirect),
            (401, ErrorCode::ApiUnauthenticated),
            (403, ErrorCode::ApiForbidden),
            (404, ErrorCode::ApiNotFound),
            (409, ErrorCode::HandoffConflict),
            (422, ErrorCode::ApiRequestRejected),
            (429, ErrorCode::ApiThrottled),
            (500, ErrorCode::ApiInternal),
            (502, ErrorCode::DpsUnavailable),
            (503, ErrorCode::ApiInternal),
        ] {
            let error = of_answer(StatusCode::from_u16(status).unwrap(), None, b"<html>");
            assert_eq!(error.code, code, "{status}");
        }
    }
}
