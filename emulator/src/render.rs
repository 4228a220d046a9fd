//! Renders bodies: JSON, and gzip for clients that accept it.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use atlas_model_keys_core::is_unsafe_to_show;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue, VARY};
use http::{Response, Uri};
use serde::Serialize;

use crate::query;

/// Atlas was observed to compress only bodies larger than this, in bytes.
const GZIP_ABOVE: usize = 220;

/// The two query parameters of every route that change the form of a body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct View {
    pub(crate) envelope: bool,
    pub(crate) pretty: bool,
}

impl View {
    /// Reads the parameters of a query. Here every value except `true` means `false`. An invalid value
    /// gets an error response later, and rendering that response needs a view.
    pub(crate) fn from_query(uri: &Uri) -> Self {
        let is_true = |name| {
            query::value(uri.query().unwrap_or_default(), name)
                .is_some_and(|value| value.eq_ignore_ascii_case("true"))
        };
        Self {
            envelope: is_true("envelope"),
            pretty: is_true("pretty"),
        }
    }
}

pub(crate) fn json(value: &impl Serialize, pretty: bool) -> Vec<u8> {
    let rendered = if pretty {
        serde_json::to_vec_pretty(value)
    } else {
        serde_json::to_vec(value)
    };
    // Serializing structs of strings and numbers cannot fail.
    rendered.unwrap_or_default()
}

/// Escapes the characters of a compact JSON text that are unsafe to show. Its value does not change, because they
/// occur only within strings.
pub(crate) fn printable(json: String) -> String {
    if !json.chars().any(is_unsafe_to_show) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unsafe_to_show(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a `String` cannot fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

pub(crate) fn compress(request: &HeaderMap, response: &mut Response<Vec<u8>>) {
    // A fault may have set a content coding already.
    let is_coded = response.headers().contains_key(CONTENT_ENCODING);
    if is_coded || response.body().len() <= GZIP_ABOVE {
        return;
    }
    add_vary(response, "Accept-Encoding");
    if !accepts_gzip(request) {
        return;
    }
    // Writing to memory does not fail. If it did, the uncompressed body would be correct too.
    if let Ok(compressed) = gzip(response.body()) {
        *response.body_mut() = compressed;
        response
            .headers_mut()
            .insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
}

/// Adds the name of a request's header to `Vary` (RFC 9110 §12.5.5).
pub(crate) fn add_vary(response: &mut Response<Vec<u8>>, name: &'static str) {
    let headers = response.headers_mut();
    let value = match headers.get(VARY).and_then(|value| value.to_str().ok()) {
        Some(names) => HeaderValue::try_from(format!("{names}, {name}")),
        None => Ok(HeaderValue::from_static(name)),
    };
    if let Ok(value) = value {
        headers.insert(VARY, value);
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Returns whether `Accept-Encoding` allows gzip (RFC 9110 §12.5.3).
fn accepts_gzip(request: &HeaderMap) -> bool {
    request
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let is_gzip = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            is_gzip && weight(parts) > 0.0
        })
}

/// Returns the weight among the parameters of a media range or coding, from 0 to 1 (RFC 9110 §12.4.2). 0 means
/// "not acceptable". Without a valid weight it is 1.
pub(crate) fn weight<'a>(mut parameters: impl Iterator<Item = &'a str>) -> f32 {
    let weight = parameters.find_map(|parameter| {
        let rest = parameter.trim().strip_prefix(['q', 'Q'])?;
        rest.trim_start().strip_prefix('=')?.trim().parse().ok()
    });
    weight
        .filter(|weight| (0.0..=1.0).contains(weight))
        .unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn only_large_bodies_are_compressed_and_only_if_gzip_is_accepted() {
        let compressed = |accept: &'static str, length| {
            let mut request = HeaderMap::new();
            request.insert(ACCEPT_ENCODING, HeaderValue::from_static(accept));
            let mut response = Response::new(vec![b'a'; length]);
            compress(&request, &mut response);
            let compressed = response.headers().contains_key(CONTENT_ENCODING);
            let mut body = Vec::new();
            if compressed {
                flate2::read::GzDecoder::new(response.body().as_slice())
                    .read_to_end(&mut body)
                    .unwrap();
            } else {
                body = response.into_body();
            }
            assert_eq!(body, vec![b'a'; length]);
            compressed
        };
        assert!(compressed("gzip", 221));
        assert!(!compressed("gzip", 220));
        assert!(compressed("br, GZIP ; q=0.5", 1000));
        for other in ["", "br", "gzip;q=0", "gzip; q=0.000", "identity"] {
            assert!(!compressed(other, 1000), "{other}");
        }
    }
}
