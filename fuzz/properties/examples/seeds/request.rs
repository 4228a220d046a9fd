//! Requests, base URLs, proxies and credentials.

use atlas_model_keys_properties::generators::bytes::Writer;
use atlas_model_keys_properties::targets::request;
use http::Method;

use crate::{byte, index_of};

/// Returns an input with these texts and a request to encode.
pub(crate) fn request_input(base: &str, text: &str, n: usize) -> Vec<u8> {
    let number = byte(n);
    let body = if n.is_multiple_of(2) { "" } else { "a=b" };
    Writer::default()
        .rest([number.wrapping_mul(37); 12])
        .byte(number.wrapping_mul(29))
        .number(u16::from(number) * 20)
        .rest(u32::from(number).to_le_bytes())
        .short(base)
        .short(text)
        .byte(byte(n % request::METHODS.len()))
        .short(
            [
                "http://a.example/x?y=z",
                "https://u:p@a.example:8443",
                "/only/a/path",
                "*",
                "a.example:443",
            ][n % 5],
        )
        .byte(2)
        .short("x-one")
        .short(" a\tb ")
        .short(["host", "content-length", "transfer-encoding", "x-two"][n % 4])
        .short(["b.example", "3", "chunked", "\u{e9}"][n % 4])
        .rest(body)
        .0
}

/// Returns runs of a secret for each type of credential, in each encoding, and in several encodings.
/// Returns texts at the limits of what base URLs, ids and exceptions of `NO_PROXY` may be.
pub(crate) fn text_inputs() -> Vec<(String, Vec<u8>)> {
    let label = |n| format!("https://{}.example", "a".repeat(n));
    let bases = [
        label(63),
        label(64),
        "https://a.example:080".to_owned(),
        "https://a.example:0".to_owned(),
        "https://a.example:65535/".to_owned(),
        "https://a.example:65536".to_owned(),
        "https://a.example/./b".to_owned(),
        "https://a.example/a//b".to_owned(),
        "https://a.example/-._~!$&'()*+,;=://".to_owned(),
        "http://127.255.255.255".to_owned(),
        "http://128.0.0.1".to_owned(),
    ];
    // The selector is the index of the target: cloud.mongodb.com, 10.1.2.3:8443, fd00::1.
    let texts = [
        (0, "a".repeat(64)),
        (0, "a".repeat(65)),
        (0, "ongodb.com".to_owned()),
        (0, "mongodb.com. x".to_owned()),
        (1, "10.1.2.3/32".to_owned()),
        (1, "10.1.2.2/31,10.1.3.0/24".to_owned()),
        (1, "10.1.2.4/32,10.1.2.3/33".to_owned()),
        (2, "fd00::1/128".to_owned()),
        (2, "fd00::/127".to_owned()),
        (2, "fd00::2/127,fd00::1/129".to_owned()),
    ];
    let bases = bases.into_iter().map(|base| (0, base, String::new()));
    let texts = texts.map(|(n, text)| (n, "proxy.example".to_owned(), text));
    let input = |(n, (selector, base, text)): (usize, (u8, String, String))| {
        let writer = Writer::default().byte(selector).rest([0; 18]);
        (format!("limit-{n}"), writer.short(base).short(text).0)
    };
    bases.chain(texts).enumerate().map(input).collect()
}

/// Texts at the limits of the rules of credentials.
pub(crate) const CREDENTIAL_TEXTS: [&str; 49] = [
    "a==",
    "a=a",
    "==",
    "abcdefg",
    "abcdefghi",
    "abcdefgH",
    "$_X",
    "$1",
    "${",
    "$(x",
    "$x-y",
    "%_X%",
    "%x",
    "%%",
    "\u{2060}x",
    "x\u{2060}",
    "x\u{200d}",
    "\u{200b}x",
    "x\u{3000}",
    "\u{201f}x",
    "x\u{2018}",
    "x\u{b4}",
    "x\"",
    "a:b",
    "x mdb_sa_id_1",
    "mdb_sa_id_",
    "mdb_sa_id_0123456789abcdef01234567",
    "mdb_sa_id_0123456789abcdef012345678",
    "mdb_sa_id_a-b",
    "x01234567-89AB-cdef-0123-456789abcdefx",
    "0-01234567-89ab-cdef-0123-456789abcdef-0",
    "001234567-89ab-cdef-0123-456789abcdef",
    "01234567-89ab-cdef-0123-456789abcdef0",
    "01234567-89ab-cdef-0123-456789abcde",
    "g1234567-89ab-cdef-0123-456789abcdef",
    "al-123456789012",
    "al-12345678901",
    "al-****abcdefghi",
    "x al-12345_789-12.",
    "x.eyJ",
    "xeyJ",
    "Aa0123456789_123456789-123456789",
    "Aa0123456789_123456789-12345678",
    "aa0123456789_123456789-12345678901",
    "bEARER x",
    "bASIC ",
    "a@b:c@d",
    "a@b:c",
    "a=",
];

