//! Checks requests that are encoded.

use atlas_model_keys_core::wire::{self, EncodeError};
use atlas_model_keys_core::{Failure, FailureKind};
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request};

/// Returns the reasons why a request cannot be encoded, determined without the core.
fn reasons_not_to_encode(request: &Request<&[u8]>) -> Vec<EncodeError> {
    let (method, headers, uri) = (request.method(), request.headers(), request.uri());
    let mut reasons = Vec::new();
    let mut push = |applies: bool, error| {
        if applies {
            reasons.push(error);
        }
    };
    push(method == Method::CONNECT, EncodeError::Connect);
    push(
        method == Method::TRACE && !request.body().is_empty(),
        EncodeError::Trace,
    );
    push(
        headers.contains_key(TRANSFER_ENCODING),
        EncodeError::TransferEncoding,
    );
    let lengths: Vec<_> = headers.get_all(CONTENT_LENGTH).iter().collect();
    let length = request.body().len().to_string();
    push(
        !(lengths.is_empty() || lengths == [&length]),
        EncodeError::ContentLength,
    );
    let hosts = headers.get_all(HOST).iter().count();
    push(hosts > 1, EncodeError::ManyHosts);
    let has_authority = uri
        .authority()
        .is_some_and(|authority| !authority.host().is_empty());
    push(hosts == 0 && !has_authority, EncodeError::NoHost);
    let target = uri.path_and_query().map(http::uri::PathAndQuery::as_str);
    let is_valid = target.is_some_and(|target| {
        let star = target == "*" && method == Method::OPTIONS;
        let path = target.is_empty() || target.starts_with(['/', '?']);
        (star || path) && target.bytes().all(|b| b.is_ascii_graphic())
    });
    push(!is_valid, EncodeError::Target);
    reasons
}

/// Checks a request: it is encoded exactly if HTTP/1.1 can express it, and read back unchanged.
pub(super) fn check(request: &Request<&[u8]>) {
    let reasons = reasons_not_to_encode(request);
    let encoded = match wire::encode(request) {
        Ok(encoded) => encoded,
        Err(error) => {
            assert!(reasons.contains(&error), "{error:?}, but {reasons:?}");
            let shown = error.to_string();
            assert!(shown.starts_with("the request cannot be encoded: "));
            assert_eq!(Failure::from(error).kind(), FailureKind::Permanent);
            return;
        }
    };
    assert!(reasons.is_empty(), "{reasons:?}");
    let bytes = encoded.as_bytes();
    assert_eq!(encoded.as_ref(), bytes);
    assert_eq!(
        format!("{encoded:?}"),
        format!("Encoded({} bytes)", bytes.len())
    );

    let (length, read) = ureq_proto::parser::try_parse_request::<16>(bytes)
        .unwrap_or_else(|error| panic!("{error} in {}", bytes.escape_ascii()))
        .expect("the request is complete");
    assert_eq!(bytes.get(length..), Some(*request.body()));
    assert_eq!(read.method(), request.method());
    let target = request
        .uri()
        .path_and_query()
        .expect("an encoded request has a target")
        .as_str();
    let slash = if target.starts_with(['/', '*']) {
        ""
    } else {
        "/"
    };
    assert_eq!(read.uri().to_string(), format!("{slash}{target}"));
    let mut expected = HeaderMap::new();
    if !request.headers().contains_key(HOST) {
        let authority = request
            .uri()
            .authority()
            .expect("an encoded request has a host")
            .as_str();
        let (_, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        expected.insert(HOST, HeaderValue::from_str(host).expect("a host is ASCII"));
    }
    for (name, value) in request.headers() {
        // RFC 9110 §5.5: white space around a value is not part of it.
        let value = HeaderValue::from_bytes(value.as_bytes().trim_ascii())
            .expect("a trimmed header value is valid");
        expected.append(name, value);
    }
    if !request.body().is_empty() && !expected.contains_key(CONTENT_LENGTH) {
        expected.insert(CONTENT_LENGTH, HeaderValue::from(request.body().len()));
    }
    assert_eq!(*read.headers(), expected);
}
