//! Faults that a test puts in the way of the next requests.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The requests that a fault meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum On {
    /// `PUT …/register` by a device.
    Register,
    /// `GET …/operations/{operationId}` by a device.
    Operation,
    /// `POST …/registrations/{registrationId}` by a device: the status lookup.
    Lookup,
    /// The service API under `/enrollments`, queries and bulk operations included.
    Enrollments,
    /// The service API under `/enrollmentGroups`, queries included.
    EnrollmentGroups,
    /// The service API under `/registrations`, queries included.
    Registrations,
    /// Any request of a device.
    DeviceApi,
    /// Any request of the service API.
    ServiceApi,
    /// Any request.
    Any,
}

impl On {
    pub(crate) fn covers(self, what: On) -> bool {
        match self {
            On::Any => true,
            On::DeviceApi => matches!(what, On::Register | On::Operation | On::Lookup | On::DeviceApi),
            On::ServiceApi => {
                matches!(what, On::Enrollments | On::EnrollmentGroups | On::Registrations | On::ServiceApi)
            }
            one => one == what,
        }
    }
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The answer is this HTTP status with Azure's error body, and nothing is done.
    Status {
        /// 429, 500, 503, …
        status: u16,
        /// As the header `Retry-After`, in whole seconds.
        retry_after: Option<Duration>,
    },
    /// The answer is right and comes this much later.
    Slow(Duration),
    /// The connection is reset before the answer; nothing is done.
    Reset,
    /// The connection is reset after the work is done, so the client does not learn the answer.
    ResetAfter,
    /// The credential is refused as if it were wrong: 401.
    RefuseCredential,
    /// (`On::Register` only) the registration is taken, and the operation then ends in the status `failed`.
    FailAssignment {
        /// Azure's code in the registration state, for example 400207.
        error_code: u32,
        /// Azure's text beside it.
        message: String,
    },
    /// The answer is 200 with a body that is no JSON.
    Garbage,
}

/// The faults that are still to happen. They wait in the order in which they were put in; a request takes the first that covers it.
#[derive(Debug, Default)]
pub struct Faults {
    waiting: Mutex<VecDeque<(On, Fault, u32)>>,
}

impl Faults {
    /// Lets the next `times` requests that `on` covers meet this fault.
    pub fn inject(&self, on: On, fault: Fault, times: u32) {
        if times > 0 {
            self.lock().push_back((on, fault, times));
        }
    }

    /// Answers 429 to the next `times` requests, with `Retry-After` if given.
    pub fn throttle(&self, on: On, retry_after: Option<Duration>, times: u32) {
        self.inject(on, Fault::Status { status: 429, retry_after }, times);
    }

    /// Takes back what has not happened yet.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// How many requests are still to meet a fault.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.lock().iter().map(|(_, _, times)| times).sum()
    }

    pub(crate) fn take(&self, what: On) -> Option<Fault> {
        let mut waiting = self.lock();
        let at = waiting.iter().position(|(on, _, _)| on.covers(what))?;
        let (_, fault, times) = waiting.get_mut(at)?;
        *times -= 1;
        let fault = fault.clone();
        if *times == 0 {
            waiting.remove(at);
        }
        Some(fault)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(On, Fault, u32)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
