//! Writes the bytes of a request.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{Method, Request};
use zeroize::Zeroizing;

use crate::{Failure, FailureKind};

/// The bytes of a request.
///
/// They hold credentials: `Debug` shows only their number, and they are overwritten when
/// dropped.
pub struct Encoded(Zeroizing<Vec<u8>>);

impl Encoded {
    /// Returns the bytes to send.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Converts the bytes without a copy. They are overwritten when the last clone is dropped.
impl From<Encoded> for Bytes {
    fn from(encoded: Encoded) -> Self {
        Self::from_owner(encoded.0)
    }
}

impl AsRef<[u8]> for Encoded {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoded({} bytes)", self.0.len())
    }
}

/// A request that HTTP/1.1 cannot express, or whose headers contradict it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EncodeError {
    /// The method is CONNECT: the bytes after it are not HTTP.
    Connect,
    /// The URI has no path for a request line: it is only an authority, it is `*` without OPTIONS, or it has
    /// characters that a request line cannot have (RFC 9112 §3.2).
    Target,
    /// Neither the URI nor a header names the host (RFC 9112 §3.2).
    NoHost,
    /// `Host` is set more than once (RFC 9112 §3.2).
    ManyHosts,
    /// `Content-Length` is set, but is not the length of the body (RFC 9110 §8.6).
    ContentLength,
    /// `Transfer-Encoding` is set, but the body is sent as it is (RFC 9112 §6.1).
    TransferEncoding,
    /// The method is TRACE, and there is a body (RFC 9110 §9.3.8).
    Trace,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Connect => "CONNECT is not supported",
            Self::Target => "its URI has no path that a request line can hold (RFC 9112 §3.2)",
            Self::NoHost => "neither its URI nor a Host header names the host (RFC 9112 §3.2)",
            Self::ManyHosts => "it has more than one Host header (RFC 9112 §3.2)",
            Self::ContentLength => {
                "its Content-Length is not the length of its body (RFC 9110 §8.6)"
            }
            Self::TransferEncoding => {
                "Transfer-Encoding is set, but the body is sent as it is (RFC 9112 §6.1)"
            }
            Self::Trace => "TRACE must not have a body (RFC 9110 §9.3.8)",
        };
        write!(f, "the request cannot be encoded: {what}")
    }
}

impl core::error::Error for EncodeError {}

/// Converts the error into a [`Permanent`](FailureKind::Permanent) failure, because the request would fail again.
impl From<EncodeError> for Failure {
    fn from(error: EncodeError) -> Self {
        Self::new(FailureKind::Permanent, error)
    }
}

/// Returns the HTTP/1.1 bytes of a request.
///
/// - The target is path and query exactly as in the URI, or `/` if there is no path.
/// - `Host`, unless set, is the authority of the URI, with its port exactly as written and without user
///   information (which does *not* become an `Authorization`).
/// - All headers follow in their order. `Content-Length`, unless set, follows if the body is not
///   empty. An empty body is no body, even for POST, PUT and PATCH, for which RFC 9110 §8.6
///   recommends a `0`.
/// - The version is always 1.1, because the version names what the *sender* speaks.
///
/// The bytes are written into a buffer of their final size, so no copy of a credential remains.
///
/// # Errors
/// Returns [`EncodeError`] if HTTP/1.1 cannot express the request, or its headers contradict it.
///
/// ```
/// let request = http::Request::get("https://cloud.mongodb.com/api?a=b").body("")?;
/// let bytes = atlas_model_keys_core::wire::encode(&request)?;
/// assert_eq!(bytes.as_bytes(), b"GET /api?a=b HTTP/1.1\r\nHost: cloud.mongodb.com\r\n\r\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn encode<B: AsRef<[u8]>>(request: &Request<B>) -> Result<Encoded, EncodeError> {
    let (method, headers) = (request.method(), request.headers());
    let body = request.body().as_ref();
    if method == Method::CONNECT {
        return Err(EncodeError::Connect);
    }
    if method == Method::TRACE && !body.is_empty() {
        return Err(EncodeError::Trace);
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        return Err(EncodeError::TransferEncoding);
    }
    let length = body.len().to_string();
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let adds_length = match (lengths.next(), lengths.next()) {
        (None, _) => !body.is_empty(),
        (Some(set), None) if *set == length => false,
        _ => return Err(EncodeError::ContentLength),
    };
    let (slash, target) = target(request)?;

    let mut pieces: Vec<&[u8]> = Vec::with_capacity(16 + 4 * headers.len());
    pieces.extend([method.as_str().as_bytes(), b" ", slash, target]);
    pieces.push(b" HTTP/1.1\r\n");
    match headers.get_all(HOST).iter().count() {
        0 => pieces.extend([b"Host: ".as_slice(), host(request)?, b"\r\n"]),
        1 => {}
        _ => return Err(EncodeError::ManyHosts),
    }
    // `http` guarantees that names and values hold no control character but HTAB.
    for (name, value) in headers {
        pieces.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    if adds_length {
        pieces.extend([b"Content-Length: ".as_slice(), length.as_bytes(), b"\r\n"]);
    }
    pieces.extend([b"\r\n", body]);
    Ok(Encoded(Zeroizing::new(pieces.concat())))
}

