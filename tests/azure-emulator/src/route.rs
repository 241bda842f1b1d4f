//! Which operation a request asks for. Paths are matched without regard to case, as Azure does.

use axum::http::Method;

use crate::enrollment::Kind;
use crate::error_body::AzureError;
use crate::faults::On;
use crate::sas::percent_decoded;

/// One operation of one of the two APIs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Device { id_scope: String, registration_id: String, operation: DeviceOperation },
    Service(ServiceOperation),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DeviceOperation {
    Register,
    Operation(String),
    LookUp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ServiceOperation {
    Get(Kind, String),
    Put(Kind, String),
    Delete(Kind, String),
    AttestationMechanism(Kind, String),
    Query(Kind),
    Bulk,
    GetRegistration(String),
    DeleteRegistration(String),
    QueryRegistrations(String),
}

impl Route {
    /// `path` is the request's path with its percent signs.
    pub(crate) fn of(method: &Method, path: &str) -> Result<Self, AzureError> {
        let segments: Option<Vec<_>> = path.trim_matches('/').split('/').map(percent_decoded).collect();
        let segments = segments.ok_or_else(|| AzureError::bad_request("The path is not valid."))?;
        let segments: Vec<_> = segments.iter().map(String::as_str).collect();
        let is = |segment: &str, word: &str| segment.eq_ignore_ascii_case(word);
        let kind = segments.first().and_then(|first| match *first {
            first if is(first, "enrollments") => Some(Kind::Individual),
            first if is(first, "enrollmentGroups") => Some(Kind::Group),
            _ => None,
        });
        use ServiceOperation as S;
        let (allowed, route): (&[Method], _) = match (kind, segments.as_slice()) {
            (Some(Kind::Individual), [_]) => (&[Method::POST], Route::Service(S::Bulk)),
            (Some(kind), [_, query]) if is(query, "query") && method == Method::POST => {
                (&[Method::POST], Route::Service(S::Query(kind)))
            }
            (Some(kind), [_, id]) => {
                let id = (*id).to_owned();
                let operation = match *method {
                    Method::PUT => S::Put(kind, id),
                    Method::DELETE => S::Delete(kind, id),
                    _ => S::Get(kind, id),
                };
                (&[Method::GET, Method::PUT, Method::DELETE], Route::Service(operation))
            }
            (Some(kind), [_, id, last]) if is(last, "attestationmechanism") => {
                (&[Method::POST], Route::Service(S::AttestationMechanism(kind, (*id).to_owned())))
            }
            (None, [first, id]) if is(first, "registrations") => {
                let id = (*id).to_owned();
                let operation =
                    if method == Method::DELETE { S::DeleteRegistration(id) } else { S::GetRegistration(id) };
                (&[Method::GET, Method::DELETE], Route::Service(operation))
            }
            (None, [first, group, query]) if is(first, "registrations") && is(query, "query") => {
                (&[Method::POST], Route::Service(S::QueryRegistrations((*group).to_owned())))
            }
            (None, [id_scope, registrations, registration_id, rest @ ..]) if is(registrations, "registrations") => {
                let (allowed, operation): (&[Method], _) = match rest {
                    [] => (&[Method::POST], DeviceOperation::LookUp),
                    [register] if is(register, "register") => (&[Method::PUT], DeviceOperation::Register),
                    [operations, id] if is(operations, "operations") => {
                        (&[Method::GET], DeviceOperation::Operation((*id).to_owned()))
                    }
                    _ => return Err(AzureError::no_such_path()),
                };
                let route = Route::Device {
                    id_scope: (*id_scope).to_owned(),
                    registration_id: (*registration_id).to_owned(),
                    operation,
                };
                (allowed, route)
            }
            _ => return Err(AzureError::no_such_path()),
        };
        if allowed.contains(method) { Ok(route) } else { Err(AzureError::method_not_allowed()) }
    }

    /// Which faults meet it.
    pub(crate) fn on(&self) -> On {
        match self {
            Route::Device { operation: DeviceOperation::Register, .. } => On::Register,
            Route::Device { operation: DeviceOperation::Operation(_), .. } => On::Operation,
            Route::Device { operation: DeviceOperation::LookUp, .. } => On::Lookup,
            Route::Service(operation) => match operation {
                ServiceOperation::Get(kind, _)
                | ServiceOperation::Put(kind, _)
                | ServiceOperation::Delete(kind, _)
                | ServiceOperation::AttestationMechanism(kind, _)
                | ServiceOperation::Query(kind) => match kind {
                    Kind::Individual => On::Enrollments,
                    Kind::Group => On::EnrollmentGroups,
                },
                ServiceOperation::Bulk => On::Enrollments,
                ServiceOperation::GetRegistration(_)
                | ServiceOperation::DeleteRegistration(_)
                | ServiceOperation::QueryRegistrations(_) => On::Registrations,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_without_regard_to_case_and_ids_keep_theirs() {
        let route = Route::of(&Method::PUT, "/0ne1/Registrations/Dev-1/REGISTER").unwrap();
        let expected = Route::Device {
            id_scope: "0ne1".into(),
            registration_id: "Dev-1".into(),
            operation: DeviceOperation::Register,
        };
        assert_eq!(route, expected);
        let route = Route::of(&Method::POST, "/enrollmentgroups/G/AttestationMechanism").unwrap();
        assert_eq!(route, Route::Service(ServiceOperation::AttestationMechanism(Kind::Group, "G".into())));
        for path in ["/enrollments", "/ENROLLMENTS/"] {
            assert_eq!(Route::of(&Method::POST, path).unwrap(), Route::Service(ServiceOperation::Bulk));
        }
    }

    #[test]
    fn a_wrong_method_and_a_wrong_path_are_told_apart() {
        assert_eq!(
            Route::of(&Method::GET, "/0ne1/registrations/a/register").unwrap_err(),
            AzureError::method_not_allowed()
        );
        assert_eq!(Route::of(&Method::GET, "/0ne1/registrations/a/unknown").unwrap_err(), AzureError::no_such_path());
        assert_eq!(Route::of(&Method::GET, "/").unwrap_err(), AzureError::no_such_path());
    }
}
