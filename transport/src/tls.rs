//! Classifies the errors of TLS.

use std::{fmt, io};

use atlas_model_keys_core::FailureKind;
use rustls::InvalidMessage;

/// Returns the failure kind of a TLS error. A retry cannot help if one side does not trust or understand the other.
#[must_use]
pub fn tls_failure_kind(error: &rustls::Error) -> FailureKind {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(_)
        | E::NoCertificatesPresented
        | E::UnsupportedNameType
        | E::InvalidMessage(_)
        | E::PeerIncompatible(_)
        | E::NoApplicationProtocol
        | E::AlertReceived(_) => FailureKind::Permanent,
        _ => FailureKind::Lost,
    }
}

/// Any error, in the form that HTTP clients use.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The peer does not speak TLS: its first bytes are something else, such as a plain HTTP response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotTls;

impl NotTls {
    /// Replaces the error that a TLS library reports in this case ("corrupt message"). Other errors of a handshake are
    /// returned unchanged.
    #[must_use]
    pub fn or(error: BoxError) -> BoxError {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&*error);
        while let Some(error) = cause {
            // An `io::Error` does not show the error that it holds among its sources.
            let held = error
                .downcast_ref::<io::Error>()
                .and_then(|error| error.get_ref());
            let tls = held.map_or(error.downcast_ref(), |held| held.downcast_ref());
            // A record begins with its type and a version (RFC 8446 §5.1).
            if let Some(rustls::Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            )) = tls
            {
                return Self.into();
            }
            cause = match held {
                Some(held) => Some(held),
                None => error.source(),
            };
        }
        error
    }
}

impl fmt::Display for NotTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "what answers on this port does not speak TLS: check the scheme (https:// or http://) and the port",
        )
    }
}

impl std::error::Error for NotTls {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::io_failure_kind;
    use rustls::CertificateError;

    #[test]
    fn errors_of_tls_within_a_socket_error_have_the_right_failure_kind() {
        let untrusted = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        for (error, kind) in [
            (
                io::Error::other(io::Error::other(untrusted)),
                FailureKind::Permanent,
            ),
            (
                io::Error::other(rustls::Error::DecryptError),
                FailureKind::Lost,
            ),
        ] {
            assert_eq!(io_failure_kind(&error), kind, "{error}");
        }
    }

    #[test]
    fn bytes_that_are_not_tls_are_not_reported_as_a_failed_handshake() {
        let plain = || rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);
        for (error, is_plain) in [
            (BoxError::from(plain()), true),
            (io::Error::other(plain()).into(), true),
            (io::Error::other(io::Error::other(plain())).into(), true),
            (
                rustls::Error::InvalidMessage(InvalidMessage::UnknownProtocolVersion).into(),
                true,
            ),
            (
                rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer).into(),
                false,
            ),
            (io::Error::from(io::ErrorKind::UnexpectedEof).into(), false),
        ] {
            let text = error.to_string();
            let explained = NotTls::or(error);
            assert_eq!(explained.is::<NotTls>(), is_plain, "{text}");
            assert_eq!(explained.to_string().contains("check the scheme"), is_plain);
        }
    }
}