/// Returns the two parts of the target: the slash that the URI may leave out (RFC 9112 §3.2.1) or nothing, and then path
/// and query as they are in the URI.
fn target<B>(request: &Request<B>) -> Result<(&'static [u8], &[u8]), EncodeError> {
    let target = request.uri().path_and_query().ok_or(EncodeError::Target)?;
    let target = target.as_str().as_bytes();
    // `http` accepts UTF-8; RFC 3986 does not.
    if !target.iter().all(u8::is_ascii_graphic) {
        return Err(EncodeError::Target);
    }
    match target {
        [b'/', ..] => Ok((b"", target)),
        [b'*'] if request.method() == Method::OPTIONS => Ok((b"", target)),
        [] | [b'?', ..] => Ok((b"/", target)),
        _ => Err(EncodeError::Target),
    }
}

/// Returns the authority without user information (RFC 9112 §3.2).
fn host<B>(request: &Request<B>) -> Result<&[u8], EncodeError> {
    let authority = request.uri().authority().ok_or(EncodeError::NoHost)?;
    let host = authority.as_str().rsplit('@').next().unwrap_or_default();
    if authority.host().is_empty() {
        return Err(EncodeError::NoHost);
    }
    Ok(host.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use http::{HeaderValue, Uri, Version};

    fn text<B: AsRef<[u8]>>(request: &Request<B>) -> Result<String, EncodeError> {
        encode(request).map(|bytes| String::from_utf8(bytes.as_bytes().into()).unwrap())
    }

    fn get(uri: &str) -> Request<&'static [u8]> {
        let mut request = Request::new(b"".as_slice());
        *request.uri_mut() = uri.parse().unwrap();
        request
    }

    #[test]
    fn target_and_host_come_from_the_uri() {
        for (uri, target, host) in [
            ("http://a.example", "/", "a.example"),
            ("http://a.example/", "/", "a.example"),
            ("http://a.example?q=%20/?", "/?q=%20/?", "a.example"),
            (
                "http://a.example/a//b/../c?d#e",
                "/a//b/../c?d",
                "a.example",
            ),
            ("http://a.example:80/", "/", "a.example:80"),
            ("https://a.example:443/", "/", "a.example:443"),
            (
                "https://user:pa%40ss@A.example:8443/x",
                "/x",
                "A.example:8443",
            ),
            ("http://[::1]:8080/x", "/x", "[::1]:8080"),
            (r#"http://a.example/{"a"}"#, r#"/{"a"}"#, "a.example"),
        ] {
            let expected = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(text(&get(uri)), Ok(expected), "{uri}");
        }
    }

    #[test]
    fn headers_and_a_host_that_is_set_keep_their_order() {
        let mut request = get("http://a.example/");
        *request.version_mut() = Version::HTTP_2;
        let headers = request.headers_mut();
        headers.append("x-one", HeaderValue::from_static("1"));
        headers.append(HOST, HeaderValue::from_static("b.example"));
        headers.append("x-one", HeaderValue::from_bytes(b"\xff\t").unwrap());
        let bytes = encode(&request).unwrap();
        let expected = b"GET / HTTP/1.1\r\nx-one: 1\r\nx-one: \xff\t\r\nhost: b.example\r\n\r\n";
        assert_eq!(bytes.as_bytes(), expected);

        let mut request = get("/only/a/path?q");
        assert_eq!(text(&request), Err(EncodeError::NoHost));
        let host = HeaderValue::from_static("b.example");
        request.headers_mut().append(HOST, host.clone());
        let expected = "GET /only/a/path?q HTTP/1.1\r\nhost: b.example\r\n\r\n";
        assert_eq!(text(&request).as_deref(), Ok(expected));
        request.headers_mut().append(HOST, host);
        assert_eq!(text(&request), Err(EncodeError::ManyHosts));
    }

    #[test]
    fn content_length_is_added_for_a_body_only() {
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH] {
            let mut request = get("http://a.example/").map(|_| "");
            *request.method_mut() = method.clone();
            assert!(!text(&request).unwrap().contains("ength"), "{method}");
            let request = request.map(|_| "hello, world");
            let bytes = text(&request).unwrap();
            assert!(bytes.ends_with("\r\nContent-Length: 12\r\n\r\nhello, world"));
        }
    }

    #[test]
    fn wrong_content_length_is_refused() {
        for (body, set, fine) in [
            ("abc", &["3"] as &[_], true),
            ("", &["0"], true),
            ("", &["1"], false),
            ("abc", &["4"], false),
            ("abc", &["+3"], false),
            ("abc", &["3", "3"], false),
            ("abc", &["3, 3"], false),
            ("abc", &[""], false),
        ] {
            let mut request = get("http://a.example/").map(|_| body);
            for value in set {
                let value = HeaderValue::from_static(value);
                request.headers_mut().append(CONTENT_LENGTH, value);
            }
            let expected = format!(
                "GET / HTTP/1.1\r\nHost: a.example\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let expected = fine.then_some(expected).ok_or(EncodeError::ContentLength);
            assert_eq!(text(&request), expected, "{set:?}");
        }
    }

    #[test]
    fn request_that_http_1_cannot_express_is_refused() {
        let with = |method: Method, uri: &str| {
            let mut request = get(uri).map(|_| "");
            *request.method_mut() = method;
            request
        };
        let star = with(Method::OPTIONS, "*");
        assert_eq!(text(&star), Err(EncodeError::NoHost));
        let mut star = star;
        let host = HeaderValue::from_static("a.example");
        star.headers_mut().insert(HOST, host);
        assert!(text(&star).unwrap().starts_with("OPTIONS * HTTP/1.1\r\n"));

        let mut chunked = get("http://a.example/");
        let value = HeaderValue::from_static("chunked");
        chunked.headers_mut().insert(TRANSFER_ENCODING, value);
        assert_eq!(text(&chunked), Err(EncodeError::TransferEncoding));

        let trace = with(Method::TRACE, "http://a.example/");
        assert!(text(&trace).is_ok());
        assert_eq!(text(&trace.map(|_| "x")), Err(EncodeError::Trace));

        for (method, uri, error) in [
            (Method::CONNECT, "a.example:443", EncodeError::Connect),
            (Method::CONNECT, "http://a.example/", EncodeError::Connect),
            (Method::GET, "a.example:443", EncodeError::Target),
            (Method::GET, "*", EncodeError::Target),
            (Method::GET, "http://a.example/\u{e9}", EncodeError::Target),
            (Method::GET, "/", EncodeError::NoHost),
        ] {
            let result = text(&with(method, uri));
            assert_eq!(result, Err(error), "{uri}");
            assert!(
                error
                    .to_string()
                    .starts_with("the request cannot be encoded: ")
            );
        }
        for uri in ["http://:80/", "http://user@:80/"] {
            if let Ok(uri) = Uri::try_from(uri) {
                let mut request = get("/");
                *request.uri_mut() = uri;
                assert_eq!(text(&request), Err(EncodeError::NoHost));
            }
        }
    }

    #[test]
    fn bytes_are_not_shown_and_fill_their_buffer() {
        let mut request = get("http://u:hunter2@a.example/?hunter2").map(|_| "hunter2");
        let value = HeaderValue::from_static("Bearer hunter2");
        request.headers_mut().insert("authorization", value);
        let bytes = encode(&request).unwrap();
        assert_eq!(
            format!("{bytes:?}"),
            format!("Encoded({} bytes)", bytes.0.len())
        );
        assert_eq!(bytes.0.len(), bytes.0.capacity());
    }
}
