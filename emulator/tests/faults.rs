//! Every fault of the catalogue, as a client sees it on a socket.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{
    DATED, End, LIMIT, NOW, PREVIEW, ask, bearer, digest, fetch, get, header, json, keys_path,
    nonce_of, token_request,
};
use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_emulator::{
    Area, Config, Delivery, DeliveryStep, Emulator, Fault, Names, Route,
};
use flate2::read::{GzDecoder, MultiGzDecoder};
use http::{HeaderValue, Response};
use md5::{Digest as _, Md5};
use serde_json::Value;
use sha2::{Sha256, Sha512_256};

const KEYS: usize = 5;

fn emulator() -> Emulator {
    Emulator::new(
        Config::default()
            .with_keys_per_group(KEYS)
            .with_names(Names::Hostile),
    )
}

fn server() -> Server {
    Server::start(emulator(), Options::default()).unwrap()
}

fn fault(text: &str) -> Fault {
    text.parse().unwrap()
}

/// The bytes that a client received on a new connection.
struct Seen {
    bytes: Vec<u8>,
    end: End,
    /// The length of the regular response in bytes, and its body.
    regular: (usize, Vec<u8>),
}

impl Seen {
    /// Returns the status line and the header fields, or nothing if the head is not complete.
    fn head(&self) -> String {
        let end = self.head_length().unwrap_or(0);
        String::from_utf8_lossy(&self.bytes[..end]).into_owned()
    }

    fn head_length(&self) -> Option<usize> {
        let at = memchr::memmem::find(&self.bytes, b"\r\n\r\n");
        at.map(|at| at + 4)
    }

    fn body(&self) -> &[u8] {
        &self.bytes[self.head_length().unwrap_or(0)..]
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(self.body()).into_owned()
    }

    fn starts(&self, text: &str) -> bool {
        self.bytes.starts_with(text.as_bytes())
    }

    fn status(&self, status: u16) -> bool {
        self.starts(&format!("HTTP/1.1 {status} "))
    }

    fn has(&self, field: &str) -> bool {
        self.head().contains(&format!("\r\n{field}\r\n"))
    }

    fn page(&self) -> Value {
        serde_json::from_slice(self.body()).unwrap_or(Value::Null)
    }

    fn next(&self) -> String {
        let page = self.page();
        let links = page["links"].as_array().cloned().unwrap_or_default();
        let next = links.iter().find(|link| link["rel"] == "next");
        next.map(|link| link["href"].as_str().unwrap().to_owned())
            .unwrap_or_default()
    }

