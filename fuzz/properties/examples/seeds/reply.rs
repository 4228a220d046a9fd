//! Responses.

use atlas_model_keys_properties::generators::bytes::Writer;
use atlas_model_keys_properties::targets::reply;

use crate::byte;

pub(crate) fn reply_input(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let known = |name: &str| reply::NAMES.iter().position(|known| *known == name);
    let headers: Vec<_> = headers
        .iter()
        .filter_map(|(name, value)| Some((u8::try_from(known(name)?).ok()?, value)))
        .take(7)
        .collect();
    let count = byte(headers.len());
    let mut writer = Writer::default().number(status).byte(count);
    for (name, value) in headers {
        writer = writer.byte(name).short(value);
    }
    writer.rest(body).0
}

pub(crate) const HEADER_SETS: [&[(&str, &str)]; 6] = [
    &[("retry-after", "2.5"), ("content-length", "16777217")],
    &[("retry-after", "0.000"), ("content-length", "+5")],
    &[
        (
            "content-type",
            "application/vnd.atlas.2025-03-12+json;charset=utf-8",
        ),
        ("x-mongodb-service-version", "gitHash=0"),
    ],
    &[
        ("ratelimit-limit", "1200"),
        ("ratelimit-remaining", "0"),
        ("retry-after", "17"),
    ],
    &[
        ("deprecation", "@1722816000"),
        ("sunset", "Mon, 5 Aug 2024 00:00:00 GMT"),
        ("date", "Mon, 05 Aug 2024 00:00:00 GMT"),
    ],
    &[
        ("x-error-code", "RATE_LIMITED"),
        ("content-encoding", "gzip"),
        ("location", "https://evil.example/"),
    ],
];
