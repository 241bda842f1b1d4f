//! From what a link, a session or a device says to a code that says what to do.

use lowtouch_handoff::dps_config::client::CallError;
use lowtouch_handoff::dps_config::{self, Failed, Response};
use lowtouch_handoff::protocomm::client::{HandshakeError, SessionError};
use lowtouch_handoff::protocomm::{self, Status};
use lowtouch_links::LinkError;

use crate::error::{ErrorCode, PairingError};

/// `endpoint`: the one that was asked, `None` while connecting.
pub(super) fn of_link(error: &LinkError, endpoint: Option<&str>) -> PairingError {
    let code = match error {
        LinkError::NotFound { .. } => ErrorCode::DeviceNotFound,
        LinkError::PermissionDenied { .. } => ErrorCode::LinkPermissionDenied,
        LinkError::Busy { .. } => ErrorCode::LinkBusy,
        LinkError::Ambiguous { .. } => ErrorCode::DeviceAmbiguous,
        LinkError::Adapter { problem: lowtouch_links::ble::AdapterProblem::NoPermission, .. } => {
            ErrorCode::LinkPermissionDenied
        }
        LinkError::Adapter { .. } | LinkError::Radio { .. } => ErrorCode::BluetoothUnavailable,
        LinkError::UnknownEndpoint { .. } => match endpoint {
            Some(dps_config::ENDPOINT) => ErrorCode::DpsConfigMissing,
            Some(protocomm::ENDPOINT) => ErrorCode::NotADevice,
            _ => ErrorCode::NetworkUnsupported,
        },
        // The handler failed. Inside a session that means: it is not, or no longer, this session.
        LinkError::Refused { .. } => ErrorCode::SessionFailed,
        LinkError::Timeout { .. } if endpoint.is_none() => ErrorCode::DeviceNotFound,
        LinkError::Timeout { .. } => ErrorCode::DeviceSilent,
        LinkError::Lost | LinkError::Interrupted => ErrorCode::LinkLost,
        LinkError::Garbage => ErrorCode::DeviceGarbage,
        LinkError::TooLong { .. } => ErrorCode::DeviceAnswerTooLong,
        LinkError::Unsupported { .. } => ErrorCode::LinkUnsupported,
        _ => ErrorCode::LinkLost,
    };
    PairingError::with_detail(code, error.to_string())
}

pub(super) fn of_handshake(error: &HandshakeError) -> PairingError {
    let code = match error {
        HandshakeError::WrongPop | HandshakeError::DeviceNotProven => ErrorCode::WrongPop,
        HandshakeError::WrongSecurityVersion => ErrorCode::WrongSecurityVersion,
        HandshakeError::Device(Status::TooManySessions) => ErrorCode::DeviceClosed,
        HandshakeError::Device(Status::InvalidSecScheme) => ErrorCode::WrongSecurityVersion,
        HandshakeError::Device(Status::InvalidSession) => ErrorCode::SessionForeign,
        HandshakeError::Device(_) => ErrorCode::SessionFailed,
        HandshakeError::Garbage => ErrorCode::DeviceGarbage,
        HandshakeError::TooLong(_) => ErrorCode::DeviceAnswerTooLong,
        HandshakeError::LowOrderKey | HandshakeError::ForbiddenKey => ErrorCode::DeviceGarbage,
        HandshakeError::Username => ErrorCode::LabelIncomplete,
        HandshakeError::PatchVersion(_) => ErrorCode::LabelUnsupported,
        _ => ErrorCode::SessionFailed,
    };
    PairingError::with_detail(code, error.to_string())
}

pub(super) fn of_session(error: &SessionError) -> PairingError {
    let code = match error {
        SessionError::Forged => ErrorCode::SessionForeign,
        _ => ErrorCode::SessionFailed,
    };
    PairingError::with_detail(code, error.to_string())
}

pub(super) fn of_call(error: &CallError) -> PairingError {
    let code = match error {
        CallError::TooLong => ErrorCode::DeviceAnswerTooLong,
        _ => ErrorCode::DeviceGarbage,
    };
    PairingError::with_detail(code, error.to_string())
}

/// `Ok` where the device says OK.
pub(super) fn of_response(response: Response) -> Result<Response, PairingError> {
    use dps_config::Result as Said;
    let said = response.result();
    let code = match said {
        // An unknown number reads as the default, OK; it is none.
        Said::Ok if response.result != 0 => ErrorCode::DeviceRefused,
        Said::Ok => return Ok(response),
        Said::Invalid => ErrorCode::DeviceRefused,
        Said::Unsupported => ErrorCode::DeviceUnsupported,
        Said::TooLarge => ErrorCode::DeviceTooSmall,
        Said::ChunkOrder => ErrorCode::DeviceGarbage,
        Said::Busy => ErrorCode::DeviceBusy,
        Said::UnknownHandoff => ErrorCode::HandoffExpired,
        Said::DigestMismatch => ErrorCode::DigestMismatch,
        Said::WrongRegistrationId => ErrorCode::WrongDevice,
        Said::Credential => ErrorCode::CredentialRefused,
        Said::NotOwner => ErrorCode::NotOwner,
        Said::Storage => ErrorCode::DeviceStorage,
        Said::Internal => ErrorCode::DeviceInternal,
    };
    let mut error = PairingError::with_detail(code, format!("{} ({})", shown(&response.text), response.result));
    if response.retry_after_s > 0 {
        error.retry_after_s = Some(response.retry_after_s.into());
    }
    Err(error)
}

/// Why the device did not get registered.
pub(super) fn of_failed(failed: &Failed) -> PairingError {
    // The numbers of `FailureCode`; one that this build does not know reads as a failure of the device.
    let code = match failed.code {
        1 => ErrorCode::EndpointUnreachable,
        2 => ErrorCode::EndpointTls,
        3 => ErrorCode::DpsCredential,
        4 => ErrorCode::DpsNotFound,
        5 => ErrorCode::DpsDisabled,
        6 => ErrorCode::DpsAssignmentFailed,
        7 => ErrorCode::DpsThrottled,
        _ => ErrorCode::DeviceFailed,
    };
    let back = if failed.rolled_back { "rolled back" } else { "not rolled back" };
    let detail = format!("{} (DPS error {}, {back})", shown(&failed.text), failed.dps_error_code);
    PairingError::with_detail(code, detail)
}

/// A device's own text: shortened, without control characters.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}