/// Returns requests to encode: fields that occur twice or contradict the request, and unusual targets.
pub(crate) fn encoding_inputs() -> Vec<(String, Vec<u8>)> {
    type Fields = &'static [(&'static str, &'static str)];
    let requests: [(&str, Method, &str, Fields, &str); 12] = [
        (
            "two-hosts",
            Method::GET,
            "http://a.example/",
            &[("host", "a.example"), ("host", "b.example")],
            "",
        ),
        (
            "equal-hosts",
            Method::GET,
            "/x",
            &[("host", "a.example"), ("Host", "a.example")],
            "",
        ),
        (
            "other-host",
            Method::GET,
            "http://u@b@a.example:80/x",
            &[("host", "b.example")],
            "",
        ),
        (
            "user-with-at",
            Method::GET,
            "http://u%40x:p@a.example:80/x?y@z",
            &[("x", "a"), ("x", "b"), ("X", "a")],
            "",
        ),
        ("no-host", Method::GET, "/x", &[("x", " ")], ""),
        (
            "two-lengths",
            Method::POST,
            "http://a.example",
            &[("content-length", "3"), ("content-length", "3")],
            "a=b",
        ),
        (
            "wrong-length",
            Method::POST,
            "http://a.example",
            &[("content-length", "4")],
            "a=b",
        ),
        (
            "right-length",
            Method::POST,
            "http://a.example",
            &[("content-length", "3")],
            "a=b",
        ),
        (
            "zero-length",
            Method::POST,
            "http://a.example",
            &[("content-length", "0")],
            "",
        ),
        (
            "chunked",
            Method::PUT,
            "http://a.example",
            &[("transfer-encoding", "chunked")],
            "a=b",
        ),
        ("trace", Method::TRACE, "http://a.example", &[], "a=b"),
        ("star", Method::OPTIONS, "*", &[("host", "a.example")], ""),
    ];
    let bytes = requests.map(|(name, method, uri, fields, body)| {
        let writer = Writer::default().rest([0; 19]).short("").short("");
        let method = index_of(&request::METHODS, &method);
        let writer = writer.byte(method).short(uri).byte(byte(fields.len()));
        let fields = fields.iter();
        let writer = fields.fold(writer, |writer, (name, value)| {
            writer.short(name).short(value)
        });
        (format!("encode-{name}"), writer.rest(body).0)
    });
    bytes.into()
}

