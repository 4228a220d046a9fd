//! The areas of faults: the responses that a fault applies to, and when it changes them.

use http::header::AUTHORIZATION;

use crate::incoming::Incoming;
use crate::route::Route;

/// The route whose response a fault changes, and the part of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Area {
    /// The bytes of a listing's response.
    ///
    /// Faults of this area, of `Coding` and of `Meaning` apply to the two listings of keys and to the
    /// list of groups, and only if the credential of the request is right. A refused credential gets
    /// the regular 401, so that a digest client gets its challenge.
    Socket,
    /// The content coding of a listing's response.
    Coding,
    /// The status and the headers of a listing's response.
    Meaning,
    /// The content of a page of keys. These faults apply to the two listings of keys, and only if the
    /// response is a page.
    Page,
    /// The response to a request for an access token.
    Token,
    /// The digest challenge of the two listings of keys and of the list of groups. These faults apply
    /// to requests without an access token.
    Digest,
}

impl Area {
    /// Returns a few words that describe the area, for a heading.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::Socket => "the bytes of a listing's response",
            Self::Coding => "the content coding of a listing's response",
            Self::Meaning => "the status and the headers of a listing's response",
            Self::Page => "the content of a page of a listing",
            Self::Token => "the response to a request for an access token",
            Self::Digest => "the digest challenge of a listing",
        }
    }

    pub(super) fn phase(self) -> Phase {
        match self {
            Self::Socket => Phase::AfterCompression,
            _ => Phase::BeforeCompression,
        }
    }

    pub(super) fn applies_to(self, route: Route, request: Incoming<'_>, challenged: bool) -> bool {
        let lists_keys = matches!(route, Route::ListGroupKeys | Route::ListOrgKeys);
        let is_listing = lists_keys || route == Route::ListGroups;
        match self {
            Self::Token => route == Route::Token,
            Self::Digest => is_listing && !has_token(request),
            Self::Page => lists_keys && !challenged,
            Self::Socket | Self::Coding | Self::Meaning => is_listing && !challenged,
        }
    }
}

/// The time at which a fault is applied: before or after the response is compressed for clients that
/// accept gzip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    BeforeCompression,
    AfterCompression,
}

/// Returns whether the request has an access token; then digest does not apply to it.
fn has_token(request: Incoming<'_>) -> bool {
    request
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.as_bytes().get(..7))
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"Bearer "))
}
