//! Tells which statuses are errors.

use http::StatusCode;

/// Returns whether a status is a server error. Undefined statuses from 600 on count as server errors (RFC 9110 §15).
pub(crate) fn is_server_error(status: StatusCode) -> bool {
    status.as_u16() >= 500
}

/// Returns the number as a status, if it is that of a client or server error.
pub(crate) fn failed_status(number: u64) -> Option<StatusCode> {
    let status = StatusCode::from_u16(u16::try_from(number).ok()?).ok()?;
    (status.is_client_error() || is_server_error(status)).then_some(status)
}