/// The method of a request, and its response: what makes a connection persist, and how values are folded.
pub(crate) const EXCHANGES: [(Method, &str); 31] = [
    (
        Method::GET,
        "HTTP/1.1 200 X\r\nContent-Length: 2, 02\r\n\r\nok",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 X\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA b: c\r\n\r\n",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\x01\r\n\r\n",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: a, close\r\n\r\nok",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close,\r\n a\r\n\r\nok",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: a, Close , b\r\n\r\nok",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: a\r\nConnection: close\r\n\r\nok",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: closed, not-close\r\n\r\nok",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close keep-alive\r\n\r\nok",
    ),
    (
        Method::GET,
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        Method::GET,
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: a, Keep-Alive\r\n\r\nok",
    ),
    (
        Method::GET,
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\nConnection: close\r\n\r\nok",
    ),
    (
        Method::GET,
        "HTTP/1.0 204 X\r\nConnection: keep-alive\r\n\r\n",
    ),
    (Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
    (
        Method::HEAD,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (Method::HEAD, "HTTP/1.1 200 OK\r\n\r\n"),
    (
        Method::HEAD,
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n",
    ),
    (Method::HEAD, "HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\n"),
    (Method::HEAD, "HTTP/1.0 304 X\r\n\r\n"),
    (Method::GET, "HTTP/1.1 304 X\r\n\r\n"),
    (
        Method::GET,
        "HTTP/1.1 304 X\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (
        Method::GET,
        "HTTP/1.1 304 X\r\nContent-Length: 1\r\nConnection: close\r\n\r\n",
    ),
    (
        Method::GET,
        "HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (Method::GET, "HTTP/1.1 204 X\r\nContent-Length: 0\r\n\r\n"),
    (Method::CONNECT, "HTTP/1.1 204 X\r\n\r\ntunnel"),
    (
        Method::CONNECT,
        "HTTP/1.1 407 X\r\nContent-Length: 1\r\n\r\nx",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 X\r\nA: \r\n  b \r\n\t\r\n \tc\td \r\nA: e\r\nB: \r\n \r\na: f\r\nContent-Length:\r\n 0\r\n\r\n",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n000000000000000f \t;a\r\n0123456789abcde\r\n00\r\nA: b\r\nC:\r\n\r\n",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\nx\r\n0\r\n\r\n",
    ),
];

/// Base URLs or proxies, each with a parameter or exceptions of `NO_PROXY`.
pub(crate) const TEXTS: [(&str, &str); 44] = [
    ("https://cloud.mongodb.com", "0123456789abcdef01234567"),
    ("HTTPS://Cloud.MongoDB.com:443/", "500"),
    ("https://gw.example:8443/some/prefix/", "4294967295"),
    ("http://[::1]:8080", "501"),
    ("http://127.8.9.1:1", "mdb_sa_id_1"),
    ("http://localhost", "mdb_sa_id_1 mdb_sa_sk_2"),
    ("http://atlas.example", "mdb_sa_sk_2"),
    (
        "https://user:password@atlas.example",
        "01234567-89ab-cdef-0123-456789abcdef",
    ),
    ("https://atlas.example/?x=1", "abcdefgh"),
    (
        "https://atlas.example/#x",
        "my-service/1.0 (ops@example.com)",
    ),
    ("https://a.example/%2e%2e/x", "a\r\nX: y"),
    ("https://a.example/a/../b", "eyJhbGciOiJI.abc/def+ghi=="),
    ("https://[fd00::1]:8443", "fd00::/8, 10.0.0.0/8"),
    ("https://10.1.2.3", "10.1.2.3:443 [fd00::1]:8443"),
    ("http://me:p%40ss%3a@proxy.example:3128", "*.mongodb.com"),
    ("proxy.example", "MONGODB.com:443"),
    ("socks5://127.0.0.1:1", "*"),
    ("https://a_b.example.", ".example."),
    ("https://127.1", "0.0.0.0/0"),
    ("https://xn--a.example", "::/0"),
    ("", ""),
    ("ftp://x", "+1"),
    ("https://cloud.mongodb.com", "a86r5kwrfsk5r5ku5tgvhmpj"),
    ("https://gw.example/prefix", "..~-_A"),
    ("https://gw.example/prefix", ".."),
    ("https://gw.example/prefix", "al-hunter2hunter2"),
    // Names of variables instead of their values, and characters around a value.
    ("https://cloud.mongodb.com", "$ATLAS_TOKEN_2"),
    ("https://cloud.mongodb.com", "$hunter2hunter2"),
    ("https://cloud.mongodb.com", "${ATLAS_TOKEN}"),
    ("https://cloud.mongodb.com", "$(pass atlas)"),
    ("https://cloud.mongodb.com", "%ATLAS_TOKEN%"),
    ("https://cloud.mongodb.com", "%a-b%"),
    ("https://cloud.mongodb.com", "%"),
    ("https://cloud.mongodb.com", "hunter2\n"),
    ("https://cloud.mongodb.com", "\rhunter2"),
    ("https://cloud.mongodb.com", "\thunter2"),
    ("https://cloud.mongodb.com", "hunter2 "),
    ("https://cloud.mongodb.com", "\u{a0}hunter2"),
    ("https://cloud.mongodb.com", "hunter2\u{200b}"),
    ("https://cloud.mongodb.com", "\u{feff}hunter2"),
    ("https://cloud.mongodb.com", "hunter2\u{ad}"),
    ("https://cloud.mongodb.com", "\u{201c}hunter2\u{201d}"),
    ("https://cloud.mongodb.com", "\"hunter2\""),
    ("https://cloud.mongodb.com", "'hunter2'"),
];
