//! Decoding the bytes of a connection into a response.

use std::rc::Rc;

use atlas_model_keys_core::Limits;
use atlas_model_keys_core::wire::{Decoder, Message, Progress};
use http::Method;
use ureq_proto::parser::try_parse_response;

use super::{Case, page};

/// A head with 18 fields, as Atlas sends it through its proxies.
const HEAD: &str = "HTTP/1.1 200 OK\r\n\
    date: Mon, 02 Mar 2026 10:11:12 GMT\r\n\
    strict-transport-security: max-age=31536000; includeSubdomains;\r\n\
    referrer-policy: strict-origin-when-cross-origin\r\n\
    x-permitted-cross-domain-policies: none\r\n\
    x-content-type-options: nosniff\r\n\
    x-mongodb-service-version: gitHash=ab9f0d5d9f6dd1a4b7e5b2f0a3d5b0c6e7f81920; versionString=v20260225\r\n\
    ratelimit-limit: 1200\r\n\
    ratelimit-remaining: 1187\r\n\
    content-type: application/vnd.atlas.preview+json;charset=utf-8\r\n\
    x-frame-options: DENY\r\n\
    vary: Accept-Encoding\r\n\
    cache-control: no-cache, no-transform\r\n\
    x-envoy-upstream-service-time: 84\r\n\
    x-java-method: ApiAiModelApiKeysResource::getAiModelApiKeys\r\n\
    x-java-version: 21.0.5\r\n\
    server: mdbws\r\n\
    via: 1.1 google\r\n";

/// Decodes a whole response.
fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Message {
    let mut decoder = Decoder::new(&Method::GET, &Limits::default());
    for piece in pieces {
        match decoder.push(piece).expect("a response") {
            Progress::More(more) => decoder = more,
            Progress::Done { message, .. } => return message,
        }
    }
    panic!("the response does not end")
}

/// Returns a response that is only a head.
pub(super) fn only_head() -> Rc<[u8]> {
    format!("{HEAD}content-length: 0\r\n\r\n")
        .into_bytes()
        .into()
}

/// Returns a response with 500 keys.
pub(super) fn whole_page() -> Rc<[u8]> {
    let body = page::body(500);
    let mut whole = format!("{HEAD}content-length: {}\r\n\r\n", body.len()).into_bytes();
    whole.extend(body);
    whole.into()
}

pub(super) fn case(
    group: &'static str,
    name: &'static str,
    bytes: &Rc<[u8]>,
    run: fn(&[u8]),
) -> Case {
    let (bytes, len) = (Rc::clone(bytes), bytes.len());
    Case::new(group, name, move || run(&bytes)).with_bytes(len)
}

pub(super) fn cases() -> Vec<Case> {
    let (head, whole) = (only_head(), whole_page());
    fn proto(bytes: &[u8]) -> (usize, http::Response<()>) {
        let parsed = try_parse_response::<64>(bytes).expect("a response");
        parsed.expect("a whole head")
    }
    vec![
        case("wire-head", "ureq-proto", &head, |bytes| {
            std::hint::black_box(proto(bytes));
        }),
        case("wire-head", "ours", &head, |bytes| {
            std::hint::black_box(decode(std::iter::once(bytes)));
        }),
        case("wire-head", "httparse, fields only", &head, |bytes| {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut response = httparse::Response::new(&mut fields);
            let parsed = response.parse(bytes).expect("a response");
            std::hint::black_box((parsed, response.headers.len()));
        }),
        case("wire-page", "ureq-proto, and a copy", &whole, |bytes| {
            let (head, response) = proto(bytes);
            let body = bytes.get(head..).unwrap_or_default().to_vec();
            std::hint::black_box(response.map(|()| body));
        }),
        case("wire-page", "ours, at once", &whole, |bytes| {
            std::hint::black_box(decode(std::iter::once(bytes)));
        }),
        case(
            "wire-page",
            "ours, 1,400 bytes at a time",
            &whole,
            |bytes| {
                std::hint::black_box(decode(bytes.chunks(1_400)));
            },
        ),
        case("wire-page", "ours, byte by byte", &whole, |bytes| {
            std::hint::black_box(decode(bytes.chunks(1)));
        }),
    ]
}
