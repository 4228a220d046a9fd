//! Responses as values that can be stored.

use atlas_model_keys_core::RecordedResponse;
use http::Response;

use crate::generators::reply::Input;
use crate::oracles::shown;

/// Checks that a response survives a round trip through a recording, and that a recording becomes a response exactly if
/// HTTP allows its status and headers.
pub(super) fn check(input: &Input<'_>) {
    let mut response = Response::new(*input.body);
    *response.status_mut() = input.status;
    *response.headers_mut() = input.headers.clone();
    let recorded = RecordedResponse::from(&response);
    let sizes = (input.headers.len(), input.body.len());
    assert_eq!(
        format!("{recorded:?}"),
        format!(
            "RecordedResponse {{ status: {}, headers: {}, body_bytes: {} }}",
            input.status.as_u16(),
            sizes.0,
            sizes.1
        )
    );
    let json = serde_json::to_string(&recorded).expect("a recording can be serialized");
    let read: RecordedResponse = serde_json::from_str(&json).expect("a recording is read back");
    assert_eq!(read, recorded);
    let replayed = Response::try_from(read).expect("it was a response");
    assert_eq!(
        (replayed.status(), replayed.headers()),
        (input.status, &input.headers)
    );
    assert_eq!(replayed.body(), *input.body);

    // The body is also the name and the value of a header, and its bytes make a status.
    let name = String::from_utf8_lossy(*input.body).into_owned();
    let status = input.body.iter().fold(0_u16, |n, byte| {
        n.wrapping_mul(10).wrapping_add(u16::from(*byte))
    });
    let is_token = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
    let is_value = input
        .body
        .iter()
        .all(|b| *b == b'\t' || *b >= b' ' && *b != 0x7f);
    let with = |status, name: &str, value: &[u8]| {
        let mut other = recorded.clone();
        other.status = status;
        other.headers = vec![(name.to_owned(), value.to_owned())];
        other
    };
    let is_status = (100..1000).contains(&status);
    for (other, is_valid) in [
        (with(status, "x", b""), is_status),
        (with(200, &name, b""), is_token),
        (with(200, "x", *input.body), is_value),
    ] {
        match Response::try_from(other) {
            Ok(_) => assert!(is_valid),
            Err(error) => {
                assert!(!is_valid, "{error}");
                assert_eq!(error.parameter(), "recorded response");
                shown::assert_safe(&error);
            }
        }
    }
}