    fn results(&self) -> Vec<Value> {
        self.page()["results"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    }

    fn is_html(&self) -> bool {
        self.has("content-type: text/html; charset=utf-8")
            && self.text().starts_with("<!DOCTYPE html>")
    }

    fn is_regular_body(&self) -> bool {
        self.body() == self.regular.1
    }

    /// Decodes the chunks. Returns `None` if one is malformed or the last one is missing.
    fn decode_chunks(&self) -> Option<Vec<u8>> {
        let mut rest = self.body();
        let mut body = Vec::new();
        loop {
            let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(rest)
            else {
                return None;
            };
            let size = usize::try_from(size).ok()?;
            if size == 0 {
                return Some(body);
            }
            rest = rest.get(line..)?;
            body.extend_from_slice(rest.get(..size)?);
            rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
        }
    }

    fn is_chunked(&self) -> bool {
        self.has("transfer-encoding: chunked")
    }

    fn is_chunked_right(&self) -> bool {
        self.is_chunked() && self.decode_chunks().as_ref() == Some(&self.regular.1)
    }

    fn decompressed(&self) -> Option<Vec<u8>> {
        decompress(self.body())
    }

    fn is_length(&self, length: usize) -> bool {
        self.has(&format!("content-length: {length}")) && self.head().matches("length").count() == 1
    }

    fn retry_after(&self, value: &str) -> bool {
        self.status(429) && self.has(&format!("retry-after: {value}"))
    }

    fn redirects(&self, status: u16, location: &str) -> bool {
        let head = self.head();
        let found = head
            .lines()
            .find_map(|line| line.strip_prefix("location: "));
        self.status(status) && found.is_some_and(|found| found.contains(location))
    }
}

fn decompress(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    MultiGzDecoder::new(bytes).read_to_end(&mut out).ok()?;
    Some(out)
}

/// Returns the bytes of a request for the second page of three.
fn list_request(server: &Server, authorization: Option<&str>) -> String {
    let (path, token) = server.with(|emulator| (keys_path(emulator), bearer(emulator)));
    let authorization = authorization.unwrap_or(&token);
    format!(
        "GET {path}?itemsPerPage=2&pageNum=2 HTTP/1.1\r\nHost: {}\r\nAccept: {PREVIEW}\r\n\
         Authorization: {authorization}\r\nConnection: close\r\n\r\n",
        server.address()
    )
}

fn token_request_bytes(server: &Server) -> String {
    let form = "grant_type=client_credentials";
    let request = server.with(|emulator| token_request(emulator, form));
    let authorization = request.headers()["authorization"].to_str().unwrap();
    format!(
        "POST /api/oauth/token HTTP/1.1\r\nHost: {}\r\nAuthorization: {authorization}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{form}",
        server.address(),
        form.len()
    )
}

/// Returns the fault with a smaller argument if the default would take long.
fn with_quick_argument(fault: Fault) -> Fault {
    match fault.name() {
        "slow-head" | "slow-body" | "token-slow" => format!("{}=1ms", fault.name()),
        "nested" => "nested=1000".to_owned(),
        _ => return fault,
    }
    .parse()
    .unwrap()
}

/// Returns whether the received bytes and their end are what the fault describes.
#[expect(clippy::too_many_lines, reason = "a table, with a line for each fault")]
fn is_as_described(name: &str, seen: &Seen) -> bool {
    use End::{Closed, Reset, Silence, StillSending};
    let (total, regular) = &seen.regular;
    let length = regular.len();
    let cut = |end| seen.end == end && seen.bytes.len() < *total;
    let whole_head = seen.head_length().is_some();
    let in_head = |end| cut(end) && seen.starts("HTTP/1.1 200") && !whole_head;
    let in_body = |end| {
        cut(end) && seen.is_length(length) && !seen.body().is_empty() && seen.body().len() < length
    };
    let closed = seen.end == Closed;
    let still_sending = seen.end == StillSending;
    let text = seen.text();
    let page = seen.page();
    let regular_page: Value = serde_json::from_slice(regular).unwrap_or_default();
    // The page differs from the regular one only in this field.
    let only = |field: &str| {
        let mut page = page.clone();
        let mut regular = regular_page.clone();
        let differs = page[field] != regular[field];
        page[field].take();
        regular[field].take();
        differs && page == regular
    };
    let without = |field: &str| page.is_object() && page.get(field).is_none();
    let challenges: Vec<_> = seen
        .head()
        .lines()
        .filter_map(|line| line.strip_prefix("www-authenticate: ").map(str::to_owned))
        .collect();
    let one_challenge = |test: fn(&str) -> bool| {
        seen.status(401) && challenges.len() == 1 && challenges.iter().all(|c| test(c))
    };
    match name {
        "reset-before-head" | "token-reset" => seen.bytes.is_empty() && seen.end == Reset,
        "reset-in-head" => in_head(Reset),
        "reset-in-body" => in_body(Reset),
        "close-before-head" | "token-close" => seen.bytes.is_empty() && closed,
        "close-in-head" => in_head(Closed),
        "close-in-body" => in_body(Closed),
        "stall-before-head" | "token-stall" => seen.bytes.is_empty() && seen.end == Silence,
        "stall-in-head" => in_head(Silence),
        "stall-in-body" => in_body(Silence),
        "slow-head" | "slow-body" | "byte-by-byte" | "connection-close" | "connection-lost" => {
            closed && seen.is_length(length) && seen.is_regular_body()
        }
        "length-too-small" => seen.is_length(length - 10) && seen.is_regular_body(),
        "length-too-large" => seen.is_length(length + 10) && seen.is_regular_body() && closed,
        "length-conflicting" => {
            let [first, second] = [length, length / 2].map(|n| format!("content-length: {n}"));
            seen.has(&first) && seen.has(&second)
        }
        "length-text" => seen.has("content-length: many"),
        "length-negative" => seen.has("content-length: -1"),
        "length-max" => seen.has("content-length: 18446744073709551615") && closed,
        "length-overflow" => seen.has("content-length: 18446744073709551616") && closed,
        "length-huge" => {
            seen.has("content-length: 1099511627776")
                && seen.has("connection: keep-alive")
                && seen.is_regular_body()
                && seen.end == Silence
        }
        "length-and-chunked" => {
            seen.is_chunked_right()
                && seen.has(&format!("content-length: {length}"))
                && text.ends_with("\r\n0\r\n\r\n")
        }
        "chunked" => seen.is_chunked_right() && text.ends_with("\r\n0\r\n\r\n"),
        "chunked-extensions" => seen.is_chunked_right() && text.contains("1;a=\"b;c\"\r\n"),
        "chunked-extensions-long" => seen.is_chunked() && text.contains(&"a".repeat(4096)),
        "chunked-trailers" => {
            seen.is_chunked_right() && text.contains("\r\n0\r\nx-checksum: none\r\n")
        }
        "trailer-long" => {
            let long = format!("\r\n0\r\nx-long: {}\r\n\r\n", "a".repeat(1 << 20));
            seen.is_chunked_right() && text.ends_with(&long)
        }
        "trailers-endless" => {
            seen.is_chunked_right()
                && still_sending
                && text.contains("\r\n0\r\nx-endless: 1\r\nx-endless: 1\r\n")
                && !text.contains("\r\n\r\n")
        }
        "chunk-size-bad" => seen.is_chunked() && text.contains("\r\nfive\r\n"),
        "chunk-size-huge" => seen.is_chunked() && text.contains("\r\nffffffffffffffff\r\nhello"),
        "chunk-size-overflow" => {
            seen.is_chunked() && text.contains("\r\n10000000000000005\r\nhello")
        }
        "chunks-truncated" => {
            seen.is_chunked() && seen.decode_chunks().is_none() && text.ends_with("}\r\n") && closed
        }
        "chunks-endless" => seen.is_chunked() && still_sending && text.starts_with("1000\r\n    "),
        "body-until-close" => {
            seen.status(200)
                && closed
                && !seen.head().contains("length")
                && seen.has("connection: close")
                && seen.is_regular_body()
        }
        "body-endless" => {
            still_sending && !seen.head().contains("length") && seen.body().starts_with(b"    ")
        }
        "http-1-0" => {
            seen.starts("HTTP/1.0 200 OK\r\n")
                && !seen.head().contains("length")
                && seen.is_regular_body()
        }
        "header-long" => seen.has(&format!("x-long: {}", "a".repeat(1 << 20))),
        "headers-many" => seen.head().matches("\r\nx-many-").count() == 10_000,
        "headers-endless" => {
            still_sending && !whole_head && seen.starts("HTTP/1.1 200 OK\r\nx-endless: ")
        }
        "status-line-bad" => seen.starts("HTTP/1.1 2OO OK\r\n") && closed,
        "garbage" => seen.starts("\0") && closed,
        "tls-record" => seen.bytes == [21, 3, 3, 0, 2, 2, 70] && closed,
        "interim" => {
            let order = [
                "HTTP/1.1 100 ",
                "HTTP/1.1 102 ",
                "HTTP/1.1 103 ",
                "HTTP/1.1 200 ",
            ];
            let whole = String::from_utf8_lossy(&seen.bytes).into_owned();
            let found: Vec<_> = order
                .iter()
                .filter_map(|status| whole.find(status))
                .collect();
            found.len() == 4 && found.is_sorted() && seen.bytes.ends_with(regular)
        }
        "interim-endless" => still_sending && text.starts_with("HTTP/1.1 103 ") && seen.status(103),
        "switching-protocols" => seen.status(101) && seen.has("upgrade: h2c"),
        "extra-bytes" => seen.is_length(length) && text.ends_with("and by the way"),
        "second-response" => {
            seen.is_length(length)
                && seen.body().starts_with(regular)
                && text.contains("}HTTP/1.1 200 OK\r\n")
                && text.contains("unsolicited")
        }

        "gzip" => {
            seen.has("content-encoding: gzip") && seen.decompressed().as_ref() == Some(regular)
        }
        "gzip-two-members" => {
            let mut first = Vec::new();
            GzDecoder::new(seen.body()).read_to_end(&mut first).unwrap();
            first.len() < length && seen.decompressed().as_ref() == Some(regular)
        }
        "gzip-bomb" => {
            // Only the first of the 1024 MiB is decompressed.
            let mut start = Vec::new();
            let decompressed = GzDecoder::new(seen.body())
                .take(1 << 20)
                .read_to_end(&mut start);
            seen.body().len() < 2 << 20
                && decompressed.is_ok()
                && start.len() == 1 << 20
                && start.iter().all(|byte| *byte == b' ')
        }
        "gzip-corrupt" | "gzip-truncated" | "gzip-bad-checksum" => {
            seen.has("content-encoding: gzip") && seen.decompressed().is_none()
        }
        "gzip-trailing-garbage" => {
            let mut first = Vec::new();
            GzDecoder::new(seen.body()).read_to_end(&mut first).unwrap();
            first == *regular && text.ends_with("and by the way")
        }
        "gzip-trailing-zeros" => {
            let (compressed, zeros) = seen.body().split_at(seen.body().len() - 512);
            zeros.iter().all(|byte| *byte == 0) && decompress(compressed).as_ref() == Some(regular)
        }
        "gzip-twice" => {
            let once = seen.decompressed().unwrap_or_default();
            seen.has("content-encoding: gzip, gzip") && decompress(&once).as_ref() == Some(regular)
        }
        "gzip-label-only" => seen.has("content-encoding: gzip") && seen.is_regular_body(),
        "coding-br" => seen.has("content-encoding: br") && seen.is_regular_body(),
        "coding-unknown" => seen.has("content-encoding: x-unknown") && seen.is_regular_body(),

        "ok-html" | "token-html" => seen.status(200) && seen.is_html(),
        "ok-empty" => seen.status(200) && seen.is_length(0) && seen.body().is_empty(),
        "no-content" => seen.status(204) && seen.body().is_empty(),
        "not-modified" => seen.status(304) && seen.body().is_empty(),
        "partial-content" => seen.status(206) && *seen.body() == regular[..length / 2],
        "partial-content-whole" => {
            let range = format!("content-range: bytes 0-{}/{length}", length - 1);
            seen.status(206) && seen.has(&range) && seen.is_regular_body()
        }
        "ok-other" => seen.status(201) && seen.is_regular_body(),
        "error-json" | "token-error" | "token-error-once" => {
            seen.status(500) && page["errorCode"] == "UNEXPECTED_ERROR"
        }
        "error-unknown" => seen.status(600) && page["error"] == 600,
        "error-large" | "token-error-large" => {
            let detail = page["detail"].as_str().unwrap_or_default();
            seen.status(500) && seen.body().len() == 17 << 20 && detail.starts_with("aaa")
        }
        "envelope-error-top" => {
            seen.status(200) && page["status"] == 500 && page["errorCode"] == "UNEXPECTED_ERROR"
        }
        "envelope-error-content" => {
            let error = &page["content"];
            seen.status(200) && page["status"] == 500 && error["errorCode"] == "UNEXPECTED_ERROR"
        }
        "token-unavailable" => seen.status(503) && seen.has("retry-after: 1"),
        "error-html" => seen.status(500) && seen.is_html(),
        "error-empty" => seen.status(502) && seen.body().is_empty(),
        "not-found-html" => seen.status(404) && seen.is_html(),
        "proxy-authentication" => {
            seen.status(407) && seen.has("proxy-authenticate: Basic realm=\"proxy\"")
        }
        "request-timeout" => seen.status(408) && closed,
        "too-early" => seen.status(425),
        "redirect-own" => seen.redirects(302, "http://127.0.0.1:"),
        "redirect-loop" => seen.redirects(307, "/aiModelApiKeys?itemsPerPage=2&pageNum=2"),
        "redirect-relative" => seen.redirects(308, "../elsewhere"),
        "redirect-other" => seen.redirects(307, "https://attacker.example/"),
        "redirect-downgrade" => seen.redirects(301, "http://127.0.0.1/"),
        "redirect-nowhere" => seen.status(303) && !seen.head().contains("location"),
        "token-redirect" => seen.redirects(307, "https://attacker.example/api/oauth/token"),
        "retry-after-zero" => seen.retry_after("0"),
        "retry-after-seconds" => seen.retry_after("2"),
        "retry-after-fraction" => seen.retry_after("2.5"),
        "retry-after-date" => {
            seen.status(429)
                && seen
                    .head()
                    .lines()
                    .any(|line| line.starts_with("retry-after: ") && line.ends_with(" GMT"))
        }
        "retry-after-unpadded-date" => seen.retry_after("Sat, 6 Nov 2094 08:20:00 GMT"),
        "retry-after-past-date" => seen.retry_after("Sun, 06 Nov 1994 08:49:37 GMT"),
        "retry-after-huge" => seen.retry_after("99999999999999999999"),
        "retry-after-negative" => seen.retry_after("-1"),
        "retry-after-text" => seen.retry_after("soon"),
        "retry-after-empty" => seen.retry_after(""),
        "retry-after-missing" => seen.status(429) && !seen.head().contains("retry-after"),
        "retry-after-twice" => seen.retry_after("1") && seen.retry_after("3600"),
        "token-too-many" => seen.retry_after("1"),
        "remaining-zero" => seen.has("ratelimit-remaining: 0") && seen.is_regular_body(),
        "headers-unknown" => seen.has("x-empty: ") && seen.is_regular_body(),
        name if name.contains("echo-") => seen.status(400) && repeats(name, &page),

        "next-other-host" => {
            seen.next().starts_with("https://attacker.example/api/") && only("links")
        }
        "next-credentials" => seen.next().starts_with("http://user:password@127.0.0.1:"),
        "next-javascript" => seen.next() == "javascript:alert(1)",
        "next-relative" => seen.next().starts_with("/api/") && seen.next().ends_with("pageNum=3"),
        "next-itself" => seen.next().ends_with("pageNum=2"),
        "next-lower" => seen.next().ends_with("pageNum=1"),
        "next-huge" => seen.next().ends_with("pageNum=99999999999999999999"),
        // Several pages of these faults are tested below.
        "pages-loop" | "pages-endless" => {
            seen.next().ends_with("pageNum=3") && seen.results().len() == 2 && only("results")
        }
        "page-empty" => seen.next().ends_with("pageNum=3") && seen.results().is_empty(),
        "pages-loop-one" => {
            seen.next().ends_with("pageNum=3") && seen.results().len() == 1 && only("results")
        }
        "pages-empty" | "pages-empty-endless" => {
            seen.next().ends_with("pageNum=3") && seen.results().is_empty() && only("results")
        }
        "page-empty-once" => seen.next().is_empty() && seen.results().is_empty(),
        "pages-overlap" => seen.next().ends_with("pageNum=3") && seen.results().len() == 2,
        "total-zero" => page["totalCount"] == 0 && only("totalCount"),
        "total-huge" => page["totalCount"] == u64::MAX,
        "total-missing" => without("totalCount"),
        "total-negative" => page["totalCount"] == -1,
        "total-text" => page["totalCount"] == "42",
        "total-float" => page["totalCount"] == 42.5,
        "total-null" => !without("totalCount") && page["totalCount"].is_null(),
        "total-exponent" => text.starts_with("{\"totalCount\":1e400,\"links\":["),
        "total-long" => text.starts_with(&format!("{{\"totalCount\":{},", "7".repeat(10_000))),
        // Compared as text: serde_json parses these objects as something else if another crate enables its
        // features.
        "total-private-number" => {
            text.contains(r#""totalCount":{"$serde_json::private::Number":"12"}"#)
        }
        "total-private-raw" => {
            text.contains(r#""totalCount":{"$serde_json::private::RawValue":"12"}"#)
        }
        "results-null" => !without("results") && page["results"].is_null(),
        "results-missing" => without("results"),
        "results-object" => page["results"].is_object(),
        "results-with-null" => seen.results().len() == 3 && seen.results()[2].is_null(),
        "links-missing" => without("links"),
        "links-total-missing" => {
            without("links") && without("totalCount") && seen.results().len() == 2
        }
        "links-only-null" => page["links"] == serde_json::json!([null]) && only("links"),
        "links-with-null" => {
            let links = page["links"].as_array().cloned().unwrap_or_default();
            links.len() == 4 && links[3].is_null() && seen.next().ends_with("pageNum=3")
        }
        "links-null" => !without("links") && page["links"].is_null(),
        "empty-keys" => {
            seen.results().len() == 100_000 && seen.results()[99_999] == serde_json::json!({})
        }
        "fields-unknown" => {
            page["aNewField"]["a"].is_array() && seen.results()[1]["aNewField"]["a"].is_array()
        }
        "status-unknown" => seen.results()[1]["status"] == "HIBERNATING" && only("results"),
        "fields-mistyped" => seen.results()[1]["name"] == 42,
        "name-null" => {
            let keys = seen.results();
            let is_null = |key: &Value| key.get("name") == Some(&Value::Null);
            keys.len() == 2 && keys.iter().all(is_null) && only("results")
        }
        "secrets" => seen.results().iter().all(|key| {
            let secret = key["secret"].as_str().unwrap_or_default();
            let masked = key["maskedSecret"].as_str().unwrap_or_default();
            secret.starts_with("al-") && secret.ends_with(&masked[masked.len() - 4..])
        }),
        "field-twice" => text.contains(r#"[{"apiKeyId":"theOtherOne","apiKeyId":"#),
        "field-twice-unknown" => {
            text.starts_with(r#"{"aNewField":1,"aNewField":{"a":1,"a":2},"links""#)
                && text.contains(r#"[{"aNewField":1,"aNewField":2,"apiKeyId":"#)
        }
        "utf8-invalid" => std::str::from_utf8(seen.body()).is_err(),
        "utf8-bom" => seen.body().strip_prefix(b"\xef\xbb\xbf") == Some(regular),
        "utf16" => {
            let pairs = seen.body().chunks_exact(2);
            let units: Vec<_> = pairs.map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
            let text = String::from_utf16(&units).unwrap_or_default();
            text.strip_prefix('\u{feff}').map(str::as_bytes) == Some(regular)
        }
        "surrogate-unknown" => text.starts_with(r#"{"aNewField":"\ud800","#),
        "surrogate-name" => text.contains(r#""name":"\ud800"#),
        "nul-name" => text.contains("\"name\":\"\0"),
        "nested" => text.contains(&format!(":{}{},", "[".repeat(1000), "]".repeat(1000))),
        "number-long" => text.contains(&format!(":{},", "7".repeat(10_000))),
        "number-huge" => text.starts_with("{\"aNewField\":1e400,"),
        "unknown-private-number" => {
            text.contains(r#""aNewField":{"$serde_json::private::Number":"12"}"#)
        }
        "unknown-private-raw" => {
            text.contains(r#""aNewField":{"$serde_json::private::RawValue":"12"}"#)
        }
        "json-truncated" => *seen.body() == regular[..length / 2] && seen.is_length(length / 2),
        "json-trailing" => text.ends_with("}\n{}"),
        "json-spaces" => page == regular_page && seen.body().len() == length + 100_000,
        "json-number" => text == "42",
        "error-in-200" => seen.status(200) && page["error"] == 500,

        "token-slow" => seen.status(200) && page["access_token"].is_string() && closed,
        "token-invalid-client" => seen.status(401) && page["error"] == "invalid_client",
        "token-access-denied" => seen.status(403) && page["error"] == "access_denied",
        "token-missing" => without("access_token"),
        "token-empty" => page["access_token"] == "",
        "token-null" => !without("access_token") && page["access_token"].is_null(),
        "token-control" => page["access_token"] == "abc\r\nx-injected: 1",
        "token-spaces" => page["access_token"] == " abc def ",
        "token-long" => page["access_token"].as_str().map(str::len) == Some(1 << 20),
        "token-unknown" => page["access_token"] == "eyJhbm90aGVy.eyJvcmc.c2ln",
        "token-type" => page["token_type"] == "mac",
        "token-type-missing" => without("token_type"),
        "expires-zero" => page["expires_in"] == 0,
        "expires-negative" => page["expires_in"] == -1,
        "expires-huge" => page["expires_in"] == u64::MAX,
        "expires-text" => page["expires_in"] == "3600",
        "expires-float" => page["expires_in"] == 3599.5,
        "expires-missing" => without("expires_in"),

        // The later requests of these three are tested below.
        "digest-nonce-once" => seen.status(401) && challenges.len() == 1,
        "digest-never" => one_challenge(|c| c.ends_with("stale=false")),
        "digest-in-one-header" => one_challenge(|c| {
            c.starts_with("Basic ")
                && c.contains(", Digest realm=")
                && c.contains("algorithm=SHA-256,")
                && c.contains("algorithm=MD5,")
        }),
        "digest-no-qop" => one_challenge(|c| c.starts_with("Digest ") && !c.contains("qop")),
        "digest-qop-int" => one_challenge(|c| c.contains("qop=\"auth-int\"")),
        "digest-no-nonce" => one_challenge(|c| c.starts_with("Digest ") && !c.contains("nonce")),
        "digest-unknown-algorithm" => one_challenge(|c| c.contains("algorithm=SHA-1024,")),
        "digest-basic-only" => one_challenge(|c| c.starts_with("Basic ")),
        "digest-garbage" => one_challenge(|c| c.starts_with("Digest =")),
        "digest-no-challenge" => seen.status(401) && challenges.is_empty(),
        // One realm is not UTF-8, and one challenge is not on one line; authentication with these
        // realms is tested below.
        "digest-realm-utf8" => one_challenge(|c| c.starts_with("Digest realm=\"Área\", domain=")),
        "digest-realm-latin1" => {
            seen.bytes.windows(6).any(|part| part == b"\"\xc1rea\"") && challenges.len() == 1
        }
        "digest-folded" => {
            let folded = "Digest realm=\"MMS Public API\",\r\n domain=\"\", nonce=\"";
            seen.status(401) && seen.head().contains(folded)
        }
        "digest-long" => one_challenge(|c| c.ends_with(&format!("{}\"", "a".repeat(1 << 16)))),
        "digest-many" => {
            challenges.len() == 11
                && challenges[0].contains("algorithm=SHA-0,")
                && challenges[10].contains("algorithm=MD5,")
        }
        _ => panic!("{name} needs an arm here"),
    }
}

/// Returns whether an error repeats the secret of its request, in the form that the fault's name
/// says, in the field that a client would show.
fn repeats(name: &str, error: &Value) -> bool {
    let emulator = emulator();
    let (form, secret, text) = match name.strip_prefix("token-echo-") {
        Some("basic") => {
            let request = token_request(&emulator, "");
            let basic = request.headers()["authorization"].to_str().unwrap();
            let basic = basic.strip_prefix("Basic ").unwrap().to_owned();
            ("plain", basic, &error["error_description"])
        }
        Some(form) => {
            let secret = emulator.service_account().client_secret.clone();
            (form, secret, &error["error_description"])
        }
        None => {
            let form = name.strip_prefix("echo-").unwrap();
            (form, emulator.access_token().to_owned(), &error["detail"])
        }
    };
    let text = text.as_str().unwrap_or_default();
    let around = text
        .strip_prefix("The credential ")
        .and_then(|text| text.strip_suffix(" is not accepted."));
    let Some(found) = around else {
        return false;
    };
    let is_hidden = |hides: bool| hides && !found.contains(&secret[..16]);
    match form {
        // Parsing the JSON has already removed the escapes.
        "plain" | "json-escaped" => found == secret,
        "percent" => {
            is_hidden(!found.contains(char::is_lowercase)) && percent_decode(found) == secret
        }
        "percent-lower" => {
            is_hidden(found.to_lowercase() == found) && percent_decode(found) == secret
        }
        "json-twice" => {
            let again: String = serde_json::from_str(&format!("\"{found}\"")).unwrap();
            is_hidden(found.contains("\\u")) && again == secret
        }
        "html" => is_hidden(found.starts_with('&')) && decode_entities(found) == secret,
        "split" => {
            let lines: Vec<_> = found.lines().map(str::trim_start).collect();
            is_hidden(found.contains("\r\n ")) && lines.concat() == secret
        }
        "part" => found == &secret[5..25],
        "reencoded" => found.starts_with(&secret[..12]) && percent_decode(found) == secret,
        _ => panic!("{name} needs an arm here"),
    }
}

fn percent_decode(text: &str) -> String {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        out.push(char::from(u8::from_str_radix(&part[..2], 16).unwrap()));
        out.push_str(&part[2..]);
    }
    out
}

fn decode_entities(text: &str) -> String {
    let entities = text.split_terminator(';');
    let character = |entity: &str| {
        let code = match entity {
            "&period" => return '.',
            "&lowbar" => return '_',
            _ => entity.strip_prefix("&#").unwrap(),
        };
        let code = match code.strip_prefix('x') {
            Some(hex) => u8::from_str_radix(hex, 16),
            None => code.parse(),
        };
        char::from(code.unwrap())
    };
    entities.map(character).collect()
}

/// Checks every fault of these areas. After each fault a new connection gets the regular response.
fn check_faults(areas: &[Area]) {
    let server = server();
    for fault in Fault::all().filter(|fault| areas.contains(&fault.area())) {
        let fault = with_quick_argument(fault);
        let name = fault.name();
        let request = match fault.area() {
            Area::Token => token_request_bytes(&server),
            Area::Digest => list_request(&server, Some("none")),
            _ => list_request(&server, None),
        };
        let (bytes, end) = ask(&server, &request, LIMIT);
        assert_eq!(end, End::Closed);
        let regular = Seen {
            bytes,
            end,
            regular: Default::default(),
        };
        let status = if fault.area() == Area::Digest {
            401
        } else {
            200
        };
        assert!(regular.status(status), "{}", regular.head());
        let regular = (regular.bytes.len(), regular.body().to_vec());

        server.with(|emulator| emulator.inject(fault));
        // Only a stall is expected to be silent; the other faults get enough time.
        let silence = if name.contains("stall") || name == "length-huge" {
            Duration::from_millis(100)
        } else {
            LIMIT
        };
        let (bytes, end) = ask(&server, &request, silence);
        let seen = Seen {
            bytes,
            end,
            regular,
        };
        assert!(
            is_as_described(name, &seen),
            "{fault}: {:?} after {} bytes (regular response: {}): {}",
            seen.end,
            seen.bytes.len(),
            seen.regular.0,
            String::from_utf8_lossy(&seen.bytes[..seen.bytes.len().min(2000)])
        );
        server.with(Emulator::heal);
    }
    let (bytes, _) = ask(&server, &list_request(&server, None), LIMIT);
    assert!(bytes.starts_with(b"HTTP/1.1 200 "));
    let began = Instant::now();
    server.shutdown();
    assert!(began.elapsed() < LIMIT);
}

#[test]
fn socket_faults_are_as_described() {
    check_faults(&[Area::Socket]);
}

#[test]
fn coding_and_meaning_faults_are_as_described() {
    check_faults(&[Area::Coding, Area::Meaning]);
}

#[test]
fn page_faults_are_as_described() {
    check_faults(&[Area::Page]);
}

#[test]
fn token_and_digest_faults_are_as_described() {
    check_faults(&[Area::Token, Area::Digest]);
}

fn ids(response: &Response<Vec<u8>>) -> Vec<String> {
    let page = json(response);
    let results = page["results"].as_array().unwrap().iter();
    results
        .map(|key| key["apiKeyId"].as_str().unwrap().to_owned())
        .collect()
}

fn has_next(response: &Response<Vec<u8>>) -> bool {
    let page = json(response);
    let mut links = page["links"].as_array().unwrap().iter();
    links.any(|link| link["rel"] == "next")
}

/// Returns the ids on the first pages of two keys each, and whether each page has a next link.
fn pages(text: &str, count: u32) -> Vec<(Vec<String>, bool)> {
    let mut emulator = emulator();
    emulator.inject(fault(text));
    let org = format!("/api/atlas/v2/orgs/{}/aiModelApiKeys", emulator.first_org());
    // The fault also applies to the listing of the organization, which must not fail.
    assert_eq!(fetch(&mut emulator, &org, PREVIEW).status(), 200);
    let path = keys_path(&emulator);
    let page = |number| {
        let target = format!("{path}?itemsPerPage=2&pageNum={number}");
        let page = fetch(&mut emulator, &target, PREVIEW);
        (ids(&page), has_next(&page))
    };
    (1..=count).map(page).collect()
}

fn regular_ids() -> Vec<String> {
    let emulator = emulator();
    let keys = emulator.keys(emulator.first_group()).iter();
    keys.map(|key| key.api_key_id.clone().unwrap()).collect()
}

#[test]
fn looping_pages_repeat_keys_and_endless_pages_have_new_keys() {
    let regular = regular_ids();
    for (ids, has_next) in pages("pages-loop", 20) {
        assert!(has_next && ids == regular[..2]);
    }
    let mut seen = HashSet::new();
    for (ids, has_next) in pages("pages-endless", 20) {
        assert!(has_next && ids.len() == 2);
        assert!(ids.into_iter().all(|id| seen.insert(id)));
    }
}

#[test]
fn looping_page_of_one_key_always_has_the_first_key() {
    let regular = regular_ids();
    for (ids, has_next) in pages("pages-loop-one", 20) {
        assert!(has_next && ids == regular[..1]);
    }
}

#[test]
fn empty_pages_come_in_a_row_without_end_or_only_once() {
    let regular = regular_ids();
    for (fault, expected) in [
        (
            "pages-empty",
            [
                (&regular[..2], true),
                (&[], true),
                (&[], true),
                (&regular[2..4], true),
                (&regular[4..], false),
            ],
        ),
        (
            "pages-empty=1",
            [
                (&[], true),
                (&[], true),
                (&regular[..2], true),
                (&regular[2..4], true),
                (&regular[4..], false),
            ],
        ),
        (
            "pages-empty-endless",
            [
                (&regular[..2], true),
                (&[], true),
                (&[], true),
                (&[], true),
                (&[], true),
            ],
        ),
    ] {
        for ((ids, has_next), expected) in pages(fault, 5).into_iter().zip(expected) {
            assert_eq!((ids.as_slice(), has_next), expected, "{fault}");
        }
    }
    // When it is requested again, the page is the regular one.
    let mut emulator = emulator();
    let path = keys_path(&emulator);
    emulator.inject(Fault::PAGE_EMPTY_ONCE);
    let expected: [(_, &[String], _); 5] = [
        (1, &regular[..2], true),
        (2, &[], false),
        (2, &regular[2..4], true),
        (3, &regular[4..], false),
        (2, &regular[2..4], true),
    ];
    for (number, keys, next) in expected {
        let target = format!("{path}?itemsPerPage=2&pageNum={number}");
        let page = fetch(&mut emulator, &target, PREVIEW);
        assert_eq!((ids(&page).as_slice(), has_next(&page)), (keys, next));
    }
}

#[test]
fn pages_without_links_have_the_regular_keys_and_total() {
    for (text, total) in [
        ("links-missing", Value::from(5)),
        ("links-total-missing", Value::Null),
    ] {
        let mut emulator = emulator();
        let path = keys_path(&emulator);
        emulator.inject(fault(text));
        for (number, count) in [(1, 2), (2, 2), (3, 1), (4, 0)] {
            let target = format!("{path}?itemsPerPage=2&pageNum={number}");
            let page = fetch(&mut emulator, &target, PREVIEW);
            assert_eq!(ids(&page).len(), count, "{text}, page {number}");
            let page = json(&page);
            assert_eq!((&page["totalCount"], page.get("links")), (&total, None));
        }
    }
}

#[test]
fn token_error_once_refuses_only_the_first_request() {
    let mut emulator = emulator();
    emulator.inject(fault("token-error-once=503"));
    let form = token_request(&emulator, "grant_type=client_credentials");
    let statuses = [(); 3].map(|()| emulator.handle(&form, NOW).status().as_u16());
    assert_eq!(statuses, [503, 200, 200]);
}

#[test]
fn empty_page_loses_no_keys_and_overlap_repeats_keys() {
    let regular = regular_ids();
    let expected = [
        (&regular[..2], true),
        (&[], true),
        (&regular[2..4], true),
        (&regular[4..], false),
        (&[], false),
    ];
    for ((ids, has_next), expected) in pages("page-empty", 5).into_iter().zip(expected) {
        assert_eq!((ids.as_slice(), has_next), expected);
    }
    let expected = [
        (&regular[..2], true),
        (&regular[1..3], true),
        (&regular[2..4], true),
        (&regular[3..5], false),
    ];
    for ((ids, has_next), expected) in pages("pages-overlap", 4).into_iter().zip(expected) {
        assert_eq!((ids.as_slice(), has_next), expected);
    }
}

#[test]
fn nonce_is_accepted_once_or_never() {
    let mut emulator = emulator();
    let path = keys_path(&emulator);
    let key = emulator.api_key().clone();
    let ask = |emulator: &mut Emulator, nonce: &str, nc| {
        let credentials = digest(&key.public_key, &key.private_key, nonce, nc, &path);
        let response = emulator.handle(&get(&path, PREVIEW, &credentials), NOW);
        let challenge = header(&response, "www-authenticate").unwrap_or_default();
        (response.status().as_u16(), challenge.to_owned())
    };
    let (_, challenge) = ask(&mut emulator, "unknown", 1);
    emulator.inject(Fault::DIGEST_NONCE_ONCE);
    let nonce = nonce_of(&challenge);
    assert_eq!(ask(&mut emulator, nonce, 1).0, 200);
    let (status, again) = ask(&mut emulator, nonce, 2);
    assert!(status == 401 && again.ends_with("stale=true"));
    assert_eq!(ask(&mut emulator, nonce_of(&again), 1).0, 200);

    emulator.heal();
    emulator.inject(Fault::DIGEST_NEVER);
    let mut challenge = challenge;
    for _ in 0..5 {
        let (status, next) = ask(&mut emulator, nonce_of(&challenge), 1);
        assert!(status == 401 && next.ends_with("stale=true"));
        assert_ne!(nonce_of(&next), nonce_of(&challenge));
        challenge = next;
    }
    // Without the fault the last nonce is accepted.
    emulator.heal();
    assert_eq!(ask(&mut emulator, nonce_of(&challenge), 1).0, 200);
    // The fault does not apply to requests with a token.
    emulator.inject(Fault::DIGEST_NEVER);
    assert_eq!(fetch(&mut emulator, &path, PREVIEW).status(), 200);
}

#[test]
fn algorithms_offered_in_one_header_are_accepted() {
    for (algorithm, expected) in [("MD5", 200), ("SHA-256", 200), ("SHA-512-256", 401)] {
        let mut emulator = emulator();
        let path = keys_path(&emulator);
        emulator.inject(Fault::DIGEST_IN_ONE_HEADER);
        let challenge = emulator.handle(&get(&path, PREVIEW, ""), NOW);
        let nonce = nonce_of(header(&challenge, "www-authenticate").unwrap());
        let key = emulator.api_key();
        let h = |text: String| match algorithm {
            "MD5" => hex(&Md5::digest(text)),
            "SHA-256" => hex(&Sha256::digest(text)),
            _ => hex(&Sha512_256::digest(text)),
        };
        let (public, realm) = (&key.public_key, "MMS Public API");
        let secret = h(format!("{public}:{realm}:{}", key.private_key));
        let asked = h(format!("GET:{path}"));
        let response = h(format!("{secret}:{nonce}:00000001:c:auth:{asked}"));
        let credentials = format!(
            "Digest username=\"{public}\", realm=\"{realm}\", nonce=\"{nonce}\", \
             uri=\"{path}\", cnonce=\"c\", nc=00000001, qop=auth, response=\"{response}\", \
             algorithm={algorithm}"
        );
        let status = emulator
            .handle(&get(&path, PREVIEW, &credentials), NOW)
            .status();
        assert_eq!(status, expected, "{algorithm}");
    }
}

#[test]
fn digest_must_use_the_bytes_of_the_realm() {
    let latin1 = b"\xc1rea".as_slice();
    for (text, realm, expected) in [
        ("digest-realm-utf8", "Área".as_bytes(), 200),
        ("digest-realm-latin1", latin1, 200),
        ("digest-realm-utf8", latin1, 401),
        ("digest-realm-latin1", "Área".as_bytes(), 401),
        ("digest-realm-latin1", b"MMS Public API", 401),
    ] {
        let mut emulator = emulator();
        let path = keys_path(&emulator);
        emulator.inject(fault(text));
        let challenge = emulator.handle(&get(&path, PREVIEW, ""), NOW);
        let challenge = challenge.headers()["www-authenticate"].as_bytes();
        let challenge = String::from_utf8_lossy(challenge);
        let nonce = nonce_of(&challenge);
        let key = emulator.api_key();
        let h = |bytes: &[u8]| hex(&Md5::digest(bytes));
        let user = [key.public_key.as_bytes(), realm, key.private_key.as_bytes()];
        let (secret, asked) = (h(&user.join(&b':')), h(format!("GET:{path}").as_bytes()));
        let response = h(format!("{secret}:{nonce}:00000001:c:auth:{asked}").as_bytes());
        let before = format!("Digest username=\"{}\", realm=\"", key.public_key);
        let after = format!(
            "\", nonce=\"{nonce}\", uri=\"{path}\", cnonce=\"c\", nc=00000001, qop=auth, \
             response=\"{response}\""
        );
        let credentials = [before.as_bytes(), realm, after.as_bytes()].concat();
        let mut request = get(&path, PREVIEW, "none");
        let credentials = HeaderValue::from_bytes(&credentials).unwrap();
        request.headers_mut().insert("authorization", credentials);
        assert_eq!(emulator.handle(&request, NOW).status(), expected, "{text}");
    }
}

#[test]
fn every_kind_of_credential_is_repeated() {
    let mut emulator = emulator();
    let path = keys_path(&emulator);
    let challenge = emulator.handle(&get(&path, PREVIEW, ""), NOW);
    let nonce = nonce_of(header(&challenge, "www-authenticate").unwrap());
    let key = emulator.api_key().clone();
    let form = token_request(&emulator, "grant_type=client_credentials");
    let granted = json(&emulator.handle(&form, NOW))["access_token"].clone();
    let granted = granted.as_str().unwrap().to_owned();
    emulator.inject(fault("echo-plain=403"));
    emulator.inject(fault("token-echo-plain=403"));
    let client_secret = emulator.service_account().client_secret.clone();
    let credentials = digest(&key.public_key, &key.private_key, nonce, 1, &path);
    for (request, secret) in [
        (
            get(&path, PREVIEW, &bearer(&emulator)),
            emulator.access_token().to_owned(),
        ),
        (get(&path, PREVIEW, &format!("Bearer {granted}")), granted),
        (get(&path, PREVIEW, &credentials), key.private_key),
        (form, client_secret),
    ] {
        let response = emulator.handle(&request, NOW);
        assert_eq!(response.status(), 403);
        assert_eq!(header(&response, "x-error-code"), Some(secret.as_str()));
        let error = json(&response);
        let texts = error
            .as_object()
            .unwrap()
            .values()
            .filter(|text| !text.is_number());
        assert!(
            texts
                .into_iter()
                .all(|text| text.to_string().contains(&secret)),
            "{error}"
        );
    }
    // A request without a credential gets the regular 401.
    assert_eq!(emulator.handle(&get(&path, PREVIEW, ""), NOW).status(), 401);
}

#[test]
fn unrequested_bytes_arrive_before_the_next_request() {
    for text in ["second-response", "extra-bytes"] {
        let server = server();
        server.with(|emulator| emulator.inject(fault(text)));
        let request = list_request(&server, None).replace("Connection: close\r\n", "");
        let mut client = TcpStream::connect(server.address()).unwrap();
        client.set_read_timeout(Some(LIMIT)).unwrap();
        // All on one connection, which stays open.
        for _ in 0..20 {
            client.write_all(request.as_bytes()).unwrap();
            let mut buffer = vec![0; 64 << 10];
            let length = client.read(&mut buffer).unwrap();
            let seen = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let end = if text == "extra-bytes" {
                "}\r\n\r\nand by the way"
            } else {
                "\"unsolicited\"}],\"totalCount\":1}"
            };
            assert!(
                seen.starts_with("HTTP/1.1 200 ") && seen.ends_with(end),
                "{seen}"
            );
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn list_of_groups_has_faults_of_responses_but_not_of_keys() {
    let mut emulator = emulator();
    let groups = "/api/atlas/v2/groups";
    let regular = fetch(&mut emulator, groups, DATED).into_body();
    for (name, status) in [("error-json=503", 503), ("ok-html", 200), ("gzip", 200)] {
        emulator.inject(fault(name).times(1));
        // A refused credential gets the regular challenge.
        let refused = emulator.handle(&get(groups, DATED, ""), NOW);
        assert_eq!(refused.status(), 401);
        let response = fetch(&mut emulator, groups, DATED);
        assert_eq!(response.status(), status, "{name}");
        assert_ne!(*response.body(), regular, "{name}");
        let healed = fetch(&mut emulator, groups, DATED);
        assert_eq!(*healed.body(), regular, "{name}");
    }
    emulator.inject(Fault::RESET_IN_BODY.times(1));
    let reset = fetch(&mut emulator, groups, DATED);
    assert!(reset.extensions().get::<Delivery>().is_some());
    // The digest challenge.
    emulator.inject(Fault::DIGEST_NO_CHALLENGE.times(1));
    let refused = emulator.handle(&get(groups, DATED, ""), NOW);
    assert_eq!(header(&refused, "www-authenticate"), None);
    // The content of a page of keys.
    emulator.inject(Fault::RESULTS_NULL);
    assert_eq!(*fetch(&mut emulator, groups, DATED).body(), regular);
}

#[test]
fn fault_applies_only_to_the_next_requests_of_its_route() {
    let mut emulator = emulator();
    let path = keys_path(&emulator);
    emulator.inject(fault("error-empty=503").times(2));
    emulator.inject(Fault::TOKEN_ERROR.times(1));
    emulator.inject(Fault::RESULTS_NULL.times(0));
    let mut statuses = Vec::new();
    // Requests without a valid credential and those for other paths do not count.
    let none = get(&path, PREVIEW, "");
    assert_eq!(emulator.handle(&none, NOW).status(), 401);
    let key = &emulator.keys(emulator.first_group())[0];
    let one_key = format!("{path}/{}", key.api_key_id.as_deref().unwrap());
    assert_eq!(fetch(&mut emulator, &one_key, PREVIEW).status(), 200);
    for _ in 0..3 {
        statuses.push(fetch(&mut emulator, &path, PREVIEW).status().as_u16());
    }
    assert_eq!(statuses, [503, 503, 200]);
    let form = token_request(&emulator, "grant_type=client_credentials");
    assert_eq!(emulator.handle(&form, NOW).status(), 500);
    assert_eq!(emulator.handle(&form, NOW).status(), 200);
    // Scripted responses are not changed.
    emulator.inject(Fault::ERROR_HTML);
    let scripted = Response::builder().status(418).body(Vec::new()).unwrap();
    emulator.respond_next(Route::ListGroupKeys, scripted);
    assert_eq!(fetch(&mut emulator, &path, PREVIEW).status(), 418);
    assert_eq!(fetch(&mut emulator, &path, PREVIEW).status(), 500);
    emulator.heal();
    assert_eq!(fetch(&mut emulator, &path, PREVIEW).status(), 200);
}

#[test]
fn fault_that_changes_nothing_is_neither_counted_nor_recorded() {
    let mut emulator = emulator();
    let path = keys_path(&emulator);
    let faults = |emulator: &Emulator| emulator.faults().collect::<Vec<_>>();
    let last = |emulator: &Emulator| emulator.seen().last().unwrap().faults.clone();
    let second_page = fault("page-empty=2");
    emulator.inject(second_page.times(1));
    // Responses that are no page, and then other pages.
    for (query, accept, status) in [
        ("", "*/*", 406),
        ("?pageNum=0", PREVIEW, 400),
        ("?pageNum=0&envelope=true", PREVIEW, 400),
        ("?itemsPerPage=2", PREVIEW, 200),
        ("?itemsPerPage=2&pretty=true&envelope=true", PREVIEW, 200),
    ] {
        let response = fetch(&mut emulator, &format!("{path}{query}"), accept);
        assert_eq!(response.status(), status, "{query}");
        assert_eq!(last(&emulator), [], "{query}");
        assert_eq!(faults(&emulator), [second_page.times(1)], "{query}");
    }
    let page = json(&fetch(
        &mut emulator,
        &format!("{path}?itemsPerPage=2&pageNum=2"),
        PREVIEW,
    ));
    assert_eq!(page["results"], serde_json::json!([]));
    assert_eq!(last(&emulator), [second_page]);
    assert_eq!(faults(&emulator), []);

    // Nothing to repeat without a credential, and no token to change in an error.
    for fault in [Fault::TOKEN_ECHO_PLAIN, Fault::EXPIRES_ZERO] {
        emulator.inject(fault.times(1));
        let wrong = http::Request::post("/api/oauth/token").body("").unwrap();
        assert_eq!(emulator.handle(&wrong, NOW).status(), 401);
        assert_eq!(faults(&emulator), [fault.times(1)]);
        let right = token_request(&emulator, "grant_type=client_credentials");
        let _ = emulator.handle(&right, NOW);
        assert_eq!(last(&emulator), [fault]);
        assert_eq!(faults(&emulator), []);
    }

    // The challenge stays the same, but the nonce of the next request expires.
    let challenge = emulator.handle(&get(&path, PREVIEW, ""), NOW);
    let nonce = nonce_of(header(&challenge, "www-authenticate").unwrap()).to_owned();
    let key = emulator.api_key().clone();
    emulator.inject(Fault::DIGEST_NONCE_ONCE.times(1));
    for (nc, status, remaining) in [(1, 200, 0), (2, 401, 0)] {
        let signed = digest(&key.public_key, &key.private_key, &nonce, nc, &path);
        let response = emulator.handle(&get(&path, PREVIEW, &signed), NOW);
        assert_eq!(
            (response.status().as_u16(), faults(&emulator).len()),
            (status, remaining)
        );
    }
}

#[test]
fn active_faults_are_listed_with_the_requests_that_remain() {
    let mut emulator = emulator();
    let path = keys_path(&emulator);
    let active = |emulator: &Emulator| emulator.faults().collect::<Vec<_>>();
    assert_eq!(active(&emulator), []);
    emulator.inject(Fault::CHUNKED);
    emulator.inject(Fault::TOKEN_ERROR.times(1));
    emulator.inject(Fault::TOTAL_ZERO.times(2));
    emulator.inject(Fault::GZIP.times(0));
    // In the order in which they are applied.
    let [chunked, token_error] = [Fault::CHUNKED.into(), Fault::TOKEN_ERROR.times(1)];
    let total_zero = Fault::TOTAL_ZERO.times(2);
    assert_eq!(active(&emulator), [token_error, total_zero, chunked]);
    let _ = fetch(&mut emulator, &path, PREVIEW);
    let total_zero = Fault::TOTAL_ZERO.times(1);
    assert_eq!(active(&emulator), [token_error, total_zero, chunked]);
    let _ = fetch(&mut emulator, &path, PREVIEW);
    assert_eq!(active(&emulator), [token_error, chunked]);
    emulator.heal();
    assert_eq!(active(&emulator), []);
}

#[test]
fn several_faults_are_applied_in_the_order_of_their_areas() {
    for order in [
        ["chunked", "gzip", "results-null"],
        ["results-null", "gzip", "chunked"],
    ] {
        let server = server();
        let request = list_request(&server, None);
        server.with(|emulator| {
            for text in order {
                emulator.inject(fault(text));
            }
        });
        let (bytes, end) = ask(&server, &request, LIMIT);
        let seen = Seen {
            bytes,
            end,
            regular: Default::default(),
        };
        assert!(seen.is_chunked() && seen.has("content-encoding: gzip"));
        let page = decompress(&seen.decode_chunks().unwrap()).unwrap();
        let page: Value = serde_json::from_slice(&page).unwrap();
        assert_eq!(page["results"], Value::Null);
    }
}

#[test]
fn response_in_memory_has_the_delivery_as_an_extension() {
    let mut emulator = emulator();
    let path = keys_path(&emulator);
    let regular = fetch(&mut emulator, &path, PREVIEW);
    assert!(regular.extensions().get::<Delivery>().is_none());
    emulator.inject(Fault::STALL_IN_BODY);
    let response = fetch(&mut emulator, &path, PREVIEW);
    assert_eq!(response.body(), regular.body());
    let delivery = response.extensions().get::<Delivery>().unwrap();
    assert_eq!(
        delivery.steps,
        [
            DeliveryStep::Head,
            DeliveryStep::HalfBody,
            DeliveryStep::Stall
        ]
    );
}

#[test]
fn head_response_has_no_body_and_error_responses_are_not_changed() {
    let server = server();
    for text in [
        "byte-by-byte",
        "chunked",
        "reset-in-body",
        "second-response",
    ] {
        server.with(|emulator| emulator.inject(fault(text).times(1)));
        let request = list_request(&server, None).replacen("GET", "HEAD", 1);
        let (bytes, _) = ask(&server, &request, LIMIT);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
        assert!(!text.contains("maskedSecret"), "{text}");
    }
    let mut emulator = emulator();
    let path = keys_path(&emulator);
    let regular = fetch(&mut emulator, &path, "*/*");
    for fault in Fault::all().filter(|fault| fault.area() == Area::Page) {
        emulator.inject(fault);
        let refused = fetch(&mut emulator, &path, "*/*");
        assert_eq!(
            (refused.status(), refused.body()),
            (regular.status(), regular.body())
        );
        emulator.heal();
    }
}

#[test]
fn no_pair_of_faults_causes_a_panic() {
    let all: Vec<Fault> = Fault::all().collect();
    for (index, one) in all.iter().enumerate() {
        for other in [all[0], all[(index * 7 + 3) % all.len()]] {
            let mut emulator = emulator();
            let targets = [
                keys_path(&emulator),
                format!(
                    "{}?pageNum=2147483647&itemsPerPage=200",
                    keys_path(&emulator)
                ),
                format!("{}?pageNum=0", keys_path(&emulator)),
                format!(
                    "/api/atlas/v2/orgs/{}/aiModelApiKeys?itemsPerPage=1",
                    emulator.first_org()
                ),
                "/api/atlas/v2/orgs/none/aiModelApiKeys".to_owned(),
                "/".to_owned(),
            ];
            emulator.inject(*one);
            emulator.inject(other);
            for target in &targets {
                let _ = fetch(&mut emulator, target, PREVIEW);
                let _ = emulator.handle(&get(target, PREVIEW, "Digest x"), Duration::MAX);
            }
            for form in ["", "grant_type=client_credentials"] {
                let request = token_request(&emulator, form);
                let _ = emulator.handle(&request, NOW);
            }
            emulator.heal();
            assert_eq!(fetch(&mut emulator, &targets[0], PREVIEW).status(), 200);
        }
    }
}

#[test]
fn endless_responses_delay_neither_other_clients_nor_a_shutdown() {
    let server = server();
    let request = list_request(&server, None);
    let mut clients = Vec::new();
    for text in [
        "stall-before-head",
        "stall-in-body",
        "body-endless",
        "chunks-endless",
        "headers-endless",
        "interim-endless",
        "trailers-endless",
        "length-huge",
        "slow-head=1m",
        "slow-body=1m",
    ] {
        server.with(|emulator| emulator.inject(fault(text).times(1)));
        let before = server.with(|emulator| emulator.requests());
        let mut client = TcpStream::connect(server.address()).unwrap();
        client.write_all(request.as_bytes()).unwrap();
        let began = Instant::now();
        while server.with(|emulator| emulator.requests()) == before {
            assert!(began.elapsed() < LIMIT);
            thread::yield_now();
        }
        clients.push(client);
        // The client reads nothing, and other clients are still served.
        let (bytes, end) = ask(&server, &request, LIMIT);
        assert!(
            bytes.starts_with(b"HTTP/1.1 200 ") && end == End::Closed,
            "{text}"
        );
    }
    let began = Instant::now();
    server.shutdown();
    assert!(began.elapsed() < Duration::from_secs(10));
    drop(clients);
}
